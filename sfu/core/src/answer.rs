//! What is answered to an offer: who sends what to whom, in which codec, and where we are to be
//! found. One transport carries everything (RFC 9143); it is ours that is found (ICE-lite).

use std::fmt::Write as _;
use std::net::SocketAddr;

use media::TrackKind;

use crate::Codec;
use crate::offer::{Direction, Offer, Offered, Section, Setup};

/// The header extension that numbers packets across tracks, for feedback about the path.
pub const TRANSPORT_CC: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// The parameters of Opus that we like to get: sound in stereo, and what helps against loss.
const OPUS_WANTED: &str = "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1";

/// What a peer that sends to us, or one that we send to, gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It publishes: one track of each kind is taken.
    Publisher,
    /// It watches: one track of each kind is sent.
    Viewer,
}

/// A track that was agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Its kind.
    pub kind: TrackKind,
    /// The codecs it may have, best first. A viewer can be sent any of them; a publisher chooses.
    pub codecs: Vec<Offered>,
    /// The number of the header extension for transport-wide feedback.
    pub transport_cc: Option<u8>,
    /// Sources that the publisher announced, and those of their retransmissions.
    pub ssrcs: Vec<u32>,
    /// See [`ssrcs`](Self::ssrcs).
    pub rtx_ssrcs: Vec<(u32, u32)>,
    section: usize,
}

/// What was agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The tracks, at most one of each kind.
    pub tracks: Vec<Agreed>,
    /// Whether the DTLS handshake is begun by us.
    pub we_connect: bool,
}

/// Where we are found, and who we are.
#[derive(Clone, Debug)]
pub struct Identity<'a> {
    /// Our ICE user name fragment and password.
    pub ufrag: &'a str,
    /// See [`ufrag`](Self::ufrag).
    pub password: &'a str,
    /// The SHA-256 of our certificate.
    pub fingerprint: &'a [u8; 32],
    /// Where datagrams reach us, and connections (RFC 6544).
    pub at: &'a [SocketAddr],
}

/// The sources of the tracks that we send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Of sound.
    pub audio: u32,
    /// Of pictures, and of their retransmissions.
    pub video: u32,
    /// See [`video`](Self::video).
    pub video_rtx: u32,
}

/// Agrees to what is possible of `offer`.
pub fn agree(offer: &Offer, role: Role) -> Agreement {
    let mut tracks: Vec<Agreed> = Vec::new();
    for (section, offered) in offer.sections.iter().enumerate() {
        let Some(kind) = offered.kind else { continue };
        let goes = match (role, offered.direction) {
            (Role::Publisher, Direction::SendOnly | Direction::SendRecv)
            | (Role::Viewer, Direction::RecvOnly | Direction::SendRecv) => !offered.refused,
            (
                Role::Publisher | Role::Viewer,
                Direction::SendOnly | Direction::RecvOnly | Direction::Inactive,
            ) => false,
        };
        let codecs = usable(offered);
        if !goes || codecs.is_empty() || tracks.iter().any(|track| track.kind == kind) {
            continue;
        }
        tracks.push(Agreed {
            kind,
            transport_cc: match role {
                Role::Publisher => offered.extension(TRANSPORT_CC),
                Role::Viewer => None,
            },
            ssrcs: offered.ssrcs.clone(),
            rtx_ssrcs: offered.rtx_ssrcs.clone(),
            codecs,
            section,
        });
    }
    Agreement {
        tracks,
        we_connect: offer.setup == Setup::Passive,
    }
}

/// The codecs of a section that can be carried, in the peer's order. H.264 in packetization mode 0
/// knows no fragments, and pictures do not fit into packets whole.
fn usable(section: &Section) -> Vec<Offered> {
    let fits = |one: &&Offered| {
        Some(one.codec.kind()) == section.kind
            && (one.codec != Codec::H264 || one.parameter("packetization-mode") == Some("1"))
    };
    let usable = section.codecs.iter().filter(fits).cloned();
    // Sound that comes too late is of no use, and has no source for repairs.
    let without_rtx = |one: Offered| match one.codec.kind() {
        TrackKind::Audio => Offered { rtx: None, ..one },
        TrackKind::Video => one,
    };
    usable.map(without_rtx).collect()
}

/// Whether pictures coded as `profile` (the six digits of `profile-level-id`) can be sent as
/// `offered` to those who keep to what they say. Those who can show more than they say do.
pub fn profile_fits(offered: &Offered, profile: [u8; 3]) -> bool {
    let said = offered.parameter("profile-level-id").unwrap_or("42000a");
    let Ok(said) = u32::from_str_radix(said, 16) else {
        return false;
    };
    let [_, idc, _, _] = said.to_be_bytes();
    // Baseline and constrained baseline are what main and high decoders read as well.
    idc == profile[0] || (profile[0] == 0x42 && matches!(idc, 0x4d | 0x64))
}

