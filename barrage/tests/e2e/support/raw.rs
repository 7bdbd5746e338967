//! Bytes on a socket.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::waiting::within;

/// Connects from an address of this machine, so that limits by address hit nobody else.
pub(crate) async fn connect(to: SocketAddr, from: &str) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from.parse().expect("an address"), 0))?;
    socket.connect(to).await
}

/// Sends bytes and reads until the server closes the connection; gives what it said, and where
/// the connection came from.
pub(crate) async fn exchange(to: SocketAddr, from: &str, bytes: &[u8]) -> (String, Vec<u8>) {
    let mut stream = connect(to, from).await.expect("the server accepts");
    let address = stream.local_addr().expect("it is connected").to_string();
    let mut heard = Vec::new();
    within("the server closes the connection", async {
        // A server that has heard enough may close before it has read all.
        if stream.write_all(bytes).await.is_ok() {
            let _ = stream.read_to_end(&mut heard).await;
        }
    })
    .await;
    (address, heard)
}

/// What an RTMP client sends before anything else; the server's answer need not be awaited.
pub(crate) fn rtmp_hello() -> Vec<u8> {
    let mut bytes = vec![3];
    bytes.extend([0; 8]);
    bytes.resize(1 + 1536 * 2, 0x5A);
    bytes
}

/// One whole HTTP exchange as it stands, on a connection of its own: status and body.
pub(crate) async fn http(to: SocketAddr, target: &str) -> (u16, String) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let (_, answer) = exchange(to, "127.0.0.1", request.as_bytes()).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer
        .split_whitespace()
        .nth(1)
        .and_then(|s| s.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status.unwrap_or(0), body.to_owned())
}
