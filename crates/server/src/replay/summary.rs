//! The jobs of a recording, added up: what the report shows and `--format json` writes.
//!
//! Everything here is a sum over settled jobs, in exact decimals, grouped in ordered maps. A finding that a
//! person may act on keeps how many attempts and jobs it is about and what it cost with its bound.

mod count;

use std::collections::BTreeMap;
use std::sync::Arc;

use rust_decimal::Decimal;
use serde::Serialize;
use spantally_price::Bound;

use super::run::{Found, SpanCounts};

/// What recordings hold, added up.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// What was read.
    pub recording: Reading,
    /// What became of the spans; `received` is the sum of the others.
    pub spans: SpanCounts,
    /// Spans that were not usable, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Requests to a provider's own host that are in no job, since no rule takes them.
    pub unrecognised: Vec<UnrecognisedRow>,
    /// Calls that say that they were sampled: others that they stand for are in no job.
    pub sampled: Vec<SampledRow>,
    /// Start of the first job, RFC 3339.
    pub from: Option<String>,
    /// End of the last job, RFC 3339.
    pub until: Option<String>,
    /// Jobs.
    pub jobs: u64,
    /// Jobs by outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Attempts of all jobs.
    pub attempts: u64,
    /// Calls of all jobs.
    pub calls: u64,
    /// Money by currency.
    pub cost: BTreeMap<Arc<str>, Money>,
    /// Money by currency and cause, the most first.
    pub causes: Vec<CauseRow>,
    /// The part that retries, resubmissions and duplicates cost.
    pub retry_driven: Vec<PartRow>,
    /// The part that was neither delivered nor is unverified.
    pub waste: Vec<PartRow>,
    /// By provider, the dearest first.
    pub providers: Vec<GroupRow>,
    /// By provider and model, the dearest first.
    pub models: Vec<GroupRow>,
    /// Attempts that were submitted although an earlier one was on its way.
    pub duplicates: Finding,
    /// Attempts that failed or were refused and are charged, by what is known; ambiguous submits are apart.
    pub failed_but_billed: Finding,
    /// Submits of which nobody knows whether the provider took them.
    pub ambiguous_submits: Finding,
    /// Polls a job, by provider.
    pub polls: Vec<PollRow>,
    /// Why attempts failed.
    pub failures: Vec<FailureRow>,
    /// What has no price.
    pub unpriced: Vec<UnpricedRow>,
    /// Money of attempts whose outcome the spans do not tell, by provider.
    pub unverified: Vec<UnverifiedRow>,
    /// Jobs that wasted most, the most first.
    pub wasteful: Vec<WastefulRow>,
    /// How the parts of jobs were joined.
    pub joins: Vec<JoinRow>,
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Reading {
    /// Export requests.
    pub records: u64,
    /// Parts that could not be read.
    pub unreadable: u64,
}

/// An amount with its bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Money {
    /// The least.
    pub min: Decimal,
    /// The best single figure.
    pub expected: Decimal,
    /// The most.
    pub max: Decimal,
}

impl From<Bound> for Money {
    fn from(bound: Bound) -> Self {
        let Bound { min, expected, max } = bound;
        Self { min: min.normalize(), expected: expected.normalize(), max: max.normalize() }
    }
}

/// Money of one cause.
#[derive(Clone, Debug, Serialize)]
pub struct CauseRow {
    /// Currency.
    pub currency: Arc<str>,
    /// Why it was spent.
    pub cause: &'static str,
    /// Expected cost; the causes of a currency add up to its total.
    pub cost: Decimal,
    /// Of the total, from 0 to 1.
    pub share: Decimal,
    /// Jobs with such a charge.
    pub jobs: u64,
    /// Whether it counts as waste.
    pub is_waste: bool,
}

/// A part of the money of one currency.
#[derive(Clone, Debug, Serialize)]
pub struct PartRow {
    /// Currency.
    pub currency: Arc<str>,
    /// Expected cost.
    pub cost: Decimal,
    /// Of the total, from 0 to 1.
    pub share: Decimal,
    /// Jobs with such a charge.
    pub jobs: u64,
}

