//! What a request is read with: who makes it, and its body within limits.

use axum::body::Bytes;
use axum::extract::{FromRef as _, FromRequest, FromRequestParts, OptionalFromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Request, header};
use kit::client::Client;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::AppState;
use crate::door::{Caller, Means};
use crate::error::ApiError;
use crate::picture::UPLOAD_BYTES_MAX;
use crate::scope::Scope;
use crate::store::channels::Channel;
use crate::store::users::Role;

/// Longest body.
pub const BODY_BYTES_MAX: usize = 16 * 1024;

/// Longest event of a payment provider.
const TOLD_BYTES_MAX: usize = 256 * 1024;

/// The cookie of a session where everything is encrypted. The name's prefix makes browsers refuse
/// it from other hosts and over plain http (RFC 6265bis §4.1.3.2).
pub const SECURE_COOKIE: &str = "__Host-barrage";
/// The cookie of a session on plain http.
pub const PLAIN_COOKIE: &str = "barrage";

/// A JSON body.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(
        request: Request<axum::body::Body>,
        _state: &S,
    ) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::NotJson);
        }
        let body = whole_body(request, BODY_BYTES_MAX).await?;
        serde_json::from_slice(&body).map(Self).map_err(|error| {
            ApiError::BadRequest(format!("This is not the JSON that belongs here: {error}."))
        })
    }
}

/// A picture that is uploaded. What kind it says it is does not matter.
#[derive(Debug)]
pub struct Upload(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = ApiError;

    async fn from_request(
        request: Request<axum::body::Body>,
        _state: &S,
    ) -> Result<Self, ApiError> {
        let body = whole_body(request, UPLOAD_BYTES_MAX).await;
        body.map(Self)
    }
}

/// What a payment provider tells, byte for byte: it is signed.
#[derive(Debug)]
pub struct Told(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Told {
    type Rejection = ApiError;

    async fn from_request(
        request: Request<axum::body::Body>,
        _state: &S,
    ) -> Result<Self, ApiError> {
        let body = whole_body(request, TOLD_BYTES_MAX).await;
        body.map(Self)
    }
}

/// The body within a limit of size. Whoever listens sees to it that it comes in time, and answers if
/// it does not.
async fn whole_body(
    request: Request<axum::body::Body>,
    bytes_max: usize,
) -> Result<Bytes, ApiError> {
    let body = axum::body::to_bytes(request.into_body(), bytes_max).await;
    body.map_err(|_| ApiError::TooLarge)
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// Where a request comes from.
#[derive(Clone, Debug)]
pub struct AskedBy(pub Client);

impl<S: Send + Sync> FromRequestParts<S> for AskedBy {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        client(parts).map(Self)
    }
}

fn client(parts: &Parts) -> Result<Client, ApiError> {
    parts
        .extensions
        .get::<Client>()
        .cloned()
        .ok_or_else(|| ApiError::Internal(anyhow::anyhow!("the listener told no client")))
}

/// The secret in the session's cookie, if there is one.
pub fn session_cookie(headers: &HeaderMap, secure: bool) -> Option<&str> {
    let name = if secure { SECURE_COOKIE } else { PLAIN_COOKIE };
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Refuses what a page of another site makes a browser send. Browsers say where a request comes
/// from, in `Sec-Fetch-Site` or at least in `Origin`; programs that say neither have no cookies
/// that they would send unasked.
pub fn check_same_origin(
    method: &Method,
    headers: &HeaderMap,
    client: &Client,
    state: &AppState,
) -> Result<(), ApiError> {
    if method.is_safe() {
        return Ok(());
    }
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let same = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        // Where people are told to go is ours too, whatever a proxy makes of the request's host.
        (None, Some(origin)) => [&client.origin, &state.public_url]
            .into_iter()
            .any(|ours| ours.as_deref() == Some(origin)),
        (None, None) => true,
    };
    if same {
        Ok(())
    } else {
        Err(ApiError::CrossSite)
    }
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let caller =
            <Self as OptionalFromRequestParts<AppState>>::from_request_parts(parts, state).await?;
        caller.ok_or(ApiError::NotSignedIn)
    }
}

