//! The protobuf wire format: a cursor that walks fields in place and copies nothing.
//!
//! It refuses what prost refuses: lengths past the end, varints that do not fit, field number 0, the wire
//! types 6 and 7, and known fields of another wire type than their message defines. Unknown fields and groups
//! are skipped.

use super::error::WireProblem;

/// How deep unknown groups may nest. prost stops at 100 levels of messages and groups together.
pub(super) const GROUP_DEPTH: u32 = 90;

/// Wire type of varints.
pub(super) const VARINT: u8 = 0;
/// Wire type of 8-byte values.
pub(super) const FIXED64: u8 = 1;
/// Wire type of strings, bytes and messages.
pub(super) const LEN: u8 = 2;
const GROUP_START: u8 = 3;
const GROUP_END: u8 = 4;
/// Wire type of 4-byte values.
pub(super) const FIXED32: u8 = 5;

/// A field key as it stands on the wire.
pub(super) const fn key(number: u32, wire_type: u8) -> u32 {
    number << 3 | wire_type as u32
}

/// A message definition: field names and wire types, by field number.
pub(super) struct Shape {
    /// Name of the message, for errors.
    pub(super) name: &'static str,
    /// `fields[number - 1]`; an empty name is a number that the message does not use.
    pub(super) fields: &'static [(&'static str, u8)],
}

/// Something wrong at a place in memory; [`super::read`] turns the address into an offset.
///
/// Boxed, so that a `Result` of it fits two registers: errors are rare, fields are not.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) address: usize,
    pub(super) message: &'static str,
    pub(super) problem: WireProblem,
}

impl Fault {
    /// Names the message that it is in, unless an inner one is named already.
    #[cold]
    fn name(&mut self, message: &'static str) {
        if self.message.is_empty() {
            self.message = message;
        }
    }
}

pub(super) type Result<T> = std::result::Result<T, Box<Fault>>;

/// A place in an encoded message.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    #[cold]
    fn fault<T>(&self, problem: WireProblem) -> Result<T> {
        let address = self.rest.as_ptr() as usize;
        Err(Box::new(Fault { address, message: "", problem }))
    }

    #[cold]
    fn truncated<T>(&self, wanted: u64) -> Result<T> {
        self.fault(WireProblem::Truncated { wanted, left: self.rest.len() })
    }

    /// What is left.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next field's key. Whether it is a good one is found by [`Self::skip`], where every key ends up
    /// that the caller does not know.
    #[inline]
    pub(super) fn key(&mut self) -> Result<u32> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u32::from(*byte))
            }
            _ => self.long_key(),
        }
    }

    fn long_key(&mut self) -> Result<u32> {
        let before = *self;
        let key = self.long_varint()?;
        u32::try_from(key).or_else(|_| before.fault(WireProblem::Key(key)))
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for (at, &byte) in self.rest.iter().take(10).enumerate() {
            // The tenth byte has room for one bit only.
            if at == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        self.fault(WireProblem::Varint)
    }

    #[inline]
    pub(super) fn fixed64(&mut self) -> Result<u64> {
        let Some((bytes, rest)) = self.rest.split_first_chunk::<8>() else {
            return self.truncated(8);
        };
        self.rest = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    /// A string, bytes or a message.
    #[inline]
    pub(super) fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.varint()?;
        self.take(len)
    }

    #[inline]
    fn take(&mut self, len: u64) -> Result<&'a [u8]> {
        if len > self.rest.len() as u64 {
            return self.truncated(len);
        }
        let (taken, rest) = self.rest.split_at(len as usize);
        self.rest = rest;
        Ok(taken)
    }

    /// Skips the value of a field that the caller does not read, whether its message knows it or not.
    #[inline]
    pub(super) fn skip(&mut self, key: u32, shape: &Shape) -> Result<()> {
        let (number, found) = (key >> 3, (key & 7) as u8);
        let known = shape.fields.get((number as usize).wrapping_sub(1));
        if let Some(&(field, expected)) = known
            && found != expected
            && !field.is_empty()
        {
            return self.fault(WireProblem::WireType { field, found, expected });
        }
        self.skip_value(number, found, 0)
    }

    #[inline]
    fn skip_value(&mut self, number: u32, wire_type: u8, depth: u32) -> Result<()> {
        if number == 0 {
            return self.fault(WireProblem::Key(u64::from(wire_type)));
        }
        match wire_type {
            LEN => self.bytes().map(drop),
            VARINT => self.varint().map(drop),
            FIXED64 => self.take(8).map(drop),
            FIXED32 => self.take(4).map(drop),
            _ => self.skip_group(number, wire_type, depth),
        }
    }

    fn skip_group(&mut self, number: u32, wire_type: u8, depth: u32) -> Result<()> {
        match wire_type {
            GROUP_START if depth < GROUP_DEPTH => {}
            GROUP_START => return self.fault(WireProblem::GroupDepth),
            GROUP_END => return self.fault(WireProblem::GroupEnd(number)),
            _ => return self.fault(WireProblem::Key(u64::from(key(number, wire_type)))),
        }
        while !self.is_empty() {
            let inner = self.key()?;
            match (inner >> 3, (inner & 7) as u8) {
                (end, GROUP_END) if end == number => return Ok(()),
                (inner, wire_type) => self.skip_value(inner, wire_type, depth + 1)?,
            }
        }
        self.truncated(1)
    }
}

/// Walks the fields of one message: `each` gets a key and the cursor behind it, and must consume the value.
#[inline]
pub(super) fn fields<'a>(
    bytes: &'a [u8],
    shape: &Shape,
    mut each: impl FnMut(u32, &mut Cursor<'a>) -> Result<()>,
) -> Result<()> {
    let mut cursor = Cursor::new(bytes);
    while !cursor.is_empty() {
        let result = match cursor.key() {
            Ok(key) => each(key, &mut cursor),
            Err(fault) => Err(fault),
        };
        if let Err(mut fault) = result {
            fault.name(shape.name);
            return Err(fault);
        }
    }
    Ok(())
}
