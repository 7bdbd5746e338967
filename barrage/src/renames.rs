//! Sends those who ask for a channel by a handle that it had before to where it is now, and tells
//! those who ask for one that nobody has.

use api::Store;
use api::store::handles::Whereabouts;
use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use wire::Handle;

/// Wraps the pages and playlists of `router`.
pub fn follow(router: Router, store: Store) -> Router {
    router.layer(from_fn(move |request: Request, next: Next| {
        let store = store.clone();
        async move {
            let named = named(request.uri().path()).filter(|_| request.method() == Method::GET);
            let Some((handle, is_page)) = named else {
                return next.run(request).await;
            };
            if is_page {
                page(&store, &handle, request, next).await
            } else {
                playlist(&store, &handle, request, next).await
            }
        }
    }))
}

/// A page is there for every handle; what it says of one that nobody has is not found.
async fn page(store: &Store, handle: &Handle, mut request: Request, next: Next) -> Response {
    match store.whereabouts(handle).await {
        Ok(Whereabouts::Moved(now)) => redirect(request.uri(), handle, &now),
        Ok(Whereabouts::Nowhere) => {
            request.headers_mut().remove(header::IF_NONE_MATCH);
            let mut response = next.run(request).await;
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
        Ok(Whereabouts::Here) | Err(_) => next.run(request).await,
    }
}

/// A playlist that is there needs no other.
async fn playlist(store: &Store, handle: &Handle, request: Request, next: Next) -> Response {
    let uri = request.uri().clone();
    let response = next.run(request).await;
    if response.status() != StatusCode::NOT_FOUND {
        return response;
    }
    match store.renamed(handle).await {
        Ok(Some(now)) => redirect(&uri, handle, &now),
        Ok(None) | Err(_) => response,
    }
}

/// The handle that an address names, and whether it is that of a page.
fn named(path: &str) -> Option<(Handle, bool)> {
    if let Some(rest) = path.strip_prefix("/@") {
        return Some((rest.parse().ok()?, true));
    }
    let playlist = || path.strip_prefix("/hls/")?.strip_suffix("/index.m3u8");
    let live = || path.strip_prefix("/live/")?.strip_suffix(".flv");
    let handle = playlist().or_else(live)?;
    Some((handle.parse().ok()?, false))
}

fn redirect(uri: &axum::http::Uri, from: &Handle, to: &Handle) -> Response {
    let path = uri.path().replacen(from.as_str(), to.as_str(), 1);
    let query = uri.query().map(|query| format!("?{query}"));
    let location = format!("{path}{}", query.unwrap_or_default());
    let headers = [
        (header::LOCATION, location),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (StatusCode::PERMANENT_REDIRECT, headers).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_playlists_name_a_channel() {
        let named = |path| named(path).map(|(handle, page)| (handle.to_string(), page));
        assert_eq!(named("/@stage"), Some(("stage".into(), true)));
        assert_eq!(
            named("/hls/stage/index.m3u8"),
            Some(("stage".into(), false))
        );
        assert_eq!(named("/@../x"), None);
        assert_eq!(named("/hls/stage/x/video.m3u8"), None);
        assert_eq!(named("/assets/a.js"), None);
    }

    #[test]
    fn only_the_handle_changes() {
        let uri = "/hls/old_hls/index.m3u8?a=old_hls".parse().unwrap();
        let response = redirect(&uri, &"old_hls".parse().unwrap(), &"now".parse().unwrap());
        assert_eq!(
            response.headers()[header::LOCATION],
            "/hls/now/index.m3u8?a=old_hls"
        );
    }
}