impl OptionalFromRequestParts<AppState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &AppState,
    ) -> Result<Option<Self>, ApiError> {
        let state = AppState::from_ref(state);
        if let Some(token) = bearer(&parts.headers) {
            // Who shows a token means it: one that does not work is not the same as none.
            let caller = state.door.by_token(token).await?;
            return caller.map(Some).ok_or(ApiError::NotSignedIn);
        }
        let client = client(parts)?;
        let Some(cookie) = session_cookie(&parts.headers, client.is_secure()) else {
            return Ok(None);
        };
        check_same_origin(&parts.method, &parts.headers, &client, &state)?;
        state.door.by_session(cookie, &client).await
    }
}

impl Caller {
    /// Whether the caller may do what `scope` is about.
    ///
    /// # Errors
    /// When it is a token that does not reach so far, or somebody who may not.
    pub fn require(&self, scope: Scope) -> Result<(), ApiError> {
        if scope == Scope::Operator && self.user.role != Role::Operator {
            return Err(ApiError::NotAllowed);
        }
        match &self.means {
            Means::Session(_) => Ok(()),
            Means::Token(scopes) if scopes.allow(scope) => Ok(()),
            Means::Token(_) => Err(ApiError::ScopeMissing(scope.as_str())),
        }
    }

    /// The caller's session: what guards an account cannot be done by a token.
    ///
    /// # Errors
    /// When the caller is a program with a token.
    pub const fn session(&self) -> Result<Uuid, ApiError> {
        match &self.means {
            Means::Session(id) => Ok(*id),
            Means::Token(_) => Err(ApiError::NotAllowed),
        }
    }

    /// Whether the caller may look after `channel`: its owner and operators may.
    ///
    /// # Errors
    /// When the caller may not.
    pub fn require_owner(&self, channel: &Channel) -> Result<(), ApiError> {
        if channel.owner != self.user.id {
            return self.require(Scope::Operator);
        }
        self.require(Scope::Channel)
    }
}

/// What the address names, if it can be read.
async fn path<T: DeserializeOwned + Send>(parts: &mut Parts) -> Option<T> {
    let path = <Path<T> as FromRequestParts<()>>::from_request_parts(parts, &()).await;
    path.ok().map(|Path(named)| named)
}

/// The handle in an address, as text. What is no text is the handle of nobody.
#[derive(Debug)]
pub struct HandlePath(pub String);

impl<S: Send + Sync> FromRequestParts<S> for HandlePath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        path(parts).await.map(Self).ok_or_else(not_text)
    }
}

/// An identity in an address. What is none names nothing that is there.
#[derive(Debug)]
pub struct IdPath(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for IdPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let id = path(parts).await.map(Self);
        id.ok_or(ApiError::NoSuch("thing"))
    }
}

/// A channel's handle and an identity in an address.
#[derive(Debug)]
pub struct HandleAndId(pub String, pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for HandleAndId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let (handle, id): (String, String) = path(parts).await.ok_or_else(not_text)?;
        let id = id.parse().map_err(|_| ApiError::NoSuch("thing"))?;
        Ok(Self(handle, id))
    }
}

/// Two handles in an address: a channel's and a person's.
#[derive(Debug)]
pub struct TwoHandles(pub String, pub String);

impl<S: Send + Sync> FromRequestParts<S> for TwoHandles {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let (channel, member) = path(parts).await.ok_or_else(not_text)?;
        Ok(Self(channel, member))
    }
}

/// A channel's handle and another text in an address.
#[derive(Debug)]
pub struct HandleAndText(pub String, pub String);

impl<S: Send + Sync> FromRequestParts<S> for HandleAndText {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let (handle, text) = path(parts).await.ok_or_else(not_text)?;
        Ok(Self(handle, text))
    }
}

fn not_text() -> ApiError {
    ApiError::ChannelNotFound("\u{FFFD}".into())
}

/// What stands after the question mark of an address.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(params)| Self(params))
            .map_err(|error| ApiError::BadRequest(format!("{}.", error.body_text())))
    }
}
