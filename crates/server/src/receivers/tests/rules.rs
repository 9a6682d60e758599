//! The rules of the OTLP specification (1.11), one test each, over real sockets. `r17` and `r18` need a whole
//! server: they are in [`super::whole`].

use std::sync::atomic::Ordering;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

use super::grpc::{EXPORT, call, connect, export, framed, whole};
use super::raw::{Answer, JSON, PROTOBUF, good, gzip, post, raw, send};
use crate::google_rpc::{BadRequest, RetryInfo, Status};
use crate::receivers::testing::{Server, call_span, request};
use crate::receivers::{GrpcSettings, HttpSettings};

const MIB: usize = 1 << 20;

fn json_of(spans: Vec<Span>) -> Vec<u8> {
    serde_json::to_vec(&request("clips", spans)).unwrap()
}

/// What goes wrong with a request, for the same table in both formats: line, headers, body, status.
fn failures(format: &str) -> Vec<(&'static str, String, Vec<u8>, u16)> {
    let is_json = format == JSON;
    let good = if is_json { json_of(vec![call_span(1)]) } else { good() };
    vec![
        ("POST /v1/traces", format.to_owned(), good[..good.len() - 1].to_vec(), 400),
        ("POST /v1/metrics", format.to_owned(), good.clone(), 404),
        ("PUT /v1/traces", format.to_owned(), good.clone(), 405),
        ("POST /v1/traces", format.to_owned(), vec![b' '; 20_000], 413),
        ("POST /v1/traces", format!("{format}Content-Encoding: br\r\n"), good, 415),
    ]
}

async fn small() -> Server {
    let http = HttpSettings { max_body_bytes: 10_000, ..HttpSettings::default() };
    Server::start_with(GrpcSettings::default(), http, 1 << 20).await
}

