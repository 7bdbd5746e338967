//! A look at the first request of a plain connection. One for a live stream or a room is a shard's
//! matter, with its socket; every other is hyper's, with what has been read of it.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, header};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::MAX_HEAD_BYTES;

/// What requests for live streams and rooms begin with. Any other is known by its first bytes.
const BEGINNINGS: [&[u8]; 2] = [b"GET /live/", b"GET /ws?"];

/// Headers of a request. Hyper has the same limit.
const HEADERS_MAX: usize = 100;

/// What the first request is.
#[derive(Debug)]
pub(super) enum First {
    /// It may be one for a shard.
    Shards(Box<Request<()>>),
    /// It is for hyper, or cannot be told yet.
    Other,
}

/// Reads the head of the first request as far as it takes to know. Gives back all that was read.
///
/// # Errors
/// When the connection breaks or closes, or the head does not come in time.
pub(super) async fn read(stream: &mut TcpStream, within: Duration) -> io::Result<(First, Bytes)> {
    let mut head = BytesMut::with_capacity(1024);
    let first = timeout(within, async {
        loop {
            let known = head.len();
            if stream.read_buf(&mut head).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            // A head that comes byte by byte is not parsed at each of them.
            if may_tell(&head, known)
                && let Some(first) = look(&head)
            {
                return Ok(first);
            }
        }
    });
    let first = first
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok((first, head.freeze()))
}

/// Whether a head may yet be one for a shard, or is.
fn may_begin(head: &[u8]) -> bool {
    let begins = |beginning: &&[u8]| {
        let length = head.len().min(beginning.len());
        head[..length] == beginning[..length]
    };
    BEGINNINGS.iter().any(begins)
}

/// Whether what came after the first `known` bytes can make a difference to [`look`].
fn may_tell(head: &[u8], known: usize) -> bool {
    let ends = || {
        let fresh = &head[known.saturating_sub(3)..];
        memchr::memmem::find(fresh, b"\n\r\n").is_some()
            || memchr::memmem::find(fresh, b"\n\n").is_some()
    };
    !may_begin(head) || head.len() >= MAX_HEAD_BYTES || ends()
}

/// What a head is, once that is known.
fn look(head: &[u8]) -> Option<First> {
    if !may_begin(head) {
        return Some(First::Other);
    }
    if !BEGINNINGS
        .iter()
        .any(|beginning| head.starts_with(beginning))
    {
        return None;
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {
            Some(for_shards(&request).map_or(First::Other, First::Shards))
        }
        // Hyper says in its own words that it is too long.
        Ok(httparse::Status::Partial) => (head.len() >= MAX_HEAD_BYTES).then_some(First::Other),
        // And that it is none.
        Err(_) => Some(First::Other),
    }
}

fn for_shards(parsed: &httparse::Request<'_, '_>) -> Option<Box<Request<()>>> {
    let mut builder = Request::builder().uri(parsed.path?);
    for header in parsed.headers.iter() {
        builder = builder.header(header.name, header.value);
    }
    let request = builder.body(()).ok()?;
    let headers = request.headers();
    // A body would stand in the way of what comes after it.
    let has_body = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING]
        .iter()
        .any(|name| headers.contains_key(name));
    let is_whole = !headers.contains_key(header::UPGRADE) || websocket_key(headers).is_some();
    (!has_body && is_whole).then(|| Box::new(request))
}

