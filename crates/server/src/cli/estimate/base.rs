//! What was: the jobs of the period, counted by provider, model and operation, with their money by cause.
//!
//! Each job is in one group and, once more, in the total. Attempts are counted by the cause of their money,
//! so that retries here are those that the bill has; time-outs are attempts that ended so, on either side.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Serialize;

use super::money::{self, Figures, Moments, Money};
use super::period::DAY_MS;
use super::what_if::is_session;
use crate::cli::job_doc::JobDoc;

/// What a group may be told apart by, beside provider, model and operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum By {
    Service,
    Tenant,
}

/// The names of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Key {
    pub provider: String,
    pub model: String,
    pub operation: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
}

impl Key {
    pub(super) fn of(job: &JobDoc, by: &[By]) -> Self {
        let text = |by_it: By, text: &String| by.contains(&by_it).then(|| text.clone());
        Self {
            provider: job.provider.clone(),
            model: job.model.clone(),
            operation: job.operation.clone(),
            service: text(By::Service, &job.service),
            tenant: text(By::Tenant, &job.tenant),
        }
    }
}

/// How many of what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    pub jobs: u64,
    /// Jobs with an attempt that has no price: what is known of their cost is in the sums, and is not all.
    pub unpriced_jobs: u64,
    /// Jobs by outcome.
    pub outcomes: BTreeMap<String, u64>,
    pub attempts: u64,
    /// Those of them that are turns of voice sessions, which are no attempts of one another.
    pub turns: u64,
    /// Attempts that had visibly failed, or were refused, before the next submit.
    pub retries: u64,
    /// Attempts whose fate nobody knew at the next submit.
    pub timeout_resubmits: u64,
    /// Attempts that were made although another one was at work.
    pub duplicates: u64,
    /// Attempts that timed out, on the side of the client or of the provider.
    pub timeouts: u64,
    /// Attempts that were refused because of a rate limit.
    pub rate_limited: u64,
}

impl Counts {
    /// Jobs that brought something.
    pub(super) fn delivered(&self) -> u64 {
        ["succeeded", "partial"].iter().filter_map(|outcome| self.outcomes.get(*outcome)).sum()
    }

    /// How often a job was attempted on average: once, and again for each attempt that another one followed.
    pub(super) fn attempts_per_job(&self) -> Option<Decimal> {
        let again = self.retries + self.timeout_resubmits + self.duplicates;
        Decimal::from(self.jobs + again).checked_div(Decimal::from(self.jobs))
    }

    fn add(&mut self, job: &JobDoc) {
        self.jobs += 1;
        self.turns += if is_session(job) { job.attempts.len() as u64 } else { 0 };
        self.unpriced_jobs += u64::from(!is_priced(job));
        *self.outcomes.entry(job.outcome.clone()).or_default() += 1;
        for attempt in &job.attempts {
            self.attempts += 1;
            match attempt.cause.as_str() {
                "retry" => self.retries += 1,
                "timeout_resubmit" => self.timeout_resubmits += 1,
                "duplicate" => self.duplicates += 1,
                _ => {}
            }
            match attempt.failure_reason.as_deref() {
                Some("client_timeout" | "provider_timeout") => self.timeouts += 1,
                Some("rate_limit") => self.rate_limited += 1,
                _ => {}
            }
        }
    }
}

/// Whether all that a job cost is known as money.
fn is_priced(job: &JobDoc) -> bool {
    job.unpriced.is_empty() && (!job.cost.is_empty() || job.is_free())
}

/// Jobs with their money.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub counts: Counts,
    /// Jobs of which at least a part has a price, or that are known to be free.
    pub with_cost: u64,
    pub cost: Money,
    /// Of the jobs that brought something, those with money in each currency.
    pub delivered: BTreeMap<String, u64>,
    /// By currency, then cause.
    pub causes: BTreeMap<String, BTreeMap<String, Figures>>,
    /// Between jobs, by currency: of the least, the expected and the most.
    moments: BTreeMap<String, [Moments; 3]>,
    /// By day (UTC) since 1970.
    days: BTreeMap<i64, Day>,
}

/// The jobs of a day.
#[derive(Clone, Debug, Default)]
struct Day {
    with_cost: u64,
    cost: Money,
}

/// Days with jobs from which on their differences say something.
const DAYS_MIN: u64 = 7;

/// A variance, with how many independent things it was found from, less one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Variance {
    pub of_mean: Decimal,
    pub freedom: u64,
}

impl Group {
    pub(super) fn add(&mut self, job: &JobDoc) {
        self.counts.add(job);
        if job.cost.is_empty() && !job.is_free() {
            return;
        }
        self.with_cost += 1;
        let day = self.days.entry(job.started_ms().div_euclid(DAY_MS)).or_default();
        day.with_cost += 1;
        let whole = money::whole(job);
        for (currency, figures) in &whole {
            *self.delivered.entry(currency.clone()).or_default() += u64::from(job.has_delivered());
            let moments = self.moments.entry(currency.clone()).or_default();
            for (moments, figure) in moments.iter_mut().zip([figures.min, figures.expected, figures.max]) {
                moments.add(figure);
            }
            let mut causes: Vec<&str> = job.charges.iter().map(|charge| charge.cause.as_str()).collect();
            causes.sort_unstable();
            causes.dedup();
            for cause in causes {
                let part = money::part(job, |charge| charge.cause == cause);
                if let Some(part) = part.get(currency) {
                    let by_cause = self.causes.entry(currency.clone()).or_default();
                    by_cause.entry(cause.to_owned()).or_default().add(*part);
                }
            }
        }
        money::add(&mut day.cost, whole.clone());
        money::add(&mut self.cost, whole);
    }

    /// Days (UTC) with a job in it.
    pub(super) fn days(&self) -> u64 {
        self.days.len() as u64
    }

    /// How far the mean cost of a job may be off, as jobs differ; of the least, the expected and the most.
    pub(super) fn between_jobs(&self, currency: &str) -> Option<[Variance; 3]> {
        let freedom = self.with_cost.checked_sub(1)?;
        let moments = self.moments.get(currency)?;
        let variances = moments.map(|moments| moments.variance_of_mean(self.with_cost));
        let [Some(min), Some(expected), Some(max)] = variances else { return None };
        Some([min, expected, max].map(|of_mean| Variance { of_mean, freedom }))
    }

    /// The same as days differ: a bad hour hits many jobs at once, and then they are not as many witnesses.
    /// None of less than a week.
    pub(super) fn between_days(&self, currency: &str) -> Option<[Variance; 3]> {
        let days = Some(self.days()).filter(|days| *days >= DAYS_MIN)?;
        let whole = self.cost.get(currency)?;
        let one = |figure: fn(&Figures) -> Decimal| {
            let count = Decimal::from(self.with_cost);
            let mean = figure(whole).checked_div(count)?;
            let mut sum = Decimal::ZERO;
            for day in self.days.values() {
                let cost = day.cost.get(currency).map(figure).unwrap_or_default();
                let away =
                    cost.saturating_sub(mean.saturating_mul(Decimal::from(day.with_cost))).round_dp(10);
                sum = sum.saturating_add(away.saturating_mul(away));
            }
            let freedom = days.checked_sub(1)?;
            let around = sum.saturating_mul(Decimal::from(days)).checked_div(Decimal::from(freedom))?;
            Some(Variance { of_mean: around.checked_div(count)?.checked_div(count)?, freedom })
        };
        Some([one(|of| of.min)?, one(|of| of.expected)?, one(|of| of.max)?])
    }
}
