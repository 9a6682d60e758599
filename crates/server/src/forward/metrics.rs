//! What forwarding counts, as series. The counts are of this process; the queue's size is what is on disk.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rust_decimal::Decimal;
use spantally_stitch::UnixNanos;
use spantally_store::Fault;

use super::Forwarder;
use crate::clock;
use crate::export::inventory::{JOB_ATTRIBUTES, REQUEST_RESULTS, SPAN_OUTCOMES};
use crate::export::{MetricId, Registry, SetId};

/// How spans went that waited for their job; its words are [`JOB_ATTRIBUTES`], in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JobAttributes {
    /// With what their job has to say.
    Added,
    /// Without: no job of theirs settled within the time.
    Expired,
    /// Without: there was no room.
    Evicted,
    /// Without, and at once: they could not be held.
    NotHeld,
}

/// Counts of one destination.
#[derive(Debug, Default)]
pub(super) struct Counts {
    sent: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    not_queued: AtomicU64,
    invalid: AtomicU64,
    requests: [AtomicU64; REQUEST_RESULTS.len()],
    storage_faults: [AtomicU64; Fault::ALL.len()],
    job_attributes: [AtomicU64; JOB_ATTRIBUTES.len()],
    held_spans: AtomicU64,
    held_bytes: AtomicU64,
    /// Whether the last request was not taken. Before the first one nothing is known against it.
    is_down: AtomicBool,
    /// When the oldest span that is being sent was received, in nanoseconds; 0 if none is.
    oldest: AtomicU64,
}

impl Counts {
    /// Taken by the destination, but for those that it rejected.
    pub(super) fn delivered(&self, spans: u64, rejected: u64) {
        self.requests[0].fetch_add(1, Ordering::Relaxed);
        self.sent.fetch_add(spans.saturating_sub(rejected), Ordering::Relaxed);
        self.rejected.fetch_add(rejected.min(spans), Ordering::Relaxed);
        self.is_down.store(false, Ordering::Relaxed);
    }

    /// Not taken, and sent again later.
    pub(super) fn retried(&self) {
        self.requests[1].fetch_add(1, Ordering::Relaxed);
        self.is_down.store(true, Ordering::Relaxed);
    }

    /// Not taken, and given up.
    pub(super) fn failed(&self, spans: u64) {
        self.requests[2].fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(spans, Ordering::Relaxed);
        self.is_down.store(true, Ordering::Relaxed);
    }

    /// Rows of the queue that cannot be read, and so are given up without a request. How many spans they held
    /// is not known: at least one each.
    pub(super) fn left_out(&self, rows: u64) {
        self.failed.fetch_add(rows, Ordering::Relaxed);
    }

    /// Never in the queue: it was full, or could not be written, or JSON could not be written as protobuf.
    pub(super) fn not_queued(&self, spans: u64) {
        self.not_queued.fetch_add(spans, Ordering::Relaxed);
    }

    /// Left out of their request: an id of theirs is not as OTLP has it.
    pub(super) fn invalid(&self, spans: u64) {
        self.invalid.fetch_add(spans, Ordering::Relaxed);
    }

    /// A file of its queue, or of the log of those held, could not be written.
    pub(super) fn storage_fault(&self, fault: Fault) {
        self.storage_faults[fault as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Went, after they had waited for their job.
    pub(super) fn let_go(&self, how: JobAttributes, spans: u64) {
        self.job_attributes[how as usize].fetch_add(spans, Ordering::Relaxed);
    }

    /// How many wait for their job, and what they take in memory.
    pub(super) fn held(&self, spans: u64, bytes: u64) {
        self.held_spans.store(spans, Ordering::Relaxed);
        self.held_bytes.store(bytes, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> u64 {
        self.held_bytes.load(Ordering::Relaxed)
    }

    /// From when the oldest span is that is being sent.
    pub(super) fn sending_from(&self, oldest: Option<UnixNanos>) {
        self.oldest.store(oldest.map_or(0, |oldest| oldest.0), Ordering::Relaxed);
    }

    /// Whether the last request was taken, or none was sent yet.
    fn is_up(&self) -> bool {
        !self.is_down.load(Ordering::Relaxed)
    }

    fn delay(&self) -> Duration {
        match self.oldest.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            oldest => Duration::from_nanos(clock::now().0.saturating_sub(oldest)),
        }
    }
}

impl Forwarder {
    /// Shows the counts as they stand. `created` is when the process started.
    pub(crate) fn show(&self, registry: &mut Registry, created: UnixNanos) {
        for route in &self.routes {
            let (name, counts) = (route.settings.name.as_str(), &route.counts);
            let mut set = |metric, own: &[&str], value: Decimal| {
                let series = registry.series(metric, SetId::NONE, own, created);
                registry.set(series, value);
            };
            let spans = [&counts.sent, &counts.rejected, &counts.failed, &counts.not_queued, &counts.invalid];
            for (outcome, count) in SPAN_OUTCOMES.into_iter().zip(spans) {
                set(MetricId::ForwardedSpans, &[name, outcome], count.load(Ordering::Relaxed).into());
            }
            for (result, count) in REQUEST_RESULTS.into_iter().zip(&counts.requests) {
                set(MetricId::ForwardRequests, &[name, result], count.load(Ordering::Relaxed).into());
            }
            for (fault, count) in Fault::ALL.iter().zip(&counts.storage_faults) {
                let own = [name, fault.as_str()];
                set(MetricId::ForwardStorageFaults, &own, count.load(Ordering::Relaxed).into());
            }
            if route.settings.hold.enabled {
                for (result, count) in JOB_ATTRIBUTES.into_iter().zip(&counts.job_attributes) {
                    set(
                        MetricId::ForwardJobAttributes,
                        &[name, result],
                        count.load(Ordering::Relaxed).into(),
                    );
                }
                set(MetricId::ForwardHeldSpans, &[name], counts.held_spans.load(Ordering::Relaxed).into());
                set(MetricId::ForwardHeldBytes, &[name], counts.held_bytes.load(Ordering::Relaxed).into());
            }
            set(MetricId::ForwardQueue, &[name], route.queue.bytes().into());
            set(MetricId::ForwardQueueLimit, &[name], route.queue.max_bytes().into());
            set(MetricId::ForwardUp, &[name], u64::from(counts.is_up()).into());
            let millis = i64::try_from(counts.delay().as_millis()).unwrap_or(i64::MAX);
            set(MetricId::ForwardDelay, &[name], Decimal::new(millis, 3));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_up_until_a_request_is_not_taken() {
        let counts = Counts::default();
        assert!(counts.is_up(), "nothing was sent yet");
        for not_taken in [Counts::retried, |counts: &Counts| counts.failed(1)] {
            not_taken(&counts);
            assert!(!counts.is_up());
            counts.delivered(1, 0);
            assert!(counts.is_up());
        }
        counts.left_out(2);
        assert!(counts.is_up(), "a row that we cannot read says nothing of the destination");
        assert_eq!((counts.failed.into_inner(), counts.requests[2].load(Ordering::Relaxed)), (3, 1));
    }
}
