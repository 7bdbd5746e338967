//! AMF3, which an encoder may switch to inside AMF0. The values are those of [`amf0`](crate::amf0),
//! and so are the limits.
//!
//! Objects that write themselves (externalizable) cannot be read without their class and are an
//! error. References to objects stay references.
//!
//! Format: Adobe, "Action Message Format -- AMF 3", 2013.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};

use crate::amf0::{Budget, Input, MAX_ITEMS, Members};
pub use crate::amf0::{Error, Value};

const MARKER_UNDEFINED: u8 = 0x00;
const MARKER_NULL: u8 = 0x01;
const MARKER_FALSE: u8 = 0x02;
const MARKER_TRUE: u8 = 0x03;
const MARKER_INTEGER: u8 = 0x04;
const MARKER_DOUBLE: u8 = 0x05;
const MARKER_STRING: u8 = 0x06;
const MARKER_XML_DOCUMENT: u8 = 0x07;
const MARKER_DATE: u8 = 0x08;
const MARKER_ARRAY: u8 = 0x09;
const MARKER_OBJECT: u8 = 0x0A;
const MARKER_XML: u8 = 0x0B;
const MARKER_BYTE_ARRAY: u8 = 0x0C;
const MARKER_VECTOR_INT: u8 = 0x0D;
const MARKER_VECTOR_UINT: u8 = 0x0E;
const MARKER_VECTOR_DOUBLE: u8 = 0x0F;
const MARKER_VECTOR_OBJECT: u8 = 0x10;
const MARKER_DICTIONARY: u8 = 0x11;

/// The largest number a variable-length integer holds.
const U29_MAX: u32 = (1 << 29) - 1;

/// Decodes the value at the beginning of `input`; tells how many bytes it took.
pub fn decode(input: &[u8]) -> Result<(Value, usize), Error> {
    let mut input = Input::new(input);
    let value = Decoder::default().value(&mut input, &mut Budget::new(), 0)?;
    Ok((value, input.at))
}

/// Reads one value behind AMF0's marker; the tables of references begin empty.
pub(crate) fn read_after_switch(
    input: &mut Input<'_>,
    budget: &mut Budget,
    depth: usize,
) -> Result<Value, Error> {
    Decoder::default().value(input, budget, depth + 1)
}

/// Appends `value` as AMF3, every string and class in full. An array with names for indices is
/// written as one; [`Value::Unsupported`], which AMF3 does not have, as undefined; members with an
/// empty name are left out.
pub fn encode(value: &Value, out: &mut BytesMut) {
    match value {
        Value::Undefined | Value::Unsupported => out.put_u8(MARKER_UNDEFINED),
        Value::Null => out.put_u8(MARKER_NULL),
        Value::Boolean(false) => out.put_u8(MARKER_FALSE),
        Value::Boolean(true) => out.put_u8(MARKER_TRUE),
        Value::Number(number) => {
            out.put_u8(MARKER_DOUBLE);
            out.put_f64(*number);
        }
        Value::String(text) => {
            out.put_u8(MARKER_STRING);
            write_blob(text.as_bytes(), out);
        }
        Value::Xml(text) => {
            out.put_u8(MARKER_XML);
            write_blob(text.as_bytes(), out);
        }
        Value::Date(millis) => {
            out.put_u8(MARKER_DATE);
            write_u29(1, out);
            out.put_f64(*millis);
        }
        Value::StrictArray(items) => {
            out.put_u8(MARKER_ARRAY);
            write_length(items.len(), out);
            write_blob(b"", out);
            for item in items {
                encode(item, out);
            }
        }
        Value::EcmaArray(members) => {
            out.put_u8(MARKER_ARRAY);
            write_length(0, out);
            write_members(members, out);
        }
        Value::Object(members) => write_object("", members, out),
        Value::TypedObject { class, members } => write_object(class, members, out),
        Value::Reference(number) => {
            out.put_u8(MARKER_OBJECT);
            write_u29(number << 1, out);
        }
        Value::Bytes(bytes) => {
            out.put_u8(MARKER_BYTE_ARRAY);
            write_blob(bytes, out);
        }
    }
}

