//! Forwarding: the spans that came in, sent on to a Collector, Tempo, Jaeger or any other OTLP server.
//!
//! A request that is in the journal is appended to the queue of each destination, as the bytes that came
//! (JSON as protobuf), and only then acknowledged: what the sender was told is taken survives a crash here
//! too. Requests wait on disk ([`queue`]) and are sent, those of each tenant in order and merged up to a size
//! ([`deliver`]), by gRPC or HTTP ([`client`]). A repeated field of protobuf may be written in pieces, so
//! merging is putting bytes together: no span is decoded or written anew. The files of its TLS are read again
//! when they change ([`connecting`]).
//!
//! A destination may also, or only, get a span for each job that settles ([`job_span`]); and it may want
//! recognised spans with what their job has to say of them, for which they wait ([`hold`]).
//!
//! Each destination has its own queue, thread and connection. One that is dead fills its queue and nothing
//! else; when the queue is full, or its disk has no room ([`reopen`]), what comes is counted and not
//! forwarded, and neither the acknowledgement nor the metrics wait for it. Delivery is at least once: after a
//! crash the last requests may go out again.

mod attributes;
mod backoff;
mod client;
mod connecting;
mod deliver;
mod disk;
pub(crate) mod fuzzing;
pub(crate) mod held;
mod hold;
mod item;
mod job_span;
mod json;
mod keys;
pub(crate) mod lanes;
mod metrics;
mod parts;
mod progress;
pub(crate) mod queue;
mod rebuilt;
mod reopen;
mod sending;
mod split;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
pub(crate) mod tests;
mod trouble;
mod unqueued;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use spantally_stitch::SpanKey;
use spantally_store::StoreError;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

pub(crate) use self::client::Client;
use self::deliver::Delivery;
use self::hold::Hold;
use self::item::Item;
use self::metrics::{Counts, JobAttributes};
use self::queue::Queue;
pub(crate) use self::sending::Sending;
use crate::batch::{Batch, Transport};
use crate::clock;
use crate::config::Destination;
use crate::core::{Listener, Settled};
use crate::tls::TlsError;

/// JSON up to this is written as protobuf at once; a thread that may work on something longer takes more.
const INLINE_JSON_BYTES_MAX: usize = 64 << 10;

/// A connection that is silent is pinged after this long.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Why a destination cannot be set up.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ForwardError {
    /// Its TLS.
    #[error("exporters.{name}.{source}")]
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
    #[error("exporters.{name}.sending_queue: {error}")]
    Queue {
        /// The destination.
        name: String,
        /// What the store said; in the text, hence not told as a source once more.
        error: Box<StoreError>,
    },
}

impl ForwardError {
    /// The key of the configuration that it is about.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Tls { name, source } => format!("exporters.{name}.{}", source.key()),
            Self::Trust { name, .. } => format!("exporters.{name}.endpoint"),
            Self::Queue { name, .. } => format!("exporters.{name}.sending_queue"),
        }
    }
}

/// Makes ready to speak to each destination. Nothing is connected yet.
///
/// # Errors
/// The TLS of one cannot be set up.
pub(crate) fn clients(destinations: &[Destination]) -> Result<Vec<Client>, ForwardError> {
    destinations.iter().map(Client::new).collect()
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
    hold: Option<Hold>,
    counts: Arc<Counts>,
}

/// An item as queues have it.
struct Row {
    spans: u64,
    bytes: Arc<[u8]>,
}

impl From<&Item<'_>> for Row {
    fn from(item: &Item<'_>) -> Self {
        Self { spans: item.spans, bytes: item.encode().into() }
    }
}

/// An item on its way to the disk.
struct Appending<'r> {
    counts: &'r Counts,
    spans: u64,
    appended: oneshot::Receiver<bool>,
}

/// The spans of a request that was taken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spans<'a> {
    /// How many came.
    pub(crate) received: u64,
    /// Whether some were rejected for an id.
    pub(crate) has_invalid_ids: bool,
    /// Those that wait for their job where that is wanted, sorted.
    pub(crate) to_hold: &'a [SpanKey],
}

/// What was asked of the routes for one request.
struct Asked<'r> {
    waiting: Vec<Appending<'r>>,
    /// Who is to hold spans of it, and what tells whether they are held.
    holding: Vec<(&'r Route, Option<oneshot::Receiver<bool>>)>,
    /// Those spans.
    held: Option<Item<'static>>,
}

