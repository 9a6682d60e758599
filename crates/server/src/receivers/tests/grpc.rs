//! OTLP/gRPC through tonic's channel, which sends whatever bytes it is given.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::{HeaderMap, Request, Version};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio_stream::StreamExt;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::raw::{good, gzip};
use crate::google_rpc::{self, BadRequest, RetryInfo};
use crate::receivers::testing::{Server, call_span, request};
use crate::receivers::{GrpcSettings, HttpSettings};

pub(super) const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

pub(super) async fn connect(server: &Server) -> Channel {
    Channel::from_shared(format!("http://{}", server.grpc)).unwrap().connect().await.unwrap()
}

/// Request headers besides those that gRPC demands.
pub(super) type Headers<'a> = &'a [(&'static str, &'a str)];

/// A refusal: status, details, response headers.
pub(super) type Refused = Box<(Status, google_rpc::Status, HeaderMap)>;

/// A message behind its prefix.
pub(super) fn framed(compressed: u8, message: &[u8]) -> Vec<u8> {
    [&[compressed], &(message.len() as u32).to_be_bytes()[..], message].concat()
}

/// Calls `path` and gives the response message, or the status with its details.
pub(super) async fn call(
    channel: &mut Channel,
    path: &str,
    headers: Headers<'_>,
    body: Body,
) -> Result<Bytes, Refused> {
    let mut request = Request::post(path)
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    std::future::poll_fn(|context| channel.poll_ready(context)).await.unwrap();
    let response = channel.call(request.body(body).unwrap()).await.unwrap();
    let headers = response.headers().clone();
    let collected = response.into_body().collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_else(|| headers.clone());
    let status = Status::from_header_map(&trailers).unwrap();
    if status.code() == Code::Ok {
        return Ok(collected.to_bytes().slice(5..));
    }
    let details = google_rpc::Status::decode(status.details()).unwrap();
    Err(Box::new((status, details, headers)))
}

pub(super) fn whole(bytes: Vec<u8>) -> Body {
    Body::new(Full::new(Bytes::from(bytes)))
}

pub(super) async fn export(channel: &mut Channel, message: &[u8]) -> Result<Bytes, Refused> {
    call(channel, EXPORT, &[], whole(framed(0, message))).await
}

#[tokio::test]
async fn good_requests_are_durable_before_they_are_answered() {
    let server = Server::start().await;
    let mut channel = connect(&server).await;
    assert_eq!(export(&mut channel, &good()).await.unwrap(), "", "partial_success must be unset");
    server.expect_committed((2, 2));
    for (encoding, body) in [("gzip", gzip(&good())), ("zstd", zstd::encode_all(&*good(), 1).unwrap())] {
        let body = whole(framed(1, &body));
        assert_eq!(call(&mut channel, EXPORT, &[("grpc-encoding", encoding)], body).await.unwrap(), "");
        server.expect_committed((2, 2));
    }
    let plain = whole(framed(0, &good()));
    call(&mut channel, EXPORT, &[("grpc-encoding", "gzip")], plain).await.unwrap();
    assert_eq!(export(&mut channel, b"").await.unwrap(), "", "an empty request succeeds");
    server.expect_committed((2, 2));
    assert_eq!(server.ends(), [("grpc", "accepted", 5)]);
}

#[tokio::test]
async fn a_message_in_many_frames_comes_out_whole() {
    let server = Server::start().await;
    let mut channel = connect(&server).await;
    let frames = framed(0, &good()).chunks(3).map(Bytes::copy_from_slice).collect::<Vec<_>>();
    let frames =
        tokio_stream::iter(frames).map(|frame| Ok::<_, std::convert::Infallible>(Frame::data(frame)));
    call(&mut channel, EXPORT, &[], Body::new(StreamBody::new(frames))).await.unwrap();
    server.expect_committed((2, 2));
}

#[tokio::test]
async fn unusable_spans_are_told_and_the_rest_is_taken() {
    let server = Server::start().await;
    let mut channel = connect(&server).await;
    let spans = vec![call_span(1), Span { trace_id: vec![0; 16], ..call_span(2) }, Span::default()];
    let answer = export(&mut channel, &request("clips", spans).encode_to_vec()).await.unwrap();
    let partial = ExportTraceServiceResponse::decode(answer).unwrap().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 2);
    assert_eq!(partial.error_message, "2 spans were rejected: invalid_trace_id 2");
    server.expect_committed((3, 1));
    assert_eq!(server.ends(), [("grpc", "partial", 1)]);
}

