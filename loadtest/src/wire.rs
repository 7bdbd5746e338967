//! A socket that a poll loop reads and writes, plain or under TLS.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use rustls::{ClientConnection, StreamOwned};
use socket2::{Domain, SockRef, Socket, Type};

use crate::place::Place;

/// Addresses of this machine that connections to it come from: one alone has too few ports for a
/// crowd that comes twice.
const SOURCES: usize = 16;

/// A socket, plain or under TLS.
pub(crate) enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    /// Begins to connect. The socket tells `registry` when it can be written to and read from.
    pub(crate) fn dial(place: &Place, registry: &Registry, token: Token) -> anyhow::Result<Self> {
        let mut socket = connect(place.address, token.0)
            .with_context(|| format!("failed to connect to {}", place.address))?;
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(match &place.tls {
            None => Self::Plain(socket),
            Some(tls) => {
                let tls = ClientConnection::new(Arc::clone(&tls.config), tls.name.clone())?;
                Self::Tls(Box::new(StreamOwned::new(tls, socket)))
            }
        })
    }

    /// Ends without a word, as a machine does that is cut off: the peer is reset.
    pub(crate) fn cut(&self) {
        let socket = match self {
            Self::Plain(socket) => SockRef::from(socket),
            Self::Tls(stream) => SockRef::from(&stream.sock),
        };
        // Then it ends with a word.
        let _ = socket.set_linger(Some(Duration::ZERO));
    }
}

fn connect(to: SocketAddr, number: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if to.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) {
        let last = u8::try_from(2 + number % SOURCES).unwrap_or(2);
        let from = IpAddr::V4(Ipv4Addr::new(127, 0, 1, last));
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl Drop for Wire {
    /// Ends at once, and with a word where there is one: thousands of half-closed sockets would
    /// disturb the next run.
    fn drop(&mut self) {
        match self {
            Self::Plain(socket) => {
                let _ = socket.shutdown(Shutdown::Both);
            }
            Self::Tls(stream) => {
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    }
}
