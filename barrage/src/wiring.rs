//! The small traits through which roles know each other.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use api::Store;
use api::delivery::{
    Delivery, Peer, PeerDump, PeerEvent, PeerSeen, PeerTrack, Transcoding, Viewers,
};
use api::giving::{Ask, Giving, NotGiven, WalletView};
use api::keyring::{KeyError, Keyring};
use api::publishers::Publishers;
use api::rooms::{Later, Name, NotSaid, Replay, Rooms, Wanted, Words};
use api::unfit::Unfit;
use api::webhooks::{Kind, Webhooks};
use chat::{Audience, Channels, Event, saying};
use gifts::gate::Balance;
use gifts::relay::News;
use ingest::Play;
use ingest::gate::{Answer, Permit, PublishGate, Refusal, SecondPublisher};
use ingest::publisher::Publisher;
use ingest::rtmp::Secret;
use ingest::stage::Leaving;
use ingest::theatre::{Exit, Theatre, Why};
use kit::rendition::{Fare, Renditions};
use kit::stream::{Broadcast, Protocol};
use media::MediaTime;
use sfu_core::assemble::Unit;
use tokio::task::AbortHandle;
use uuid::Uuid;
use wire::{BroadcastId, ChannelId, Handle, Person, StreamId, StreamKeyId, UserId};

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
                transcodes: owner.transcodes,
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
                | Event::Removed(_)
                | Event::Clock { .. }
                | Event::Count { .. }
                | Event::Joined { .. }
                | Event::Followed { .. }
                | Event::Shared { .. }
                | Event::Gift(_)
                | Event::TakenBack { .. }
                | Event::Gifting { .. }
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

/// The API asks the rooms of the chat service.
#[derive(Debug)]
pub struct Parlour(pub Arc<chat::Service>);

impl Rooms for Parlour {
    fn people(&self, channel: ChannelId, limit: usize) -> (usize, Vec<Name>) {
        let (count, some) = self.0.people(channel, limit);
        let some = some.into_iter().map(|name| Name {
            handle: name.handle,
            name: name.name,
        });
        (count, some.collect())
    }

    fn say<'a>(
        &'a self,
        channel: ChannelId,
        person: &'a Person,
        words: Words,
        key: Option<String>,
    ) -> Later<'a, Result<u64, NotSaid>> {
        Box::pin(async move {
            let send = to_send(words).map_err(|error| NotSaid::Unreadable(error.to_string()))?;
            let said = self.0.say(channel, person, send, key).await;
            said.map_err(|why| match why {
                saying::NotSaid::Unfit(why) => NotSaid::Unfit("text", unfit(why)),
                saying::NotSaid::NotThere => NotSaid::Unfit("reply", Unfit::Gone),
                saying::NotSaid::Otherwise => NotSaid::Unfit("Idempotency-Key", Unfit::Used),
                saying::NotSaid::TooFast(wait) => NotSaid::TooFast(wait),
                saying::NotSaid::Twice | saying::NotSaid::Unavailable => NotSaid::Unavailable,
            })
        })
    }

    fn picture(&self, channel: ChannelId) -> Option<(BroadcastId, i64)> {
        self.0.picture(channel)
    }

    fn replay(&self, wanted: Wanted) -> Later<'_, anyhow::Result<Option<Replay>>> {
        Box::pin(async move {
            let Ok(after) = wanted.after.map(|after| after.parse()).transpose() else {
                return Ok(None);
            };
            let Wanted {
                channel,
                broadcast,
                pictures,
                limit,
                ..
            } = wanted;
            let replay = self.0.replay(channel, broadcast, pictures, after, limit);
            let replay = replay.await?;
            let items = replay.items.iter().map(serde_json::to_value);
            Ok(Some(Replay {
                items: items.collect::<Result<_, _>>()?,
                next: replay.last.map(|last| last.to_string()),
            }))
        })
    }
}

/// The words of a program are those of a member; the answer needs no number.
fn to_send(words: Words) -> serde_json::Result<chat::protocol::Send> {
    let mut words = serde_json::to_value(words)?;
    words["id"] = 0.into();
    serde_json::from_value(words)
}

const fn unfit(why: chat::danmaku::Unfit) -> Unfit {
    match why {
        chat::danmaku::Unfit::Empty => Unfit::Empty,
        chat::danmaku::Unfit::TooLong(max) => Unfit::TooLong(max),
        chat::danmaku::Unfit::TooTall => Unfit::TooTall,
    }
}

/// What is given in rooms goes to the ledger.
#[derive(Clone, Debug)]
pub struct Counter(pub Arc<Giving>);

