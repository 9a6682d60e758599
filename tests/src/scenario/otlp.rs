//! Spans of a scenario as real OTLP export requests, encoded as an SDK does it.
//!
//! Attributes are those of Python's httpx and aiohttp instrumentations with the stable HTTP conventions.
//! Names of a file (`s1`, `{task}`) become ids by hashing them with a salt, so that several scenarios can be
//! in one stream without meeting.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as OtlpSpan, Status};
use prost::Message;

use super::{Answer, Kind, Scenario, Span, Subject};

/// When every scenario begins: 2026-11-20T10:00:00Z, in nanoseconds since the epoch.
pub const BEGIN_UNIX_NANOS: u64 = 1_795_168_800_000_000_000;

/// Which HTTP attributes an instrumentation writes (`OTEL_SEMCONV_STABILITY_OPT_IN`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convention {
    /// `http`: the stable ones.
    Stable,
    /// Not set: the ones before; Python's clients then write three attributes and no `error.type`.
    Old,
    /// `http/dup`: both.
    Both,
}

/// Makes requests of a scenario's spans.
#[derive(Clone, Copy, Debug)]
pub struct Exporter<'a> {
    scenario: &'a Scenario,
    salt: &'a str,
    convention: Convention,
}

impl<'a> Exporter<'a> {
    /// An exporter whose ids, tasks and services are told from others by `salt`.
    pub fn new(scenario: &'a Scenario, salt: &'a str) -> Self {
        Self { scenario, salt, convention: Convention::Stable }
    }

    /// The same with other HTTP attributes.
    pub fn with(self, convention: Convention) -> Self {
        Self { convention, ..self }
    }

    /// The tenant and the encoded request of spans that one process exports together.
    pub fn request(&self, spans: &[&Span]) -> (String, Vec<u8>) {
        let process = &self.scenario.processes[spans.first().map_or(0, |span| span.process)];
        let service = format!("{}{}", process.service, self.salt);
        let attributes = vec![text("service.name", &service), text("service.instance.id", &process.instance)];
        let scopes = spans.iter().map(|span| ScopeSpans {
            scope: Some(InstrumentationScope { name: scope(span).to_owned(), ..Default::default() }),
            spans: vec![self.span(span)],
            ..Default::default()
        });
        let resource = Resource { attributes, ..Default::default() };
        let spans =
            ResourceSpans { resource: Some(resource), scope_spans: scopes.collect(), ..Default::default() };
        let request = ExportTraceServiceRequest { resource_spans: vec![spans] };
        (process.tenant.clone(), request.encode_to_vec())
    }

    /// A service as the file names it.
    pub fn service<'s>(&self, name: &'s str) -> &'s str {
        name.strip_suffix(self.salt).unwrap_or(name)
    }

    /// The span id of a label.
    pub fn span_id(&self, label: &str) -> [u8; 8] {
        let hash = self.hash("span", label).to_be_bytes();
        std::array::from_fn(|at| hash[at])
    }

    /// What a text of the file stands for: `{name}` is an id.
    pub fn expand(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            out.push_str(before);
            out.push_str(&uuid(self.hash("task", name)));
            rest = after;
        }
        out + rest
    }

    fn span(&self, span: &Span) -> OtlpSpan {
        let kind = match span.kind {
            Kind::Client => SpanKind::Client,
            Kind::Server => SpanKind::Server,
            Kind::Consumer => SpanKind::Consumer,
            Kind::Internal => SpanKind::Internal,
        };
        let (name, mut attributes) = match &span.subject {
            Subject::Http { method, url } => {
                let url = self.expand(url);
                let name = if span.kind == Kind::Server {
                    format!("{method} {}", url.split('?').next().unwrap_or_default())
                } else {
                    method.clone()
                };
                let stable = http(span.kind, method, &url, span.answer);
                let old = stable.iter().filter_map(|attribute| before_stable(attribute, &url));
                let attributes = match self.convention {
                    Convention::Stable => stable,
                    Convention::Old => old.collect(),
                    Convention::Both => stable.iter().cloned().chain(old).collect(),
                };
                (name, attributes)
            }
            Subject::Named(name) => (self.expand(name), Vec::new()),
        };
        let further = span.attributes.iter().filter(|(key, _)| key != "scope");
        let further = further.map(|(key, value)| attribute(key, &self.expand(value)));
        attributes.extend(further);
        let start = BEGIN_UNIX_NANOS + span.start_ns;
        OtlpSpan {
            trace_id: self.hash("trace", &span.trace).to_be_bytes().to_vec(),
            span_id: self.span_id(&span.label).to_vec(),
            parent_span_id: span.parent.iter().flat_map(|parent| self.span_id(parent)).collect(),
            name,
            kind: kind.into(),
            start_time_unix_nano: start,
            end_time_unix_nano: start + span.took_ns,
            attributes,
            events: exception(span.answer, start + span.took_ns),
            links: span.links.iter().map(|label| self.link(label)).collect(),
            status: Some(Status { code: status(span).into(), message: message(span.answer).to_owned() }),
            ..Default::default()
        }
    }

    fn link(&self, label: &str) -> Link {
        let linked = self.scenario.spans().find(|span| span.label == label);
        let trace = linked.map_or(label, |span| &span.trace);
        Link {
            trace_id: self.hash("trace", trace).to_be_bytes().to_vec(),
            span_id: self.span_id(label).to_vec(),
            ..Default::default()
        }
    }

    /// 128-bit FNV-1a.
    fn hash(&self, what: &str, name: &str) -> u128 {
        let bytes = [what, "\0", &self.scenario.name, "\0", self.salt, "\0", name].concat().into_bytes();
        bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash: u128, &byte| {
            (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        })
    }
}

