//! What comes to the address of a payment provider's webhooks.

use gifts::payment::event::read;
use gifts::payment::signature::{self, Secret, TOLERANCE_S};

/// Longest name of an event that is taken.
const ID_BYTES_MAX: usize = 255;

/// Reads a webhook: the first line is its header of signatures, the rest its body.
pub fn webhook(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n');
    let (header, body) = data.split_at(end.unwrap_or(0));
    let header = std::str::from_utf8(header).ok();
    let secrets = [Secret::new(b"whsec_fuzz")];
    for now in [i64::MIN, 0, i64::MAX] {
        // Nobody guesses a secret; the seed that is signed is of another one.
        assert!(signature::verify(header, body, &secrets, now).is_err());
    }
    let time = i64::try_from(data.len()).expect("inputs are short");
    let signed = signature::sign(&secrets[0], time, body);
    let verify = |now| signature::verify(Some(&signed), body, &secrets, now);
    assert!(verify(time + TOLERANCE_S).is_ok() && verify(time - TOLERANCE_S).is_ok());
    assert!(verify(time + TOLERANCE_S + 1).is_err());
    if let Ok(Some(event)) = read(body) {
        assert!((1..=ID_BYTES_MAX).contains(&event.id.len()));
        assert!(event.money.is_none_or(|money| money.amount >= 0));
        assert_eq!(
            read(body).ok().flatten().map(|again| again.id),
            Some(event.id)
        );
    }
}
