//! The web app, embedded. Its build leaves compressed twins (`.br`, `.gz`) beside each text file,
//! and puts a hash into the name of everything under `assets/`.

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "../web/dist"]
struct Dist;

/// The page every address of the app opens.
const INDEX: &str = "index.html";

/// A name with a hash in it never names other bytes.
const FOREVER: &str = "public, max-age=31536000, immutable";
/// Everything else is asked for anew, and answered by its tag if it did not change.
const REVALIDATE: &str = "no-cache";

/// What a page of ours may load and do: nothing from elsewhere, no script or style in the page
/// itself. Media comes through `blob:` (Media Source Extensions), and so does a picture that somebody
/// is about to upload.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; img-src 'self' blob:; media-src 'self' blob:; \
    object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Serves the web app.
pub fn router() -> Router {
    Router::new()
        .route(
            "/",
            get(|headers: HeaderMap| async move { page(&headers, StatusCode::OK) }),
        )
        .route("/{*path}", get(file))
}

/// The first parts of the addresses that the app has pages for, besides `/` and `/@handle`.
const PAGES: [&str; 6] = [
    "account", "admin", "recover", "sign-in", "sign-up", "studio",
];

async fn file(Path(path): Path<String>, headers: HeaderMap) -> Response<Body> {
    if let Some(handle) = path.strip_prefix('@') {
        let status = match handle.parse::<wire::Handle>() {
            Ok(_) => StatusCode::OK,
            Err(_) => StatusCode::NOT_FOUND,
        };
        return page(&headers, status);
    }
    if path != INDEX
        && !path.ends_with(".br")
        && !path.ends_with(".gz")
        && Dist::get(&path).is_some()
    {
        let cache = if path.starts_with("assets/") {
            FOREVER
        } else {
            REVALIDATE
        };
        return send(&path, cache, &headers, StatusCode::OK);
    }
    if path.starts_with("assets/") {
        return StatusCode::NOT_FOUND.into_response();
    }
    let first = path.split('/').next().unwrap_or_default();
    if PAGES.contains(&first) {
        return page(&headers, StatusCode::OK);
    }
    page(&headers, StatusCode::NOT_FOUND)
}

fn page(headers: &HeaderMap, status: StatusCode) -> Response<Body> {
    let mut response = send(INDEX, REVALIDATE, headers, status);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(CONTENT_SECURITY_POLICY),
    );
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

fn send(
    path: &str,
    cache: &'static str,
    headers: &HeaderMap,
    status: StatusCode,
) -> Response<Body> {
    let (file, encoding) = best_encoding(path, headers);
    let Some(file) = file else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let etag = format!(
        "\"{}\"",
        wire::hex::encode(&file.metadata.sha256_hash()[..16])
    );
    let mut builder = Response::builder()
        .header(header::CACHE_CONTROL, cache)
        .header(header::ETAG, &etag)
        .header(header::VARY, "Accept-Encoding")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    let matches = |value: &HeaderValue| value.as_bytes() == etag.as_bytes();
    if status == StatusCode::OK && headers.get(header::IF_NONE_MATCH).is_some_and(matches) {
        return with_status(builder, StatusCode::NOT_MODIFIED, Body::empty());
    }
    if let Some(encoding) = encoding {
        builder = builder.header(header::CONTENT_ENCODING, encoding);
    }
    let mime = mime_guess::from_path(path).first_or_octet_stream();
    let mime = match mime.type_() {
        mime_guess::mime::TEXT => format!("{mime}; charset=utf-8"),
        _ => mime.to_string(),
    };
    let body = match file.data {
        std::borrow::Cow::Borrowed(bytes) => Body::from(bytes),
        std::borrow::Cow::Owned(bytes) => Body::from(bytes),
    };
    with_status(builder.header(header::CONTENT_TYPE, mime), status, body)
}

fn with_status(
    builder: axum::http::response::Builder,
    status: StatusCode,
    body: Body,
) -> Response<Body> {
    builder
        .status(status)
        .body(body)
        .expect("every header value is plain ASCII")
}

fn best_encoding(
    path: &str,
    headers: &HeaderMap,
) -> (Option<rust_embed::EmbeddedFile>, Option<&'static str>) {
    let accepted = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|v| v.to_str().ok())
        .unwrap_or("");
    for (coding, suffix) in [("br", ".br"), ("gzip", ".gz")] {
        if accepts(accepted, coding)
            && let Some(file) = Dist::get(&format!("{path}{suffix}"))
        {
            return (Some(file), Some(coding));
        }
    }
    (Dist::get(path), None)
}

/// Whether an `Accept-Encoding` lets `coding` through (RFC 9110 §12.5.3).
fn accepts(accepted: &str, coding: &str) -> bool {
    accepted.split(',').any(|item| {
        let (name, weight) = item.split_once(';').unwrap_or((item, ""));
        let refused = weight
            .trim()
            .strip_prefix("q=")
            .and_then(|q| q.parse::<f32>().ok())
            == Some(0.0);
        name.trim().eq_ignore_ascii_case(coding) && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_is_used_only_if_the_client_takes_it() {
        assert!(accepts("gzip, deflate, br", "br"));
        assert!(accepts("gzip;q=0.5", "gzip"));
        assert!(!accepts("gzip;q=0", "gzip"));
        assert!(!accepts("identity", "br"));
        assert!(!accepts("", "gzip"));
    }
}
