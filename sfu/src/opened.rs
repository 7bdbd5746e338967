//! What peers send, once it is opened, given to those who take it: one publisher and one viewer
//! without a shard and without keys that a stranger would need. For the fuzzer.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use kit::rendition::Renditions;
use kit::stream::Broadcast;
use media::TrackKind;
use sfu_core::answer::{self, Role, Sources};
use sfu_core::offer::Offer;
use sfu_core::transport::Transport;
use sfu_core::{Packet, rtp};

use crate::burst::Burst;
use crate::exit::Exit;
use crate::publisher::{Publisher, Rules};
use crate::publishing::Permit;
use crate::socket::Port;
use crate::stats::{DownStats, UpStats};
use crate::tracks::{Registry, Tracks};
use crate::viewer::{Viewer, Way};

/// The sources that the viewer is sent.
pub const SENT: Sources = Sources {
    audio: 11,
    video: 12,
    video_rtx: 13,
};

/// A publisher on stage, and a viewer of what it sends.
pub struct Pair {
    publisher: Publisher,
    viewer: Viewer,
    /// The viewer's, which seals what is sent to it.
    transport: Transport,
    burst: Burst,
    /// How far the viewer was sent pictures and sound.
    seen: [u64; 2],
}

impl Pair {
    /// As they stand when both have shaken hands. Must be called within a runtime. `None` if the offers
    /// cannot be answered or the publisher may not enter.
    pub fn new(
        now: Instant,
        offers: [&str; 2],
        permit: Box<dyn Permit>,
        rules: Rules,
        transport: Transport,
    ) -> Option<Self> {
        let [sends, watches] = offers.map(Offer::parse);
        let registry = Registry::new(Renditions::new(kit::rendition::Config::default()));
        let agreement = answer::agree(&sends.ok()?, Role::Publisher);
        let nobody = Box::new(|_| {});
        let mut publisher = Publisher::new(
            permit,
            nobody,
            Arc::clone(&registry),
            agreement,
            1,
            rules,
            now,
        );
        publisher.enter(now).ok()?;
        let agreement = answer::agree(&watches.ok()?, Role::Viewer);
        let tracks = registry.hold(publisher.broadcast()?);
        let mut viewer = Viewer::new(tracks, &agreement, SENT, None, 0, now);
        viewer.begin(now);
        Some(Self {
            publisher,
            viewer,
            transport,
            burst: Burst::default(),
            seen: [0; 2],
        })
    }

    /// The publisher sends a packet or a compound. Tells why it has to go, if it has to.
    ///
    /// # Errors
    /// When it has to go.
    pub fn publishes(&mut self, now: Instant, opened: &[u8]) -> Result<(), String> {
        let taken = if rtp::is_rtcp(opened) {
            self.publisher.on_rtcp(now, opened);
            Ok(())
        } else {
            self.publisher.on_rtp(now, now, opened)
        };
        self.send_on();
        taken.map_err(|over| format!("{over:?}"))
    }

    /// The viewer sends a compound.
    pub fn answers(&mut self, now: Instant, opened: &[u8]) {
        let Self {
            viewer,
            transport,
            burst,
            ..
        } = self;
        with_way(transport, burst, |way| viewer.on_rtcp(now, opened, way));
    }

    /// Does what a shard does as time goes by. Gives what is said to the publisher.
    ///
    /// # Errors
    /// When the publisher has to go.
    pub fn tick(&mut self, now: Instant) -> Result<Vec<u8>, String> {
        let ticked = self.publisher.tick(now);
        let said = self.publisher.poll_rtcp(now);
        let seen = self.ends();
        let Self {
            viewer,
            transport,
            burst,
            ..
        } = self;
        with_way(transport, burst, |way| {
            viewer.catch_up(now, way, |log| {
                seen.iter().find(|(id, _)| *id == log).map(|(_, end)| *end)
            });
        });
        let report = self.viewer.poll_rtcp(now);
        if !report.is_empty() {
            self.transport.send_rtcp(&report);
            self.transport.take_transmits();
        }
        ticked.map(|()| said).map_err(|over| format!("{over:?}"))
    }

    /// Which log goes how far, for those at its end.
    fn ends(&self) -> [(u64, u64); 2] {
        let tracks = &self.viewer.tracks;
        [
            (tracks.video.log.id(), self.seen[0]),
            (tracks.audio.log.id(), self.seen[1]),
        ]
    }

    /// Sends the viewer what is new.
    fn send_on(&mut self) {
        let Self {
            viewer,
            transport,
            burst,
            seen,
            ..
        } = self;
        for (kind, seen) in [TrackKind::Video, TrackKind::Audio].into_iter().zip(seen) {
            let log = &viewer.tracks.track(kind).log;
            let (packets, end) = log.look(|window, _| {
                let from = (*seen).max(window.first());
                let new = (from..window.end()).filter_map(|offset| window.get(offset).cloned());
                (new.collect::<Vec<Packet>>(), window.end())
            });
            *seen = end;
            with_way(transport, burst, |way| {
                viewer.write_live(kind, &packets, way);
            });
        }
    }

    /// The packets that are held.
    pub fn tracks(&self) -> &Tracks {
        &self.viewer.tracks
    }

    /// Whose they are.
    pub fn broadcast(&self) -> &Arc<Broadcast> {
        &self.viewer.tracks.broadcast
    }

    /// Bytes that wait to be put together to frames.
    pub fn waiting_bytes(&self) -> usize {
        self.publisher.waiting_bytes()
    }

    /// How the publisher's tracks and the viewer's fare.
    pub fn stats(&self) -> (Vec<UpStats>, Vec<DownStats>) {
        (self.publisher.streams().collect(), self.viewer.stats())
    }

    /// Gives the viewer's transport back, to be used again.
    pub fn into_transport(self) -> Transport {
        self.transport
    }
}

/// Calls `with` with a way on which what is sent arrives nowhere.
fn with_way(transport: &mut Transport, burst: &mut Burst, with: impl FnOnce(&mut Way<'_>)) {
    static PORT: OnceLock<Option<(Port, SocketAddr)>> = OnceLock::new();
    let port = PORT.get_or_init(|| {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
        let at = socket.local_addr().ok()?;
        Some((Port::new(socket).ok()?, at))
    });
    let (port, to) = port.as_ref().expect("every machine has a loopback");
    with(&mut Way {
        transport,
        exit: Exit::Port {
            port,
            to: *to,
            from: None,
        },
        burst,
    });
}
