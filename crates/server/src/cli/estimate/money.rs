//! Money with what is not known of it, and what chance may do to a sum of it.
//!
//! A job's document has a bound for each currency, and the expected cost of each charge. What some of the
//! charges may cost at least and at most follows from both: only charges that are not sure can be apart from
//! what is expected, and together they are apart by as much as the job is.
//!
//! All of it is decimal, also the statistics: they are of money, and their results are printed beside sums
//! that are exact.

use std::collections::BTreeMap;

use rust_decimal::{Decimal, MathematicalOps};
use serde::Serialize;
use spantally_price::decided_by;

use crate::cli::job_doc::{ChargeDoc, JobDoc};

/// Decimals of a figure that is squared: those of a price, so that no sum of squares leaves its range.
const SQUARED_DECIMALS: u32 = 10;

/// Least, expected and most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Figures {
    pub min: Decimal,
    pub expected: Decimal,
    pub max: Decimal,
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
    let figures = |(currency, cost): (&String, &crate::cli::job_doc::CostDoc)| {
        (currency.clone(), Figures { min: cost.min, expected: cost.expected, max: cost.max })
    };
    job.cost.iter().map(figures).collect()
}

/// What some of a job's charges cost; a currency that none of them is in is left out.
///
/// The bound is that of the job where all or none of the charges that are not sure are among them. Where
/// some are and others are not, it is as wide as the job's, which holds, and may be wider than it need be.
pub(super) fn part(job: &JobDoc, is_in: impl Fn(&ChargeDoc) -> bool) -> Money {
    let mut parts = Money::new();
    for (currency, cost) in &job.cost {
        let charges = || job.charges.iter().filter(|charge| charge.currency.as_ref() == Some(currency));
        let taken: Vec<&ChargeDoc> = charges().filter(|charge| is_in(charge)).collect();
        if taken.is_empty() {
            continue;
        }
        let expected =
            taken.iter().filter_map(|charge| charge.cost).fold(Decimal::ZERO, Decimal::saturating_add);
        let (mut below, mut above) = (Decimal::ZERO, Decimal::ZERO);
        // Should none of them be what makes the bound, any may be.
        let nobody_is_unsure = !charges().any(is_unsure);
        if nobody_is_unsure || taken.iter().any(|charge| is_unsure(charge)) {
            below = cost.expected.saturating_sub(cost.min);
            above = cost.max.saturating_sub(cost.expected);
        }
        let min = expected.saturating_sub(below).max(Decimal::ZERO);
        parts.insert(currency.clone(), Figures { min, expected, max: expected.saturating_add(above) });
    }
    parts
}

/// Whether a charge may turn out to be another one than expected.
pub(super) fn is_unsure(charge: &ChargeDoc) -> bool {
    charge.basis == "assumed" || charge.policy == decided_by::UNVERIFIED
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
