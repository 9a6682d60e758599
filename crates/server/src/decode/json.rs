//! OTLP/JSON, rewritten as protobuf in one pass.
//!
//! The fields that the reader reads are listed in [`schema`]; everything else in the text is an unknown field
//! and ignored, as OTLP demands. Values are taken leniently where proto3 JSON lets a writer choose: 64-bit
//! integers as number or string, doubles as number or string (`"NaN"`, `"Infinity"`), `null` for any default,
//! lists left out, ids as hex of either case. Enums are integers only and keys are lowerCamelCase only: OTLP
//! forbids the rest.
//!
//! A character of which the writer kept half is replaced ([`surrogates`]), and an integer that does not fit
//! its 64 bits is as if there were none: an attribute that no rule names must not cost its neighbours.
//!
//! There is no tree of values in between, so the memory needed is at most a small multiple of the body: `{}`
//! is two bytes of text and six of protobuf.

mod schema;
mod surrogates;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use self::schema::{Field, Kind, Message};
pub(crate) use self::surrogates::mended;
use super::DecodeError;
use super::wire::{FIXED64, LEN, VARINT, key};

/// Bytes that stand for the length of a message until it is known: a varint padded with zeros, up to 2^35.
const LENGTH_BYTES: usize = 5;

/// Rewrites an `ExportTraceServiceRequest` in JSON as protobuf.
///
/// # Errors
/// The text is no JSON, or a field has a value of another type than OTLP gives it: [`DecodeError::Json`].
pub fn to_protobuf(body: &[u8]) -> Result<Vec<u8>, DecodeError> {
    rewritten(body).or_else(|error| {
        let halves = surrogates::halves(body);
        if halves.is_empty() {
            return Err(error);
        }
        let mut body = body.to_vec();
        surrogates::mend(&mut body, &halves);
        rewritten(&body)
    })
}

fn rewritten(body: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut out = Vec::with_capacity(body.len());
    let mut text = serde_json::Deserializer::from_slice(body);
    let root = Fields { message: &schema::REQUEST, out: &mut out };
    let read = text.deserialize_map(root).and_then(|()| text.end());
    read.map(|()| out).map_err(|error| DecodeError::Json { detail: error.to_string() })
}

/// The keys of a JSON object, for a message about one that is not what was expected; none of another value.
pub fn keys(body: &[u8]) -> Vec<String> {
    serde_json::Deserializer::from_slice(body).deserialize_map(Keys).unwrap_or_default()
}

/// Collects the keys of an object, and passes over what they stand for.
struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<String>, A::Error> {
        let mut keys = Vec::new();
        while let Some((key, IgnoredAny)) = map.next_entry()? {
            keys.push(key);
        }
        Ok(keys)
    }
}

/// Reads the fields of an object.
struct Fields<'o> {
    message: &'static Message,
    out: &'o mut Vec<u8>,
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(Name(self.message))? {
            let Some(field) = field else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = Value { field, in_list: false, out: self.out };
            // serde_json takes the position back out of the end of the message.
            map.next_value_seed(value)
                .map_err(|error| A::Error::custom(format!("{}: {error}", field.name)))?;
        }
        Ok(())
    }
}

/// Looks a key up; none for an unknown field.
struct Name(&'static Message);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.fields.iter().find(|field| field.name == name))
    }
}

