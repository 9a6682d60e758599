//! Forwarding over real sockets, with queues on disk.

mod tls;

use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use super::testing::Destination;
use super::*;
use crate::config::{ClientTls, Compression, HoldSpans, Protocol, Queue as QueueSettings, Retry};
use crate::export::{LabelSets, MetricId, Registry};

pub(crate) fn settings(
    destination: &Destination,
    protocol: Protocol,
    compression: Compression,
) -> crate::config::Destination {
    let path = if protocol == Protocol::Http { "/v1/traces" } else { "" };
    crate::config::Destination {
        name: "otlp/test".to_owned(),
        protocol,
        url: format!("http://{}{path}", destination.address).parse().unwrap(),
        spans: true,
        job_spans: false,
        hold: HoldSpans::default(),
        headers: vec![("x-key".to_owned(), crate::config::Secret("secret".to_owned()))],
        compression,
        timeout: Duration::from_secs(5),
        tls: ClientTls::default(),
        queue: QueueSettings { flush_timeout: Duration::from_millis(1), ..QueueSettings::default() },
        retry: Retry { initial_interval: Duration::from_millis(20), ..Retry::default() },
    }
}

/// Spans of which none waits.
fn spans(received: u64) -> Spans<'static> {
    Spans { received, ..Spans::default() }
}

