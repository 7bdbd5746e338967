//! Asking a server for a session over WebRTC (WHIP, RFC 9725, and WHEP).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use reqwest::{Client, StatusCode, Url, header};
use sfu_core::caller::{Call, Caller, Wish};
use sfu_core::secure::Credentials;
use socket2::{Domain, Protocol, Socket, Type};

/// What the system may hold for one session: a keyframe or two.
const BUFFER_BYTES: usize = 1024 * 1024;

/// A session that the server has answered.
pub(crate) struct Opened {
    pub(crate) call: Call,
    /// Connected to the server, and never waiting.
    pub(crate) socket: UdpSocket,
    /// Whether packets are to have transport-wide numbers.
    pub(crate) numbered: bool,
}

/// Offers a session.
pub(crate) async fn open(
    client: &Client,
    url: Url,
    key: Option<&str>,
    wish: Wish,
    credentials: Arc<Credentials>,
) -> anyhow::Result<Opened> {
    let [name, password] = [rand::random::<u64>(), rand::random::<u64>()];
    let password = format!("{password:016x}{:016x}", rand::random::<u64>());
    let caller = Caller::new(credentials, format!("{name:016x}"), password);
    let mut request = client
        .post(url.clone())
        .header(header::CONTENT_TYPE, "application/sdp")
        .body(caller.offer(wish));
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    let answer = request.send().await?;
    let status = answer.status();
    let body = answer.text().await?;
    if status != StatusCode::CREATED {
        bail!("{url} answered {status}: {}", body.trim());
    }
    let call = caller.call(Instant::now(), &body)?;
    Ok(Opened {
        socket: connect(call.server).context("failed to open a socket")?,
        call,
        numbered: wish.numbered && body.contains("transport-wide-cc"),
    })
}

fn connect(server: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(server),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    // The system gives what it allows.
    let _ = socket.set_recv_buffer_size(BUFFER_BYTES);
    socket.set_nonblocking(true)?;
    let any = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    socket.bind(&any.into())?;
    socket.connect(&server.into())?;
    Ok(socket.into())
}
