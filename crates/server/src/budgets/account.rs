//! A prepaid account: credits that come, are used up, and expire.
//!
//! What expires first is used first, which is how providers count. What is spent beyond all credits is a
//! debt, and the next credits pay it first.
//!
//! Spend is collected and taken from the credits when they next change: only then does it matter which of
//! them it used up. A revision that takes back as much as it adds so leaves no trace, whether both come as
//! one growth of a counter or, at a start, as two rows of the ledger.

use std::collections::VecDeque;

use rust_decimal::Decimal;
use spantally_price::{add, sum};
use spantally_stitch::UnixNanos;
use spantally_store::DAY_NANOS;

use super::definition::{AccountDefinition, TopUp};
const HOUR_NANOS: u64 = 3_600_000_000_000;
/// The spend of the last day is kept in parts of this length.
const PART_NANOS: u64 = HOUR_NANOS / 4;
/// A runway beyond this is shown as this: no pace of a day says anything about ten years.
const LONGEST_SECONDS: u64 = 10 * 365 * 86_400;

/// A prepaid account as it stands.
#[derive(Clone, Debug)]
pub(super) struct Account {
    as_of: UnixNanos,
    /// Credits that are there, one of an expiry, none empty; what expires first comes first, what never
    /// expires last. So there are never more than expiries in the configuration and one, however much is
    /// spent and taken back.
    credits: Vec<Credit>,
    /// Credits that will come, the next one first.
    coming: VecDeque<TopUp>,
    /// What was spent beyond all credits.
    debt: Decimal,
    /// Spend since the credits last changed; below zero, what was taken back.
    collected: Decimal,
    /// Spend of the last day: start of each part, and its amount.
    lately: VecDeque<(u64, Decimal)>,
}

#[derive(Clone, Copy, Debug)]
struct Credit {
    left: Decimal,
    expires: Option<UnixNanos>,
}

impl Account {
    pub(super) fn new(definition: &AccountDefinition) -> Self {
        let AccountDefinition { balance, as_of, expires, .. } = *definition;
        let mut coming: Vec<TopUp> = definition.top_ups.clone();
        coming.push(TopUp { amount: balance, at: as_of, expires });
        coming.sort_by_key(|top_up| top_up.at);
        let mut account = Self {
            as_of,
            credits: Vec::new(),
            // What was bought before the balance was looked at is in it.
            coming: coming.into_iter().filter(|top_up| top_up.at >= as_of).collect(),
            debt: Decimal::ZERO,
            collected: Decimal::ZERO,
            lately: VecDeque::new(),
        };
        account.pass(as_of);
        account
    }

    /// From when on spend counts.
    pub(super) fn as_of(&self) -> UnixNanos {
        self.as_of
    }

    /// Lets time pass: credits that are due come, those that have expired go, in the order of time.
    pub(super) fn pass(&mut self, now: UnixNanos) {
        while let Some(next) = self.next_change().filter(|next| *next <= now) {
            self.take_collected();
            self.credits.retain(|credit| credit.expires.is_none_or(|expires| expires > next));
            while let Some(top_up) = self.coming.pop_front_if(|top_up| top_up.at <= next) {
                if top_up.expires.is_none_or(|expires| expires > next) {
                    self.gain(Credit { left: top_up.amount, expires: top_up.expires });
                }
            }
        }
    }

    /// The next moment at which credits come or expire.
    pub(super) fn next_change(&self) -> Option<UnixNanos> {
        let expiry = self.credits.first().and_then(|credit| credit.expires);
        expiry.into_iter().chain(self.coming.front().map(|top_up| top_up.at)).min()
    }

    /// Credits come: they pay the debt, and what is left joins those that expire when they do.
    fn gain(&mut self, mut credit: Credit) {
        let paid = credit.left.min(self.debt);
        add(&mut self.debt, -paid);
        add(&mut credit.left, -paid);
        if credit.left.is_zero() {
            return;
        }
        let order = |credit: &Credit| (credit.expires.is_none(), credit.expires);
        let place = self.credits.partition_point(|other| order(other) < order(&credit));
        match self.credits.get_mut(place) {
            Some(alike) if alike.expires == credit.expires => add(&mut alike.left, credit.left),
            _ => self.credits.insert(place, credit),
        }
    }

    /// Books what was spent at a moment; a negative amount was taken back.
    pub(super) fn book(&mut self, amount: Decimal, at: UnixNanos) {
        if amount.is_zero() {
            return;
        }
        self.pass(at);
        self.note(amount, at);
        add(&mut self.collected, amount);
    }

    /// Takes what was collected from the credits.
    fn take_collected(&mut self) {
        let mut open = std::mem::take(&mut self.collected);
        if open.is_sign_negative() {
            // Whether a provider gives credits back with their old expiry is not known: they come last.
            self.gain(Credit { left: -open, expires: None });
            return;
        }
        let mut used_up = 0;
        for credit in &mut self.credits {
            let used = credit.left.min(open);
            add(&mut credit.left, -used);
            add(&mut open, -used);
            if !credit.left.is_zero() {
                break;
            }
            used_up += 1;
        }
        self.credits.drain(..used_up);
        add(&mut self.debt, open);
    }