/// A queue whose last owner is gone is let go by its thread a moment later.
pub(crate) async fn open(settings: &crate::config::Destination, directory: &Path) -> Forwarder {
    for _ in 0..200 {
        let settings = std::slice::from_ref(settings);
        match Forwarder::open(settings, clients(settings).unwrap(), directory) {
            Ok(forwarder) => return forwarder,
            Err(ForwardError::Queue { error, .. }) if matches!(*error, StoreError::InUse { .. }) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the queue stays in use");
}

pub(super) async fn put(forwarder: &Forwarder, tenant: &str, body: &'static [u8]) {
    forwarder.queue(&tenant.into(), Transport::Grpc, Bytes::from_static(body), spans(1)).await;
}

fn counted(forwarder: &Forwarder) -> String {
    format!("{:?}", forwarder.routes[0].counts)
}

/// Waits until all is sent, or given up.
async fn until_empty(forwarder: &Forwarder) {
    for _ in 0..500 {
        if forwarder.routes[0].queue.bytes() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn bytes_arrive_as_they_came_by_both_protocols_and_every_compression() {
    let destination = Destination::start(|_| 200).await;
    let mut count = 0;
    for protocol in [Protocol::Grpc, Protocol::Http] {
        for compression in Compression::ALL {
            let directory = tempfile::tempdir().unwrap();
            let settings = settings(&destination, protocol, compression);
            let forwarder = open(&settings, directory.path()).await;
            let (_stop, stops) = watch::channel(false);
            put(&forwarder, "clips", b"one").await;
            let _sending = forwarder.start(&stops);
            count += 1;
            let got = destination.wait_for(count).await.pop().unwrap();
            assert_eq!(&*got.body, b"one", "{protocol:?} {compression:?}");
            assert_eq!(got.headers["x-scope-orgid"], "clips");
            assert_eq!(got.headers["x-key"], "secret");
            let path = match protocol {
                Protocol::Grpc => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
                Protocol::Http => "/v1/traces",
            };
            assert_eq!(got.path, path);
        }
    }
}

#[tokio::test]
async fn what_waits_is_merged_by_tenant() {
    let destination = Destination::start(|_| 200).await;
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(&destination, Protocol::Http, Compression::Gzip);
    let forwarder = open(&settings, directory.path()).await;
    for (tenant, body) in [("a", &b"1"[..]), ("b", b"2"), ("a", b"3")] {
        put(&forwarder, tenant, body).await;
    }
    let (_stop, stops) = watch::channel(false);
    let _sending = forwarder.start(&stops);
    let got = destination.wait_for(2).await;
    let found: Vec<_> = got.iter().map(|got| (got.headers["x-scope-orgid"].clone(), &*got.body)).collect();
    assert_eq!(found, [("a".parse().unwrap(), &b"13"[..]), ("b".parse().unwrap(), b"2")]);
}

#[tokio::test]
async fn a_crash_loses_nothing_that_waits() {
    let answer = Arc::new(AtomicU16::new(503));
    let told = answer.clone();
    let destination = Destination::start(move |_| told.load(Ordering::Relaxed)).await;
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(&destination, Protocol::Http, Compression::None);
    let forwarder = open(&settings, directory.path()).await;
    let (stop, stops) = watch::channel(false);
    let mut sending = forwarder.start(&stops);
    for body in [&b"one "[..], b"two ", b"three "] {
        put(&forwarder, "", body).await;
    }
    destination.wait_for(1).await;
    // As by a signal that cannot be caught: nothing is told to end.
    sending.tasks.abort_all();
    while sending.tasks.join_next().await.is_some() {}
    drop((sending, forwarder, stop));

    answer.store(200, Ordering::Relaxed);
    let forwarder = open(&settings, directory.path()).await;
    assert!(forwarder.routes[0].queue.bytes() > 0);
    let (_stop, stops) = watch::channel(false);
    let sending = forwarder.start(&stops);
    for _ in 0..500 {
        if forwarder.routes[0].queue.bytes() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(destination.bytes(), b"one two three ");
    drop((sending, forwarder));
    // And what was sent is not sent again.
    let forwarder = open(&settings, directory.path()).await;
    assert_eq!(forwarder.routes[0].queue.bytes(), 0);
}

#[tokio::test]
async fn a_refusal_for_now_is_sent_again_and_one_for_good_is_not() {
    for (protocol, now, good) in [(Protocol::Http, 503, 400), (Protocol::Grpc, 14, 3)] {
        let answers = Arc::new(AtomicU16::new(0));
        let count = answers.clone();
        let destination =
            Destination::start(move |got| match (&*got.body, count.fetch_add(1, Ordering::Relaxed)) {
                (b"bad", _) => good,
                (_, 0) => now,
                _ => 200,
            })
            .await;
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(&destination, protocol, Compression::Gzip);
        let forwarder = open(&settings, directory.path()).await;
        let (_stop, stops) = watch::channel(false);
        let _sending = forwarder.start(&stops);
        let began = Instant::now();
        put(&forwarder, "", b"first").await;
        destination.wait_for(2).await;
        if protocol == Protocol::Http {
            assert!(began.elapsed() >= Duration::from_secs(1), "Retry-After is kept");
        }
        put(&forwarder, "", b"bad").await;
        destination.wait_for(3).await;
        put(&forwarder, "", b"last").await;
        destination.wait_for(4).await;
        assert_eq!(destination.bytes(), b"firstlast");
        let mut waited = 0;
        while !counted(&forwarder).contains("sent: 2, rejected: 0, failed: 1, not_queued: 0") {
            assert!(waited < 100, "{}", counted(&forwarder));
            waited += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn a_request_too_large_for_the_destination_is_sent_in_parts() {
    for (protocol, too_large) in [(Protocol::Http, 413), (Protocol::Grpc, 8)] {
        let destination =
            Destination::start(move |got| if got.body.len() > 3 { too_large } else { 200 }).await;
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(&destination, protocol, Compression::None);
        let forwarder = open(&settings, directory.path()).await;
        for body in [&b"11"[..], b"22", b"4444", b"3"] {
            put(&forwarder, "", body).await;
        }
        let (_stop, stops) = watch::channel(false);
        let _sending = forwarder.start(&stops);
        until_empty(&forwarder).await;
        assert_eq!(destination.bytes(), b"11223", "{protocol:?}");
        assert!(counted(&forwarder).contains("failed: 1"), "{}", counted(&forwarder));
    }
}

#[tokio::test]
async fn what_the_destination_cannot_read_is_given_up_without_its_neighbours() {
    for (protocol, invalid) in
        [(Protocol::Http, 400), (Protocol::Http, 500), (Protocol::Grpc, 3), (Protocol::Grpc, 13)]
    {
        let destination =
            Destination::start(move |got| if got.body.contains(&b'!') { invalid } else { 200 }).await;
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(&destination, protocol, Compression::None);
        let forwarder = open(&settings, directory.path()).await;
        for body in [&b"1"[..], b"2", b"3!", b"4", b"5", b"6", b"7"] {
            put(&forwarder, "", body).await;
        }
        let (_stop, stops) = watch::channel(false);
        let _sending = forwarder.start(&stops);
        until_empty(&forwarder).await;
        assert_eq!(destination.bytes(), b"124567", "{protocol:?}");
        let counted = counted(&forwarder);
        assert!(counted.contains("sent: 6, rejected: 0, failed: 1"), "{counted}");
    }
}

/// Of what is refused for who sends it, no part would be taken.
#[tokio::test]
async fn what_the_destination_does_not_want_from_us_is_given_up_at_once() {
    let destination = Destination::start(|_| 403).await;
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(&destination, Protocol::Http, Compression::None);
    let forwarder = open(&settings, directory.path()).await;
    for body in [&b"1"[..], b"2", b"3"] {
        put(&forwarder, "", body).await;
    }
    let (_stop, stops) = watch::channel(false);
    let _sending = forwarder.start(&stops);
    until_empty(&forwarder).await;
    assert_eq!(destination.got().len(), 1);
    assert!(counted(&forwarder).contains("failed: 3"), "{}", counted(&forwarder));
}

#[tokio::test]
async fn a_full_queue_counts_what_it_leaves_out_and_waits_for_nobody() {
    let destination = Destination::start(|_| 200).await;
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(&destination, Protocol::Http, Compression::None);
    settings.queue.max_bytes = 100;
    let forwarder = open(&settings, directory.path()).await;
    for _ in 0..5 {
        put(&forwarder, "", &[7; 20]).await;
    }
    assert!(counted(&forwarder).contains("not_queued: 3"), "{}", counted(&forwarder));
    let (stop, stops) = watch::channel(false);
    let sending = forwarder.start(&stops);
    // What waits is sent before a stop.
    stop.send_replace(true);
    sending.ended().await;
    assert_eq!(destination.bytes(), [7; 40]);
    put(&forwarder, "", &[7; 20]).await;
    assert!(counted(&forwarder).contains("not_queued: 3"), "there is room again");
}

#[tokio::test]
async fn json_is_forwarded_as_protobuf() {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message;

    let destination = Destination::start(|_| 200).await;
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(&destination, Protocol::Grpc, Compression::Gzip);
    let forwarder = open(&settings, directory.path()).await;
    let request = crate::receivers::testing::request("clips", vec![crate::receivers::testing::call_span(1)]);
    let json = serde_json::to_vec(&request).unwrap();
    forwarder.queue(&"".into(), Transport::HttpJson, json.into(), spans(1)).await;
    let (_stop, stops) = watch::channel(false);
    let _sending = forwarder.start(&stops);
    let got = destination.wait_for(1).await.remove(0);
    assert_eq!(ExportTraceServiceRequest::decode(got.body).unwrap(), request);
    assert!(!got.headers.contains_key("x-scope-orgid"));
}

#[tokio::test]
async fn json_that_cannot_be_written_as_protobuf_is_counted() {
    let destination = Destination::start(|_| 200).await;
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(&destination, Protocol::Grpc, Compression::Gzip);
    let broken = || Bytes::from_static(b"[]");
    let forwarder = open(&settings, directory.path()).await;
    forwarder.queue(&"".into(), Transport::HttpJson, broken(), spans(3)).await;
    assert!(counted(&forwarder).contains("not_queued: 3"), "{}", counted(&forwarder));
    drop(forwarder);
    (settings.spans, settings.job_spans) = (false, true);
    let forwarder = open(&settings, directory.path()).await;
    forwarder.queue(&"".into(), Transport::HttpJson, broken(), spans(3)).await;
    assert!(counted(&forwarder).contains("not_queued: 0"), "it wants no spans");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_does_not_stop_the_queue() {
    let destination = Destination::start(|_| 200).await;
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(&destination, Protocol::Http, Compression::None);
    let forwarder = open(&settings, directory.path()).await;
    let queue = &forwarder.routes[0].queue;
    assert!(queue.append([9; 60].into()).unwrap().await.unwrap());
    let (_stop, stops) = watch::channel(false);
    let _sending = forwarder.start(&stops);
    for _ in 0..500 {
        if queue.bytes() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(queue.bytes(), 0, "it waits behind a row of which nothing is sent");
    assert!(counted(&forwarder).contains("failed: 1"), "{}", counted(&forwarder));
    put(&forwarder, "", b"next").await;
    assert_eq!(&*destination.wait_for(1).await[0].body, b"next");
}

/// A disk that fails each request is counted by what is wrong, and what it cost.
#[tokio::test]
async fn a_queue_that_cannot_be_written_is_counted() {
    let destination = Destination::start(|_| 200).await;
    let directory = tempfile::tempdir().unwrap();
    let forwarder = open(&settings(&destination, Protocol::Grpc, Compression::None), directory.path()).await;
    put(&forwarder, "", b"one").await;
    std::fs::remove_dir_all(directory.path().join("forward")).unwrap();
    put(&forwarder, "", b"two").await;
    put(&forwarder, "", b"three").await;
    let mut registry = Registry::new(LabelSets::new(9, &[]));
    forwarder.show(&mut registry, clock::now());
    let counted = |metric| {
        let of_some = registry.values(metric).filter(|(_, value)| !value.is_zero());
        of_some.map(|(own, value)| format!("{own} {value}")).collect::<Vec<_>>()
    };
    let own = r#"destination="otlp/test","#;
    assert_eq!(counted(MetricId::ForwardedSpans), [format!(r#"{own}outcome="not_queued" 2"#)]);
    assert_eq!(counted(MetricId::ForwardStorageFaults), [format!(r#"{own}fault="gone" 2"#)]);
}
