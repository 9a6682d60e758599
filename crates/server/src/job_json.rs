//! A job as JSON: the one shape that the API, the ledger's detail column, `replay` and `jobs` all write. Only
//! the extra labels have no names in the ledger ([`labels`]).
//!
//! Field order is part of the contract. Quantities and money are decimal strings, so that no reader is led
//! through a binary float; times are RFC 3339 in UTC with milliseconds; span ids are `trace:span` in
//! lower-case hex. What is unknown is `null`, never zero: an unpriced charge has neither a price nor a cost.
//! A field that only some jobs have (`parent_task`, `leg`, `unpriced`, ...) is left out where it does not
//! apply.
//!
//! The document borrows everything and writes without intermediate strings. Most documents are alike but for
//! ids and times; [`form`] takes what is alike out.

mod facts;
pub(crate) mod form;
pub(crate) mod labels;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Serialize, Serializer};
use spantally_price::{Bill, Bound, Charge, Consumed, Unpriced};
use spantally_stitch::{Attempt, FailureReason, Job, Join, Role, SpanKey, UnixNanos};

use self::facts::{Day, FactFields, is_false, other_day};
use self::labels::{Labels, NamedDocument};

/// A job with its bill, ready to be serialised.
#[derive(Clone, Copy, Debug)]
pub struct JobDocument<'a> {
    /// The job.
    pub job: &'a Job,
    /// What it cost.
    pub bill: &'a Bill,
    /// How often it was published; 0 while it was never settled.
    pub revision: u32,
}

impl<'a> JobDocument<'a> {
    /// The same with its labels by their names, which are those of the values' places.
    pub fn named(self, names: &'a [Arc<str>]) -> NamedDocument<'a> {
        NamedDocument { document: self, names }
    }

    /// The document as one line of JSON.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        // Ids of spans are most of it; growing step by step would copy them several times.
        let calls: usize = self.job.attempts.iter().map(|attempt| attempt.calls.len()).sum();
        let mut bytes = Vec::with_capacity(1024 + 64 * calls + 256 * self.bill.charges.len());
        serde_json::to_writer(&mut bytes, self)?;
        String::from_utf8(bytes).map_err(serde::de::Error::custom)
    }
}

impl Serialize for JobDocument<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        JobFields::new(*self, Show::Values).serialize(serializer)
    }
}

/// Whether what differs from job to job is shown, or a mark in its place (see [`form`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Show {
    Values,
    Marks,
}

impl<'a> JobFields<'a> {
    fn new(JobDocument { job, bill, revision }: JobDocument<'a>, show: Show) -> Self {
        Self {
            job_id: Own(job.id, show),
            revision,
            state: job.state.as_str(),
            tenant: &job.tenant,
            service: &job.service,
            provider: &job.provider,
            model: &job.model,
            operation: &job.operation,
            outcome: job.outcome.as_str(),
            failure_reason: job.failure_reason.map(FailureReason::as_str),
            spans: Spans(&job.spans, show),
            started_at: Own(Rfc3339(job.started_at), show),
            ended_at: Own(Rfc3339(job.ended_at), show),
            attempts: job.attempts.iter().map(|attempt| AttemptFields::new(job, attempt, show)).collect(),
            charges: bill.charges.iter().map(ChargeFields::new).collect(),
            cost: bill
                .cost()
                .into_iter()
                .map(|(currency, bound)| (currency, BoundFields::new(bound)))
                .collect(),
            unpriced: bill.unpriced.iter().map(UnpricedFields::new).collect(),
            labels: Labels::Listed(&job.labels),
            parent_task: job.parent_task.as_ref().map(|task| Own(task, show)),
        }
    }
}

#[derive(Serialize)]
struct JobFields<'a> {
    job_id: Own<spantally_stitch::JobId>,
    revision: u32,
    state: &'static str,
    tenant: &'a str,
    service: &'a str,
    provider: &'a str,
    model: &'a str,
    operation: &'a str,
    outcome: &'static str,
    failure_reason: Option<&'static str>,
    spans: Spans<'a>,
    started_at: Own<Rfc3339>,
    ended_at: Own<Rfc3339>,
    attempts: Vec<AttemptFields<'a>>,
    charges: Vec<ChargeFields<'a>>,
    cost: BTreeMap<Arc<str>, BoundFields>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unpriced: Vec<UnpricedFields>,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    labels: Labels<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_task: Option<Own<&'a spantally_stitch::TaskId>>,
}

#[derive(Serialize)]
struct AttemptFields<'a> {
    task_id: Option<Own<&'a spantally_stitch::TaskId>>,
    accepted: &'static str,
    outcome: &'static str,
    failure_reason: Option<&'static str>,
    cause: &'static str,
    polls: usize,
    spans: CallSpans<'a>,
    joins: Vec<JoinFields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "is_false")]
    canceled_before_start: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_seconds: Option<Text<Decimal>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<Day>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    facts: Vec<FactFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leg: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'a str>,
}

impl<'a> AttemptFields<'a> {
    fn new(job: &Job, attempt: &'a Attempt, show: Show) -> Self {
        let other = |own: &'a Arc<str>, jobs: &Arc<str>| (own != jobs).then_some(&**own);
        Self {
            task_id: attempt.task_id.as_ref().map(|task| Own(task, show)),
            accepted: attempt.accepted.as_str(),
            outcome: attempt.outcome.as_str(),
            failure_reason: attempt.failure_reason.map(FailureReason::as_str),
            cause: attempt.cause.as_str(),
            polls: attempt.count(Role::Poll),
            spans: CallSpans(attempt, show),
            joins: attempt.joins.iter().map(|join| JoinFields::new(join, show)).collect(),
            status: attempt.status(),
            canceled_before_start: attempt.canceled_before_start,
            session_seconds: attempt.seconds(Role::Session).map(|seconds| Text(seconds.normalize())),
            day: other_day(job, attempt),
            facts: attempt.facts.iter().map(FactFields::new).collect(),
            leg: attempt.leg.as_deref(),
            provider: other(&attempt.provider, &job.provider),
            model: other(&attempt.model, &job.model),
            operation: other(&attempt.operation, &job.operation),
        }
    }
}

