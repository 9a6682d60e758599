//! A walk over JSON that is known to be well-formed, value by value.
//!
//! It looks at no more than where values begin and end, so no depth and no content of what is passed over can
//! stop it. In a text that is not well-formed it comes to an end somewhere, and says so.

/// What is left of the text.
pub(super) struct Walk<'t> {
    rest: &'t [u8],
}

impl<'t> Walk<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        Self { rest: text }
    }

    /// The next byte that is no white space.
    pub(super) fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_ascii_start();
        self.rest.first().copied()
    }

    /// Passes over the next byte if it is this one.
    pub(super) fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.rest = &self.rest[1..])
    }

    /// Passes over the next value, whole, and gives its text.
    pub(super) fn value(&mut self) -> Option<&'t [u8]> {
        let len = match self.peek()? {
            b'"' => string_len(self.rest)?,
            b'{' | b'[' => nested_len(self.rest)?,
            _ => word_len(self.rest)?,
        };
        let (value, rest) = self.rest.split_at(len);
        self.rest = rest;
        Some(value)
    }
}

/// Bytes of the string at the beginning, with its quotes.
fn string_len(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        match text[at] {
            b'"' => return Some(at + 1),
            _ => at += 2,
        }
    }
}

/// Bytes of the object or list at the beginning.
fn nested_len(text: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        match text.get(at)? {
            b'"' => {
                at += string_len(&text[at..])?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Bytes of the number or word at the beginning.
fn word_len(text: &[u8]) -> Option<usize> {
    let is_end = |byte: &u8| matches!(byte, b',' | b':' | b'}' | b']') || byte.is_ascii_whitespace();
    let len = text.iter().position(is_end).unwrap_or(text.len());
    (len > 0).then_some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_passed_over_whole() {
        let values =
            [r#""a\"b\\""#, "-1.5e3", "null", r#"{"a":["}",{}]}"#, "[]", r#"["\\",[1]]"#, "\"\\ud800\""];
        let mut text = values.join(" , ").into_bytes();
        text.extend(b" ,\"\xff\"");
        let mut walk = Walk::new(&text);
        for value in values {
            assert_eq!(walk.value(), Some(value.as_bytes()));
            walk.take(b',').unwrap();
        }
        assert_eq!(walk.value(), Some(&b"\"\xff\""[..]));
        assert_eq!(walk.value(), None);
    }

    #[test]
    fn a_text_that_ends_too_soon_has_no_value() {
        for text in ["", " ", "\"", "\"\\", "\"a\\\"", "{", "[1", "[\"", ",", "}"] {
            assert_eq!(Walk::new(text.as_bytes()).value(), None, "{text}");
        }
    }
}