fn json_status(answer: &Answer) -> serde_json::Value {
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn r01_traces_have_their_method_and_path_and_other_signals_are_unimplemented() {
    let server = Server::start().await;
    let mut channel = connect(&server).await;
    export(&mut channel, &good()).await.unwrap();
    assert_eq!(send(server.http, &post(PROTOBUF, &good())).await.code, 200);
    for service in
        ["metrics.v1.MetricsService", "logs.v1.LogsService", "profiles.v1development.ProfilesService"]
    {
        let path = format!("/opentelemetry.proto.collector.{service}/Export");
        let refused = call(&mut channel, &path, &[], whole(framed(0, b""))).await.unwrap_err();
        assert_eq!(refused.0.code(), Code::Unimplemented, "{service}");
    }
    for path in ["/v1/metrics", "/v1/logs", "/v1development/profiles", "/v1/traces/", "/"] {
        let answer = send(server.http, &raw(&format!("POST {path}"), PROTOBUF, b"")).await;
        assert_eq!((answer.code, answer.status().code), (404, Code::Unimplemented as i32), "{path}");
    }
    let http = HttpSettings { traces_url_path: "/otlp/in".to_owned(), ..HttpSettings::default() };
    let server = Server::start_with(GrpcSettings::default(), http, 1 << 20).await;
    assert_eq!(send(server.http, &raw("POST /otlp/in", PROTOBUF, &good())).await.code, 200);
    assert_eq!(send(server.http, &post(PROTOBUF, &good())).await.code, 404);
}

#[tokio::test]
async fn r02_none_and_gzip_are_taken_on_both_transports() {
    let server = Server::start().await;
    let mut channel = connect(&server).await;
    let packed = gzip(&good());
    for (headers, body) in [("", good()), ("Content-Encoding: gzip\r\n", packed.clone())] {
        let answer = send(server.http, &post(&format!("{PROTOBUF}{headers}"), &body)).await;
        assert_eq!(answer.code, 200);
        server.expect_committed((2, 2));
    }
    export(&mut channel, &good()).await.unwrap();
    server.expect_committed((2, 2));
    call(&mut channel, EXPORT, &[("grpc-encoding", "gzip")], whole(framed(1, &packed))).await.unwrap();
    server.expect_committed((2, 2));
}

#[tokio::test]
async fn r03_one_port_takes_protobuf_and_json_by_content_type() {
    let server = Server::start().await;
    let json = json_of(vec![call_span(1), call_span(2)]);
    for (content_type, body) in [
        ("application/x-protobuf", good()),
        ("application/json", json.clone()),
        ("application/json; charset=utf-8", json),
    ] {
        let answer = send(server.http, &post(&format!("Content-Type: {content_type}\r\n"), &body)).await;
        assert_eq!(answer.code, 200, "{content_type}");
        server.expect_committed((2, 2));
    }
}

#[tokio::test]
async fn r04_the_response_has_the_type_of_the_request_on_errors_too() {
    let server = small().await;
    for (format, content_type) in [(PROTOBUF, "application/x-protobuf"), (JSON, "application/json")] {
        for (line, headers, body, code) in failures(format) {
            let answer = send(server.http, &raw(line, &headers, &body)).await;
            assert_eq!(answer.code, code, "{line} {headers}");
            assert_eq!(answer.header("content-type"), Some(content_type), "{line} {headers}");
        }
    }
}

#[tokio::test]
async fn r05_an_error_is_a_status_and_bad_data_says_what_is_bad() {
    let server = small().await;
    for (line, headers, body, code) in failures(PROTOBUF) {
        let answer = send(server.http, &raw(line, &headers, &body)).await;
        let status = answer.status();
        assert!(!status.message.is_empty(), "{line} {headers}");
        let detail = status.details.iter().find(|detail| detail.type_url.ends_with("google.rpc.BadRequest"));
        assert_eq!(detail.is_some(), code == 400, "{line} {headers}");
        if let Some(detail) = detail {
            assert!(!BadRequest::decode(&*detail.value).unwrap().field_violations[0].description.is_empty());
        }
    }
    for (line, headers, body, code) in failures(JSON) {
        let status = json_status(&send(server.http, &raw(line, &headers, &body)).await);
        assert!(!status["message"].as_str().unwrap().is_empty(), "{status}");
        let violations = &status["details"][0]["fieldViolations"];
        assert_eq!(violations.is_array(), code == 400, "{status}");
    }
}

#[tokio::test]
async fn r06_full_success_leaves_partial_success_unset() {
    let server = Server::start().await;
    let answer = send(server.http, &post(PROTOBUF, &good())).await;
    assert_eq!((answer.code, answer.body.len()), (200, 0), "not even an empty message");
    let answer = send(server.http, &post(JSON, &json_of(vec![call_span(1)]))).await;
    assert_eq!((answer.code, &*answer.body), (200, &b"{}"[..]));
    assert_eq!(export(&mut connect(&server).await, &good()).await.unwrap(), "");
}

#[tokio::test]
async fn r07_an_empty_request_succeeds() {
    let server = Server::start().await;
    assert_eq!(send(server.http, &post(PROTOBUF, b"")).await.code, 200);
    assert_eq!(send(server.http, &post(JSON, b"{}")).await.code, 200);
    assert_eq!(export(&mut connect(&server).await, b"").await.unwrap(), "");
    server.expect_committed((0, 0));
}

#[tokio::test]
async fn r08_spans_that_cannot_be_used_are_a_partial_success_and_nothing_else_is() {
    let server = Server::start_with(GrpcSettings::default(), HttpSettings::default(), 1000).await;
    let mut channel = connect(&server).await;
    let mixed = vec![call_span(1), Span { trace_id: vec![7; 2], ..call_span(2) }];
    let body = request("clips", mixed.clone()).encode_to_vec();
    let partial = |body: &[u8]| ExportTraceServiceResponse::decode(body).unwrap().partial_success.unwrap();
    let answer = send(server.http, &post(PROTOBUF, &body)).await;
    let over_http = partial(&answer.body);
    let over_grpc = partial(&export(&mut channel, &body).await.unwrap());
    assert_eq!(answer.code, 200);
    assert_eq!((over_http.rejected_spans, &over_http), (1, &over_grpc));
    assert!(over_http.error_message.contains("invalid_trace_id"), "{}", over_http.error_message);
    let answer = send(server.http, &post(JSON, &json_of(mixed))).await;
    assert_eq!(json_status(&answer)["partialSuccess"]["rejectedSpans"], "1");
    // What may pass is never a partial success: its sender would not come back.
    let mut other = server.intake.inflight().admission();
    other.grow(1000).unwrap();
    assert_eq!(send(server.http, &post(PROTOBUF, &good())).await.code, 503);
}

#[tokio::test]
async fn r09_bad_data_is_not_to_be_sent_again() {
    let server = Server::start().await;
    let mut channel = connect(&server).await;
    let gzipped = format!("{PROTOBUF}Content-Encoding: gzip\r\n");
    let bad_hex = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xyz"}]}]}]}"#;
    let named_enum = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":"SPAN_KIND_CLIENT"}]}]}]}"#;
    let table: [(&str, &[u8]); 6] = [
        (PROTOBUF, &good()[..good().len() - 1]),
        (PROTOBUF, b"\x0b"),
        (&gzipped, b"this is no gzip"),
        (JSON, bad_hex),
        (JSON, named_enum),
        (JSON, b"{"),
    ];
    for (headers, body) in table {
        let answer = send(server.http, &post(headers, body)).await;
        assert_eq!(answer.code, 400, "{headers}");
        assert_eq!(answer.header("retry-after"), None);
    }
    let refused = export(&mut channel, &good()[..good().len() - 1]).await.unwrap_err();
    assert_eq!(refused.0.code(), Code::InvalidArgument);
    server.expect_committed((0, 0));
}

#[tokio::test]
async fn r10_overload_says_when_to_come_back() {
    let server = Server::start_with(GrpcSettings::default(), HttpSettings::default(), 1000).await;
    let mut other = server.intake.inflight().admission();
    other.grow(1000).unwrap();
    let delay = |status: &Status| {
        let detail = status.details.iter().find(|detail| detail.type_url.ends_with("google.rpc.RetryInfo"));
        RetryInfo::decode(&*detail.unwrap().value).unwrap().retry_delay.unwrap().seconds
    };
    let answer = send(server.http, &post(PROTOBUF, &good())).await;
    assert_eq!((answer.code, answer.header("retry-after")), (503, Some("1")));
    assert_eq!(delay(&answer.status()), 1);
    let answer = send(server.http, &post(JSON, &json_of(vec![call_span(1)]))).await;
    assert_eq!((answer.code, answer.header("retry-after")), (503, Some("1")));
    assert_eq!(json_status(&answer)["details"][0]["retryDelay"], "1.000s");
    let refused = export(&mut connect(&server).await, &good()).await.unwrap_err();
    assert_eq!(refused.0.code(), Code::Unavailable);
    assert_eq!(delay(&refused.1), 1);
}

#[tokio::test]
async fn r11_what_may_pass_has_a_retryable_http_status_and_what_may_not_has_none() {
    const RETRYABLE: [u16; 4] = [429, 502, 503, 504];
    let server = small().await;
    for (line, headers, body, code) in failures(PROTOBUF) {
        let answer = send(server.http, &raw(line, &headers, &body)).await;
        assert!(!RETRYABLE.contains(&answer.code) && answer.code == code, "{line} {headers}");
    }
    server.disk_full.store(true, Ordering::Relaxed);
    let answer = send(server.http, &post(PROTOBUF, &good())).await;
    assert!(RETRYABLE.contains(&answer.code), "a full disk must not lose spans: {}", answer.code);
    server.disk_full.store(false, Ordering::Relaxed);
    assert_eq!(send(server.http, &post(PROTOBUF, &good())).await.code, 200);
}

#[tokio::test]
async fn r12_what_may_pass_has_a_retryable_grpc_status_and_what_may_not_has_none() {
    const RETRYABLE: [Code; 6] = [
        Code::Cancelled,
        Code::DeadlineExceeded,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unavailable,
        Code::DataLoss,
    ];
    let grpc = GrpcSettings { max_message_bytes: 10_000, ..GrpcSettings::default() };
    let server = Server::start_with(grpc, HttpSettings::default(), 1 << 20).await;
    let mut channel = connect(&server).await;
    for (path, headers, body) in [
        (EXPORT, &[][..], framed(0, b"\x0b")),
        (EXPORT, &[], framed(0, &[0; 10_001])),
        (EXPORT, &[("grpc-encoding", "br")], framed(1, &good())),
        ("/opentelemetry.proto.collector.logs.v1.LogsService/Export", &[], framed(0, b"")),
    ] {
        let refused = call(&mut channel, path, headers, whole(body)).await.unwrap_err();
        assert!(!RETRYABLE.contains(&refused.0.code()), "{}", refused.0);
    }
    server.disk_full.store(true, Ordering::Relaxed);
    let refused = export(&mut channel, &good()).await.unwrap_err();
    assert!(RETRYABLE.contains(&refused.0.code()), "{}", refused.0);
}

/// A request of exactly `len` bytes: a field that no reader knows, filled.
fn request_of(len: usize) -> Vec<u8> {
    let mut body = vec![0xfa, 0x3f];
    prost::encode_length_delimiter(len - 2 - 4, &mut body).unwrap();
    assert_eq!(body.len(), 6, "the length takes four bytes");
    body.resize(len, 0);
    body
}

#[tokio::test]
async fn r13_64_mib_are_taken_before_and_after_decompression() {
    let server = Server::start().await;
    let body = request_of(64 * MIB);
    assert_eq!(send(server.http, &post(PROTOBUF, &body)).await.code, 200);
    let packed = gzip(&body);
    assert!(packed.len() < MIB);
    let gzipped = format!("{PROTOBUF}Content-Encoding: gzip\r\n");
    assert_eq!(send(server.http, &post(&gzipped, &packed)).await.code, 200);
    let mut channel = connect(&server).await;
    export(&mut channel, &body).await.unwrap();
    call(&mut channel, EXPORT, &[("grpc-encoding", "gzip")], whole(framed(1, &packed))).await.unwrap();
}

#[tokio::test]
async fn r14_more_than_64_mib_is_413_and_resource_exhausted_before_and_after_decompression() {
    let server = Server::start().await;
    // As announced: not a byte of it needs to be sent.
    let mut stream = TcpStream::connect(server.http).await.unwrap();
    let head =
        format!("POST /v1/traces HTTP/1.1\r\nHost: h\r\n{PROTOBUF}Content-Length: {}\r\n\r\n", 64 * MIB + 1);
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    let packed = gzip(&request_of(64 * MIB + 1));
    let gzipped = format!("{PROTOBUF}Content-Encoding: gzip\r\n");
    let answer = send(server.http, &post(&gzipped, &packed)).await;
    assert_eq!((answer.code, answer.header("retry-after")), (413, None));
    let mut channel = connect(&server).await;
    let announced = [&[0][..], &(64 * MIB as u32 + 1).to_be_bytes(), &[0; 8]].concat();
    for (headers, body) in [(&[][..], announced), (&[("grpc-encoding", "gzip")], framed(1, &packed))] {
        let refused = call(&mut channel, EXPORT, headers, whole(body)).await.unwrap_err();
        assert_eq!(refused.0.code(), Code::ResourceExhausted);
        assert!(refused.1.details.is_empty(), "with RetryInfo a client would send it again");
    }
}

#[tokio::test]
async fn r15_a_message_is_cut_rather_than_the_response_too_large() {
    let server = Server::start().await;
    let path = format!("POST /{}", "x".repeat(20_000));
    let answer = send(server.http, &raw(&path, PROTOBUF, b"")).await;
    assert_eq!(answer.code, 404);
    assert!(answer.body.len() < 1000, "{}", answer.body.len());
    assert!(answer.status().message.ends_with("..."));
    let json = format!(r#"{{"resourceSpans":"{}"}}"#, "é".repeat(100_000));
    let answer = send(server.http, &post(JSON, json.as_bytes())).await;
    assert_eq!(answer.code, 400);
    assert!(answer.body.len() < 2000, "{}", answer.body.len());
}

#[tokio::test]
async fn r16_the_response_is_compressed_only_if_that_was_asked_for() {
    let server = Server::start().await;
    for accept in ["", "Accept-Encoding: identity\r\n"] {
        for (headers, body) in [(PROTOBUF, good()), (JSON, b"{".to_vec())] {
            let answer = send(server.http, &post(&format!("{headers}{accept}"), &body)).await;
            assert_eq!(answer.header("content-encoding"), None);
        }
    }
    // It may be left as it is even then, and answers are a few bytes.
    let answer = send(server.http, &post(&format!("{JSON}Accept-Encoding: gzip\r\n"), b"{}")).await;
    assert_eq!((answer.code, &*answer.body), (200, &b"{}"[..]));
}

#[tokio::test]
async fn r19_empty_envelopes_are_ignored() {
    let server = Server::start().await;
    let scope = ScopeSpans::default();
    let resource = ResourceSpans { scope_spans: vec![scope.clone(), scope], ..ResourceSpans::default() };
    let mut empty = request("clips", vec![]);
    empty.resource_spans.extend([ResourceSpans::default(), resource]);
    assert_eq!(send(server.http, &post(PROTOBUF, &empty.encode_to_vec())).await.code, 200);
    assert_eq!(send(server.http, &post(JSON, &serde_json::to_vec(&empty).unwrap())).await.code, 200);
    export(&mut connect(&server).await, &empty.encode_to_vec()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.expect_committed((0, 0));
}
