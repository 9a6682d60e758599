//! What the commit counts.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use spantally_store::{Fault, Journal};

/// Counters and gauges of the commit, read by the exporter at any time.
#[derive(Debug, Default)]
pub struct CommitStats {
    /// Groups made durable: one row and one flush each.
    pub groups: AtomicU64,
    /// Batches made durable.
    pub batches: AtomicU64,
    /// Spans worth keeping made durable.
    pub spans: AtomicU64,
    /// Bytes of the groups made durable.
    pub bytes: AtomicU64,
    /// How long appends took, flush included, in seconds.
    pub append_seconds: Histogram,
    /// Batches that wait.
    pub queued_batches: AtomicU64,
    /// Spans worth keeping in the batches that wait.
    pub queued_spans: AtomicU64,
    /// Batches refused because the queue was full.
    pub refused_overloaded: AtomicU64,
    /// Batches refused because the core holds as many spans as it may and can give none up.
    pub refused_full: AtomicU64,
    /// Batches refused because the journal could not be written.
    pub refused_storage: AtomicU64,
    /// Batches refused because the server was stopping.
    pub refused_stopping: AtomicU64,
    /// Failures to give room in the journal back; they are tried again.
    pub drop_failures: AtomicU64,
    /// Position of the newest group.
    pub last_seq: AtomicU64,
    /// Whether the last append failed: the server is not ready.
    pub storage_failing: AtomicBool,
    /// Bytes of the journal that hold something; 0 when nobody knows.
    pub journal_bytes: AtomicU64,
    /// How many there may be.
    pub journal_max_bytes: AtomicU64,
    /// Failures of the journal, by [`Fault`].
    pub faults: [AtomicU64; Fault::ALL.len()],
}

impl CommitStats {
    pub(super) fn journal(&self, journal: &dyn Journal) {
        let (used, max) = journal.bytes();
        self.journal_bytes.store(used, Ordering::Relaxed);
        self.journal_max_bytes.store(max, Ordering::Relaxed);
    }

    pub(super) fn fault(&self, fault: Fault) {
        self.faults[fault as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// Upper bounds of the buckets of [`CommitStats::append_seconds`], in seconds.
pub const APPEND_SECONDS_BOUNDS: [f64; 12] =
    [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0];

/// A histogram that is only ever added to.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Observations by bucket, not cumulative; the last one is for those above every bound.
    pub buckets: [AtomicU64; APPEND_SECONDS_BOUNDS.len() + 1],
    /// Sum of all observations, in nanoseconds.
    pub sum_nanos: AtomicU64,
}

impl Histogram {
    /// Adds one observation.
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = APPEND_SECONDS_BOUNDS.partition_point(|&bound| bound < seconds);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}
