//! What a peer offers: a session description (RFC 8866) as browsers and encoders write it (RFC 8829),
//! read within limits and reduced to what is answered to.

use std::io::Cursor;

use media::TrackKind;
use rtc_sdp::{MediaDescription, SessionDescription};

use crate::Codec;

/// Longest description.
pub const BYTES_MAX: usize = 64 * 1024;

/// Most media sections. A browser has one for sound, one for pictures and perhaps one for data.
const SECTIONS_MAX: usize = 16;

/// Most codecs, header extensions and sources that are looked at in one section.
const CODECS_MAX: usize = 64;
/// Most lines of one kind that say something of codecs: there are 128 payload types.
const LINES_MAX: usize = 128;
const EXTENSIONS_MAX: usize = 32;
const SSRCS_MAX: usize = 16;

/// Bounds of ICE credentials (RFC 8839 §5.4).
const CREDENTIAL_MAX: usize = 256;

/// Why an offer is not answered. Each text is for whoever made it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is no session description.
    #[error("the body is no session description: {0}")]
    Unreadable(String),
    /// It is larger than anybody needs.
    #[error("the session description has more than {BYTES_MAX} bytes")]
    TooLong,
    /// It has more sections than anybody needs.
    #[error("the session description has {0} media sections; {SECTIONS_MAX} are read")]
    TooManySections(usize),
    /// Something without which no session can be.
    #[error("the session description lacks {0}")]
    Lacks(&'static str),
    /// Something that is not as the standards have it.
    #[error("{0} of the session description cannot be read")]
    Bad(&'static str),
}

/// Who begins the DTLS handshake (RFC 8842), as the offer has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// The peer leaves it to us.
    ActPass,
    /// The peer does.
    Active,
    /// We do.
    Passive,
}

/// Which way media is to go, as the offer has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    SendRecv,
    /// From the peer.
    SendOnly,
    /// To the peer.
    RecvOnly,
    /// Neither.
    Inactive,
}

/// A codec as a section offers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Its payload type.
    pub payload_type: u8,
    /// Which it is.
    pub codec: Codec,
    /// The parameters of `a=fmtp`, empty without.
    pub parameters: String,
    /// The payload type of its retransmissions (RFC 4588).
    pub rtx: Option<u8>,
    /// Whether it knows of generic NACK, of picture loss indication and of transport-wide feedback.
    pub nack: bool,
    /// See [`nack`](Self::nack).
    pub pli: bool,
    /// See [`nack`](Self::nack).
    pub transport_cc: bool,
}

impl Offered {
    /// The value of one parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let all = self.parameters.split(';');
        let mut pairs = all.filter_map(|pair| pair.trim().split_once('='));
        let found = pairs.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(found.1.trim())
    }
}

/// A media section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The first word of its `m=` line.
    pub media: String,
    /// The protocol of its `m=` line.
    pub protocol: String,
    /// The first format of its `m=` line.
    pub format: String,
    /// Its name, if it has one.
    pub mid: Option<String>,
    /// The kind of its tracks, if it is one that is known and sent over RTP.
    pub kind: Option<TrackKind>,
    /// Which way its media is to go.
    pub direction: Direction,
    /// Whether it is refused already.
    pub refused: bool,
    /// The codecs that are known, in the peer's order.
    pub codecs: Vec<Offered>,
    /// Header extensions: their numbers and names.
    pub extensions: Vec<(u8, String)>,
    /// Sources that are announced, those of retransmissions not among them.
    pub ssrcs: Vec<u32>,
    /// Which source's retransmissions have which source.
    pub rtx_ssrcs: Vec<(u32, u32)>,
}

impl Section {
    /// The number under which a header extension is offered.
    pub fn extension(&self, uri: &str) -> Option<u8> {
        let found = self.extensions.iter().find(|(_, name)| name == uri)?;
        Some(found.0)
    }
}

/// An offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The peer's ICE user name fragment and password.
    pub ufrag: String,
    /// See [`ufrag`](Self::ufrag).
    pub password: String,
    /// The SHA-256 of the peer's certificate.
    pub fingerprint: [u8; 32],
    /// Who begins the handshake.
    pub setup: Setup,
    /// The names in `a=group:BUNDLE`.
    pub bundle: Vec<String>,
    /// The media sections.
    pub sections: Vec<Section>,
}

