//! What stands where a value was taken out. It is the same for every task, so it is no id, no model and no
//! callback URL of any: taken for an id, it would make one task of all.
//!
//! OpenTelemetry's .NET libraries write `Redacted` for each value of a query unless they are told not to,
//! those of other languages `REDACTED`; Collectors, agents and sanitisers of paths write stars, question
//! marks or the name of what stood there (`{id}`, `:id`, `<uuid>`). A program that had no id to write says
//! `None` or `undefined`.

use crate::url::decode;

/// Longer texts are values. A UUID is longer than any placeholder that was seen, and is not looked at.
const BYTES_MAX: usize = 32;

/// In any case, bare or in brackets.
const WORDS: &[&str] = &[
    "redacted",
    "masked",
    "hidden",
    "filtered",
    "removed",
    "scrubbed",
    "sanitized",
    "sanitised",
    "obfuscated",
    "none",
    "null",
    "nil",
    "undefined",
];

/// Brackets around a placeholder, of which none has a digit: a GUID may stand in braces.
const BRACKETS: &[(char, char)] = &[('{', '}'), ('<', '>'), ('[', ']'), ('(', ')')];

/// Whether a text stands for a value that is not shown; an empty one does. It may be percent-encoded.
#[inline]
pub(crate) fn is_placeholder(text: &str) -> bool {
    text.len() <= BYTES_MAX && stands_for_a_value(&decode(text, false))
}

fn stands_for_a_value(text: &str) -> bool {
    let has_no_letter = text.bytes().all(|byte| byte.is_ascii_punctuation());
    let is_crossed_out = || text.len() >= 3 && text.bytes().all(|byte| matches!(byte, b'x' | b'X'));
    let is_word = || WORDS.iter().any(|word| word.eq_ignore_ascii_case(text));
    has_no_letter || is_crossed_out() || is_word() || names_a_place(text)
}

/// Whether a text is the name of what stood there: `{task_id}`, `<uuid>`, `[REDACTED]`, `:id`.
fn names_a_place(text: &str) -> bool {
    let inner = |(open, close): &(char, char)| text.strip_prefix(*open)?.strip_suffix(*close);
    let name = BRACKETS.iter().find_map(inner).or_else(|| text.strip_prefix(':'));
    name.is_some_and(|name| !name.bytes().any(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_out_is_told_from_values() {
        for text in [
            "",
            "Redacted",
            "REDACTED",
            "[REDACTED]",
            "<redacted>",
            "%5BFiltered%5D",
            "*",
            "***",
            "****",
            "?",
            "-",
            "...",
            "%2A",
            "{id}",
            "%7Btask_id%7D",
            "<uuid>",
            "(hidden)",
            ":id",
            "xxxx",
            "XxxxX",
            "None",
            "null",
            "undefined",
        ] {
            assert!(is_placeholder(text), "{text}");
        }
        for text in [
            "a",
            "1",
            "xx",
            "x1",
            "a*",
            "ord_1",
            "redacted-7",
            "176520000000001",
            "nonesuch",
            "fal-ai",
            "{3f2504e0}",
            "{3f2504e0-4f89-11d3-9a0c-0305e82c3301}",
            "veo-3.1",
            "%41",
            "-9",
            "00000000-0000-0000-0000-000000000001",
        ] {
            assert!(!is_placeholder(text), "{text}");
        }
    }
}
