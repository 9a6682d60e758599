//! Gauges of what is open: when they are computed anew, and how that holds nothing up.
//!
//! Each open job is looked at as if it were settled, which takes some microseconds. So it is done the more
//! rarely the longer it takes, but once a minute, since alerts ask for budgets and exposure; and in parts:
//! between two of them what waits is applied, and who asks for the page or a job gets an answer. The gauges
//! change all at once, when the last part is done.

use std::time::{Duration, Instant};

use spantally_stitch::OpenCursor;

use super::Core;
use super::open::OpenTally;

/// A look at all open jobs that is under way.
#[derive(Debug, Default)]
pub(super) struct Refresh {
    tally: OpenTally,
    shard: usize,
    cursor: OpenCursor,
}

impl Core {
    /// Computes every gauge anew. It looks at each open job, so it is not for every turn of a busy server.
    pub fn refresh(&mut self) {
        self.refresh_some(&mut Refresh::default(), usize::MAX);
        self.keep_look();
    }

    /// What the last look saw is durable.
    pub(super) fn keep_look(&mut self) {
        self.open_before = None;
    }

    /// What the last look saw cannot be made durable yet: the open jobs are those of the look before.
    pub(super) fn take_look_back(&mut self) {
        if let Some((open, count)) = self.open_before.take() {
            (self.open, self.open_count) = (open, count);
        }
    }

    /// The same in parts of about `limit` jobs; says whether there is more to do.
    pub(super) fn refresh_some(&mut self, refresh: &mut Refresh, limit: usize) -> bool {
        let (books, now) = (&mut self.books, self.now);
        let Refresh { tally, shard, cursor } = refresh;
        while let Some(stitcher) = self.shards.get_mut(*shard) {
            if stitcher.visit_open(cursor, limit, |job| books.tally_open(tally, job)) {
                return true;
            }
            *shard += 1;
        }
        let tally = std::mem::take(tally);
        let count = std::mem::replace(&mut self.open_count, tally.count);
        let open = std::mem::replace(&mut self.open, books.show_open(tally, now));
        self.open_before = Some((open, count));
        self.books.show_time(self.now);
        self.budgets.show(&mut self.books.registry, self.now);
        self.count_label_sets();
        false
    }
}

/// What a span that came since the last look adds to the next one: an eighth of what a job takes.
const REFRESH_A_SPAN: Duration = Duration::from_nanos(700);

/// Gauges are no older than this, and what a look takes. A look may have taken long only because others had
/// the processor.
const OLDEST: Duration = Duration::from_mins(1);

/// When the next look is due.
#[derive(Debug)]
pub(super) struct Pace {
    /// It takes no more than one part in so many of the time.
    share: u32,
    ended: Instant,
    took: Duration,
    /// Spans applied until then.
    spans: u64,
}

impl Pace {
    /// A look is due at once; `spans` were applied so far.
    pub(super) fn new(now: Instant, share: u32, spans: u64) -> Self {
        Self { share, ended: now, took: Duration::ZERO, spans }
    }

    /// Whether it is time for a look that takes as long as the last one, and longer for what came since.
    pub(super) fn is_due(&self, now: Instant, spans: u64) -> bool {
        let new_spans = u32::try_from(spans - self.spans).unwrap_or(u32::MAX);
        let likely = self.took + REFRESH_A_SPAN * new_spans;
        now.saturating_duration_since(self.ended) >= (likely * self.share).min(OLDEST)
    }

    /// A look is over, and took so long in all.
    pub(super) fn note(&mut self, now: Instant, took: Duration, spans: u64) {
        (self.ended, self.took, self.spans) = (now, took, spans);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_a_look_takes_the_rarer_it_is() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::new(start, 10, 700);
        assert!(pace.is_due(start, 700));
        pace.note(at(100), Duration::from_millis(20), 1000);
        assert!(!pace.is_due(at(299), 1000) && pace.is_due(at(300), 1000));
        // A hundred thousand spans make it 70 ms longer.
        assert!(!pace.is_due(at(999), 101_000) && pace.is_due(at(1000), 101_000));
        // However long it took.
        pace.note(at(1000), Duration::from_secs(20), 101_000);
        assert!(!pace.is_due(at(60_999), 101_000) && pace.is_due(at(61_000), 101_000));
    }
}
