//! Money and quantities as text: exact on the way in and out.

use std::fmt::Write as _;

use rusqlite::Row;
use rusqlite::types::Type;
use rust_decimal::Decimal;

/// A decimal as text, without an allocation: sign, 29 digits, point.
pub(super) struct DecimalText {
    bytes: [u8; 32],
    len: usize,
}

impl DecimalText {
    /// 32 bytes hold every decimal; were one longer, it would be an error and not a shorter number.
    pub(super) fn new(value: Decimal) -> rusqlite::Result<Self> {
        let mut text = Self { bytes: [0; 32], len: 0 };
        write!(text, "{value}").map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        Ok(text)
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl std::fmt::Write for DecimalText {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + part.len()).ok_or(std::fmt::Error)?;
        room.copy_from_slice(part.as_bytes());
        self.len += part.len();
        Ok(())
    }
}

pub(super) fn read_decimal(row: &Row<'_>, at: usize) -> rusqlite::Result<Decimal> {
    parse_decimal(at, &row.get::<_, String>(at)?)
}

/// Exactly as it was written; a text that is no decimal is an error, never zero.
pub(super) fn parse_decimal(at: usize, text: &str) -> rusqlite::Result<Decimal> {
    Decimal::from_str_exact(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(at, Type::Text, Box::new(error)))
}