    fn note(&mut self, amount: Decimal, at: UnixNanos) {
        let start = at.0 / PART_NANOS * PART_NANOS;
        match self.lately.back_mut() {
            Some((last, sum)) if *last >= start => add(sum, amount),
            _ => self.lately.push_back((start, amount)),
        }
        while self.lately.pop_front_if(|(part, _)| *part + DAY_NANOS < at.0).is_some() {}
    }

    /// What is left; below zero, what was spent beyond it.
    pub(super) fn balance(&self) -> Decimal {
        let left = self.credits.iter().map(|credit| credit.left).fold(Decimal::ZERO, Decimal::saturating_add);
        left.saturating_sub(self.debt).saturating_sub(self.collected)
    }

    /// Seconds until nothing is left at the pace of the last day, with what expires until then; none without
    /// spend. Credits that are yet to come are not counted on.
    pub(super) fn runway_seconds(&self, now: UnixNanos) -> Option<Decimal> {
        if self.balance() <= Decimal::ZERO {
            return Some(Decimal::ZERO);
        }
        let since = now.0.saturating_sub(DAY_NANOS);
        let lately = self.lately.iter().filter(|(part, _)| *part + PART_NANOS > since);
        let spent = sum(lately.map(|(_, amount)| *amount));
        // An account that is watched since a minute ago has no pace yet: at least an hour is looked at.
        let watched = now.0.saturating_sub(self.as_of.0).clamp(HOUR_NANOS, DAY_NANOS);
        let pace = spent.checked_div(Decimal::from(watched / 1_000_000_000))?;
        if pace <= Decimal::ZERO {
            return None;
        }
        let mut lasts = Decimal::ZERO;
        let mut then = Self { lately: VecDeque::new(), coming: VecDeque::new(), ..self.clone() };
        then.take_collected();
        for credit in &then.credits {
            let used_up = lasts.saturating_add(credit.left.checked_div(pace).unwrap_or(Decimal::MAX));
            let until =
                credit.expires.map(|expires| Decimal::from(expires.0.saturating_sub(now.0) / 1_000_000_000));
            lasts = until.map_or(used_up, |until| used_up.min(until.max(lasts)));
        }
        Some(lasts.min(Decimal::from(LONGEST_SECONDS)).round())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budgets::{Measure, Scope};

    /// 100 without an expiry and 50 that expire.
    fn account() -> Account {
        let expires = Some(UnixNanos(DAY_NANOS));
        let top_up = TopUp { amount: Decimal::from(50), at: UnixNanos(0), expires };
        Account::new(&AccountDefinition {
            name: "runway".to_owned(),
            measure: Measure::Unit("credit".to_owned()),
            balance: Decimal::ONE_HUNDRED,
            as_of: UnixNanos(0),
            expires: None,
            top_ups: vec![top_up],
            scope: Scope::default(),
        })
    }

    /// A ledger has millions of rows, and a start books all of them.
    #[test]
    fn what_is_taken_back_joins_what_is_there() {
        let mut account = account();
        for at in 0..30_000 {
            let amount = if at % 3 == 0 { Decimal::NEGATIVE_ONE } else { Decimal::new(5, 1) };
            account.book(amount, UnixNanos(at));
            assert!(account.credits.len() <= 2, "{} credits after {at} rows", account.credits.len());
        }
        assert_eq!(account.balance(), Decimal::from(150));
        account.book(Decimal::from(151), UnixNanos(30_000));
        assert_eq!(account.balance(), Decimal::NEGATIVE_ONE);
        account.take_collected();
        assert_eq!((account.balance(), account.credits.len()), (Decimal::NEGATIVE_ONE, 0));
        account.book(Decimal::from(-3), UnixNanos(30_001));
        account.take_collected();
        assert_eq!((account.balance(), account.debt), (Decimal::TWO, Decimal::ZERO));
    }

    /// A process that runs sees how much the counters grew, one that starts sees every row.
    #[test]
    fn a_revision_that_changes_nothing_leaves_no_trace() {
        let after = |amounts: &[i64]| {
            let mut account = account();
            for &amount in amounts {
                account.book(Decimal::from(amount), UnixNanos(5));
            }
            account.pass(UnixNanos(DAY_NANOS + 1));
            account.balance()
        };
        assert_eq!(after(&[20, -20, 20]), Decimal::ONE_HUNDRED, "30 of the 50 have expired");
        assert_eq!(after(&[20, -20, 20]), after(&[20]));
        assert_eq!(after(&[]), Decimal::ONE_HUNDRED);
        assert_eq!(after(&[60]), Decimal::from(90));
    }

    #[test]
    fn no_sum_leaves_the_range() {
        let mut account = account();
        for amount in [Decimal::MAX, Decimal::MAX, Decimal::MIN, Decimal::MIN, Decimal::MIN, Decimal::MAX] {
            account.book(amount, UnixNanos(1));
            assert!(account.runway_seconds(UnixNanos(2)).is_none_or(|seconds| seconds >= Decimal::ZERO));
        }
    }
}
