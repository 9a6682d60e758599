//! What makes the range wide: for each rule and policy the money between the least and the most.
//!
//! The width of a job goes whole to the charges of it that are not sure; where those are of several rules or
//! policies, to all of them together. So widths add up to that of the total, and the first rows say what a
//! small test or a look at an invoice would settle.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::Serialize;

use crate::cli::job_doc::{ChargeDoc, JobDoc};

/// What is not known of one rule, or of several together, in one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Unknown {
    /// `rule by policy`, in order.
    pub rules: Vec<String>,
    pub currency: String,
    pub jobs: u64,
    /// The most less the least, of the jobs that were seen.
    pub width: Decimal,
    pub width_of_forecast: Decimal,
    /// The most that the cheapest of these jobs may have cost: what one more of them would, as a test.
    pub cheapest_job: Decimal,
}

/// Rows in the making, by currency and rules.
#[derive(Debug, Default)]
pub(super) struct Unknowns {
    rows: BTreeMap<(String, BTreeSet<String>), Unknown>,
}

impl Unknowns {
    pub(super) fn add(&mut self, job: &JobDoc) {
        for (currency, cost) in &job.cost {
            let width = cost.max.saturating_sub(cost.min);
            if width.is_zero() {
                continue;
            }
            let charges = || job.charges.iter().filter(|charge| charge.currency.as_ref() == Some(currency));
            let nobody_is_unsure = !charges().any(ChargeDoc::is_unsure);
            let unsure = charges().filter(|charge| nobody_is_unsure || charge.is_unsure());
            let rules: BTreeSet<String> =
                unsure.map(|charge| format!("{} by {}", charge.rule, charge.policy)).collect();
            let row = self.rows.entry((currency.clone(), rules.clone())).or_insert_with(|| Unknown {
                rules: rules.into_iter().collect(),
                currency: currency.clone(),
                jobs: 0,
                width: Decimal::ZERO,
                width_of_forecast: Decimal::ZERO,
                cheapest_job: cost.max,
            });
            row.jobs += 1;
            row.width = row.width.saturating_add(width).normalize();
            row.cheapest_job = row.cheapest_job.min(cost.max);
        }
    }

    /// The widest first.
    pub(super) fn finish(self, factor: Decimal) -> Vec<Unknown> {
        let mut rows: Vec<_> = self.rows.into_values().collect();
        for row in &mut rows {
            row.width_of_forecast = row.width.saturating_mul(factor).normalize();
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.width));
        rows
    }
}
