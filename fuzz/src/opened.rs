//! What comes over a session once it is opened: packets and reports of a publisher, and what a viewer
//! says of those it was sent.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ingest::Caps;
use ingest::publisher::Publisher;
use kit::stream::Broadcast;
use media::{MediaTime, WallTime};
use sfu::Rules;
use sfu::opened::Pair;
use sfu::publishing::{Leaving, OnExit, Permit, Publishing, Taken};
use sfu::stats::{DownStats, UpStats};
use sfu_core::assemble::Unit;
use sfu_core::transport::Transport;
use wire::{BroadcastId, ChannelId, Handle};

use crate::pairing::Pairing;

/// Bounds of what is held: packets of a track, coded frames of one, and packets that wait to be frames.
const PACKETS_MAX: usize = 16_384;
const PACKET_BYTES_MAX: usize = 17 * 1024 * 1024;
const FRAME_BYTES_MAX: usize = 41 * 1024 * 1024;
const WAITING_BYTES_MAX: usize = 2 * 17 * 1024 * 1024;

/// Longest compound that is said to a publisher at once.
const SAID_MAX: usize = 8 * 1024;

/// Most packets that are sent again, at once and in a second.
const REPAIRS: u64 = 512;
const REPAIRS_PER_SECOND: u64 = 1_000;

/// Bytes that a short packet is made to have, for limits to be met.
const LONG: usize = 1_200;

const RULES: Rules = Rules {
    key_interval: Duration::from_secs(2),
    silence: Duration::from_secs(5),
};

/// The payload types that both offer: each codec, and its repairs one above.
const FORMATS: [(u8, &str); 4] = [(96, "VP8"), (98, "VP9"), (100, "AV1"), (102, "H264")];

/// An offer of sound and of pictures in every codec.
pub(crate) fn offer(direction: &str) -> String {
    let print = vec!["AB"; 32].join(":");
    let transport = format!(
        "c=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n\
         a=fingerprint:sha-256 {print}\r\na=setup:actpass\r\na=rtcp-mux\r\na={direction}\r\n\
         a=extmap:3 {}\r\n",
        sfu_core::answer::TRANSPORT_CC
    );
    let kinds: Vec<String> = FORMATS
        .iter()
        .map(|(kind, _)| format!("{kind} {}", kind + 1))
        .collect();
    let mut offer = format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n{transport}a=mid:0\r\na=rtpmap:111 opus/48000/2\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF {}\r\n{transport}a=mid:1\r\n\
         a=fmtp:102 packetization-mode=1;profile-level-id=42e01f\r\na=rtcp-fb:* nack\r\n\
         a=rtcp-fb:* nack pli\r\na=rtcp-fb:* transport-cc\r\n",
        kinds.join(" ")
    );
    for (kind, name) in FORMATS {
        let again = kind + 1;
        offer += &format!(
            "a=rtpmap:{kind} {name}/90000\r\na=rtpmap:{again} rtx/90000\r\na=fmtp:{again} apt={kind}\r\n"
        );
    }
    offer
}

/// Leave to publish, as whoever has a key is given it.
struct Admitted(Handle);

impl Permit for Admitted {
    fn handle(&self) -> &Handle {
        &self.0
    }

    fn is_taken(&self) -> bool {
        false
    }

    fn enter(&self, _: OnExit) -> Result<Box<dyn Publishing>, Taken> {
        let began = WallTime::from_micros(1_763_772_000_000_000);
        let handle = self.0.clone();
        let broadcast = Broadcast::new(BroadcastId::new(), ChannelId::new(), handle, began);
        let publisher = Publisher::new(Arc::new(broadcast), Caps::default());
        Ok(Box::new(Performing(publisher)))
    }
}

/// What is published goes into the track logs as in the server.
struct Performing(Publisher);

impl Publishing for Performing {
    fn broadcast(&self) -> &Arc<Broadcast> {
        self.0.broadcast()
    }

    fn add(&mut self, micros: i64, unit: Unit) -> Result<MediaTime, String> {
        let added = self.0.frame(&unit.config, micros, unit.key, unit.data);
        added.map_err(|error| error.to_string())
    }