/// Jobs and money of one provider, or of one model.
#[derive(Clone, Debug, Serialize)]
pub struct GroupRow {
    /// Provider of the attempts.
    pub provider: Arc<str>,
    /// Model of the attempts; none in a table by provider, empty when no span names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Arc<str>>,
    /// Jobs with an attempt there.
    pub jobs: u64,
    /// Of these, how many delivered, wholly or in part.
    pub delivered: u64,
    /// Of these, how many whose outcome the spans do not tell.
    pub unverified: u64,
    /// Money by currency.
    pub cost: BTreeMap<Arc<str>, Money>,
    /// By currency, the expected cost of those whose end is known over those with money in it that delivered;
    /// nothing when none did.
    pub cost_per_delivered: BTreeMap<Arc<str>, Decimal>,
}

/// Something that a person may act on.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Finding {
    /// Attempts that it is about.
    pub attempts: u64,
    /// Their jobs.
    pub jobs: u64,
    /// What they cost, by currency.
    pub cost: BTreeMap<Arc<str>, Money>,
}

/// Polls a job at one provider.
#[derive(Clone, Debug, Serialize)]
pub struct PollRow {
    /// Provider.
    pub provider: Arc<str>,
    /// Jobs that were polled.
    pub jobs: u64,
    /// Half of them were polled at most so often.
    pub median: u64,
    /// 95 in 100 were.
    pub p95: u64,
    /// All were.
    pub max: u64,
}

/// Attempts that failed for one reason.
#[derive(Clone, Debug, Serialize)]
pub struct FailureRow {
    /// The reason.
    pub reason: &'static str,
    /// Attempts.
    pub attempts: u64,
    /// Their jobs.
    pub jobs: u64,
}

/// Attempts without a price.
#[derive(Clone, Debug, Serialize)]
pub struct UnpricedRow {
    /// Provider.
    pub provider: Arc<str>,
    /// Model; empty when no span names it.
    pub model: Arc<str>,
    /// Why.
    pub reason: &'static str,
    /// Jobs with such an attempt.
    pub jobs: u64,
}

/// Money that may or may not have bought something.
#[derive(Clone, Debug, Serialize)]
pub struct UnverifiedRow {
    /// Provider.
    pub provider: Arc<str>,
    /// Jobs whose outcome the spans do not tell.
    pub jobs: u64,
    /// What they cost, by currency.
    pub cost: BTreeMap<Arc<str>, Money>,
}

/// A job that wasted money.
#[derive(Clone, Debug, Serialize)]
pub struct WastefulRow {
    /// The job.
    pub job_id: String,
    /// Provider.
    pub provider: Arc<str>,
    /// Model.
    pub model: Arc<str>,
    /// How it ended.
    pub outcome: &'static str,
    /// Currency.
    pub currency: Arc<str>,
    /// Expected cost of what was wasted.
    pub waste: Decimal,
    /// Why, every cause once.
    pub causes: Vec<&'static str>,
}

/// Requests that no rule takes, of one provider and method.
#[derive(Clone, Debug, Serialize)]
pub struct UnrecognisedRow {
    /// Whose host it was.
    pub provider: String,
    /// HTTP method.
    pub method: &'static str,
    /// How many spans show one; a span that is in two recordings counts twice.
    pub requests: u64,
}

/// Calls of one service to one provider that say that they were sampled.
#[derive(Clone, Debug, Serialize)]
pub struct SampledRow {
    /// Provider.
    pub provider: Arc<str>,
    /// Service that made them.
    pub service: Arc<str>,
    /// How many spans show one; a span that is in two recordings counts twice.
    pub calls: u64,
}

/// Joins of one rule and confidence.
#[derive(Clone, Debug, Serialize)]
pub struct JoinRow {
    /// How sure.
    pub confidence: &'static str,
    /// By which rule.
    pub rule: &'static str,
    /// How many.
    pub joins: u64,
}

impl Summary {
    /// Adds up what was found.
    pub fn of(found: &Found) -> Self {
        let unrecognised = found.unrecognised.iter().map(|((provider, method), requests)| UnrecognisedRow {
            provider: provider.clone(),
            method,
            requests: *requests,
        });
        let sampled = found.sampled.iter().map(|(stream, calls)| SampledRow {
            provider: stream.provider.clone(),
            service: stream.service.clone(),
            calls: *calls,
        });
        Self {
            recording: Reading { records: found.records, unreadable: found.unreadable },
            spans: found.spans,
            rejected: found.rejected.clone(),
            unrecognised: unrecognised.collect(),
            sampled: sampled.collect(),
            ..count::count(&found.jobs)
        }
    }

    /// Expected cost of a currency.
    pub fn total(&self, currency: &str) -> Decimal {
        self.cost.get(currency).map_or(Decimal::ZERO, |money| money.expected)
    }
}