impl chat::Gifts for Counter {
    fn give<'a>(
        &'a self,
        channel: ChannelId,
        person: &'a Person,
        give: chat::protocol::Give,
        picture: Option<(BroadcastId, i64)>,
    ) -> Later<'a, Result<chat::gifting::Given, chat::gifting::NotGiven>> {
        Box::pin(async move {
            let ask = Ask {
                key: give.key,
                gift: give.gift,
                count: give.count,
                coins: give.coins,
                combo: give.combo,
                text: give.text,
                picture,
            };
            let given = self.0.give(channel, person, ask).await;
            let given = given.map_err(|why| not_given(&why))?;
            Ok(chat::gifting::Given {
                seq: given.seq.unsigned_abs(),
                wallet: wallet(given.wallet),
            })
        })
    }
}

fn not_given(why: &NotGiven) -> chat::gifting::NotGiven {
    use chat::protocol::ErrorCode as Code;
    let (code, retry) = match why {
        NotGiven::Unfit(..) => (Code::Unfit, None),
        NotGiven::NotThere => (Code::NotThere, None),
        NotGiven::SoldOut => (Code::SoldOut, None),
        NotGiven::CannotPay => (Code::CannotPay, None),
        NotGiven::Frozen | NotGiven::Own => (Code::NotAllowed, None),
        NotGiven::Used => (Code::Used, None),
        NotGiven::TooFast(wait) => (Code::TooFast, Some(*wait)),
        NotGiven::Unavailable => (Code::Unavailable, Some(Duration::from_secs(1))),
    };
    chat::gifting::NotGiven {
        code,
        message: why.to_string(),
        retry,
    }
}

const fn wallet(wallet: WalletView) -> chat::protocol::Wallet {
    chat::protocol::Wallet {
        coins: wallet.coins,
        promo: wallet.promo,
        version: wallet.version,
        promo_version: wallet.promo_version,
        frozen: wallet.frozen,
    }
}

/// What is in the ledger is told in rooms.
#[derive(Debug)]
pub struct TownCrier(pub Arc<chat::Service>);

impl gifts::Crier for TownCrier {
    fn tell(&self, channel: ChannelId, news: Vec<News>) -> Later<'_, Vec<bool>> {
        Box::pin(async move {
            // What cannot be read now cannot be read later.
            let mut kept = vec![true; news.len()];
            let (mut places, mut events) = (Vec::new(), Vec::new());
            for (place, news) in news.into_iter().enumerate() {
                match event(news) {
                    Ok(event) => {
                        places.push(place);
                        events.push(event);
                    }
                    Err(error) => tracing::error!(%error, "a gift cannot be told of"),
                }
            }
            let told = self.0.tell_of_ledger(channel, events).await;
            for (place, is_kept) in places.into_iter().zip(told) {
                kept[place] = is_kept;
            }
            kept
        })
    }

    fn tell_balances(&self, user: UserId, balances: Vec<Balance>) {
        self.0.tell_wallet(user, wallet(WalletView::of(&balances)));
    }

    fn tell_health(&self, down_since_ms: Option<i64>) {
        self.0.tell_gifting(down_since_ms);
    }
}

