//! What the system keeps for a peer.

use std::io;
use std::os::fd::AsFd;

use socket2::SockRef;

/// Bytes that the system takes for a peer beyond those on their way to it. Left to itself it takes
/// megabytes: somebody slow would be far behind before we saw it, and somebody who has stopped would
/// cost that much.
const UNSENT_MAX: u32 = 128 * 1024;

/// Keeps small what the system holds of what was not sent yet.
///
/// # Errors
/// When the system knows no such bound.
pub fn bound_unsent(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_tcp_notsent_lowat(UNSENT_MAX)
}
