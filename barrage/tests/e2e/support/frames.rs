//! A WebSocket by hand: for what no library sends, and for compression, which tungstenite does not
//! have.

use std::net::SocketAddr;

use bytes::{Buf as _, BufMut as _, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::within;

const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// The bit of the first byte which says that a message is compressed.
pub(crate) const COMPRESSED: u8 = 0x40;

/// A frame as clients send it.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        length @ 0..=125 => out.put_u8(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            out.put_u8(0x80 | 126);
            out.put_u16(length as u16);
        }
        length => {
            out.put_u8(0x80 | 127);
            out.put_u64(length as u64);
        }
    }
    out.put_slice(&MASK);
    let bytes = payload.iter().zip(MASK.iter().cycle());
    out.extend(bytes.map(|(byte, mask)| byte ^ mask));
    out
}

/// A message's content, compressed by itself.
pub(crate) fn deflated(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 100);
    Compress::new(Compression::best(), false)
        .compress_vec(content, &mut out, FlushCompress::Sync)
        .unwrap();
    assert!(out.ends_with(&[0, 0, 0xFF, 0xFF]));
    out.truncate(out.len() - 4);
    out
}

fn inflated(content: &[u8]) -> Vec<u8> {
    let content = [content, &[0, 0, 0xFF, 0xFF]].concat();
    // Nothing here is longer.
    let mut out = Vec::with_capacity(1 << 20);
    Decompress::new(false)
        .decompress_vec(&content, &mut out, FlushDecompress::Sync)
        .unwrap();
    out
}

/// A frame of the server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// As it stands on the wire.
    pub(crate) first: u8,
    /// What is in it, inflated.
    pub(crate) content: Vec<u8>,
    /// How long it was on the wire.
    pub(crate) length: usize,
}

impl Frame {
    /// The code of a close frame.
    pub(crate) fn code(&self) -> Option<u16> {
        let code = self.content.first_chunk().filter(|_| self.first == 0x88)?;
        Some(u16::from_be_bytes(*code))
    }
}

/// The client's end of a WebSocket.
pub(crate) struct Frames<S> {
    socket: S,
    heard: BytesMut,
    /// The answer to the handshake.
    pub(crate) answer: String,
}

impl Frames<TcpStream> {
    /// Shakes hands with `/ws`, with more headers, each with its end of line.
    pub(crate) async fn open(to: SocketAddr, query: &str, headers: &str) -> Self {
        let socket = TcpStream::connect(to).await.unwrap();
        Self::over(socket, query, headers).await
    }

    /// The peer's end of the socket, to do with it what no frame does.
    pub(crate) fn into_socket(self) -> TcpStream {
        self.socket
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    /// The same on a connection that is there.
    pub(crate) async fn over(mut socket: S, query: &str, headers: &str) -> Self {
        let request = format!(
            "GET /ws?{query} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: barrage.v1.json\r\n{headers}\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut frames = Self {
            socket,
            heard: BytesMut::new(),
            answer: String::new(),
        };
        let end = loop {
            let end = frames.heard.windows(4).position(|end| end == b"\r\n\r\n");
            match end {
                Some(end) => break end + 4,
                None => assert!(frames.more().await, "no answer to the handshake"),
            }
        };
        frames.answer = String::from_utf8(frames.heard.split_to(end).to_vec()).unwrap();
        assert!(frames.answer.contains(" 101 "), "{}", frames.answer);
        frames
    }

    /// Reads more; false at the end.
    async fn more(&mut self) -> bool {
        let read = within("bytes come", self.socket.read_buf(&mut self.heard)).await;
        // A server that has heard enough may close before it has read all.
        read.is_ok_and(|length| length > 0)
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        // Somebody who was ended hears of it by reading.
        let _ = within("it is sent", self.socket.write_all(bytes)).await;
    }

    /// The next frame; none at the end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let mut bytes = &self.heard[..];
        let (first, second) = (bytes.try_get_u8().ok()?, bytes.try_get_u8().ok()?);
        let length = match second {
            126 => bytes.try_get_u16().ok()?.into(),
            127 => usize::try_from(bytes.try_get_u64().ok()?).unwrap(),
            length => length.into(),
        };
        let content = bytes.get(..length)?;
        let content = if first & COMPRESSED == 0 {
            content.to_vec()
        } else {
            inflated(content)
        };
        let all = self.heard.len() - bytes.len() + length;
        self.heard.advance(all);
        Some(Frame {
            first,
            content,
            length: all,
        })
    }

    /// The code with which it is ended, if one is said.
    pub(crate) async fn ended(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some(frame) = self.next().await {
            code = code.or(frame.code());
        }
        code
    }
}
