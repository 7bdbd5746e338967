//! Requests over HTTP/1.1, and answers taken apart as they arrive.

use std::io::Read as _;

use anyhow::{Context as _, anyhow, bail};
use bytes::{Buf as _, Bytes, BytesMut};

/// Longest head of an answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;

/// What a request for a WebSocket says besides (RFC 6455 §4.1), with the example key of §1.3: what
/// is asked for once needs no secret.
pub(crate) const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A request over HTTP/1.1.
pub(crate) fn get(path: &str, host: &str, headers: &str) -> Bytes {
    let agent = concat!("barrage-load/", env!("CARGO_PKG_VERSION"));
    Bytes::from(format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\n{headers}\r\n"
    ))
}

/// An answer that is being read. After [`Piece::End`] it is ready for the next one on the same
/// connection.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    unread: BytesMut,
    at: At,
    gzip: bool,
}

#[derive(Debug, Default)]
enum At {
    #[default]
    Head,
    /// So many bytes are left.
    Length(u64),
    /// At the line that says how long the next chunk is; not the first one after another's data.
    ChunkSize { first: bool },
    /// So many bytes of a chunk are left.
    Chunk(u64),
    /// At the empty line after the last chunk.
    LastLine,
    /// All that comes.
    Open,
}

/// What has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// The head, with its status.
    Head(u16),
    /// More of the body.
    Body(Bytes),
    /// The answer is whole.
    End,
}

impl Answer {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// The next piece, if it is there.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<Piece>> {
        loop {
            match self.at {
                At::Head => return self.head(),
                At::Length(0) => {
                    self.at = At::Head;
                    return Ok(Some(Piece::End));
                }
                At::Length(left) => return Ok(self.body(left, At::Length)),
                At::Chunk(0) => self.at = At::ChunkSize { first: false },
                At::Chunk(left) => return Ok(self.body(left, At::Chunk)),
                At::ChunkSize { first } => {
                    if !self.chunk_size(first)? {
                        return Ok(None);
                    }
                }
                At::LastLine => {
                    if self.unread.len() < 2 {
                        return Ok(None);
                    }
                    self.unread.advance(2);
                    self.at = At::Length(0);
                }
                At::Open => {
                    let bytes = self.unread.split().freeze();
                    return Ok((!bytes.is_empty()).then_some(Piece::Body(bytes)));
                }
            }
        }
    }

    /// Whether bodies come compressed; [`inflate`] makes them plain.
    pub(crate) const fn is_gzip(&self) -> bool {
        self.gzip
    }

    fn head(&mut self) -> anyhow::Result<Option<Piece>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = head.parse(&self.unread).context("not HTTP")?
        else {
            if self.unread.len() > HEAD_BYTES_MAX {
                bail!("an answer whose head has no end");
            }
            return Ok(None);
        };
        let status = head.code.unwrap_or_default();
        let value = |name: &str| {
            let header = head
                .headers
                .iter()
                .find(|h| h.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(header.value).ok()
        };
        self.gzip = value("content-encoding") == Some("gzip");
        let chunked = value("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked"));
        self.at = match value("content-length") {
            _ if chunked => At::ChunkSize { first: true },
            _ if status == 101 => At::Open,
            _ if status == 204 || status == 304 => At::Length(0),
            Some(length) => At::Length(length.trim().parse().context("a length")?),
            None => At::Open,
        };
        self.unread.advance(length);
        Ok(Some(Piece::Head(status)))
    }

    fn body(&mut self, left: u64, then: impl FnOnce(u64) -> At) -> Option<Piece> {
        let length = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(self.unread.len());
        if length == 0 {
            return None;
        }
        let bytes = self.unread.split_to(length).freeze();
        self.at = then(left - length as u64);
        Some(Piece::Body(bytes))
    }

    /// Whether the line was whole.
    fn chunk_size(&mut self, first: bool) -> anyhow::Result<bool> {
        let skip = if first { 0 } else { 2 };
        let line = self.unread.get(skip..).unwrap_or_default();
        let size =
            httparse::parse_chunk_size(line).map_err(|_| anyhow!("a chunk without a size"))?;
        let httparse::Status::Complete((length, size)) = size else {
            if line.len() > HEAD_BYTES_MAX {
                bail!("a chunk without a size");
            }
            return Ok(false);
        };
        self.unread.advance(skip + length);
        self.at = if size == 0 {
            At::LastLine
        } else {
            At::Chunk(size)
        };
        Ok(true)
    }
}

/// The text of a body, of at most `limit` bytes.
pub(crate) fn inflate(body: &[u8], limit: u64) -> anyhow::Result<String> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(body)
        .take(limit)
        .read_to_string(&mut text)
        .context("a compressed body that is none")?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status and body of each answer, given `step` bytes at a time.
    fn read(bytes: &[u8], step: usize) -> Vec<(u16, Vec<u8>)> {
        let (mut answer, mut all) = (Answer::default(), Vec::new());
        let mut current = (0, Vec::new());
        for some in bytes.chunks(step) {
            answer.push(some);
            while let Some(piece) = answer.next().unwrap() {
                match piece {
                    Piece::Head(status) => current.0 = status,
                    Piece::Body(bytes) => current.1.extend_from_slice(&bytes),
                    Piece::End => all.push(std::mem::take(&mut current)),
                }
            }
        }
        if current.0 != 0 {
            all.push(current);
        }
        all
    }

    #[test]
    fn answers_of_every_kind_are_read_however_they_are_cut() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc\
            HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n4\r\nnope\r\n2;x=y\r\n!!\r\n0\r\n\r\n\
            HTTP/1.1 204 No Content\r\n\r\n\
            HTTP/1.1 101 Switching Protocols\r\n\r\nopen";
        let expected = [
            (200, b"abc".to_vec()),
            (404, b"nope!!".to_vec()),
            (204, Vec::new()),
            (101, b"open".to_vec()),
        ];
        for step in 1..bytes.len() {
            assert_eq!(read(bytes, step), expected, "{step} bytes at a time");
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for bytes in [&b"FLV\x01 \r\n\r\n"[..], &[b'x'; 20_000]] {
            let mut answer = Answer::default();
            answer.push(bytes);
            assert!(answer.next().is_err());
        }
        let mut answer = Answer::default();
        answer.push(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
        assert_eq!(answer.next().unwrap(), Some(Piece::Head(200)));
        assert!(answer.next().is_err());
    }
}
