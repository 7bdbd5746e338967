//! Packets for one peer, put together so that the system takes them in as few calls as can be.

use crate::exit::Exit;

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
    /// not go with that; tells for how many packets of it there was no room.
    pub(crate) fn added(&mut self, start: usize, exit: &mut Exit<'_>) -> usize {
        let size = self.bytes.len() - start;
        let fits = self.count == 0
            || (!self.closed
                && size <= self.size
                && self.count < exit.segments_max()
                && self.bytes.len() <= BYTES_MAX);
        let mut unsent = 0;
        if !fits {
            unsent = exit.send(&self.bytes[..start], self.size);
            self.bytes.drain(..start);
            self.count = 0;
        }
        if self.count == 0 {
            self.size = size;
            self.closed = false;
        }
        self.closed |= size < self.size;
        self.count += 1;
        unsent
    }

    /// Sends what has gathered; tells for how many packets there was no room.
    pub(crate) fn flush(&mut self, exit: &mut Exit<'_>) -> usize {
        if self.count == 0 {
            self.bytes.clear();
            return 0;
        }
        let unsent = exit.send(&self.bytes, self.size);
        self.bytes.clear();
        self.count = 0;
        unsent
    }
}