fn write_object(class: &str, members: &Members, out: &mut BytesMut) {
    out.put_u8(MARKER_OBJECT);
    // A literal object, with literal traits, not externalizable, dynamic, no sealed members.
    write_u29(0b1011, out);
    write_blob(class.as_bytes(), out);
    write_members(members, out);
}

fn write_members(members: &Members, out: &mut BytesMut) {
    // The empty name ends the members, so that AMF3 cannot have a member of that name.
    for (name, value) in members.iter().filter(|(name, _)| !name.is_empty()) {
        write_blob(name.as_bytes(), out);
        encode(value, out);
    }
    write_blob(b"", out);
}

fn write_blob(bytes: &[u8], out: &mut BytesMut) {
    write_length(bytes.len(), out);
    out.put_slice(bytes);
}

/// Writes the length of something that stands here and is not referred to.
fn write_length(length: usize, out: &mut BytesMut) {
    write_u29(u32::try_from(length).unwrap_or(u32::MAX) << 1 | 1, out);
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "each byte takes the bits it has room for"
)]
fn write_u29(number: u32, out: &mut BytesMut) {
    let number = number & U29_MAX;
    if number < 1 << 7 {
        out.put_u8(number as u8);
    } else if number < 1 << 14 {
        out.put_slice(&[(number >> 7) as u8 | 0x80, number as u8 & 0x7F]);
    } else if number < 1 << 21 {
        out.put_slice(&[
            (number >> 14) as u8 | 0x80,
            (number >> 7) as u8 | 0x80,
            number as u8 & 0x7F,
        ]);
    } else {
        out.put_slice(&[
            (number >> 22) as u8 | 0x80,
            (number >> 15) as u8 | 0x80,
            (number >> 8) as u8 | 0x80,
            number as u8,
        ]);
    }
}

/// What the members of a class are called.
#[derive(Clone)]
struct Traits {
    class: Arc<str>,
    sealed: Arc<[Arc<str>]>,
    dynamic: bool,
}

/// Either something an earlier part of the input holds, or the length of what follows.
enum Head {
    Reference(u32),
    Literal(u32),
}

/// The tables that references point into. Objects are not kept, because references to them are not
/// resolved.
#[derive(Default)]
struct Decoder {
    strings: Vec<Arc<str>>,
    traits: Vec<Traits>,
}

impl Decoder {
    fn value(
        &mut self,
        input: &mut Input<'_>,
        budget: &mut Budget,
        depth: usize,
    ) -> Result<Value, Error> {
        budget.enter(depth)?;
        Ok(match input.u8()? {
            MARKER_UNDEFINED => Value::Undefined,
            MARKER_NULL => Value::Null,
            MARKER_FALSE => Value::Boolean(false),
            MARKER_TRUE => Value::Boolean(true),
            MARKER_INTEGER => {
                // 29 bits with a sign: shift the sign to where a 32-bit integer has it, and back.
                let bits = read_u29(input)?;
                Value::Number(f64::from((bits << 3).cast_signed() >> 3))
            }
            MARKER_DOUBLE => Value::Number(input.f64()?),
            MARKER_STRING => Value::String(self.string(input)?),
            MARKER_XML_DOCUMENT | MARKER_XML => match read_head(input)? {
                Head::Reference(number) => Value::Reference(number),
                Head::Literal(length) => Value::Xml(input.text(length as usize)?),
            },
            MARKER_DATE => match read_head(input)? {
                Head::Reference(number) => Value::Reference(number),
                Head::Literal(_) => Value::Date(input.f64()?),
            },
            MARKER_ARRAY => self.array(input, budget, depth)?,
            MARKER_OBJECT => self.object(input, budget, depth)?,
            MARKER_BYTE_ARRAY => match read_head(input)? {
                Head::Reference(number) => Value::Reference(number),
                Head::Literal(length) => Value::Bytes(input.blob(length as usize)?.into()),
            },
            MARKER_VECTOR_INT => vector(input, budget, |input| {
                input.u32().map(|bits| f64::from(bits.cast_signed()))
            })?,
            MARKER_VECTOR_UINT => vector(input, budget, |input| input.u32().map(f64::from))?,
            MARKER_VECTOR_DOUBLE => vector(input, budget, |input| input.f64())?,
            MARKER_VECTOR_OBJECT => {
                let count = match read_head(input)? {
                    Head::Reference(number) => return Ok(Value::Reference(number)),
                    Head::Literal(count) => bounded(count)?,
                };
                // Whether the length is fixed, and the class of the items: neither matters here.
                input.u8()?;
                self.string(input)?;
                Value::StrictArray(self.items(count, input, budget, depth)?)
            }
            MARKER_DICTIONARY => self.dictionary(input, budget, depth)?,
            marker => return Err(Error::Marker { version: 3, marker }),
        })
    }

