//! One span for each job that settled, for backends that keep traces.
//!
//! A job's calls are in many traces, or in one with other jobs, so its span is in a trace of its own whose id
//! is the job's id: who knows the one knows the other. It starts and ends with the job, links to the spans of
//! its calls, has its outcome and cost as attributes, and an event for each attempt after the first, each
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
use spantally_stitch::{Attempt, Job, Outcome, Role, SpanKey, State};

use crate::core::Settled;

/// Most links of a span, as in the SDKs: a job may have been polled two thousand times. Polls are left out
/// first, and counted as dropped.
const MAX_LINKS: usize = 128;

/// The spans of jobs that were told, as one request a tenant, with the number of spans in it. A job that was
/// superseded has none: its calls are in another job.
pub(super) fn requests(settled: &[Settled]) -> Vec<(Arc<str>, Bytes, u64)> {
    let mut tenants: BTreeMap<&Arc<str>, BTreeMap<&Arc<str>, Vec<Span>>> = BTreeMap::new();
    for told in settled.iter().filter(|told| told.job.state != State::Superseded) {
        let services = tenants.entry(&told.job.tenant).or_default();
        services.entry(&told.job.service).or_default().push(span(told));
    }
    let encode = |(tenant, services): (&Arc<str>, BTreeMap<&Arc<str>, Vec<Span>>)| {
        let count = services.values().map(|spans| spans.len() as u64).sum();
        let resource_spans =
            services.into_iter().map(|(service, spans)| of_service(service, spans)).collect();
        let request = ExportTraceServiceRequest { resource_spans };
        (tenant.clone(), request.encode_to_vec().into(), count)
    };
    tenants.into_iter().map(encode).collect()
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
    let (links, dropped) = links(job);
    let mut span = Span {
        trace_id: job.id.0.to_vec(),
        span_id: job.id.0[..8].to_vec(),
        name: format!("{what} {}", job.provider),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: job.started_at.0,
        end_time_unix_nano: job.ended_at.0,
        attributes: attributes(told),
        events: events(job),
        links,
        dropped_links_count: dropped,
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

fn events(job: &Job) -> Vec<Event> {
    let mut events = Vec::new();
    for (number, attempt) in job.attempts.iter().enumerate() {
        if number > 0 {
            events.push(resubmitted(attempt, &job.attempts[number - 1]));
        }
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
            events.push(event(name, call.start.0, attributes));
        }
    }
    events.sort_by_key(|event| event.time_unix_nano);
    events
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
