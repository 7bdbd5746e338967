//! The small traits through which roles know each other.

use std::net::SocketAddr;
use std::sync::Arc;

use api::Store;
use api::delivery::{Delivery, Viewers};
use api::keyring::{KeyError, Keyring};
use api::publishers::Publishers;
use api::webhooks::{Kind, Webhooks};
use chat::{Audience, Channels, Event};
use ingest::Play;
use ingest::gate::{Answer, Permit, PublishGate, Refusal, SecondPublisher};
use ingest::rtmp::Secret;
use ingest::theatre::Theatre;
use uuid::Uuid;
use wire::{BroadcastId, ChannelId, Handle, StreamKeyId};

/// Publishers are let in by the API's keyring.
#[derive(Clone, Debug)]
pub struct KeyGate(pub Arc<Keyring>);

impl PublishGate for KeyGate {
    fn authorize<'a>(&'a self, key: &'a Secret, peer: SocketAddr) -> Answer<'a> {
        Box::pin(async move {
            let owner =
                self.0
                    .owner(key.expose(), peer.ip())
                    .await
                    .map_err(|error| match error {
                        KeyError::Unknown => Refusal::UnknownKey,
                        KeyError::Revoked | KeyError::OwnerMayNot => Refusal::NotAllowed,
                        KeyError::TooManyAttempts => Refusal::TooManyAttempts,
                        KeyError::Unavailable => Refusal::Unavailable,
                    })?;
            Ok(Permit {
                key: StreamKeyId::from_uuid(owner.key),
                channel: owner.channel,
                handle: owner.handle,
                second_publisher: if owner.second_replaces {
                    SecondPublisher::Replace
                } else {
                    SecondPublisher::Refuse
                },
            })
        })
    }
}

/// Rooms are those of the API's channels.
#[derive(Clone, Debug)]
pub struct Doorplates(pub Store);

impl Channels for Doorplates {
    fn find<'a>(&'a self, handle: &'a Handle) -> chat::service::Answer<'a, Option<ChannelId>> {
        Box::pin(async move {
            if let Some(channel) = self.0.channel(handle).await? {
                return Ok(Some(channel.id));
            }
            let Some(present) = self.0.renamed(handle).await? else {
                return Ok(None);
            };
            let channel = self.0.channel(&present).await?;
            Ok(channel.map(|channel| channel.id))
        })
    }

    fn emotes(&self, channel: ChannelId) -> chat::service::Answer<'_, chat::Emotes> {
        Box::pin(async move {
            let emotes = self.0.emotes(channel).await?;
            let emotes = emotes.into_iter().map(|emote| (emote.code, emote.id));
            Ok(emotes.collect())
        })
    }
}

/// Other programs are told what is said.
#[derive(Clone, Debug)]
pub struct Correspondents(pub Arc<Webhooks>);

impl Audience for Correspondents {
    fn kept(&self, rows: &[chat::store::Row]) {
        for row in rows {
            let kind = match row.item.event {
                Event::Danmaku(_) => Kind::DanmakuSent,
                Event::Deleted { .. } => Kind::DanmakuDeleted,
                Event::Broadcast(_)
                | Event::Emotes
                | Event::Clock { .. }
                | Event::Count { .. }
                | Event::Degraded { .. } => continue,
            };
            if !self.0.wants(row.channel, kind) {
                continue;
            }
            let mut item = serde_json::to_value(&row.item).expect("items are plain data");
            item["e"] = row.epoch.into();
            self.0.hear(row.channel, kind, item);
        }
    }
}

/// Publishers come on stage in the theatre, and leave it there.
#[derive(Clone, Debug)]
pub struct Stage(pub Arc<Theatre>);

impl Publishers for Stage {
    fn show_out(&self, stream_key: Uuid, reason: &str) -> bool {
        self.0.show_out(StreamKeyId::from_uuid(stream_key), reason)
    }

    fn end(&self, channel: ChannelId, reason: &str) -> bool {
        self.0.end_channel(channel, reason)
    }
}

/// Viewers are served by the packager and by the shards.
#[derive(Clone)]
pub struct Delivered {
    /// Over HLS.
    pub hls: Arc<hls::Service>,
    /// Over RTMP, HTTP-FLV and WebSocket-FLV.
    pub play: Arc<Play>,
}

impl Delivery for Delivered {
    fn viewers(&self, broadcast: BroadcastId) -> Viewers {
        let hls = self.hls.viewers(broadcast);
        let ingest::play::Viewers { flv, rtmp } = self.play.viewers(broadcast);
        Viewers {
            hls,
            flv,
            rtmp,
            total: hls + flv + rtmp,
        }
    }

    fn dropped_frames(&self, broadcast: BroadcastId) -> u64 {
        self.hls
            .stats(broadcast)
            .map_or(0, |stats| stats.packager.dropped_frames)
    }

    fn measure(&self) {
        for (number, shard) in self.play.shards().stats().into_iter().enumerate() {
            let number = number.to_string();
            metrics::gauge!("barrage_shard_connections", "shard" => number.clone())
                .set(shard.connections as f64);
            metrics::gauge!("barrage_shard_window_seconds", "shard" => number.clone())
                .set(shard.window.as_secs_f64());
            metrics::gauge!("barrage_shard_load", "shard" => number.clone()).set(shard.load);
            metrics::counter!("barrage_shard_restarts_total", "shard" => number)
                .absolute(shard.restarts as u64);
        }
    }
}
