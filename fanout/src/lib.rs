//! The one idea of Barrage: everything live is a log with one writer and numbered positions, and
//! everyone who consumes it is a cursor.
//!
//! - [`window`]: the bounded stretch of a log that is kept in memory. Pure.
//! - [`cursor`]: a position and a policy for falling behind. Pure.
//! - [`log`]: a window that several threads share, one writer at a time, with readers that wait.
//! - [`compressed`]: frames that are made smaller, once for all who read them.
//! - [`packet`]: the item of a derived log: bytes as they stand on the wire.
//! - [`shard`]: one loop per core that writes derived logs to the sockets of those who read them.
//! - [`pace`]: how long a busy shard lets packets gather. Pure.
//!
//! What an item is, the log does not know: it is told its size, its time and whether reading can
//! start there ([`Meta`]).

pub mod compressed;
pub mod cursor;
pub mod log;
pub mod pace;
pub mod packet;
pub mod shard;
pub mod window;

pub use compressed::{Batches, Compressed};
pub use cursor::{Bounds, Lag, Read, Start};
pub use log::{AppendError, Listener, Log, Reader, Writer};
pub use packet::{DERIVED_WINDOW, Encoded, Form, Gap, Join, Line, Packet, Role, Setup};
pub use window::{Limits, Meta, Position, Window};