impl Appending<'_> {
    async fn ended(self) {
        if !self.appended.await.unwrap_or(false) {
            self.counts.not_queued(self.spans);
        }
    }

    /// The same for threads that may wait.
    fn wait(self) {
        if !self.appended.blocking_recv().unwrap_or(false) {
            self.counts.not_queued(self.spans);
        }
    }
}

impl Route {
    /// Opens its queue under a directory, and what it holds, or held before.
    fn open(settings: &Destination, client: Client, directory: &Path) -> Result<Self, ForwardError> {
        let counts = Arc::new(Counts::default());
        let place = directory.join("forward").join(settings.name.replace('/', "@"));
        let name = &settings.name;
        let of_queue = |error: StoreError| ForwardError::Queue { name: name.clone(), error: error.into() };
        let queue = Queue::open(&place, name, settings.queue.max_bytes, &counts).map_err(of_queue)?;
        let place = place.join("held");
        let hold = (settings.hold.enabled || place.exists())
            .then(|| Hold::open(&place, name, settings.hold, queue.clone(), counts.clone()))
            .transpose()
            .map_err(of_queue)?;
        Ok(Self { settings: settings.clone(), client, queue, hold, counts })
    }

    /// Who holds spans of this request, if it is wanted.
    fn hold(&self) -> Option<&Hold> {
        self.hold.as_ref().filter(|_| self.settings.hold.enabled)
    }

    /// Asks to have an item on disk; it is counted if there is no room.
    fn append<'r>(&'r self, row: &Row) -> Option<Appending<'r>> {
        let appended = self.queue.append(row.bytes.clone());
        if appended.is_none() {
            self.counts.not_queued(row.spans);
        }
        Some(Appending { counts: &self.counts, spans: row.spans, appended: appended? })
    }
}

impl Forwarder {
    /// Opens the queues under `directory`, each with its client. Nothing is sent yet.
    ///
    /// # Errors
    /// A queue cannot be opened.
    pub(crate) fn open(
        destinations: &[Destination],
        clients: Vec<Client>,
        directory: &Path,
    ) -> Result<Self, ForwardError> {
        let routes = destinations.iter().zip(clients);
        let routes = routes.map(|(settings, client)| Route::open(settings, client, directory));
        Ok(Self { routes: routes.collect::<Result<_, _>>()? })
    }

    /// Whether there is no destination.
    pub(crate) fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// The spans of a batch that destinations may hold, sorted; none when no destination does.
    pub(crate) fn to_hold(&self, batch: &Batch) -> Vec<SpanKey> {
        if !self.routes.iter().any(|route| route.hold().is_some()) {
            return Vec::new();
        }
        let held = batch.evidence.iter().filter(|evidence| hold::is_held(evidence));
        let mut keys: Vec<SpanKey> = held.map(|evidence| evidence.span).collect();
        keys.sort_unstable();
        keys
    }

    /// Puts a request into every queue that has room for it, and returns when it is on disk. Spans whose ids
    /// are not as OTLP has them are left out. Where they are wanted with their job, some wait for it.
    pub(crate) async fn queue(
        &self,
        tenant: &Arc<str>,
        transport: Transport,
        body: Bytes,
        Spans { received: mut spans, has_invalid_ids, to_hold }: Spans<'_>,
    ) {
        let takers = || self.routes.iter().filter(|route| route.settings.spans);
        if takers().next().is_none() {
            return;
        }
        let body = if transport == Transport::HttpJson { as_protobuf(body).await } else { Some(body) };
        let Some(mut body) = body else {
            tracing::warn!(spans, "a request in JSON cannot be written as protobuf and is not forwarded");
            takers().for_each(|route| route.counts.not_queued(spans));
            return;
        };
        if let Some(cut) = has_invalid_ids.then(|| split::split_invalid(&body)).flatten() {
            takers().for_each(|route| route.counts.invalid(cut.taken_spans));
            spans = spans.saturating_sub(cut.taken_spans);
            if spans == 0 {
                return;
            }
            body = cut.rest.into();
        }
        let Asked { mut waiting, holding, held } = self.ask(tenant, body, spans, to_hold);
        for (route, holding) in holding {
            let is_held = match holding {
                Some(holding) => holding.await.unwrap_or(false),
                None => false,
            };
            if let Some(held) = held.as_ref().filter(|_| !is_held) {
                route.counts.let_go(JobAttributes::NotHeld, held.spans);
                waiting.extend(route.append(&held.into()));
            }
        }
        for appending in waiting {
            appending.ended().await;
        }
    }