/// News of the ledger as a room knows them.
fn event(news: News) -> serde_json::Result<Event> {
    let seq = news.seq.unsigned_abs();
    match news.what {
        gifts::relay::What::TakenBack { of } => Ok(Event::TakenBack {
            seq,
            of: of.unsigned_abs(),
        }),
        gifts::relay::What::Gift { mut public, combo } => {
            public["seq"] = seq.into();
            if let Some(n) = combo {
                let id = public["combo"].take();
                public["combo"] = serde_json::json!({ "id": id, "n": n });
            }
            serde_json::from_value(public).map(|gift| Event::Gift(Box::new(gift)))
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

/// Publishers over WebRTC come on the same stage as all others.
#[derive(Clone, Debug)]
pub struct Backstage {
    /// Knows the stream keys.
    pub keyring: Arc<Keyring>,
    /// Where they come on stage.
    pub theatre: Arc<Theatre>,
}

impl sfu::publishing::Stage for Backstage {
    fn admit<'a>(
        &'a self,
        key: &'a str,
        peer: SocketAddr,
    ) -> Later<'a, Result<Box<dyn sfu::publishing::Permit>, sfu::publishing::Refusal>> {
        Box::pin(async move {
            let gate = KeyGate(Arc::clone(&self.keyring));
            let key = Secret::new(key);
            let permit = gate.authorize(&key, peer).await;
            let permit = permit.map_err(|refusal| match refusal {
                Refusal::UnknownKey => sfu::publishing::Refusal::UnknownKey,
                Refusal::NotAllowed => sfu::publishing::Refusal::NotAllowed,
                Refusal::TooManyAttempts => sfu::publishing::Refusal::TooManyAttempts,
                Refusal::Unavailable => sfu::publishing::Refusal::Unavailable,
            })?;
            let admitted = Admitted {
                theatre: Arc::clone(&self.theatre),
                permit,
                peer: peer.ip(),
            };
            Ok(Box::new(admitted) as _)
        })
    }
}

/// Somebody who may publish over WebRTC.
struct Admitted {
    theatre: Arc<Theatre>,
    permit: Permit,
    peer: IpAddr,
}

impl sfu::publishing::Permit for Admitted {
    fn handle(&self) -> &Handle {
        &self.permit.handle
    }

    fn is_taken(&self) -> bool {
        self.theatre.is_taken(&self.permit, self.peer)
    }

    fn enter(
        &self,
        on_exit: sfu::publishing::OnExit,
    ) -> Result<Box<dyn sfu::publishing::Publishing>, sfu::publishing::Taken> {
        let (stream, exit) = (StreamId::new(), Arc::<Exit>::default());
        let publisher =
            self.theatre
                .enter(&self.permit, self.peer, stream, &exit, Protocol::WebRtc);
        let publisher = publisher.map_err(|_| sfu::publishing::Taken)?;
        let why = Arc::<OnceLock<Why>>::default();
        let told = Arc::clone(&why);
        let waits = tokio::spawn(async move {
            let reason = exit.told().await;
            let text = match &reason {
                Why::TakenOver => "another publisher took over".to_owned(),
                Why::ShownOut(reason) | Why::Ended(reason) => reason.clone(),
            };
            let _ = told.set(reason);
            on_exit(text);
        });
        Ok(Box::new(Performing {
            theatre: Arc::clone(&self.theatre),
            publisher,
            stream,
            why,
            waits: waits.abort_handle(),
            has_left: false,
        }))
    }
}

/// A publisher over WebRTC, on stage.
struct Performing {
    theatre: Arc<Theatre>,
    publisher: Publisher,
    stream: StreamId,
    /// Why it was told to go.
    why: Arc<OnceLock<Why>>,
    waits: AbortHandle,
    has_left: bool,
}

impl Drop for Performing {
    /// Whatever went wrong, nobody stays on stage who is not there.
    fn drop(&mut self) {
        if !self.has_left {
            sfu::publishing::Publishing::leave(self, sfu::publishing::Leaving::Vanished);
        }
    }
}

impl sfu::publishing::Publishing for Performing {
    fn broadcast(&self) -> &Arc<Broadcast> {
        self.publisher.broadcast()
    }

    fn add(&mut self, micros: i64, unit: Unit) -> Result<MediaTime, String> {
        let added = self
            .publisher
            .frame(&unit.config, micros, unit.key, unit.data);
        added.map_err(|error| error.to_string())
    }

    fn lost(&mut self) {
        self.publisher.note_lost();
    }

    fn fall_silent(&mut self) -> bool {
        let broadcast = self.publisher.broadcast();
        self.theatre.fall_silent(broadcast, self.stream)
    }

    fn resume(&mut self) -> Result<(), sfu::publishing::Taken> {
        let resumed = self.theatre.resume(self.publisher.broadcast(), self.stream);
        self.publisher = resumed.map_err(|_| sfu::publishing::Taken)?;
        Ok(())
    }

    fn leave(&mut self, how: sfu::publishing::Leaving) {
        use sfu::publishing::Leaving as How;
        self.waits.abort();
        self.has_left = true;
        let how = match (how, self.why.get()) {
            (How::ToldToGo, Some(Why::ShownOut(_))) => Leaving::ShownOut,
            (How::Finished | How::ToldToGo, _) => Leaving::Finished,
            (How::Unusable, _) => Leaving::Unusable,
            (How::Vanished, _) => Leaving::Vanished,
            (How::Drained, _) => Leaving::Drained,
        };
        let broadcast = Arc::clone(self.publisher.broadcast());
        self.theatre.leave(&broadcast, self.stream, how);
    }
}

/// Viewers are served by the packager and by the shards.
#[derive(Clone)]
pub struct Delivered {
    /// Over HLS.
    pub hls: Arc<hls::Service>,
    /// Over RTMP, HTTP-FLV and WebSocket-FLV.
    pub play: Arc<Play>,
    /// Over WebRTC.
    pub webrtc: Option<Arc<sfu::Service>>,
    /// What is made for some of them.
    pub renditions: Arc<Renditions>,
}

impl Delivery for Delivered {
    fn viewers(&self, broadcast: BroadcastId) -> Viewers {
        let hls = self.hls.viewers(broadcast);
        let ingest::play::Viewers { flv, rtmp } = self.play.viewers(broadcast);
        let webrtc = self.webrtc.as_ref();
        let webrtc = webrtc.map_or(0, |webrtc| webrtc.viewers(broadcast));
        Viewers {
            hls,
            flv,
            rtmp,
            webrtc,
            total: hls + flv + rtmp + webrtc,
        }
    }

    fn transcoding(&self, broadcast: BroadcastId) -> Transcoding {
        match self.renditions.fare(broadcast) {
            Fare::Well => Transcoding::Well,
            Fare::NoRoom => Transcoding::NoRoom,
            Fare::Slow => Transcoding::Slow,
            Fare::Fails => Transcoding::Fails,
        }
    }

    fn dropped_frames(&self, broadcast: BroadcastId) -> u64 {
        self.hls
            .stats(broadcast)
            .map_or(0, |stats| stats.packager.dropped_frames)
    }

    fn peers(&self, limit: usize) -> Later<'_, Vec<Peer>> {
        Box::pin(async move {
            match &self.webrtc {
                Some(webrtc) => webrtc.dumps(limit).await.into_iter().map(peer).collect(),
                None => Vec::new(),
            }
        })
    }

    fn peer<'a>(&'a self, session: &'a str) -> Later<'a, Option<PeerDump>> {
        Box::pin(async move {
            let dump = self.webrtc.as_ref()?.dump(session).await?;
            Some(peer_dump(dump))
        })
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
        let webrtc = self.webrtc.iter().flat_map(|webrtc| webrtc.shards());
        for (number, (sessions, restarts)) in webrtc.enumerate() {
            let number = number.to_string();
            metrics::gauge!("barrage_webrtc_sessions", "shard" => number.clone())
                .set(sessions as f64);
            metrics::counter!("barrage_webrtc_shard_restarts_total", "shard" => number)
                .absolute(restarts as u64);
        }
    }
}

