//! One span for each job that settled, for backends that keep traces.
//!
//! A job's calls are in many traces, or in one with other jobs, so its span is in a trace of its own whose id
//! is the job's id: who knows the one knows the other. It starts and ends with the job, links to the spans of
//! its calls, has its outcome and cost as attributes, and an event for each attempt that was made again, each
//! delivery and each call that failed by itself. The ids follow from the job, so that a span that goes out
//! again after a crash is the same span; one of a job that was revised has a higher
//! `spantally.job.revision`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use rust_decimal::prelude::ToPrimitive;
use spantally_price::Bound;
use spantally_stitch::{Attempt, Cause, Job, Outcome, Role, SpanKey, State};

use super::item::REQUEST_BYTES;
use crate::core::Settled;

/// Most links of a span, as in the SDKs: a job may have been polled two thousand times. Polls are left out
/// first, and counted as dropped.
const MAX_LINKS: usize = 128;

/// Most events of a span, for the same reason. Polls that failed are left out first.
const MAX_EVENTS: usize = 128;

/// The spans of jobs that were told, as requests of about [`REQUEST_BYTES`], each of one tenant and with the
/// number of spans in it. A job that was superseded has none: its calls are in another job.
pub(super) fn requests(settled: &[Settled]) -> Vec<(Arc<str>, Bytes, u64)> {
    let mut groups: BTreeMap<(&Arc<str>, &Arc<str>), Vec<Span>> = BTreeMap::new();
    for told in settled.iter().filter(|told| told.job.state != State::Superseded) {
        groups.entry((&told.job.tenant, &told.job.service)).or_default().push(span(told));
    }
    let mut requests: Vec<(&Arc<str>, Vec<u8>, u64)> = Vec::new();
    for ((tenant, service), spans) in groups {
        for some in cut(spans) {
            let count = some.len() as u64;
            let request = ExportTraceServiceRequest { resource_spans: vec![of_service(service, some)] };
            let bytes = request.encode_to_vec();
            let open =
                requests.pop_if(|open| open.0 == tenant && open.1.len() + bytes.len() <= REQUEST_BYTES);
            // A repeated field of protobuf may be written in pieces.
            let (_, mut body, before) = open.unwrap_or((tenant, Vec::new(), 0));
            body.extend_from_slice(&bytes);
            requests.push((tenant, body, before + count));
        }
    }
    requests.into_iter().map(|(tenant, body, count)| (tenant.clone(), body.into(), count)).collect()
}

/// Spans in parts of about [`REQUEST_BYTES`].
fn cut(spans: Vec<Span>) -> Vec<Vec<Span>> {
    let mut parts: Vec<Vec<Span>> = Vec::new();
    let mut open_bytes = 0;
    for span in spans {
        let bytes = span.encoded_len();
        match parts.last_mut() {
            Some(open) if open_bytes + bytes <= REQUEST_BYTES => {
                open.push(span);
                open_bytes += bytes;
            }
            _ => {
                parts.push(vec![span]);
                open_bytes = bytes;
            }
        }
    }
    parts
}