/// Writes one value of a field.
struct Value<'o> {
    field: &'static Field,
    in_list: bool,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.field.repeated && !self.in_list { "a list" } else { self.field.kind.expected() })
    }

    /// `null` is the default: nothing to write.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.scalar() {
            Some(Kind::Bool) => self.put_varint(u64::from(value)),
            _ => return Err(E::invalid_type(serde::de::Unexpected::Bool(value), &self)),
        }
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.number(i128::from(value), value as f64)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.number(i128::from(value), value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        match whole(value) {
            Some(whole) => self.number(whole, value),
            None if matches!(self.scalar(), Some(Kind::Double)) => {
                self.put_fixed64(value.to_bits());
                Ok(())
            }
            None if self.is_signed() && is_past_64_bits(value) => Ok(()),
            None => Err(E::invalid_value(serde::de::Unexpected::Float(value), &self)),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let wrong = |value: &Self| Err(E::invalid_value(serde::de::Unexpected::Str(text), value));
        match self.scalar() {
            Some(Kind::Text) => self.put_bytes(text.as_bytes()),
            Some(Kind::Id) => match unhex(text) {
                Some(id) => self.put_bytes(&id),
                None => return wrong(&self),
            },
            Some(Kind::Double) => match text.parse::<f64>() {
                Ok(double) => self.put_fixed64(double.to_bits()),
                Err(_) => return wrong(&self),
            },
            Some(Kind::Int64 | Kind::Fixed64) => match integer(text) {
                Some(integer) => return self.number(integer, 0.0),
                None if self.is_signed() && text.parse().is_ok_and(is_past_64_bits) => {}
                None => return wrong(&self),
            },
            _ => return wrong(&self),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if !self.field.repeated || self.in_list {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        }
        while list.next_element_seed(Value { field: self.field, in_list: true, out: self.out })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Some(Kind::Message(message)) = self.scalar() else {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Map, &self));
        };
        put_varint(self.out, u64::from(key(self.field.number, LEN)));
        let start = self.out.len() + LENGTH_BYTES;
        self.out.resize(start, 0);
        Fields { message, out: self.out }.visit_map(map)?;
        let mut len = self.out.len() - start;
        for byte in &mut self.out[start - LENGTH_BYTES..start] {
            *byte = len as u8 | 0x80;
            len >>= 7;
        }
        self.out[start - 1] &= 0x7f;
        Ok(())
    }
}

impl Value<'_> {
    /// The kind of one value; none where a list must stand.
    fn scalar(&self) -> Option<Kind> {
        (self.field.repeated == self.in_list).then_some(self.field.kind)
    }

    /// Whether it is the integer value of an attribute.
    fn is_signed(&self) -> bool {
        matches!(self.scalar(), Some(Kind::Int64))
    }

    /// Writes a number: `integer` into integer fields if it fits, `double` into double fields.
    fn number<E: Error>(self, integer: i128, double: f64) -> Result<(), E> {
        let wrong = |value: &Self| {
            Err(E::invalid_value(serde::de::Unexpected::Other(&format!("the number {integer}")), value))
        };
        match self.scalar() {
            Some(Kind::Double) => self.put_fixed64(double.to_bits()),
            // The value of an attribute: one that does not fit is none.
            Some(Kind::Int64) => {
                if let Ok(int) = i64::try_from(integer) {
                    self.put_varint(int.cast_unsigned());
                }
            }
            Some(Kind::Enum) => match i32::try_from(integer) {
                Ok(code) => self.put_varint(i64::from(code).cast_unsigned()),
                Err(_) => return wrong(&self),
            },
            Some(Kind::Fixed64) => match u64::try_from(integer) {
                Ok(fixed) => self.put_fixed64(fixed),
                Err(_) => return wrong(&self),
            },
            _ => return wrong(&self),
        }
        Ok(())
    }

    fn put_varint(self, value: u64) {
        put_varint(self.out, u64::from(key(self.field.number, VARINT)));
        put_varint(self.out, value);
    }

    fn put_fixed64(self, value: u64) {
        put_varint(self.out, u64::from(key(self.field.number, FIXED64)));
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    fn put_bytes(self, bytes: &[u8]) {
        put_varint(self.out, u64::from(key(self.field.number, LEN)));
        put_varint(self.out, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// An integer as text: digits, or a number with exponent or fraction that is whole (`"1.5e18"`).
fn integer(text: &str) -> Option<i128> {
    text.parse().ok().or_else(|| whole(text.parse().ok()?))
}

/// A number, and not an infinite one, that no integer of 64 bits can hold.
fn is_past_64_bits(double: f64) -> bool {
    double.is_finite() && double.abs() > u64::MAX as f64
}

/// A double that is a whole number of at most 64 bits.
fn whole(double: f64) -> Option<i128> {
    (double.fract() == 0.0 && double.abs() <= u64::MAX as f64).then_some(double as i128)
}

/// Hex of either case; none if it is not hex at all. An id that cannot have the right length (an odd number
/// of digits, the `0x` that some writers put in front) becomes one byte: the reader then refuses that span
/// and no other.
fn unhex(text: &str) -> Option<Vec<u8>> {
    const WRONG_LENGTH: [u8; 1] = [0];
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let nibbles = digits.bytes().map(digit).collect::<Option<Vec<_>>>()?;
    if digits.len() < text.len() || nibbles.len() % 2 == 1 {
        return Some(WRONG_LENGTH.to_vec());
    }
    Some(nibbles.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
