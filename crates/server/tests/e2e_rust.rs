//! End to end with the OpenTelemetry SDK for Rust, over gRPC (compressed) and over HTTP.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use opentelemetry::trace::{SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    Compression, SpanExporter, WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use support::{Sent, Server, assert_counted, assert_found, assert_ledger_equals_metrics};

/// One request a connection.
#[derive(Debug)]
struct Plain;

#[async_trait::async_trait]
impl HttpClient for Plain {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let authority = request.uri().authority().unwrap().as_str();
        let mut stream = TcpStream::connect(authority)?;
        write!(stream, "POST {} HTTP/1.0\r\nHost: {authority}\r\n", request.uri().path())?;
        write!(stream, "Content-Length: {}\r\n", request.body().len())?;
        for (name, value) in request.headers() {
            write!(stream, "{name}: {}\r\n", value.to_str()?)?;
        }
        stream.write_all(b"\r\n")?;
        stream.write_all(request.body())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let head = String::from_utf8_lossy(&answer);
        let status = head.split(' ').nth(1).unwrap_or_default().parse::<u16>()?;
        Ok(Response::builder().status(status).body(Bytes::new())?)
    }
}

const MODEL: &str = "https://queue.fal.run/fal-ai/flux/dev";

/// Jobs that are submitted, polled twice and fetched, each under a request.
fn send(exporter: SpanExporter, first: u64) -> Sent {
    let resource = Resource::builder().with_service_name("clips").build();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    let tracer = provider.tracer("e2e");
    let mut sent = Sent { tasks: Vec::new(), spans: 0, attempts: 0, polls: 0 };
    for number in 0..3 {
        let task = format!("00000000-0000-4000-8000-{:012x}", first + number);
        let began = SystemTime::now() - Duration::from_secs(120 - 20 * number);
        send_job(&tracer, &task, began);
        sent.tasks.push(task);
        (sent.spans, sent.attempts, sent.polls) = (sent.spans + 5, sent.attempts + 1, sent.polls + 2);
    }
    provider.force_flush().unwrap();
    provider.shutdown().unwrap();
    sent
}

fn send_job(tracer: &SdkTracer, task: &str, began: SystemTime) {
    let request = tracer.span_builder("POST /api/generations").with_kind(SpanKind::Server);
    let above = Context::current_with_span(request.with_start_time(began).start(tracer));
    let of_task = format!("https://queue.fal.run/fal-ai/flux/requests/{task}");
    let status = format!("{of_task}/status");
    let mut at = began;
    for (method, url) in [("POST", MODEL), ("GET", &status), ("GET", &status), ("GET", &of_task)] {
        let attributes = [
            KeyValue::new("http.request.method", method),
            KeyValue::new("url.full", url.to_owned()),
            KeyValue::new("server.address", "queue.fal.run"),
            KeyValue::new("http.response.status_code", 200),
        ];
        let call = tracer.span_builder(method).with_kind(SpanKind::Client).with_attributes(attributes);
        let mut call = call.with_start_time(at).start_with_context(tracer, &above);
        opentelemetry::trace::Span::end_with_timestamp(&mut call, at + Duration::from_millis(200));
        at += Duration::from_millis(700);
    }
    above.span().end_with_timestamp(at);
}

#[test]
fn the_rust_sdk_exports_over_grpc_and_over_http() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _entered = runtime.enter();
    let grpc = SpanExporter::builder().with_tonic().with_endpoint(format!("http://{}", server.grpc));
    let over_grpc = send(grpc.with_compression(Compression::Gzip).build().unwrap(), 1000);
    let http = SpanExporter::builder().with_http().with_http_client(Plain);
    let http = http.with_endpoint(format!("http://{}/v1/traces", server.http)).build().unwrap();
    let over_http = send(http, 2000);

    let jobs = server.settled(6);
    assert_eq!(jobs.len(), 6, "one job a task");
    for (sent, transport) in [(&over_grpc, "grpc"), (&over_http, "http_protobuf")] {
        assert_found(&server, sent, &jobs);
        assert_counted(&server, transport, sent);
    }
    assert_ledger_equals_metrics(&server, &jobs);
}
