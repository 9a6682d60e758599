//! Sends a load over OTLP/gRPC: some connections with some requests in flight each, as fast as answers come
//! or at a given pace.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request};

use crate::codec::BytesCodec;
use crate::load::Batch;
use crate::reference::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES};

const EXPORT: PathAndQuery =
    PathAndQuery::from_static("/opentelemetry.proto.collector.trace.v1.TraceService/Export");
/// Spans of a sending end within this time before it: the load covers about three and a half seconds.
const LOAD_SPAN: Duration = Duration::from_secs(4);
/// How long a client waits after a refusal that may be repeated.
const BACK_OFF: Duration = Duration::from_millis(5);

/// How a load is sent.
#[derive(Clone, Debug)]
pub struct Sending {
    /// Connections.
    pub connections: usize,
    /// Requests in flight on each.
    pub in_flight: usize,
    /// Whether requests are compressed by gzip.
    pub gzip: bool,
    /// The authority of the server's certificate, as PEM; without one there is no TLS.
    pub authority: Option<String>,
    /// Spans a second; as fast as answers come if none.
    pub pace: Option<f64>,
    /// Number of the first round. What one server gets in two loads must be of different rounds, or jobs of
    /// one have ids of the other.
    pub first_round: u32,
}

impl Default for Sending {
    fn default() -> Self {
        Self { connections: 2, in_flight: 2, gzip: false, authority: None, pace: None, first_round: 0 }
    }
}

/// What a run of a load did.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// Spans acknowledged.
    pub spans: u64,
    /// Requests acknowledged.
    pub requests: u64,
    /// Refusals that the client answered by sending again.
    pub refusals: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// From when each request was due (at a pace) or sent until its acknowledgement, in microseconds,
    /// ascending.
    pub latencies_us: Vec<u32>,
}

impl Sent {
    /// The latency that so many of a thousand requests did not exceed, in milliseconds.
    pub fn latency_ms(&self, of_thousand: usize) -> f64 {
        let at = self.latencies_us.len() * of_thousand / 1000;
        let latency = self.latencies_us.get(at.min(self.latencies_us.len().saturating_sub(1)));
        f64::from(latency.copied().unwrap_or(0)) / 1e3
    }
}

/// What went wrong with a load.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// No connection.
    #[error("no connection to {address}: {source}")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// Why.
        source: tonic::transport::Error,
    },
    /// The server refused a valid request for good.
    #[error("the server answered {0} to a valid request")]
    Refused(Box<tonic::Status>),
    /// A sender ended by itself.
    #[error("a sender ended: {0}")]
    Sender(#[from] tokio::task::JoinError),
}

/// Sends batches for `duration`, round after round; then waits for the answers under way.
pub async fn run(
    address: SocketAddr,
    batches: Arc<Vec<Batch>>,
    duration: Duration,
    sending: &Sending,
) -> Result<Sent, DriveError> {
    let mut channels = Vec::new();
    for _ in 0..sending.connections.max(1) {
        channels.push(connect(address, sending.authority.as_deref()).await?);
    }
    let spans: u64 = batches.iter().map(|batch| batch.spans).sum();
    let begun = Instant::now();
    let sender = Sender {
        spans_a_batch: spans as f64 / batches.len().max(1) as f64,
        batches,
        next: Arc::default(),
        refusals: Arc::default(),
        begun,
        until: begun + duration,
        gzip: sending.gzip,
        pace: sending.pace,
        first_round: sending.first_round,
    };
    let mut senders = tokio::task::JoinSet::new();
    for channel in channels {
        for _ in 0..sending.in_flight.max(1) {
            senders.spawn(sender.clone().send(channel.clone()));
        }
    }
    let mut sent = Sent::default();
    while let Some(part) = senders.join_next().await {
        let part = part??;
        sent.spans += part.spans;
        sent.requests += part.requests;
        sent.latencies_us.extend(part.latencies_us);
    }
    sent.latencies_us.sort_unstable();
    sent.refusals = sender.refusals.load(Ordering::Relaxed);
    sent.elapsed = begun.elapsed();
    Ok(sent)
}

async fn connect(address: SocketAddr, authority: Option<&str>) -> Result<Channel, DriveError> {
    let connect = |source| DriveError::Connect { address, source };
    let scheme = if authority.is_some() { "https" } else { "http" };
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
        .map_err(connect)?
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    if let Some(authority) = authority {
        let trust = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority));
        endpoint = endpoint.tls_config(trust.domain_name("localhost")).map_err(connect)?;
    }
    endpoint.connect().await.map_err(connect)
}

/// One request after the other; what is shared says which is next.
#[derive(Clone)]
struct Sender {
    batches: Arc<Vec<Batch>>,
    spans_a_batch: f64,
    next: Arc<AtomicU32>,
    refusals: Arc<AtomicU64>,
    begun: Instant,
    until: Instant,
    gzip: bool,
    pace: Option<f64>,
    first_round: u32,
}

impl Sender {
    async fn send(self, channel: Channel) -> Result<Sent, DriveError> {
        let mut grpc = Grpc::new(channel);
        if self.gzip {
            grpc = grpc.send_compressed(CompressionEncoding::Gzip);
        }
        let mut sent = Sent::default();
        let count = self.batches.len() as u32;
        while Instant::now() < self.until {
            let nth = self.next.fetch_add(1, Ordering::Relaxed);
            let due = self.due(nth);
            if due >= self.until {
                break;
            }
            tokio::time::sleep_until(due.into()).await;
            let batch = &self.batches[(nth % count) as usize];
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let base = now.saturating_sub(LOAD_SPAN).as_nanos() as u64;
            let bytes = Bytes::from(batch.request.stamped(self.first_round + nth / count, base));
            let from = if self.pace.is_some() { due } else { Instant::now() };
            self.export(&mut grpc, bytes).await?;
            sent.latencies_us.push(u32::try_from(from.elapsed().as_micros()).unwrap_or(u32::MAX));
            sent.spans += batch.spans;
            sent.requests += 1;
        }
        Ok(sent)
    }

    /// When the nth request is to be sent.
    fn due(&self, nth: u32) -> Instant {
        let after = self.pace.map_or(0.0, |pace| f64::from(nth) * self.spans_a_batch / pace);
        self.begun + Duration::from_secs_f64(after)
    }

    /// Sends a request until it is taken.
    async fn export(&self, grpc: &mut Grpc<Channel>, bytes: Bytes) -> Result<(), DriveError> {
        loop {
            if grpc.ready().await.is_err() {
                let gone = tonic::Status::unavailable("the connection is gone");
                return Err(DriveError::Refused(Box::new(gone)));
            }
            match grpc.unary(Request::new(bytes.clone()), EXPORT, BytesCodec).await {
                Ok(_) => return Ok(()),
                Err(status) if matches!(status.code(), Code::Unavailable | Code::ResourceExhausted) => {
                    self.refusals.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(BACK_OFF).await;
                }
                Err(status) => return Err(DriveError::Refused(Box::new(status))),
            }
        }
    }
}
