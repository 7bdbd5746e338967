//! The other side: one who offers a session to a server and asks to be let in. Load tests and tests
//! are such; it reaches servers that have a candidate for UDP in their answer (RFC 9725 §4.2).

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::ice::{self, Ice, Path};
use crate::secure::{Credentials, Secure};
use crate::transport::Transport;

/// The payload types that [`Caller::offer`] names.
pub const OPUS: u8 = 111;
/// See [`OPUS`].
pub const H264: u8 = 102;
/// See [`OPUS`].
pub const H264_RTX: u8 = 103;

/// The identifier under which packets carry transport-wide numbers, if that was offered.
pub const TRANSPORT_CC: u8 = 3;

const TRANSPORT_CC_URI: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// Sources that a publisher announces.
#[derive(Clone, Copy, Debug)]
pub struct Sources {
    /// Of sound.
    pub audio: u32,
    /// Of pictures.
    pub video: u32,
    /// Of pictures that are sent again.
    pub video_rtx: u32,
}

/// What is wanted of a session.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// What is sent; without it, everything is received.
    pub sends: Option<Sources>,
    /// Whether what is lost may be sent again.
    pub repairs: bool,
    /// Whether packets have transport-wide numbers.
    pub numbered: bool,
}

/// Why an answer leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Something that an answer must have is not there, or cannot be read.
    #[error("the answer has no {0}")]
    Lacks(&'static str),
    /// The handshake cannot be begun.
    #[error(transparent)]
    Secure(#[from] crate::secure::Error),
}

/// One who offers.
#[derive(Debug)]
pub struct Caller {
    credentials: Arc<Credentials>,
    ufrag: String,
    password: String,
}

/// A session that was answered.
#[derive(Debug)]
pub struct Call {
    /// What goes over it.
    pub transport: Transport,
    /// Where the server is.
    pub server: SocketAddr,
    name: String,
    password: String,
    credentials: Arc<Credentials>,
}

impl Caller {
    /// With these credentials. The name and the password of its ICE are random, and as long as
    /// RFC 8445 §5.3 wants them.
    pub const fn new(credentials: Arc<Credentials>, ufrag: String, password: String) -> Self {
        Self {
            credentials,
            ufrag,
            password,
        }
    }

    /// An offer of sound in Opus and pictures in H.264 (RFC 8866).
    pub fn offer(&self, wish: Wish) -> String {
        let direction = if wish.sends.is_some() {
            "sendonly"
        } else {
            "recvonly"
        };
        let mut transport = String::new();
        for byte in self.credentials.fingerprint() {
            let colon = if transport.is_empty() { "" } else { ":" };
            let _ = write!(transport, "{colon}{byte:02X}");
        }
        transport = format!(
            "c=IN IP4 0.0.0.0\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\n\
             a=fingerprint:sha-256 {transport}\r\na=setup:active\r\na=rtcp-mux\r\na={direction}\r\n",
            self.ufrag, self.password
        );
        if wish.numbered {
            let _ = write!(transport, "a=extmap:{TRANSPORT_CC} {TRANSPORT_CC_URI}\r\n");
        }
        let (mut formats, mut video) = (H264.to_string(), String::new());
        if wish.repairs {
            let _ = write!(formats, " {H264_RTX}");
            let _ = write!(
                video,
                "a=rtcp-fb:{H264} nack\r\na=rtpmap:{H264_RTX} rtx/90000\r\na=fmtp:{H264_RTX} apt={H264}\r\n"
            );
        }
        if wish.numbered {
            let _ = write!(video, "a=rtcp-fb:{H264} transport-cc\r\n");
        }
        let mut audio = String::new();
        if let Some(sources) = wish.sends {
            let Sources {
                audio: sound,
                video: pictures,
                video_rtx: again,
            } = sources;
            let _ = write!(audio, "a=ssrc:{sound} cname:caller\r\n");
            if wish.repairs {
                let _ = write!(video, "a=ssrc-group:FID {pictures} {again}\r\n");
                let _ = write!(video, "a=ssrc:{again} cname:caller\r\n");
            }
            let _ = write!(video, "a=ssrc:{pictures} cname:caller\r\n");
        }
        format!(
            "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
             m=audio 9 UDP/TLS/RTP/SAVPF {OPUS}\r\n{transport}a=mid:0\r\n\
             a=rtpmap:{OPUS} opus/48000/2\r\n{audio}\
             m=video 9 UDP/TLS/RTP/SAVPF {formats}\r\n{transport}a=mid:1\r\n\
             a=rtpmap:{H264} H264/90000\r\na=rtcp-fb:{H264} nack pli\r\n\
             a=fmtp:{H264} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n{video}"
        )
    }

    /// Takes what was answered, and asks to be let in.
    ///
    /// # Errors
    /// When the answer names no way there.
    pub fn call(self, now: Instant, answer: &str) -> Result<Call, Error> {
        let server = candidate(answer).ok_or(Error::Lacks("candidate for UDP"))?;
        let fingerprint = fingerprint(answer).ok_or(Error::Lacks("fingerprint by SHA-256"))?;
        let remote = value(answer, "a=ice-ufrag:").ok_or(Error::Lacks("user name"))?;
        let password = value(answer, "a=ice-pwd:").ok_or(Error::Lacks("password"))?;
        let name = format!("{remote}:{}", self.ufrag);
        let ice = Ice::new(self.ufrag, self.password, remote.to_owned(), now);
        let secure = Secure::new(Arc::clone(&self.credentials), fingerprint, true);
        let mut call = Call {
            transport: Transport::new(ice, secure, Arc::clone(&self.credentials)),
            server,
            name,
            password: password.to_owned(),
            credentials: self.credentials,
        };
        let check = call.check([0; 12])?;
        call.transport.dial(now, Path::Udp(server), check)?;
        Ok(call)
    }
}

impl Call {
    /// A question whether the server is there. Its number is random.
    ///
    /// # Errors
    /// When the names are longer than a question can have them.
    pub fn check(&self, number: [u8; 12]) -> Result<Vec<u8>, Error> {
        let crypto = self.credentials.provider().crypto();
        ice::request(&self.name, &self.password, number, crypto)
            .map_err(|_| Error::Lacks("user name that fits into a question"))
    }

    /// Begins ICE anew, as `fragment` answers to it (RFC 9725 §4.3.3): `ours` is the user name that was
    /// told for ourselves, and the checks from now on let us in from wherever they come.
    ///
    /// # Errors
    /// When the answer names nobody.
    pub fn restart(&mut self, ours: &str, fragment: &str) -> Result<(), Error> {
        let remote = value(fragment, "a=ice-ufrag:").ok_or(Error::Lacks("user name"))?;
        let password = value(fragment, "a=ice-pwd:").ok_or(Error::Lacks("password"))?;
        self.name = format!("{remote}:{ours}");
        password.clone_into(&mut self.password);
        Ok(())
    }

    /// The way on which everything goes.
    pub const fn path(&self) -> Path {
        Path::Udp(self.server)
    }
}

fn value<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| line.strip_prefix(name))
}

