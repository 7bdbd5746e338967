//! AMF0, the value encoding of RTMP commands and FLV script data, and [`Value`], which AMF3 shares.
//!
//! Everything here is read from peers nobody has vouched for: recursion is capped, counts are
//! capped, and nothing is allocated because a length was announced. References are kept as
//! references and never resolved, so a small input cannot grow into a large value.
//!
//! Format: Adobe, "Action Message Format -- AMF 0", 2007.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};

use crate::amf3;

/// How deep values may nest. Real commands nest twice; a parser without a cap overflows its stack.
pub const MAX_DEPTH: usize = 32;

/// How many values one decoding may yield, member names included. The longest real script data are
/// the keyframe indexes of FLV files.
pub const MAX_VALUES: usize = 16_384;

/// How many members or items one object or array may have.
pub const MAX_ITEMS: usize = 8_192;

/// How long one string, document or byte array may be.
pub const MAX_STRING_BYTES: usize = 256 * 1024;

const MARKER_NUMBER: u8 = 0x00;
const MARKER_BOOLEAN: u8 = 0x01;
const MARKER_STRING: u8 = 0x02;
const MARKER_OBJECT: u8 = 0x03;
const MARKER_NULL: u8 = 0x05;
const MARKER_UNDEFINED: u8 = 0x06;
const MARKER_REFERENCE: u8 = 0x07;
const MARKER_ECMA_ARRAY: u8 = 0x08;
const MARKER_OBJECT_END: u8 = 0x09;
const MARKER_STRICT_ARRAY: u8 = 0x0A;
const MARKER_DATE: u8 = 0x0B;
const MARKER_LONG_STRING: u8 = 0x0C;
const MARKER_UNSUPPORTED: u8 = 0x0D;
const MARKER_XML: u8 = 0x0F;
const MARKER_TYPED_OBJECT: u8 = 0x10;
const MARKER_AVMPLUS: u8 = 0x11;

/// The members of an object in the order they were written.
pub type Members = Vec<(Arc<str>, Value)>;

/// A value of AMF0 or AMF3. What AMF3 distinguishes further (integers, vectors, dictionaries)
/// arrives here as the nearest of these.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number; AMF has only doubles, besides the 29-bit integers of AMF3.
    Number(f64),
    /// A truth value.
    Boolean(bool),
    /// A string. What was not UTF-8 has been replaced.
    String(Arc<str>),
    /// An object without a class.
    Object(Members),
    /// Nothing.
    Null,
    /// Not even nothing.
    Undefined,
    /// An earlier complex value of the same message, by its number; never resolved.
    Reference(u32),
    /// An array with names for indices.
    EcmaArray(Members),
    /// An array with numbers for indices.
    StrictArray(Vec<Self>),
    /// Milliseconds since 1970-01-01T00:00:00Z.
    Date(f64),
    /// A value the peer could not write down.
    Unsupported,
    /// An XML document, not looked into.
    Xml(Arc<str>),
    /// An object with a class.
    TypedObject {
        /// The name of the class.
        class: Arc<str>,
        /// Its members.
        members: Members,
    },
    /// Bytes; AMF3 alone has them.
    Bytes(Arc<[u8]>),
}

impl Value {
    /// A string value.
    pub fn string(text: &str) -> Self {
        Self::String(text.into())
    }

    /// An object of the given members.
    pub fn object<'a>(members: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        Self::Object(
            members
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
        )
    }

    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// The number, if it is one.
    pub const fn as_f64(&self) -> Option<f64> {
        if let Self::Number(number) = self {
            Some(*number)
        } else {
            None
        }
    }

    /// The truth value, if it is one.
    pub const fn as_bool(&self) -> Option<bool> {
        if let Self::Boolean(truth) = self {
            Some(*truth)
        } else {
            None
        }
    }

    /// The members, if it is an object or an array with names.
    pub fn members(&self) -> Option<&[(Arc<str>, Self)]> {
        if let Self::Object(members)
        | Self::EcmaArray(members)
        | Self::TypedObject { members, .. } = self
        {
            Some(members)
        } else {
            None
        }
    }

    /// The first member of that name, if it has members.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.members()?
            .iter()
            .find(|(have, _)| &**have == name)
            .map(|(_, value)| value)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Boolean(truth)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::string(text)
    }
}

