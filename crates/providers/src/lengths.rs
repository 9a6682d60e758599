//! How long a text may be that is kept.
//!
//! What a span says is a label of series and a column of the ledger for months, and a megabyte of it packs
//! into a few kilobytes on the way here. So a text past its bound is cut, and ends in a fingerprint of all
//! of it: two that differ stay two, and one is the same wherever it is cut. Below the bound it costs a
//! comparison of lengths.

use std::borrow::Cow;

use crate::fingerprint::Fingerprint;

/// Longest label, model, operation, provider or word of a fact, in bytes.
pub const LABEL_BYTES_MAX: usize = 256;
/// Longest id of a task, and longest id that a client chose, in bytes.
pub const ID_BYTES_MAX: usize = 1024;
/// Most ids that are read of a callback URL.
pub const CALLBACK_IDS_MAX: usize = 32;

/// Bytes behind the cut: a mark and the fingerprint in hexadecimal digits.
const SUFFIX_BYTES: usize = 17;

/// How much was not kept since it was last asked for: each text that was cut, each id that was left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cuts {
    /// Texts longer than [`LABEL_BYTES_MAX`].
    pub labels: u64,
    /// Ids longer than [`ID_BYTES_MAX`].
    pub ids: u64,
    /// Ids of callback URLs past [`CALLBACK_IDS_MAX`].
    pub callback_ids: u64,
}

impl Cuts {
    /// A label as it is kept.
    #[inline]
    pub(crate) fn label<'t>(&mut self, text: &'t str) -> Cow<'t, str> {
        bounded(text, LABEL_BYTES_MAX, &mut self.labels)
    }

    /// An id as it is kept.
    #[inline]
    pub(crate) fn id<'t>(&mut self, text: &'t str) -> Cow<'t, str> {
        bounded(text, ID_BYTES_MAX, &mut self.ids)
    }
}

#[inline]
fn bounded<'t>(text: &'t str, bytes_max: usize, count: &mut u64) -> Cow<'t, str> {
    if text.len() <= bytes_max {
        return Cow::Borrowed(text);
    }
    *count += 1;
    Cow::Owned(cut(text, bytes_max))
}

#[cold]
fn cut(text: &str, bytes_max: usize) -> String {
    let head = &text[..text.floor_char_boundary(bytes_max - SUFFIX_BYTES)];
    format!("{head}~{:016x}", Fingerprint::new().part(text).value())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_at_its_bound_is_kept_and_a_longer_one_is_cut_between_characters() {
        let mut cuts = Cuts::default();
        let whole = "a".repeat(LABEL_BYTES_MAX);
        assert!(matches!(cuts.label(&whole), Cow::Borrowed(text) if text == whole));
        assert_eq!(cuts, Cuts::default());
        let long = "é".repeat(LABEL_BYTES_MAX);
        let kept = cuts.label(&long).into_owned();
        assert_eq!(kept.len(), LABEL_BYTES_MAX - 1, "an odd byte would be half a character");
        assert_eq!(kept, format!("{}~{:016x}", "é".repeat(119), Fingerprint::new().part(&long).value()));
        assert_eq!(cuts.id(&"i".repeat(ID_BYTES_MAX + 1)).len(), ID_BYTES_MAX);
        assert_eq!(cuts, Cuts { labels: 1, ids: 1, callback_ids: 0 });
    }

    #[test]
    fn texts_that_differ_behind_the_cut_stay_two() {
        let mut cuts = Cuts::default();
        let [one, other] = ["1", "2"].map(|end| "A".repeat(1_000_000) + end);
        let kept = cuts.label(&one).into_owned();
        assert_eq!(kept, cuts.label(&one), "the same each time");
        assert_ne!(kept, cuts.label(&other));
    }
}
