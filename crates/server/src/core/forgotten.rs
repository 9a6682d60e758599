//! Jobs that were published and then forgotten: does one come again?
//!
//! Evidence that is sent once more, hours later, makes a job anew that the books know no more. Its rows are
//! in the ledger, but to look them up costs a search through lists of random ids. So the last jobs that were
//! forgotten are remembered by name, and what started later than any other forgotten job needs no search.

use std::collections::VecDeque;

use hashbrown::HashSet;
use spantally_stitch::{JobId, UnixNanos};

/// Jobs that are remembered by name: hours of them, or seconds where memory is so short that jobs are
/// forgotten as fast as they settle.
pub(crate) const REMEMBERED: usize = 1 << 18;

/// Bytes that a remembered job takes at worst: tables double when they are seven eighths full, and have the
/// old one beside them meanwhile.
pub(crate) const REMEMBERED_BYTES: usize = (size_of::<JobId>() + 1) * 7 / 2 + 3 * size_of::<(JobId, u64)>();

/// What was forgotten.
#[derive(Debug, Default)]
pub(super) struct Forgotten {
    /// The latest start of any of them.
    until: UnixNanos,
    /// Those that started later than this are all remembered.
    named_from: UnixNanos,
    names: HashSet<JobId, foldhash::fast::RandomState>,
    /// The same, oldest first, with their starts.
    order: VecDeque<(JobId, UnixNanos)>,
}

impl Forgotten {
    /// The latest start of any job that was forgotten.
    pub(super) fn until(&self) -> UnixNanos {
        self.until
    }

    /// Takes back what an earlier process had forgotten, of which no names are left.
    pub(super) fn restore(&mut self, until: UnixNanos) {
        self.until = self.until.max(until);
        self.named_from = self.named_from.max(until);
    }

    /// A job that was published is forgotten.
    pub(super) fn add(&mut self, id: JobId, started_at: UnixNanos) {
        self.until = self.until.max(started_at);
        if self.names.insert(id) {
            self.order.push_back((id, started_at));
        }
        if self.order.len() > REMEMBERED
            && let Some((oldest, started_at)) = self.order.pop_front()
        {
            self.names.remove(&oldest);
            self.named_from = self.named_from.max(started_at);
        }
    }

    /// Whether a job was forgotten; none when only the ledger can tell.
    pub(super) fn has(&self, id: JobId, started_at: UnixNanos) -> Option<bool> {
        if started_at > self.until {
            return Some(false);
        }
        if self.names.contains(&id) {
            return Some(true);
        }
        (started_at > self.named_from).then_some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> JobId {
        JobId((number as u128).to_be_bytes())
    }

    #[test]
    fn the_ledger_is_asked_only_of_what_started_before_the_names_begin() {
        let mut forgotten = Forgotten::default();
        assert_eq!(forgotten.has(id(1), UnixNanos(1)), Some(false));
        forgotten.restore(UnixNanos(100));
        for (number, started) in [(1, 150), (2, 170), (3, 90)] {
            forgotten.add(id(number), UnixNanos(started));
        }
        for (number, started, known) in [
            (1, 150, Some(true)),
            (3, 90, Some(true)),
            (4, 160, Some(false)),
            (4, 171, Some(false)),
            (4, 100, None),
            (4, 80, None),
        ] {
            assert_eq!(forgotten.has(id(number), UnixNanos(started)), known, "{number} at {started}");
        }
        assert_eq!(forgotten.until(), UnixNanos(170));
    }

    #[test]
    fn so_many_are_remembered_and_no_more() {
        let mut forgotten = Forgotten::default();
        for number in 0..=REMEMBERED {
            forgotten.add(id(number), UnixNanos(1000 + number as u64));
            forgotten.add(id(number), UnixNanos(1000 + number as u64));
        }
        assert_eq!((forgotten.names.len(), forgotten.order.len()), (REMEMBERED, REMEMBERED));
        assert_eq!(forgotten.has(id(0), UnixNanos(1000)), None, "the ledger has to be asked");
        assert_eq!(forgotten.has(id(1), UnixNanos(1001)), Some(true));
        assert_eq!(forgotten.has(id(0), UnixNanos(1001)), Some(false));
    }
}
