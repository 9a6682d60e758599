//! The back-off in use: how long clients wait before they submit again, what comes of it, and what it costs.
//!
//! The wait before attempt `k` is from the moment at which the client could know that attempt `k - 1` had
//! failed (the end of its last call before) to the submit of attempt `k`. A submit while the attempt before
//! was at work is a duplicate: nobody waited for anything, so it has no wait, but a place among the attempts.

use std::collections::BTreeMap;

use serde::Serialize;

use super::money::{self, Money};
use super::times::Times;
use super::what_if::is_session;
use crate::cli::job_doc::JobDoc;

/// Waits are told apart by these ends, in milliseconds.
const WAITS: [(&str, i64); 5] = [
    ("under 1 s", 1_000),
    ("1 to 5 s", 5_000),
    ("5 to 30 s", 30_000),
    ("30 s to 2 min", 120_000),
    ("2 min and more", i64::MAX),
];

/// The attempts of one number: all first ones, all second ones.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Nth {
    /// From 1.
    pub attempt: usize,
    pub attempts: u64,
    /// Attempts that delivered; the output of one of each job was used.
    pub delivered: u64,
    pub cost: Money,
    /// After a failure or a time-out, not while the attempt before was at work.
    pub waited: u64,
    pub wait_seconds: Option<Spread>,
    #[serde(skip)]
    waits: Vec<i64>,
}

/// Seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

/// What came of the submits after a wait of some length.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct After {
    pub wait: &'static str,
    pub attempts: u64,
    pub delivered: u64,
    /// What attempts that did not deliver cost.
    pub cost_of_the_others: Money,
}

/// All of it.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Backoff {
    /// Jobs with more than one attempt.
    pub jobs: u64,
    /// Those of them whose calls have no times here.
    pub without_times: u64,
    pub attempts: Vec<Nth>,
    pub waits: Vec<After>,
    #[serde(skip)]
    by_wait: BTreeMap<usize, After>,
}

impl Backoff {
    /// Counts a job.
    pub(super) fn add(&mut self, job: &JobDoc, times: Option<&[Times]>) {
        if is_session(job) {
            return;
        }
        if job.attempts.len() > 1 {
            self.jobs += 1;
            self.without_times += u64::from(times.is_none());
        }
        for (index, attempt) in job.attempts.iter().enumerate() {
            if self.attempts.len() <= index {
                self.attempts.push(Nth { attempt: index + 1, ..Nth::default() });
            }
            let is_delivered = matches!(attempt.outcome.as_str(), "succeeded" | "partial");
            let cost = money::part(job, |charge| charge.attempt == index);
            let wait = index.checked_sub(1).and_then(|before| wait(job, times?, before));
            if let Some(nth) = self.attempts.get_mut(index) {
                nth.attempts += 1;
                nth.delivered += u64::from(is_delivered);
                nth.waits.extend(wait);
                money::add(&mut nth.cost, cost.clone());
            }
            if let Some(wait) = wait {
                let place = WAITS.iter().position(|(_, end)| wait < *end).unwrap_or(WAITS.len() - 1);
                let after = self.by_wait.entry(place).or_default();
                after.wait = WAITS[place].0;
                after.attempts += 1;
                after.delivered += u64::from(is_delivered);
                if !is_delivered {
                    money::add(&mut after.cost_of_the_others, cost);
                }
            }
        }
    }

    /// Works out the medians.
    pub(super) fn finish(&mut self) {
        for nth in &mut self.attempts {
            nth.waits.sort_unstable();
            nth.waited = nth.waits.len() as u64;
            nth.wait_seconds = spread(&nth.waits);
        }
        self.waits = std::mem::take(&mut self.by_wait).into_values().collect();
    }
}

/// How long nothing was done between an attempt that had failed and the next, in milliseconds.
fn wait(job: &JobDoc, times: &[Times], before: usize) -> Option<i64> {
    let cause = job.attempts.get(before)?.cause.as_str();
    if !matches!(cause, "retry" | "timeout_resubmit") {
        return None;
    }
    let next = times.get(before + 1)?.submitted()?;
    Some(next.saturating_sub(times.get(before)?.given_up(next)?).max(0))
}

/// Of a sorted list.
fn spread(sorted: &[i64]) -> Option<Spread> {
    let seconds = |ms: &i64| *ms as f64 / 1000.0;
    let upper = sorted.get(sorted.len() / 2).map(seconds)?;
    let lower = sorted.get((sorted.len() - 1) / 2).map(seconds)?;
    let median = f64::midpoint(lower, upper);
    Some(Spread { min: sorted.first().map(seconds)?, median, max: sorted.last().map(seconds)? })
}
