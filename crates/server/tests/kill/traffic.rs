//! Jobs whose truth is known: what they are, what they cost, which spans tell of them.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use spantally_tests::oracle::Random;

const MILLI: u64 = 1_000_000;
const SUBMIT: &str = "https://queue.fal.run/fal-ai/flux/dev";
const TASKS: &str = "https://queue.fal.run/fal-ai/flux/requests";

/// What becomes of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Submitted, polled, fetched.
    Delivered,
    /// Refused for load, submitted again, fetched.
    RefusedFirst,
    /// Refused for its input.
    Invalid,
    /// Polled and never fetched: it stays open.
    Open,
    /// Delivered, and polled once more when it has long settled.
    PolledLate,
    /// Its result is refused at first; when that has settled, it is fetched, and the money moves.
    FetchedLate,
}

/// What a job comes to, as attempts, calls and US dollars.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Truth {
    pub(crate) outcome: &'static str,
    /// Cause and tenths of a megapixel. An image of the default size is one.
    pub(crate) charged: (&'static str, i64),
    /// Submits, polls, results.
    pub(crate) calls: [u64; 3],
}

impl Kind {
    /// Twelve draws: how often each comes.
    const DRAWN: [Self; 12] = [
        Self::Delivered,
        Self::Delivered,
        Self::Delivered,
        Self::Delivered,
        Self::RefusedFirst,
        Self::RefusedFirst,
        Self::Invalid,
        Self::Invalid,
        Self::Open,
        Self::PolledLate,
        Self::PolledLate,
        Self::FetchedLate,
    ];

    /// What it comes to. An open job has its truth for when it is settled as idle; `late` is whether late
    /// evidence finds its job, or a job that is forgotten.
    pub(crate) fn truth(self, late: bool) -> Truth {
        let (outcome, charged, calls) = match self {
            Self::Delivered => ("succeeded", ("delivered", 10), [1, 2, 1]),
            Self::RefusedFirst => ("succeeded", ("delivered", 10), [2, 1, 1]),
            // Whether fal bills what it moderates is not documented: even odds.
            Self::Invalid => ("rejected", ("failed", 5), [1, 0, 0]),
            Self::Open => ("abandoned", ("abandoned", 10), [1, 2, 0]),
            Self::PolledLate => ("succeeded", ("delivered", 10), [1, 1 + u64::from(late), 1]),
            Self::FetchedLate if late => ("succeeded", ("delivered", 10), [1, 1, 2]),
            Self::FetchedLate => ("failed", ("failed", 5), [1, 1, 1]),
        };
        Truth { outcome, charged, calls }
    }
}

/// A job in the making.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) kind: Kind,
    /// The provider's id of its task; it is in the URLs of polls and results.
    pub(crate) task: String,
    /// Its spans, in the parts in which they are sent.
    pub(crate) parts: Vec<Vec<Span>>,
    /// What is sent when it has settled.
    pub(crate) late: Vec<Span>,
}

impl Job {
    /// A job that ended just now. Each has a trace of its own below a web request, so that nothing but its
    /// own spans can be taken for it.
    pub(crate) fn draw(random: &mut Random, now: u64) -> Self {
        let kind = Kind::DRAWN[random.below(Kind::DRAWN.len() as u64) as usize];
        let trace = [random.draw().to_be_bytes(), random.draw().to_be_bytes()].concat();
        let task = format!("{:016x}-{:016x}", random.draw(), random.draw());
        let mut maker = Maker { random, trace, root: Vec::new(), at: now - 10_000 * MILLI };
        maker.root = maker.random.draw().to_be_bytes().to_vec();
        let (status, result) = (format!("{TASKS}/{task}/status"), format!("{TASKS}/{task}"));
        let mut spans = match kind {
            Kind::Delivered | Kind::Open => {
                vec![("POST", SUBMIT, 200), ("GET", &status, 200), ("GET", &status, 200)]
            }
            Kind::RefusedFirst => vec![("POST", SUBMIT, 429), ("POST", SUBMIT, 200), ("GET", &status, 200)],
            Kind::Invalid => vec![("POST", SUBMIT, 422)],
            Kind::PolledLate | Kind::FetchedLate => vec![("POST", SUBMIT, 200), ("GET", &status, 200)],
        };
        match kind {
            Kind::Invalid | Kind::Open => {}
            Kind::FetchedLate => spans.push(("GET", &result, 422)),
            _ => spans.push(("GET", &result, 200)),
        }
        let late = match kind {
            Kind::PolledLate => vec![("GET", status.as_str(), 200)],
            Kind::FetchedLate => vec![("GET", result.as_str(), 200)],
            _ => Vec::new(),
        };
        let mut made: Vec<Span> = spans.into_iter().map(|call| maker.call(call)).collect();
        let late = late.into_iter().map(|call| maker.call(call)).collect();
        made.push(maker.request(now));
        // Cut in up to three parts, which now and then do not come in order.
        let cuts = 1 + maker.random.below(3) as usize;
        let size = made.len().div_ceil(cuts);
        let mut parts: Vec<Vec<Span>> = made.chunks(size).map(<[Span]>::to_vec).collect();
        if maker.random.below(4) == 0 {
            maker.random.shuffle(&mut parts);
        }
        Self { kind, task, parts, late }
    }
}

struct Maker<'r> {
    random: &'r mut Random,
    trace: Vec<u8>,
    root: Vec<u8>,
    at: u64,
}

impl Maker<'_> {
    fn call(&mut self, (method, url, status): (&str, &str, i64)) -> Span {
        let start = self.at;
        self.at += 200 * MILLI;
        let end = self.at;
        self.at += 300 * MILLI;
        let attributes = vec![
            text("http.request.method", method),
            text("url.full", url),
            text("server.address", "queue.fal.run"),
            attribute("http.response.status_code", Value::IntValue(status)),
        ];
        Span {
            trace_id: self.trace.clone(),
            span_id: self.random.draw().to_be_bytes().to_vec(),
            parent_span_id: self.root.clone(),
            name: method.to_owned(),
            kind: SpanKind::Client.into(),
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes,
            ..Span::default()
        }
    }

    /// The web request above all calls.
    fn request(&self, now: u64) -> Span {
        let attributes = vec![text("http.request.method", "POST"), text("http.route", "/api/generations")];
        Span {
            trace_id: self.trace.clone(),
            span_id: self.root.clone(),
            name: "POST /api/generations".to_owned(),
            kind: SpanKind::Server.into(),
            start_time_unix_nano: now - 10_001 * MILLI,
            end_time_unix_nano: now,
            attributes,
            ..Span::default()
        }
    }
}

/// One export request of a service.
pub(crate) fn request(service: usize, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let attributes = vec![text("service.name", &format!("clips-{service}"))];
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource = Some(Resource { attributes, ..Resource::default() });
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Everything that was sent and acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Every job by its task.
    pub(crate) jobs: BTreeMap<String, Kind>,
    /// Distinct spans, and those of them that came late.
    pub(crate) spans: u64,
    pub(crate) late_spans: u64,
    /// Requests that were acknowledged, the spans in them, and how many were sent more than once.
    pub(crate) requests: u64,
    pub(crate) acknowledged_spans: u64,
    pub(crate) resent: u64,
}