/// The key of a handshake that is whole (RFC 6455 §4.2.1). What is not is left to the router, which
/// tells what is wrong with it.
pub(crate) fn websocket_key(headers: &HeaderMap) -> Option<String> {
    let header = |name: header::HeaderName| headers.get(name)?.to_str().ok();
    let has = |name, token: &str| {
        let list = header(name).unwrap_or_default();
        list.split(',')
            .any(|one| one.trim().eq_ignore_ascii_case(token))
    };
    let whole = has(header::UPGRADE, "websocket")
        && has(header::CONNECTION, "upgrade")
        && header(header::SEC_WEBSOCKET_VERSION) == Some("13");
    // Sixteen bytes in base64.
    let key = header(header::SEC_WEBSOCKET_KEY);
    let key = key.filter(|key| key.len() == 24 && key.ends_with("=="))?;
    whole.then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HANDSHAKE: &str = "GET /live/stage.flv?start=low HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\n\
        Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    fn for_shards(head: &str) -> Option<Box<Request<()>>> {
        match look(head.as_bytes())? {
            First::Shards(request) => Some(request),
            First::Other => None,
        }
    }

    fn is_other(head: &str) -> bool {
        matches!(look(head.as_bytes()), Some(First::Other))
    }

    #[test]
    fn a_request_for_a_shard_is_known_once_its_head_is_whole() {
        let head = "GET /live/stage.flv HTTP/1.1\r\nHost: x\r\n\r\n";
        for end in 1..head.len() {
            assert!(look(&head.as_bytes()[..end]).is_none(), "{end}");
        }
        let request = for_shards(head).unwrap();
        assert_eq!(request.uri().path(), "/live/stage.flv");
        assert_eq!(websocket_key(request.headers()), None);
        // What is pipelined behind it does not matter.
        assert!(for_shards(&format!("{head}GET / HTTP/1.1\r\n\r\n")).is_some());
        let room = for_shards("GET /ws?room=stage HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert_eq!(room.uri().query(), Some("room=stage"));
    }

    /// What [`read`] makes of a head that comes in pieces of these lengths.
    fn in_pieces(bytes: &[u8], pieces: &[usize]) -> Option<First> {
        let mut known = 0;
        for piece in pieces.iter().copied().chain([bytes.len()]) {
            let head = &bytes[..bytes.len().min(known + piece.max(1))];
            if may_tell(head, known)
                && let Some(first) = look(head)
            {
                return Some(first);
            }
            known = head.len();
        }
        None
    }

    proptest! {
        #[test]
        fn how_a_head_is_cut_makes_no_difference(
            head in prop_oneof![
                "GET /live/[a-z./?= \\r\\n:\u{0}-\u{ff}]{0,80}",
                "GET /(live/|ws\\?)[a-z]{1,9}(\\?[a-z=]{0,9})? HTTP/1\\.[01](\r?\n[A-Za-z-]{1,9}: ?[ -~]{0,9}){0,4}\r?\n\r?\n[a-z]{0,9}",
                Just(HANDSHAKE.to_owned()),
            ],
            pieces in prop::collection::vec(1usize..40, 0..100),
        ) {
            let (cut, whole) = (in_pieces(head.as_bytes(), &pieces), in_pieces(head.as_bytes(), &[]));
            match (cut, whole) {
                (Some(First::Shards(cut)), Some(First::Shards(whole))) => {
                    prop_assert_eq!(cut.uri(), whole.uri());
                    prop_assert_eq!(cut.headers(), whole.headers());
                }
                (Some(First::Other), Some(First::Other)) | (None, None) => {}
                (cut, whole) => prop_assert!(false, "{:?} in pieces, {:?} at once", cut, whole),
            }
        }
    }

    #[test]
    fn a_websocket_handshake_is_taken_only_if_it_is_whole() {
        let request = for_shards(HANDSHAKE).unwrap();
        assert_eq!(
            websocket_key(request.headers()).as_deref(),
            Some("dGhlIHNhbXBsZSBub25jZQ==")
        );
        assert_eq!(request.uri().query(), Some("start=low"));
        for (part, other) in [
            ("13\r\n", "8\r\n"),
            ("ZQ==", "ZQ"),
            (", Upgrade", ""),
            ("WebSocket", "h2c"),
        ] {
            assert!(is_other(&HANDSHAKE.replace(part, other)), "{part}");
        }
    }

    #[test]
    fn everything_else_is_for_hyper_by_its_first_bytes() {
        for head in [
            "GET / HTTP/1.1\r\n",
            "POST /live/",
            "\x16\x03\x01",
            "GET /liv3",
            "GET /ws2",
        ] {
            assert!(is_other(head), "{head}");
        }
        let body = "GET /live/stage.flv HTTP/1.1\r\nContent-Length: 5\r\n\r\n";
        assert!(is_other(body));
        assert!(is_other("GET /live/\0 HTTP/1.1\r\n\r\n"));
        let long = format!("GET /live/{}", "x".repeat(MAX_HEAD_BYTES));
        assert!(is_other(&long));
    }
}
