//! What a user may set about stitching. Every duration is in milliseconds of event time.

/// Limits and delays of stitching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long after its last terminal evidence a job settles. Longer waits for stragglers, shorter shows
    /// money sooner; later evidence revises either way.
    pub settle_delay_ms: u64,
    /// A job without terminal evidence settles after this long without a new call: its cost is then a bound.
    pub idle_timeout_ms: u64,
    /// A job settles at the latest this long after its first call.
    pub absolute_timeout_ms: u64,
    /// Two equal submits closer than this may be one intent submitted twice.
    pub duplicate_window_ms: u64,
    /// How long a settled job stays in memory, so that late evidence can revise it.
    pub retention_ms: u64,
    /// How long after its last evidence a decided job still takes part in matching others.
    pub rematch_ms: u64,
    /// How long after its last evidence a job is put aside in memory as bytes, open or settled. What comes
    /// for it makes it what it was; the jobs do not depend on it.
    pub freeze_after_ms: u64,
    /// Most spans kept in memory, over all open and retained jobs. At the bound the services with the most
    /// spans give theirs up: what is settled first, then the oldest that is open, settled early.
    pub max_spans: usize,
    /// Most jobs that may be open. At the bound the services with the most open jobs give theirs up, the
    /// oldest first, settled early.
    pub max_open_jobs: usize,
    /// Most tasks and lone calls that are solved together because a trace, a link or a name ties them. What
    /// comes beyond that is not tied to them by it.
    pub max_trace_tasks: usize,
    /// Most spans kept of one task. Further polls that tell nothing new of it are counted and not kept.
    pub max_task_spans: usize,
    /// Most frames (spans above calls) kept while no call of their trace is known.
    pub max_idle_frames: usize,
    /// Most submits matched in one assignment; a larger crowd is cut in time order.
    pub max_assignment: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            settle_delay_ms: 30_000,
            idle_timeout_ms: 30 * 60_000,
            absolute_timeout_ms: 24 * 3_600_000,
            duplicate_window_ms: 2_000,
            retention_ms: 6 * 3_600_000,
            rematch_ms: 60_000,
            freeze_after_ms: 30_000,
            max_spans: 4_000_000,
            max_open_jobs: 1_000_000,
            max_trace_tasks: 20_000,
            max_task_spans: 20_000,
            max_idle_frames: 200_000,
            max_assignment: 96,
        }
    }
}
