//! Senders that go before their answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http_body_util::Full;
use prost::Message as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::grpc::{EXPORT, call, connect, framed};
use super::raw::{PROTOBUF, good, post};
use crate::batch::Transport;
use crate::config::{Auth, Compression, Protocol};
use crate::forward::testing::Destination;
use crate::forward::tests::{open, settings};
use crate::receivers::testing::{Server, call_span, request};
use crate::receivers::{GrpcSettings, HttpSettings};
use crate::request_end::RequestEnd;

async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..500 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it does not come about: {what}");
}

/// What is durable counts; so it is forwarded as well, and how the request ended is counted.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_durable_is_forwarded_also_when_nobody_waits_for_the_answer() {
    let directory = tempfile::tempdir().unwrap();
    let destination = Destination::start(|_| 200).await;
    let to = settings(&destination, Protocol::Http, Compression::None);
    let forwarder = Arc::new(open(&to, directory.path()).await);
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    let _sending = forwarder.start(&stopped);
    let (grpc, http) = (GrpcSettings::default(), HttpSettings::default());
    let server = Server::start_to(grpc, http, 1 << 20, &Auth::default(), None, forwarder).await;
    let stats = server.intake.stats();

    server.stalled.store(true, Ordering::Relaxed);
    let mut stream = TcpStream::connect(server.http).await.unwrap();
    stream.write_all(&post(PROTOBUF, &good())).await.unwrap();
    until("it is read", || stats.body_bytes(Transport::HttpProtobuf) > 0).await;
    drop(stream);
    let ended = |transport| stats.requests(transport, RequestEnd::Disconnected) == 1;
    until("its end is counted", || ended(Transport::HttpProtobuf)).await;

    let mut channel = connect(&server).await;
    let message = request("clips", vec![call_span(2)]).encode_to_vec();
    let body = tonic::body::Body::new(Full::from(framed(0, &message)));
    let answer = call(&mut channel, EXPORT, &[], body);
    assert!(tokio::time::timeout(Duration::from_millis(500), answer).await.is_err(), "its deadline");
    until("its end is counted", || ended(Transport::Grpc)).await;
    assert!(destination.got().is_empty(), "nothing is durable yet");

    server.stalled.store(false, Ordering::Relaxed);
    server.under_way.ended().await;
    server.expect_committed((3, 3));
    let either = [[good(), message.clone()].concat(), [message, good()].concat()];
    until("both arrive", || either.contains(&destination.bytes())).await;
    assert_eq!(server.ends().len(), 2, "each counts once: {:?}", server.ends());
}
