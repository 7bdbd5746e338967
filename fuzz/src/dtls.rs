//! Handshakes of a peer that was let in: those of a real one, and what a stranger puts among them.

use std::time::{Duration, Instant};

use sfu_core::transport::Received;

use crate::pairing::Pairing;

/// What the server may say in answer to so much, at most: flights are said again as time passes, and
/// certificates are larger than greetings.
const ANSWERED_PER_HEARD: usize = 8;
const ANSWERED_AT_LEAST: usize = 32 * 1024;

/// How far time may go on between two datagrams.
const STEP: Duration = Duration::from_millis(70);

/// The content types of records (RFC 6347 §4.1) that are worth a guess.
const CONTENTS: [u8; 4] = [20, 21, 22, 23];

/// Takes steps: what happens, how much time passes, and bytes behind their length. A handshake goes on by
/// the peer's next datagram, as it is or changed, or a datagram comes that the peer never said.
pub fn dtls(data: &[u8]) {
    let Some((&first, mut rest)) = data.split_first() else {
        return;
    };
    let mut now = Instant::now();
    let mut pairing = Pairing::new(now, first & 1 == 0);
    let (mut heard, mut answered) = (0, pairing.answer(now));
    while let [what, pause, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (bytes, after) = after.split_at(length.min(after.len()));
        rest = after;
        now += STEP * u32::from(pause & 0x0f);
        let datagram = datagram(&mut pairing, *what, bytes);
        heard += datagram.len();
        let received = pairing.hears(now, &datagram);
        answered += pairing.answer(now);
        // Who goes on after an error is shown out.
        if matches!(received, Err(_) | Ok(Received::Closed)) {
            break;
        }
        if pairing.server.poll_timeout().is_some_and(|due| due <= now)
            && pairing.server.handle_timeout(now).is_err()
        {
            break;
        }
        answered += pairing.answer(now);
        assert!(
            answered <= ANSWERED_AT_LEAST + heard * ANSWERED_PER_HEARD,
            "{answered} bytes for {heard}"
        );
    }
    pairing.server.close(now);
}

/// What comes next on the path.
fn datagram(pairing: &mut Pairing, what: u8, bytes: &[u8]) -> Vec<u8> {
    match what & 3 {
        0 => pairing.next().unwrap_or_default(),
        // Changed from somewhere on, or cut.
        1 => {
            let mut datagram = pairing.next().unwrap_or_default();
            let at = usize::from(bytes.first().copied().unwrap_or(0)) * usize::from(what >> 2);
            let changes = bytes.get(1..).unwrap_or_default();
            for (byte, change) in datagram.iter_mut().skip(at).zip(changes) {
                *byte ^= change;
            }
            if changes.is_empty() {
                datagram.truncate(at);
            }
            datagram
        }
        // A record in the first epoch or in the second, its number a guess too.
        2 => {
            let kind = CONTENTS[usize::from(what >> 2 & 3)];
            let mut record = vec![kind, 0xfe, 0xfd, 0, what >> 4 & 1, 0, 0, 0, 0, 0, what >> 5];
            let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
            record.extend_from_slice(&length.to_be_bytes());
            record.extend_from_slice(bytes);
            record
        }
        _ => bytes.to_vec(),
    }
}
