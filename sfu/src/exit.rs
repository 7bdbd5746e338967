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

    /// Sends packets of `size` bytes each, of which the last may have fewer. Tells for how many there
    /// was no room: they are lost, as on any other stretch of the way.
    pub(crate) fn send(&mut self, bytes: &[u8], size: usize) -> usize {
        let size = size.max(1);
        match self {
            Self::Port { port, to, from } => match port.send(*to, *from, bytes, Some(size)) {
                Sent::All => 0,
                Sent::Full => bytes.len().div_ceil(size),
            },
            Self::Connection(connection) => {
                let unsent = bytes.chunks(size).filter(|packet| !connection.add(packet));
                let unsent = unsent.count();
                connection.flush();
                unsent
            }
        }
    }
}
