//! OTLP over sockets: where a span comes in.
//!
//! [`grpc`] and [`http`] differ in framing and in how an answer is spelled. What they share is one file each:
//! connections (`listen`), reading a body within its limits (`body`), inflating it (`compression`), and what
//! is answered to which outcome (`answer`). Between them stands [`take`]: inflate, read, commit.
//!
//! | outcome | HTTP | gRPC | client sends again |
//! |---|---|---|---|
//! | durable | 200, `partial_success` unset | OK | |
//! | durable but for unusable spans | 200, `rejected_spans` | OK | no |
//! | unreadable, does not inflate | 400 + `BadRequest` | `INVALID_ARGUMENT` + `BadRequest` | no |
//! | over the limit, as sent or inflated | 413 | `RESOURCE_EXHAUSTED` without `RetryInfo` | no |
//! | queues full, disk full, stopping | 503 + `Retry-After` | `UNAVAILABLE` + `RetryInfo` | yes |
//!
//! Next in the flow: [`crate::intake`].

mod answer;
mod body;
mod compression;
pub mod grpc;
pub mod http;
mod listen;
mod settings;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;

use self::answer::Failure;
use self::compression::Coding;
pub use self::settings::{Connections, GrpcSettings, HttpSettings};
use crate::batch::{Batch, Refusal, Tally, Transport};
use crate::intake::{Admission, Intake};

/// Largest plain protobuf body that is read on the thread that serves connections: about half a millisecond.
const INLINE_BYTES_MAX: usize = 1 << 20;

/// The same for bodies that are inflated or rewritten first.
const INLINE_SLOW_BYTES_MAX: usize = 128 << 10;

/// A body as it came.
struct Received {
    transport: Transport,
    coding: Coding,
    body: Bytes,
    /// Most bytes that it may inflate to.
    limit: usize,
    /// What it may use of the bytes in flight, held until it is durable.
    admission: Admission,
}

/// Inflates, reads and commits a body.
async fn take(intake: &Arc<Intake>, received: Received) -> Result<Tally, Failure> {
    let slow = received.coding != Coding::Identity || received.transport == Transport::HttpJson;
    let inline_max = if slow { INLINE_SLOW_BYTES_MAX } else { INLINE_BYTES_MAX };
    let (batch, _admission) = if received.body.len() <= inline_max {
        read(intake, received)?
    } else {
        let intake = intake.clone();
        let read = tokio::task::spawn_blocking(move || read(&intake, received)).await;
        read.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Refusal::Stopping.into()),
        })?
    };
    Ok(intake.commit(batch).await?)
}

fn read(intake: &Intake, received: Received) -> Result<(Batch, Admission), Failure> {
    let Received { transport, coding, body, limit, mut admission } = received;
    let body = coding.inflate(body, limit, &mut admission)?;
    if transport == Transport::HttpJson {
        // JSON is rewritten as protobuf, which is about as large.
        admission.grow(body.len())?;
    }
    intake.stats().read(transport, body.len());
    Ok((intake.read(transport, "", &body)?, admission))
}
