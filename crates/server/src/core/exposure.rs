//! Settled money of which nobody knows whether it was billed at all, for as long as an invoice may tell.
//!
//! Most charges are within bounds of which the least is something. What is meant here is the rest: a submit
//! that timed out and may have made a task, a failure that a provider may or may not bill. The counter
//! `spantally_ambiguous_cost_total` is the most that such charges come to. The exposure gauge shows what was
//! added to it lately: a charge leaves the gauge when a revision decides it, when an invoice that covers its
//! day is in the configuration, or when the invoice must have come ([`OPEN_DAYS`]).
//!
//! Amounts are kept by the day on which the newest revision of their job was made. A later revision takes all
//! of it back from that day, and adds what is undecided still to its own: taken from another day it would
//! hide what other jobs have there.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, reason = "a decimal's operators panic"))]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_price::{add, sum};
use spantally_stitch::UnixNanos;
use spantally_store::DAY_NANOS;

use super::entries::Entry;
use crate::export::{MetricId, Registry, canonical};

/// A month, and two weeks until its invoice is there.
const OPEN_DAYS: u64 = 45;

/// A time for which a provider's invoice is known: what it lists is in it, and what it does not list will
/// not be billed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoiced {
    /// The provider.
    pub provider: Arc<str>,
    /// Its first moment.
    pub from: UnixNanos,
    /// The first moment after it.
    pub until: UnixNanos,
}

/// Undecided money by series and day.
#[derive(Debug, Default)]
pub(super) struct Exposure {
    /// By the labels of the series, with the currency.
    days: BTreeMap<Arc<str>, Days>,
    pub(super) invoiced: Vec<Invoiced>,
    /// Texts of labels that are not written any more, to be saved without amounts.
    emptied: Vec<Arc<str>>,
}

#[derive(Debug, Default)]
struct Days {
    amounts: BTreeMap<u64, Decimal>,
    /// Since it was last saved.
    changed: bool,
}

impl Exposure {
    /// Takes what a job had added with a revision from that revision's day, and adds what a newer one has to
    /// the newer one's day.
    pub(super) fn move_job(
        &mut self,
        (old, before): (&[Entry], UnixNanos),
        (new, now): (&[Entry], UnixNanos),
        registry: &Registry,
    ) {
        let taken = old.iter().map(|&(series, amount)| (series, -amount, before));
        let added = new.iter().map(|&(series, amount)| (series, amount, now));
        for (series, amount, at) in taken.chain(added) {
            if series.metric == MetricId::AmbiguousCost && !amount.is_zero() {
                self.add(registry.labels(series), amount, at);
            }
        }
    }

    /// Adds to the day of a moment, or takes from it.
    fn add(&mut self, labels: &str, amount: Decimal, at: UnixNanos) {
        if !self.days.contains_key(labels) {
            self.days.insert(labels.into(), Days::default());
        }
        let Some(days) = self.days.get_mut(labels) else { return };
        let day = at.0 / DAY_NANOS;
        days.changed = true;
        add(days.amounts.entry(day).or_default(), amount);
        days.amounts.retain(|kept, amount| kept + OPEN_DAYS > day && !amount.is_zero());
    }

    /// What is undecided at `now`, by the labels of the series.
    pub(super) fn open(&self, now: UnixNanos) -> impl Iterator<Item = (&str, Decimal)> {
        let today = now.0 / DAY_NANOS;
        self.days.iter().map(move |(labels, days)| {
            let open = days.amounts.iter().filter(|(day, _)| *day + OPEN_DAYS > today);
            let open = open.filter(|(day, _)| !self.is_invoiced(labels, **day));
            (&**labels, sum(open.map(|(_, amount)| *amount)).max(Decimal::ZERO))
        })
    }

    fn is_invoiced(&self, labels: &str, day: u64) -> bool {
        let (from, until) = (UnixNanos(day * DAY_NANOS), UnixNanos((day + 1) * DAY_NANOS));
        self.invoiced.iter().any(|invoiced| {
            let of_provider =
                labels.strip_prefix("provider=\"").and_then(|rest| rest.strip_prefix(&*invoiced.provider));
            of_provider.is_some_and(|rest| rest.starts_with('"'))
                && invoiced.from <= from
                && until <= invoiced.until
        })
    }

