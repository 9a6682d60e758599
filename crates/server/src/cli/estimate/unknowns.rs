//! What makes the range wide: for each rule and policy the money between the least and the most.
//!
//! A charge says its own width. In a document of a ledger from before it did, the width of a job goes whole
//! to the charges that are not sure; where those are of several rules or policies, to all of them together.
//! So widths add up to that of the total, and the first rows say what a small test or a look at an invoice
//! would settle.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::Serialize;

use crate::cli::job_doc::{ChargeDoc, CostDoc, JobDoc};

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
            for (rules, width) in widths(job, currency, *cost) {
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

/// By how much what a job costs in a currency is not known, by the rules that it is not known of.
fn widths(job: &JobDoc, currency: &str, cost: CostDoc) -> BTreeMap<BTreeSet<String>, Decimal> {
    let rule = |charge: &ChargeDoc| format!("{} by {}", charge.rule, charge.policy);
    let mut widths = BTreeMap::new();
    if job.charges_make_up(currency, cost) {
        for charge in job.charges_in(currency) {
            let width = charge.bound().map_or(Decimal::ZERO, CostDoc::width);
            if !width.is_zero() {
                let sum: &mut Decimal = widths.entry(BTreeSet::from([rule(charge)])).or_default();
                *sum = sum.saturating_add(width);
            }
        }
    } else {
        let nobody_is_unsure = !job.charges_in(currency).any(ChargeDoc::is_unsure);
        let unsure = job.charges_in(currency).filter(|charge| nobody_is_unsure || charge.is_unsure());
        widths.insert(unsure.map(rule).collect(), cost.width());
    }
    widths
}
