//! Jobs whose truth is known: what they are, what they cost, which spans tell of them.

use std::collections::VecDeque;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use spantally_stitch::TraceId;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Truth {
    /// None while it is open.
    pub(crate) outcome: Option<&'static str>,
    /// Cause and tenths of a megapixel, of which an image of the default size is one; of a request where the
    /// model is not known.
    pub(crate) charged: Option<(&'static str, i64)>,
    /// A request has no price.
    pub(crate) is_priced: bool,
    pub(crate) attempts: u64,
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

    /// How it ends, and what it is charged, by its calls. An open job has its truth for when it is settled
    /// as idle.
    pub(crate) fn end(self, calls: [u64; 3]) -> (&'static str, (&'static str, i64)) {
        match self {
            // Whether fal bills what it moderates is not documented: even odds.
            Self::Invalid => ("rejected", ("failed", 5)),
            Self::Open => ("abandoned", ("abandoned", 10)),
            // Its first result is refused.
            Self::FetchedLate if calls[2] < 2 => ("failed", ("failed", 5)),
            _ => ("succeeded", ("delivered", 10)),
        }
    }
}

/// A job in the making.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) kind: Kind,
    /// The provider's id of its task; it is in the URLs of polls and results.
    pub(crate) task: String,
    pub(crate) trace: String,
    /// Its spans, in the parts in which they are sent, and how long after the part before.
    pub(crate) parts: VecDeque<(Duration, Vec<Span>)>,
}

impl Job {
    /// A job that ended just now. Each has a trace of its own below a web request, so that nothing but its
    /// own spans can be taken for it.
    /// What comes when it has settled comes `late` after the rest.
    pub(crate) fn draw(random: &mut Random, now: u64, late: Duration) -> Self {
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
        let late_calls = match kind {
            Kind::PolledLate => vec![("GET", status.as_str(), 200)],
            Kind::FetchedLate => vec![("GET", result.as_str(), 200)],
            _ => Vec::new(),
        };
        let mut made: Vec<Span> = spans.into_iter().map(|call| maker.call(call)).collect();
        let settled: Vec<Span> = late_calls.into_iter().map(|call| maker.call(call)).collect();
        made.push(maker.request(now));
        // Cut in up to three parts, which now and then do not come in order, or come slowly. A submit comes
        // with a call that names its task: alone it could be taken for that of another task.
        let cuts = 1 + maker.random.below(3) as usize;
        let least = if kind == Kind::RefusedFirst { 3 } else { 1 };
        let size = made.len().div_ceil(cuts).max(least);
        let mut parts: Vec<Vec<Span>> = made.chunks(size).map(<[Span]>::to_vec).collect();
        let pause = match maker.random.below(16) {
            0 => Duration::from_millis(maker.random.below(2500)),
            1 => late + Duration::from_millis(maker.random.below(1000)),
            _ => Duration::ZERO,
        };
        if pause < late && maker.random.below(4) == 0 {
            maker.random.shuffle(&mut parts);
        }
        let pauses = [Duration::ZERO, pause, Duration::ZERO];
        let mut parts: VecDeque<_> = pauses.into_iter().zip(parts).collect();
        if !settled.is_empty() {
            parts.push_back((late, settled));
        }
        let trace = TraceId(maker.trace.try_into().unwrap()).to_string();
        Self { kind, task, trace, parts }
    }
}

impl Job {
    /// A delivered job whose submit and polls come `late` after its result.
    pub(crate) fn with_late_submit(random: &mut Random, now: u64, late: Duration) -> Self {
        let mut job = std::iter::repeat_with(|| Self::draw(random, now, late))
            .find(|job| job.kind == Kind::Delivered)
            .unwrap();
        let mut spans: Vec<Span> = job.parts.drain(..).flat_map(|(_, part)| part).collect();
        let begins = |span: &Span| span.kind == i32::from(SpanKind::Server);
        spans.sort_by_key(|span| (begins(span), span.start_time_unix_nano));
        let result = spans.split_off(3);
        job.parts = VecDeque::from([(Duration::ZERO, result), (late, spans)]);
        job
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