/// Why bytes are no value, in AMF0 or AMF3.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The input ends inside a value.
    #[error("AMF ends in the middle of a value")]
    Truncated,
    /// A type that does not exist or that may not stand here.
    #[error("AMF{version} has no value type {marker:#04x}")]
    Marker {
        /// 0 or 3.
        version: u8,
        /// The byte that should tell the type.
        marker: u8,
    },
    /// Nested too deep.
    #[error("AMF values nest deeper than {MAX_DEPTH}")]
    TooDeep,
    /// Too many values altogether.
    #[error("AMF holds more than {MAX_VALUES} values")]
    TooManyValues,
    /// Too many in one container.
    #[error("an AMF object or array has {0} items, the limit is {MAX_ITEMS}")]
    TooManyItems(usize),
    /// A string, document or byte array too long.
    #[error("an AMF string of {0} bytes, the limit is {MAX_STRING_BYTES}")]
    StringTooLong(usize),
    /// A reference to a string or class that did not come before.
    #[error("AMF3 refers to {what} {index}, which did not come before")]
    DanglingReference {
        /// What kind of thing.
        what: &'static str,
        /// Its number.
        index: u32,
    },
    /// An object that only its own class can read.
    #[error("AMF3 object writes itself, and its class is unknown")]
    Externalizable,
    /// A dictionary whose keys are neither strings nor numbers.
    #[error("AMF3 dictionary has keys that are neither strings nor numbers")]
    DictionaryKey,
}

/// Decodes the value at the beginning of `input`; tells how many bytes it took.
pub fn decode(input: &[u8]) -> Result<(Value, usize), Error> {
    let mut input = Input::new(input);
    let value = read_value(&mut input, &mut Budget::new(), 0)?;
    Ok((value, input.at))
}

/// Decodes all values of `input`, which share the limits of one decoding.
pub fn decode_all(input: &[u8]) -> Result<Vec<Value>, Error> {
    let mut input = Input::new(input);
    let mut budget = Budget::new();
    let mut values = Vec::new();
    while !input.is_empty() {
        values.push(read_value(&mut input, &mut budget, 0)?);
    }
    Ok(values)
}

/// Appends `value` as AMF0. [`Value::Bytes`], which AMF0 does not have, is written as AMF3 behind
/// its marker; names longer than 65535 bytes are cut.
pub fn encode(value: &Value, out: &mut BytesMut) {
    match value {
        Value::Number(number) => {
            out.put_u8(MARKER_NUMBER);
            out.put_f64(*number);
        }
        Value::Boolean(truth) => {
            out.put_u8(MARKER_BOOLEAN);
            out.put_u8(u8::from(*truth));
        }
        Value::String(text) => {
            if let Ok(length) = u16::try_from(text.len()) {
                out.put_u8(MARKER_STRING);
                out.put_u16(length);
                out.put_slice(text.as_bytes());
            } else {
                write_long(MARKER_LONG_STRING, text, out);
            }
        }
        Value::Object(members) => {
            out.put_u8(MARKER_OBJECT);
            write_members(members, out);
        }
        Value::Null => out.put_u8(MARKER_NULL),
        Value::Undefined => out.put_u8(MARKER_UNDEFINED),
        Value::Reference(number) => {
            out.put_u8(MARKER_REFERENCE);
            out.put_u16(u16::try_from(*number).unwrap_or(u16::MAX));
        }
        Value::EcmaArray(members) => {
            out.put_u8(MARKER_ECMA_ARRAY);
            out.put_u32(u32::try_from(members.len()).unwrap_or(u32::MAX));
            write_members(members, out);
        }
        Value::StrictArray(items) => {
            out.put_u8(MARKER_STRICT_ARRAY);
            out.put_u32(u32::try_from(items.len()).unwrap_or(u32::MAX));
            for item in items {
                encode(item, out);
            }
        }
        Value::Date(millis) => {
            out.put_u8(MARKER_DATE);
            out.put_f64(*millis);
            out.put_i16(0);
        }
        Value::Unsupported => out.put_u8(MARKER_UNSUPPORTED),
        Value::Xml(text) => write_long(MARKER_XML, text, out),
        Value::TypedObject { class, members } => {
            out.put_u8(MARKER_TYPED_OBJECT);
            write_name(class, out);
            write_members(members, out);
        }
        Value::Bytes(_) => {
            out.put_u8(MARKER_AVMPLUS);
            amf3::encode(value, out);
        }
    }
}