    fn string(&mut self, input: &mut Input<'_>) -> Result<Arc<str>, Error> {
        match read_head(input)? {
            Head::Reference(index) => {
                self.strings
                    .get(index as usize)
                    .cloned()
                    .ok_or(Error::DanglingReference {
                        what: "string",
                        index,
                    })
            }
            Head::Literal(length) => {
                let text = input.text(length as usize)?;
                if !text.is_empty() {
                    self.strings.push(Arc::clone(&text));
                }
                Ok(text)
            }
        }
    }

    fn items(
        &mut self,
        count: usize,
        input: &mut Input<'_>,
        budget: &mut Budget,
        depth: usize,
    ) -> Result<Vec<Value>, Error> {
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(self.value(input, budget, depth + 1)?);
        }
        Ok(items)
    }

    /// Appends named members up to the empty name.
    fn named(
        &mut self,
        members: &mut Members,
        input: &mut Input<'_>,
        budget: &mut Budget,
        depth: usize,
    ) -> Result<(), Error> {
        loop {
            let name = self.string(input)?;
            if name.is_empty() {
                return Ok(());
            }
            if members.len() == MAX_ITEMS {
                return Err(Error::TooManyItems(members.len() + 1));
            }
            members.push((name, self.value(input, budget, depth + 1)?));
        }
    }

    /// An array has a part with names and a part with numbers; where both are used, the numbers
    /// become names.
    fn array(
        &mut self,
        input: &mut Input<'_>,
        budget: &mut Budget,
        depth: usize,
    ) -> Result<Value, Error> {
        let count = match read_head(input)? {
            Head::Reference(number) => return Ok(Value::Reference(number)),
            Head::Literal(count) => bounded(count)?,
        };
        let mut members = Members::new();
        self.named(&mut members, input, budget, depth)?;
        let items = self.items(count, input, budget, depth)?;
        if members.is_empty() && !items.is_empty() {
            return Ok(Value::StrictArray(items));
        }
        for (index, item) in items.into_iter().enumerate() {
            members.push((index.to_string().into(), item));
        }
        Ok(if members.is_empty() {
            Value::StrictArray(Vec::new())
        } else {
            Value::EcmaArray(members)
        })
    }

    fn object(
        &mut self,
        input: &mut Input<'_>,
        budget: &mut Budget,
        depth: usize,
    ) -> Result<Value, Error> {
        let flags = match read_head(input)? {
            Head::Reference(number) => return Ok(Value::Reference(number)),
            Head::Literal(flags) => flags,
        };
        let traits = self.traits(flags, input, budget)?;
        let mut members = Members::new();
        for name in traits.sealed.iter() {
            members.push((Arc::clone(name), self.value(input, budget, depth + 1)?));
        }
        if traits.dynamic {
            self.named(&mut members, input, budget, depth)?;
        }
        Ok(if traits.class.is_empty() {
            Value::Object(members)
        } else {
            Value::TypedObject {
                class: traits.class,
                members,
            }
        })
    }

    fn traits(
        &mut self,
        flags: u32,
        input: &mut Input<'_>,
        budget: &mut Budget,
    ) -> Result<Traits, Error> {
        if flags & 1 == 0 {
            let index = flags >> 1;
            return self
                .traits
                .get(index as usize)
                .cloned()
                .ok_or(Error::DanglingReference {
                    what: "class",
                    index,
                });
        }
        if flags & 2 != 0 {
            return Err(Error::Externalizable);
        }
        let count = bounded(flags >> 3)?;
        let class = self.string(input)?;
        let mut sealed = Vec::new();
        for _ in 0..count {
            budget.spend()?;
            sealed.push(self.string(input)?);
        }
        let traits = Traits {
            class,
            sealed: sealed.into(),
            dynamic: flags & 4 != 0,
        };
        self.traits.push(traits.clone());
        Ok(traits)
    }

    fn dictionary(
        &mut self,
        input: &mut Input<'_>,
        budget: &mut Budget,
        depth: usize,
    ) -> Result<Value, Error> {
        let count = match read_head(input)? {
            Head::Reference(number) => return Ok(Value::Reference(number)),
            Head::Literal(count) => bounded(count)?,
        };
        // Whether the keys are weak: a matter of the peer's memory.
        input.u8()?;
        let mut members = Members::new();
        for _ in 0..count {
            let key = self.value(input, budget, depth + 1)?;
            let name = if let Some(text) = key.as_str() {
                text.into()
            } else if let Some(number) = key.as_f64() {
                number.to_string().into()
            } else {
                return Err(Error::DictionaryKey);
            };
            members.push((name, self.value(input, budget, depth + 1)?));
        }
        Ok(Value::EcmaArray(members))
    }
}

