//! The bounds of core and commit: how they stand, and what is done about them between turns.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use spantally_stitch::{LimitHits, Stitcher, Trimmed, UnixNanos};

use super::Core;
use crate::commit::CommitHandle;
use crate::export::Standing;
use crate::limits::Limit;

/// A journal that is fuller than this many quarters gives room back early.
const SHORT_QUARTERS: u64 = 3;

/// A service that gives up jobs at a limit is named in the log once in this time.
const TELL_EVERY_MS: u64 = 60_000;

/// Who gave up how much since it was last told.
#[derive(Debug, Default)]
pub(super) struct GivenUp {
    told: Option<UnixNanos>,
    /// Open and settled jobs, by tenant and service.
    sums: BTreeMap<(Arc<str>, Arc<str>), (u64, u64)>,
}

impl GivenUp {
    fn note(&mut self, Trimmed { tenant, service, open, settled }: Trimmed) {
        let sum = self.sums.entry((tenant, service)).or_default();
        *sum = (sum.0 + open, sum.1 + settled);
    }

    /// What is to be told now: the first at once, what follows together.
    fn take_due(&mut self, now: UnixNanos) -> Vec<Trimmed> {
        if self.sums.is_empty() || self.told.is_some_and(|told| now < told.plus_ms(TELL_EVERY_MS)) {
            return Vec::new();
        }
        self.told = Some(now);
        let sums = std::mem::take(&mut self.sums).into_iter();
        sums.map(|((tenant, service), (open, settled))| Trimmed { tenant, service, open, settled }).collect()
    }
}

impl Core {
    /// Whether it holds as many spans as it may.
    pub(crate) fn is_full(&self) -> bool {
        self.stitched_spans() > self.stitching.max_spans
    }

    /// Shows how many label sets there are, and counts those that were refused since the last call.
    pub(super) fn count_label_sets(&mut self) {
        let registry = &mut self.books.registry;
        let (len, limit) = (registry.sets().len() as u64, registry.sets().limit() as u64);
        let overflowed = registry.sets().overflowed() - self.counted_overflows;
        self.counted_overflows += overflowed;
        self.spans.show_label_sets(registry, len, limit, overflowed);
    }

    /// Who gave something up since the last call.
    pub(super) fn take_trimmed(&mut self) -> Vec<Trimmed> {
        self.shards.iter_mut().flat_map(Stitcher::take_trimmed).collect()
    }

    /// When jobs were last forgotten before their time: at a turn, which is now or was before.
    pub(super) fn trimmed_at(&mut self) -> UnixNanos {
        let hits = self.limit_hits();
        let count = hits.spans + hits.open_jobs;
        if self.trims.0 != count {
            self.trims = (count, self.now);
        }
        self.trims.1
    }

    /// How often bounds of stitching were met.
    pub(crate) fn limit_hits(&self) -> LimitHits {
        let mut sum = LimitHits::default();
        for hits in self.shards.iter().map(Stitcher::limit_hits) {
            sum.spans += hits.spans;
            sum.open_jobs += hits.open_jobs;
            sum.trace_tasks += hits.trace_tasks;
            sum.task_spans += hits.task_spans;
            sum.idle_frames += hits.idle_frames;
        }
        sum
    }

    fn standings(&self) -> [Standing; 6] {
        let (hits, settings, sets) = (self.limit_hits(), &self.stitching, self.books.registry.sets());
        let spans = self.stitched_spans() as u64;
        [
            (Limit::Spans, settings.max_spans, Some(spans), hits.spans),
            (Limit::OpenJobs, settings.max_open_jobs, Some(self.open_count as u64), hits.open_jobs),
            (Limit::TraceTasks, settings.max_trace_tasks, None, hits.trace_tasks),
            (Limit::TaskSpans, settings.max_task_spans, None, hits.task_spans),
            (Limit::IdleFrames, settings.max_idle_frames, None, hits.idle_frames),
            (Limit::LabelSets, sets.limit(), Some(sets.len() as u64), sets.overflowed()),
        ]
        .map(|(limit, max, used, reached)| Standing { limit, max: max as u64, used, reached })
    }

    /// Shows how the bounds stand. `created` is when the process started.
    pub(super) fn show_limits(&mut self, created: UnixNanos, commit: &CommitHandle) {
        let stats = commit.stats();
        let [queued, refused, bytes, max_bytes, full] = [
            &stats.queued_spans,
            &stats.refused_overloaded,
            &stats.journal_bytes,
            &stats.journal_max_bytes,
            &stats.faults[spantally_store::Fault::Full as usize],
        ]
        .map(|value| value.load(Ordering::Relaxed));
        let queue = Standing {
            limit: Limit::CommitQueueSpans,
            max: commit.options().queue_spans,
            used: Some(queued),
            reached: refused,
        };
        let journal =
            Standing { limit: Limit::JournalBytes, max: max_bytes, used: Some(bytes), reached: full };
        let mut standings = self.standings();
        for spans in standings.iter_mut().filter(|standing| standing.limit == Limit::Spans) {
            spans.reached += stats.refused_full.load(Ordering::Relaxed);
        }
        for standing in standings.into_iter().chain([queue, journal]) {
            standing.show(&mut self.books.registry, created);
        }
    }

    /// Before a turn: tells who gave something up, and whether the journal is short of room.
    pub(super) fn heed_limits(&mut self, commit: &CommitHandle, now: UnixNanos) {
        for trimmed in self.take_trimmed() {
            self.given_up.note(trimmed);
        }
        for Trimmed { tenant, service, open, settled } in self.given_up.take_due(now) {
            tracing::warn!(
                %tenant, %service, open, settled,
                "a limit on memory was met and this service holds the most: its oldest jobs were settled \
                 early (open) or forgotten (settled), what still comes for them is late; see docs/limits.md"
            );
        }
        let stats = commit.stats();
        let max = stats.journal_max_bytes.load(Ordering::Relaxed);
        let is_short = max > 0 && stats.journal_bytes.load(Ordering::Relaxed) > max / 4 * SHORT_QUARTERS;
        self.turns.squeeze(is_short);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gives_up_is_told_at_once_and_then_once_a_minute_with_the_sum() {
        let trimmed = |service: &str, open, settled| Trimmed {
            tenant: "".into(),
            service: service.into(),
            open,
            settled,
        };
        let (mut given, at) = (GivenUp::default(), |second: u64| UnixNanos(second * 1_000_000_000));
        assert!(given.take_due(at(5)).is_empty());
        given.note(trimmed("clips", 0, 5));
        assert_eq!(given.take_due(at(10)), [trimmed("clips", 0, 5)]);
        given.note(trimmed("clips", 1, 5));
        given.note(trimmed("stills", 0, 2));
        assert!(given.take_due(at(69)).is_empty());
        given.note(trimmed("clips", 2, 7));
        assert_eq!(given.take_due(at(70)), [trimmed("clips", 3, 12), trimmed("stills", 0, 2)]);
        assert!(given.take_due(at(200)).is_empty());
    }
}
