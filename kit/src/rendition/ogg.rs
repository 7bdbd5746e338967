//! Packets out of an Ogg stream (RFC 3533), as an encoder writes it to a pipe. Pure.

use bytes::{Buf as _, Bytes, BytesMut};

/// Bytes of a page header before its table of segments.
const HEADER_BYTES: usize = 27;

/// Most bytes that wait for the rest of a page; a page has fewer than 65 307.
const WAITING_MAX: usize = 128 * 1024;

/// The packets that end on a page.
#[derive(Debug)]
pub(super) struct Page {
    /// Where the last of them ends, as the codec counts.
    pub(super) granule: i64,
    pub(super) packets: Vec<Bytes>,
}

/// Takes pages apart.
#[derive(Debug, Default)]
pub(super) struct Packets {
    waiting: BytesMut,
    /// A packet that goes on with the next page.
    begun: BytesMut,
}

impl Packets {
    /// Takes bytes; gives the pages that are whole, or nothing any more if this is no Ogg.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Option<Vec<Page>> {
        self.waiting.extend_from_slice(bytes);
        let mut pages = Vec::new();
        while let Some(length) = self.page()? {
            let page = self.waiting.split_to(length);
            let granule = page[6..].first_chunk()?;
            let segments = usize::from(page[26]);
            let mut packets = Vec::new();
            let mut rest = &page[HEADER_BYTES + segments..];
            for &lacing in &page[HEADER_BYTES..HEADER_BYTES + segments] {
                let (piece, after) = rest.split_at(usize::from(lacing));
                self.begun.extend_from_slice(piece);
                rest = after;
                // A full segment is followed by another of the same packet.
                if lacing < 255 {
                    packets.push(self.begun.split().freeze());
                }
            }
            pages.push(Page {
                granule: i64::from_le_bytes(*granule),
                packets,
            });
        }
        (self.waiting.len() + self.begun.len() <= WAITING_MAX).then_some(pages)
    }

    /// The length of the page that comes next, if all of it is there.
    fn page(&mut self) -> Option<Option<usize>> {
        let Some(header) = self.waiting.get(..HEADER_BYTES) else {
            return Some(None);
        };
        if !header.starts_with(b"OggS") {
            self.waiting.advance(self.waiting.len());
            return None;
        }
        let segments = usize::from(header[26]);
        let table = self.waiting.get(HEADER_BYTES..HEADER_BYTES + segments);
        let length = table.map(|table| {
            let body: usize = table.iter().map(|lacing| usize::from(*lacing)).sum();
            HEADER_BYTES + segments + body
        });
        Some(length.filter(|length| self.waiting.len() >= *length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn page(lacings: &[u8], body: &[u8]) -> Vec<u8> {
        let mut page = b"OggS\0\0\x07".to_vec();
        page.resize(HEADER_BYTES - 1, 0);
        page.push(lacings.len() as u8);
        page.extend_from_slice(lacings);
        page.extend_from_slice(body);
        page
    }

    #[test]
    fn packets_come_out_whole_however_the_bytes_come_in() {
        let mut stream = page(&[2, 3], b"aabbb");
        stream.extend(page(&[255], &[7; 255]));
        stream.extend(page(&[1, 0], &[8]));
        let mut packets = Packets::default();
        let all: Vec<Page> = stream
            .chunks(10)
            .flat_map(|bytes| packets.push(bytes).unwrap())
            .collect();
        assert!(all.iter().all(|page| page.granule == 7));
        let all = all.iter().map(|page| page.packets.iter().map(Bytes::len));
        let sizes: Vec<Vec<usize>> = all.map(Iterator::collect).collect();
        assert_eq!(sizes, [vec![2, 3], vec![], vec![256, 0]]);
        assert!(packets.push(&[1; 40]).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(all in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..20)) {
            let mut packets = Packets::default();
            let _ = packets.push(b"OggS");
            for bytes in all {
                if packets.push(&bytes).is_none() {
                    break;
                }
            }
        }
    }
}
