//! Changes of who is above whom.

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span};

use super::change::{key_value, status, text, url};
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
        traffic.truth.spans.push(truth::Span {
            span_id: hex(&id),
            intent: None,
            role: Role::Shared,
            job: None,
        });
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

/// The GenAI instrumentations of two SDKs are on: each request of a video at OpenAI, polls too, and each
/// prediction that is made at Replicate has a span above it, which holds the SDK's own retries. They show no
/// id of the answer, though OpenLIT's do.
pub(super) fn under_sdk_spans(mut traffic: Traffic) -> Traffic {
    let labels = traffic.labels();
    let mut calls: BTreeMap<SdkCall, Vec<(Vec<u8>, bool)>> = BTreeMap::new();
    let mut in_order: Vec<&mut Span> =
        traffic.spans_mut().filter(|span| span.parent_span_id.is_empty()).collect();
    in_order.sort_unstable_by_key(|span| span.start_time_unix_nano);
    let mut above: BTreeMap<Vec<u8>, (Span, Option<String>)> = BTreeMap::new();
    for span in in_order {
        let Some(label) = labels.get(&hex(&span.span_id)) else { continue };
        let url = url(span).unwrap_or_default();
        let name = match label.role {
            Role::Submit | Role::Poll if url.contains("api.openai.com/v1/videos") => "video sora-2",
            Role::Submit if url.contains("api.replicate.com/v1/") => "replicate.predictions.create",
            _ => continue,
        };
        // The SDK tries again what it was told to try again.
        let tries = calls.entry((label.intent.clone(), label.role, url.to_owned())).or_default();
        let again = tries.last().filter(|(_, refused)| *refused).map(|(id, _)| id.clone());
        let id = again.unwrap_or_else(|| scramble(4, &span.span_id).to_be_bytes().to_vec());
        tries.push((id.clone(), status(span).is_some_and(|status| status == 429 || status >= 500)));
        let (wrapper, _) = above
            .entry(id.clone())
            .or_insert_with(|| (sdk_span(span, id.clone(), name), label.intent.clone()));
        wrapper.end_time_unix_nano = wrapper.end_time_unix_nano.max(span.end_time_unix_nano + 1_000_000);
        span.trace_id.clone_from(&wrapper.trace_id);
        span.parent_span_id = id;
    }
    for (id, (span, intent)) in above {
        traffic.truth.spans.push(truth::Span { span_id: hex(&id), intent, role: Role::User, job: None });
        append(&mut traffic.requests, span);
    }
    traffic
}

/// Who calls an SDK for what.
type SdkCall = (Option<String>, Role, String);

fn sdk_span(call: &Span, id: Vec<u8>, name: &str) -> Span {
    let of = [("operation.name", "video"), ("provider.name", "openai"), ("request.model", "sora-2")];
    let of = of.into_iter().filter(|_| name.starts_with("video"));
    Span {
        trace_id: call.trace_id.clone(),
        span_id: id,
        name: name.to_owned(),
        kind: SpanKind::Client.into(),
        start_time_unix_nano: call.start_time_unix_nano - 1_000_000,
        attributes: of.map(|(key, value)| text(&format!("gen_ai.{key}"), value)).collect(),
        ..Default::default()
    }
}

/// Puts a span of the application into the first request that comes after its end, as a process does that
/// exports in batches.
pub(super) fn append(requests: &mut [(u32, ExportTraceServiceRequest)], span: Span) {
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
