//! Packets for one peer, put together so that the system takes them in as few calls as can be.

use std::net::{IpAddr, SocketAddr};

use crate::socket::{Port, Sent};

/// Most bytes that go into one call: the system's limit of a datagram, with room for headers.
const BYTES_MAX: usize = 60_000;

/// Gathers packets of equal size; a smaller one ends a burst.
#[derive(Debug, Default)]
pub(crate) struct Burst {
    bytes: Vec<u8>,
    /// The size of each but the last.
    size: usize,
    count: usize,
    closed: bool,
}

impl Burst {
    /// Where packets are written to; [`added`](Self::added) tells that one was.
    pub(crate) const fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// A packet that begins at `start` stands behind the others. Sends what has gathered if it does
    /// not go with that.
    pub(crate) fn added(
        &mut self,
        start: usize,
        port: &Port,
        to: SocketAddr,
        from: Option<IpAddr>,
    ) -> Sent {
        let size = self.bytes.len() - start;
        let fits = self.count == 0
            || (!self.closed
                && size <= self.size
                && self.count < port.segments_max()
                && self.bytes.len() <= BYTES_MAX);
        let mut sent = Sent::All;
        if !fits {
            sent = port.send(to, from, &self.bytes[..start], Some(self.size));
            self.bytes.drain(..start);
            self.count = 0;
        }
        if self.count == 0 {
            self.size = size;
            self.closed = false;
        }
        self.closed |= size < self.size;
        self.count += 1;
        sent
    }

    /// Sends what has gathered.
    pub(crate) fn flush(&mut self, port: &Port, to: SocketAddr, from: Option<IpAddr>) -> Sent {
        if self.count == 0 {
            self.bytes.clear();
            return Sent::All;
        }
        let sent = port.send(to, from, &self.bytes, Some(self.size));
        self.bytes.clear();
        self.count = 0;
        sent
    }
}
