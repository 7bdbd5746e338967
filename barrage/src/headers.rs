//! What every answer tells browsers to be careful about.

use std::net::SocketAddr;
use std::time::Instant;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use axum::middleware::{Next, from_fn};
use kit::client::Client;

use crate::config::Config;
use crate::http::REFUSALS;

/// Half a year; without the subdomains, which are not ours to speak for.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=15552000");

/// As much of a path as stands in the log.
const PATH_CHARS_MAX: usize = 200;

const ALWAYS: [(HeaderName, HeaderValue); 3] = [
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static(
            "camera=(self), microphone=(self), display-capture=(self), geolocation=()",
        ),
    ),
];

/// Adds them to every answer of `router`.
pub fn add(router: Router, config: &Config) -> Router {
    // Only where people are meant to use https: who tries the certificate of our own for once
    // must not be kept from http afterwards.
    let strict = config
        .public_origin()
        .is_some_and(|origin| origin.starts_with("https://"));
    router.layer(from_fn(move |request: Request, next: Next| async move {
        let client = request.extensions().get::<Client>();
        let (addr, secure) = client.map_or((None, false), |client| {
            (Some(client.addr), client.is_secure())
        });
        let asked = request.uri().clone();
        let mut response: Response<_> = next.run(request).await;
        if response.status() == StatusCode::BAD_REQUEST {
            tell_refused(addr, asked.path());
        }
        let headers = response.headers_mut();
        for (name, value) in ALWAYS {
            headers.entry(name).or_insert(value);
        }
        if strict && secure {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
        }
        response
    }))
}

/// Requests that make no sense are told with who made them. What else is refused is in the metrics,
/// and what concerns an account is told where that is known.
fn tell_refused(addr: Option<SocketAddr>, path: &str) {
    if let Some(left_out) = REFUSALS.take(Instant::now()) {
        let path: String = path.chars().take(PATH_CHARS_MAX).collect();
        tracing::info!(
            client.addr = addr.map(tracing::field::display),
            path,
            left_out,
            "refused a request"
        );
    }
}
