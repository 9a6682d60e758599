//! Forwarding: the spans that came in, sent on to a Collector, Tempo, Jaeger or any other OTLP server.
//!
//! A request that is in the journal is appended to the queue of each destination, as the bytes that came
//! (JSON as protobuf), and only then acknowledged: what the sender was told is taken survives a crash here
//! too. Requests wait on disk ([`queue`]) and are sent in order, merged up to a size ([`deliver`]), by gRPC
//! or HTTP ([`client`]). A repeated field of protobuf may be written in pieces, so that merging is putting
//! bytes together: no span is decoded or written anew.
//!
//! A destination may also, or only, get a span for each job that settles ([`job_span`]).
//!
//! Each destination has its own queue, thread and connection. One that is dead fills its queue and nothing
//! else; when the queue is full, what comes is counted and not forwarded, and neither the acknowledgement nor
//! the metrics wait for it. Delivery is at least once: after a crash the last requests may go out again.

mod backoff;
mod client;
mod deliver;
pub(crate) mod fuzzing;
mod item;
mod job_span;
mod json;
mod metrics;
mod queue;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use spantally_store::StoreError;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::client::Client;
use self::deliver::Delivery;
use self::item::Item;
use self::metrics::Counts;
pub(crate) use self::metrics::{REQUEST_RESULTS, SPAN_OUTCOMES};
use self::queue::Queue;
use crate::batch::Transport;
use crate::clock;
use crate::config::Destination;
use crate::core::{Listener, Settled};
use crate::tls::TlsError;

/// How long a stopping server goes on sending. What is left stays in the queue.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a destination cannot be set up.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ForwardError {
    /// Its TLS.
    #[error("exporters.{name}: {source}")]
    Tls {
        /// The destination.
        name: String,
        /// What is wrong.
        source: TlsError,
    },
    /// The authorities of the system, or a name that TLS cannot check.
    #[error("exporters.{name}.tls: {problem}")]
    #[diagnostic(help("name the authorities in `ca_file`, or say `insecure: true`"))]
    Trust {
        /// The destination.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// Its queue.
    #[error("exporters.{name}.sending_queue: {source}")]
    Queue {
        /// The destination.
        name: String,
        /// What the store said.
        source: Box<StoreError>,
    },
}

/// Every destination.
#[derive(Debug, Default)]
pub(crate) struct Forwarder {
    routes: Vec<Route>,
}

/// One destination: the queue before it, and its counts.
#[derive(Debug)]
struct Route {
    settings: Destination,
    client: Client,
    queue: Queue,
    counts: Arc<Counts>,
}

impl Forwarder {
    /// Opens the queues under `directory`. Nothing is sent yet.
    ///
    /// # Errors
    /// A queue cannot be opened, or the TLS of a destination not be set up.
    pub(crate) fn open(destinations: &[Destination], directory: &Path) -> Result<Self, ForwardError> {
        let route = |settings: &Destination| {
            let client = Client::new(settings)?;
            let counts = Arc::new(Counts::default());
            let place = directory.join("forward").join(settings.name.replace('/', "@"));
            let queue = Queue::open(&place, &settings.name, settings.queue.max_bytes).map_err(|source| {
                ForwardError::Queue { name: settings.name.clone(), source: source.into() }
            })?;
            Ok(Route { settings: settings.clone(), client, queue, counts })
        };
        Ok(Self { routes: destinations.iter().map(route).collect::<Result<_, _>>()? })
    }

    /// Whether there is no destination.
    pub(crate) fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// Puts a request into every queue that has room for it, and returns when it is on disk.
    pub(crate) async fn queue(&self, tenant: &Arc<str>, transport: Transport, body: Bytes, spans: u64) {
        let body = match transport {
            Transport::HttpJson => match json::to_protobuf(&body) {
                Some(body) => body.into(),
                None => return,
            },
            _ => body,
        };
        let item = Item { tenant: Cow::Borrowed(tenant), spans, received_at: clock::now(), body };
        let row: Arc<[u8]> = item.encode().into();
        let mut waiting = Vec::with_capacity(self.routes.len());
        for route in self.routes.iter().filter(|route| route.settings.spans) {
            match route.queue.append(row.clone()) {
                Some(appended) => waiting.push((route, appended)),
                None => route.counts.not_queued(spans),
            }
        }
        for (route, appended) in waiting {
            if !appended.await.unwrap_or(false) {
                route.counts.not_queued(spans);
            }
        }
    }

    /// Who is to be told of jobs, when some destination gets spans of them.
    pub(crate) fn listener(self: &Arc<Self>) -> Option<Listener> {
        let forwarder = Arc::clone(self);
        let wanted = self.routes.iter().any(|route| route.settings.job_spans);
        wanted.then(|| Box::new(move |settled: &[Settled]| forwarder.queue_jobs(settled)) as Listener)
    }

    /// Puts the spans of jobs that were told into the queues that want them, and returns when they are on
    /// disk. It waits for the disk, so it is not for threads that serve connections.
    fn queue_jobs(&self, settled: &[Settled]) {
        let mut waiting = Vec::new();
        for (tenant, body, spans) in job_span::requests(settled) {
            let item = Item { tenant: Cow::Borrowed(&tenant), spans, received_at: clock::now(), body };
            let row: Arc<[u8]> = item.encode().into();
            for route in self.routes.iter().filter(|route| route.settings.job_spans) {
                match route.queue.append(row.clone()) {
                    Some(appended) => waiting.push((route, spans, appended)),
                    None => route.counts.not_queued(spans),
                }
            }
        }
        for (route, spans, appended) in waiting {
            if !appended.blocking_recv().unwrap_or(false) {
                route.counts.not_queued(spans);
            }
        }
    }

    /// Begins to send, until `stop` is true.
    pub(crate) fn start(&self, stop: &watch::Receiver<bool>) -> Sending {
        let mut tasks = JoinSet::new();
        for route in &self.routes {
            let delivery = Delivery {
                settings: route.settings.clone(),
                client: route.client.clone(),
                queue: route.queue.clone(),
                counts: route.counts.clone(),
                stop: stop.clone(),
            };
            tasks.spawn(delivery.run());
        }
        Sending { tasks }
    }
}

/// The tasks that send.
#[derive(Debug)]
pub(crate) struct Sending {
    tasks: JoinSet<()>,
}

impl Sending {
    /// Waits, for a while, until the queues are empty. They were told to stop before.
    pub(crate) async fn ended(mut self) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_TIMEOUT, all).await.is_err() {
            tracing::info!("what could not be forwarded yet stays in its queue");
            self.tasks.shutdown().await;
        }
    }
}
