//! What will be: the figures of the period times the volume, and between what they may come to lie.
//!
//! No price in a provider file depends on how much was used before, so a sum grows as the jobs do. Two things
//! make it unsure, and they are told apart:
//!
//! - **what is not known**: the bounds of the charges, times the same factor;
//! - **chance**: another month of the same kind has other jobs. A sum of `N` jobs to come, as `n` were seen,
//!   has the variance `N^2 x v x (1 + n / N)`, `v` being that of the mean cost of a job: the mean is not
//!   known exactly, and the jobs to come differ too. From a week on `v` is also found from the differences
//!   between days, as jobs of one bad day are alike, and the larger one is used. 95 in 100 such sums lie
//!   within.
//!
//! Fewer than [`JOBS_MIN`] jobs say nothing of chance, and no number stands in for it.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Serialize;
use spantally_stitch::Cause;

use super::base::{Group, Variance};
use super::money::{Figures, deviation};

/// Jobs from which on their differences say something.
pub(super) const JOBS_MIN: u64 = 30;
/// Decimals of a figure that is an estimate and no sum.
const ESTIMATE_DECIMALS: u32 = 6;

/// By what the figures of the period are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    pub factor: Decimal,
    /// Days of the forecast, and of the period.
    pub days: Decimal,
    pub seen_days: Decimal,
}

/// From here to there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Range {
    pub low: Decimal,
    pub high: Decimal,
}

/// What one currency will come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Forecast {
    /// What is expected, and its bound by what is not known.
    #[serde(flatten)]
    pub figures: Figures,
    /// Where what is expected lies by chance; none where too few jobs were seen.
    pub chance: Option<Range>,
    /// Both together; none where too few jobs were seen.
    pub range: Option<Range>,
    /// By cause.
    pub causes: BTreeMap<String, Figures>,
}

impl Group {
    /// What it will come to, by currency.
    pub(super) fn forecast(&self, scale: Scale) -> BTreeMap<String, Forecast> {
        let one = |(currency, cost): (&String, &Figures)| {
            let figures = cost.scaled(scale.factor);
            let by_cause = self.causes.get(currency).into_iter().flatten();
            let causes = by_cause.map(|(cause, part)| (cause.clone(), part.scaled(scale.factor))).collect();
            let half = self.half_widths(currency, scale);
            let chance = half.map(|[_, half, _]| around(figures.expected, half, figures.expected, half));
            let range = half.map(|[below, _, above]| around(figures.min, below, figures.max, above));
            (currency.clone(), Forecast { figures, chance, range, causes })
        };
        self.cost.iter().map(one).collect()
    }

    /// How far the least, the expected and the most may be off by chance.
    fn half_widths(&self, currency: &str, scale: Scale) -> Option<[Decimal; 3]> {
        if self.with_cost < JOBS_MIN {
            return None;
        }
        let seen = Decimal::from(self.with_cost);
        let jobs = seen.saturating_mul(scale.factor);
        let wide = |variance: Variance, witnesses: Decimal, to_come: Decimal| {
            let more = witnesses.checked_div(to_come).unwrap_or_default().saturating_add(Decimal::ONE);
            let deviation = deviation(variance.of_mean.saturating_mul(more)).saturating_mul(jobs);
            deviation.saturating_mul(quantile(variance.freedom))
        };
        let by_jobs = self.between_jobs(currency)?.map(|variance| wide(variance, seen, jobs));
        let by_days = self.between_days(currency);
        let by_days = by_days.map(|found| found.map(|variance| wide(variance, scale.seen_days, scale.days)));
        let [min, expected, max] = by_days.unwrap_or_default();
        let [of_min, of_expected, of_max] = by_jobs;
        Some([min.max(of_min), expected.max(of_expected), max.max(of_max)])
    }
}

/// Nothing is paid back, so no end is below zero.
fn around(low: Decimal, below: Decimal, high: Decimal, above: Decimal) -> Range {
    let low = low.saturating_sub(below).max(Decimal::ZERO);
    let high = high.saturating_add(above);
    Range {
        low: low.round_dp(ESTIMATE_DECIMALS).normalize(),
        high: high.round_dp(ESTIMATE_DECIMALS).normalize(),
    }
}

/// Within how many standard deviations 95 of 100 lie: Student's t for degrees of freedom, from each on.
const QUANTILES: [(u64, i64); 8] =
    [(6, 2_447), (8, 2_306), (10, 2_228), (15, 2_131), (20, 2_086), (29, 2_045), (60, 2_000), (120, 1_980)];

fn quantile(freedom: u64) -> Decimal {
    let found = QUANTILES.iter().rev().find(|(from, _)| freedom >= *from).unwrap_or(&QUANTILES[0]);
    Decimal::new(found.1, 3)
}

impl Forecast {
    /// What is expected of the causes that are in.
    pub(super) fn part(&self, is_in: fn(Cause) -> bool) -> Decimal {
        let parts = self.causes.iter().filter(|(cause, _)| Cause::parse(cause).is_some_and(is_in));
        parts.fold(Decimal::ZERO, |sum, (_, part)| sum.saturating_add(part.expected)).normalize()
    }
}
