//! What is live.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use jiff::Timestamp;
use kit::stream::{Broadcast, Phase, TrackStats};
use media::flv::is_known;
use media::{TrackConfig, WallTime, fmp4};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;
use wire::Handle;

use super::AppState;
use super::channels::SecondPublisher;
use super::problems::{self, Problem};
use super::request::HandlePath;
use crate::delivery::Viewers;
use crate::error::{ApiError, ErrorBody};
use crate::store::channels::Channel;
use crate::store::users::User;

/// Everything that is live.
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamList {
    /// The server's clock, in milliseconds since the Unix epoch.
    server_time_ms: i64,
    /// Live broadcasts, oldest first.
    streams: Vec<Stream>,
}

/// A live broadcast.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stream {
    /// Its identity; a channel that goes live again has another.
    broadcast_id: String,
    /// Whose it is.
    channel: ChannelView,
    /// What is on.
    title: String,
    /// Whether somebody publishes.
    state: StreamState,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// Milliseconds since then.
    uptime_ms: i64,
    /// How it is published.
    #[schema(example = "rtmp")]
    protocol: &'static str,
    /// What the publisher calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    encoder: Option<String>,
    /// Pictures, once there are any.
    video: Option<Video>,
    /// Sound, once there is any.
    audio: Option<Audio>,
    /// Frames that came and could not be delivered.
    dropped_frames: u64,
    /// Who watches.
    viewers: Viewers,
    /// Where to watch.
    playback: Playback,
    /// A still picture that is not older than some seconds, if the server makes any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/api/v1/streams/stage/thumbnail.jpg?v=1")]
    thumbnail: Option<String>,
    /// What is the matter with it, worst first.
    problems: Vec<Problem>,
}

/// Whether somebody publishes.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StreamState {
    /// Somebody does.
    Live,
    /// The publisher vanished and may return.
    Waiting,
}

/// A channel.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChannelView {
    /// Its identity.
    id: String,
    /// Its name in addresses.
    handle: String,
    /// Its name for people.
    name: String,
    /// What is on.
    title: String,
    /// What kind of thing is on, in the streamer's words; may be empty.
    category: String,
    /// What it can be found by.
    tags: Vec<String>,
    /// The language spoken, as BCP 47 writes it; may be empty.
    language: String,
    /// What happens when somebody publishes while somebody does.
    second_publisher: SecondPublisher,
    /// Whether pictures with B-frames are made anew for viewers over WebRTC, while somebody watches.
    transcodes: bool,
}

impl From<&Channel> for ChannelView {
    fn from(channel: &Channel) -> Self {
        Self {
            id: channel.id.to_string(),
            handle: channel.handle.to_string(),
            name: channel.name.clone(),
            title: channel.title.clone(),
            category: channel.category.clone(),
            tags: channel.tags.clone(),
            language: channel.language.clone(),
            second_publisher: if channel.second_replaces {
                SecondPublisher::Replace
            } else {
                SecondPublisher::Refuse
            },
            transcodes: channel.transcodes,
        }
    }
}

/// The pictures of a broadcast.
#[derive(Debug, Serialize, ToSchema)]
pub struct Video {
    /// As RFC 6381 writes it.
    #[schema(example = "avc1.64001f")]
    codec: String,
    /// Pixels across.
    width: u32,
    /// Pixels down.
    height: u32,
    /// Pictures a second over the last seconds.
    fps: f64,
    /// Bits a second over the last seconds.
    bitrate_bps: u64,
    /// Milliseconds between the last two keyframes; zero before there are two.
    keyframe_interval_ms: u64,
    /// Pictures so far.
    frames: u64,
}

/// The sound of a broadcast.
#[derive(Debug, Serialize, ToSchema)]
pub struct Audio {
    /// As RFC 6381 writes it.
    #[schema(example = "mp4a.40.2")]
    codec: String,
    /// Samples a second.
    sample_rate: u32,
    /// Channels.
    channels: u8,
    /// Bits a second over the last seconds.
    bitrate_bps: u64,
    /// Frames so far.
    frames: u64,
}

/// Where to watch.
#[derive(Debug, Serialize, ToSchema)]
pub struct Playback {
    /// The HLS playlist to open.
    #[schema(example = "/hls/stage/index.m3u8")]
    hls: String,
    /// FLV without end, over HTTP and over WebSocket.
    #[schema(example = "/live/stage.flv")]
    flv: String,
    /// Where an offer is sent to watch over WebRTC (WHEP), while that is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/whep/stage")]
    whep: Option<String>,
    /// Whether they are given pictures that are made anew, because the publisher's have B-frames.
    whep_anew: bool,
    /// Which of these have sound alone, because their players do not take the codec of the pictures.
    /// WebRTC has both.
    sound_alone: Vec<Outlet>,
}

