//! A screen and a loudspeaker: what a peer is sent is passed on to ffmpeg, as plain packets.

use std::path::Path;
use std::time::Duration;

use sfu_core::Codec;
use sfu_core::caller::{H264, OPUS};
use sfu_core::rtp::Header;
use sfu_core::transport::Received;
use tokio::net::UdpSocket;
use tokio::time::interval;

use super::peer::Peer;

/// How often it is said that somebody still watches.
const STAYS_EVERY: Duration = Duration::from_secs(5);

/// An RTCP packet that begins with a sender's report.
const SENDER_REPORT: u8 = 200;

/// Where what a peer is sent can be seen.
pub(crate) struct Projector {
    socket: UdpSocket,
    /// A port for packets, and the next for reports; of pictures, and of sound.
    ports: [u16; 2],
}

impl Projector {
    pub(crate) async fn new() -> Self {
        Self {
            socket: UdpSocket::bind("127.0.0.1:0").await.unwrap(),
            ports: [pair_of_ports().await, pair_of_ports().await],
        }
    }

    /// Writes down for ffmpeg where to listen.
    pub(crate) fn describe(&self, path: &Path, codec: Codec) {
        let [video, audio] = self.ports;
        let codec = codec.as_str();
        let text = format!(
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=video {video} RTP/AVP {H264}\r\na=rtpmap:{H264} {codec}/90000\r\n\
             a=fmtp:{H264} packetization-mode=1\r\n\
             m=audio {audio} RTP/AVP {OPUS}\r\na=rtpmap:{OPUS} opus/48000/2\r\n"
        );
        std::fs::write(path, text).unwrap();
    }

    /// Passes on what a viewer is sent, without end.
    pub(crate) async fn show(&self, viewer: &mut Peer) {
        let mut sources = [None; 2];
        let mut stays = interval(STAYS_EVERY);
        loop {
            let heard = tokio::select! {
                heard = viewer.hear() => heard,
                _ = stays.tick() => {
                    viewer.stay().await;
                    continue;
                }
            };
            match heard {
                Received::Rtp(packet) => {
                    let header = Header::parse(&packet).unwrap();
                    let kind = match header.payload_type {
                        H264 => 0,
                        OPUS => 1,
                        _ => continue,
                    };
                    sources[kind] = Some(header.ssrc);
                    self.send(&packet, self.ports[kind]).await;
                }
                Received::Rtcp(compound) => {
                    for report in reports(&compound) {
                        let of = u32::from_be_bytes(report[4..8].try_into().unwrap());
                        let kind = sources.iter().position(|source| *source == Some(of));
                        if let Some(kind) = kind {
                            self.send(report, self.ports[kind] + 1).await;
                        }
                    }
                }
                Received::Nothing | Received::Ready | Received::Closed => {}
            }
        }
    }

    async fn send(&self, bytes: &[u8], port: u16) {
        // Nobody listens before ffmpeg does, which the system may tell.
        let _ = self.socket.send_to(bytes, ("127.0.0.1", port)).await;
    }
}

/// The senders' reports in a compound packet.
fn reports(mut compound: &[u8]) -> Vec<&[u8]> {
    let mut reports = Vec::new();
    while let Some(&[_, kind, high, low]) = compound.first_chunk() {
        let length = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
        let (packet, rest) = compound.split_at(length.min(compound.len()));
        if kind == SENDER_REPORT {
            reports.push(packet);
        }
        compound = rest;
    }
    reports
}

/// A free port, even as ffmpeg wants it, before another.
async fn pair_of_ports() -> u16 {
    loop {
        let first = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = first.local_addr().unwrap().port();
        if port % 2 == 0 && UdpSocket::bind(("127.0.0.1", port + 1)).await.is_ok() {
            return port;
        }
    }
}
