//! Attributes: `KeyValue` and `AnyValue`, read only when a rule names the key.

use spantally_providers::{AttributeKeys, Attributes, Value};

use super::wire::{Cursor, FIXED64, LEN, Result, Shape, VARINT, fields, key};

const KEY_VALUE: Shape =
    Shape { name: "KeyValue", fields: &[("key", LEN), ("value", LEN), ("key_strindex", VARINT)] };
const KEY: u32 = key(1, LEN);
const VALUE: u32 = key(2, LEN);

const ANY_VALUE: Shape = Shape {
    name: "AnyValue",
    fields: &[
        ("string_value", LEN),
        ("bool_value", VARINT),
        ("int_value", VARINT),
        ("double_value", FIXED64),
        ("array_value", LEN),
        ("kvlist_value", LEN),
        ("bytes_value", LEN),
        ("string_value_strindex", VARINT),
    ],
};
const STRING: u32 = key(1, LEN);
const BOOL: u32 = key(2, VARINT);
const INT: u32 = key(3, VARINT);
const DOUBLE: u32 = key(4, FIXED64);
const ARRAY: u32 = key(5, LEN);
/// The last field of the `oneof`.
const LAST_VALUE: u32 = 8;

const ARRAY_VALUE: Shape = Shape { name: "ArrayValue", fields: &[("values", LEN)] };
const VALUES: u32 = key(1, LEN);

/// Checks the text that is kept, and remembers whether all of it was UTF-8.
///
/// Text that no rule names is never looked at, so a stray byte in a prompt costs nobody a span.
#[derive(Clone, Copy, Default)]
pub(super) struct Texts {
    pub(super) invalid: bool,
}

impl Texts {
    #[inline]
    pub(super) fn check<'a>(&mut self, bytes: &'a [u8]) -> &'a str {
        std::str::from_utf8(bytes).unwrap_or_else(|_| {
            self.invalid = true;
            ""
        })
    }
}

/// Reads one encoded `KeyValue` into its slot, if it has one. Of a key given twice, the last stays.
#[inline]
pub(super) fn read_attribute<'a>(
    encoded: &'a [u8],
    keys: &AttributeKeys,
    attributes: &mut Attributes<'a>,
    texts: &mut Texts,
) -> Result<()> {
    let Some((key, value)) = plain(encoded) else {
        return read_in_parts(encoded, keys, attributes, texts);
    };
    let Some(slot) = keys.find(key) else { return Ok(()) };
    if let Some(text) = plain_text(value) {
        if !attributes.set_same(slot, text) {
            attributes.set(slot, Some(Value::Text(texts.check(text))));
        }
        return Ok(());
    }
    if let Some(number) = plain_integer(value) {
        attributes.set(slot, Some(Value::Int(number)));
        return Ok(());
    }
    let mut merged = AnyValue::default();
    merged.merge(value, texts)?;
    attributes.set(slot, merged.value);
    Ok(())
}

/// The same for a `KeyValue` that nobody writes, but anybody may.
#[cold]
fn read_in_parts<'a>(
    encoded: &'a [u8],
    keys: &AttributeKeys,
    attributes: &mut Attributes<'a>,
    texts: &mut Texts,
) -> Result<()> {
    if let Some(slot) = keys.find(key_of(encoded)?) {
        attributes.set(slot, value_of(encoded, texts)?);
    }
    Ok(())
}

/// The text of an `AnyValue` that is a string and nothing else, as most are.
#[inline]
fn plain_text(encoded: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(encoded);
    let text = (!cursor.is_empty() && cursor.key().ok()? == STRING).then(|| cursor.bytes().ok())??;
    cursor.is_empty().then_some(text)
}

/// The number of an `AnyValue` that is an integer and nothing else.
#[inline]
fn plain_integer(encoded: &[u8]) -> Option<i64> {
    let mut cursor = Cursor::new(encoded);
    let number = (!cursor.is_empty() && cursor.key().ok()? == INT).then(|| cursor.varint().ok())??;
    cursor.is_empty().then_some(number.cast_signed())
}

/// Key and value of a `KeyValue` as every writer makes it: one key, then one value, and nothing else. None
/// sends the caller to the slow way, which takes any order and number of them.
#[inline]
fn plain(encoded: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut cursor = Cursor::new(encoded);
    let key = (cursor.key().ok()? == KEY).then(|| cursor.bytes().ok())??;
    let value = (!cursor.is_empty() && cursor.key().ok()? == VALUE).then(|| cursor.bytes().ok())??;
    cursor.is_empty().then_some((key, value))
}

/// The key of an encoded `KeyValue`.
#[inline]
pub(super) fn key_of(encoded: &[u8]) -> Result<&[u8]> {
    let mut found: &[u8] = &[];
    fields(encoded, &KEY_VALUE, |key, cursor| {
        if key == KEY {
            found = cursor.bytes()?;
            return Ok(());
        }
        cursor.skip(key, &KEY_VALUE)
    })?;
    Ok(found)
}

/// The value of an encoded `KeyValue`, merged if it comes in parts.
#[inline]
pub(super) fn value_of<'a>(encoded: &'a [u8], texts: &mut Texts) -> Result<Option<Value<'a>>> {
    let mut value = AnyValue::default();
    fields(encoded, &KEY_VALUE, |key, cursor| {
        if key == VALUE {
            return value.merge(cursor.bytes()?, texts);
        }
        cursor.skip(key, &KEY_VALUE)
    })?;
    Ok(value.value)
}

/// A `oneof` under construction. Only an array survives a second part: its elements go on.
#[derive(Default)]
struct AnyValue<'a> {
    value: Option<Value<'a>>,
    array: Array,
}

/// Whether the value is an array, and whether its first element was seen.
#[derive(Clone, Copy, Default, PartialEq)]
enum Array {
    /// The value is no array.
    #[default]
    No,
    /// An array without elements so far.
    Empty,
    /// The first element is in `value`; it may be nothing that we can show.
    Begun,
    /// An element of an array: an array in it is not looked into.
    Inner,
}

impl<'a> AnyValue<'a> {
    fn merge(&mut self, encoded: &'a [u8], texts: &mut Texts) -> Result<()> {
        fields(encoded, &ANY_VALUE, |key, cursor| {
            let value = match key {
                STRING => Some(Value::Text(texts.check(cursor.bytes()?))),
                BOOL => Some(Value::Bool(cursor.varint()? != 0)),
                INT => Some(Value::Int(cursor.varint()?.cast_signed())),
                DOUBLE => Some(Value::Double(f64::from_bits(cursor.fixed64()?))),
                ARRAY if self.array != Array::Inner => {
                    return self.merge_array(cursor.bytes()?, texts);
                }
                other => {
                    cursor.skip(other, &ANY_VALUE)?;
                    if other >> 3 > LAST_VALUE {
                        return Ok(());
                    }
                    None
                }
            };
            self.value = value;
            if self.array != Array::Inner {
                self.array = Array::No;
            }
            Ok(())
        })
    }

    fn merge_array(&mut self, encoded: &'a [u8], texts: &mut Texts) -> Result<()> {
        if self.array == Array::No {
            (self.value, self.array) = (None, Array::Empty);
        }
        fields(encoded, &ARRAY_VALUE, |key, cursor| {
            if key != VALUES || self.array == Array::Begun {
                return cursor.skip(key, &ARRAY_VALUE);
            }
            let mut first = Self { value: None, array: Array::Inner };
            first.merge(cursor.bytes()?, texts)?;
            (self.value, self.array) = (first.value, Array::Begun);
            Ok(())
        })
    }
}