/// A way to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outlet {
    /// LL-HLS.
    Hls,
    /// FLV, and RTMP.
    Flv,
}

/// Every live broadcast.
#[utoipa::path(
    get,
    path = "/api/v1/streams",
    tag = "streams",
    responses(
        (status = 200, description = "What is live.", body = StreamList),
        (status = 503, description = "The database does not answer.", body = ErrorBody),
    )
)]
pub async fn list(State(state): State<AppState>) -> Result<impl IntoResponse, ApiError> {
    let live = state.streams.all();
    let ids: Vec<_> = live.iter().map(|broadcast| broadcast.channel).collect();
    let found = in_time(state.store.channels_by_id(&ids)).await;
    if let Ok(channels) = &found {
        state.watched.keep(&state.streams, channels);
    }
    let streams: Vec<Stream> = live
        .iter()
        .filter_map(|broadcast| {
            let channel = state
                .watched
                .recall(&state.streams, broadcast.handle.as_str())?;
            Some(view(&state, broadcast, &channel))
        })
        .collect();
    // What is known is better than nothing; a part of it would say that the others are not live.
    if streams.len() < live.len() {
        found?;
    }
    Ok(uncached(StreamList {
        server_time_ms: now_ms(),
        streams,
    }))
}

/// A still picture of a live broadcast, not older than some seconds.
#[utoipa::path(
    get,
    path = "/api/v1/streams/{handle}/thumbnail.jpg",
    tag = "streams",
    params(("handle" = String, Path, description = "The channel's handle.", example = "stage")),
    responses(
        (status = 200, description = "The picture.", body = Vec<u8>, content_type = "image/jpeg"),
        (status = 404, description = "No such channel, it is not live, or there is no picture of it.", body = ErrorBody),
        (status = 503, description = "The database does not answer.", body = ErrorBody),
    )
)]
pub async fn show_thumbnail(
    State(state): State<AppState>,
    HandlePath(handle): HandlePath,
) -> Result<impl IntoResponse, ApiError> {
    let channel = find_watched(&state, &handle, find_channel(&state, &handle)).await?;
    let broadcast = state
        .streams
        .of_channel(channel.id)
        .ok_or(ApiError::NotLive(handle))?;
    let picture = state.thumbnails.picture(&broadcast).await;
    let picture = picture.ok_or(ApiError::NoSuch("picture"))?;
    let headers = [
        (header::CONTENT_TYPE, "image/jpeg"),
        (header::CACHE_CONTROL, "public, max-age=5"),
    ];
    Ok((headers, picture))
}

/// One live broadcast.
#[utoipa::path(
    get,
    path = "/api/v1/streams/{handle}",
    tag = "streams",
    params(("handle" = String, Path, description = "The channel's handle.", example = "stage")),
    responses(
        (status = 200, description = "What the channel broadcasts.", body = Stream),
        (status = 404, description = "No such channel, or it is not live.", body = ErrorBody),
        (status = 503, description = "The database does not answer.", body = ErrorBody),
    )
)]
pub async fn show(
    State(state): State<AppState>,
    HandlePath(handle): HandlePath,
) -> Result<impl IntoResponse, ApiError> {
    let channel = find_watched(&state, &handle, find_channel(&state, &handle)).await?;
    let broadcast = state
        .streams
        .of_channel(channel.id)
        .ok_or(ApiError::NotLive(handle))?;
    Ok(uncached(view(&state, &broadcast, &channel)))
}

/// What a channel broadcasts now.
/// The channel that has this handle.
pub(super) async fn find_channel_here(state: &AppState, handle: &str) -> Result<Channel, ApiError> {
    let not_found =
        || ApiError::ChannelNotFound(handle.chars().take(wire::handle::MAX_LEN).collect());
    let parsed: Handle = handle.parse().map_err(|_| not_found())?;
    state.store.channel(&parsed).await?.ok_or_else(not_found)
}

/// The channel that has this handle, or had it before: programs that know it by that go on working.
pub(super) async fn find_channel(state: &AppState, handle: &str) -> Result<Channel, ApiError> {
    let here = find_channel_here(state, handle).await;
    let (Err(ApiError::ChannelNotFound(_)), Ok(former)) = (&here, handle.parse()) else {
        return here;
    };
    match state.store.renamed(&former).await? {
        Some(now) => find_channel_here(state, now.as_str()).await,
        None => here,
    }
}

/// How long viewers wait for the database before they are told what is known without it.
const WATCH_WITHIN: Duration = Duration::from_secs(2);

