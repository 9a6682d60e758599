//! Text out of spans, as it is shown to people.
//!
//! What a span says is anybody's text. On a terminal a control character of it would act: colours, a title,
//! a line that overwrites the one before; a mark of writing direction shows the rest of a line backwards. So
//! such characters are shown by their number. Output for machines has every text as it is.

use std::borrow::Cow;

/// Characters of a name in a list; versions of Replicate are hashes of 64.
const NAME_CHARS: usize = 48;

/// The text with what would act on a terminal shown by its number: `\u{1b}`.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if acts(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown.into()
}

/// A name as a list has room for it: cut, and visible.
pub(crate) fn name(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(NAME_CHARS) {
        Some((end, _)) => format!("{}…", visible(&text[..end])).into(),
        None => visible(text),
    }
}

/// Controls of the terminal (C0, DEL, C1), line ends of Unicode, and marks of writing direction.
fn acts(character: char) -> bool {
    let is_direction = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    character.is_control() || is_direction || matches!(character, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::{NAME_CHARS, name, visible};

    #[test]
    fn nothing_that_is_shown_acts_on_a_terminal() {
        for (text, expected) in [
            ("fal-ai/flux/dev", "fal-ai/flux/dev"),
            ("ünïcode 漢字 🎬 e\u{301}", "ünïcode 漢字 🎬 e\u{301}"),
            ("\u{1b}[31mred\u{1b}[0m", "\\u{1b}[31mred\\u{1b}[0m"),
            ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}"),
            ("a\nb\rc\td", "a\\nb\\rc\\td"),
            ("\0nul\u{7f}", "\\u{0}nul\\u{7f}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{202e}evil\u{2069}", "\\u{202e}evil\\u{2069}"),
            ("two\u{2028}lines", "two\\u{2028}lines"),
        ] {
            assert_eq!(visible(text), expected);
        }
    }

    #[test]
    fn a_name_is_cut_before_it_is_made_visible() {
        assert_eq!(name("short"), "short");
        assert_eq!(name(&"x".repeat(NAME_CHARS)), "x".repeat(NAME_CHARS));
        assert_eq!(name(&"é".repeat(3000)), "é".repeat(NAME_CHARS) + "…");
        assert_eq!(name(&"\u{7}".repeat(3000)), "\\u{7}".repeat(NAME_CHARS) + "…");
    }
}