    /// Asks every route to have its part of a request on disk.
    fn ask(&self, tenant: &Arc<str>, body: Bytes, spans: u64, to_hold: &[SpanKey]) -> Asked<'_> {
        let item = |spans: u64, body: Bytes| Item {
            tenant: Cow::Owned(tenant.to_string()),
            spans,
            received_at: clock::now(),
            body,
        };
        let split = if to_hold.is_empty() { None } else { split::split(&body, to_hold) };
        let (rest, held) = split
            .map(|split| {
                let rest = item(spans.saturating_sub(split.taken_spans), split.rest.into());
                (rest, item(split.taken_spans, split.taken.into()))
            })
            .unzip();
        let (holders, others): (Vec<&Route>, Vec<&Route>) = self
            .routes
            .iter()
            .filter(|route| route.settings.spans)
            .partition(|route| held.is_some() && route.hold().is_some());
        let mut asked = Asked { waiting: Vec::with_capacity(self.routes.len()), holding: Vec::new(), held };
        if let Some(held) = &asked.held {
            let hold = |route: &&'_ Route| route.hold().and_then(|hold| hold.hold(held.clone()));
            asked.holding = holders.iter().map(|route| (*route, hold(route))).collect();
        }
        if let Some(rest) = rest.filter(|rest| rest.spans > 0 && !holders.is_empty()) {
            let row = Row::from(&rest);
            asked.waiting.extend(holders.iter().filter_map(|route| route.append(&row)));
        }
        if !others.is_empty() {
            let row = Row::from(&item(spans, body));
            asked.waiting.extend(others.iter().filter_map(|route| route.append(&row)));
        }
        asked
    }

    /// Who is to be told of jobs, when some destination wants to hear of them.
    pub(crate) fn listener(self: &Arc<Self>) -> Option<Listener> {
        let forwarder = Arc::clone(self);
        let wanted = self.routes.iter().any(|route| route.settings.job_spans || route.hold().is_some());
        wanted.then(|| Box::new(move |settled: &[Settled]| forwarder.queue_jobs(settled)) as Listener)
    }

    /// Puts the spans of jobs that were told into the queues that want them, and returns when they are on
    /// disk. It waits for the disk, so it is not for threads that serve connections.
    fn queue_jobs(&self, settled: &[Settled]) {
        let mut let_go = Vec::new();
        if self.routes.iter().any(|route| route.hold().is_some()) {
            let told: Arc<[_]> = attributes::told(settled).into();
            let_go.extend(self.routes.iter().filter_map(Route::hold).map(|hold| hold.tell(told.clone())));
        }
        let mut waiting = Vec::new();
        let routes: Vec<&Route> = self.routes.iter().filter(|route| route.settings.job_spans).collect();
        let requests = if routes.is_empty() { Vec::new() } else { job_span::requests(settled) };
        for (tenant, body, spans) in requests {
            let item = Item { tenant: Cow::Borrowed(&tenant), spans, received_at: clock::now(), body };
            let row = Row::from(&item);
            waiting.extend(routes.iter().filter_map(|route| route.append(&row)));
        }
        waiting.into_iter().for_each(Appending::wait);
        for let_go in let_go {
            // Without an answer the thread has panicked, and said so.
            drop(let_go.blocking_recv());
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
            tasks.spawn(route.client.watch(stop.clone()));
        }
        let queues = self.routes.iter().map(|route| route.queue.clone()).collect();
        Sending { tasks, queues }
    }
}

/// JSON as protobuf, if it can be written so.
async fn as_protobuf(body: Bytes) -> Option<Bytes> {
    if body.len() <= INLINE_JSON_BYTES_MAX {
        return json::to_protobuf(&body).map(Bytes::from);
    }
    let written = tokio::task::spawn_blocking(move || json::to_protobuf(&body)).await;
    written.ok().flatten().map(Bytes::from)
}
