//! Where what is sent to one peer goes.

use std::net::{IpAddr, SocketAddr};

use crate::connection::Connection;
use crate::socket::{Port, Sent};

/// The way out to one peer.
pub(crate) enum Exit<'a> {
    /// As datagrams.
    Port {
        port: &'a Port,
        to: SocketAddr,
        /// Where on this machine the peer sends to, for answers to come from there.
        from: Option<IpAddr>,
    },
    /// Over its connection.
    Connection(&'a mut Connection),
}

impl Exit<'_> {
    /// Most packets that go out in one go.
    pub(crate) fn segments_max(&self) -> usize {
        match self {
            Self::Port { port, .. } => port.segments_max(),
            Self::Connection(_) => usize::MAX,
        }
    }

    /// Sends packets of `size` bytes each, of which the last may have fewer.
    pub(crate) fn send(&mut self, bytes: &[u8], size: usize) -> Sent {
        match self {
            Self::Port { port, to, from } => port.send(*to, *from, bytes, Some(size)),
            Self::Connection(connection) => {
                let mut all = bytes.chunks(size.max(1));
                let taken = all.all(|packet| connection.add(packet));
                connection.flush();
                if taken { Sent::All } else { Sent::Full }
            }
        }
    }
}
