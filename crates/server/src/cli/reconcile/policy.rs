//! Is a policy that we assume what the provider does? Each task that the export covers is a witness.
//!
//! A policy says of an end that it is free, or charged, or that nobody knows. A row of the export, or that
//! there is none, says what was done. What the provider already reported in a span proves nothing and is left
//! out.

use std::collections::BTreeMap;
use std::sync::Arc;

use rust_decimal::Decimal;
use serde::Serialize;
use spantally_price::{Basis, Bound, Citation, RateCard, decided_by};

use super::billed::Billed;
use super::booked::{Booked, Task};
use super::verdict::{Judged, Verdict};
use crate::job_json::Rfc3339;

/// Most tasks that are named for a policy.
const TICKETS_MAX: usize = 10_000;

/// What we take an end for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Says {
    /// It costs nothing.
    Free,
    /// It costs something.
    Charged,
    /// Between nothing and something.
    Unknown,
}

/// A policy for an end, and what the export says of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct PolicyRow {
    /// `provider/row`, or what decided where no row did.
    pub policy: String,
    /// The end.
    pub outcome: String,
    /// Why it failed.
    pub failure_reason: Option<String>,
    /// What we take it for.
    pub says: Says,
    /// Who says so; empty where nobody does.
    pub source: String,
    /// When that was read.
    pub as_of: String,
    /// Tasks that ended so and that the export covers.
    pub tasks: u64,
    /// Those that were billed.
    pub billed: u64,
    /// Those that were billed, and another amount than ours.
    pub other_amount: u64,
    /// Those that say that the policy is not so; none where we do not know.
    pub refuted: Option<u64>,
    /// What was billed for those that were, where we take it for free or do not know; what we booked for
    /// those that were not, where we take it for charged. By currency.
    pub cost: BTreeMap<Arc<str>, Decimal>,
    /// The tasks that `cost` is of.
    pub tickets: Vec<Ticket>,
}

/// A task to ask the provider about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Ticket {
    /// The job.
    pub job_id: String,
    /// The provider's own id.
    pub task_id: String,
}

/// Every policy that some task is a witness of.
#[derive(Debug, Default)]
pub(super) struct Policies(BTreeMap<(String, String, Option<String>, Says), PolicyRow>);

impl Policies {
    /// Hears a task of which the export covers the time.
    pub(super) fn hear(
        &mut self,
        task: &Task<'_>,
        ours: &Booked,
        theirs: Option<&Billed>,
        judged: &[Judged],
        card: Option<&RateCard>,
    ) {
        let is_other = |judged: &Judged| matches!(judged.verdict, Verdict::NotComparable | Verdict::Unpriced);
        let Some(policy) = decided(task).filter(|_| !judged.iter().any(is_other)) else { return };
        let says = said(ours);
        let bearer = task.bearer();
        let key = (policy.to_owned(), bearer.outcome.clone(), bearer.failure_reason.clone(), says);
        let row = self.0.entry(key).or_insert_with(|| {
            let citation = card.and_then(|card| citation(card, policy));
            let as_of = citation.map(|citation| Rfc3339(citation.as_of).to_string());
            PolicyRow {
                policy: policy.to_owned(),
                outcome: bearer.outcome.clone(),
                failure_reason: bearer.failure_reason.clone(),
                says,
                source: citation.map(|citation| citation.source.to_string()).unwrap_or_default(),
                as_of: as_of.map(|text| text.chars().take(10).collect()).unwrap_or_default(),
                tasks: 0,
                billed: 0,
                other_amount: 0,
                refuted: (says != Says::Unknown).then_some(0),
                cost: BTreeMap::new(),
                tickets: Vec::new(),
            }
        });
        let is_billed = theirs.is_some_and(|billed| !billed.is_nothing());
        row.tasks += 1;
        row.billed += u64::from(is_billed);
        let differs = judged.iter().any(|judged| judged.verdict == Verdict::AmountDiffers);
        row.other_amount += u64::from(is_billed && differs && says == Says::Charged);
        let is_witness = match says {
            Says::Free | Says::Unknown => is_billed,
            Says::Charged => !is_billed,
        };
        if !is_witness {
            return;
        }
        row.refuted = row.refuted.map(|refuted| refuted + 1);
        for judged in judged {
            let figure = if says == Says::Charged { judged.ours } else { judged.theirs };
            if let Some(figure) = figure {
                let sum = row.cost.entry(Arc::clone(&judged.currency)).or_default();
                *sum = sum.saturating_add(figure.expected);
            }
        }
        if row.tickets.len() < TICKETS_MAX {
            let task_id = task.id.unwrap_or_default().to_owned();
            row.tickets.push(Ticket { job_id: task.job.job_id.clone(), task_id });
        }
    }

    /// The rows: those that are refuted most come first, then what nobody knew, then the others.
    pub(super) fn into_rows(self) -> Vec<PolicyRow> {
        let mut rows: Vec<PolicyRow> = self.0.into_values().collect();
        for row in &mut rows {
            row.tickets.sort_by(|a, b| a.task_id.cmp(&b.task_id));
        }
        rows.sort_by_key(|row| std::cmp::Reverse((row.refuted.unwrap_or_default(), row.refuted.is_none())));
        rows
    }
}

/// What decided the charge of the task; none where the provider itself did, or there is no charge.
fn decided<'j>(task: &Task<'j>) -> Option<&'j str> {
    let no_policy =
        [decided_by::PER_CALL, decided_by::REPORTED, decided_by::SAME_TASK, decided_by::NO_TARIFF];
    let is_reported = |basis: &str| basis == Basis::Reported.as_str();
    if task.charges().any(|charge| is_reported(&charge.basis)) {
        return None;
    }
    let policies = task.charges().map(|charge| charge.policy.as_str());
    policies.into_iter().find(|policy| !policy.is_empty() && !no_policy.contains(policy))
}

fn said(ours: &Booked) -> Says {
    let is_free = ours.cost.values().all(|bound| bound.max.is_zero());
    let is_charged = ours.cost.values().any(|Bound { min, .. }| *min > Decimal::ZERO);
    match (is_free, is_charged) {
        (true, _) => Says::Free,
        (_, true) => Says::Charged,
        _ => Says::Unknown,
    }
}

/// Who says what a policy row says.
fn citation<'c>(card: &'c RateCard, policy: &str) -> Option<&'c Citation> {
    let own = card.tariffs().iter().flat_map(|tariff| &tariff.policy);
    let row = card.policy().iter().chain(own).find(|row| *row.name == *policy)?;
    Some(&row.citation).filter(|citation| !citation.source.is_empty())
}
