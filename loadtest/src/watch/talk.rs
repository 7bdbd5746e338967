//! What a viewer says and hears on one connection, without the connection.

use anyhow::bail;
use bytes::Bytes;
use ingest::rtmp::Secret;
use ingest::rtmp::client::{Config, Event, Output, Purpose, Session};
use media::flv::Reader;

use super::hls;
use super::tally::Seen;
use super::target::{Protocol, Target};
use crate::http::{Answer, Piece, UPGRADE, get};
use crate::websocket::Frames;

/// Largest tag taken.
const TAG_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One connection's side of the conversation.
pub(crate) trait Talk: Send {
    /// Takes what was read.
    fn handle_input(&mut self, bytes: &[u8], seen: &mut Seen<'_>) -> anyhow::Result<()>;
    /// What to write next.
    fn poll_transmit(&mut self) -> Option<Bytes>;
    /// A further connection that the viewer needs.
    fn poll_further(&mut self) -> Option<Box<dyn Talk>> {
        None
    }
    /// Whether nothing more is to come.
    fn is_over(&self) -> bool;
}

/// How a viewer begins; nothing for those who do not go over TCP.
pub(crate) fn begin(target: &Target) -> Option<Box<dyn Talk>> {
    Some(match target.protocol {
        Protocol::Rtmp => Box::new(Rtmp::new(target)),
        Protocol::Flv | Protocol::WsFlv => Box::new(Flv::new(target)),
        Protocol::LlHls => Box::new(hls::Index::new(target)),
        Protocol::Whep => return None,
    })
}

/// FLV over HTTP or WebSocket.
struct Flv {
    request: Option<Bytes>,
    answer: Answer,
    frames: Option<Frames>,
    tags: Reader,
    over: bool,
}

impl Flv {
    fn new(target: &Target) -> Self {
        let upgrade = target.protocol == Protocol::WsFlv;
        let headers = if upgrade { UPGRADE } else { "" };
        Self {
            request: Some(get(&target.place.path(), target.place.host(), headers)),
            answer: Answer::default(),
            frames: upgrade.then(Frames::default),
            tags: Reader::new(TAG_BYTES_MAX),
            over: false,
        }
    }
}

impl Talk for Flv {
    fn handle_input(&mut self, bytes: &[u8], seen: &mut Seen<'_>) -> anyhow::Result<()> {
        self.answer.push(bytes);
        while let Some(piece) = self.answer.next()? {
            match piece {
                Piece::Head(200 | 101) => {}
                Piece::Head(status) => bail!("the server answered {status}"),
                Piece::Body(bytes) => match &mut self.frames {
                    Some(frames) => frames.handle_input(&bytes, |data, _| self.tags.push(data))?,
                    None => self.tags.push(&bytes),
                },
                Piece::End => self.over = true,
            }
            while let Some(tag) = self.tags.next_tag()? {
                seen.tag(tag.kind, &tag.body);
            }
        }
        self.over |= self.frames.as_ref().is_some_and(Frames::is_closed);
        Ok(())
    }

    fn poll_transmit(&mut self) -> Option<Bytes> {
        let pong = || self.frames.as_mut().and_then(Frames::poll_transmit);
        self.request.take().or_else(pong)
    }

    fn is_over(&self) -> bool {
        self.over
    }
}

struct Rtmp {
    session: Session,
    over: bool,
    transmit: Option<Bytes>,
}

impl Rtmp {
    fn new(target: &Target) -> Self {
        let path = target.place.path();
        let path = path.trim_start_matches('/');
        let (app, name) = path.split_once('/').unwrap_or((path, ""));
        let config = Config {
            purpose: Purpose::Play,
            app: app.to_owned(),
            tc_url: format!("rtmp://{}/{app}", target.place.host()),
            key: Secret::new(name.to_owned()),
            encoder: concat!("barrage-load/", env!("CARGO_PKG_VERSION")).to_owned(),
            chunk_size: 4096,
        };
        Self {
            session: Session::new(config, rand::random()),
            over: false,
            transmit: None,
        }
    }
}

impl Talk for Rtmp {
    fn handle_input(&mut self, bytes: &[u8], seen: &mut Seen<'_>) -> anyhow::Result<()> {
        self.session.handle_input(bytes)?;
        while let Some(output) = self.session.poll_output() {
            match output {
                // Transmissions come before events.
                Output::Transmit(bytes) => self.transmit = Some(bytes),
                Output::Event(Event::Media { kind, body, .. }) => seen.tag(kind, &body),
                Output::Event(Event::Refused { code, description }) => {
                    bail!("the server said no: {code}: {description}");
                }
                Output::Event(Event::PlayEnded) => self.over = true,
                Output::Event(
                    Event::Connected
                    | Event::Publishing
                    | Event::Playing
                    | Event::Unpublished
                    | Event::Acknowledged(_),
                ) => {}
            }
        }
        Ok(())
    }

    fn poll_transmit(&mut self) -> Option<Bytes> {
        self.transmit
            .take()
            .or_else(|| match self.session.poll_output()? {
                Output::Transmit(bytes) => Some(bytes),
                Output::Event(_) => None,
            })
    }

    fn is_over(&self) -> bool {
        self.over
    }
}
