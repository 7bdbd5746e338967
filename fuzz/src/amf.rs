//! AMF0 and AMF3 values.

use bytes::BytesMut;
use media::amf0::{Error, Value};

/// Decodes AMF0, and what it decoded once more after encoding it.
pub fn amf0(data: &[u8]) {
    let _ = media::amf0::decode_all(data);
    if let Ok((value, consumed)) = media::amf0::decode(data) {
        assert!(consumed <= data.len());
        again(&value, media::amf0::encode, media::amf0::decode);
    }
}

/// Decodes AMF3, and what it decoded once more after encoding it.
pub fn amf3(data: &[u8]) {
    if let Ok((value, consumed)) = media::amf3::decode(data) {
        assert!(consumed <= data.len());
        again(&value, media::amf3::encode, media::amf3::decode);
    }
}

/// What is encoded decodes, and encodes to the same bytes.
fn again(
    value: &Value,
    encode: impl Fn(&Value, &mut BytesMut),
    decode: impl Fn(&[u8]) -> Result<(Value, usize), Error>,
) {
    let mut first = BytesMut::new();
    encode(value, &mut first);
    match decode(&first) {
        Ok((value, consumed)) => {
            assert_eq!(consumed, first.len());
            let mut second = BytesMut::new();
            encode(&value, &mut second);
            assert_eq!(first, second);
        }
        // Some values of AMF3 stand one deeper in the form that is encoded, and replacing what is
        // not UTF-8 makes strings longer.
        Err(error) => assert!(
            matches!(error, Error::TooDeep | Error::StringTooLong(_)),
            "{error}"
        ),
    }
}
