//! Sends a load over OTLP/gRPC: two connections with two requests in flight each, as fast as answers come.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

use crate::codec::BytesCodec;
use crate::load::Batch;
use crate::reference::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES};

const CONNECTIONS: usize = 2;
const IN_FLIGHT: usize = 2;
const EXPORT: PathAndQuery =
    PathAndQuery::from_static("/opentelemetry.proto.collector.trace.v1.TraceService/Export");
/// Spans of a sending end within this time before it: the load covers about three and a half seconds.
const LOAD_SPAN: Duration = Duration::from_secs(4);
/// How long a client waits after a refusal that may be repeated.
const BACK_OFF: Duration = Duration::from_millis(5);

/// What a run of a load did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Spans acknowledged.
    pub spans: u64,
    /// Requests acknowledged.
    pub requests: u64,
    /// Refusals that the client answered by sending again.
    pub refusals: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
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
) -> Result<Sent, DriveError> {
    let (next, refusals) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU64::new(0)));
    let begun = Instant::now();
    let until = begun + duration;
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let channel = connect(address).await?;
        for _ in 0..IN_FLIGHT {
            let (channel, batches) = (channel.clone(), batches.clone());
            senders.spawn(send(channel, batches, next.clone(), refusals.clone(), until));
        }
    }
    let mut sent = Sent::default();
    while let Some(part) = senders.join_next().await {
        let (spans, requests) = part??;
        sent.spans += spans;
        sent.requests += requests;
    }
    sent.refusals = refusals.load(Ordering::Relaxed);
    sent.elapsed = begun.elapsed();
    Ok(sent)
}

async fn connect(address: SocketAddr) -> Result<Channel, DriveError> {
    let connect = |source| DriveError::Connect { address, source };
    Endpoint::from_shared(format!("http://{address}"))
        .map_err(connect)?
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .connect()
        .await
        .map_err(connect)
}

async fn send(
    channel: Channel,
    batches: Arc<Vec<Batch>>,
    next: Arc<AtomicU32>,
    refusals: Arc<AtomicU64>,
    until: Instant,
) -> Result<(u64, u64), DriveError> {
    let mut grpc = Grpc::new(channel);
    let (mut spans, mut requests) = (0, 0);
    while Instant::now() < until {
        let nth = next.fetch_add(1, Ordering::Relaxed);
        let count = batches.len() as u32;
        let batch = &batches[(nth % count) as usize];
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let base = now.saturating_sub(LOAD_SPAN).as_nanos() as u64;
        let bytes = Bytes::from(batch.request.stamped(nth / count, base));
        loop {
            if grpc.ready().await.is_err() {
                return Err(DriveError::Refused(Box::new(tonic::Status::unavailable(
                    "the connection is gone",
                ))));
            }
            match grpc.unary(Request::new(bytes.clone()), EXPORT, BytesCodec).await {
                Ok(_) => break,
                Err(status) if matches!(status.code(), Code::Unavailable | Code::ResourceExhausted) => {
                    refusals.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(BACK_OFF).await;
                }
                Err(status) => return Err(DriveError::Refused(Box::new(status))),
            }
        }
        spans += batch.spans;
        requests += 1;
    }
    Ok((spans, requests))
}
