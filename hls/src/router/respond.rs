//! Answers: bodies that share the packager's bytes, and the headers that caches go by.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use media::TrackKind;

use crate::live::Rendered;

/// Media never changes under its address. A day is longer than any cache keeps live media.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=86400, immutable");
/// A live playlist is stale with the next part; one second lets a cache join a crowd.
const LIVE: HeaderValue = HeaderValue::from_static("public, max-age=1");
/// What is not there may be in a moment, and who asks then must not get an answer from before.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

const PLAYLIST: HeaderValue = HeaderValue::from_static("application/vnd.apple.mpegurl");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const VIDEO: HeaderValue = HeaderValue::from_static("video/mp4");
const AUDIO: HeaderValue = HeaderValue::from_static("audio/mp4");
const ANY: HeaderValue = HeaderValue::from_static("*");
const EXPOSED: HeaderValue = HeaderValue::from_static("Content-Length, Content-Range, Date");

/// Why a request is not answered with what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no such thing, or not any more.
    NotFound,
    /// The channel is not live.
    NotLive,
    /// The request makes no sense.
    BadRequest(&'static str),
    /// It should be there soon, but patience ended.
    NotYet,
    /// Too many wait already.
    Busy,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, text, caching) = match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "not found", NO_STORE),
            Self::NotLive => (StatusCode::NOT_FOUND, "not live", NO_STORE),
            Self::BadRequest(why) => (StatusCode::BAD_REQUEST, why, NO_STORE),
            Self::NotYet => (StatusCode::SERVICE_UNAVAILABLE, "not yet", NO_STORE),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too many requests wait",
                NO_STORE,
            ),
        };
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, TEXT);
        headers.insert(header::CACHE_CONTROL, caching);
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// How long a playlist may be kept by caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caching {
    /// It changes with the next part.
    Live,
    /// It answers a request that names segment and part: under this address it stays true. Six
    /// target durations (RFC 8216bis appendix B), given in seconds.
    Blocking(u32),
}

/// A playlist, compressed if the client takes it.
pub(super) fn playlist(rendered: &Rendered, request: &HeaderMap, caching: Caching) -> Response {
    let gzip = takes_gzip(request) && !rendered.gzip.is_empty();
    let body = if gzip {
        rendered.gzip.clone()
    } else {
        rendered.plain.clone()
    };
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, PLAYLIST);
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    if gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let caching = match caching {
        Caching::Live => LIVE,
        Caching::Blocking(target_s) => {
            HeaderValue::try_from(format!("public, max-age={}", target_s * 6)).unwrap_or(LIVE)
        }
    };
    headers.insert(header::CACHE_CONTROL, caching);
    response
}

/// Whether gzip is among what the client accepts, and not with weight zero (RFC 9110 §12.5.3).
fn takes_gzip(request: &HeaderMap) -> bool {
    request
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let named = parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case("gzip") || name == "*");
            named && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
}

/// Media: the slices in order, as one body, or the range of it that was asked for.
pub(super) fn media(slices: Vec<Bytes>, kind: TrackKind, request: &HeaderMap) -> Response {
    let total: u64 = slices.iter().map(|slice| slice.len() as u64).sum();
    let range = request
        .get(header::RANGE)
        .and_then(|range| range.to_str().ok());
    let (status, first, last) = match range.map(|range| byte_range(range, total)) {
        None | Some(Range::Ignored) => (StatusCode::OK, 0, total),
        Some(Range::Of(first, last)) => (StatusCode::PARTIAL_CONTENT, first, last),
        Some(Range::Unsatisfiable) => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
    };
    let body = Slices::new(slices, first, last);
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        match kind {
            TrackKind::Video => VIDEO,
            TrackKind::Audio => AUDIO,
        },
    );
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(last - first));
    headers.insert(header::CACHE_CONTROL, IMMUTABLE);
    let content_range = match status {
        StatusCode::PARTIAL_CONTENT => Some(format!("bytes {first}-{}/{total}", last - 1)),
        StatusCode::RANGE_NOT_SATISFIABLE => Some(format!("bytes */{total}")),
        _ => None,
    };
    if let Some(value) = content_range.and_then(|text| HeaderValue::try_from(text).ok()) {
        headers.insert(header::CONTENT_RANGE, value);
    }
    response
}

