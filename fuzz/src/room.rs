//! What members of rooms send: what they say, who they say they are, and where they were.

use chat_core::danmaku::{clean, mentions};
use chat_core::emotes::Emotes;
use chat_core::lane::{Lane, Places};
use chat_core::protocol::{Encoding, Said};
use wire::room_token::RoomKey;
use wire::{EmoteId, RoomClaims};

/// Longest text, in characters as people count them: short, so that the limit is met.
const TEXT_MAX: usize = 40;

/// Reads what a member says, in either encoding.
pub fn said(data: &[u8]) {
    let code = "hi".parse().expect("a code");
    let emotes = Emotes::from_iter([(code, EmoteId::new())]);
    for encoding in Encoding::ALL {
        match encoding.decode(data) {
            Ok(Said::Send(send)) => {
                assert!(send.text.len() <= data.len());
                assert!(mentions(&send.text).len() <= 5);
                if let Ok(line) = clean(&send.text, TEXT_MAX, &emotes) {
                    assert!(line.len() <= send.text.len());
                    assert_eq!(clean(&line, TEXT_MAX, &emotes), Ok(line.clone()));
                }
            }
            Ok(Said::Auth { token, .. }) => assert!(token.len() <= data.len()),
            Ok(Said::Give(give)) => assert!(give.key.len() <= data.len()),
            Ok(Said::Delete { .. } | Said::Like | Said::Share) => {}
            // It is said to the member.
            Err(why) => assert!(why.len() <= 1_000, "{why}"),
        }
    }
}

/// Reads a room token, and claims that were signed.
pub fn room_token(data: &[u8]) {
    let key = RoomKey::new([7; 32]);
    if let Ok(token) = std::str::from_utf8(data)
        && let Ok(claims) = key.verify(token, i64::MIN)
    {
        assert_eq!(key.sign(&claims), token);
    }
    if let Ok(claims) = serde_json::from_slice::<RoomClaims>(data) {
        let token = key.sign(&claims);
        // What is too long to be looked at is nobody's.
        if let Ok(read) = key.verify(&token, i64::MIN) {
            assert_eq!(read, claims);
        }
    }
}

/// Reads where a member was.
pub fn since(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(places) = text.parse::<Places>() else {
        return;
    };
    let written = Lane::ALL.into_iter().filter_map(|lane| {
        let place = (*places.get(lane))?;
        Some(format!("{lane}:{}:{}", place.epoch, place.offset))
    });
    let written = written.collect::<Vec<_>>().join(",");
    assert_eq!(written.parse(), Ok(places));
}
