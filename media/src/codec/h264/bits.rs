//! Bits of a raw byte sequence payload, read with bounds.

use super::Error;
use crate::codec::bits;

/// The payload without the bytes that keep start codes out of it (H.264 §7.4.1.1).
pub(super) fn without_emulation_prevention(nal: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

/// Bits, and the numbers that H.264 makes of them.
pub(super) struct Bits<'a>(bits::Bits<'a>);

impl<'a> Bits<'a> {
    pub(super) const fn new(data: &'a [u8]) -> Self {
        Self(bits::Bits::new(data))
    }

    pub(super) fn flag(&mut self) -> Result<bool, Error> {
        self.0.flag().ok_or(Error::Truncated)
    }

    /// Up to 32 bits as a number.
    pub(super) fn bits(&mut self, count: u32) -> Result<u32, Error> {
        self.0.take(count).ok_or(Error::Truncated)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Error> {
        self.0.small(8).ok_or(Error::Truncated)
    }

    /// An unsigned Exp-Golomb number (§9.1) of at most `max`.
    pub(super) fn ue(&mut self, what: &'static str, max: u32) -> Result<u32, Error> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return Err(Error::OutOfRange(what));
            }
        }
        let value = (1_u32 << zeros) - 1 + self.bits(zeros)?;
        if value > max {
            Err(Error::OutOfRange(what))
        } else {
            Ok(value)
        }
    }

    /// A signed Exp-Golomb number (§9.1.1).
    pub(super) fn se(&mut self, what: &'static str) -> Result<i32, Error> {
        let code = self.ue(what, u32::MAX - 1)?;
        let magnitude = i32::try_from(code.div_ceil(2)).map_err(|_| Error::OutOfRange(what))?;
        Ok(if code % 2 == 1 { magnitude } else { -magnitude })
    }
}