fn write_long(marker: u8, text: &str, out: &mut BytesMut) {
    out.put_u8(marker);
    out.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    out.put_slice(text.as_bytes());
}

fn write_name(name: &str, out: &mut BytesMut) {
    let name = &name[..name.floor_char_boundary(usize::from(u16::MAX))];
    out.put_u16(u16::try_from(name.len()).unwrap_or(u16::MAX));
    out.put_slice(name.as_bytes());
}

fn write_members(members: &Members, out: &mut BytesMut) {
    for (name, value) in members {
        write_name(name, out);
        encode(value, out);
    }
    out.put_slice(&[0, 0, MARKER_OBJECT_END]);
}

fn read_value(input: &mut Input<'_>, budget: &mut Budget, depth: usize) -> Result<Value, Error> {
    budget.enter(depth)?;
    Ok(match input.u8()? {
        MARKER_NUMBER => Value::Number(input.f64()?),
        MARKER_BOOLEAN => Value::Boolean(input.u8()? != 0),
        MARKER_STRING => Value::String(read_name(input)?),
        MARKER_OBJECT => Value::Object(read_members(input, budget, depth, None)?),
        MARKER_NULL => Value::Null,
        MARKER_UNDEFINED => Value::Undefined,
        MARKER_REFERENCE => Value::Reference(u32::from(input.u16()?)),
        MARKER_ECMA_ARRAY => {
            let count = input.u32()? as usize;
            Value::EcmaArray(read_members(input, budget, depth, Some(count))?)
        }
        MARKER_STRICT_ARRAY => {
            let count = input.u32()? as usize;
            if count > MAX_ITEMS {
                return Err(Error::TooManyItems(count));
            }
            let mut items = Vec::new();
            for _ in 0..count {
                items.push(read_value(input, budget, depth + 1)?);
            }
            Value::StrictArray(items)
        }
        MARKER_DATE => {
            let millis = input.f64()?;
            // The time zone is reserved and should be zero; nobody reads it.
            input.u16()?;
            Value::Date(millis)
        }
        MARKER_LONG_STRING => Value::String(read_long(input)?),
        MARKER_UNSUPPORTED => Value::Unsupported,
        MARKER_XML => Value::Xml(read_long(input)?),
        MARKER_TYPED_OBJECT => {
            let class = read_name(input)?;
            Value::TypedObject {
                class,
                members: read_members(input, budget, depth, None)?,
            }
        }
        MARKER_AVMPLUS => amf3::read_after_switch(input, budget, depth)?,
        marker => return Err(Error::Marker { version: 0, marker }),
    })
}

fn read_name(input: &mut Input<'_>) -> Result<Arc<str>, Error> {
    let length = usize::from(input.u16()?);
    input.text(length)
}

fn read_long(input: &mut Input<'_>) -> Result<Arc<str>, Error> {
    let length = input.u32()? as usize;
    input.text(length)
}

/// Reads members up to the end marker. The count that ECMA arrays announce is a hint and often
/// wrong, so it decides one thing alone: some encoders leave the end marker out where the message
/// ends anyway.
fn read_members(
    input: &mut Input<'_>,
    budget: &mut Budget,
    depth: usize,
    announced: Option<usize>,
) -> Result<Members, Error> {
    let mut members = Members::new();
    loop {
        if input.is_empty() && announced == Some(members.len()) {
            return Ok(members);
        }
        let name = read_name(input)?;
        if name.is_empty() {
            match input.peek() {
                Some(MARKER_OBJECT_END) => {
                    input.u8()?;
                    return Ok(members);
                }
                // Some encoders stop in the middle of the last end marker.
                None => return Ok(members),
                Some(_) => {}
            }
        }
        if members.len() == MAX_ITEMS {
            return Err(Error::TooManyItems(members.len() + 1));
        }
        members.push((name, read_value(input, budget, depth + 1)?));
    }
}

