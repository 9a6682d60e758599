//! Halves of characters in JSON text.
//!
//! JavaScript cuts text between the two halves of a character past U+FFFF (an attribute at its length limit
//! that ends in an emoji) and writes the half that is left as `\ud83d`. That is no text, and the parser
//! refuses all of a request for it, each time that it is sent again. So a half becomes U+FFFD, as in any
//! decoder of text. Both are six bytes, so it is done in place.

use bytes::{Bytes, BytesMut};
use memchr::{memchr, memmem};

/// U+FFFD behind `\u`.
const REPLACEMENT: &[u8; 4] = b"fffd";
/// Bytes of one escape, `\ud83d`.
const ESCAPE_BYTES: usize = 6;

/// The text with U+FFFD for each half of a character; without one it is handed back as it is.
pub(crate) fn mended(body: Bytes) -> Bytes {
    let halves = halves(&body);
    if halves.is_empty() {
        return body;
    }
    let mut body = BytesMut::from(body);
    mend(&mut body, &halves);
    body.freeze()
}

/// Writes U+FFFD in the places of [`halves`].
pub(super) fn mend(body: &mut [u8], halves: &[usize]) {
    for &at in halves {
        body[at + 2..at + ESCAPE_BYTES].copy_from_slice(REPLACEMENT);
    }
}

/// Where an escape stands for half a character. Most bodies have no escape of either half.
pub(super) fn halves(body: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let is_half = |at: usize| unit(&body[at..]).is_some_and(|unit| matches!(unit, 0xd800..=0xdfff));
    if !memmem::find_iter(body, br"\u").any(is_half) {
        return found;
    }
    let mut at = 0;
    while let Some(next) = memchr(b'\\', &body[at..]) {
        at += next;
        match unit(&body[at..]) {
            Some(0xd800..=0xdbff) if matches!(unit(&body[at + ESCAPE_BYTES..]), Some(0xdc00..=0xdfff)) => {
                at += 2 * ESCAPE_BYTES;
            }
            Some(0xd800..=0xdfff) => {
                found.push(at);
                at += ESCAPE_BYTES;
            }
            // Two bytes, so that an escaped backslash does not begin another escape.
            _ => at = body.len().min(at + 2),
        }
    }
    found
}

/// The UTF-16 unit that an escape stands for, if the text begins with one.
fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(br"\u")?.first_chunk::<4>()?;
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)? as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_halves_are_replaced() {
        for (text, expected) in [
            (r"plain \n \u00e9", r"plain \n \u00e9"),
            (r"\ud83d\ude00", r"\ud83d\ude00"),
            (r"\uD83D", r"\ufffd"),
            (r"\ude00", r"\ufffd"),
            (r"\ud83dx\ude00", r"\ufffdx\ufffd"),
            (r"\ud83d\ud83d\ude00", r"\ufffd\ud83d\ude00"),
            (r"\\ud83d", r"\\ud83d"),
            (r"\\\ud83d\", r"\\\ufffd\"),
            (r"\ud83", r"\ud83"),
            (r"\ud83d\", r"\ufffd\"),
        ] {
            assert_eq!(mended(Bytes::copy_from_slice(text.as_bytes())), expected, "{text}");
        }
    }
}
