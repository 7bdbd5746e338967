//! The first words of a DTLS handshake, looked at before they are answered: how the peer can seal
//! packets (RFC 5764 §4.1.1). Browsers need more than one datagram for them.

/// Largest `ClientHello`, and most datagrams that one is put together from.
const BYTES_MAX: usize = 8 * 1024;
const DATAGRAMS_MAX: usize = 16;

const HANDSHAKE_RECORD: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const USE_SRTP: u16 = 14;

/// Bytes of the header of a record (RFC 6347 §4.1) and of a handshake message (§4.2.2).
const RECORD_HEADER: usize = 13;
const MESSAGE_HEADER: usize = 12;

/// A `ClientHello` on its way.
#[derive(Debug, Default)]
pub(crate) struct Hello {
    held: Vec<Box<[u8]>>,
    body: Vec<u8>,
    /// Which bytes of the body have come.
    came: Vec<bool>,
}

impl Hello {
    /// Takes a datagram. Once all is there, or it is clear that nothing will come of it, gives the
    /// profiles that are offered.
    pub(crate) fn take(&mut self, datagram: &[u8]) -> Option<Vec<u16>> {
        self.held.push(datagram.into());
        let read = self.add(datagram).is_some();
        let whole = !self.came.is_empty() && self.came.iter().all(|came| *came);
        if whole {
            return Some(offered(&self.body).unwrap_or_default());
        }
        (!read || self.held.len() == DATAGRAMS_MAX).then(Vec::new)
    }

    /// The datagrams so far.
    pub(crate) fn into_held(self) -> Vec<Box<[u8]>> {
        self.held
    }

    /// Adds the fragments in a datagram; `None` if it has anything else.
    fn add(&mut self, datagram: &[u8]) -> Option<()> {
        let mut rest = datagram;
        while !rest.is_empty() {
            let (header, body) = rest.split_at_checked(RECORD_HEADER)?;
            let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
            let (mut record, after) = body.split_at_checked(length)?;
            if header[0] != HANDSHAKE_RECORD {
                return None;
            }
            while !record.is_empty() {
                let (header, body) = record.split_at_checked(MESSAGE_HEADER)?;
                let [kind, a, b, c, _, _, d, e, f, g, h, i] = *header else {
                    return None;
                };
                let three = |a, b, c| u32::from_be_bytes([0, a, b, c]) as usize;
                let (total, at, length) = (three(a, b, c), three(d, e, f), three(g, h, i));
                let (fragment, more) = body.split_at_checked(length)?;
                if kind != CLIENT_HELLO || !(1..=BYTES_MAX).contains(&total) {
                    return None;
                }
                if self.body.len() != total {
                    self.body = vec![0; total];
                    self.came = vec![false; total];
                }
                self.body
                    .get_mut(at..at + length)?
                    .copy_from_slice(fragment);
                self.came.get_mut(at..at + length)?.fill(true);
                record = more;
            }
            rest = after;
        }
        Some(())
    }
}

/// The profiles in the body of a `ClientHello`.
fn offered(body: &[u8]) -> Option<Vec<u16>> {
    // Version and random; then session id, cookie, cipher suites and compression methods.
    let mut rest = body.get(2 + 32..)?;
    for wide in [false, false, true, false] {
        let (length, after) = if wide {
            let (length, after) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*length)), after)
        } else {
            let (length, after) = rest.split_first()?;
            (usize::from(*length), after)
        };
        rest = after.get(length..)?;
    }
    rest = rest.get(2..)?;
    loop {
        let [a, b, c, d, body @ ..] = rest else {
            return None;
        };
        let length = usize::from(u16::from_be_bytes([*c, *d]));
        if u16::from_be_bytes([*a, *b]) == USE_SRTP {
            let listed = usize::from(u16::from_be_bytes([*body.first()?, *body.get(1)?]));
            let profiles = body.get(2..2 + listed)?.chunks_exact(2);
            return Some(
                profiles
                    .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                    .collect(),
            );
        }
        rest = body.get(length..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A hello in fragments of `size` bytes.
    fn hello(profiles: &[u8], size: usize) -> Vec<Vec<u8>> {
        let mut body = vec![0; 34];
        body.extend_from_slice(&[1, 9, 2, 9, 9, 0, 2, 0xc0, 0x2b, 1, 0, 0, 0]);
        body.extend_from_slice(&[0, 10, 0, 2, 0, 29, 0, 14, 0, 3 + profiles.len() as u8]);
        body.extend_from_slice(&[0, profiles.len() as u8]);
        body.extend_from_slice(profiles);
        body.push(0);
        let total = body.len() as u8;
        let fragments = body.chunks(size).enumerate().map(|(index, piece)| {
            let length = piece.len() as u8;
            let mut datagram = vec![
                HANDSHAKE_RECORD,
                0xfe,
                0xfd,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                index as u8,
            ];
            datagram.extend_from_slice(&[0, 12 + length, CLIENT_HELLO, 0, 0, total, 0, 0]);
            datagram.extend_from_slice(&[0, 0, (index * size) as u8, 0, 0, length]);
            datagram.extend_from_slice(piece);
            datagram
        });
        fragments.collect()
    }

    #[test]
    fn what_a_peer_can_do_is_known_once_its_hello_is_whole() {
        for size in [100, 20, 12] {
            let mut fragments = hello(&[0, 1, 0, 7], size);
            fragments.reverse();
            let last = fragments.pop().unwrap();
            let mut taken = Hello::default();
            for fragment in &fragments {
                assert_eq!(taken.take(fragment), None);
                assert_eq!(taken.take(fragment), None, "twice");
            }
            assert_eq!(taken.take(&last), Some(vec![1, 7]));
            assert_eq!(taken.into_held().len(), fragments.len() * 2 + 1);
        }
    }

    #[test]
    fn what_is_no_hello_is_not_waited_for() {
        assert_eq!(Hello::default().take(&[22, 1, 2]), Some(vec![]));
        assert_eq!(Hello::default().take(&[21; 40]), Some(vec![]));
        let mut broken = hello(&[0, 7], 100).remove(0);
        broken[16] = 200;
        let mut endless = Hello::default();
        let answers: Vec<_> = (0..DATAGRAMS_MAX).map(|_| endless.take(&broken)).collect();
        assert_eq!(answers.iter().flatten().count(), 1);
        assert!(answers.last().unwrap().is_some());
    }

    proptest! {
        #[test]
        fn any_datagrams_are_taken(all in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 1..20)) {
            let mut hello = Hello::default();
            for mut datagram in all {
                if datagram.len() > 25 {
                    (datagram[0], datagram[13]) = (HANDSHAKE_RECORD, CLIENT_HELLO);
                    (datagram[11], datagram[12]) = (0, (datagram.len() - 13) as u8);
                }
                if hello.take(&datagram).is_some() {
                    break;
                }
            }
            prop_assert!(hello.into_held().len() <= DATAGRAMS_MAX);
        }
    }
}
