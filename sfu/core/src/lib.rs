//! WebRTC without I/O. Datagrams and times go in, datagrams and packets come out; no socket, no
//! clock, no runtime.
//!
//! How two agree:
//! - [`offer`]: what a peer offers (SDP, RFC 8866), read within limits.
//! - [`answer`]: what is answered to it.
//!
//! How they reach each other, and nobody else listens:
//! - [`ice`]: the passive half of ICE (ICE-lite, RFC 8445 §2.5).
//! - [`secure`]: the DTLS handshake, and the keys that come out of it (RFC 5764).
//! - `hello`: the first words of that handshake.
//! - [`srtp`]: packets sealed and opened by those keys (RFC 3711, RFC 7714).
//! - [`transport`]: the three as one: datagrams in, packets out.
//! - [`caller`]: the other side, which offers and asks.
//!
//! What goes over it:
//! - [`codec`]: which codecs, and where a packet begins a keyframe.
//! - [`rtp`]: packet headers (RFC 3550).
//! - [`rtcp`]: reports and requests beside the packets.
//! - [`packet`]: one packet of a track as all viewers share it.
//! - [`up`]: a track on its way in: what is missing is asked for again.
//! - [`assemble`]: packets put in order and together: access units.
//! - [`packetize`]: access units cut into packets.
//! - [`down`]: a track on its way to one viewer.

pub mod answer;
pub mod assemble;
pub mod caller;
pub mod codec;
pub mod down;
mod hello;
pub mod ice;
pub mod offer;
pub mod packet;
pub mod packetize;
pub mod rtcp;
pub mod rtp;
pub mod secure;
pub mod srtp;
pub mod transport;
pub mod up;

pub use codec::Codec;
pub use packet::Packet;