fn uuid(id: u128) -> String {
    let hex = format!("{id:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn scope(span: &Span) -> &str {
    if let Some((_, scope)) = span.attributes.iter().find(|(key, _)| key == "scope") {
        return scope;
    }
    match (span.kind, &span.subject) {
        (Kind::Client, Subject::Http { .. }) => "opentelemetry.instrumentation.httpx",
        (Kind::Server, _) => "opentelemetry.instrumentation.aiohttp_server",
        _ => "studio.app",
    }
}

fn http(kind: Kind, method: &str, url: &str, answer: Answer) -> Vec<KeyValue> {
    let mut attributes = vec![text("http.request.method", method), text("network.protocol.version", "1.1")];
    if kind == Kind::Server {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        attributes.extend([
            text("url.path", path),
            text("url.query", query),
            text("url.scheme", "https"),
            text("http.route", path),
            text("server.address", "studio.example"),
        ]);
    } else {
        let host = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        attributes.extend([
            text("url.full", url),
            text("server.address", host),
            text("network.peer.address", host),
        ]);
    }
    if let Answer::Status(code) = answer {
        attributes.push(key_value("http.response.status_code", Value::IntValue(code.into())));
    }
    match (answer, error(answer)) {
        (Answer::Status(code), _) if code >= 400 && kind == Kind::Client => {
            attributes.push(text("error.type", &code.to_string()));
        }
        (_, Some((class, _))) => attributes.push(text("error.type", class)),
        _ => {}
    }
    attributes
}

/// Stable names, and what the same was called before; what is not here was not written by clients.
const OLD_NAMES: [(&str, &str); 6] = [
    ("http.request.method", "http.method"),
    ("http.response.status_code", "http.status_code"),
    ("http.route", "http.route"),
    ("url.full", "http.url"),
    ("url.path", "http.target"),
    ("url.scheme", "http.scheme"),
];

/// An attribute of a request to `url` as it was before the conventions were stable, if it was.
fn before_stable(attribute: &KeyValue, url: &str) -> Option<KeyValue> {
    let (_, old) = OLD_NAMES.iter().find(|(stable, _)| *stable == attribute.key)?;
    let value = attribute.value.clone()?.value?;
    // The target holds path and query.
    Some(if *old == "http.target" { text(old, url) } else { key_value(old, value) })
}

/// Exception class and status message of what has no status code.
fn error(answer: Answer) -> Option<(&'static str, &'static str)> {
    match answer {
        Answer::Timeout => Some(("httpx.ReadTimeout", "ReadTimeout: The read operation timed out")),
        Answer::Refused => Some(("httpx.ConnectError", "ConnectError: [Errno 111] Connection refused")),
        Answer::Reset => Some(("httpx.ReadError", "ReadError: [Errno 104] Connection reset by peer")),
        Answer::Status(_) | Answer::Silent | Answer::Error => None,
    }
}

fn message(answer: Answer) -> &'static str {
    error(answer).map_or("", |(_, message)| message)
}

fn exception(answer: Answer, at: u64) -> Vec<Event> {
    let event = |(class, message)| Event {
        time_unix_nano: at,
        name: "exception".to_owned(),
        attributes: vec![text("exception.type", class), text("exception.message", message)],
        ..Default::default()
    };
    error(answer).map(event).into_iter().collect()
}

fn status(span: &Span) -> StatusCode {
    match (span.answer, span.kind) {
        (Answer::Status(code), Kind::Client) if code >= 400 => StatusCode::Error,
        (Answer::Status(code), _) if code >= 500 => StatusCode::Error,
        (Answer::Status(_) | Answer::Silent, _) => StatusCode::Unset,
        _ => StatusCode::Error,
    }
}

/// Captured headers are arrays of text, and so is `[a,b]`; what reads as a number is one.
fn attribute(key: &str, value: &str) -> KeyValue {
    if let Some(inner) = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let string = |text: &str| AnyValue { value: Some(Value::StringValue(text.to_owned())) };
        return key_value(
            key,
            Value::ArrayValue(ArrayValue { values: inner.split(',').map(string).collect() }),
        );
    }
    if key.starts_with("http.request.header.") || key.starts_with("http.response.header.") {
        let one = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
        return key_value(key, Value::ArrayValue(ArrayValue { values: vec![one] }));
    }
    match (value.parse(), value.parse()) {
        (Ok(number), _) => key_value(key, Value::IntValue(number)),
        (_, Ok(number)) => key_value(key, Value::DoubleValue(number)),
        _ => text(key, value),
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    key_value(key, Value::StringValue(value.to_owned()))
}

fn key_value(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}