fn fingerprint(answer: &str) -> Option<[u8; 32]> {
    let (kind, digits) = value(answer, "a=fingerprint:")?.split_once(' ')?;
    if !kind.eq_ignore_ascii_case("sha-256") {
        return None;
    }
    let bytes = digits.trim().split(':');
    let bytes: Option<Vec<u8>> = bytes
        .map(|pair| u8::from_str_radix(pair, 16).ok())
        .collect();
    bytes?.try_into().ok()
}

/// The first candidate that datagrams may be sent to (RFC 8839 §5.1).
fn candidate(answer: &str) -> Option<SocketAddr> {
    let mut lines = answer.lines();
    lines.find_map(|line| {
        let mut words = line.strip_prefix("a=candidate:")?.split(' ');
        let (_, _, protocol, _) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let (ip, port) = (words.next()?, words.next()?);
        let is_udp = protocol.eq_ignore_ascii_case("udp");
        is_udp.then(|| Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?)))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offer::Offer;

    fn caller() -> Caller {
        let credentials = Arc::new(Credentials::generate().unwrap());
        Caller::new(credentials, "four".into(), "apasswordofmanyletters".into())
    }

    #[test]
    fn what_is_offered_can_be_answered() {
        let sends = Some(Sources {
            audio: 1,
            video: 2,
            video_rtx: 3,
        });
        for (sends, repairs, numbered) in [
            (None, true, false),
            (sends, false, false),
            (sends, true, true),
        ] {
            let wish = Wish {
                sends,
                repairs,
                numbered,
            };
            let offer = Offer::parse(&caller().offer(wish)).unwrap();
            assert_eq!(offer.sections.len(), 2);
            let video = &offer.sections[1];
            assert_eq!(video.extension(TRANSPORT_CC_URI).is_some(), numbered);
            assert_eq!(video.codecs[0].rtx.is_some(), repairs);
        }
    }

    #[test]
    fn an_answer_that_lacks_something_is_refused_by_name() {
        let answer = "a=ice-ufrag:x\na=ice-pwd:y\na=candidate:1 1 UDP 2 192.0.2.1 8189 typ host\n";
        let refused = caller().call(Instant::now(), answer).unwrap_err();
        assert_eq!(refused, Error::Lacks("fingerprint by SHA-256"));
        let answer = format!("{answer}a=fingerprint:SHA-256 {}00\n", "00:".repeat(31));
        let call = caller().call(Instant::now(), &answer).unwrap();
        assert_eq!(call.server, SocketAddr::from(([192, 0, 2, 1], 8189)));
    }
}
