//! Times during which nothing could come.
//!
//! While the server is down, suspended or unable to write, clients keep their spans and send them later. A
//! job whose polls wait there is not idle, and what was settled may still get evidence. So limits on waiting
//! do not count such times: what had twenty minutes left before an outage has twenty minutes left after it.

use crate::id::UnixNanos;

/// Most outages that are remembered; the oldest go.
const MAX_OUTAGES: usize = 64;

/// Outages, by time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outages(Vec<(UnixNanos, UnixNanos)>);

impl Outages {
    /// Notes one. It is later than those before.
    pub fn note(&mut self, from: UnixNanos, until: UnixNanos) {
        if self.0.len() >= MAX_OUTAGES {
            self.0.remove(0);
        }
        self.0.push((from, until));
    }

    /// From when until when, by time.
    pub fn iter(&self) -> impl Iterator<Item = (UnixNanos, UnixNanos)> {
        self.0.iter().copied()
    }

    /// The moment `ms` milliseconds later, outages not counted.
    pub fn after(&self, from: UnixNanos, ms: u64) -> UnixNanos {
        let mut end = from.plus_ms(ms);
        for &(began, until) in &self.0 {
            if until > from && began < end {
                end.0 = end.0.saturating_add(until.0 - began.0.max(from.0).min(until.0));
            }
        }
        end
    }

    /// The moment `ms` milliseconds earlier, outages not counted.
    pub fn before(&self, until: UnixNanos, ms: u64) -> UnixNanos {
        let mut begin = until.minus_ms(ms);
        for &(began, ended) in self.0.iter().rev() {
            if ended > begin && began < until {
                begin.0 = begin.0.saturating_sub(ended.0.min(until.0) - began.0);
            }
        }
        begin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> UnixNanos {
        UnixNanos(second * 1_000_000_000)
    }

    #[test]
    fn outages_do_not_count() {
        let mut outages = Outages::default();
        assert_eq!((outages.after(at(100), 50_000), outages.before(at(150), 50_000)), (at(150), at(100)));
        outages.note(at(120), at(520));
        outages.note(at(530), at(630));
        for (from, seconds, end) in
            [(0, 100, 100), (100, 20, 120), (100, 25, 525), (100, 50, 650), (300, 5, 525), (530, 1, 631)]
        {
            assert_eq!(outages.after(at(from), seconds * 1000), at(end), "{seconds} s after {from}");
        }
        for (until, seconds, begin) in [(650, 50, 100), (525, 25, 100), (100, 50, 50), (640, 5, 635)] {
            assert_eq!(outages.before(at(until), seconds * 1000), at(begin), "{seconds} s before {until}");
        }
    }

    #[test]
    fn the_oldest_outage_goes() {
        let mut outages = Outages::default();
        (0..100).for_each(|number| outages.note(at(100 * number), at(100 * number + 1)));
        assert_eq!(
            (outages.iter().count(), outages.iter().next()),
            (MAX_OUTAGES, Some((at(3600), at(3601))))
        );
    }
}
