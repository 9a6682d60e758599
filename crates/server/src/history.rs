//! What the configuration said in each of the lives of a ledger.
//!
//! A configuration may change at a restart, and what was taken or written before was so under the old one. So
//! the ledger keeps what was said with the number from which on it holds: that of a row, its own or the
//! journal's.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Most changes that are kept; of what came before the oldest of them nothing is known.
const CHANGES_MAX: usize = 256;

/// Values by the first number for which they hold, in the order of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct History<T> {
    changes: Vec<(u64, T)>,
}

impl<T> Default for History<T> {
    fn default() -> Self {
        Self { changes: Vec::new() }
    }
}

impl<T: Clone + PartialEq + Serialize + DeserializeOwned> History<T> {
    /// Reads what [`Self::to_text`] wrote; none when it is not readable.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let changes: Vec<(u64, T)> = serde_json::from_slice(text).ok()?;
        changes.is_sorted_by(|one, next| one.0 < next.0).then_some(Self { changes })
    }

    /// As the ledger keeps it.
    pub(crate) fn to_text(&self) -> String {
        // Serialising numbers and texts to memory cannot fail.
        serde_json::to_string(&self.changes).unwrap_or_default()
    }

    /// Notes what holds from a number on; what held before, if it was something else.
    pub(crate) fn note(&mut self, first: u64, value: T) -> Option<T> {
        let before = self.changes.last().map(|(_, value)| value.clone());
        if before.as_ref() == Some(&value) {
            return None;
        }
        self.changes.retain(|(known, _)| *known < first);
        self.changes.push((first, value));
        let surplus = self.changes.len().saturating_sub(CHANGES_MAX);
        self.changes.drain(..surplus);
        before
    }

    /// What holds for a number.
    pub(crate) fn at(&self, number: u64) -> Option<&T> {
        let after = self.changes.partition_point(|(first, _)| *first <= number);
        Some(&self.changes.get(after.checked_sub(1)?)?.1)
    }

    /// Forgets what holds for no number from this one on.
    pub(crate) fn forget_before(&mut self, number: u64) {
        let after = self.changes.partition_point(|(first, _)| *first <= number);
        self.changes.drain(..after.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded() {
        let mut history = History::default();
        for number in 0..2000 {
            history.note(number, number % 2);
        }
        assert_eq!(history.changes.len(), CHANGES_MAX);
        assert_eq!((history.at(0), history.at(1999)), (None, Some(&1)));
    }

    #[test]
    fn what_is_needed_by_no_number_any_more_is_forgotten() {
        let mut history = History::default();
        for number in [0, 10, 20] {
            history.note(number, number);
        }
        history.forget_before(10);
        assert_eq!((history.at(9), history.at(10), history.at(25)), (None, Some(&10), Some(&20)));
        history.forget_before(15);
        assert_eq!(history.at(15), Some(&10));
        history.forget_before(99);
        assert_eq!(history.changes, [(20, 20)]);
    }
}
