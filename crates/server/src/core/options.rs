//! How a core is set up, and its thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use spantally_stitch::{Settings, UnixNanos};
use spantally_store::JournalSync;

use super::removal::LedgerRetention;

/// How a core is set up.
#[derive(Clone, Debug)]
pub struct CoreOptions {
    /// Limits and delays of stitching, for each shard.
    pub stitching: Settings,
    /// How many stitchers there are; at least 1, at most 32,767. It must not change over the life of a
    /// ledger.
    pub shards: u16,
    /// Most distinct sets of the common labels; further ones are counted in one overflow set.
    pub max_label_sets: usize,
    /// Names of the extra labels, in the order of [`spantally_stitch::Client::labels`].
    pub extra_labels: Vec<Arc<str>>,
    /// Whether the protobuf page has native histograms beside the classic ones.
    pub native_histograms: bool,
    /// How long scrapers see a new series at zero.
    pub new_series_at_zero: Duration,
}

impl Default for CoreOptions {
    fn default() -> Self {
        Self {
            stitching: Settings::default(),
            shards: 1,
            max_label_sets: 2000,
            extra_labels: Vec::new(),
            native_histograms: false,
            new_series_at_zero: Duration::from_mins(1),
        }
    }
}

/// The two clocks, read by one file of the server and handed in.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Wall clock, to compare with the times in spans.
    pub now: fn() -> UnixNanos,
    /// Monotonic clock, for how long something took.
    pub instant: fn() -> Instant,
}

/// How turns are made.
#[derive(Clone, Debug)]
pub struct TurnOptions {
    /// Most time between turns: how soon a settled job shows, and how much journal a restart replays.
    pub interval: Duration,
    /// Groups applied before others get to ask.
    pub groups_per_lock: usize,
    /// A turn that has more jobs to tell does so in parts of so many, so that rows on their way to the ledger
    /// fit the processor's cache. Of fewer, while spans are applied in between, it falls behind under load.
    pub jobs_per_part: usize,
    /// Computing the gauges of open jobs takes at most one part in this many of the time.
    pub refresh_share: u32,
    /// How much the ledger keeps.
    pub retention: LedgerRetention,
    /// The clocks.
    pub clock: Clock,
    /// Of a relaxed journal: asked before every checkpoint.
    pub syncer: Option<JournalSync>,
}

impl TurnOptions {
    /// The defaults, with the clocks.
    pub fn new(clock: Clock) -> Self {
        Self {
            interval: Duration::from_secs(2),
            groups_per_lock: 64,
            jobs_per_part: 4000,
            refresh_share: 100,
            retention: LedgerRetention::default(),
            clock,
            syncer: None,
        }
    }
}
