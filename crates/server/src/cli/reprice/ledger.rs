//! Jobs of a ledger, as pricing needs them.
//!
//! A job's document has, of each attempt, the facts that its spans showed, its end, the answer that it
//! rests on and the day of its submit. That is all that a price or a policy asks for, but for how long
//! calls lasted: of realtime sessions it has that too. Prices change by days, so that the day is enough.

use std::sync::Arc;

use rust_decimal::prelude::ToPrimitive;
use spantally_price::{Bound, Cards, Source};
use spantally_stitch::{
    Accepted, Attempt, CallRef, Cause, Fact, FactSource, FactValue, FailureReason, Job, Outcome, Role,
    SpanKey, TaskId, UnixNanos,
};

use super::Before;
use crate::cli::job_doc::{AttemptDoc, FactDoc, JobDoc, unix_ms};

/// What a job was booked for.
pub(super) fn before(doc: &JobDoc) -> Before {
    let bound = |(currency, cost): (&String, &crate::cli::job_doc::CostDoc)| {
        let bound = Bound { min: cost.min, expected: cost.expected, max: cost.max };
        (Arc::from(currency.as_str()), bound)
    };
    Before {
        job_id: doc.job_id.clone(),
        provider: doc.provider.clone(),
        model: doc.model.clone(),
        outcome: doc.outcome.clone(),
        cost: doc.cost.iter().map(bound).collect(),
        rules: doc.charges.iter().map(|charge| format!("{} by {}", charge.rule, charge.policy)).collect(),
        unpriced: doc.unpriced.iter().map(|unpriced| (unpriced.attempt, unpriced.reason.clone())).collect(),
    }
}

/// The job as pricing sees it.
///
/// # Errors
/// Why it cannot be priced by these cards: its document cannot be read, or they ask for what it does not
/// have.
pub(super) fn job(doc: &JobDoc, cards: &Cards) -> Result<Job, String> {
    let started_at = unix_ms(&doc.started_at).ok_or_else(|| unreadable("started_at", &doc.started_at))?;
    let started_at = UnixNanos(started_at.unsigned_abs() * 1_000_000);
    let attempts = doc.attempts.iter().map(|attempt| self::attempt(doc, attempt, started_at));
    let attempts = attempts.collect::<Result<Vec<_>, _>>()?;
    attempts.iter().try_for_each(|attempt| known_durations(attempt, cards))?;
    let (tenant, service) = (doc.tenant.as_str().into(), doc.service.as_str().into());
    Ok(Job { attempts, started_at, tenant, service, ..Job::default() })
}

fn unreadable(field: &str, value: &str) -> String {
    format!("its {field} is {value:?}, which this build cannot read")
}

fn attempt(job: &JobDoc, doc: &AttemptDoc, job_started_at: UnixNanos) -> Result<Attempt, String> {
    let text = |own: &Option<String>, jobs: &str| Arc::from(own.as_deref().unwrap_or(jobs));
    let started_at = match &doc.day {
        None => job_started_at,
        Some(day) => {
            let midnight = unix_ms(&format!("{day}T00:00:00Z")).ok_or_else(|| unreadable("day", day))?;
            UnixNanos(midnight.unsigned_abs() * 1_000_000)
        }
    };
    let accepted = [Accepted::Yes, Accepted::No, Accepted::Ambiguous];
    let accepted = accepted.into_iter().find(|accepted| accepted.as_str() == doc.accepted);
    let failure_reason = doc.failure_reason.as_deref().and_then(FailureReason::parse);
    Ok(Attempt {
        task_id: doc.task_id.as_deref().map(TaskId::new),
        provider: text(&doc.provider, &job.provider),
        model: text(&doc.model, &job.model),
        operation: text(&doc.operation, &job.operation),
        rule: Arc::default(),
        leg: doc.leg.as_deref().map(Arc::from),
        accepted: accepted.ok_or_else(|| unreadable("accepted", &doc.accepted))?,
        outcome: Outcome::parse(&doc.outcome).ok_or_else(|| unreadable("outcome", &doc.outcome))?,
        failure_reason,
        canceled_before_start: doc.canceled_before_start,
        cause: Cause::parse(&doc.cause).ok_or_else(|| unreadable("cause", &doc.cause))?,
        started_at,
        ended_at: started_at,
        calls: calls(doc, started_at)?,
        joins: Vec::new(),
        facts: doc.facts.iter().map(fact).collect::<Result<_, _>>()?,
    })
}

/// As many calls of each role as there were; the last that decides has the status, the first session the
/// time.
fn calls(doc: &AttemptDoc, at: UnixNanos) -> Result<Vec<CallRef>, String> {
    let call =
        |role| CallRef { span: SpanKey::default(), role, start: at, end: at, status: None, failure: None };
    let of = |role: Role| std::iter::repeat_n(call(role), doc.spans.of(role).len());
    let mut calls: Vec<CallRef> = Role::ALL.into_iter().flat_map(of).collect();
    let decides = |call: &&mut CallRef| matches!(call.role, Role::Submit | Role::Sync | Role::Result);
    if let Some(last) = calls.iter_mut().rfind(decides) {
        last.status = doc.status;
    }
    if let Some(session) = calls.iter_mut().find(|call| call.role == Role::Session) {
        let nanos = doc.session_seconds.and_then(|seconds| seconds.checked_mul(NANOS)?.to_u64());
        let nanos = nanos.ok_or("it has a session, and its document does not tell how long it took")?;
        session.end = UnixNanos(at.0.saturating_add(nanos));
    }
    Ok(calls)
}

const NANOS: rust_decimal::Decimal = rust_decimal::Decimal::from_parts(1_000_000_000, 0, 0, false, 0);

fn fact(doc: &FactDoc) -> Result<Fact, String> {
    let source = FactSource::ALL.into_iter().find(|source| source.as_str() == doc.source);
    Ok(Fact {
        name: doc.name.as_str().into(),
        value: match doc.value.parse() {
            Ok(number) => FactValue::Number(number),
            Err(_) => FactValue::Text(doc.value.as_str().into()),
        },
        source: source.ok_or_else(|| unreadable("fact", &doc.source))?,
    })
}

/// The ledger does not have how long calls lasted, sessions excepted.
fn known_durations(attempt: &Attempt, cards: &Cards) -> Result<(), String> {
    let tariff =
        cards.get(&attempt.provider).and_then(|card| card.tariff(&attempt.model, &attempt.operation));
    let sources = tariff.into_iter().flat_map(|tariff| &tariff.meters).flat_map(|meter| &meter.quantity);
    for source in sources {
        if let Source::Elapsed(role) = source
            && *role != Role::Session
            && attempt.count(*role) > 0
        {
            return Err(format!(
                "its price depends on how long its {} calls lasted, which the ledger does not keep",
                role.as_str()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
