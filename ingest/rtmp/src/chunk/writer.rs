//! Cutting messages into chunks.

use bytes::{BufMut, BytesMut};

use super::{CHUNK_SIZE_INITIAL, CHUNK_SIZE_MAX, EXTENDED_TIMESTAMP};

/// The longest a chunk's header can be.
const HEADER_BYTES_MAX: usize = 3 + 11 + 4;

/// Cuts messages into chunks. It keeps nothing between messages but the chunk size: each begins
/// with a full header, so that any message may follow any other.
#[derive(Clone, Debug)]
pub struct Writer {
    chunk_size: u32,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// A writer with the chunk size that holds until the peer has been told another.
    pub const fn new() -> Self {
        Self {
            chunk_size: CHUNK_SIZE_INITIAL,
        }
    }

    /// Changes the chunk size. The message that says so goes before, in chunks of the old size.
    pub fn set_chunk_size(&mut self, size: u32) {
        self.chunk_size = size.clamp(1, CHUNK_SIZE_MAX);
    }

    /// The chunk size that holds.
    pub const fn chunk_size(&self) -> u32 {
        self.chunk_size
    }

    /// Appends a message of type `kind` on the chunk stream (2 to 65599; others are brought into
    /// that range) and message stream given. The length has 24 bits: what is longer is cut.
    pub fn write(
        &self,
        out: &mut BytesMut,
        chunk_stream: u32,
        kind: u8,
        stream: u32,
        timestamp: u32,
        payload: &[u8],
    ) {
        let payload = &payload[..payload.len().min(0xFF_FFFF)];
        let chunk_size = self.chunk_size as usize;
        out.reserve(
            payload.len() + HEADER_BYTES_MAX + payload.len() / chunk_size * (HEADER_BYTES_MAX - 11),
        );

        let [_, length @ ..] = u32::try_from(payload.len())
            .unwrap_or(0xFF_FFFF)
            .to_be_bytes();
        let [_, short @ ..] = timestamp.min(EXTENDED_TIMESTAMP).to_be_bytes();
        write_basic_header(out, 0, chunk_stream);
        out.put_slice(&short);
        out.put_slice(&length);
        out.put_u8(kind);
        out.put_u32_le(stream);
        write_extension(out, timestamp);

        let (first, rest) = payload.split_at(payload.len().min(chunk_size));
        out.put_slice(first);
        for part in rest.chunks(chunk_size) {
            write_basic_header(out, 3, chunk_stream);
            write_extension(out, timestamp);
            out.put_slice(part);
        }
    }
}

pub(super) fn write_basic_header(out: &mut BytesMut, format: u8, chunk_stream: u32) {
    let format = format << 6;
    let above = chunk_stream.clamp(2, 65_599);
    match (u8::try_from(above), u16::try_from(above.saturating_sub(64))) {
        (Ok(number), _) if number < 64 => out.put_u8(format | number),
        (_, Ok(number)) if number < 256 => out.put_slice(&[format, number.to_le_bytes()[0]]),
        (_, number) => {
            out.put_u8(format | 1);
            out.put_u16_le(number.unwrap_or(u16::MAX));
        }
    }
}

fn write_extension(out: &mut BytesMut, timestamp: u32) {
    if timestamp >= EXTENDED_TIMESTAMP {
        out.put_u32(timestamp);
    }
}