    /// What changed since the last call, as text.
    pub(super) fn take_changed(&mut self) -> Vec<(Arc<str>, String)> {
        let day = |(day, amount): (&u64, &Decimal)| format!("{day} {amount}");
        let text = |days: &Days| days.amounts.iter().map(day).collect::<Vec<_>>().join("\n");
        let changed = self.days.iter_mut().filter_map(|(labels, days)| {
            std::mem::take(&mut days.changed).then(|| (Arc::clone(labels), text(days)))
        });
        let emptied = std::mem::take(&mut self.emptied).into_iter().map(|labels| (labels, String::new()));
        changed.chain(emptied).collect()
    }

    /// Takes back what [`Self::take_changed`] gave; false if it is not readable. What was kept by a text that
    /// is not written any more goes to the one that is.
    pub(super) fn restore(&mut self, labels: &Arc<str>, text: &str) -> bool {
        let parse = |line: &str| {
            let (day, amount) = line.split_once(' ')?;
            Some((day.parse().ok()?, Decimal::from_str(amount).ok()?))
        };
        let Some(amounts) = text.lines().map(parse).collect::<Option<Vec<(u64, Decimal)>>>() else {
            return false;
        };
        let written = canonical::of_series(MetricId::AmbiguousCost.metric(), labels);
        let is_old = matches!(written, Cow::Owned(_)) && !amounts.is_empty();
        let days = self.days.entry(written.into()).or_default();
        for (day, amount) in amounts {
            add(days.amounts.entry(day).or_default(), amount);
        }
        days.changed |= is_old;
        if is_old {
            self.emptied.push(Arc::clone(labels));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: &str = "provider=\"fal\",model=\"flux\",currency=\"USD\"";

    fn day(day: u64) -> UnixNanos {
        UnixNanos(day * DAY_NANOS + 7)
    }

    fn open(exposure: &Exposure, at: u64) -> Vec<String> {
        exposure.open(day(at)).map(|(_, amount)| amount.to_string()).collect()
    }

    #[test]
    fn money_leaves_when_it_is_decided_invoiced_or_old() {
        let mut exposure = Exposure::default();
        exposure.add(LABELS, Decimal::from(5), day(100));
        exposure.add(LABELS, Decimal::from(3), day(101));
        // Decided a day later, and taken from the day that it was added to.
        exposure.add(LABELS, Decimal::from(-1), day(100));
        assert_eq!(open(&exposure, 101), ["7"]);
        assert_eq!(open(&exposure, 145), ["3"], "the invoice of the first day has come");
        assert_eq!(open(&exposure, 146), ["0"]);
        let until = UnixNanos(day(101).0 - 7);
        exposure.invoiced = vec![
            Invoiced { provider: "fa".into(), from: day(0), until },
            Invoiced { provider: "fal".into(), from: day(0), until },
        ];
        assert_eq!(open(&exposure, 101), ["3"], "the first day is on an invoice");
    }

    #[test]
    fn no_sum_leaves_the_range() {
        let mut exposure = Exposure::default();
        for at in [100, 100, 101] {
            exposure.add(LABELS, Decimal::MAX, day(at));
        }
        assert_eq!(open(&exposure, 101), [Decimal::MAX.to_string()]);
    }

    #[test]
    fn it_comes_back_and_stays_small() {
        let mut exposure = Exposure::default();
        for at in 0..200 {
            exposure.add(LABELS, Decimal::ONE, day(at));
        }
        let saved = exposure.take_changed();
        assert_eq!(saved[0].1.lines().count(), OPEN_DAYS as usize);
        assert!(exposure.take_changed().is_empty());
        let mut again = Exposure::default();
        assert!(again.restore(&saved[0].0, &saved[0].1));
        assert_eq!(open(&again, 199), open(&exposure, 199));
        assert!(!again.restore(&saved[0].0, "1 x"));
    }

    #[test]
    fn what_two_texts_of_one_set_had_is_added_up_once() {
        let common = r#"provider="fal",model="",operation="",service="",tenant="""#;
        let now: Arc<str> = format!(r#"{common},currency="USD""#).into();
        let old: Arc<str> = format!(r#"{common},team="",currency="USD""#).into();
        let mut saved = BTreeMap::from([(old, "9 2\n10 3".to_owned()), (now, "10 1".to_owned())]);
        for _ in 0..2 {
            let mut exposure = Exposure::default();
            for (labels, text) in &saved {
                assert!(exposure.restore(labels, text));
            }
            assert_eq!(open(&exposure, 10), ["6"]);
            saved.extend(exposure.take_changed());
        }
    }
}