    fn lost(&mut self) {
        self.0.note_lost();
    }

    fn fall_silent(&mut self) -> bool {
        true
    }

    fn resume(&mut self) -> Result<(), Taken> {
        self.0 = Publisher::new(Arc::clone(self.0.broadcast()), Caps::default());
        Ok(())
    }

    fn leave(&mut self, _: Leaving) {}
}

thread_local! {
    /// Shaking hands costs more than all else, and leaves nothing behind that an input could find.
    static SHAKEN: RefCell<Option<Transport>> = const { RefCell::new(None) };
}

/// Takes packets and compounds, each behind who says it, how much time has passed, and its length.
pub fn opened(data: &[u8]) {
    let _ = play(data);
}

/// Does so, and tells how the tracks of both fared.
fn play(data: &[u8]) -> (Vec<UpStats>, Vec<DownStats>) {
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime without a driver needs nothing");
    let _within = runtime.enter();
    let transport = SHAKEN.take().unwrap_or_else(|| Pairing::shaken(began));
    let permit = Box::new(Admitted("fuzz".parse().expect("a handle")));
    let offers = [offer("sendonly"), offer("recvonly")];
    let offers = [&*offers[0], &*offers[1]];
    let pair = Pair::new(began, offers, permit, RULES, transport);
    let mut pair = pair.expect("both are answered");
    let (mut now, mut rest) = (began, data);
    while let [who, pause, length, after @ ..] = rest {
        let (bytes, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        now += Duration::from_millis(u64::from(*pause) * if who & 4 == 0 { 1 } else { 50 });
        let mut bytes = bytes.to_vec();
        if who & 2 != 0 {
            bytes.resize(LONG, 0x41);
        }
        let taken = if who & 1 == 0 {
            pair.publishes(now, &bytes)
        } else {
            pair.answers(now, &bytes);
            Ok(())
        };
        let ticked = pair.tick(now);
        check(&pair, now.saturating_duration_since(began));
        match (taken, ticked) {
            (Ok(()), Ok(said)) => assert!(said.len() <= SAID_MAX, "{} bytes", said.len()),
            // It is shown out, and reads why.
            (Err(why), _) | (_, Err(why)) => {
                assert!(!why.is_empty());
                break;
            }
        }
    }
    let fared = pair.stats();
    SHAKEN.set(Some(pair.into_transport()));
    fared
}

/// Whatever comes, no more is held and no more is sent than this.
fn check(pair: &Pair, elapsed: Duration) {
    for log in [&pair.tracks().video.log, &pair.tracks().audio.log] {
        let (items, bytes) = log.look(|window, _| (window.len(), window.bytes()));
        assert!(
            items <= PACKETS_MAX && bytes <= PACKET_BYTES_MAX,
            "{items} {bytes}"
        );
    }
    for log in [&pair.broadcast().video, &pair.broadcast().audio] {
        assert!(log.bytes() <= FRAME_BYTES_MAX, "{}", log.bytes());
    }
    assert!(pair.waiting_bytes() <= WAITING_BYTES_MAX);
    let (ups, downs) = pair.stats();
    assert!(ups.len() <= 2 && downs.len() <= 2);
    let most = REPAIRS + REPAIRS_PER_SECOND * (elapsed.as_secs() + 1);
    for down in downs {
        assert!(
            down.repaired <= most,
            "{} packets sent again",
            down.repaired
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds;

    #[test]
    fn what_the_corpus_begins_with_is_forwarded_and_sent_again() {
        for (name, input) in seeds::of("opened") {
            let (ups, downs) = play(&input);
            let up: u64 = ups.iter().map(|up| up.packets).sum();
            let down: u64 = downs.iter().map(|down| down.packets).sum();
            assert!(up >= 5 && down >= 5, "{name}: {ups:?} {downs:?}");
            let again: u64 = downs.iter().map(|down| down.repaired).sum();
            assert_eq!(again > 0, name == "viewer", "{name}: {downs:?}");
        }
    }
}
