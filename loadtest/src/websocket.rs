//! The frames a WebSocket server sends (RFC 6455 §5.2), without a copy of their bytes: thousands of
//! viewers read them here.

use anyhow::bail;
use bytes::{BufMut as _, Bytes, BytesMut};

const OPCODE_CLOSE: u8 = 8;
const OPCODE_PING: u8 = 9;
const OPCODE_PONG: u8 = 10;
const MASKED: u8 = 0x80;
const CONTROL_BYTES_MAX: u64 = 125;
const HEAD_BYTES_MAX: usize = 10;

/// What a server sends, taken apart as it arrives.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    head: Vec<u8>,
    opcode: u8,
    /// Whether the frame that is being read is the last of its message.
    last: bool,
    left: u64,
    /// The payload of the control frame that is being read.
    control: BytesMut,
    pong: Option<Bytes>,
    closed: bool,
}

impl Frames {
    /// Gives what data frames carry to `data`, and whether a message ends with it.
    pub(crate) fn handle_input(
        &mut self,
        mut bytes: &[u8],
        mut data: impl FnMut(&[u8], bool),
    ) -> anyhow::Result<()> {
        while !bytes.is_empty() {
            if self.left == 0 {
                let Some((first, rest)) = bytes.split_first() else {
                    break;
                };
                bytes = rest;
                self.head.push(*first);
                self.read_head()?;
                continue;
            }
            let length = usize::try_from(self.left)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            let (some, rest) = bytes.split_at(length);
            bytes = rest;
            self.left -= length as u64;
            if self.opcode < OPCODE_CLOSE {
                data(some, self.last && self.left == 0);
            } else {
                self.control.extend_from_slice(some);
                if self.left == 0 {
                    self.end_control();
                }
            }
        }
        Ok(())
    }

    /// An answer to the last ping.
    pub(crate) const fn poll_transmit(&mut self) -> Option<Bytes> {
        self.pong.take()
    }

    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    fn read_head(&mut self) -> anyhow::Result<()> {
        let [first, second, rest @ ..] = &self.head[..] else {
            return Ok(());
        };
        let length = match (second & 0x7F, rest) {
            (126, [a, b]) => u64::from(u16::from_be_bytes([*a, *b])),
            (127, rest) if rest.len() == 8 => {
                rest.iter().fold(0, |all, byte| all << 8 | u64::from(*byte))
            }
            (126 | 127, rest) if rest.len() < HEAD_BYTES_MAX => return Ok(()),
            (length, _) => u64::from(length),
        };
        self.opcode = first & 0x0F;
        self.last = first & 0x80 != 0;
        if second & MASKED != 0 {
            bail!("the server masks its WebSocket frames");
        }
        if self.opcode >= OPCODE_CLOSE && length > CONTROL_BYTES_MAX {
            bail!("a WebSocket control frame of {length} bytes");
        }
        self.left = length;
        self.head.clear();
        if length == 0 && self.opcode >= OPCODE_CLOSE {
            self.end_control();
        }
        Ok(())
    }

    fn end_control(&mut self) {
        let payload = self.control.split();
        match self.opcode {
            OPCODE_CLOSE => self.closed = true,
            OPCODE_PING => {
                let mut pong = BytesMut::with_capacity(payload.len() + 6);
                pong.put_u8(0x80 | OPCODE_PONG);
                pong.put_u8(MASKED | u8::try_from(payload.len()).unwrap_or(0));
                // A mask of zeros changes nothing.
                pong.put_slice(&[0; 4]);
                pong.put_slice(&payload);
                self.pong = Some(pong.freeze());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_however_they_are_cut() {
        let mut bytes = vec![0x82, 3, 1, 2, 3, 0x89, 2, b'h', b'i', 0x82, 126, 1, 0];
        bytes.extend([7; 256]);
        bytes.extend([
            0x82, 127, 0, 0, 0, 0, 0, 0, 0, 1, 9, 0x82, 0, 0x88, 2, 3, 232,
        ]);
        for step in 1..bytes.len() {
            let (mut frames, mut data, mut messages) = (Frames::default(), Vec::new(), 0);
            for some in bytes.chunks(step) {
                frames
                    .handle_input(some, |some, ends| {
                        data.extend_from_slice(some);
                        messages += u32::from(ends);
                    })
                    .unwrap();
            }
            assert_eq!(data.len(), 3 + 256 + 1, "{step} bytes at a time");
            assert_eq!(messages, 3);
            assert_eq!((data[2], data[3], data[259]), (3, 7, 9));
            assert!(frames.is_closed());
            let pong = frames.poll_transmit().unwrap();
            assert_eq!(&pong[..], b"\x8a\x82\0\0\0\0hi");
        }
    }

    #[test]
    fn frames_that_break_the_rules_are_refused() {
        for bytes in [&[0x82, 0x81][..], &[0x89, 126, 1, 0]] {
            assert!(Frames::default().handle_input(bytes, |_, _| {}).is_err());
        }
    }
}
