//! What was forgotten: what still comes for it is late.
//!
//! A task goes by its id. A call that names no task (most submits, what was refused) goes by its own
//! identity: it comes again when its sender missed the answer, and must not become a job once more.

use std::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::HashSet;

/// Most fingerprints remembered: 8 bytes each, in two places. A job has one or two.
pub(super) const MAX_TOMBSTONES: usize = 1_000_000;

/// Fingerprints of forgotten tasks and calls, oldest first.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    marks: HashSet<u64, FixedState>,
    order: VecDeque<u64>,
    /// Those that the caller has not taken yet.
    fresh: Vec<u64>,
}

impl Tombstones {
    pub(super) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    pub(super) fn has(&self, mark: u64) -> bool {
        self.marks.contains(&mark)
    }

    /// Remembers a task or a call; the oldest goes at the limit.
    pub(super) fn bury(&mut self, mark: u64) {
        if self.marks.insert(mark) {
            // Beyond that they would not be remembered either.
            if self.fresh.len() < MAX_TOMBSTONES {
                self.fresh.push(mark);
            }
            self.order.push_back(mark);
            if self.order.len() > MAX_TOMBSTONES
                && let Some(oldest) = self.order.pop_front()
            {
                self.marks.remove(&oldest);
            }
        }
    }

    /// Those buried since the last call, to be kept and given back by [`Self::restore`].
    pub(super) fn take_fresh(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.fresh)
    }

    /// Takes back what was kept, oldest first.
    pub(super) fn restore(&mut self, mark: u64) {
        let fresh = self.fresh.len();
        self.bury(mark);
        self.fresh.truncate(fresh);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_and_only_new_ones_are_told() {
        let mut tombstones = Tombstones::default();
        (0..10).for_each(|mark| tombstones.restore(mark));
        tombstones.bury(3);
        tombstones.bury(10);
        assert_eq!(tombstones.take_fresh(), [10]);
        (11..=MAX_TOMBSTONES as u64).for_each(|mark| tombstones.bury(mark));
        assert!(!tombstones.has(0) && tombstones.has(1) && tombstones.has(MAX_TOMBSTONES as u64));
        assert_eq!((tombstones.marks.len(), tombstones.order.len()), (MAX_TOMBSTONES, MAX_TOMBSTONES));
    }
}
