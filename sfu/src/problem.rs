//! Answers to those who cannot be served (RFC 9457).

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use sfu_core::offer::{self, BYTES_MAX};

use crate::publishing::Refusal;

/// Why a request is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("Nobody is live under this name.")]
    NotLive,
    #[error("There is no such session.")]
    NoSession,
    #[error("Send the stream key as a bearer token: Authorization: Bearer KEY.")]
    NoKey,
    #[error("This publisher cannot come on stage: {0}.")]
    Refused(Refusal),
    #[error(
        "Somebody else publishes to this channel, or vanished a few seconds ago and may come back; try again."
    )]
    Taken,
    #[error("The body has to be of type {0}.")]
    MediaType(&'static str),
    #[error("The body is no text.")]
    NoText,
    #[error("The body has more than {BYTES_MAX} bytes.")]
    TooLong,
    #[error("This offer cannot be answered: {0}.")]
    Offer(offer::Error),
    #[error("Nothing in this offer can be {0}.")]
    NothingToDo(&'static str),
    #[error("The stream is {0}, which is not among the codecs of this offer. LL-HLS has it.")]
    Codec(&'static str),
    #[error(
        "The pictures of this stream are shown in another order than decoded (B-frames), which WebRTC cannot do. LL-HLS has it."
    )]
    Reordered,
    #[error(
        "The latest keyframe of this stream is too long ago to begin with. LL-HLS has it; and with a keyframe every two seconds, which the encoder can be set to, WebRTC does."
    )]
    KeyframeOld,
    #[error("There are too many sessions; try again later.")]
    TooMany,
    #[error("If-Match has to name the session's entity tag.")]
    NoTag,
    #[error("The session has begun ICE anew since.")]
    OldTag,
    #[error("What was seen cannot be read: {0}.")]
    Seen(String),
    #[error("The fragment lacks {0}.")]
    Fragment(&'static str),
}

impl Problem {
    const fn status(&self) -> StatusCode {
        match self {
            Self::NotLive | Self::NoSession => StatusCode::NOT_FOUND,
            Self::NoKey | Self::Refused(Refusal::UnknownKey) => StatusCode::UNAUTHORIZED,
            Self::Refused(Refusal::NotAllowed) => StatusCode::FORBIDDEN,
            Self::Refused(Refusal::TooManyAttempts) => StatusCode::TOO_MANY_REQUESTS,
            Self::Taken => StatusCode::CONFLICT,
            Self::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLong | Self::Offer(offer::Error::TooLong) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoText | Self::Offer(_) | Self::Fragment(_) | Self::Seen(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::NothingToDo(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Codec(_) | Self::Reordered | Self::KeyframeOld => StatusCode::NOT_ACCEPTABLE,
            Self::TooMany | Self::Refused(Refusal::Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoTag => StatusCode::PRECONDITION_REQUIRED,
            Self::OldTag => StatusCode::PRECONDITION_FAILED,
        }
    }

    /// What programs tell problems apart by.
    const fn code(&self) -> &'static str {
        match self {
            Self::NotLive => "not_live",
            Self::NoSession => "no_session",
            Self::NoKey | Self::Refused(Refusal::UnknownKey) => "wrong_key",
            Self::Refused(Refusal::NotAllowed) => "not_allowed",
            Self::Refused(Refusal::TooManyAttempts) => "too_many_attempts",
            Self::Refused(Refusal::Unavailable) => "unavailable",
            Self::Taken => "taken",
            Self::MediaType(_) => "media_type",
            Self::NoText | Self::Offer(_) => "offer",
            Self::TooLong => "too_large",
            Self::KeyframeOld => "keyframe_old",
            Self::NothingToDo(_) => "nothing_to_do",
            Self::Codec(_) => "codec",
            Self::Reordered => "b_frames",
            Self::TooMany => "too_many",
            Self::NoTag => "no_tag",
            Self::OldTag => "old_tag",
            Self::Fragment(_) => "fragment",
            Self::Seen(_) => "seen",
        }
    }
}

const PROBLEM: &str = "application/problem+json";

fn told(status: StatusCode, code: &str, detail: &str) -> Response {
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "code": code,
        "detail": detail,
    });
    (status, [(header::CONTENT_TYPE, PROBLEM)], body.to_string()).into_response()
}

/// An answer in this form, if the router itself refused: a method or a path that is none.
pub(crate) async fn in_form(response: Response) -> Response {
    let status = response.status();
    let found = response.headers().get(header::CONTENT_TYPE);
    if !status.is_client_error() || found.is_some_and(|found| found == PROBLEM) {
        return response;
    }
    let (code, detail) = match status {
        StatusCode::METHOD_NOT_ALLOWED => ("method", "This cannot be done here; see Allow."),
        _ => ("request", "The request cannot be read."),
    };
    let mut formed = told(status, code, detail);
    if let Some(allowed) = response.headers().get(header::ALLOW) {
        let allowed = allowed.clone();
        formed.headers_mut().insert(header::ALLOW, allowed);
    }
    formed
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = told(status, self.code(), &self.to_string());
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            let bearer = header::HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, bearer);
        }
        if let StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS = status {
            headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
        }
        response
    }
}
