//! Money with what is not known of it, and what chance may do to a sum of it.
//!
//! What some of a job's charges may cost at least and at most follows from the bound of the job
//! ([`JobDoc::cost_of`]).
//!
//! All of it is decimal, also the statistics: they are of money, and their results are printed beside sums
//! that are exact.

use std::collections::BTreeMap;

use rust_decimal::{Decimal, MathematicalOps};
use serde::Serialize;

use crate::cli::job_doc::{ChargeDoc, CostDoc, JobDoc};

/// Decimals of a figure that is squared: those of a price, so that no sum of squares leaves its range.
const SQUARED_DECIMALS: u32 = 10;

/// Least, expected and most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Figures {
    pub min: Decimal,
    pub expected: Decimal,
    pub max: Decimal,
}

impl From<CostDoc> for Figures {
    fn from(CostDoc { min, expected, max }: CostDoc) -> Self {
        Self { min, expected, max }
    }
}

impl Figures {
    pub(super) fn add(&mut self, other: Self) {
        self.min = self.min.saturating_add(other.min).normalize();
        self.expected = self.expected.saturating_add(other.expected).normalize();
        self.max = self.max.saturating_add(other.max).normalize();
    }

    /// All three times a factor.
    pub(super) fn scaled(self, factor: Decimal) -> Self {
        let times = |figure: Decimal| figure.saturating_mul(factor).normalize();
        Self { min: times(self.min), expected: times(self.expected), max: times(self.max) }
    }
}

/// Money by currency.
pub(super) type Money = BTreeMap<String, Figures>;

/// Adds money to money.
pub(super) fn add(sum: &mut Money, other: Money) {
    for (currency, figures) in other {
        sum.entry(currency).or_default().add(figures);
    }
}

/// What a job costs.
pub(super) fn whole(job: &JobDoc) -> Money {
    job.cost.iter().map(|(currency, cost)| (currency.clone(), (*cost).into())).collect()
}

/// What some of a job's charges cost; a currency that none of them is in is left out.
pub(super) fn part(job: &JobDoc, is_in: impl Fn(&ChargeDoc) -> bool) -> Money {
    let part = |currency: &String| Some((currency.clone(), job.cost_of(currency, &is_in)?.into()));
    job.cost.keys().filter_map(part).collect()
}

/// Sums of figures and of their squares, of which the variance between jobs follows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    sum: Decimal,
    squares: Decimal,
}

impl Moments {
    pub(super) fn add(&mut self, figure: Decimal) {
        let figure = figure.round_dp(SQUARED_DECIMALS);
        self.sum = self.sum.saturating_add(figure);
        self.squares = self.squares.saturating_add(figure.saturating_mul(figure));
    }

    /// The variance of the mean of so many figures, of which those that were not added are zero; none of
    /// fewer than two.
    pub(super) fn variance_of_mean(&self, count: u64) -> Option<Decimal> {
        let number = Decimal::from(count);
        let mean = self.sum.checked_div(number)?;
        let around = self.squares.saturating_sub(mean.saturating_mul(self.sum)).max(Decimal::ZERO);
        around.checked_div(number)?.checked_div(Decimal::from(count.checked_sub(1)?))
    }
}

/// What chance may do to a sum: the square root of a variance.
pub(super) fn deviation(variance: Decimal) -> Decimal {
    variance.sqrt().unwrap_or_default()
}