/// What a `Range` header asks for (RFC 9110 §14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    /// From the first byte up to, not including, the second.
    Of(u64, u64),
    /// Nothing that is there.
    Unsatisfiable,
    /// Several ranges, or none that can be read: the whole is an allowed answer.
    Ignored,
}

fn byte_range(text: &str, total: u64) -> Range {
    let Some((first, last)) = text
        .strip_prefix("bytes=")
        .and_then(|spec| spec.split_once('-'))
    else {
        return Range::Ignored;
    };
    let range = match (first.trim(), last.trim()) {
        ("", suffix) => match suffix.parse::<u64>() {
            Ok(len) => (total.saturating_sub(len), total),
            Err(_) => return Range::Ignored,
        },
        (first, "") => match first.parse() {
            Ok(first) => (first, total),
            Err(_) => return Range::Ignored,
        },
        (first, last) => match (first.parse(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) if first <= last => (first, last.saturating_add(1).min(total)),
            (Ok(_) | Err(_), _) => return Range::Ignored,
        },
    };
    if range.0 < range.1 {
        Range::Of(range.0, range.1)
    } else {
        Range::Unsatisfiable
    }
}

/// A body of shared slices, sent without joining them.
#[derive(Debug)]
struct Slices {
    slices: std::vec::IntoIter<Bytes>,
    rest: u64,
}

impl Slices {
    /// Of the slices as one, from byte `first` up to, not including, `last`.
    fn new(slices: Vec<Bytes>, first: u64, last: u64) -> Self {
        let mut start = 0;
        let mut cut = Vec::with_capacity(slices.len());
        for slice in slices {
            let end = start + slice.len() as u64;
            let (from, to) = (first.max(start), last.min(end));
            if from < to {
                let index = |at: u64| usize::try_from(at - start).unwrap_or(slice.len());
                cut.push(slice.slice(index(from)..index(to)));
            }
            start = end;
        }
        Self {
            slices: cut.into_iter(),
            rest: last - first,
        }
    }
}

impl http_body::Body for Slices {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.slices.next();
        if let Some(slice) = &next {
            self.rest -= slice.len() as u64;
        }
        Poll::Ready(next.map(|slice| Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.slices.as_slice().is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_ranges_are_understood_and_others_ignored() {
        assert_eq!(byte_range("bytes=0-9", 100), Range::Of(0, 10));
        assert_eq!(byte_range("bytes=90-", 100), Range::Of(90, 100));
        assert_eq!(byte_range("bytes=-10", 100), Range::Of(90, 100));
        assert_eq!(
            byte_range("bytes=0-18446744073709551615", 100),
            Range::Of(0, 100)
        );
        assert_eq!(byte_range("bytes=100-", 100), Range::Unsatisfiable);
        assert_eq!(byte_range("bytes=-0", 100), Range::Unsatisfiable);
        for ignored in [
            "bytes=5-1",
            "bytes=0-1,5-6",
            "bytes=a-b",
            "items=0-1",
            "bytes=",
        ] {
            assert_eq!(byte_range(ignored, 100), Range::Ignored, "{ignored}");
        }
    }

    #[test]
    fn gzip_is_taken_only_when_wanted() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            takes_gzip(&headers)
        };
        assert!(with("gzip, deflate, br") && with("br;q=1.0, GZIP;q=0.8") && with("*"));
        assert!(
            !with("br") && !with("gzip;q=0") && !with("identity") && !takes_gzip(&HeaderMap::new())
        );
    }
}
