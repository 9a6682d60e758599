//! Writes spans as real instrumentation does: names, attributes, status and events per language and library.
//!
//! Copied from what the official packages emit (Python `opentelemetry-instrumentation-httpx` and
//! `-aiohttp-server` 0.66b1 with the stable HTTP conventions, Node `instrumentation-undici` 0.33), down to
//! their oddities: a time-out has no status code, in Node its `error.type` is the integer 23.

use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::{Span, Status, status::StatusCode};
use spantally_stitch::{SpanId, SpanKey, TraceId, UnixNanos};

use super::fleet::{Language, Process};
use super::rng::Rng;

/// How a request ended, as the client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With a status.
    Status(u16),
    /// It stopped waiting.
    TimedOut,
}

/// A span, and the instrumentation that made it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Instrumentation scope name.
    pub scope: &'static str,
    /// The span.
    pub span: Span,
}

/// Where a span goes: into a trace, below another span.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    trace: TraceId,
    parent: SpanId,
}

impl Place {
    /// The span that is above.
    pub fn above(self) -> SpanKey {
        SpanKey { trace: self.trace, span: self.parent }
    }
}

/// A span that has begun.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    key: SpanKey,
    parent: SpanId,
    start: UnixNanos,
}

impl Open {
    /// Below it.
    pub fn inside(self) -> Place {
        Place { trace: self.key.trace, parent: self.key.span }
    }
}

/// What an open span turns out to be.
#[derive(Debug, Default)]
pub struct Closing {
    /// Kind.
    pub kind: SpanKind,
    /// Instrumentation scope.
    pub scope: &'static str,
    /// Name.
    pub name: String,
    /// Attributes.
    pub attributes: Vec<KeyValue>,
    /// Status description, when it ended in an error.
    pub error: Option<String>,
    /// Linked span.
    pub link: Option<SpanKey>,
}

/// A request of a client.
#[derive(Debug)]
pub struct Exchange<'u> {
    /// HTTP method.
    pub method: &'static str,
    /// Full address.
    pub url: &'u str,
    /// Start.
    pub start: UnixNanos,
    /// End.
    pub end: UnixNanos,
    /// How it ended.
    pub answer: Answer,
    /// Captured headers, as attributes.
    pub headers: Vec<KeyValue>,
}

/// The scope of what the application itself records.
pub(crate) const APPLICATION: &str = "studio.app";
const HTTPX: &str = "opentelemetry.instrumentation.httpx";
const AIOHTTP_SERVER: &str = "opentelemetry.instrumentation.aiohttp_server";
const UNDICI: &str = "@opentelemetry/instrumentation-undici";

/// Records the spans of one process.
#[derive(Debug)]
pub struct Recorder<'a> {
    /// Randomness.
    pub rng: &'a mut Rng,
    /// Whose spans.
    pub process: &'a Process,
    /// Spans recorded, in the order in which they were closed.
    pub spans: Vec<Recorded>,
}

impl<'a> Recorder<'a> {
    /// An empty record.
    pub fn new(rng: &'a mut Rng, process: &'a Process) -> Self {
        Self { rng, process, spans: Vec::new() }
    }

    /// Begins a span; without a place it is the root of a new trace.
    pub fn open(&mut self, place: Option<Place>, start: UnixNanos) -> Open {
        let (trace, parent) = match place {
            Some(place) => (place.trace, place.parent),
            None => (TraceId(self.rng.id()), SpanId::default()),
        };
        Open { key: SpanKey { trace, span: SpanId(self.rng.id()) }, parent, start }
    }

    /// Ends a span. An end before the start becomes the start.
    pub fn close(&mut self, open: Open, end: UnixNanos, closing: Closing) -> SpanKey {
        let Open { key, parent, start } = open;
        let status = closing.error.map(|message| Status { message, code: StatusCode::Error.into() });
        self.spans.push(Recorded {
            scope: closing.scope,
            span: Span {
                trace_id: key.trace.0.to_vec(),
                span_id: key.span.0.to_vec(),
                parent_span_id: if parent.is_some() { parent.0.to_vec() } else { Vec::new() },
                // Sampled; and, known to be so, the parent is not remote.
                flags: 0x101,
                name: closing.name,
                kind: closing.kind.into(),
                start_time_unix_nano: start.0,
                end_time_unix_nano: end.max(start).0,
                attributes: closing.attributes,
                links: closing.link.into_iter().map(link).collect(),
                status,
                ..Span::default()
            },
        });
        key
    }

    /// Records a request of the HTTP client.
    pub fn request(&mut self, place: Option<Place>, exchange: Exchange<'_>) -> SpanKey {
        let open = self.open(place, exchange.start);
        let (end, answer) = (exchange.end, exchange.answer);
        let language = self.process.service.language;
        let closing = match language {
            Language::Python => httpx(exchange),
            Language::Node => undici(exchange),
        };
        let key = self.close(open, end, closing);
        if let (Answer::TimedOut, Some(recorded)) = (answer, self.spans.last_mut()) {
            recorded.span.events.push(time_out_event(language, end));
        }
        key
    }

