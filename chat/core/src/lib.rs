//! Rooms without I/O.
//!
//! - [`lane`]: the lines on which things stand in a room, and where a client is on them.
//! - [`danmaku`]: what a viewer may say, and how it is cleaned.
//! - [`emotes`]: the pictures that codes in a text stand for.
//! - [`item`]: what stands on a lane.
//! - [`protocol`]: what goes over the wire, in either encoding.

pub mod danmaku;
pub mod emotes;
pub mod item;
pub mod lane;
pub mod protocol;
