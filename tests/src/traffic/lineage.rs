//! Changes of who is above whom.

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span};

use super::change::{key_value, text};
use super::{Traffic, hex, scramble};
use crate::truth::{self, Role};
use opentelemetry_proto::tonic::common::v1::any_value::Value;

/// Plain HTTP spans: each a trace of its own, and no span above any. What the handler of a delivery asks
/// stays below the delivery, as in every capture of such spans.
pub(super) fn bare(mut traffic: Traffic) -> Traffic {
    let labels = traffic.labels();
    let hook = |span: &Span| labels.get(&hex(&span.span_id)).is_some_and(|label| label.role == Role::Webhook);
    let hooks: BTreeSet<Vec<u8>> =
        traffic.spans().filter(|span| hook(span)).map(|span| span.span_id.clone()).collect();
    traffic.retain(|span| {
        let role = labels.get(&hex(&span.span_id)).map(|label| label.role);
        !matches!(role, Some(Role::User | Role::Shared))
    });
    for span in traffic.spans_mut() {
        span.links.clear();
        let of_hook = hooks.contains(&span.parent_span_id);
        let root = if of_hook { &span.parent_span_id } else { &span.span_id };
        span.trace_id = scramble(1, root).to_be_bytes().repeat(2);
        if !of_hook {
            span.parent_span_id.clear();
        }
    }
    traffic
}

/// Every job below a request of its own that waits for it; one request in four asks for two.
pub(super) fn under_requests(mut traffic: Traffic) -> Traffic {
    let labels = traffic.labels();
    let order: BTreeMap<&str, usize> =
        traffic.truth.intents.iter().enumerate().map(|(at, intent)| (&*intent.intent, at)).collect();
    let request_of = |intent: &str| {
        let at = order.get(intent).copied().unwrap_or_default();
        format!("request {}", if at % 8 == 1 { at - 1 } else { at })
    };
    let named: BTreeMap<String, String> = labels
        .iter()
        .filter(|(_, label)| !matches!(label.role, Role::Webhook | Role::Noise))
        .filter_map(|(span, label)| Some((span.clone(), request_of(label.intent.as_deref()?))))
        .collect();
    let mut bounds: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    // What has a parent already is below the delivery that it answers.
    for span in traffic.spans_mut().filter(|span| span.parent_span_id.is_empty()) {
        let Some(request) = named.get(&hex(&span.span_id)) else { continue };
        span.trace_id = scramble(2, request.as_bytes()).to_be_bytes().repeat(2);
        span.parent_span_id = scramble(3, request.as_bytes()).to_be_bytes().to_vec();
        let held = bounds.entry(request.clone()).or_insert((u64::MAX, 0));
        held.0 = held.0.min(span.start_time_unix_nano);
        held.1 = held.1.max(span.end_time_unix_nano);
    }
    for (request, (start, end)) in bounds {
        let id = scramble(3, request.as_bytes()).to_be_bytes().to_vec();
        traffic.truth.spans.push(truth::Span { span_id: hex(&id), intent: None, role: Role::Shared });
        let span = Span {
            trace_id: scramble(2, request.as_bytes()).to_be_bytes().repeat(2),
            span_id: id,
            name: "POST /api/generations".to_owned(),
            kind: SpanKind::Server.into(),
            start_time_unix_nano: start - 2_000_000,
            end_time_unix_nano: end + 2_000_000,
            attributes: vec![
                text("http.request.method", "POST"),
                text("url.path", "/api/generations"),
                text("http.route", "/api/generations"),
                key_value("http.response.status_code", Value::IntValue(200)),
            ],
            ..Default::default()
        };
        append(&mut traffic.requests, span);
    }
    traffic
}

/// Puts a span of the application into the first request that comes after its end, as a process does that
/// exports in batches.
fn append(requests: &mut [(u32, ExportTraceServiceRequest)], span: Span) {
    let newest = |message: &ExportTraceServiceRequest| {
        let scopes = message.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| &scope.spans).map(|span| span.end_time_unix_nano).max().unwrap_or_default()
    };
    let after = requests.iter().position(|(_, message)| newest(message) >= span.end_time_unix_nano);
    let at = after.unwrap_or(requests.len() - 1);
    if let Some(resource) = requests[at].1.resource_spans.first_mut() {
        let scope = InstrumentationScope { name: "studio.app".to_owned(), ..Default::default() };
        resource.scope_spans.push(ScopeSpans { scope: Some(scope), spans: vec![span], ..Default::default() });
    }
}
