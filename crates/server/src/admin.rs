//! The admin server: `/metrics`, health, the API of jobs, and a page for people, on one port.
//!
//! It listens from the first moment, so that an orchestrator can tell "starting" from "gone": `/healthz`
//! answers as long as the process can, `/readyz` only while spans are taken. Until the journal is replayed
//! there are no numbers to show, and everything else answers 503, but for the page, which says so; until the
//! core has then looked at what the last process left, a question waits for that.
//!
//! Questions lock the core or read a file, so they are asked from blocking threads, at most
//! [`MAX_QUESTIONS`] at a time; pages of metrics have places of their own, for what people ask of the ledger
//! may take long. Errors are JSON everywhere ([`error`]), for which names it answers says [`host`]. Next:
//! [`jobs`], [`page`], then [`crate::core`].

mod error;
mod host;
mod jobs;
mod page;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::Request;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::sync::{Semaphore, watch};

use self::error::ApiError;
pub(crate) use self::host::Hosts;
use crate::connections::{Connections, Port, Watch, serve};
use crate::core::{CoreHandle, Reader};
use crate::export::accept::takes_gzip;
use crate::export::{Format, Page};
use crate::receivers::Entry;
use crate::reconciliation::Reconciliation;
use crate::rules::Reloader;
use crate::tls::Certificates;

/// Most connections at a time.
pub(crate) const MAX_CONNECTIONS: usize = 256;

/// A few Prometheus servers, people, and tools.
pub(crate) fn connections() -> Connections {
    Connections {
        max_connections: MAX_CONNECTIONS,
        read_header_timeout: Duration::from_secs(10),
        max_connection_idle: Some(Duration::from_mins(10)),
        drain_timeout: Duration::from_secs(5),
        // An answer that is not read waits in memory, whole, for as long as its connection lives.
        max_concurrent_streams: 8,
        ..Connections::default()
    }
}

/// The admin server's connections are not counted: those of the receivers are what matters.
struct Uncounted;

impl Watch for Uncounted {}

/// How long a question waits for the first look. Prometheus asks anew sooner.
const FIRST_LOOK_PATIENCE: Duration = Duration::from_secs(30);

/// Questions of the API that are answered at once; a further one waits.
const MAX_QUESTIONS: usize = 8;

/// Pages of metrics that are written at once, each held until it is sent; a further one waits.
const MAX_SCRAPES: usize = 4;

/// What Prometheus sends with a scrape, and who else scrapes for it.
const SCRAPE_TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";

/// What a page of metrics depends on.
const VARY: &str = "accept, accept-encoding, x-prometheus-scrape-timeout-seconds";

/// Whether the server takes spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// The journal is being replayed.
    Starting,
    /// It does.
    Ready,
    /// It is stopping.
    Draining,
}

impl Readiness {
    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
        }
    }
}

/// What there is to ask.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) core: CoreHandle,
    pub(crate) entry: Arc<Entry>,
    pub(crate) reloader: Arc<Reloader>,
    pub(crate) reconciliation: Arc<Reconciliation>,
    pub(crate) certificates: Certificates,
}

