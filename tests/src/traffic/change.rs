//! Changes of attributes and of the set of spans.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::{Traffic, hex, scramble};

/// Stable names, and what they were called before. A client of the time wrote three of them; what is not here
/// it did not write at all.
const OLD_NAMES: [(&str, &str); 7] = [
    ("http.request.method", "http.method"),
    ("url.full", "http.url"),
    ("http.response.status_code", "http.status_code"),
    ("url.path", "http.target"),
    ("http.route", "http.route"),
    ("url.scheme", "http.scheme"),
    ("server.address", "net.host.name"),
];

/// Attributes of the stable HTTP conventions that had no older name.
const NEW_ONLY: [&str; 9] = [
    "error.type",
    "url.query",
    "server.port",
    "server.address",
    "network.peer.address",
    "network.peer.port",
    "network.protocol.version",
    "user_agent.original",
    "http.request.method_original",
];

pub(super) fn text(key: &str, value: &str) -> KeyValue {
    key_value(key, Value::StringValue(value.to_owned()))
}

pub(super) fn key_value(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn string<'s>(span: &'s Span, key: &str) -> Option<&'s str> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// The status code of an answer, by its new or its old name.
pub(super) fn status(span: &Span) -> Option<i64> {
    let mut codes = span
        .attributes
        .iter()
        .filter(|attribute| matches!(&*attribute.key, "http.response.status_code" | "http.status_code"));
    match codes.next()?.value.as_ref()?.value {
        Some(Value::IntValue(code)) => Some(code),
        _ => None,
    }
}

/// The URL of a request, by its new or its old name.
pub(super) fn url(span: &Span) -> Option<&str> {
    string(span, "url.full").or_else(|| string(span, "http.url"))
}

pub(super) fn is_client(span: &Span) -> bool {
    span.kind == i32::from(SpanKind::Client)
}

/// The HTTP attributes of before the conventions were stable.
pub(super) fn old_names(mut traffic: Traffic) -> Traffic {
    for span in traffic.spans_mut() {
        let query = string(span, "url.query").filter(|query| !query.is_empty()).map(ToOwned::to_owned);
        let client = is_client(span);
        let mut renamed = Vec::new();
        for mut attribute in std::mem::take(&mut span.attributes) {
            if attribute.key.starts_with("http.") && !attribute.key.contains("header")
                || attribute.key.starts_with("url.")
                || NEW_ONLY.contains(&&*attribute.key)
            {
                let old = OLD_NAMES.iter().find(|(stable, _)| *stable == attribute.key);
                let Some((_, old)) = old else { continue };
                let clients = ["http.method", "http.url", "http.status_code"];
                if client && !clients.contains(old) {
                    continue;
                }
                (*old).clone_into(&mut attribute.key);
                if *old == "http.target"
                    && let (Some(query), Some(AnyValue { value: Some(Value::StringValue(path)) })) =
                        (&query, &mut attribute.value)
                {
                    *path = format!("{path}?{query}");
                }
            }
            renamed.push(attribute);
        }
        span.attributes = renamed;
    }
    traffic
}

/// Another network: other ports and peers, an instance of another name.
pub(super) fn other_network(mut traffic: Traffic) -> Traffic {
    for span in traffic.spans_mut() {
        for attribute in &mut span.attributes {
            let Some(value) = attribute.value.as_mut().and_then(|value| value.value.as_mut()) else {
                continue;
            };
            match (&*attribute.key, value) {
                ("network.peer.address", Value::StringValue(address)) => "198.51.100.7".clone_into(address),
                ("network.peer.port" | "server.port", Value::IntValue(port)) => *port = 443,
                _ => {}
            }
        }
    }
    traffic
}

/// No attribute that names a task, a job or a generation.
pub(super) fn without_ids(mut traffic: Traffic) -> Traffic {
    let names = ["gen_ai.", "app.", "llm.", "http.request.header.", "http.response.header."];
    for span in traffic.spans_mut() {
        span.attributes.retain(|attribute| !names.iter().any(|name| attribute.key.starts_with(name)));
    }
    traffic
}

/// Providers that answer an accepted submit with 202 and every poll with 200.
pub(super) fn other_codes(mut traffic: Traffic) -> Traffic {
    for span in traffic.spans_mut().filter(|span| is_client(span)) {
        let keys = ["http.request.method", "http.method"];
        let submits = keys.iter().any(|key| string(span, key) == Some("POST"));
        for attribute in &mut span.attributes {
            let code = matches!(&*attribute.key, "http.response.status_code" | "http.status_code");
            let value = attribute.value.as_mut().and_then(|value| value.value.as_mut());
            if let (true, Some(Value::IntValue(status @ 200..=202))) = (code, value) {
                *status = if submits { 202 } else { 200 };
            }
        }
    }
    traffic
}

/// Of the jobs only a share, chosen by name; all of the rest of the traffic.
pub(super) fn some_jobs(mut traffic: Traffic, seed: u64, share: f64) -> Traffic {
    let labels = traffic.labels();
    let chosen =
        |intent: &str| (scramble(seed, intent.as_bytes()) >> 11) as f64 / (1_u64 << 53) as f64 <= share;
    traffic.retain(|span| {
        let intent = labels.get(&hex(&span.span_id)).and_then(|label| label.intent.as_deref());
        intent.is_none_or(chosen)
    });
    traffic
}