/// Writes the answer.
pub fn write(
    offer: &Offer,
    agreement: &Agreement,
    role: Role,
    identity: &Identity<'_>,
    sources: Sources,
) -> String {
    let mut out = String::with_capacity(2048);
    out.push_str("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-lite\r\n");
    let accepted = |index: usize| agreement.tracks.iter().find(|track| track.section == index);
    let bundled: Vec<&str> = offer
        .sections
        .iter()
        .enumerate()
        .filter(|(index, _)| accepted(*index).is_some())
        .filter_map(|(_, section)| section.mid.as_deref())
        .collect();
    if !bundled.is_empty() && !offer.bundle.is_empty() {
        line(
            &mut out,
            format_args!("a=group:BUNDLE {}", bundled.join(" ")),
        );
    }
    out.push_str("a=extmap-allow-mixed\r\na=msid-semantic: WMS barrage\r\n");
    let mut found_us = false;
    for (index, section) in offer.sections.iter().enumerate() {
        let Some(track) = accepted(index) else {
            refuse(&mut out, section);
            continue;
        };
        media_line(&mut out, section, track);
        transport(&mut out, agreement, identity);
        if !std::mem::replace(&mut found_us, true) {
            write_candidates(&mut out, identity.at);
        }
        for one in &track.codecs {
            codec(&mut out, one, track.transport_cc.is_some());
        }
        if let Some(id) = track.transport_cc {
            line(&mut out, format_args!("a=extmap:{id} {TRANSPORT_CC}"));
        }
        match role {
            Role::Publisher => out.push_str("a=recvonly\r\n"),
            Role::Viewer => announce(&mut out, track, sources),
        }
    }
    out
}

fn line(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = out.write_fmt(arguments);
    out.push_str("\r\n");
}

fn refuse(out: &mut String, section: &Section) {
    let Section {
        media,
        protocol,
        format,
        ..
    } = section;
    line(
        out,
        format_args!("m={media} 0 {protocol} {format}\r\nc=IN IP4 0.0.0.0\r\na=inactive"),
    );
    if let Some(mid) = &section.mid {
        line(out, format_args!("a=mid:{mid}"));
    }
}

fn media_line(out: &mut String, section: &Section, track: &Agreed) {
    let Section {
        media, protocol, ..
    } = section;
    let _ = write!(out, "m={media} 9 {protocol}");
    for one in &track.codecs {
        let _ = write!(out, " {}", one.payload_type);
        if let Some(rtx) = one.rtx {
            let _ = write!(out, " {rtx}");
        }
    }
    out.push_str("\r\nc=IN IP4 0.0.0.0\r\na=rtcp-mux\r\na=rtcp-rsize\r\n");
    if let Some(mid) = &section.mid {
        line(out, format_args!("a=mid:{mid}"));
    }
}

fn transport(out: &mut String, agreement: &Agreement, identity: &Identity<'_>) {
    line(out, format_args!("a=ice-ufrag:{}", identity.ufrag));
    line(out, format_args!("a=ice-pwd:{}", identity.password));
    out.push_str("a=fingerprint:sha-256 ");
    for (index, byte) in identity.fingerprint.iter().enumerate() {
        let _ = write!(out, "{}{byte:02X}", if index == 0 { "" } else { ":" });
    }
    out.push_str(if agreement.we_connect {
        "\r\na=setup:active\r\n"
    } else {
        "\r\na=setup:passive\r\n"
    });
}

/// Writes where we are reached. Datagrams are better than a connection; of each, what comes first.
pub fn write_candidates(out: &mut String, at: &[SocketAddr]) {
    // RFC 8445 §5.1.2.1: type preference, local preference, component.
    let priority = |kind: u32, index: usize| {
        let local = 65_535 - u32::try_from(index).unwrap_or(65_535).min(65_535);
        (kind << 24) + (local << 8) + 255
    };
    for (index, at) in at.iter().enumerate() {
        let (priority, ip, port) = (priority(126, index), at.ip(), at.port());
        line(
            out,
            format_args!(
                "a=candidate:{} 1 udp {priority} {ip} {port} typ host",
                index + 1
            ),
        );
    }
    let before = at.len();
    for (index, at) in at.iter().enumerate() {
        let (priority, ip, port) = (priority(90, index), at.ip(), at.port());
        let foundation = before + index + 1;
        line(
            out,
            format_args!(
                "a=candidate:{foundation} 1 tcp {priority} {ip} {port} typ host tcptype passive"
            ),
        );
    }
    out.push_str("a=end-of-candidates\r\n");
}

