//! The addresses of LL-HLS.
//!
//! `/hls/{handle}/index.m3u8` is the entry; everything it points to stands below
//! `/hls/b/{broadcast}/`, where no address ever means other bytes. `b` is too short for a handle.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Path, RawQuery, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use axum::routing::get;
use media::TrackKind;
use wire::{BroadcastId, Handle};

use crate::live::Live;
use crate::presentation::{Edge, Lookup};
use crate::service::Service;
use respond::{Caching, Refusal};

mod query;
mod respond;
#[cfg(test)]
mod tests;

/// How long an entry is held until it is known which tracks there are.
const ENTRY_WAIT: Duration = Duration::from_secs(5);

/// How far ahead of the newest part a request may ask within a segment (§6.2.5.2).
const ADVANCE_US: i64 = 3_000_000;

impl Service {
    /// The routes, to be merged into the server's.
    pub fn router(self: &Arc<Self>) -> axum::Router {
        axum::Router::new()
            .route("/hls/{handle}/index.m3u8", get(entry))
            .route("/hls/b/{broadcast}/{playlist}", get(playlist))
            .route("/hls/b/{broadcast}/{track}/{file}", get(file))
            .with_state(Arc::clone(self))
    }
}

/// The multivariant playlist, as soon as there is something to play.
async fn entry(
    State(service): State<Arc<Service>>,
    Path(handle): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let handle: Handle = handle.parse().map_err(|_| Refusal::NotFound)?;
    let live = service
        .live_of_handle(handle.as_str())
        .ok_or(Refusal::NotLive)?;
    if live.is_over() {
        return Err(Refusal::NotLive);
    }
    wait(&service, &live, None, ENTRY_WAIT, |live| {
        live.look(|all| all.ready)
    })
    .await?;
    let rendered = live.multivariant_playlist().ok_or(Refusal::NotYet)?;
    Ok(respond::playlist(&rendered, &headers, Caching::Live))
}

/// A media playlist; with directives in the query, as soon as it has what they ask for.
async fn playlist(
    State(service): State<Arc<Service>>,
    Path((broadcast, name)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Refusal> {
    let kind = match name.as_str() {
        "video.m3u8" => TrackKind::Video,
        "audio.m3u8" => TrackKind::Audio,
        _ => return Err(Refusal::NotFound),
    };
    let live = find(&service, &broadcast)?;
    let directives = query::parse(query.as_deref().unwrap_or_default())?;
    note_viewer(&live, &request);
    let exists = |live: &Live| live.look(|all| all.rendition(kind).is_some());
    if !exists(&live) {
        // Perhaps it is about to: then its first playlist is worth a wait.
        wait(&service, &live, None, ENTRY_WAIT, |live| {
            exists(live) || live.look(|all| all.ready)
        })
        .await?;
    }
    let patience = Duration::from_secs(u64::from(service.config.target_duration_s) * 3);
    if let Some((msn, part)) = directives.block {
        let next = live.look(|all| Some((all.rendition(kind)?.next_part(), all.part_target_us)));
        let (next, part_us) = next.ok_or(Refusal::NotFound)?;
        // §6.2.5.2: what is that far ahead is a mistake, and waiting for it would be one too.
        let parts_ahead = (ADVANCE_US / part_us.clamp(1, ADVANCE_US)).unsigned_abs();
        let far = Edge {
            msn: next.msn,
            part: next.part + parts_ahead,
        };
        let wanted = Edge {
            msn,
            part: part.unwrap_or(0),
        };
        if !live.is_over() && (msn > next.msn + 2 || (msn == next.msn && wanted > far)) {
            return Err(Refusal::BadRequest("what is asked for is too far ahead"));
        }
        let shown =
            |live: &Live| live.look(|all| all.rendition(kind).is_none_or(|r| r.shows(msn, part)));
        wait(&service, &live, Some(kind), patience, shown).await?;
    }
    let rendered = live
        .media_playlist(kind, directives.form)
        .ok_or(Refusal::NotFound)?;
    let target = live.config.target_duration_s;
    let caching = if directives.block.is_some() {
        Caching::Blocking(target)
    } else {
        Caching::Live
    };
    Ok(respond::playlist(&rendered, request.headers(), caching))
}

/// An init segment, a segment or a part; the part that comes next as soon as it is there.
async fn file(
    State(service): State<Arc<Service>>,
    Path((broadcast, track, name)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let kind = match track.as_str() {
        "video" => TrackKind::Video,
        "audio" => TrackKind::Audio,
        _ => return Err(Refusal::NotFound),
    };
    let wanted = query::file_name(&name).ok_or(Refusal::NotFound)?;
    let live = find(&service, &broadcast)?;
    let bodies = match wanted {
        query::File::Init(number) => live
            .look(|all| all.rendition(kind)?.init(number))
            .map(|init| vec![init]),
        query::File::Segment(msn) => live.look(|all| {
            let segment = all.rendition(kind)?.segment(msn)?;
            let whole = segment.complete && !segment.is_gap();
            whole.then(|| segment.parts.iter().map(|part| part.data.clone()).collect())
        }),
        query::File::Part(at) => part(&service, &live, kind, at)
            .await?
            .map(|part| vec![part]),
    };
    Ok(respond::media(
        bodies.ok_or(Refusal::NotFound)?,
        kind,
        &headers,
    ))
}

async fn part(
    service: &Arc<Service>,
    live: &Live,
    kind: TrackKind,
    at: Edge,
) -> Result<Option<bytes::Bytes>, Refusal> {
    let find = |live: &Live| {
        live.look(|all| {
            all.rendition(kind)
                .map_or(Lookup::Nowhere, |rendition| rendition.part(at))
        })
    };
    if find(live) == Lookup::Next {
        let patience = Duration::from_secs(u64::from(service.config.target_duration_s) * 3);
        // It comes, or its segment ends without it.
        wait(service, live, Some(kind), patience, |live| {
            find(live) != Lookup::Next
        })
        .await?;
    }
    Ok(match find(live) {
        Lookup::Here(part) => Some(part),
        Lookup::Next | Lookup::Nowhere => None,
    })
}

/// Waits until `until` holds, which may only change when the broadcast's playlists do.
async fn wait(
    service: &Arc<Service>,
    live: &Live,
    kind: Option<TrackKind>,
    patience: Duration,
    until: impl Fn(&Live) -> bool,
) -> Result<(), Refusal> {
    if until(live) || live.is_over() {
        return Ok(());
    }
    let _waiting = service.wait().ok_or(Refusal::Busy)?;
    let mut changed = live.watch(kind);
    let holds =
        async { while !until(live) && !live.is_over() && changed.changed().await.is_ok() {} };
    tokio::time::timeout(patience, holds)
        .await
        .map_err(|_| Refusal::NotYet)
}

fn find(service: &Service, broadcast: &str) -> Result<Arc<Live>, Refusal> {
    let id: BroadcastId = broadcast.parse().map_err(|_| Refusal::NotFound)?;
    service.live(id).ok_or(Refusal::NotFound)
}

fn note_viewer(live: &Live, request: &Request) {
    let address: Option<IpAddr> = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|ConnectInfo(address)| address.ip());
    let program = request.headers().get(header::USER_AGENT);
    live.viewers
        .note(address, program.map_or(&[], |program| program.as_bytes()));
}
