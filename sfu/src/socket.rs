//! The port: one socket of each shard on the same address, between which the system spreads peers.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

/// What the system may hold for us each way: a keyframe to a thousand viewers.
const BUFFER_BYTES: usize = 8 * 1024 * 1024;

/// Connections that the system takes before we do.
const BACKLOG: i32 = 1_024;

/// "Address family not supported by protocol", as Linux numbers it.
const NO_SUCH_FAMILY: i32 = 97;

/// "No buffer space available", as Linux numbers it.
const NO_BUFFERS: i32 = 105;

/// How long a datagram may have waited for us. Longer, and the clock was set meanwhile.
const WAITED_MAX: Duration = Duration::from_secs(1);

/// One datagram, or several that the system has put together.
const DATAGRAM_BYTES: usize = 2048;
const GATHERED_BYTES: usize = 64 * 1024;

/// The port, open.
pub(crate) struct Opened {
    /// A socket for each shard.
    pub(crate) sockets: Vec<UdpSocket>,
    /// For those who come over TCP.
    pub(crate) listener: TcpListener,
}

/// How often another port is tried if any will do, and somebody has the one that was found for TCP.
const TRIES: usize = 16;

/// Opens the sockets of `count` shards, and the listener beside them.
///
/// # Errors
/// When the address cannot be had.
pub(crate) fn bind(listen: SocketAddr, count: usize) -> io::Result<Opened> {
    let mut tries = 0;
    loop {
        tries += 1;
        let sockets = bind_sockets(listen, count)?;
        let at = sockets[0].local_addr()?;
        match listen_at(at) {
            Ok(listener) => return Ok(Opened { sockets, listener }),
            Err(error) if listen.port() == 0 && tries < TRIES => {
                tracing::debug!(%error, port = at.port(), "somebody has this port for TCP");
            }
            Err(error) => return Err(error),
        }
    }
}

fn listen_at(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    if at.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // Connections of a server before this one may still be closing.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bind_sockets(listen: SocketAddr, count: usize) -> io::Result<Vec<UdpSocket>> {
    // The shards share the port among them, and with no other server: one alone finds that out.
    let first = match open(listen, false) {
        // A system without IPv6.
        Err(error)
            if listen.is_ipv6()
                && listen.ip().is_unspecified()
                && error.raw_os_error() == Some(NO_SUCH_FAMILY) =>
        {
            open(
                SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), listen.port()),
                false,
            )?
        }
        opened => opened?,
    };
    let at = first.local_addr()?;
    drop(first);
    (0..count.max(1)).map(|_| open(at, true)).collect()
}

fn open(listen: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(listen),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if listen.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    // The system gives what it allows.
    let _ = socket.set_send_buffer_size(BUFFER_BYTES);
    let _ = socket.set_recv_buffer_size(BUFFER_BYTES);
    socket.bind(&listen.into())?;
    Ok(socket.into())
}

/// Addresses of this machine under which peers may reach it: those its own traffic would come from.
pub(crate) fn own_addresses() -> Vec<IpAddr> {
    // Nothing is sent: connecting a datagram socket only asks the routing table. Both are addresses
    // of no machine, reserved for documents.
    let probes = [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")];
    let own = probes.iter().filter_map(|(from, to)| {
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        let ip = socket.local_addr().ok()?.ip();
        (!ip.is_unspecified()).then_some(ip)
    });
    own.collect()
}

/// A shard's socket.
pub(crate) struct Port {
    pub(crate) socket: mio::net::UdpSocket,
    state: UdpSocketState,
    is_v6: bool,
    buffers: Vec<u8>,
    each: usize,
}

/// What the system did with datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It took them.
    All,
    /// It had no room; they are lost as on any other stretch of the way.
    Full,
}

