//! Sound out of one codec into another within the process: AAC by libfdk-aac, Opus by libopus. Frames go
//! in and come out under their times; no thread, no clock.
//!
//! - `Coder`: both halves, and where what comes out stands.
//! - `decode`: frames into samples.
//! - `resample`: samples of any rate into those that Opus counts in.
//! - `line`: samples with their times, cut anew.
//! - `encode`: samples into frames.
#![cfg(feature = "libfdk")]

mod coder;
mod decode;
mod encode;
mod line;
mod resample;

pub use coder::{Coded, Coder};
pub use encode::To;

/// Samples a second of everything between the two codecs.
const RATE: u32 = media::codec::opus::SAMPLE_RATE;

/// Channels of everything between them: left and right, one after the other.
const CHANNELS: usize = 2;

/// Why sound cannot be coded anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A library has refused.
    #[error("{library}: {what}")]
    Refused {
        /// Which.
        library: &'static str,
        /// In its words.
        what: String,
    },
    /// No frame of many could be decoded.
    #[error("{0} frames on end that are no sound")]
    Broken(u32),
    /// A rate that nobody records at.
    #[error("{0} samples a second")]
    Rate(u32),
}

fn of_fdk(what: impl std::fmt::Display) -> Error {
    refused("libfdk-aac", what)
}

fn of_opus(what: impl std::fmt::Display) -> Error {
    refused("libopus", what)
}

fn refused(library: &'static str, what: impl std::fmt::Display) -> Error {
    Error::Refused {
        library,
        what: what.to_string(),
    }
}
