//! Exact totals by label set: what `/metrics`, the report and the checks of the ledger add up.
//!
//! Counters only rise. So every total is two of them: what was posted, and what corrections took back; the
//! net is their difference. Additions are exact (see `exact.rs`), so the order of postings does not matter.

use std::collections::BTreeMap;
use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_stitch::Cause;

use crate::bill::Bound;
use crate::posting::{Measure, Posting, PostingKey};

/// Two monotonic sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Sum of the positive parts.
    pub posted: Bound,
    /// Sum of the negative parts, as positive figures.
    pub reversed: Bound,
}

impl Total {
    /// What remains.
    pub fn net(&self) -> Bound {
        self.posted - self.reversed
    }

    /// Adds an amount: each of min, expected and max to the side of its own sign.
    pub fn add(&mut self, amount: Bound) {
        let positive = |value: Decimal| value.max(Decimal::ZERO);
        let negative = |value: Decimal| (-value).max(Decimal::ZERO);
        self.posted = self.posted + each(amount, positive);
        self.reversed = self.reversed + each(amount, negative);
    }
}

fn each(bound: Bound, f: impl Fn(Decimal) -> Decimal) -> Bound {
    Bound { min: f(bound.min), expected: f(bound.expected), max: f(bound.max) }
}

/// Totals by key, in the order of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    by_key: BTreeMap<PostingKey, Total>,
}

impl Totals {
    /// Adds a posting.
    pub fn apply(&mut self, posting: &Posting) {
        if let Some(total) = self.by_key.get_mut(&posting.key) {
            return total.add(posting.amount);
        }
        let mut total = Total::default();
        total.add(posting.amount);
        self.by_key.insert(posting.key.clone(), total);
    }

    /// Sets a total, as read back from a store.
    pub fn restore(&mut self, key: PostingKey, total: Total) {
        self.by_key.insert(key, total);
    }

    /// The total of a key.
    pub fn get(&self, key: &PostingKey) -> Option<&Total> {
        self.by_key.get(key)
    }

    /// Every total, in the order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (&PostingKey, &Total)> {
        self.by_key.iter()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Net money by currency.
    pub fn cost(&self) -> BTreeMap<Arc<str>, Bound> {
        self.sum_by(|key| match &key.measure {
            Measure::Currency(currency) => Some(Arc::clone(currency)),
            Measure::Unit(_) | Measure::Unpriced(_) => None,
        })
    }

    /// Net money by currency and cause.
    pub fn cost_by_cause(&self) -> BTreeMap<(Arc<str>, Cause), Bound> {
        self.sum_by(|key| match &key.measure {
            Measure::Currency(currency) => Some((Arc::clone(currency), key.cause)),
            Measure::Unit(_) | Measure::Unpriced(_) => None,
        })
    }

    /// Net totals added up by whatever a key is grouped under; keys that are grouped under nothing are left
    /// out.
    pub fn sum_by<G: Ord>(&self, group: impl Fn(&PostingKey) -> Option<G>) -> BTreeMap<G, Bound> {
        let mut sums = BTreeMap::<G, Bound>::new();
        for (key, total) in &self.by_key {
            if let Some(group) = group(key) {
                let sum = sums.entry(group).or_default();
                *sum = *sum + total.net();
            }
        }
        sums
    }
}

impl<'a> Extend<&'a Posting> for Totals {
    fn extend<I: IntoIterator<Item = &'a Posting>>(&mut self, postings: I) {
        postings.into_iter().for_each(|posting| self.apply(posting));
    }
}

#[cfg(test)]
mod tests;