fn of_service(service: &str, spans: Vec<Span>) -> ResourceSpans {
    let scope = InstrumentationScope {
        name: "spantally".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let attributes = vec![text("service.name", service)];
    ResourceSpans {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }
}

fn span(told: &Settled) -> Span {
    let job = &*told.job;
    let what = if job.operation.is_empty() { "job" } else { &*job.operation };
    let (links, dropped_links_count) = links(job);
    let (events, dropped_events_count) = events(job);
    let mut span = Span {
        trace_id: job.id.0.to_vec(),
        span_id: job.id.0[..8].to_vec(),
        name: format!("{what} {}", job.provider),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: job.started_at.0,
        end_time_unix_nano: job.ended_at.0,
        attributes: attributes(told),
        events,
        dropped_events_count,
        links,
        dropped_links_count,
        status: Some(status(job)),
        ..Span::default()
    };
    // All zero is no id.
    if span.span_id.iter().all(|byte| *byte == 0) {
        span.span_id = vec![1; 8];
    }
    span
}

fn status(job: &Job) -> Status {
    let code = match job.outcome {
        Outcome::Succeeded => StatusCode::Ok,
        Outcome::Unknown => StatusCode::Unset,
        _ if job.failure_reason.is_some() => StatusCode::Error,
        _ => StatusCode::Unset,
    };
    let reason = job.failure_reason.filter(|_| code == StatusCode::Error);
    Status { code: code.into(), message: reason.map(|reason| reason.as_str().to_owned()).unwrap_or_default() }
}

fn attributes(told: &Settled) -> Vec<KeyValue> {
    let job = &*told.job;
    let mut attributes = vec![
        text("spantally.job.id", &job.id.to_string()),
        number("spantally.job.revision", told.revision.into()),
        text("spantally.job.outcome", job.outcome.as_str()),
        number("spantally.job.attempts", count(job.attempts.len())),
        number("spantally.job.polls", count(job.attempts.iter().map(|it| it.count(Role::Poll)).sum())),
        text("gen_ai.provider.name", &job.provider),
    ];
    let told_if_known = [
        ("gen_ai.request.model", &*job.model),
        ("spantally.job.operation", &*job.operation),
        ("spantally.tenant", &*job.tenant),
        ("spantally.job.failure_reason", job.failure_reason.map_or("", |reason| reason.as_str())),
    ];
    attributes.extend(told_if_known.iter().filter(|(_, it)| !it.is_empty()).map(|(key, it)| text(key, it)));
    attributes.extend(cost_attributes(&told.bill.cost()));
    let unpriced = told.bill.unpriced.iter().map(|unpriced| unpriced.reason.as_str());
    attributes.extend(unpriced.min().map(|reason| text("spantally.job.unpriced", reason)));
    attributes
}

/// Costs as doubles, which is what backends can add up: exact amounts are in the ledger.
pub(super) fn cost_attributes(cost: &BTreeMap<Arc<str>, Bound>) -> Vec<KeyValue> {
    let mut attributes = Vec::new();
    for (currency, cost) in cost {
        for (end, amount) in [("min", cost.min), ("expected", cost.expected), ("max", cost.max)] {
            let key = format!("spantally.cost.{}.{end}", currency.to_lowercase());
            attributes.extend(amount.to_f64().map(|amount| keyed(key, Value::DoubleValue(amount))));
        }
    }
    attributes
}

/// The spans of a job, those of polls last, and how many there was no room for.
fn links(job: &Job) -> (Vec<Link>, u32) {
    let calls = || job.attempts.iter().flat_map(|attempt| &attempt.calls);
    let others = calls().filter(|call| call.role != Role::Poll);
    let polls = calls().filter(|call| call.role == Role::Poll);
    let roles = others.chain(polls).map(|call| (call.span, call.role.as_str()));
    let above = job.spans.iter().map(|&span| (span, "application"));
    let all: Vec<(SpanKey, &str)> = above.chain(roles).collect();
    let dropped = all.len().saturating_sub(MAX_LINKS) as u32;
    let links = all.into_iter().take(MAX_LINKS).map(|(span, role)| Link {
        trace_id: span.trace.0.to_vec(),
        span_id: span.span.0.to_vec(),
        attributes: vec![text("spantally.role", role)],
        ..Link::default()
    });
    (links.collect(), dropped)
}

/// What happened to a job, in the order of time, and how much there was no room for.
fn events(job: &Job) -> (Vec<Event>, u32) {
    let mut events = Vec::new();
    for (number, attempt) in job.attempts.iter().enumerate() {
        events.extend(made_again(job, number).map(|before| (false, resubmitted(attempt, before))));
        for call in &attempt.calls {
            let (name, role) = match (call.role, call.failure) {
                (Role::Webhook, _) => ("webhook", None),
                (role, Some(_)) => ("call failed", Some(role)),
                _ => continue,
            };
            let role = role.map(|role| text("spantally.role", role.as_str()));
            let failure = call.failure.map(|reason| text("error.type", reason.as_str()));
            let status = call.status.map(|code| self::number("http.response.status_code", code.into()));
            let attributes = role.into_iter().chain(failure).chain(status).collect();
            events.push((call.role == Role::Poll, event(name, call.start.0, attributes)));
        }
    }
    let dropped = events.len().saturating_sub(MAX_EVENTS) as u32;
    events.sort_by_key(|(is_poll, event)| (*is_poll, event.time_unix_nano));
    events.truncate(MAX_EVENTS);
    events.sort_by_key(|(_, event)| event.time_unix_nano);
    (events.into_iter().map(|(_, event)| event).collect(), dropped)
}

/// The attempt that one was made again for: the one before it. In a voice session attempts are turns of its
/// legs, of which only what did not go well is made again, by the next call of its leg.
fn made_again(job: &Job, number: usize) -> Option<&Attempt> {
    let (before, after) = job.attempts.split_at_checked(number)?;
    if !job.is_voice_session() {
        return before.last();
    }
    let leg = &after.first()?.leg;
    let went_well = |attempt: &&Attempt| matches!(attempt.cause, Cause::Delivered | Cause::Unverified);
    before.iter().rfind(|attempt| attempt.leg == *leg).filter(|attempt| !went_well(attempt))
}

/// An attempt that was not the first: why there was another before it, which is what that one's money is
/// spent for.
fn resubmitted(attempt: &Attempt, before: &Attempt) -> Event {
    let reason = before.failure_reason.map(|reason| text("error.type", reason.as_str()));
    let attributes = std::iter::once(text("spantally.cause", before.cause.as_str())).chain(reason).collect();
    event("resubmitted", attempt.started_at.0, attributes)
}

fn event(name: &str, time_unix_nano: u64, attributes: Vec<KeyValue>) -> Event {
    Event { name: name.to_owned(), time_unix_nano, attributes, ..Event::default() }
}

pub(super) fn text(key: &str, value: &str) -> KeyValue {
    keyed(key.to_owned(), Value::StringValue(value.to_owned()))
}

pub(super) fn number(key: &str, value: i64) -> KeyValue {
    keyed(key.to_owned(), Value::IntValue(value))
}

pub(super) fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn keyed(key: String, value: Value) -> KeyValue {
    KeyValue { key, value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

#[cfg(test)]
mod tests {
    use spantally_price::Bill;
    use spantally_stitch::{Accepted, CallRef, FailureReason, JobId, SpanId, TraceId, UnixNanos};

    use super::*;

    fn call(number: u64, role: Role, failure: Option<FailureReason>) -> CallRef {
        let span = SpanKey { trace: TraceId([1; 16]), span: SpanId(number.to_be_bytes()) };
        CallRef { span, role, start: UnixNanos(number), end: UnixNanos(number), status: Some(500), failure }
    }

    fn attempt(calls: Vec<CallRef>) -> Attempt {
        Attempt {
            task_id: None,
            provider: "fal".into(),
            model: "m".into(),
            operation: "text_to_image".into(),
            rule: "submit".into(),
            leg: None,
            accepted: Accepted::Yes,
            outcome: Outcome::Failed,
            failure_reason: None,
            canceled_before_start: false,
            cause: Cause::Retry,
            started_at: UnixNanos(1),
            ended_at: UnixNanos(9),
            calls,
            joins: Vec::new(),
            facts: Vec::new(),
        }
    }

    fn settled(tenant: &str, service: &str, number: u64, attempts: Vec<Attempt>) -> Settled {
        let mut id = [7; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let job = Job {
            id: JobId(id),
            state: State::Settled,
            tenant: tenant.into(),
            service: service.into(),
            labels: Vec::new(),
            provider: "fal".into(),
            model: "m".into(),
            operation: "text_to_image".into(),
            outcome: Outcome::Failed,
            failure_reason: None,
            spans: Vec::new(),
            started_at: UnixNanos(1),
            ended_at: UnixNanos(9),
            attempts,
            parent_task: None,
        };
        Settled { job: Box::new(job), bill: Bill::default(), revision: 1 }
    }

    fn decoded(body: &[u8]) -> Vec<Span> {
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }

    #[test]
    fn spans_of_a_turn_are_requests_that_a_destination_takes() {
        let polls: Vec<CallRef> = (1..=200).map(|number| call(number, Role::Poll, None)).collect();
        let told: Vec<Settled> = (0..800)
            .map(|number| {
                let (tenant, service) = (["a", "b"][number % 2], ["x", "y", "z"][number % 3]);
                settled(tenant, service, number as u64, vec![attempt(polls.clone())])
            })
            .collect();
        let requests = requests(&told);
        assert!(requests.len() > 4, "{} requests", requests.len());
        let mut seen = Vec::new();
        for (_, body, count) in &requests {
            assert!(body.len() <= REQUEST_BYTES + (64 << 10), "{} bytes", body.len());
            let spans = decoded(body);
            assert_eq!(spans.len() as u64, *count);
            seen.extend(spans.into_iter().map(|span| span.trace_id));
        }
        seen.sort_unstable();
        let mut wanted: Vec<Vec<u8>> = told.iter().map(|told| told.job.id.0.to_vec()).collect();
        wanted.sort_unstable();
        assert_eq!(seen, wanted);
        assert!(requests.is_sorted_by_key(|(tenant, ..)| tenant.clone()));
    }

    #[test]
    fn small_requests_of_a_tenant_are_one() {
        let told = [("b", "x"), ("a", "y"), ("a", "x")]
            .map(|(tenant, service)| settled(tenant, service, 1, Vec::new()));
        let found: Vec<_> = requests(&told).into_iter().map(|(tenant, _, count)| (tenant, count)).collect();
        assert_eq!(found, [("a".into(), 2), ("b".into(), 1)]);
    }

    #[test]
    fn events_are_bounded_and_polls_go_first() {
        let failed = Some(FailureReason::ClientTimeout);
        let mut calls: Vec<CallRef> = (1..=300).map(|number| call(number, Role::Poll, failed)).collect();
        calls.push(call(400, Role::Webhook, None));
        let told = settled("a", "x", 1, vec![attempt(calls), attempt(Vec::new())]);
        let span = span(&told);
        assert_eq!((span.events.len(), span.dropped_events_count), (MAX_EVENTS, 174));
        let named = |name: &str| span.events.iter().filter(|event| event.name == name).count();
        assert_eq!((named("webhook"), named("resubmitted"), named("call failed")), (1, 1, 126));
        assert!(span.events.is_sorted_by_key(|event| event.time_unix_nano));
    }

    /// Of the turns of a session only what did not go well is made again, and by a call of its own leg.
    #[test]
    fn turns_of_a_session_are_no_resubmissions() {
        let mut told = settled("a", "x", 1, Vec::new());
        let (hears, speaks) = ("speech_to_text", "text_to_speech");
        let turns = [(hears, Cause::Delivered), (speaks, Cause::Retry), (hears, Cause::Delivered)];
        told.job.attempts = turns
            .into_iter()
            .chain([(speaks, Cause::Delivered)])
            .map(|(leg, cause)| Attempt { leg: Some(leg.into()), cause, ..attempt(Vec::new()) })
            .collect();
        let span = span(&told);
        let [event] = &span.events[..] else { panic!("{:?}", span.events) };
        assert_eq!(
            (event.name.as_str(), &event.attributes[0]),
            ("resubmitted", &text("spantally.cause", "retry"))
        );
    }
}
