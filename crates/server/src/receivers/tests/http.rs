//! OTLP/HTTP by hand-written HTTP/1.1, so that nothing but the bytes below is sent.

use std::sync::atomic::Ordering;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::raw::{JSON, PROTOBUF, good, gzip, post, raw, read, send};
use crate::google_rpc::{BadRequest, RetryInfo};
use crate::receivers::testing::{Server, call_span, request};
use crate::receivers::{Connections, GrpcSettings, HttpSettings};

async fn small() -> Server {
    let http = HttpSettings { max_body_bytes: 10_000, ..HttpSettings::default() };
    Server::start_with(GrpcSettings::default(), http, 1 << 20).await
}

#[tokio::test]
async fn good_requests_are_durable_before_they_are_answered_in_their_own_type() {
    let server = Server::start().await;
    let json = serde_json::to_vec(&request("clips", vec![call_span(1), call_span(2)])).unwrap();
    let utf8 = "Content-Type: application/json; charset=utf-8\r\n".to_owned();
    let table = [
        (PROTOBUF.to_owned(), good(), "application/x-protobuf", &b""[..]),
        (format!("{PROTOBUF}Content-Encoding: gzip\r\n"), gzip(&good()), "application/x-protobuf", b""),
        (
            format!("{PROTOBUF}Content-Encoding: zstd\r\n"),
            zstd::encode_all(&*good(), 1).unwrap(),
            "application/x-protobuf",
            b"",
        ),
        (JSON.to_owned(), json.clone(), "application/json", b"{}"),
        (format!("{utf8}Content-Encoding: gzip\r\n"), gzip(&json), "application/json", b"{}"),
    ];
    for (headers, body, content_type, answered) in table {
        let answer = send(server.http, &post(&headers, &body)).await;
        assert_eq!((answer.code, &*answer.body), (200, answered), "{headers}");
        assert_eq!(answer.header("content-type"), Some(content_type));
        server.expect_committed((2, 2));
    }
    assert_eq!(server.ends(), [("http_protobuf", "accepted", 3), ("http_json", "accepted", 2)]);
}

