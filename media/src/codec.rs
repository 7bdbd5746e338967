//! Codecs, as far as a server that decodes nothing must read them.

pub mod aac;
pub mod av1;
mod bits;
pub mod h264;
pub mod opus;
pub mod vp8;
pub mod vp9;
