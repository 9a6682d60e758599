//! Rules of OTLP that need a whole server: what is sent twice counts once, and what is forwarded holds up
//! nothing.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use prost::Message as _;

use super::raw::{PROTOBUF, good, post, raw, send};
use crate::app::{App, Running};
use crate::config::Config;
use crate::forward::testing::Destination;
use crate::receivers::testing::{call_span, request};

/// The longest that a test waits.
const PATIENCE: Duration = Duration::from_secs(20);

async fn running(directory: &Path, more: &str) -> Running {
    let file = directory.join("spantally.yaml");
    let text = format!(
        "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:0'}}, http: {{endpoint: \
         '127.0.0.1:0'}}}}}}}}\nstorage: {{directory: '{}'}}\nexporters:\n  prometheus: {{endpoint: \
         '127.0.0.1:0'}}\n{more}",
        directory.join("data").display()
    );
    std::fs::write(&file, text).unwrap();
    let config = Config::load(Some(&file), &[]).unwrap();
    App::build(&config).await.unwrap().start().await.unwrap()
}

/// The sum of a metric's samples whose labels contain a text.
async fn metric(admin: SocketAddr, name: &str, label: &str) -> f64 {
    let page = send(admin, &raw("GET /metrics", "", b"")).await;
    assert_eq!(page.code, 200);
    let page = String::from_utf8(page.body).unwrap();
    let samples = page.lines().filter(|line| line.starts_with(name) && line.contains(label));
    samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

async fn wait_for(admin: SocketAddr, name: &str, label: &str, value: f64) {
    let began = Instant::now();
    loop {
        let found = metric(admin, name, label).await;
        if (found - value).abs() < 1e-9 {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{name} {label}: {found}, expected {value}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn r17_a_request_that_is_sent_again_counts_once() {
    let directory = tempfile::tempdir().unwrap();
    let running = running(directory.path(), "").await;
    let (http, admin) = (running.addresses.http.unwrap(), running.addresses.admin);
    for _ in 0..3 {
        assert_eq!(send(http, &post(PROTOBUF, &good())).await.code, 200);
    }
    wait_for(admin, "spantally_spans_received_total", "http_protobuf", 6.0).await;
    wait_for(admin, "spantally_spans_accepted_total", "http_protobuf", 2.0).await;
    wait_for(admin, "spantally_spans_duplicate_total", "http_protobuf", 4.0).await;
    running.stop().await.unwrap();
}

/// A backend may refuse a whole request for one span that no backend takes.
#[tokio::test]
async fn spans_that_are_rejected_for_an_id_are_not_forwarded_and_the_others_of_the_request_are() {
    let directory = tempfile::tempdir().unwrap();
    let destination = Destination::start(|_| 200).await;
    let more = format!("  otlphttp/all: {{endpoint: 'http://{}'}}\n", destination.address);
    let running = running(directory.path(), &more).await;
    let (http, admin) = (running.addresses.http.unwrap(), running.addresses.admin);
    let mut broken = call_span(3);
    broken.span_id = vec![3; 4];
    let mixed = request("clips", vec![call_span(1), broken.clone(), call_span(2)]).encode_to_vec();
    assert_eq!(send(http, &post(PROTOBUF, &mixed)).await.code, 200);
    let nothing = request("clips", vec![broken]).encode_to_vec();
    assert_eq!(send(http, &post(PROTOBUF, &nothing)).await.code, 200);
    wait_for(admin, "spantally_forward_spans_total", "outcome=\"sent\"", 2.0).await;
    wait_for(admin, "spantally_forward_spans_total", "outcome=\"invalid\"", 2.0).await;
    assert_eq!(destination.bytes(), good());
    running.stop().await.unwrap();
}

#[tokio::test]
async fn r18_each_destination_has_its_queue_and_a_dead_one_holds_up_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let alive = Destination::start(|_| 200).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let more = format!(
        "  otlphttp/alive: {{endpoint: 'http://{}', sending_queue: {{batch: {{flush_timeout: 1ms}}}}}}\n  \
         otlp/silent: {{endpoint: 'http://{}', timeout: 60s}}\n",
        alive.address,
        silent.local_addr().unwrap()
    );
    let running = running(directory.path(), &more).await;
    let (http, admin) = (running.addresses.http.unwrap(), running.addresses.admin);
    for _ in 0..5 {
        let began = Instant::now();
        assert_eq!(send(http, &post(PROTOBUF, &good())).await.code, 200);
        assert!(began.elapsed() < Duration::from_secs(5), "the acknowledgement waits for a destination");
    }
    wait_for(admin, "spantally_forward_spans_total", "destination=\"otlphttp/alive\",outcome=\"sent\"", 10.0)
        .await;
    wait_for(admin, "spantally_spans_received_total", "http_protobuf", 10.0).await;
    wait_for(admin, "spantally_forward_up", "otlphttp/alive", 1.0).await;
    assert_eq!(alive.bytes(), good().repeat(5));
    assert!(metric(admin, "spantally_forward_queue_bytes", "otlp/silent").await > 0.0);
    let began = Instant::now();
    while metric(admin, "spantally_forward_delay_seconds", "otlp/silent").await <= 0.0 {
        assert!(began.elapsed() < PATIENCE, "nothing says that the destination is behind");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(metric(admin, "spantally_forward_queue_bytes", "otlphttp/alive").await < 1.0);
    let began = Instant::now();
    running.stop().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(15), "stopping waits for a dead destination");
}
