//! Metrics of the server itself: the commit, the checkpoints, the build.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rust_decimal::Decimal;
use spantally_stitch::UnixNanos;
use spantally_store::{Fault, Seq};

use crate::commit::CommitStats;
use crate::export::{MetricId, Registry, SeriesId, SetId};

/// The series of the server's own metrics, found once.
#[derive(Debug)]
pub(super) struct ServerMetrics {
    created: UnixNanos,
    checkpoints: [SeriesId; 2],
    checkpoint_duration: SeriesId,
}

impl ServerMetrics {
    pub(super) fn new(registry: &mut Registry, started_at: UnixNanos) -> Self {
        let mut series = |metric, own: &[&str]| registry.series(metric, SetId::NONE, own, started_at);
        let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
        let build = series(MetricId::BuildInfo, &[env!("CARGO_PKG_VERSION"), &target]);
        let metrics = Self {
            created: started_at,
            checkpoints: ["ok", "error"].map(|result| series(MetricId::Checkpoints, &[result])),
            checkpoint_duration: series(MetricId::CheckpointDuration, &[]),
        };
        registry.set(build, Decimal::ONE);
        metrics
    }

    /// When the process started, which is when its own counters began.
    pub(super) fn created(&self) -> UnixNanos {
        self.created
    }

    /// Counts a checkpoint that was written, or that could not be.
    pub(super) fn checkpoint(&self, registry: &mut Registry, took: Duration, is_written: bool) {
        let [written, failed] = self.checkpoints;
        registry.add(if is_written { written } else { failed }, Decimal::ONE);
        let micros = i64::try_from(took.as_micros()).unwrap_or(i64::MAX);
        registry.observe(self.checkpoint_duration, Decimal::new(micros, 6), None);
    }

    /// Counts a failure of the ledger.
    pub(super) fn ledger_failed(&self, registry: &mut Registry, fault: Fault) {
        let own = ["ledger", fault.as_str()];
        let series = registry.series(MetricId::StorageFaults, SetId::NONE, &own, self.created);
        registry.add(series, Decimal::ONE);
    }

    /// Shows how far the core and the ledger are.
    pub(super) fn positions(
        &self,
        registry: &mut Registry,
        applied: Seq,
        checkpointed: Seq,
        is_failing: bool,
    ) {
        for (metric, value) in [
            (MetricId::AppliedCommit, applied.0),
            (MetricId::CheckpointedCommit, checkpointed.0),
            (MetricId::LedgerFailing, u64::from(is_failing)),
        ] {
            self.set(registry, metric, &[], value);
        }
    }

    /// Shows what the commit counts.
    pub(super) fn commit(&self, registry: &mut Registry, stats: &CommitStats) {
        for (metric, own, value) in [
            (MetricId::CommitGroups, &[][..], &stats.groups),
            (MetricId::CommitBatches, &[], &stats.batches),
            (MetricId::CommitBytes, &[], &stats.bytes),
            (MetricId::CommitQueueBatches, &[], &stats.queued_batches),
            (MetricId::CommitQueueSpans, &[], &stats.queued_spans),
            (MetricId::CommitRefused, &["overloaded"], &stats.refused_overloaded),
            (MetricId::CommitRefused, &["full"], &stats.refused_full),
            (MetricId::CommitRefused, &["storage"], &stats.refused_storage),
            (MetricId::CommitRefused, &["stopping"], &stats.refused_stopping),
            (MetricId::JournalDropFailures, &[], &stats.drop_failures),
        ] {
            self.set(registry, metric, own, value.load(Ordering::Relaxed));
        }
        for fault in Fault::ALL {
            let value = stats.faults[fault as usize].load(Ordering::Relaxed);
            self.set(registry, MetricId::StorageFaults, &["journal", fault.as_str()], value);
        }
        let failing = stats.storage_failing.load(Ordering::Relaxed);
        self.set(registry, MetricId::JournalFailing, &[], u64::from(failing));
        let histogram = &stats.append_seconds;
        let counts: Vec<u64> = histogram.buckets.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let nanos = histogram.sum_nanos.load(Ordering::Relaxed);
        let series = registry.series(MetricId::CommitDuration, SetId::NONE, &[], self.created);
        registry.set_histogram(series, &counts, Decimal::from_i128_with_scale(i128::from(nanos), 9));
    }

    fn set(&self, registry: &mut Registry, metric: MetricId, own: &[&str], value: u64) {
        let series = registry.series(metric, SetId::NONE, own, self.created);
        registry.set(series, Decimal::from(value));
    }
}