fn vector(
    input: &mut Input<'_>,
    budget: &mut Budget,
    read: impl Fn(&mut Input<'_>) -> Result<f64, Error>,
) -> Result<Value, Error> {
    let count = match read_head(input)? {
        Head::Reference(number) => return Ok(Value::Reference(number)),
        Head::Literal(count) => bounded(count)?,
    };
    input.u8()?;
    let mut items = Vec::new();
    for _ in 0..count {
        budget.spend()?;
        items.push(Value::Number(read(input)?));
    }
    Ok(Value::StrictArray(items))
}

const fn bounded(count: u32) -> Result<usize, Error> {
    let count = count as usize;
    if count > MAX_ITEMS {
        Err(Error::TooManyItems(count))
    } else {
        Ok(count)
    }
}

fn read_head(input: &mut Input<'_>) -> Result<Head, Error> {
    let number = read_u29(input)?;
    Ok(if number & 1 == 0 {
        Head::Reference(number >> 1)
    } else {
        Head::Literal(number >> 1)
    })
}

/// Seven bits a byte while the top bit is set, at most four bytes, the fourth with all its bits.
fn read_u29(input: &mut Input<'_>) -> Result<u32, Error> {
    let mut number = 0;
    for _ in 0..3 {
        let byte = input.u8()?;
        number = number << 7 | u32::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Ok(number << 8 | u32::from(input.u8()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::amf0::MAX_DEPTH;

    fn encoded(value: &Value) -> BytesMut {
        let mut out = BytesMut::new();
        encode(value, &mut out);
        out
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            (-1e12..1e12).prop_map(Value::Number),
            any::<bool>().prop_map(Value::Boolean),
            ".{0,12}".prop_map(|text| Value::string(&text)),
            Just(Value::Null),
            Just(Value::Undefined),
            (0u32..1 << 28).prop_map(Value::Reference),
            (-1e12..1e12).prop_map(Value::Date),
            "[a-z<>]{0,200}".prop_map(|text| Value::Xml(text.as_str().into())),
            prop::collection::vec(any::<u8>(), 0..300).prop_map(|b| Value::Bytes(b.into())),
        ];
        leaf.prop_recursive(6, 64, 6, |inner| {
            let members = |least| {
                prop::collection::vec(
                    (
                        "[a-z]{1,6}".prop_map(|name| Arc::from(name.as_str())),
                        inner.clone(),
                    ),
                    least..6,
                )
            };
            prop_oneof![
                members(0).prop_map(Value::Object),
                // Without members it is the empty array, which has numbers for indices.
                members(1).prop_map(Value::EcmaArray),
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::StrictArray),
                ("[A-Z]{1,4}", members(0)).prop_map(|(class, members)| Value::TypedObject {
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
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn variable_length_integers_are_read_as_they_were_written(number in 0..=U29_MAX) {
            let mut out = BytesMut::new();
            write_u29(number, &mut out);
            prop_assert_eq!(read_u29(&mut Input::new(&out)), Ok(number));
        }
    }

    #[test]
    fn integers_have_a_sign_in_their_29th_bit() {
        assert_eq!(
            decode(b"\x04\xff\xff\xff\xff"),
            Ok((Value::Number(-1.0), 5))
        );
        assert_eq!(
            decode(b"\x04\xc0\x80\x80\x00"),
            Ok((Value::Number(-268_435_456.0), 5))
        );
        assert_eq!(decode(b"\x04\x81\x00"), Ok((Value::Number(128.0), 3)));
    }

    #[test]
    fn strings_and_classes_are_found_again_by_reference() {
        // Two objects of class "P" with the sealed member "n", the second by reference.
        let bytes = b"\x09\x05\x01\x0a\x13\x03P\x03n\x06\x03v\x0a\x01\x06\x04";
        let object = Value::TypedObject {
            class: "P".into(),
            members: vec![("n".into(), Value::string("v"))],
        };
        let expected = Value::StrictArray(vec![object.clone(), object]);
        assert_eq!(decode(bytes), Ok((expected, bytes.len())));
        assert_eq!(
            decode(b"\x06\x02"),
            Err(Error::DanglingReference {
                what: "string",
                index: 1
            })
        );
    }

    #[test]
    fn vectors_and_dictionaries_become_arrays() {
        let (ints, _) = decode(b"\x0d\x05\x00\xff\xff\xff\xff\x00\x00\x00\x02").unwrap();
        assert_eq!(ints, Value::StrictArray(vec![(-1.0).into(), 2.0.into()]));
        let (pairs, _) = decode(b"\x11\x05\x00\x06\x03a\x03\x04\x05\x02").unwrap();
        assert_eq!(
            pairs,
            Value::EcmaArray(vec![("a".into(), true.into()), ("5".into(), false.into())])
        );
        assert_eq!(decode(b"\x11\x03\x00\x01\x01"), Err(Error::DictionaryKey));
    }

    #[test]
    fn nesting_of_any_depth_is_refused_and_not_followed() {
        for depth in [MAX_DEPTH, 1_000, 100_000] {
            assert_eq!(decode(&b"\x09\x03\x01".repeat(depth)), Err(Error::TooDeep));
            assert_eq!(
                decode(&b"\x0a\x0b\x01\x03a".repeat(depth)),
                Err(Error::TooDeep)
            );
            assert_eq!(decode(&b"\x11\x03\x00".repeat(depth)), Err(Error::TooDeep));
            assert_eq!(
                decode(&b"\x10\x03\x00\x01".repeat(depth)),
                Err(Error::TooDeep)
            );
        }
    }

    #[test]
    fn announced_counts_allocate_nothing() {
        let huge = (U29_MAX >> 1) as usize;
        for marker in [
            MARKER_ARRAY,
            MARKER_VECTOR_INT,
            MARKER_VECTOR_OBJECT,
            MARKER_DICTIONARY,
        ] {
            assert_eq!(
                decode(&[marker, 0xff, 0xff, 0xff, 0xff]),
                Err(Error::TooManyItems(huge))
            );
        }
        for marker in [MARKER_STRING, MARKER_XML, MARKER_BYTE_ARRAY] {
            assert_eq!(
                decode(&[marker, 0xff, 0xff, 0xff, 0xff]),
                Err(Error::StringTooLong(huge))
            );
        }
    }

    #[test]
    fn objects_that_write_themselves_are_refused() {
        assert_eq!(decode(b"\x0a\x07\x03X"), Err(Error::Externalizable));
    }
}