impl Offer {
    /// Reads an offer.
    ///
    /// # Errors
    /// When it cannot be read, or lacks what no session can be without.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > BYTES_MAX {
            return Err(Error::TooLong);
        }
        let sections = text.lines().filter(|line| line.starts_with("m=")).count();
        if sections > SECTIONS_MAX {
            return Err(Error::TooManySections(sections));
        }
        let parsed = SessionDescription::unmarshal(&mut Cursor::new(text))
            .map_err(|error| Error::Unreadable(error.to_string()))?;
        let sections: Vec<Section> = parsed.media_descriptions.iter().map(section).collect();
        if sections.is_empty() {
            return Err(Error::Lacks("a media section"));
        }
        let find = |key: &str| {
            let of_session = parsed.attributes.iter();
            let of_media = parsed
                .media_descriptions
                .iter()
                .flat_map(|media| &media.attributes);
            let mut all = of_session.chain(of_media);
            all.find(|attribute| attribute.key == key)
                .and_then(|attribute| attribute.value.as_deref())
        };
        let credential = |key, name, least: usize| {
            let value = find(key).ok_or(Error::Lacks(name))?.trim();
            let fits = (least..=CREDENTIAL_MAX).contains(&value.len());
            let fits = fits && value.bytes().all(|byte| byte.is_ascii_graphic());
            fits.then(|| value.to_owned()).ok_or(Error::Bad(name))
        };
        let setup = match find("setup").map(str::trim) {
            Some("actpass") | None => Setup::ActPass,
            Some("active") => Setup::Active,
            Some("passive") => Setup::Passive,
            Some(_) => return Err(Error::Bad("a=setup")),
        };
        let bundle = parsed.attributes.iter();
        let bundle = bundle.filter(|attribute| attribute.key == "group");
        let bundle =
            bundle.filter_map(|attribute| attribute.value.as_deref()?.strip_prefix("BUNDLE"));
        Ok(Self {
            ufrag: credential("ice-ufrag", "a=ice-ufrag", 4)?,
            password: credential("ice-pwd", "a=ice-pwd", 22)?,
            fingerprint: fingerprint(find("fingerprint").ok_or(Error::Lacks("a=fingerprint"))?)?,
            setup,
            bundle: bundle
                .flat_map(str::split_whitespace)
                .map(str::to_owned)
                .collect(),
            sections,
        })
    }
}

fn fingerprint(value: &str) -> Result<[u8; 32], Error> {
    const NAME: &str = "a=fingerprint";
    let (hash, digits) = value.trim().split_once(' ').ok_or(Error::Bad(NAME))?;
    if !hash.eq_ignore_ascii_case("sha-256") {
        return Err(Error::Lacks("a=fingerprint with sha-256"));
    }
    let mut bytes = [0; 32];
    let mut digits = digits.trim().split(':');
    for byte in &mut bytes {
        let pair = digits.next().filter(|pair| pair.len() == 2);
        let read = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        *byte = read.ok_or(Error::Bad(NAME))?;
    }
    digits
        .next()
        .is_none()
        .then_some(bytes)
        .ok_or(Error::Bad(NAME))
}

fn section(media: &MediaDescription) -> Section {
    let name = &media.media_name;
    let over_rtp = name.protos.iter().any(|proto| proto == "RTP");
    let has = |key| media.has_attribute(key);
    let direction = if has("sendonly") {
        Direction::SendOnly
    } else if has("recvonly") {
        Direction::RecvOnly
    } else if has("inactive") {
        Direction::Inactive
    } else {
        Direction::SendRecv
    };
    let mid = media.attribute("mid").flatten().map(str::trim);
    let (ssrcs, rtx_ssrcs) = sources(media);
    Section {
        media: name.media.clone(),
        protocol: name.protos.join("/"),
        format: name.formats.first().cloned().unwrap_or_default(),
        mid: mid.filter(|mid| mid.len() <= 32).map(str::to_owned),
        kind: match name.media.as_str() {
            "audio" if over_rtp => Some(TrackKind::Audio),
            "video" if over_rtp => Some(TrackKind::Video),
            _ => None,
        },
        direction,
        // A section within a bundle may have port zero and be offered all the same (RFC 9143 §6).
        refused: name.port.value == 0 && !has("bundle-only"),
        codecs: codecs(media),
        extensions: extensions(media),
        ssrcs,
        rtx_ssrcs,
    }
}

