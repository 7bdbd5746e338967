//! What WebRTC peers send: session descriptions over HTTP, and datagrams.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use sfu_core::Codec;
use sfu_core::answer::{self, Identity, Role, Sources};
use sfu_core::assemble::Assembler;
use sfu_core::ice::{Ice, Path};
use sfu_core::offer::Offer;
use sfu_core::rtcp::{self, Said};
use sfu_core::rtp::Header;
use sfu_core::secure::{Credentials, Secure};
use sfu_core::transport::Transport;
use sfu_core::up::{Place, UpTrack};

/// Reads an offer and answers it; what is answered can be read again.
pub fn offer(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(offer) = Offer::parse(text) else {
        return;
    };
    let at = [SocketAddr::from(([192, 0, 2, 1], 8189))];
    let identity = Identity {
        ufrag: "server",
        password: "a-password-of-enough-letters",
        fingerprint: &[7; 32],
        at: &at,
    };
    let sources = Sources {
        audio: 1,
        video: 2,
        video_rtx: 3,
    };
    for role in [Role::Publisher, Role::Viewer] {
        let agreement = answer::agree(&offer, role);
        assert!(agreement.tracks.len() <= 2);
        let answer = answer::write(&offer, &agreement, role, &identity, sources);
        if !agreement.tracks.is_empty() {
            assert!(Offer::parse(&answer).is_ok(), "{answer}");
        }
    }
}

/// One certificate is enough; making one costs more than all else.
pub(crate) fn credentials() -> Arc<Credentials> {
    static ONE: OnceLock<Arc<Credentials>> = OnceLock::new();
    let made = ONE.get_or_init(|| Arc::new(Credentials::generate().expect("randomness")));
    Arc::clone(made)
}

/// Hears datagrams, each behind its length, as one who knows nothing of the peer and as one whose
/// packets have been opened.
pub fn webrtc(data: &[u8]) {
    let now = Instant::now();
    let ours = Ice::new("server".into(), "password".into(), "peer".into(), now);
    let secure = Secure::new(credentials(), [0; 32], false);
    let mut transport = Transport::new(ours, secure, credentials());
    let path = Path::Udp(SocketAddr::from(([192, 0, 2, 9], 5000)));
    let mut track = UpTrack::new(1, 90_000, now);
    let mut assemblers = Codec::ALL.map(Assembler::new);
    let mut rest = data;
    while let Some((&length, after)) = rest.split_first() {
        let (datagram, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        // Nobody without the password is answered, or begins anything.
        let _ = transport.handle(now, path, datagram);
        assert!(transport.take_transmits().is_empty());
        rtcp::parse(datagram, |said| {
            if let Said::Nack { sequences, .. } = said {
                assert!(sequences.len() < 1_024);
            }
        });
        let Some(header) = Header::parse(datagram) else {
            continue;
        };
        let Some(payload) = header.payload(datagram) else {
            continue;
        };
        for codec in Codec::ALL {
            let _ = codec.begins_key(payload);
        }
        let place = track.receive(now, header.sequence, header.timestamp, false);
        if let Place::At(number) | Place::Anew(number) = place {
            for assembler in &mut assemblers {
                let payload = bytes::Bytes::copy_from_slice(payload);
                assembler.push(now, number, header.timestamp, header.marker, payload);
                while assembler.poll(now).is_some() {}
            }
        }
        let _ = track.nacks(now + Duration::from_millis(20));
    }
    for assembler in &mut assemblers {
        while assembler.poll(now + Duration::from_secs(1)).is_some() {}
    }
}
