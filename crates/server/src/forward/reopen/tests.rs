//! A disk that fails while queues are opened, and later does not.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use spantally_stitch::{SpanId, SpanKey, TraceId};
use tokio::sync::watch;

use super::super::testing::Destination;
use super::super::tests::{open, put, settings};
use super::super::{ForwardError, Forwarder, Spans};
use super::*;
use crate::batch::Transport;
use crate::config::{Compression, HoldSpans, Protocol};

/// A journal in whose place a file stands that can be opened and not be read.
struct Broken {
    file: PathBuf,
    aside: PathBuf,
}

impl Broken {
    fn at(directory: &Path) -> Self {
        let (file, aside) = (directory.join("journal.db"), directory.join("aside"));
        std::fs::rename(&file, &aside).unwrap();
        std::os::unix::fs::symlink("/proc/self/mem", &file).unwrap();
        Self { file, aside }
    }

    fn repair(self) {
        std::fs::rename(self.aside, self.file).unwrap();
    }
}

fn counted(forwarder: &Forwarder, what: &str) -> bool {
    format!("{:?}", forwarder.routes[0].counts).contains(what)
}

/// A span that is held, if spans are.
async fn put_held(forwarder: &Forwarder) -> Bytes {
    let span = Span { trace_id: vec![1; 16], span_id: vec![1; 8], ..Span::default() };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    let body = Bytes::from(ExportTraceServiceRequest { resource_spans }.encode_to_vec());
    let key = SpanKey { trace: TraceId([1; 16]), span: SpanId([1; 8]) };
    forwarder
        .queue(
            &"".into(),
            Transport::Grpc,
            body.clone(),
            Spans { received: 1, to_hold: &[key], ..Spans::default() },
        )
        .await;
    body
}

async fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}");
}

#[tokio::test]
async fn a_queue_that_cannot_be_opened_yet_is_opened_later_and_sends_what_waits() {
    let destination = Destination::start(|_| 200).await;
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(&destination, Protocol::Http, Compression::None);
    put(&open(&settings, directory.path()).await, "", b"one").await;
    drop(open(&settings, directory.path()).await);
    let broken = Broken::at(&directory.path().join("forward/otlp@test"));
    let forwarder = open(&settings, directory.path()).await;
    let (_stop, stops) = watch::channel(false);
    let _sending = forwarder.start(&stops);
    put(&forwarder, "", b"two").await;
    assert!(counted(&forwarder, "not_queued: 1"), "{forwarder:?}");
    assert!(counted(&forwarder, "storage_faults: [0, 0, 0, 0, 0, 0, 1]"), "{forwarder:?}");
    assert_eq!(forwarder.routes[0].queue.bytes(), 0);
    broken.repair();
    destination.wait_for(1).await;
    put(&forwarder, "", b"three").await;
    destination.wait_for(2).await;
    assert_eq!(destination.bytes(), b"onethree");
    wait_until("it is taken off the queue", || forwarder.routes[0].queue.bytes() == 0).await;
}

#[tokio::test]
async fn without_the_log_of_those_held_none_waits_until_it_can_be_opened() {
    let destination = Destination::start(|_| 200).await;
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(&destination, Protocol::Http, Compression::None);
    settings.hold = HoldSpans { enabled: true, ..HoldSpans::default() };
    let forwarder = open(&settings, directory.path()).await;
    let body = put_held(&forwarder).await;
    drop(forwarder);
    drop(open(&settings, directory.path()).await);
    let broken = Broken::at(&directory.path().join("forward/otlp@test/held"));
    let forwarder = open(&settings, directory.path()).await;
    let (_stop, stops) = watch::channel(false);
    let _sending = forwarder.start(&stops);
    put_held(&forwarder).await;
    assert!(counted(&forwarder, "job_attributes: [0, 0, 0, 1], held_spans: 0"), "{forwarder:?}");
    assert_eq!(destination.wait_for(1).await[0].body, body);
    broken.repair();
    wait_until("what was held waits on", || counted(&forwarder, "held_spans: 1")).await;
}

/// That would not pass by itself, and is better told than counted.
#[tokio::test]
async fn a_file_of_others_is_told_at_the_start() {
    let destination = Destination::start(|_| 200).await;
    let directory = tempfile::tempdir().unwrap();
    let settings = [settings(&destination, Protocol::Http, Compression::None)];
    let place = directory.path().join("forward/otlp@test");
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("journal.db"), b"a text of somebody else\n".repeat(100)).unwrap();
    let clients = super::super::clients(&settings).unwrap();
    let opened = Forwarder::open(&settings, clients, directory.path());
    assert!(matches!(opened, Err(ForwardError::Queue { .. })), "{opened:?}");
}