fn values<'a>(media: &'a MediaDescription, key: &'a str) -> impl Iterator<Item = &'a str> {
    let found = media.attributes.iter().filter(move |one| one.key == key);
    found.filter_map(|one| one.value.as_deref()).map(str::trim)
}

/// What stands behind the payload type that a value begins with.
fn of_type(value: &str) -> Option<(u8, &str)> {
    let (number, rest) = value.split_once(' ')?;
    let number = number.parse().ok().filter(|number| *number < 128)?;
    Some((number, rest.trim()))
}

fn codecs(media: &MediaDescription) -> Vec<Offered> {
    let formats = media.media_name.formats.iter();
    let mut order: Vec<u8> = Vec::new();
    for format in formats.filter_map(|format| format.parse().ok()) {
        if !order.contains(&format) && order.len() < CODECS_MAX {
            order.push(format);
        }
    }
    // Each is read once, and no more of them than there can be types.
    let first = |key| -> Vec<(u8, &str)> {
        let all = values(media, key).filter_map(of_type);
        all.take(LINES_MAX).collect()
    };
    let (maps, formats) = (first("rtpmap"), first("fmtp"));
    let feedbacks: Vec<&str> = values(media, "rtcp-fb").take(LINES_MAX * 8).collect();
    let parameters = |wanted: u8| {
        let mut all = formats.iter();
        all.find(|(number, _)| *number == wanted)
            .map_or("", |(_, rest)| *rest)
    };
    let feedback = |wanted: u8, what: &str| {
        feedbacks.iter().any(|value| {
            let Some((number, rest)) = value.split_once(' ') else {
                return false;
            };
            rest.trim() == what && (number == "*" || number.parse() == Ok(wanted))
        })
    };
    let rtx = |wanted: u8| {
        let repairs = |number: u8| {
            let all = parameters(number).split(';');
            let mut apt = all.filter_map(|pair| pair.trim().strip_prefix("apt="));
            apt.any(|apt| apt.parse() == Ok(wanted))
        };
        let mut rtx = maps
            .iter()
            .filter(|(_, map)| map.to_ascii_lowercase().starts_with("rtx/"));
        rtx.find(|(number, _)| repairs(*number))
            .map(|(number, _)| *number)
    };
    let known = order.iter().filter_map(|&number| {
        let (_, map) = maps.iter().find(|(mapped, _)| *mapped == number)?;
        let (name, rate) = map.split_once('/')?;
        let codec = Codec::of_name(name)?;
        let rate = rate.split('/').next()?;
        if rate.parse() != Ok(codec.clock_rate()) {
            return None;
        }
        Some(Offered {
            payload_type: number,
            codec,
            parameters: parameters(number).to_owned(),
            rtx: rtx(number),
            nack: feedback(number, "nack"),
            pli: feedback(number, "nack pli"),
            transport_cc: feedback(number, "transport-cc"),
        })
    });
    known.collect()
}

fn extensions(media: &MediaDescription) -> Vec<(u8, String)> {
    let all = values(media, "extmap").filter_map(|value| {
        let (number, rest) = value.split_once(' ')?;
        let number = number.split('/').next()?.parse().ok()?;
        let uri = rest.split_whitespace().next()?;
        // Above 14 they need the form with two bytes in front, which nobody asks for here.
        (1..=14).contains(&number).then(|| (number, uri.to_owned()))
    });
    all.take(EXTENSIONS_MAX).collect()
}