/// What `find` finds, for those who watch. While the database does not answer, a channel that is
/// live is told of as it was when it was looked up last.
pub(super) async fn find_watched(
    state: &AppState,
    handle: &str,
    find: impl Future<Output = Result<Channel, ApiError>>,
) -> Result<Channel, ApiError> {
    match in_time(find).await {
        Ok(channel) => {
            state.watched.keep(&state.streams, [&channel]);
            Ok(channel)
        }
        Err(error @ ApiError::Database(_)) => {
            let known = state.watched.recall(&state.streams, handle);
            known.ok_or(error)
        }
        Err(other) => Err(other),
    }
}

/// What comes later than viewers wait for counts as not coming.
async fn in_time<T, E: From<sqlx::Error>>(
    find: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let found = timeout(WATCH_WITHIN, find).await;
    found.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into()))
}

pub(super) async fn find_user(state: &AppState, handle: &str) -> Result<User, ApiError> {
    let not_found = || ApiError::UserNotFound(handle.chars().take(wire::handle::MAX_LEN).collect());
    let parsed: Handle = handle.parse().map_err(|_| not_found())?;
    state.store.user(&parsed).await?.ok_or_else(not_found)
}

pub(super) fn view(state: &AppState, broadcast: &Broadcast, channel: &Channel) -> Stream {
    let stats = broadcast.stats();
    let whep = state.webrtc.shows_live;
    Stream {
        broadcast_id: broadcast.id.to_string(),
        channel: channel.into(),
        title: channel.title.clone(),
        state: match broadcast.phase() {
            Phase::Live => StreamState::Live,
            Phase::Waiting | Phase::Ended => StreamState::Waiting,
        },
        started_at: timestamp(broadcast.began_at),
        uptime_ms: kit::clock::now().since(broadcast.began_at) / 1000,
        protocol: stats.protocol.as_str(),
        encoder: stats.encoder.clone(),
        video: stats.video.as_ref().and_then(video),
        audio: stats.audio.as_ref().and_then(audio),
        dropped_frames: stats.dropped_frames + state.delivery.dropped_frames(broadcast.id),
        viewers: state.delivery.viewers(broadcast.id),
        playback: Playback {
            hls: format!("/hls/{}/index.m3u8", channel.handle),
            flv: format!("/live/{}.flv", channel.handle),
            whep: whep.then(|| format!("/whep/{}", channel.handle)),
            whep_anew: whep && problems::makes_anew(broadcast, state.webrtc),
            sound_alone: sound_alone(stats.video.as_ref()),
        },
        thumbnail: thumbnail(state, broadcast, channel),
        problems: problems::of(
            broadcast,
            &stats,
            state.webrtc,
            state.delivery.transcoding(broadcast.id),
        ),
    }
}

fn sound_alone(video: Option<&TrackStats>) -> Vec<Outlet> {
    let Some(video) = video else {
        return Vec::new();
    };
    let carried = [
        (Outlet::Hls, fmp4::carries(&video.config)),
        (Outlet::Flv, is_known(&video.config)),
    ];
    let alone = carried.into_iter().filter(|(_, carried)| !carried);
    alone.map(|(outlet, _)| outlet).collect()
}

/// The address changes with the picture, so that a page that shows it again gets another.
fn thumbnail(state: &AppState, broadcast: &Broadcast, channel: &Channel) -> Option<String> {
    state.thumbnails.decoder().ok()?;
    let video = broadcast.stats().video?;
    if !fmp4::carries(&video.config) {
        return None;
    }
    let age = u64::try_from(kit::clock::now().since(broadcast.began_at) / 1000).unwrap_or(0);
    let version = age / state.thumbnails.every_ms().max(1);
    Some(format!(
        "/api/v1/streams/{}/thumbnail.jpg?v={}-{version}",
        channel.handle, broadcast.id
    ))
}

fn video(stats: &TrackStats) -> Option<Video> {
    let TrackConfig::Video(config) = &*stats.config else {
        return None;
    };
    let (width, height) = config.resolution();
    Some(Video {
        codec: config.codec_string(),
        width,
        height,
        fps: (stats.fps * 100.0).round() / 100.0,
        bitrate_bps: stats.bitrate_bps,
        keyframe_interval_ms: stats.keyframe_interval_ms,
        frames: stats.frames,
    })
}

fn audio(stats: &TrackStats) -> Option<Audio> {
    let TrackConfig::Audio(config) = &*stats.config else {
        return None;
    };
    Some(Audio {
        codec: config.codec_string(),
        sample_rate: config.sample_rate(),
        channels: config.channels(),
        bitrate_bps: stats.bitrate_bps,
        frames: stats.frames,
    })
}

pub(super) fn timestamp(at: WallTime) -> Timestamp {
    Timestamp::from_microsecond(at.as_micros()).unwrap_or(Timestamp::UNIX_EPOCH)
}

pub(super) fn now_ms() -> i64 {
    kit::clock::now().as_micros() / 1000
}

pub(super) fn uncached<T: Serialize>(body: T) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], Json(body))
}
