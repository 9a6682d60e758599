//! OTLP over sockets: where a span comes in.
//!
//! [`grpc`] and [`http`] differ in framing and in how an answer is spelled. What they share is one file each:
//! who sends and what it may use (`tenant`), reading a body within its limits (`body`), inflating it
//! (`compression`), and what is answered to which outcome (`answer`). Between them stands [`take`]: inflate,
//! read, commit, queue for those that it is forwarded to; the last two are done to their end also when the
//! sender goes before its answer ([`under_way`]). Connections are [`crate::connections`].
//!
//! | outcome | HTTP | gRPC | client sends again |
//! |---|---|---|---|
//! | durable | 200, `partial_success` unset | OK | |
//! | durable but for unusable spans | 200, `rejected_spans` | OK | no |
//! | unreadable, does not inflate | 400 + `BadRequest` | `INVALID_ARGUMENT` + `BadRequest` | no |
//! | no token, an unknown tenant | 401, 403 | `UNAUTHENTICATED`, `PERMISSION_DENIED` | no |
//! | over the limit, as sent or inflated | 413 | `RESOURCE_EXHAUSTED` without `RetryInfo` | no |
//! | its tenant's rate is used up | 429 + `Retry-After` | `RESOURCE_EXHAUSTED` + `RetryInfo` | yes |
//! | queues full, disk full, stopping | 503 + `Retry-After` | `UNAVAILABLE` + `RetryInfo` | yes |
//!
//! Next in the flow: [`crate::intake`].

mod answer;
mod body;
mod compression;
mod cors;
mod ending;
pub(crate) mod fuzzing;
pub mod grpc;
pub mod http;
mod settings;
mod tenant;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
pub(crate) mod tests;
mod under_way;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::task::JoinError;
use tracing::Instrument;
use tracing::field::Empty;

use self::answer::Failure;
use self::compression::Coding;
pub use self::settings::{GrpcSettings, HttpSettings};
use self::tenant::Room;
pub use self::tenant::TokenFileError;
pub(crate) use self::tenant::{Tenant, Tenants};
pub(crate) use self::under_way::UnderWay;
use crate::batch::{Batch, Refusal, Tally, Transport};
pub use crate::connections::Connections;
use crate::connections::Watch;
use crate::decode::json;
use crate::forward::{Forwarder, Spans};
use crate::intake::Intake;
use crate::telemetry::TARGET;

/// Largest plain protobuf body that is read on the thread that serves connections: about half a millisecond.
const INLINE_BYTES_MAX: usize = 1 << 20;

/// The same for bodies that are inflated or rewritten first.
const INLINE_SLOW_BYTES_MAX: usize = 128 << 10;

/// What the receivers share, and hand requests to.
#[derive(Debug)]
pub struct Entry {
    pub(crate) intake: Arc<Intake>,
    pub(crate) tenants: Tenants,
    pub(crate) forwarder: Arc<Forwarder>,
    /// What is being committed and queued for destinations.
    pub(crate) under_way: UnderWay,
}

impl Watch for Entry {
    fn opened(&self) {
        self.intake.stats().connections_accepted.fetch_add(1, Ordering::Relaxed);
        self.intake.stats().connections_open.fetch_add(1, Ordering::Relaxed);
    }

    fn full(&self) {
        self.intake.stats().connections_full.fetch_add(1, Ordering::Relaxed);
    }

    fn ended(&self, well: bool) {
        if !well {
            self.intake.stats().connections_failed.fetch_add(1, Ordering::Relaxed);
        }
        self.intake.stats().connections_open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body as it came.
struct Received {
    transport: Transport,
    coding: Coding,
    body: Bytes,
    /// Most bytes that it may inflate to.
    limit: usize,
    tenant: Arc<Tenant>,
    /// What it may use of the bytes in flight, held until it is durable.
    room: Room,
}

/// A body that was read.
struct Taken {
    batch: Batch,
    /// The request, inflated, as protobuf or JSON.
    body: Bytes,
    tenant: Arc<Tenant>,
    _room: Room,
}

/// Inflates, reads and commits a body, and queues it for those that it is forwarded to.
async fn take(entry: &Arc<Entry>, received: Received) -> Result<Tally, Failure> {
    let span = tracing::info_span!(
        target: TARGET,
        "otlp.export",
        otel.kind = "server",
        otel.status_code = Empty,
        spantally.transport = received.transport.as_str(),
        spantally.tenant = &*received.tenant.name,
        spantally.body_bytes = received.body.len(),
        spantally.spans = Empty,
        error.r#type = Empty,
    );
    let taken = take_traced(entry, received).instrument(span.clone()).await;
    match &taken {
        Ok(tally) => drop(span.record("spantally.spans", tally.received)),
        Err(failure) => {
            span.record("otel.status_code", "ERROR").record("error.type", failure.end.as_str());
        }
    }
    taken
}

async fn take_traced(entry: &Arc<Entry>, received: Received) -> Result<Tally, Failure> {
    let slow = received.coding != Coding::Identity || received.transport == Transport::HttpJson;
    let inline_max = if slow { INLINE_SLOW_BYTES_MAX } else { INLINE_BYTES_MAX };
    let taken = if received.body.len() <= inline_max {
        read(&entry.intake, received)?
    } else {
        let intake = entry.intake.clone();
        let read = tokio::task::spawn_blocking(move || read(&intake, received)).await;
        joined(read)?
    };
    if entry.forwarder.is_empty() {
        // Once it is in the queue of the commit nothing more has to be done for it.
        return keep(entry, taken).await;
    }
    let keeping = entry.clone();
    joined(entry.under_way.finish(async move { keep(&keeping, taken).await }).await)
}

/// Commits what was read, and queues it for those that it is forwarded to.
async fn keep(entry: &Entry, taken: Taken) -> Result<Tally, Failure> {
    let Taken { batch, body, tenant, _room } = taken;
    let (transport, spans) = (batch.transport, batch.tally.received);
    let to_hold = entry.forwarder.to_hold(&batch);
    let span = tracing::info_span!(target: TARGET, "journal.commit");
    let tally = entry.intake.commit(batch).instrument(span).await?;
    if !entry.forwarder.is_empty() && spans > 0 {
        let span = tracing::info_span!(target: TARGET, "forward.queue");
        let has_invalid_ids = tally.has_invalid_ids();
        let spans = Spans { received: spans, has_invalid_ids, to_hold: &to_hold };
        let queued = entry.forwarder.queue(&tenant.name, transport, body, spans);
        queued.instrument(span).await;
    }
    Ok(tally)
}

/// What a task came to; its panic is the caller's.
fn joined<T>(ended: Result<Result<T, Failure>, JoinError>) -> Result<T, Failure> {
    ended.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Err(Refusal::Stopping.into()),
    })
}

fn read(intake: &Intake, received: Received) -> Result<Taken, Failure> {
    let Received { transport, coding, body, limit, tenant, mut room } = received;
    let mut body = coding.inflate(body, limit, &mut room)?;
    tenant.spend(body.len())?;
    if transport == Transport::HttpJson {
        // Here, so that it is forwarded as it was read.
        body = json::mended(body);
        // JSON is rewritten as protobuf, which is about as large.
        room.grow(body.len())?;
    }
    intake.stats().read(transport, body.len());
    let batch = intake.read(transport, &tenant.name, &body)?;
    Ok(Taken { batch, body, tenant, _room: room })
}