fn sources(media: &MediaDescription) -> (Vec<u32>, Vec<(u32, u32)>) {
    let groups = values(media, "ssrc-group").filter_map(|value| {
        let mut words = value.strip_prefix("FID ")?.split_whitespace();
        Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
    });
    let rtx: Vec<(u32, u32)> = groups.take(SSRCS_MAX).collect();
    let mut ssrcs = Vec::new();
    for value in values(media, "ssrc") {
        let Some(ssrc) = value.split(' ').next().and_then(|ssrc| ssrc.parse().ok()) else {
            continue;
        };
        let repairs = rtx.iter().any(|(_, rtx)| *rtx == ssrc);
        if !repairs && !ssrcs.contains(&ssrc) && ssrcs.len() < SSRCS_MAX {
            ssrcs.push(ssrc);
        }
    }
    (ssrcs, rtx)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) const CREDENTIALS: &str = "a=ice-ufrag:Yq1V\r\na=ice-pwd:0123456789012345678901\r\n\
        a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n";

    /// An offer like a browser's to publish sound and pictures.
    pub(crate) fn like_a_browser(direction: &str) -> String {
        format!(
            "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
             m=audio 9 UDP/TLS/RTP/SAVPF 111 9\r\nc=IN IP4 0.0.0.0\r\n{CREDENTIALS}a=setup:actpass\r\na=mid:0\r\n\
             a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
             a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n\
             a={direction}\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\n\
             a=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:9 G722/8000\r\na=ssrc:1111 cname:x\r\n\
             m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 103 39\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\n\
             a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n\
             a={direction}\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n\
             a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtpmap:102 H264/90000\r\na=rtcp-fb:102 nack\r\n\
             a=rtcp-fb:102 nack pli\r\na=rtcp-fb:102 transport-cc\r\n\
             a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n\
             a=rtpmap:103 rtx/90000\r\na=fmtp:103 apt=102\r\na=rtpmap:39 AV1/90000\r\n\
             a=ssrc-group:FID 2222 3333\r\na=ssrc:2222 cname:x\r\na=ssrc:3333 cname:x\r\n"
        )
    }

    #[test]
    fn what_a_browser_offers_is_read() {
        let offer = Offer::parse(&like_a_browser("sendonly")).unwrap();
        assert_eq!(
            (offer.ufrag.as_str(), offer.setup),
            ("Yq1V", Setup::ActPass)
        );
        assert_eq!(offer.bundle, ["0", "1"]);
        assert_eq!(offer.fingerprint[..3], [0, 0x11, 0x22]);
        let [audio, video] = &offer.sections[..] else {
            panic!("two sections");
        };
        assert_eq!(
            (audio.kind, audio.codecs.len()),
            (Some(TrackKind::Audio), 1)
        );
        assert_eq!(video.direction, Direction::SendOnly);
        assert_eq!(
            (video.ssrcs.clone(), video.rtx_ssrcs.clone()),
            (vec![2222], vec![(2222, 3333)])
        );
        let h264 = video
            .codecs
            .iter()
            .find(|one| one.codec == Codec::H264)
            .unwrap();
        assert_eq!((h264.payload_type, h264.rtx), (102, Some(103)));
        assert_eq!(h264.parameter("profile-level-id"), Some("42e01f"));
        assert!(h264.nack && h264.pli && h264.transport_cc);
    }

    #[test]
    fn what_cannot_be_answered_is_refused_with_its_reason() {
        let whole = like_a_browser("sendonly");
        for (offer, reason) in [
            (String::new(), "no session description"),
            (
                "v=0\r\n".to_owned() + &"m=audio 9 RTP/AVP 0\r\n".repeat(200),
                "200 media sections",
            ),
            (
                "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n".to_owned(),
                "lacks a media section",
            ),
            (whole.replace("ice-pwd:0123456789", "ice-pwd:"), "a=ice-pwd"),
            (whole.replace("ice-ufrag", "ice-frag"), "lacks a=ice-ufrag"),
            (whole.replace("sha-256", "sha-1"), "sha-256"),
            (
                whole.replace("00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00", "00"),
                "a=fingerprint",
            ),
            (whole.replace("actpass", "holdconn"), "a=setup"),
            (" ".repeat(BYTES_MAX + 1), "more than"),
        ] {
            let error = Offer::parse(&offer).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(lines in proptest::collection::vec("[vosctma]=[ -~]{0,60}", 0..20)) {
            let _ = Offer::parse(&lines.join("\r\n"));
            let text = like_a_browser("sendrecv") + &lines.join("\r\n");
            let _ = Offer::parse(&text);
        }
    }
}