#[derive(Serialize)]
struct JoinFields {
    rule: &'static str,
    confidence: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    margin: Option<Margin>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span: Option<SpanText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instead: Option<SpanText>,
}

impl JoinFields {
    fn new(join: &Join, show: Show) -> Self {
        Self {
            rule: join.rule.as_str(),
            confidence: join.confidence.as_str(),
            margin: join.margin.map(|margin| Margin(margin, show)),
            span: join.span.map(|span| SpanText(span, show)),
            instead: join.instead.map(|span| SpanText(span, show)),
        }
    }
}

#[derive(Serialize)]
struct ChargeFields<'a> {
    attempt: usize,
    unit: &'a str,
    quantity: Text<Decimal>,
    unit_price: Option<Text<Decimal>>,
    /// What was used, where the provider bills it in another unit: the seconds behind credits.
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed: Option<ConsumedFields<'a>>,
    cost: Option<Text<Decimal>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_min: Option<Text<Decimal>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_max: Option<Text<Decimal>>,
    currency: Option<&'a str>,
    cause: &'static str,
    basis: &'static str,
    rule: &'a str,
    policy: &'a str,
}

#[derive(Serialize)]
struct ConsumedFields<'a> {
    unit: &'a str,
    quantity: Text<Decimal>,
}

impl<'a> ChargeFields<'a> {
    fn new(charge: &'a Charge) -> Self {
        let priced = charge.unit_price.is_some();
        let Bound { min, expected, max } = charge.cost;
        let other = |bound: Decimal| (priced && bound != expected).then(|| Text(bound.normalize()));
        Self {
            attempt: charge.attempt,
            unit: &charge.unit,
            quantity: Text(charge.quantity.expected.normalize()),
            unit_price: charge.unit_price.map(|price| Text(price.normalize())),
            consumed: charge.consumed.as_ref().map(|Consumed { unit, quantity }| ConsumedFields {
                unit,
                quantity: Text(quantity.expected.normalize()),
            }),
            cost: priced.then(|| Text(expected.normalize())),
            cost_min: other(min),
            cost_max: other(max),
            currency: priced.then_some(&*charge.currency),
            cause: charge.cause.as_str(),
            basis: charge.basis.as_str(),
            rule: &charge.rule,
            policy: &charge.policy,
        }
    }
}

#[derive(Serialize)]
struct BoundFields {
    min: Text<Decimal>,
    expected: Text<Decimal>,
    max: Text<Decimal>,
}

impl BoundFields {
    fn new(bound: Bound) -> Self {
        Self {
            min: Text(bound.min.normalize()),
            expected: Text(bound.expected.normalize()),
            max: Text(bound.max.normalize()),
        }
    }
}

#[derive(Serialize)]
struct UnpricedFields {
    attempt: usize,
    reason: &'static str,
}

impl UnpricedFields {
    fn new(unpriced: &Unpriced) -> Self {
        Self { attempt: unpriced.attempt, reason: unpriced.reason.as_str() }
    }
}

/// The spans of an attempt's calls, by role, every role named.
struct CallSpans<'a>(&'a Attempt, Show);

impl Serialize for CallSpans<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Role::ALL.iter().map(|&role| (role.as_str(), RoleSpans(self.0, role, self.1))))
    }
}

struct RoleSpans<'a>(&'a Attempt, Role, Show);

impl Serialize for RoleSpans<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let calls = self.0.calls.iter().filter(|call| call.role == self.1);
        serializer.collect_seq(calls.map(|call| SpanText(call.span, self.2)))
    }
}

struct Spans<'a>(&'a [SpanKey], Show);

impl Serialize for Spans<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|&span| SpanText(span, self.1)))
    }
}

/// Anything that is written as it is displayed.
struct Text<T>(T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// What a job has of its own: its id, its times, its tasks. A mark stands for text.
struct Own<T>(T, Show);

impl<T: fmt::Display> Serialize for Own<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.1 {
            Show::Values => serializer.collect_str(&self.0),
            Show::Marks => serializer.serialize_str(form::TEXT_MARK),
        }
    }
}

/// A span, `trace:span`.
struct SpanText(SpanKey, Show);

impl Serialize for SpanText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.1 {
            Show::Values => serializer.collect_str(&self.0),
            Show::Marks => serializer.serialize_str(form::SPAN_MARK),
        }
    }
}

/// How sure a join is, as a number.
struct Margin(f64, Show);

impl Serialize for Margin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.1 {
            Show::Values => serializer.serialize_f64(self.0),
            Show::Marks => serializer.serialize_str(form::NUMBER_MARK),
        }
    }
}

/// A moment as RFC 3339, UTC, cut to milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Rfc3339(pub UnixNanos);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 2^64 nanoseconds after 1970 is the year 2554: every value is a timestamp.
        let moment = Timestamp::from_nanosecond(i128::from(self.0.0)).map_err(|_| fmt::Error)?;
        write!(f, "{moment:.3}")
    }
}

#[cfg(test)]
mod tests;
