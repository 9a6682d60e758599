//! The most memory that a stitcher may hold, by its settings.
//!
//! The worst traffic for a number of spans is that in which each is alone: a task, a trace, a pocket and
//! a published job of its own. So that is what a span is taken to cost.

use crate::call::CallRare;
use crate::id::JobId;
use crate::settings::Settings;
use crate::solve::Pin;
use crate::stitcher::item::Item;
use crate::stitcher::known::KnownJob;
use crate::stitcher::owned_trace::OwnedTrace;
use crate::stitcher::pocket::{LaneKey, Pocket};
use crate::stitcher::tombstones::MAX_TOMBSTONES;
use crate::stitcher::trace::Trace;

/// Bytes of text that a span is taken to have: ids and facts longer than what fits their own place.
pub const TEXT_BYTES: usize = 64;

/// The most bytes of each part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MostBytes {
    /// Spans and all that is known by them.
    pub spans: u64,
    /// Fingerprints of what was forgotten.
    pub tombstones: u64,
}

/// Room that an entry of a hash table takes at worst: tables double when they are seven eighths full, and
/// have the old one beside them meanwhile.
const fn hashed(bytes: usize) -> usize {
    (bytes + 1) * 7 / 2
}

/// The same for what lies in a vector that doubles.
const fn listed(bytes: usize) -> usize {
    bytes * 3
}

/// The same for a value that is kept by its key.
const fn keyed(bytes: usize) -> usize {
    bytes + hashed(size_of::<(u32, u32)>())
}

/// The same for a list of one, which is a pointer where it is and two numbers before its value.
const fn lone(bytes: usize) -> usize {
    bytes + 2 * size_of::<usize>()
}

impl Settings {
    /// The most memory of one stitcher with these settings.
    pub fn most_bytes(&self) -> MostBytes {
        let maps = hashed(size_of::<u64>()) // seen, or one of many calls of a task
            + hashed(size_of::<(u64, u32)>()) // tasks
            + keyed(size_of::<Option<(OwnedTrace, Trace)>>())
            + 2 * hashed(size_of::<(u64, u32)>()) // names
            + keyed(size_of::<Option<(JobId, KnownJob)>>())
            // What the books remember of it: a map and a list.
            + hashed(size_of::<(JobId, [u64; 4])>())
            + listed(size_of::<(u64, JobId)>());
        let own = size_of::<Option<Item>>() + size_of::<CallRare>() + lone(listed(size_of::<u64>()));
        let ties = lone(size_of::<Pin>()) + lone(size_of::<LaneKey>());
        let pocket = size_of::<Option<Pocket>>() + ties + listed(size_of::<u32>()) * 2;
        let span = maps + own + pocket + TEXT_BYTES;
        // A turn finds out that there are too many.
        let spans = self.max_spans as u64 + self.max_spans as u64 / 10;
        let tombstone = hashed(size_of::<u64>()) + 2 * listed(size_of::<u64>());
        let bytes = |count: u64, each: usize| count.saturating_mul(each as u64);
        MostBytes { spans: bytes(spans, span), tombstones: bytes(MAX_TOMBSTONES as u64, tombstone) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_of_spans_is_more_than_can_be_said() {
        let most = |max_spans| Settings { max_spans, ..Settings::default() }.most_bytes().spans;
        assert!(most(1_000_000_000) > most(100_000_000) * 9);
        assert_eq!(most(usize::MAX / 2), u64::MAX);
    }
}
