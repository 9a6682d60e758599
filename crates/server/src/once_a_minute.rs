//! What happens again and again, told once a minute.
//!
//! When there are no more open files each try to accept a connection fails, twenty times a second and for as
//! long as connections are idle; past the number of tenants each request of another one; and each request of
//! a sampled stream is one. A line for each would fill a disk with one fault.

use std::time::{Duration, Instant};

/// Time between two lines.
const INTERVAL: Duration = Duration::from_mins(1);

/// How often it happened.
#[derive(Debug, Default)]
pub(crate) struct OnceAMinute {
    told_at: Option<Instant>,
    untold: u64,
}

impl OnceAMinute {
    /// Counts so many, and says how many there were since it was last told, if it is to be told now.
    pub(crate) fn count(&mut self, now: Instant, more: u64) -> Option<u64> {
        self.untold += more;
        if self.told_at.is_some_and(|told_at| now.saturating_duration_since(told_at) < INTERVAL) {
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_and_then_one_a_minute_with_how_many_there_were() {
        let (mut often, begin) = (OnceAMinute::default(), crate::clock::instant());
        let mut told = Vec::new();
        for number in 0..2500 {
            let now = begin + Duration::from_millis(50) * number;
            told.extend(often.count(now, 1).map(|times| (number, times)));
        }
        assert_eq!(told, [(0, 1), (1200, 1200), (2400, 1200)]);
    }
}
