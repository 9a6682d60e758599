//! A pattern for names: literal text with `*` for any run of characters.
//!
//! Model names, failure codes and other words are matched by it. No regular expressions: a rule file's author
//! sees at once what a pattern takes, and a match costs a few nanoseconds. The next file in the flow is
//! `condition.rs`.

use std::fmt;
use std::sync::Arc;

/// A pattern for names. `*` stands for any run of characters, also none; the empty pattern matches only the
/// empty name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    text: Arc<str>,
    stars: usize,
}

impl Pattern {
    /// The pattern as a rule file writes it.
    pub fn new(text: &str) -> Self {
        Self { stars: text.matches('*').count(), text: text.into() }
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it has no `*`, so that it matches one name only.
    pub(crate) fn is_literal(&self) -> bool {
        self.stars == 0
    }

    /// Whether it matches a name. A lone `*` needs at least one character: an empty name is no name.
    pub fn matches(&self, name: &str) -> bool {
        if self.stars == 0 {
            return *self.text == *name;
        }
        !name.is_empty() && matches(self.text.as_bytes(), name.as_bytes())
    }

    /// Whether every name that `other` matches is matched by this one too. May say no where the answer is
    /// yes.
    pub fn covers(&self, other: &Self) -> bool {
        if other.is_literal() {
            return self.matches(&other.text);
        }
        // A `*` of `other` can only be taken by a `*` of this one, and then it is a character like any other.
        self.stars > 0 && matches(self.text.as_bytes(), other.text.as_bytes())
    }

    /// Whether some name may be matched by both. May say yes where the answer is no: of two patterns with
    /// stars only what stands before the first one is compared.
    pub fn may_overlap(&self, other: &Self) -> bool {
        if self.is_literal() || other.is_literal() {
            return self.covers(other) || other.covers(self);
        }
        let beginning = |pattern: &Self| pattern.text.split('*').next().unwrap_or_default().to_owned();
        let (own, other) = (beginning(self), beginning(other));
        own.starts_with(&other) || other.starts_with(&own)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Linear in the name for one star, at worst their product: the usual two-pointer walk with one point of
/// return.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut back = None;
    while seen < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                back = Some((at + 1, seen));
                at += 1;
            }
            Some(byte) if *byte == name[seen] => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((after_star, from)) = back else { return false };
                at = after_star;
                seen = from + 1;
                back = Some((after_star, seen));
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names() {
        for (pattern, name, expected) in [
            ("fal-ai/flux/dev", "fal-ai/flux/dev", true),
            ("fal-ai/flux/dev", "fal-ai/flux/dev2", false),
            ("fal-ai/flux/*", "fal-ai/flux/dev", true),
            ("fal-ai/flux/*", "fal-ai/flux", false),
            ("*kling*v2*", "fal-ai/kling-video/v2/master", true),
            ("*/v2/*/pro", "kling/v2/v2/pro", true),
            ("*/v2/*/pro", "kling/v2/pro", false),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("a*b*c", "a-c", false),
            ("ab*ab", "ab", false),
            ("*/text-to-video", "text-to-video", false),
            ("*", "anything", true),
            ("*", "", false),
            ("", "", true),
            ("", "x", false),
            ("SAFETY.INPUT.*", "SAFETY.INPUT.IMAGE", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), expected, "{pattern} on {name:?}");
        }
    }

    #[test]
    fn patterns_that_may_match_one_name_overlap() {
        for (one, other, expected) in [
            ("fast", "fast", true),
            ("fast", "slow", false),
            ("fast-*", "fast-2", true),
            ("fast-*", "slow-2", false),
            ("fast-*", "slow-*", false),
            ("fast-*", "fast-2*", true),
            ("fast-*", "*-2", true),
            ("*", "slow", true),
            ("*", "", false),
            ("", "", true),
        ] {
            let (one, other) = (Pattern::new(one), Pattern::new(other));
            assert_eq!(one.may_overlap(&other), expected, "{one} and {other}");
            assert_eq!(other.may_overlap(&one), expected, "{other} and {one}");
        }
    }

    #[test]
    fn a_pattern_covers_narrower_ones() {
        for (wide, narrow, expected) in [
            ("*", "fal-ai/*", true),
            ("*", "fal-ai/flux", true),
            ("*", "", false),
            ("fal-ai/*", "fal-ai/flux/*", true),
            ("fal-ai/flux/*", "fal-ai/*", false),
            ("fal-ai/flux", "fal-ai/*", false),
            ("a*c", "a*b*c", true),
            ("", "", true),
        ] {
            assert_eq!(Pattern::new(wide).covers(&Pattern::new(narrow)), expected, "{wide} over {narrow}");
        }
    }
}
