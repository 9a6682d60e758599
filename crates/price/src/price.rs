//! What one unit costs: dated rows of a rate table, selected by facts; and credits with a price of their own.
//!
//! The next file in the flow is `policy.rs`.

use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_stitch::{Attempt, UnixNanos};

use crate::bill::UnpricedReason;
use crate::condition::{Condition, all_hold};

/// Where a figure comes from: every price, credit rate and policy has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Citation {
    /// Address of the page or repository that says it.
    pub source: Arc<str>,
    /// When the source was read, at midnight UTC.
    pub as_of: UnixNanos,
    /// Said by somebody other than the provider.
    pub third_party: bool,
    /// What a reader should know.
    pub note: Arc<str>,
}

/// When something is in force: from the start of a day to before the start of another, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// First moment.
    pub from: UnixNanos,
    /// First moment after it.
    pub until: UnixNanos,
}

impl Period {
    /// Whether a moment is in it.
    pub fn contains(&self, at: UnixNanos) -> bool {
        self.from <= at && at < self.until
    }

    /// Whether some moment is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.from < other.until && other.from < self.until
    }
}

/// One row of a rate table.
#[derive(Clone, Debug, PartialEq)]
pub struct PriceRow {
    /// What must be so. No conditions: always.
    pub when: Vec<Condition>,
    /// The one to expect when the spans do not show the facts that select a row.
    pub is_default: bool,
    /// Price of one unit; at most [`crate::PRICE_PLACES`] places.
    pub unit_price: Decimal,
    /// When it is in force.
    pub period: Period,
    /// Who says so.
    pub citation: Citation,
}

/// The price of one credit in money, for a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Credit {
    /// Its name, for example `runway_credit`.
    pub name: Arc<str>,
    /// The pack that it was bought in, where packs differ in price; empty where there is one price.
    pub pack: Arc<str>,
    /// Whose jobs are paid by it. Where one says so, those that do not are not asked.
    pub when: Vec<Condition>,
    /// The pack to expect, for no span says from which pack a task was paid.
    pub is_default: bool,
    /// Price of one; at most [`crate::PRICE_PLACES`] places.
    pub unit_price: Decimal,
    /// ISO 4217 code.
    pub currency: Arc<str>,
    /// When it is in force.
    pub period: Period,
    /// Who says so.
    pub citation: Citation,
}

/// The price of one unit of a currency in another one, for a time. No rate is ever assumed: without one,
/// money stays in the currency that it was spent in.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// ISO 4217 code of what prices are in.
    pub from: Arc<str>,
    /// ISO 4217 code of what charges are in.
    pub to: Arc<str>,
    /// One `from` is so many `to`.
    pub rate: Decimal,
    /// When it is in force.
    pub period: Period,
    /// Who says so.
    pub citation: Citation,
}

/// What a rate table says for an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate<'a> {
    /// The row to expect.
    pub(crate) row: &'a PriceRow,
    /// Lowest price among the rows that are possible.
    pub(crate) min: Decimal,
    /// Highest price among them.
    pub(crate) max: Decimal,
    /// Whether the facts leave only one row.
    pub(crate) is_sure: bool,
}

/// The row in force at the attempt's start that its facts select: the first whose conditions all hold, unless
/// an earlier one may hold as well.
pub(crate) fn select<'a>(rows: &'a [PriceRow], attempt: &Attempt) -> Result<Rate<'a>, UnpricedReason> {
    let mut in_force = false;
    let mut rate: Option<Rate<'a>> = None;
    for row in rows.iter().filter(|row| row.period.contains(attempt.started_at)) {
        in_force = true;
        let holds = all_hold(&row.when, attempt);
        if holds == Some(false) {
            continue;
        }
        let price = row.unit_price;
        rate = Some(match rate {
            None => Rate { row, min: price, max: price, is_sure: true },
            Some(so_far) => {
                let replaces = row.is_default || holds == Some(true) && !so_far.row.is_default;
                let row = if replaces { row } else { so_far.row };
                Rate { row, min: so_far.min.min(price), max: so_far.max.max(price), is_sure: false }
            }
        });
        if holds == Some(true) {
            break;
        }
        if let Some(rate) = &mut rate {
            rate.is_sure = false;
        }
    }
    let none =
        if in_force || rows.is_empty() { UnpricedReason::NoPrice } else { UnpricedReason::NoPriceAtTime };
    rate.ok_or(none)
}
