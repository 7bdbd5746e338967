//! What the tests are made of.
//!
//! - [`server`]: the real binary on a data directory of its own.
//! - [`frames`]: a WebSocket by hand.
//! - [`engines`]: NATS and Redis, where they are wanted.
//! - [`eye`]: tells what was seen and heard, and when there were flashes and beeps.
//! - [`ffmpeg`]: a publisher that everybody has, and an eye for what viewers get.
//! - [`camera`]: a camera and a microphone, for a peer over WebRTC.
//! - [`clip`]: media made once by ffmpeg, to be sent by hand.
//! - [`foreign`]: peers of other makes.
//! - [`member`]: somebody in a room.
//! - [`peer`]: somebody who publishes or watches over WebRTC, packet by packet.
//! - [`person`]: somebody with a browser's cookies.
//! - [`pictures`]: of a recording, as packets.
//! - [`player`]: a viewer over FLV or RTMP.
//! - [`postgres`]: a database of its own, where there is a server for it.
//! - [`projector`]: shows what a peer is sent.
//! - [`publisher`]: a publisher that does what no encoder does.
//! - [`screen`]: what a peer that watches sees.
//! - [`viewer`]: somebody who watches, and writes down every playlist.
//! - [`raw`]: bytes on a socket.
//! - [`shop`]: a payment provider of another make.
//! - [`till`]: what the ledger holds, seen from behind.
//! - [`waiting`]: for a condition, with a deadline.

pub(crate) mod camera;
pub(crate) mod clip;
pub(crate) mod coins;
pub(crate) mod engines;
pub(crate) mod eye;
pub(crate) mod ffmpeg;
pub(crate) mod foreign;
pub(crate) mod frames;
pub(crate) mod member;
pub(crate) mod peer;
pub(crate) mod person;
pub(crate) mod pictures;
pub(crate) mod player;
pub(crate) mod postgres;
pub(crate) mod projector;
pub(crate) mod publisher;
pub(crate) mod raw;
pub(crate) mod screen;
pub(crate) mod server;
pub(crate) mod shop;
pub(crate) mod till;
pub(crate) mod viewer;
pub(crate) mod waiting;
pub(crate) mod webhooks;

pub(crate) use clip::Clip;
pub(crate) use ffmpeg::Source;
pub(crate) use member::{Encoding, Member};
pub(crate) use person::{Person, browser};
pub(crate) use player::{Over, Player};
pub(crate) use publisher::Publisher;
pub(crate) use screen::Screen;
pub(crate) use server::Server;
pub(crate) use viewer::Viewer;
pub(crate) use waiting::{until, within};
