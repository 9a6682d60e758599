//! What the tests of intake and receivers share: good requests, and a server on real sockets with a journal
//! in memory.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use spantally_providers::{CorrelationConfig, Recogniser, builtin};
use spantally_store::{Dropped, Journal, Seq, StoreError};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{Entry, GrpcSettings, HttpSettings, Tenants, UnderWay, grpc, http};
use crate::batch::Transport;
use crate::commit::{CommitMessage, CommitOptions, Committer};
use crate::config::Auth;
use crate::connections::{Port, Versions};
use crate::forward::Forwarder;
use crate::intake::{Inflight, Intake};
use crate::request_end::RequestEnd;
use crate::tls::ServerTls;

/// The built-in rules.
pub(crate) fn recogniser() -> Arc<Recogniser> {
    let files = builtin::files().unwrap();
    Arc::new(Recogniser::compile(&files, &CorrelationConfig::default()).unwrap())
}

pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Any::StringValue(value.into())) });
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}

/// A submit to fal, told apart by its span id.
pub(crate) fn call_span(id: u8) -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![id; 8],
        name: "POST".into(),
        kind: 3,
        start_time_unix_nano: 1_800_000_000_000_000_000,
        end_time_unix_nano: 1_800_000_000_500_000_000,
        attributes: vec![
            text("http.request.method", "POST"),
            text("url.full", "https://queue.fal.run/fal-ai/flux/dev"),
        ],
        ..Span::default()
    }
}

/// A request of one service.
pub(crate) fn request(service: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let resource = Some(Resource { attributes: vec![text("service.name", service)], ..Resource::default() });
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }
}

pub(crate) fn inflight(limit_bytes: u64) -> Inflight {
    Inflight::new(limit_bytes, 1000)
}

/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(10);

/// A journal that keeps nothing, and fails when it is told to.
struct Memory {
    rows: u64,
    full: Arc<AtomicBool>,
    stalled: Arc<AtomicBool>,
}

impl Journal for Memory {
    fn append(&mut self, _batch: &[u8]) -> Result<Seq, StoreError> {
        while self.stalled.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if self.full.load(Ordering::Relaxed) {
            return Err(StoreError::Full {
                path: "journal.db".into(),
                detail: "by order of the test".to_owned(),
            });
        }
        self.rows += 1;
        Ok(Seq(self.rows))
    }

    fn replay(
        &mut self,
        _after: Seq,
        _visit: &mut dyn FnMut(Seq, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn drop_to(&mut self, _applied: Seq) -> Result<Dropped, StoreError> {
        Ok(Dropped::All)
    }
}

/// Both receivers, on ports that the operating system chose.
pub(super) struct Server {
    pub(super) grpc: SocketAddr,
    pub(super) http: SocketAddr,
    pub(super) intake: Arc<Intake>,
    pub(super) disk_full: Arc<AtomicBool>,
    /// While it is true nothing gets to the disk.
    pub(super) stalled: Arc<AtomicBool>,
    pub(super) under_way: UnderWay,
    pub(super) stop: watch::Sender<bool>,
    pub(super) tasks: Vec<tokio::task::JoinHandle<std::io::Result<()>>>,
    messages: Receiver<CommitMessage>,
    _committer: Committer,
}

impl Server {
    pub(super) async fn start() -> Self {
        Self::start_with(GrpcSettings::default(), HttpSettings::default(), 256 << 20).await
    }

    pub(super) async fn start_with(grpc: GrpcSettings, http: HttpSettings, inflight_bytes: u64) -> Self {
        Self::start_for(grpc, http, inflight_bytes, &Auth::default(), None).await
    }

    pub(super) async fn start_for(
        grpc: GrpcSettings,
        http: HttpSettings,
        inflight_bytes: u64,
        auth: &Auth,
        tls: Option<Arc<ServerTls>>,
    ) -> Self {
        Self::start_to(grpc, http, inflight_bytes, auth, tls, Arc::default()).await
    }

    /// Both, with destinations.
    pub(super) async fn start_to(
        grpc: GrpcSettings,
        http: HttpSettings,
        inflight_bytes: u64,
        auth: &Auth,
        tls: Option<Arc<ServerTls>>,
        forwarder: Arc<Forwarder>,
    ) -> Self {
        let stalled = Arc::default();
        let disk_full = Arc::new(AtomicBool::new(false));
        let journal = Box::new(Memory { rows: 0, full: disk_full.clone(), stalled: Arc::clone(&stalled) });
        let (core, messages) = sync_channel(1024);
        let committer = Committer::start(journal, CommitOptions::default(), core).unwrap();
        let intake = Arc::new(Intake::new(recogniser(), committer.handle(), inflight_bytes));
        let tenants = Tenants::new(auth).unwrap();
        let under_way = UnderWay::default();
        let entry = Entry { intake: intake.clone(), tenants, forwarder, under_way: under_way.clone() };
        let entry = Arc::new(entry);
        let (stop, stopped) = watch::channel(false);
        let grpc_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (grpc_at, http_at) = (grpc_listener.local_addr().unwrap(), http_listener.local_addr().unwrap());
        let grpc_port = Port { listener: grpc_listener, tls: tls.clone(), versions: Versions::Http2 };
        let http_port = Port { listener: http_listener, tls, versions: Versions::Both };
        let tasks = vec![
            tokio::spawn(grpc::serve(grpc_port, grpc, entry.clone(), stopped.clone())),
            tokio::spawn(http::serve(http_port, http, entry, stopped)),
        ];
        Self {
            grpc: grpc_at,
            http: http_at,
            intake,
            disk_full,
            stalled,
            under_way,
            stop,
            tasks,
            messages,
            _committer: committer,
        }
    }

    /// Checks how many spans were committed since the last call: received, and kept as evidence.
    ///
    /// The core is handed a batch after its sender has been answered, so it is waited for.
    pub(super) fn expect_committed(&self, expected: (u64, usize)) {
        let mut seen = (0, 0);
        while seen.0 < expected.0 {
            let message = self.messages.recv_timeout(SOON).unwrap();
            seen = message.batches.iter().fold(seen, |(received, kept), batch| {
                (received + batch.tally.received, kept + batch.evidence.len())
            });
        }
        assert_eq!(seen, expected);
        assert!(self.messages.try_recv().is_err(), "more was committed");
    }

    /// The tenants of the next batches that were committed.
    pub(super) fn tenants_committed(&self, batches: usize) -> Vec<String> {
        let mut found = Vec::new();
        while found.len() < batches {
            let message = self.messages.recv_timeout(SOON).unwrap();
            let tenants = message.batches.iter().map(|batch| batch.evidence[0].client.tenant.to_string());
            found.extend(tenants);
        }
        found
    }

    /// How requests ended, those that came at all.
    pub(super) fn ends(&self) -> Vec<(&'static str, &'static str, u64)> {
        let pairs =
            Transport::ALL.into_iter().flat_map(|transport| RequestEnd::ALL.map(|end| (transport, end)));
        let counts = pairs.map(|(transport, end)| {
            (transport.as_str(), end.as_str(), self.intake.stats().requests(transport, end))
        });
        counts.filter(|(.., count)| *count > 0).collect()
    }
}
