//! From the bytes of one export request to a batch, and from the batch to its acknowledgement.
//!
//! [`read_batch`] is a pure function of rules and bytes: the receivers, `replay`, the benchmark and the
//! fuzzers all call it, so what they measure is what is served. [`Intake`] is what the receivers share: the
//! rules of the moment (they can be replaced while requests run), the bytes in flight ([`Inflight`]), the
//! counters ([`IntakeStats`]) and the way to the journal.
//!
//! A request is admitted by its bytes before they are read, and again for what they inflate to. Past the
//! limit it is refused at once and asked to come back: a client with a short export time-out must not be kept
//! waiting.
//!
//! Next in the flow: [`crate::commit`].

mod clients;
mod inflight;
mod metrics;
mod read;
mod sampled;
mod stats;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use spantally_providers::Recogniser;

pub use self::inflight::{Admission, Inflight, SenderBytes};
pub use self::read::{LeftOut, ReadCache, read_batch};
pub use self::sampled::Stream;
pub use self::stats::IntakeStats;
use crate::batch::{Batch, Refusal, Spares, Tally, Transport};
use crate::commit::CommitHandle;
use crate::decode::DecodeError;

/// How long a client is told to wait where nobody knows how long it takes: too many bytes are in flight, the
/// journal cannot be written, the server stops.
pub(crate) const RETRY_AFTER_MS: u64 = 1000;

/// Most caches that are kept between requests; more requests are decoded at once only for a moment.
pub(crate) const CACHES_MAX: usize = 16;

/// What all receivers share.
#[derive(Debug)]
pub struct Intake {
    rules: ArcSwap<Rules>,
    inflight: Arc<Inflight>,
    commit: CommitHandle,
    stats: IntakeStats,
    spares: Spares,
    max_connections: u64,
}

/// One set of rules, with what decoding keeps between requests. New rules begin with empty caches.
#[derive(Debug)]
struct Rules {
    recogniser: Arc<Recogniser>,
    /// As many as requests were decoded at once, up to a limit.
    caches: Mutex<Vec<ReadCache>>,
}

impl Rules {
    fn new(recogniser: Arc<Recogniser>) -> Self {
        Self { recogniser, caches: Mutex::default() }
    }
}

/// Why the contents of a request were not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntakeError {
    /// It cannot be read, now or ever.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It cannot be taken now.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Intake {
    /// An intake that admits `inflight_bytes` of request bodies at a time.
    pub fn new(recogniser: Arc<Recogniser>, commit: CommitHandle, inflight_bytes: u64) -> Self {
        Self {
            rules: ArcSwap::from_pointee(Rules::new(recogniser)),
            inflight: Arc::new(Inflight::new(inflight_bytes, RETRY_AFTER_MS)),
            commit,
            stats: IntakeStats::default(),
            spares: Spares::default(),
            max_connections: 0,
        }
    }

    /// Takes room for evidence from where the core gives it back, and notes how many connections a port
    /// takes, to be shown.
    #[must_use]
    pub(crate) fn with_spares(self, spares: Spares, max_connections: usize) -> Self {
        Self { spares, max_connections: max_connections as u64, ..self }
    }

    /// Replaces the rules. Requests that are being read end under the old ones.
    pub(crate) fn reload(&self, recogniser: Arc<Recogniser>) {
        self.rules.store(Arc::new(Rules::new(recogniser)));
    }

    /// The rules of the moment.
    pub fn recogniser(&self) -> Arc<Recogniser> {
        self.rules.load().recogniser.clone()
    }

    /// The bytes in flight.
    pub(crate) fn inflight(&self) -> &Arc<Inflight> {
        &self.inflight
    }

    /// Counters of requests and connections since the start.
    pub(crate) fn stats(&self) -> &IntakeStats {
        &self.stats
    }

    /// Reads a body under the rules of the moment.
    ///
    /// # Errors
    /// The body cannot be read.
    pub fn read(&self, transport: Transport, tenant: &str, body: &[u8]) -> Result<Batch, DecodeError> {
        let rules = self.rules.load_full();
        let mut cache = rules.caches.lock().pop().unwrap_or_else(|| ReadCache::new(self.spares.clone()));
        let batch = read_batch(&rules.recogniser, &mut cache, tenant, transport, body);
        self.stats.left_out(cache.take_left_out());
        self.stats.unrecognised(&rules.recogniser, cache.take_unrecognised());
        self.stats.sampled.note(cache.take_sampled());
        let mut caches = rules.caches.lock();
        if caches.len() < CACHES_MAX {
            caches.push(cache);
        }
        drop(caches);
        batch
    }

    /// Waits until a batch is durable, and tells its counts. A batch without spans is taken as it is.
    ///
    /// # Errors
    /// The journal did not take it: nothing of it counts, and the client is to send it again.
    pub async fn commit(&self, batch: Batch) -> Result<Tally, Refusal> {
        let tally = batch.tally;
        if tally.received > 0 {
            self.commit.commit(batch).await?;
        }
        Ok(tally)
    }

    /// Reads and commits a body.
    ///
    /// # Errors
    /// The body cannot be read, or the journal did not take it.
    pub async fn accept(
        &self,
        transport: Transport,
        tenant: &str,
        body: &[u8],
    ) -> Result<Tally, IntakeError> {
        let batch = self.read(transport, tenant, body)?;
        Ok(self.commit(batch).await?)
    }
}
