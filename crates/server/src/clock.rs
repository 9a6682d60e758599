//! The one file that reads the clock. Everything else is told the time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use spantally_stitch::UnixNanos;

/// The wall clock, for what must be compared with the times in spans.
pub fn now() -> UnixNanos {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixNanos(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
}

/// The monotonic clock, for how long something of our own took.
pub fn instant() -> Instant {
    Instant::now()
}