impl Sources {
    /// The whole page of metrics.
    pub(crate) fn metrics_page(&self, format: Format, reader: Reader) -> Page {
        let Self { core, entry, reloader, reconciliation, certificates } = self;
        core.metrics_page_with(format, reader, |registry, created| {
            entry.intake.show(registry, created);
            entry.tenants.show(registry, created);
            entry.forwarder.show(registry, created);
            reloader.show(registry, created);
            reconciliation.show(registry, created);
            certificates.show(registry, created);
        })
    }
}

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct Admin {
    readiness: watch::Receiver<Readiness>,
    /// Set once the state of the last process is taken back.
    sources: OnceLock<Sources>,
    data_directory: PathBuf,
    addresses: Vec<(&'static str, SocketAddr)>,
    hosts: Hosts,
    questions: Semaphore,
    scrapes: Semaphore,
}

impl Admin {
    /// An admin server of a server that is starting. `addresses` are shown on the first page; requests are
    /// for `hosts`.
    pub(crate) fn new(
        readiness: watch::Receiver<Readiness>,
        data_directory: PathBuf,
        addresses: Vec<(&'static str, SocketAddr)>,
        hosts: Hosts,
    ) -> Arc<Self> {
        let (questions, scrapes) = (Semaphore::new(MAX_QUESTIONS), Semaphore::new(MAX_SCRAPES));
        Arc::new(Self {
            readiness,
            sources: OnceLock::new(),
            data_directory,
            addresses,
            hosts,
            questions,
            scrapes,
        })
    }

    /// From now on there are numbers to show.
    pub(crate) fn answer_from(&self, sources: Sources) {
        // Set twice it keeps the first, which is of the same server.
        drop(self.sources.set(sources));
    }

    /// Serves until `stop` turns true.
    pub(crate) async fn serve(self: Arc<Self>, port: Port, stop: watch::Receiver<bool>) {
        let router = self.router();
        let handler = move |request: Request<Incoming>| {
            let answer = TowerToHyperService::new(router.clone()).call(request);
            async move { answer.await.unwrap_or_else(|never: Infallible| match never {}) }
        };
        if let Err(error) = serve(port, stop, connections(), Arc::new(Uncounted), handler).await {
            tracing::warn!(%error, "the admin server ended badly");
        }
    }

    fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/", get(page::start))
            .route("/page/{file}", get(page::file))
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .route("/api/v1/jobs", get(jobs::list))
            .route("/api/v1/jobs/{id}", get(jobs::one))
            .route("/api/v1/jobs/{id}/calls", get(jobs::calls))
            .method_not_allowed_fallback(method_not_allowed)
            .fallback(not_found)
            .layer(from_fn_with_state(Arc::clone(&self), host::check))
            .with_state(self)
    }

    /// Asks the core or the ledger from a blocking thread.
    async fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(&Sources) -> Result<R, ApiError> + Send + 'static,
    ) -> Result<R, ApiError> {
        self.ask_in(&self.questions, question).await
    }

    /// The same in one of these places.
    async fn ask_in<R: Send + 'static>(
        &self,
        places: &Semaphore,
        question: impl FnOnce(&Sources) -> Result<R, ApiError> + Send + 'static,
    ) -> Result<R, ApiError> {
        let sources = self.sources.get().cloned().ok_or_else(ApiError::starting)?;
        let looked = tokio::time::timeout(FIRST_LOOK_PATIENCE, sources.core.first_look());
        looked.await.map_err(|_| ApiError::starting())?;
        let _place = places.acquire().await.map_err(ApiError::internal)?;
        tokio::task::spawn_blocking(move || question(&sources)).await.map_err(ApiError::internal)?
    }
}

async fn ready(State(admin): State<Arc<Admin>>) -> (StatusCode, String) {
    let readiness = *admin.readiness.borrow();
    let takes_spans = admin.sources.get().is_none_or(|sources| sources.core.takes_spans());
    if readiness == Readiness::Ready && !takes_spans {
        let what = "the journal cannot be written; /metrics and the log say why\n".to_owned();
        return (StatusCode::SERVICE_UNAVAILABLE, what);
    }
    let status = match readiness {
        Readiness::Ready => StatusCode::OK,
        Readiness::Starting | Readiness::Draining => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, format!("{}\n", readiness.as_str()))
}

async fn metrics(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Result<Response, ApiError> {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::negotiate(accept);
    let encoding = headers.get(header::ACCEPT_ENCODING).and_then(|accept| accept.to_str().ok());
    let is_zipped = takes_gzip(encoding);
    let reader = if headers.contains_key(SCRAPE_TIMEOUT) { Reader::Scraper } else { Reader::Other };
    let pieces = admin.ask_in(&admin.scrapes, move |sources| {
        let page = sources.metrics_page(format, reader);
        if is_zipped { gzip(page).map_err(ApiError::internal) } else { Ok(page.into_pieces()) }
    });
    let body = Body::new(Pieces(pieces.await?.into()));
    let mut answer = ([(header::CONTENT_TYPE, format.content_type())], body).into_response();
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static(VARY));
    if is_zipped {
        answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(answer)
}

/// The page as a scraper gets it over a network. Lines are much alike: the fastest level makes a tenth of it.
fn gzip(page: Page) -> std::io::Result<Vec<Bytes>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for piece in page.into_pieces() {
        encoder.write_all(&piece)?;
    }
    Ok(vec![encoder.finish()?.into()])
}

/// A body in pieces, which are sent from where they are.
struct Pieces(VecDeque<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}

async fn not_found(uri: Uri) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "not_found", format!("there is nothing at {}", uri.path()))
}

async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    let message = format!("{method} is not possible at {}; use GET", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}