/// As many digits as anybody reads.
fn rounded(number: f64, steps: f64) -> f64 {
    (number * steps).round() / steps
}

fn peer_dump(mut dump: sfu::stats::Dump) -> PeerDump {
    let history = std::mem::take(&mut dump.history).into_iter();
    PeerDump {
        paths: std::mem::take(&mut dump.paths),
        ufrag: std::mem::take(&mut dump.ufrag),
        silent_s: rounded(dump.silent_s, 1000.0),
        cipher: dump.cipher,
        history: history
            .map(|event| PeerEvent {
                at_s: rounded(event.at_s, 1000.0),
                what: event.what,
            })
            .collect(),
        peer: peer(dump),
    }
}

fn peer(dump: sfu::stats::Dump) -> Peer {
    let up = dump.up.into_iter().map(|up| PeerTrack {
        kind: up.kind,
        codec: Some(up.codec),
        ssrc: up.ssrc,
        place: None,
        packets: up.packets,
        bitrate_bps: up.bitrate_bps,
        repaired: up.repaired,
        lost: up.lost,
        loss: rounded(up.loss, 1000.0),
        jitter_ms: rounded(up.jitter_ms, 100.0),
        round_trip_ms: up.round_trip_ms.map(|time| rounded(time, 100.0)),
    });
    let down = dump.down.into_iter().map(|down| PeerTrack {
        kind: down.kind,
        codec: down.codec,
        ssrc: down.ssrc,
        place: Some(down.place),
        packets: down.packets,
        bitrate_bps: down.bitrate_bps,
        repaired: down.repaired,
        lost: down.unrepaired,
        loss: rounded(down.loss, 1000.0),
        jitter_ms: rounded(down.jitter_ms, 100.0),
        round_trip_ms: down.round_trip_ms.map(|time| rounded(time, 100.0)),
    });
    Peer {
        session: dump.id,
        publishes: dump.publishes,
        channel: dump.channel,
        state: dump.state,
        peer: dump.peer,
        age_s: rounded(dump.age_s, 1000.0),
        shard: dump.shard,
        forged: dump.forged,
        tracks: up.chain(down).collect(),
        seen: dump.seen.map(|seen| PeerSeen {
            freezes: seen.freezes,
            frozen_ms: seen.frozen_ms,
            dropped: seen.dropped,
        }),
    }
}
