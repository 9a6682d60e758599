//! When the next turn is: the more is due, the sooner.
//!
//! A turn tells what became due since the one before, in parts that hold the core. Were turns always as far
//! apart as they may be, a busy server would tell the jobs of seconds in parts that follow each other at
//! once: what is due would stay in memory for seconds longer than it has to, and what is committed would wait
//! behind part after part. So they come as often as lets each have one part.

use std::time::{Duration, Instant};

/// After a turn of one part the next may be later by one part in this many.
const EASE: u32 = 4;

/// The time between the beginnings of two turns.
#[derive(Debug)]
pub(super) struct Spacing {
    longest: Duration,
    current: Duration,
    began: Instant,
}

impl Spacing {
    /// Turns that are at most so far apart; the first is one such time from now.
    pub(super) fn new(now: Instant, longest: Duration) -> Self {
        Self { longest, current: longest, began: now }
    }

    /// When the next turn is due.
    pub(super) fn due_at(&self) -> Instant {
        self.began + self.current
    }

    /// A turn that began then had so many parts.
    pub(super) fn note(&mut self, began: Instant, parts: u32) {
        let since = began.saturating_duration_since(self.began);
        let next = if parts > 1 { since / parts } else { self.current + self.current / EASE };
        self.current = next.min(self.longest);
        self.began = began;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns of a server where a part becomes due every so many milliseconds; the last few of them.
    fn turns(spacing: &mut Spacing, part_every_ms: u128) -> Vec<(u32, Duration)> {
        let made = (0..60).map(|_| {
            let (before, began) = (spacing.began, spacing.due_at());
            let parts = (began - before).as_millis().div_ceil(part_every_ms) as u32;
            spacing.note(began, parts);
            (parts, began - before)
        });
        made.collect::<Vec<_>>().split_off(50)
    }

    #[test]
    fn turns_come_as_often_as_lets_each_have_about_one_part() {
        let mut spacing = Spacing::new(Instant::now(), Duration::from_secs(2));
        assert!(turns(&mut spacing, 10_000).iter().all(|turn| *turn == (1, Duration::from_secs(2))));
        for (parts, between) in turns(&mut spacing, 100) {
            let ms = between.as_millis();
            assert!(parts <= 2 && (50..=130).contains(&ms), "{parts} parts after {ms} ms");
        }
        assert!(turns(&mut spacing, 10_000).iter().all(|turn| *turn == (1, Duration::from_secs(2))));
    }
}