#[tokio::test]
async fn empty_requests_succeed_and_commit_nothing() {
    let server = Server::start().await;
    for (headers, body) in [(PROTOBUF, &b""[..]), (JSON, b"{}"), (JSON, br#"{"resourceSpans":[]}"#)] {
        assert_eq!(send(server.http, &post(headers, body)).await.code, 200);
    }
    server.expect_committed((0, 0));
}

#[tokio::test]
async fn unusable_spans_are_told_and_the_rest_is_taken() {
    let server = Server::start().await;
    let request = request("clips", vec![call_span(1), Span { span_id: vec![], ..call_span(2) }]);
    let answer = send(server.http, &post(PROTOBUF, &request.encode_to_vec())).await;
    let response = ExportTraceServiceResponse::decode(&*answer.body).unwrap();
    let partial = response.partial_success.unwrap();
    assert_eq!((answer.code, partial.rejected_spans), (200, 1));
    assert_eq!(partial.error_message, "1 spans were rejected: invalid_span_id 1");
    server.expect_committed((2, 1));
    let answer = send(server.http, &post(JSON, &serde_json::to_vec(&request).unwrap())).await;
    let json = String::from_utf8(answer.body).unwrap();
    assert!(json.starts_with(r#"{"partialSuccess":{"#) && json.contains(r#""rejectedSpans":"1""#), "{json}");
    assert_eq!(server.ends(), [("http_protobuf", "partial", 1), ("http_json", "partial", 1)]);
}

#[tokio::test]
async fn an_unknown_field_is_ignored() {
    let server = Server::start().await;
    let mut body = good();
    body.extend([0xfa, 0x3f, 3, 1, 2, 3]);
    assert_eq!(send(server.http, &post(PROTOBUF, &body)).await.code, 200);
    let json = serde_json::to_string(&request("clips", vec![call_span(1)])).unwrap();
    let json = json.replacen('{', r#"{"later":[{"a":1}],"#, 1);
    assert_eq!(send(server.http, &post(JSON, json.as_bytes())).await.code, 200);
    server.expect_committed((3, 3));
}

#[tokio::test]
async fn bad_data_is_refused_for_good_with_details_in_the_type_of_the_request() {
    let server = Server::start().await;
    let mut cut_gzip = gzip(&good());
    cut_gzip.truncate(cut_gzip.len() - 9);
    let gzip_header = format!("{PROTOBUF}Content-Encoding: gzip\r\n");
    let truncated = &good()[..good().len() - 1];
    let table = [(PROTOBUF, truncated), (&*gzip_header, &cut_gzip), (&*gzip_header, b"this is no gzip")];
    for (headers, body) in table {
        let answer = send(server.http, &post(headers, body)).await;
        assert_eq!(answer.code, 400, "{headers}");
        assert_eq!(answer.header("content-type"), Some("application/x-protobuf"));
        let status = answer.status();
        assert_eq!((status.code, status.details.len()), (3, 1));
        assert_eq!(status.details[0].type_url, "type.googleapis.com/google.rpc.BadRequest");
        let details = BadRequest::decode(&*status.details[0].value).unwrap();
        assert_eq!(details.field_violations[0].description, status.message);
    }
    let answer = send(server.http, &post(JSON, br#"{"resourceSpans":[{"scopeSpans":7}]}"#)).await;
    assert_eq!((answer.code, answer.header("content-type")), (400, Some("application/json")));
    let status: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(status["code"], 3);
    assert_eq!(status["details"][0]["@type"], "type.googleapis.com/google.rpc.BadRequest");
    assert!(status["message"].as_str().unwrap().contains("scopeSpans"), "{status}");
    assert_eq!(server.ends(), [("http_protobuf", "bad_data", 3), ("http_json", "bad_data", 1)]);
    // The receiver is none the worse for it.
    assert_eq!(send(server.http, &post(PROTOBUF, &good())).await.code, 200);
    server.expect_committed((2, 2));
    assert_eq!(server.intake.inflight().used_bytes(), 0);
}

#[tokio::test]
async fn wrong_types_encodings_methods_and_paths_have_their_own_answers() {
    let server = Server::start().await;
    let table = [
        ("POST /v1/traces", "Content-Type: text/plain\r\n", 415, "unsupported_type"),
        ("POST /v1/traces", "", 415, "unsupported_type"),
        ("POST /v1/traces", "Content-Type: application/json; charset=latin1\r\n", 415, "unsupported_type"),
        (
            "POST /v1/traces",
            "Content-Type: application/x-protobuf\r\nContent-Encoding: br\r\n",
            415,
            "unsupported_encoding",
        ),
        ("GET /v1/traces", PROTOBUF, 405, "wrong_method"),
        ("POST /v1/metrics", PROTOBUF, 404, "not_found"),
        ("POST /v1/logs", PROTOBUF, 404, "not_found"),
    ];
    for (line, headers, code, end) in table {
        let before = server.ends();
        let answer = send(server.http, &raw(line, headers, &good())).await;
        assert_eq!(answer.code, code, "{line} {headers}");
        let count =
            |ends: &[(&str, &str, u64)]| ends.iter().filter(|at| at.1 == end).map(|at| at.2).sum::<u64>();
        assert_eq!(count(&server.ends()), count(&before) + 1, "{line} {headers}");
        assert_eq!(answer.header("allow"), (code == 405).then_some("POST"));
        let accepted = (end == "unsupported_encoding").then_some("gzip, zstd, deflate, identity");
        assert_eq!(answer.header("accept-encoding"), accepted);
    }
    server.expect_committed((0, 0));
}

#[tokio::test]
async fn the_limit_holds_before_and_after_inflating() {
    let server = small().await;
    let mut announced = post(PROTOBUF, &vec![0; 10_001]);
    let answer = send(server.http, &announced).await;
    assert_eq!((answer.code, answer.status().code), (413, 8));
    assert!(answer.status().details.is_empty(), "a client must not send it again");
    // A sender of more than the socket holds gets to read its answer too.
    announced = post(PROTOBUF, &vec![0; 8 << 20]);
    assert_eq!(send(server.http, &announced).await.code, 413);
    let bomb = gzip(&vec![0; 20 << 20]);
    let headers = format!("{JSON}Content-Encoding: gzip\r\n");
    assert_eq!(send(server.http, &post(&headers, &bomb[..9_000.min(bomb.len())])).await.code, 413);
    assert_eq!(server.ends(), [("http_protobuf", "too_large", 2), ("http_json", "too_large", 1)]);
    assert_eq!(server.intake.inflight().used_bytes(), 0);
}

#[tokio::test]
async fn a_body_without_end_is_stopped_at_the_limit() {
    let server = small().await;
    let mut stream = TcpStream::connect(server.http).await.unwrap();
    let head =
        format!("POST /v1/traces HTTP/1.1\r\nHost: here\r\n{PROTOBUF}Transfer-Encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let chunk = [b"1000\r\n".as_slice(), &[0; 4096], b"\r\n"].concat();
    let send = async { while writer.write_all(&chunk).await.is_ok() {} };
    let mut answer = vec![0; 12];
    tokio::select! {
        () = send => panic!("the server closed before it answered"),
        read = reader.read_exact(&mut answer) => { read.unwrap(); }
    }
    assert_eq!(answer, b"HTTP/1.1 413");
    assert_eq!(server.ends(), [("http_protobuf", "too_large", 1)]);
}

#[tokio::test]
async fn a_body_or_a_head_that_does_not_come_is_not_waited_for() {
    let short = Duration::from_millis(200);
    let connections = Connections { read_header_timeout: short, ..Connections::default() };
    let http = HttpSettings { read_timeout: short, connections, ..HttpSettings::default() };
    let server = Server::start_with(GrpcSettings::default(), http, 1 << 20).await;
    let whole = post(PROTOBUF, &good());
    let mut body_missing = TcpStream::connect(server.http).await.unwrap();
    body_missing.write_all(&whole[..whole.len() - 1]).await.unwrap();
    assert_eq!(read(&mut body_missing).await.code, 408);
    for part in [&b""[..], b"POST /v1/tr"] {
        let mut head_missing = TcpStream::connect(server.http).await.unwrap();
        head_missing.write_all(part).await.unwrap();
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(5), head_missing.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "the connection is still open");
    }
    assert_eq!(server.ends(), [("http_protobuf", "timed_out", 1)]);
    assert_eq!(server.intake.stats().connections_failed.load(Ordering::Relaxed), 2);
    assert_eq!(server.intake.inflight().used_bytes(), 0);
}

#[tokio::test]
async fn a_full_server_and_a_full_disk_ask_to_come_back() {
    let server = Server::start_with(GrpcSettings::default(), HttpSettings::default(), 1000).await;
    let mut other = server.intake.inflight().admission();
    other.grow(1000).unwrap();
    let answer = send(server.http, &post(PROTOBUF, &good())).await;
    assert_eq!((answer.code, answer.header("retry-after")), (503, Some("1")));
    let status = answer.status();
    assert_eq!(status.code, 14);
    assert_eq!(RetryInfo::decode(&*status.details[0].value).unwrap().retry_delay.unwrap().seconds, 1);
    drop(other);
    server.disk_full.store(true, Ordering::Relaxed);
    let answer =
        send(server.http, &post(JSON, &serde_json::to_vec(&request("a", vec![call_span(1)])).unwrap())).await;
    assert_eq!((answer.code, answer.header("retry-after")), (503, Some("1")));
    assert!(String::from_utf8(answer.body).unwrap().contains("journal"));
    server.expect_committed((0, 0));
    server.disk_full.store(false, Ordering::Relaxed);
    assert_eq!(send(server.http, &post(PROTOBUF, &good())).await.code, 200);
    server.expect_committed((2, 2));
    assert_eq!(
        server.ends(),
        [("http_protobuf", "accepted", 1), ("http_protobuf", "overloaded", 1), ("http_json", "storage", 1)]
    );
}

#[tokio::test]
async fn a_request_under_way_is_answered_when_the_server_stops() {
    let server = Server::start().await;
    let whole = post(PROTOBUF, &good());
    let mut under_way = TcpStream::connect(server.http).await.unwrap();
    under_way.write_all(&whole[..whole.len() - 1]).await.unwrap();
    let mut idle = TcpStream::connect(server.http).await.unwrap();
    while server.intake.inflight().used_bytes() == 0
        || server.intake.stats().connections_open.load(Ordering::Relaxed) < 2
    {
        tokio::task::yield_now().await;
    }
    server.stop.send(true).unwrap();
    assert_eq!(idle.read(&mut [0]).await.unwrap(), 0, "an idle connection is closed at once");
    under_way.write_all(&whole[whole.len() - 1..]).await.unwrap();
    assert_eq!(read(&mut under_way).await.code, 200);
    server.expect_committed((2, 2));
    for task in server.tasks {
        task.await.unwrap().unwrap();
    }
    TcpStream::connect(server.http).await.unwrap_err();
}

#[tokio::test]
async fn large_bodies_are_read_away_from_the_connections() {
    let server = Server::start().await;
    let spans = (0..20_000_u32)
        .map(|number| Span { span_id: [number.to_be_bytes(), [1; 4]].concat(), ..call_span(1) });
    let body = request("clips", spans.collect()).encode_to_vec();
    assert!(body.len() > super::super::INLINE_BYTES_MAX);
    let headers = format!("{PROTOBUF}Content-Encoding: gzip\r\n");
    for (headers, body) in [(PROTOBUF, body.clone()), (&*headers, gzip(&body))] {
        assert_eq!(send(server.http, &post(headers, &body)).await.code, 200);
        server.expect_committed((20_000, 20_000));
    }
}