    /// Records a delivery at the webhook receiver: always its own trace.
    pub fn delivery(&mut self, open: Open, end: UnixNanos, hook: &Hook<'_>) -> SpanKey {
        let mut attributes = vec![
            text("http.request.method", "POST"),
            text("url.scheme", "http"),
            text("server.address", "127.0.0.1"),
            number("server.port", u64::from(self.process.webhook_port)),
            text("url.path", format!("/webhooks/{}", hook.provider)),
            text("user_agent.original", "python-httpx/0.28.1"),
            text("network.protocol.version", "1.1"),
            text("http.route", "/webhooks/{provider}"),
        ];
        attributes.extend(hook.order.map(|order| text("url.query", format!("order={order}"))));
        attributes.extend(hook.attributes.iter().cloned());
        attributes.push(number("http.response.status_code", u64::from(hook.status)));
        let failed = hook.status >= 500;
        if failed {
            attributes.push(text("error.type", hook.status.to_string()));
        }
        self.close(
            open,
            end,
            Closing {
                kind: SpanKind::Server,
                scope: AIOHTTP_SERVER,
                name: "POST /webhooks/{provider}".into(),
                attributes,
                error: failed.then(String::new),
                link: None,
            },
        )
    }
}

/// A delivery from a provider.
#[derive(Debug)]
pub struct Hook<'h> {
    /// Name in the path.
    pub provider: &'h str,
    /// The application's order id, when it put one into the callback's address.
    pub order: Option<&'h str>,
    /// How the application answered.
    pub status: u16,
    /// What the application adds.
    pub attributes: Vec<KeyValue>,
}

fn httpx(exchange: Exchange<'_>) -> Closing {
    let (host, _, _) = split(exchange.url);
    let mut attributes = vec![
        text("http.request.method", exchange.method),
        text("url.full", exchange.url),
        text("server.address", host),
        text("network.peer.address", host),
    ];
    let error = match exchange.answer {
        Answer::Status(status) => {
            attributes.push(number("http.response.status_code", u64::from(status)));
            if status >= 400 {
                attributes.push(text("error.type", status.to_string()));
            }
            attributes.push(text("network.protocol.version", "1.1"));
            (status >= 400).then(String::new)
        }
        Answer::TimedOut => {
            attributes.push(text("error.type", "httpx.ReadTimeout"));
            Some("ReadTimeout: The read operation timed out".into())
        }
    };
    attributes.extend(exchange.headers);
    let name = exchange.method.into();
    Closing { kind: SpanKind::Client, scope: HTTPX, name, attributes, error, link: None }
}

fn undici(exchange: Exchange<'_>) -> Closing {
    let (host, path, query) = split(exchange.url);
    let mut attributes = vec![
        text("http.request.method", exchange.method),
        text("http.request.method_original", exchange.method),
        text("url.full", exchange.url),
        text("url.path", path),
        text("url.query", query),
        text("url.scheme", "https"),
        text("server.address", host),
        number("server.port", 443),
    ];
    attributes.extend(exchange.headers);
    attributes.push(text("network.protocol.version", "1.1"));
    let error = match exchange.answer {
        Answer::Status(status) => {
            attributes.push(number("http.response.status_code", u64::from(status)));
            if status >= 400 {
                attributes.push(text("error.type", status.to_string()));
            }
            (status >= 400).then(String::new)
        }
        Answer::TimedOut => {
            attributes.push(number("error.type", 23));
            Some("The operation was aborted due to timeout".into())
        }
    };
    let name = exchange.method.into();
    Closing { kind: SpanKind::Client, scope: UNDICI, name, attributes, error, link: None }
}

fn time_out_event(language: Language, at: UnixNanos) -> Event {
    let (kind, message) = match language {
        Language::Python => ("httpx.ReadTimeout", "The read operation timed out"),
        Language::Node => ("23", "The operation was aborted due to timeout"),
    };
    Event {
        time_unix_nano: at.0,
        name: "exception".into(),
        attributes: vec![text("exception.type", kind), text("exception.message", message)],
        ..Event::default()
    }
}

/// Host, path and query (with its `?`) of an absolute address.
fn split(url: &str) -> (&str, &str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    (host, path, query)
}

fn link(to: SpanKey) -> Link {
    Link { trace_id: to.trace.0.to_vec(), span_id: to.span.0.to_vec(), ..Link::default() }
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// A text attribute.
pub fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.into()))
}

/// An integer attribute.
pub fn number(key: &str, value: u64) -> KeyValue {
    attribute(key, any_value::Value::IntValue(value.cast_signed()))
}

/// An attribute that is true or false.
pub fn flag(key: &str, value: bool) -> KeyValue {
    attribute(key, any_value::Value::BoolValue(value))
}

/// A captured header: an array of strings, by the HTTP conventions.
pub fn header(key: &str, value: impl Into<String>) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.into())) };
    attribute(key, any_value::Value::ArrayValue(ArrayValue { values: vec![value] }))
}