/// What one decoding may still yield.
pub(crate) struct Budget {
    values: usize,
}

impl Budget {
    pub(crate) const fn new() -> Self {
        Self { values: MAX_VALUES }
    }

    /// Accounts for one value at that depth.
    pub(crate) const fn enter(&mut self, depth: usize) -> Result<(), Error> {
        if depth >= MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        self.spend()
    }

    /// Accounts for one value or name.
    pub(crate) const fn spend(&mut self) -> Result<(), Error> {
        match self.values.checked_sub(1) {
            Some(left) => {
                self.values = left;
                Ok(())
            }
            None => Err(Error::TooManyValues),
        }
    }
}

/// A cursor over the bytes of one decoding.
pub(crate) struct Input<'a> {
    bytes: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Input<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let end = self.at.checked_add(length).ok_or(Error::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(Error::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.take(N)?.try_into().map_err(|_| Error::Truncated)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Error> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn f64(&mut self) -> Result<f64, Error> {
        self.array().map(f64::from_be_bytes)
    }

    pub(crate) fn blob(&mut self, length: usize) -> Result<&'a [u8], Error> {
        if length > MAX_STRING_BYTES {
            return Err(Error::StringTooLong(length));
        }
        self.take(length)
    }

    pub(crate) fn text(&mut self, length: usize) -> Result<Arc<str>, Error> {
        Ok(String::from_utf8_lossy(self.blob(length)?).into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(value: &Value) -> BytesMut {
        let mut out = BytesMut::new();
        encode(value, &mut out);
        out
    }

    pub(crate) fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            (-1e12..1e12).prop_map(Value::Number),
            any::<i32>().prop_map(|number| Value::Number(f64::from(number))),
            any::<bool>().prop_map(Value::Boolean),
            ".{0,12}".prop_map(|text| Value::string(&text)),
            Just(Value::Null),
            Just(Value::Undefined),
            (0u32..65536).prop_map(Value::Reference),
            (-1e12..1e12).prop_map(Value::Date),
            Just(Value::Unsupported),
            "[a-z<>]{0,12}".prop_map(|text| Value::Xml(text.as_str().into())),
            prop::collection::vec(any::<u8>(), 0..12).prop_map(|b| Value::Bytes(b.into())),
        ];
        leaf.prop_recursive(6, 64, 6, |inner| {
            let members = prop::collection::vec(
                (
                    "[a-z]{1,6}".prop_map(|name| Arc::from(name.as_str())),
                    inner.clone(),
                ),
                0..6,
            );
            prop_oneof![
                members.clone().prop_map(Value::Object),
                members.clone().prop_map(Value::EcmaArray),
                prop::collection::vec(inner, 0..6).prop_map(Value::StrictArray),
                ("[A-Z]{1,4}", members).prop_map(|(class, members)| Value::TypedObject {
                    class: class.as_str().into(),
                    members
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(value in any_value()) {
            let bytes = encoded(&value);
            prop_assert_eq!(decode(&bytes), Ok((value, bytes.len())));
        }

        #[test]
        fn every_prefix_is_an_error_and_not_a_panic(value in any_value(), cut in any::<prop::sample::Index>()) {
            let bytes = encoded(&value);
            let cut = cut.index(bytes.len());
            // An ECMA array may end with the message, so a prefix may be a value of its own.
            if let Ok((_, consumed)) = decode(&bytes[..cut]) {
                prop_assert!(consumed <= cut);
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            let _ = decode_all(&bytes);
        }
    }

    #[test]
    fn a_command_as_obs_writes_it_is_read() {
        let bytes =
            b"\x02\x00\x07connect\x00\x3f\xf0\0\0\0\0\0\0\x03\x00\x03app\x02\x00\x04live\0\0\x09";
        let values = decode_all(bytes).unwrap();
        assert_eq!(values[0].as_str(), Some("connect"));
        assert_eq!(values[1].as_f64(), Some(1.0));
        assert_eq!(values[2].get("app").and_then(Value::as_str), Some("live"));
    }

    #[test]
    fn nesting_of_any_depth_is_refused_and_not_followed() {
        for depth in [1_000, 10_000, 100_000] {
            let objects = b"\x03\x00\x01a".repeat(depth);
            assert_eq!(decode(&objects), Err(Error::TooDeep));
            let arrays = b"\x0a\x00\x00\x00\x01".repeat(depth);
            assert_eq!(decode(&arrays), Err(Error::TooDeep));
            let ecma = b"\x08\x00\x00\x00\x01\x00\x01a".repeat(depth);
            assert_eq!(decode(&ecma), Err(Error::TooDeep));
            let typed = b"\x10\x00\x01C\x00\x01a".repeat(depth);
            assert_eq!(decode(&typed), Err(Error::TooDeep));
        }
    }

    #[test]
    fn the_deepest_allowed_value_is_read() {
        let mut value = Value::Null;
        for _ in 1..MAX_DEPTH {
            value = Value::object([("a", value)]);
        }
        assert!(decode(&encoded(&value)).is_ok());
        assert_eq!(
            decode(&encoded(&Value::object([("a", value)]))),
            Err(Error::TooDeep)
        );
    }

    #[test]
    fn five_bytes_that_announce_an_array_of_two_billion_allocate_nothing() {
        for count in [0x8000_0000_u32, u32::MAX] {
            let mut bytes = vec![MARKER_STRICT_ARRAY];
            bytes.extend(count.to_be_bytes());
            assert_eq!(decode(&bytes), Err(Error::TooManyItems(count as usize)));
        }
        assert_eq!(decode(b"\x0a\x00\x00\x20\x00"), Err(Error::Truncated));
    }

    #[test]
    fn an_ecma_array_is_read_by_its_end_and_not_by_its_count() {
        let lying = b"\x08\xff\xff\xff\xff\x00\x01a\x05\0\0\x09";
        assert_eq!(
            decode(lying),
            Ok((Value::EcmaArray(vec![("a".into(), Value::Null)]), 12))
        );
        let endless = b"\x08\x00\x00\x00\x01\x00\x01a\x05";
        assert_eq!(
            decode(endless),
            Ok((Value::EcmaArray(vec![("a".into(), Value::Null)]), 9))
        );
    }

    #[test]
    fn many_small_values_are_refused() {
        assert_eq!(
            decode_all(&[MARKER_NULL; MAX_VALUES + 1]),
            Err(Error::TooManyValues)
        );
        assert_eq!(
            decode_all(&[MARKER_NULL; MAX_VALUES]).map(|v| v.len()),
            Ok(MAX_VALUES)
        );
        let mut wide = vec![MARKER_OBJECT];
        wide.extend(b"\x00\x01a\x05".repeat(MAX_ITEMS + 1));
        assert_eq!(decode(&wide), Err(Error::TooManyItems(MAX_ITEMS + 1)));
    }

    #[test]
    fn a_string_past_the_limit_is_refused_before_it_arrives() {
        assert_eq!(
            decode(b"\x0c\x7f\xff\xff\xff"),
            Err(Error::StringTooLong(0x7fff_ffff))
        );
    }

    #[test]
    fn a_string_that_is_not_utf8_is_mended() {
        let (value, _) = decode(b"\x02\x00\x02a\xff").unwrap();
        assert_eq!(value.as_str(), Some("a\u{fffd}"));
    }

    #[test]
    fn the_avmplus_marker_switches_to_amf3_and_back() {
        let values = decode_all(b"\x11\x06\x07abc\x05\x11\x04\x07").unwrap();
        assert_eq!(
            values,
            [Value::string("abc"), Value::Null, Value::Number(7.0)]
        );
    }
}