#[tokio::test]
async fn bad_data_is_refused_for_good_with_details() {
    let server = Server::start().await;
    let mut channel = connect(&server).await;
    let cut = &good()[..good().len() - 1];
    let two = [framed(0, &good()), framed(0, &good())].concat();
    let table: [(Headers, Vec<u8>); 8] = [
        (&[], framed(0, cut)),
        (&[("grpc-encoding", "gzip")], framed(1, b"this is no gzip")),
        (&[("grpc-encoding", "gzip")], framed(1, &gzip(&good())[..60])),
        (&[], framed(1, &good())),
        (&[], framed(2, &good())),
        (&[], framed(0, &good())[..50].to_vec()),
        (&[], two),
        (&[], Vec::new()),
    ];
    for (headers, body) in table {
        let (status, details, _) = *call(&mut channel, EXPORT, headers, whole(body)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert_eq!(details.message, status.message());
        let violation = &BadRequest::decode(&*details.details[0].value).unwrap().field_violations[0];
        assert_eq!(violation.description, status.message());
    }
    assert_eq!(server.ends(), [("grpc", "bad_data", 8)]);
    export(&mut channel, &good()).await.unwrap();
    server.expect_committed((2, 2));
    assert_eq!(server.intake.inflight().used_bytes(), 0);
}

#[tokio::test]
async fn other_services_and_encodings_are_unimplemented() {
    let server = Server::start().await;
    let mut channel = connect(&server).await;
    for path in [
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        "/opentelemetry.proto.collector.trace.v1.TraceService/Import",
    ] {
        let (status, ..) = *call(&mut channel, path, &[], whole(framed(0, b""))).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{path}");
    }
    let body = whole(framed(1, &good()));
    let (status, _, headers) =
        *call(&mut channel, EXPORT, &[("grpc-encoding", "br")], body).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(headers["grpc-accept-encoding"], "gzip, zstd, deflate, identity");
    assert_eq!(server.ends(), [("grpc", "unsupported_encoding", 1), ("grpc", "not_found", 3)]);
}

#[tokio::test]
async fn the_limit_holds_before_and_after_inflating() {
    let grpc = GrpcSettings { max_message_bytes: 100_000, ..GrpcSettings::default() };
    let server = Server::start_with(grpc, HttpSettings::default(), 1 << 20).await;
    let mut channel = connect(&server).await;
    let bomb = gzip(&vec![0; 20 << 20]);
    assert!(bomb.len() < 100_000);
    let table: [(Headers, Vec<u8>); 3] = [
        (&[], framed(0, &vec![0; 100_001])),
        (&[("grpc-encoding", "gzip")], framed(1, &bomb)),
        (&[], [0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3].to_vec()),
    ];
    for (headers, body) in table {
        let (status, details, _) = *call(&mut channel, EXPORT, headers, whole(body)).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        assert!(details.details.is_empty(), "with RetryInfo a client would send it again");
    }
    assert_eq!(server.ends(), [("grpc", "too_large", 3)]);
    assert_eq!(server.intake.inflight().used_bytes(), 0);
}

#[tokio::test]
async fn a_body_without_end_is_stopped() {
    let grpc = GrpcSettings { read_timeout: Duration::from_millis(300), ..GrpcSettings::default() };
    let server = Server::start_with(grpc, HttpSettings::default(), 1 << 30).await;
    let mut channel = connect(&server).await;
    let frame = |bytes: Bytes| Ok::<_, std::convert::Infallible>(Frame::data(bytes));
    let prefix = tokio_stream::once(frame(Bytes::from_static(&[0, 0, 0, 1, 0])));
    let more = tokio_stream::iter(std::iter::repeat_with(move || frame(Bytes::from_static(&[0; 64]))));
    let body = Body::new(StreamBody::new(prefix.chain(more)));
    let (status, ..) = *call(&mut channel, EXPORT, &[], body).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "more than its prefix says");
    let prefix = tokio_stream::once(frame(Bytes::from_static(&[0, 0, 0, 1, 0])));
    let body = Body::new(StreamBody::new(prefix.chain(tokio_stream::pending())));
    let (status, ..) = *call(&mut channel, EXPORT, &[], body).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(server.ends(), [("grpc", "bad_data", 1), ("grpc", "timed_out", 1)]);
    assert_eq!(server.intake.inflight().used_bytes(), 0);
}

#[tokio::test]
async fn a_full_server_a_full_disk_and_a_stopping_one_ask_to_come_back() {
    let server = Server::start_with(GrpcSettings::default(), HttpSettings::default(), 1000).await;
    let mut channel = connect(&server).await;
    let mut other = server.intake.inflight().admission();
    other.grow(1000).unwrap();
    let refused = |answer: Result<Bytes, Refused>| {
        let (status, details, _) = *answer.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert_eq!(details.details[0].type_url, "type.googleapis.com/google.rpc.RetryInfo");
        RetryInfo::decode(&*details.details[0].value).unwrap().retry_delay.unwrap().seconds
    };
    assert_eq!(refused(export(&mut channel, &good()).await), 1);
    drop(other);
    server.disk_full.store(true, Ordering::Relaxed);
    assert_eq!(refused(export(&mut channel, &good()).await), 1);
    server.disk_full.store(false, Ordering::Relaxed);
    export(&mut channel, &good()).await.unwrap();
    server.expect_committed((2, 2));
    assert_eq!(server.ends(), [("grpc", "accepted", 1), ("grpc", "overloaded", 1), ("grpc", "storage", 1)]);
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_a_stopping_server() {
    let server = Server::start().await;
    let mut channel = connect(&server).await;
    export(&mut channel, &good()).await.unwrap();
    server.stop.send(true).unwrap();
    for task in server.tasks {
        tokio::time::timeout(Duration::from_secs(5), task).await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test]
async fn what_is_no_grpc_is_told_in_http() {
    let server = Server::start().await;
    let mut channel = connect(&server).await;
    let request = Request::post(EXPORT).version(Version::HTTP_2).header("content-type", "application/json");
    std::future::poll_fn(|context| channel.poll_ready(context)).await.unwrap();
    let response = channel.call(request.body(whole(good())).unwrap()).await.unwrap();
    assert_eq!(response.status(), 415);
    assert_eq!(server.ends(), [("grpc", "unsupported_type", 1)]);
}
