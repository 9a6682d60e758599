//! Changes of when things happen.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::trace::v1::Span;

use super::change::is_client;
use super::{Traffic, hex, scramble};
use crate::truth::Role;

/// A request that takes longer waits for something: it gets longer with all else.
const WAITING_NANOS: u64 = 500_000_000;

/// Everything takes `factor` times as long: waits, intervals, jobs, deliveries. Single requests do not.
pub(super) fn stretch(mut traffic: Traffic, factor: u32) -> Traffic {
    let began = traffic.spans().map(|span| span.start_time_unix_nano).min().unwrap_or_default();
    let factor = u64::from(factor);
    for span in traffic.spans_mut() {
        let took = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
        let short = is_client(span) && took < WAITING_NANOS;
        span.start_time_unix_nano = began + (span.start_time_unix_nano - began) * factor;
        span.end_time_unix_nano = span.start_time_unix_nano + if short { took } else { took * factor };
    }
    for (at_ms, _) in &mut traffic.requests {
        *at_ms = at_ms.saturating_mul(factor as u32);
    }
    arrive_when_ended(&mut traffic);
    traffic
}

/// A request with a span arrives when that span has ended, not before.
fn arrive_when_ended(traffic: &mut Traffic) {
    let first = |message: &opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest| {
        let scopes = message.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| &scope.spans).map(|span| span.end_time_unix_nano).max().unwrap_or_default()
    };
    let began = traffic.requests.first().map(|(_, message)| first(message)).unwrap_or_default();
    for (at_ms, message) in &mut traffic.requests {
        let ended = first(message).saturating_sub(began) / 1_000_000;
        *at_ms = (*at_ms).max(u32::try_from(ended).unwrap_or(u32::MAX));
    }
    traffic.requests.sort_by_key(|(at_ms, _)| *at_ms);
}

/// Jobs of minutes: each task is polled `factor` times as often at its own interval before what ends it. What
/// follows its polls, and deliveries, come that much later.
pub(super) fn long_jobs(mut traffic: Traffic, factor: u32) -> Traffic {
    let labels = traffic.labels();
    let label = |span: &Span| labels.get(&hex(&span.span_id));
    let mut polls: BTreeMap<(String, String), Vec<Span>> = BTreeMap::new();
    for span in traffic.spans() {
        let Some(found) = label(span) else { continue };
        if let (Role::Poll, Some(intent)) = (found.role, &found.intent) {
            polls.entry((intent.clone(), url_of(span))).or_default().push(span.clone());
        }
    }
    // Of each job: from when on everything is later, and by how much.
    let mut later: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    let mut added: Vec<(String, Span)> = Vec::new();
    for ((intent, url), mut spans) in polls {
        spans.sort_by_key(|span| span.start_time_unix_nano);
        let [.., before, last] = &spans[..] else { continue };
        let interval = last.start_time_unix_nano - before.start_time_unix_nano;
        let more = (spans.len() as u64 * u64::from(factor - 1)).min(400);
        later.entry(intent.clone()).or_default().push((last.start_time_unix_nano, interval * more));
        for step in 0..more {
            let mut poll = before.clone();
            let wobble = scramble(step, url.as_bytes()) % 2_000_000;
            let name = format!("{url} {step}");
            poll.span_id = scramble(4, name.as_bytes()).to_be_bytes().to_vec();
            poll.start_time_unix_nano += interval * (step + 1) + wobble;
            poll.end_time_unix_nano += interval * (step + 1) + wobble;
            if before.parent_span_id.is_empty() {
                poll.trace_id = scramble(5, name.as_bytes()).to_be_bytes().repeat(2);
            }
            added.push((intent.clone(), poll));
        }
    }
    shift(&mut traffic, &later);
    for (intent, poll) in added {
        let span_id = hex(&poll.span_id);
        if let Some(known) = traffic.truth.intents.iter_mut().find(|known| known.intent == intent) {
            known.spans.push(span_id.clone());
            known.polls += 1;
        }
        traffic.truth.spans.push(crate::truth::Span {
            span_id,
            intent: Some(intent),
            role: Role::Poll,
            job: None,
        });
        insert(&mut traffic, poll);
    }
    arrive_when_ended(&mut traffic);
    traffic
}

/// Moves what comes after the polls of a job, and the end of what lies above it.
fn shift(traffic: &mut Traffic, later: &BTreeMap<String, Vec<(u64, u64)>>) {
    let labels = traffic.labels();
    let none = Vec::new();
    let longest = later.values().flatten().map(|&(_, by)| by).max().unwrap_or_default();
    for span in traffic.spans_mut() {
        let Some(label) = labels.get(&hex(&span.span_id)) else { continue };
        let steps = label.intent.as_ref().and_then(|intent| later.get(intent)).unwrap_or(&none);
        let by = |at: u64| steps.iter().filter(|(from, _)| *from <= at).map(|(_, by)| by).sum::<u64>();
        if label.role == Role::Shared {
            span.end_time_unix_nano += longest;
            continue;
        }
        let (start, end) = (by(span.start_time_unix_nano), by(span.end_time_unix_nano));
        span.start_time_unix_nano += start;
        span.end_time_unix_nano += if is_client(span) { start } else { end };
    }
}

/// Puts a span beside the first span of its service, in the request that comes next.
fn insert(traffic: &mut Traffic, span: Span) {
    let mut copy = traffic.requests[0].1.clone();
    copy.resource_spans.truncate(1);
    let template = traffic.requests.iter().find_map(|(_, message)| {
        message.resource_spans.iter().find_map(|resource| {
            let scope = resource.scope_spans.iter().find(|scope| {
                scope.spans.iter().any(|known| url_host(&url_of(known)) == url_host(&url_of(&span)))
            })?;
            Some((resource.resource.clone(), scope.scope.clone()))
        })
    });
    if let (Some((resource, scope)), Some(into)) = (template, copy.resource_spans.first_mut()) {
        into.resource = resource;
        into.scope_spans.truncate(1);
        into.scope_spans[0].scope = scope;
        into.scope_spans[0].spans = vec![span];
        traffic.requests.push((0, copy));
    }
}

fn url_of(span: &Span) -> String {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let url = span.attributes.iter().find(|known| matches!(&*known.key, "url.full" | "http.url"));
    match url.and_then(|url| url.value.as_ref()).and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(url)) => url.clone(),
        _ => String::new(),
    }
}

fn url_host(url: &str) -> &str {
    url.split('/').nth(2).unwrap_or_default()
}

/// Requests start late, as in a busy process: each GET by a time drawn anew, `mean_ms` in the mean.
pub(super) fn late_polls(mut traffic: Traffic, mean_ms: f64) -> Traffic {
    let labels = traffic.labels();
    for span in traffic.spans_mut().filter(|span| is_client(span)) {
        let role = labels.get(&hex(&span.span_id)).map(|label| label.role);
        if !matches!(role, Some(Role::Poll | Role::Result)) {
            continue;
        }
        let drawn = ((scramble(6, &span.span_id) >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
        let late = ((-drawn.ln() * mean_ms * 1e6) as i64).unsigned_abs();
        span.start_time_unix_nano += late;
        span.end_time_unix_nano += late;
    }
    traffic
}
