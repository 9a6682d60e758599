//! Jobs of a service, and who sends them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;

const MILLI: u64 = 1_000_000;
const SUBMIT: &str = "https://queue.fal.run/fal-ai/flux/dev";
const TASKS: &str = "https://queue.fal.run/fal-ai/flux/requests";

/// Jobs of one process of a service, numbered.
pub(crate) struct Service {
    name: String,
    /// Begins the names of its tasks.
    process: String,
    spans: u64,
    pub(crate) jobs: u64,
}

impl Service {
    pub(crate) fn new(name: &str) -> Self {
        Self::process(name, 0)
    }

    pub(crate) fn process(name: &str, number: usize) -> Self {
        Self { name: name.to_owned(), process: format!("{name}-{number}"), spans: 0, jobs: 0 }
    }

    /// A submit and its first poll, in a trace of their own; then nothing, or the result.
    pub(crate) fn job(&mut self, is_ended: bool) -> Vec<Span> {
        self.jobs += 1;
        let job = self.jobs;
        let mut spans = vec![self.call(job, "POST", SUBMIT, 0), self.poll(job)];
        if is_ended {
            spans.push(self.result(job));
        }
        spans
    }

    /// A poll of a job.
    pub(crate) fn poll(&mut self, job: u64) -> Span {
        self.call(job, "GET", &format!("{TASKS}/{}-{job}/status", self.process), 300)
    }

    /// The end of a job.
    pub(crate) fn result(&mut self, job: u64) -> Span {
        self.call(job, "GET", &format!("{TASKS}/{}-{job}", self.process), 600)
    }

    fn call(&mut self, job: u64, method: &str, url: &str, after_ms: u64) -> Span {
        self.spans += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let start = now - 1000 * MILLI + after_ms * MILLI;
        let owner = self.process.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
        Span {
            trace_id: [owner.to_be_bytes(), job.to_be_bytes()].concat(),
            span_id: (owner << 40 ^ self.spans).to_be_bytes().to_vec(),
            parent_span_id: vec![9; 8],
            name: method.to_owned(),
            kind: SpanKind::Client.into(),
            start_time_unix_nano: start,
            end_time_unix_nano: start + 20 * MILLI,
            attributes: vec![
                text("http.request.method", method),
                text("url.full", url),
                text("server.address", "queue.fal.run"),
                attribute("http.response.status_code", Value::IntValue(200)),
            ],
            ..Span::default()
        }
    }

    /// An export request.
    pub(crate) fn request(&self, spans: Vec<Span>) -> Vec<u8> {
        let attributes = vec![text("service.name", &self.name)];
        let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
        let resource = Some(Resource { attributes, ..Resource::default() });
        let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
        ExportTraceServiceRequest { resource_spans }.encode_to_vec()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// The head of a request of so many bytes.
pub(crate) fn head(address: SocketAddr, bytes: usize) -> String {
    format!(
        "POST /v1/traces HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-protobuf\r\n\
         Content-Length: {bytes}\r\nConnection: close\r\n\r\n"
    )
}

/// The status of the answer; none when there is none.
pub(crate) fn post(address: SocketAddr, body: &[u8]) -> Option<u16> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(&[head(address, body.len()).as_bytes(), body].concat()).ok()?;
    status(&mut stream)
}

pub(crate) fn status(stream: &mut TcpStream) -> Option<u16> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    String::from_utf8_lossy(&answer).split(' ').nth(1)?.parse().ok()
}