fn codec(out: &mut String, one: &Offered, transport_cc: bool) {
    let number = one.payload_type;
    let name = one.codec.as_str();
    let rate = one.codec.clock_rate();
    match one.codec {
        Codec::Opus => {
            line(out, format_args!("a=rtpmap:{number} {name}/{rate}/2"));
            line(out, format_args!("a=fmtp:{number} {OPUS_WANTED}"));
        }
        Codec::H264 | Codec::Vp8 | Codec::Vp9 | Codec::Av1 => {
            line(out, format_args!("a=rtpmap:{number} {name}/{rate}"));
            if !one.parameters.is_empty() {
                line(out, format_args!("a=fmtp:{number} {}", one.parameters));
            }
            line(out, format_args!("a=rtcp-fb:{number} ccm fir"));
        }
    }
    for (has, what) in [
        (one.nack, "nack"),
        (one.pli, "nack pli"),
        (one.transport_cc && transport_cc, "transport-cc"),
    ] {
        if has {
            line(out, format_args!("a=rtcp-fb:{number} {what}"));
        }
    }
    if let Some(rtx) = one.rtx {
        line(
            out,
            format_args!("a=rtpmap:{rtx} rtx/{rate}\r\na=fmtp:{rtx} apt={number}"),
        );
    }
}

/// One stream of two tracks, so that players keep them together.
fn announce(out: &mut String, track: &Agreed, sources: Sources) {
    let name = track.kind.as_str();
    line(out, format_args!("a=sendonly\r\na=msid:barrage {name}"));
    let ssrc = match track.kind {
        TrackKind::Audio => sources.audio,
        TrackKind::Video => sources.video,
    };
    let repairs =
        track.kind == TrackKind::Video && track.codecs.iter().any(|one| one.rtx.is_some());
    if repairs {
        line(
            out,
            format_args!("a=ssrc-group:FID {ssrc} {}", sources.video_rtx),
        );
    }
    line(out, format_args!("a=ssrc:{ssrc} cname:barrage"));
    if repairs {
        line(
            out,
            format_args!("a=ssrc:{} cname:barrage", sources.video_rtx),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offer::tests::like_a_browser;

    const SOURCES: Sources = Sources {
        audio: 10,
        video: 20,
        video_rtx: 21,
    };

    fn answered(offer: &str, role: Role) -> (Agreement, String) {
        let offer = Offer::parse(offer).unwrap();
        let agreement = agree(&offer, role);
        let at = ["192.0.2.7:8189".parse().unwrap()];
        let identity = Identity {
            ufrag: "ours",
            password: "a-password-of-enough-letters",
            fingerprint: &[0xab; 32],
            at: &at,
        };
        let text = write(&offer, &agreement, role, &identity, SOURCES);
        (agreement, text)
    }

    #[test]
    fn a_publisher_is_answered_with_what_it_can_send() {
        let (agreement, text) = answered(&like_a_browser("sendonly"), Role::Publisher);
        assert_eq!(agreement.tracks.len(), 2);
        assert_eq!(agreement.tracks[1].transport_cc, Some(3));
        assert!(!agreement.we_connect);
        for expected in [
            "a=ice-lite\r\n",
            "a=group:BUNDLE 0 1\r\n",
            "a=setup:passive\r\n",
            "m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 103 39\r\n",
            "a=candidate:1 1 udp 2130706431 192.0.2.7 8189 typ host\r\n",
            "8189 typ host tcptype passive\r\n",
            "a=fmtp:103 apt=102\r\n",
            "a=rtcp-fb:102 transport-cc\r\n",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
        assert_eq!(text.matches("a=recvonly").count(), 2);
        // Our own answer is one that we could read.
        assert!(Offer::parse(&text).is_ok());
    }

    #[test]
    fn a_viewer_is_told_what_it_is_sent() {
        let (agreement, text) = answered(&like_a_browser("recvonly"), Role::Viewer);
        assert_eq!(agreement.tracks.len(), 2);
        for expected in [
            "a=sendonly\r\na=msid:barrage video\r\n",
            "a=ssrc-group:FID 20 21\r\n",
            "a=ssrc:10 cname:barrage\r\n",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }

    #[test]
    fn what_does_not_go_our_way_is_refused() {
        let (agreement, text) = answered(&like_a_browser("recvonly"), Role::Publisher);
        assert_eq!(agreement.tracks, []);
        assert!(text.contains("m=video 0 UDP/TLS/RTP/SAVPF 96"), "{text}");
        assert!(!text.contains("BUNDLE"));
    }

    #[test]
    fn a_peer_that_waits_for_the_handshake_is_called() {
        let offer = like_a_browser("sendonly").replace("actpass", "passive");
        let (agreement, text) = answered(&offer, Role::Publisher);
        assert!(agreement.we_connect && text.contains("a=setup:active"));
    }
}