impl Port {
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        let each = if state.gro_segments() > 1 {
            GATHERED_BYTES
        } else {
            DATAGRAM_BYTES
        };
        Ok(Self {
            is_v6: socket.local_addr()?.is_ipv6(),
            socket: mio::net::UdpSocket::from_std(socket),
            state,
            buffers: vec![0; each * BATCH_SIZE],
            each,
        })
    }

    /// Most datagrams that are sent in one go.
    pub(crate) fn segments_max(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Takes what has come, with the time at which the system had it. Tells whether there may be more.
    pub(crate) fn receive(
        &mut self,
        mut each: impl FnMut(SocketAddr, Option<IpAddr>, Instant, &[u8]),
    ) -> io::Result<bool> {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let mut slices: Vec<IoSliceMut<'_>> = self
            .buffers
            .chunks_mut(self.each)
            .map(IoSliceMut::new)
            .collect();
        let received = self
            .state
            .recv((&self.socket).into(), &mut slices, &mut metas);
        let count = match received {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(error),
        };
        let clocks = (Instant::now(), SystemTime::now());
        for (meta, slice) in metas.iter().zip(&slices).take(count) {
            let arrived = arrival(clocks, meta.timestamp);
            let gathered = &slice[..meta.len.min(slice.len())];
            let peer = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
            for datagram in gathered.chunks(meta.stride.max(1)) {
                each(peer, meta.dst_ip, arrived, datagram);
            }
        }
        Ok(true)
    }

    /// Sends datagrams of `size` bytes each, of which the last may have fewer.
    pub(crate) fn send(
        &self,
        to: SocketAddr,
        from: Option<IpAddr>,
        bytes: &[u8],
        size: Option<usize>,
    ) -> Sent {
        let destination = match to {
            SocketAddr::V4(v4) if self.is_v6 => {
                SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port())
            }
            SocketAddr::V4(_) | SocketAddr::V6(_) => to,
        };
        let transmit = Transmit {
            destination,
            ecn: None,
            contents: bytes,
            segment_size: size,
            src_ip: from,
        };
        match self.state.try_send((&self.socket).into(), &transmit) {
            Err(error)
                if error.kind() == io::ErrorKind::WouldBlock
                    || error.raw_os_error() == Some(NO_BUFFERS) =>
            {
                Sent::Full
            }
            // A peer that cannot be reached just now is one whose datagrams are lost.
            Ok(()) | Err(_) => Sent::All,
        }
    }
}

/// When a datagram came: the system tells it by the wall clock, which is read beside ours.
fn arrival((now, wall): (Instant, SystemTime), told: Option<Duration>) -> Instant {
    let at = told.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
    let waited = at.and_then(|at| wall.duration_since(at).ok());
    let waited = waited.filter(|waited| *waited <= WAITED_MAX);
    waited
        .and_then(|waited| now.checked_sub(waited))
        .unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_came_when_the_system_had_it_unless_the_clock_was_set() {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let ms = Duration::from_millis;
        let came = |told| arrival((now, wall), told);
        assert_eq!(came(Some(since - ms(7))), now - ms(7));
        assert_eq!(came(Some(since + ms(7))), now);
        assert_eq!(came(Some(since - ms(70_000))), now);
        assert_eq!(came(None), now);
    }

    #[test]
    fn the_system_tells_when_it_had_a_datagram() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut port = Port::new(open(any, false).unwrap()).unwrap();
        let to = port.socket.local_addr().unwrap();
        let sender = UdpSocket::bind(any).unwrap();
        let before = Instant::now();
        sender.send_to(b"first", to).unwrap();
        let between = Instant::now();
        sender.send_to(b"second", to).unwrap();
        let mut came = Vec::new();
        while came.len() < 2 {
            port.receive(|_, _, at, _| came.push(at)).unwrap();
        }
        // Both were read at once, and later than either came. Clocks are read one after the other.
        let slack = Duration::from_micros(200);
        assert!(before <= came[0] + slack && came[0] <= between + slack);
        assert!(between <= came[1] + slack && came[1] <= Instant::now());
    }

    #[test]
    fn who_has_ipv4_alone_finds_a_port_of_ipv6_both_ways() {
        let any = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0));
        let Opened { sockets, listener } = bind(any, 1).unwrap();
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port()));
        std::net::TcpStream::connect(at).unwrap();
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        sender.send_to(b"x", at).unwrap();
        sockets[0].set_nonblocking(false).unwrap();
        sockets[0].set_read_timeout(Some(WAITED_MAX)).unwrap();
        assert_eq!(sockets[0].recv(&mut [0; 9]).unwrap(), 1);
    }

    #[test]
    fn the_shards_share_a_port_that_nobody_else_has() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let Opened { sockets, listener } = bind(any, 3).unwrap();
        let at = listener.local_addr().unwrap();
        assert_eq!(sockets.len(), 3);
        assert!(
            sockets
                .iter()
                .all(|socket| socket.local_addr().unwrap() == at)
        );
        let second = bind(at, 1).err().unwrap();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
    }
}
