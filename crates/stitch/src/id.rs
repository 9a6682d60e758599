//! Identities and instants: one wrapper type per meaning.

use std::fmt;

/// A moment, in nanoseconds since 1970-01-01T00:00:00Z, as OTLP carries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixNanos(pub u64);

impl UnixNanos {
    /// Signed distance `self - earlier` in seconds.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        (i128::from(self.0) - i128::from(earlier.0)) as f64 / 1e9
    }

    /// The moment `ms` milliseconds later, saturating.
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1_000_000)))
    }

    /// The moment `ms` milliseconds earlier, saturating at the epoch.
    pub fn minus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(ms.saturating_mul(1_000_000)))
    }
}

/// A W3C trace id; all zero is invalid.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(pub [u8; 16]);

/// A W3C span id; all zero means "none".
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(pub [u8; 8]);

impl SpanId {
    /// Whether this is a real id (a root's parent is not).
    pub fn is_some(self) -> bool {
        self.0 != [0; 8]
    }
}

/// What identifies a span: its trace and its own id.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanKey {
    /// The trace.
    pub trace: TraceId,
    /// The span in it.
    pub span: SpanId,
}

/// The name of a job, derived from its earliest evidence, so that it is the same after any reordering.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub [u8; 16]);

/// Where the bytes of a UUID stand in its text.
const UUID_PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The two hex digits of a byte, in lower case, as ids are written.
pub fn hex_digits(byte: u8) -> [u8; 2] {
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

/// Lower-case hex in one piece: ids are most of a job document.
fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [0; 32];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&hex_digits(*byte));
    }
    f.write_str(std::str::from_utf8(&text[..2 * bytes.len().min(16)]).unwrap_or_default())
}

macro_rules! hex_display {
    ($($name:ident),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex(&self.0, f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex(&self.0, f)
            }
        }
    )+};
}
hex_display!(TraceId, SpanId, JobId);

impl fmt::Display for SpanKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b':'; 49];
        let ids = self.trace.0.iter().zip((0..32).step_by(2));
        for (byte, at) in ids.chain(self.span.0.iter().zip((33..49).step_by(2))) {
            text[at..at + 2].copy_from_slice(&hex_digits(*byte));
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for SpanKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A provider's own id of a task, kept without an allocation when it is a lower-case UUID or short.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(Repr);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Repr {
    /// Big-endian: the order of the numbers is the order of the texts.
    Uuid([u8; 16]),
    Short(u8, [u8; 30]),
    Long(Box<str>),
}

impl TaskId {
    /// The id as the provider wrote it.
    pub fn new(text: &str) -> Self {
        if let Some(uuid) = parse_uuid(text.as_bytes()) {
            return Self(Repr::Uuid(uuid));
        }
        if text.len() <= 30 {
            let mut bytes = [0; 30];
            bytes[..text.len()].copy_from_slice(text.as_bytes());
            return Self(Repr::Short(text.len() as u8, bytes));
        }
        Self(Repr::Long(text.into()))
    }

    /// The id of a canonical UUID's bytes.
    pub fn from_uuid(bytes: [u8; 16]) -> Self {
        Self(Repr::Uuid(bytes))
    }

    /// The id in the form in which it takes the least room, for storing it.
    pub fn form(&self) -> TaskIdForm<'_> {
        match &self.0 {
            Repr::Uuid(uuid) => TaskIdForm::Uuid(*uuid),
            Repr::Short(len, bytes) => {
                let text = std::str::from_utf8(&bytes[..usize::from(*len)]);
                TaskIdForm::Text(text.unwrap_or_default())
            }
            Repr::Long(text) => TaskIdForm::Text(text),
        }
    }
}

/// What [`TaskId::form`] gives out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskIdForm<'a> {
    /// A canonical lower-case UUID.
    Uuid([u8; 16]),
    /// Anything else, as the provider wrote it.
    Text(&'a str),
}

/// Only the canonical lower-case form is folded to bytes: anything else must come out as it went in.
fn parse_uuid(text: &[u8]) -> Option<[u8; 16]> {
    let text: &[u8; 36] = text.try_into().ok()?;
    if [text[8], text[13], text[18], text[23]] != [b'-'; 4] {
        return None;
    }
    let (mut uuid, mut seen) = ([0; 16], 0);
    for (byte, at) in uuid.iter_mut().zip(UUID_PLACES) {
        let (high, low) = (NIBBLES[usize::from(text[at])], NIBBLES[usize::from(text[at + 1])]);
        *byte = high << 4 | low;
        seen |= high | low;
    }
    (seen < 16).then_some(uuid)
}

/// The value of each lower-case hex digit; 255 for every other byte.
const NIBBLES: [u8; 256] = {
    let mut nibbles = [255; 256];
    let mut value = 0;
    while value < 16 {
        nibbles[DIGITS[value as usize] as usize] = value;
        value += 1;
    }
    nibbles
};

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Uuid(uuid) => {
                let mut text = [b'-'; 36];
                for (byte, at) in uuid.iter().zip(UUID_PLACES) {
                    text[at..at + 2].copy_from_slice(&hex_digits(*byte));
                }
                f.write_str(std::str::from_utf8(&text).unwrap_or_default())
            }
            Repr::Short(len, bytes) => {
                f.write_str(std::str::from_utf8(&bytes[..usize::from(*len)]).unwrap_or_default())
            }
            Repr::Long(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_ids_come_out_as_they_went_in() {
        for text in [
            "",
            "a",
            "cgt-2026",
            "78321ff1-ddfa-4582-bc75-06854bbf40ad",
            "78321FF1-ddfa-4582-bc75-06854bbf40ad",
            "78321ff1-ddfa-4582-bc75-06854bbf40a-",
            "78321ff1-ddfa-4582-bc75-06854bbf40ag",
            "78321ff1addfa-4582-bc75-06854bbf40ad",
            "hbks9epvrm7nrh8c9eab2dazf6",
            "video_0b18bbc5f0dab816a2f8afbe005dc663ef257f5a2c6aadfc",
        ] {
            let id = TaskId::new(text);
            assert_eq!(id.to_string(), text);
            match id.form() {
                TaskIdForm::Uuid(bytes) => assert_eq!(TaskId::from_uuid(bytes), id),
                TaskIdForm::Text(same) => assert_eq!(same, text),
            }
        }
    }
}
