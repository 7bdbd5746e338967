//! What tungstenite takes for a socket: bytes that were read, and bytes to be written. Where
//! compression is agreed on, compressed messages are inflated here, for tungstenite knows none.
//!
//! It is given the frames of such a message without RSV1 and with nothing in them, but for the last,
//! in which everything is: so it sees to the order of frames as it does always, and to what is in
//! them. All other frames go through as they are.

use std::io::{self, ErrorKind, Read, Write};

use bytes::{Buf, BufMut as _, Bytes, BytesMut};

use crate::deflate::{COMPRESSED, inflate};
use crate::{Fault, frame};

/// Bits of a frame's head (RFC 6455 §5.2).
const FIN: u8 = 0x80;
const OTHER_EXTENSIONS: u8 = 0x30;
const OPCODE: u8 = 0x0F;
const MASKED: u8 = 0x80;

/// Kinds of frames.
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;

#[derive(Debug, Default)]
pub(crate) struct Wire {
    pub(crate) heard: BytesMut,
    pub(crate) out: Vec<u8>,
    inflating: Option<Box<Inflating>>,
}

impl Wire {
    /// One on which the peer may compress its messages, which have at most so many bytes.
    pub(crate) fn with_inflating(message_max: usize) -> Self {
        Self {
            inflating: Some(Box::new(Inflating {
                message_max,
                ..Inflating::default()
            })),
            ..Self::default()
        }
    }

    /// What is wrong with a compressed message, if that is why reading failed.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.inflating.as_ref()?.fault
    }

    /// Bytes that are inflated and not read yet.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        let inflating = self.inflating.as_ref();
        inflating.map_or(0, |inflating| inflating.ready.len())
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = match &mut self.inflating {
            None => give(&mut self.heard, buffer),
            Some(inflating) => inflating.read(&mut self.heard, buffer)?,
        };
        if self.heard.is_empty() {
            self.heard = BytesMut::new();
        }
        if length == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(length)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn give(from: &mut impl Buf, to: &mut [u8]) -> usize {
    let length = from.remaining().min(to.len());
    from.copy_to_slice(&mut to[..length]);
    length
}

/// How far reading is where messages may be compressed.
#[derive(Debug, Default)]
struct Inflating {
    message_max: usize,
    /// What is to go through before the next frame begins.
    through: u64,
    /// The frame of a compressed message that is being read.
    frame: Option<Frame>,
    /// What has come of a compressed message.
    message: Option<Vec<u8>>,
    /// Frames to be given out.
    ready: Bytes,
    /// It goes no further.
    fault: Option<Fault>,
}

#[derive(Debug)]
struct Frame {
    /// What tungstenite is given as the first byte.
    first: u8,
    mask: [u8; 4],
    length: usize,
    read: usize,
}

impl Inflating {
    fn read(&mut self, heard: &mut BytesMut, buffer: &mut [u8]) -> io::Result<usize> {
        let length = match self.fault {
            None => self.try_read(heard, buffer),
            Some(fault) => Err(fault),
        };
        length.map_err(|fault| {
            self.fault = Some(fault);
            io::Error::from(ErrorKind::InvalidData)
        })
    }

    /// Nothing is read when more has to be heard first.
    fn try_read(&mut self, heard: &mut BytesMut, buffer: &mut [u8]) -> Result<usize, Fault> {
        loop {
            if !self.ready.is_empty() {
                return Ok(give(&mut self.ready, buffer));
            }
            if self.through > 0 {
                let most = usize::try_from(self.through).unwrap_or(usize::MAX);
                let most = most.min(buffer.len());
                let length = give(heard, &mut buffer[..most]);
                self.through -= length as u64;
                return Ok(length);
            }
            let goes_on = match self.frame.take() {
                None => self.begin(heard)?,
                Some(frame) => self.gather(frame, heard)?,
            };
            if !goes_on {
                return Ok(0);
            }
        }
    }

    /// Begins a frame; false if its head is not there yet.
    fn begin(&mut self, heard: &mut BytesMut) -> Result<bool, Fault> {
        let Some(head) = Head::read(heard) else {
            return Ok(false);
        };
        let Some(mask) = head.mask.filter(|_| self.is_compressed(head.first)) else {
            self.through = (head.size as u64).saturating_add(head.length);
            return Ok(true);
        };
        let message = self.message.get_or_insert_default();
        // Compressing what cannot be compressed makes it longer, if not by much.
        let most = self.message_max + self.message_max / 8 + 64;
        let length = usize::try_from(head.length).unwrap_or(usize::MAX);
        if length > most - message.len() {
            return Err(Fault::TooLong);
        }
        heard.advance(head.size);
        let frame = Frame {
            first: head.first & !COMPRESSED,
            mask,
            length,
            read: 0,
        };
        if frame.first & FIN == 0 {
            self.ready = masked(frame.first, &[]);
        }
        self.frame = Some(frame);
        Ok(true)
    }

    /// Whether a frame that begins like this belongs to a compressed message. One that has RSV1 and
    /// must not goes through, and tungstenite complains.
    const fn is_compressed(&self, first: u8) -> bool {
        let is_first = matches!(first & OPCODE, TEXT | BINARY) && self.message.is_none();
        let is_next = first & OPCODE == CONTINUATION && self.message.is_some();
        first & OTHER_EXTENSIONS == 0
            && if first & COMPRESSED == 0 {
                is_next
            } else {
                is_first
            }
    }

    /// Takes what there is of a frame; false if there is more to come.
    fn gather(&mut self, mut frame: Frame, heard: &mut BytesMut) -> Result<bool, Fault> {
        let bytes = heard.split_to(heard.len().min(frame.length - frame.read));
        let mask = frame.mask.into_iter().cycle().skip(frame.read % 4);
        let unmasked = bytes.iter().zip(mask).map(|(byte, mask)| byte ^ mask);
        self.message.get_or_insert_default().extend(unmasked);
        frame.read += bytes.len();
        if frame.read < frame.length {
            self.frame = Some(frame);
            return Ok(false);
        }
        if frame.first & FIN != 0 {
            let message = self.message.take().unwrap_or_default();
            self.ready = masked(frame.first, &inflate(message, self.message_max)?);
        }
        Ok(true)
    }
}

/// A frame as a client sends it, with a mask that changes nothing.
fn masked(first: u8, content: &[u8]) -> Bytes {
    let mut out = frame(first, content.len());
    out[1] |= MASKED;
    out.put_u32(0);
    out.put_slice(content);
    out.freeze()
}

/// The head of a frame.
struct Head {
    first: u8,
    length: u64,
    mask: Option<[u8; 4]>,
    /// How many bytes it has itself.
    size: usize,
}

impl Head {
    /// None if it is not all there.
    fn read(mut bytes: &[u8]) -> Option<Self> {
        let all = bytes.len();
        let (first, second) = (bytes.try_get_u8().ok()?, bytes.try_get_u8().ok()?);
        let length = match second & !MASKED {
            126 => bytes.try_get_u16().ok()?.into(),
            127 => bytes.try_get_u64().ok()?,
            length => length.into(),
        };
        let mask = if second & MASKED == 0 {
            None
        } else {
            Some(bytes.try_get_u32().ok()?.to_be_bytes())
        };
        Some(Self {
            first,
            length,
            mask,
            size: all - bytes.len(),
        })
    }
}
