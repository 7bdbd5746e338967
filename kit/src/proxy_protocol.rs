//! The PROXY protocol, versions 1 and 2: a header before the first byte of a TCP connection, in
//! which a proxy says for whom it connects.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ppp::{HeaderResult, PartialResult as _, v1, v2};
use tokio::io::{AsyncReadExt as _, Interest};
use tokio::net::TcpStream;

/// Longest header that is read. Version 1 has at most 107 bytes; version 2 adds to its addresses
/// what proxies have to say besides.
const HEADER_BYTES_MAX: usize = 2048;

/// How long the header may take to arrive.
const WITHIN: Duration = Duration::from_secs(5);

/// How long to wait for more of a header that has only begun to arrive.
const PAUSE: Duration = Duration::from_millis(5);

/// Takes the header off `stream`; gives the client's address, or `None` if the proxy speaks for
/// itself (its health checks do).
///
/// # Errors
/// When there is no header, it is broken, or it does not come in time.
pub async fn read(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    tokio::time::timeout(WITHIN, take(stream))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no PROXY header came in time"))?
}

async fn take(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut buffer = [0; HEADER_BYTES_MAX];
    let mut seen = 0;
    // Looked at without being taken, because what follows the header belongs to the protocol.
    let (length, client) = loop {
        stream.ready(Interest::READABLE).await?;
        let here = stream.peek(&mut buffer).await?;
        if here == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if here == seen {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        seen = here;
        let header = HeaderResult::parse(&buffer[..here]);
        if header.is_complete() {
            break parsed(&header)?;
        }
        if here == HEADER_BYTES_MAX {
            return Err(invalid("the PROXY header is too long"));
        }
    };
    stream.read_exact(&mut buffer[..length]).await?;
    Ok(client)
}

fn parsed(header: &HeaderResult<'_>) -> io::Result<(usize, Option<SocketAddr>)> {
    match header {
        HeaderResult::V1(Ok(header)) => {
            let client = match header.addresses {
                v1::Addresses::Tcp4(of) => Some((IpAddr::V4(of.source_address), of.source_port)),
                v1::Addresses::Tcp6(of) => Some((IpAddr::V6(of.source_address), of.source_port)),
                v1::Addresses::Unknown => None,
            };
            Ok((header.header.len(), client.map(SocketAddr::from)))
        }
        HeaderResult::V2(Ok(header)) => {
            let client = match (header.command, header.addresses) {
                (v2::Command::Local, _) => None,
                (v2::Command::Proxy, v2::Addresses::IPv4(of)) => {
                    Some((IpAddr::V4(of.source_address), of.source_port))
                }
                (v2::Command::Proxy, v2::Addresses::IPv6(of)) => {
                    Some((IpAddr::V6(of.source_address), of.source_port))
                }
                (v2::Command::Proxy, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => None,
            };
            Ok((header.header.len(), client.map(SocketAddr::from)))
        }
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => {
            Err(invalid("there is no PROXY header"))
        }
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    async fn after(bytes: &'static [u8]) -> (io::Result<Option<SocketAddr>>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("its address");
        let sender = tokio::spawn(async move {
            let mut stream = TcpStream::connect(addr).await.expect("it listens");
            for piece in bytes.chunks(7) {
                stream.write_all(piece).await.expect("it reads");
                tokio::task::yield_now().await;
            }
        });
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let read = read(&mut stream).await;
        sender.await.expect("it was sent");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.expect("the rest");
        (read, rest)
    }

    #[tokio::test]
    async fn the_header_is_taken_and_what_follows_is_left() {
        let (client, rest) = after(b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 1935\r\n\x03hello").await;
        assert_eq!(client.unwrap(), Some("192.0.2.1:4711".parse().unwrap()));
        assert_eq!(rest, b"\x03hello");

        let (client, rest) = after(
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\x0a\0\0\x01\x12\x67\x07\x8fGET /",
        )
        .await;
        assert_eq!(client.unwrap(), Some("192.0.2.1:4711".parse().unwrap()));
        assert_eq!(rest, b"GET /");

        let (client, rest) = after(b"PROXY UNKNOWN\r\nx").await;
        assert_eq!((client.unwrap(), rest.as_slice()), (None, b"x".as_slice()));
    }

    #[tokio::test]
    async fn who_sends_none_is_refused() {
        let (read, _) = after(b"GET / HTTP/1.1\r\n\r\n").await;
        assert_eq!(
            read.expect_err("no header").kind(),
            io::ErrorKind::InvalidData
        );
    }
}
