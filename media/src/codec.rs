//! Codecs, as far as a server that decodes nothing must read them.

pub mod aac;
pub mod h264;
pub mod opus;
