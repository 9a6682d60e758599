//! When pockets are looked at: a wheel of seconds.
//!
//! A pocket is *scheduled* for a second; when that second has come, the pocket is *due* and is looked at.
//! Half a million may be due at once, and are looked at in parts. Those that wait for the next part stay in a
//! list of their own: putting them back into the wheel would touch every one of them in every part.

use std::collections::BTreeMap;

use crate::id::UnixNanos;
use crate::stitcher::pocket::Pockets;

/// Which pockets to look at, by second.
#[derive(Debug, Default)]
pub(super) struct Wheel {
    seconds: BTreeMap<u64, Vec<u32>>,
    /// Those whose second has come, the first one last.
    due: Vec<u32>,
}

/// Not in the wheel.
pub(super) const NEVER: u64 = u64::MAX;
/// Among those that are due: before every second, so that it is scheduled for none.
const DUE: u64 = 0;

fn second(moment: UnixNanos) -> u64 {
    moment.0.div_ceil(1_000_000_000)
}

impl Pockets {
    /// Looks at a pocket at a moment, or earlier if that was planned.
    pub(crate) fn schedule(&mut self, at: u32, moment: UnixNanos) {
        if let Some(pocket) = self.get_mut(at) {
            pocket.planned = pocket.planned.min(second(moment));
        }
        self.visit(at, moment);
    }

    /// Passes by a pocket at a moment, to see whether it may freeze; it is not to be solved then.
    pub(crate) fn visit(&mut self, at: u32, moment: UnixNanos) {
        let slot = second(moment);
        if let Some(pocket) = self.get_mut(at)
            && slot < pocket.scheduled
        {
            pocket.scheduled = slot;
            self.wheel.seconds.entry(slot).or_default().push(at);
        }
    }

    /// Whether a pocket that is due was scheduled for now, and not to be visited alone. If so it has no plan
    /// any more; else it is scheduled for when it was planned.
    pub(crate) fn take_plan(&mut self, at: u32, now: UnixNanos) -> bool {
        let Some(pocket) = self.get_mut(at) else { return false };
        let planned = pocket.planned;
        let is_due = planned <= now.0 / 1_000_000_000;
        if is_due {
            pocket.planned = NEVER;
        } else if planned != NEVER {
            self.visit(at, UnixNanos(planned.saturating_mul(1_000_000_000)));
        }
        is_due
    }

    /// The next second at which some pocket is to be looked at.
    pub(crate) fn next(&self) -> Option<UnixNanos> {
        if self.has_due() {
            return Some(UnixNanos(DUE));
        }
        self.wheel.seconds.keys().next().map(|slot| UnixNanos(slot.saturating_mul(1_000_000_000)))
    }

    /// Takes note of the pockets whose time has come.
    pub(crate) fn turn_wheel(&mut self, now: UnixNanos) {
        let later = self.wheel.seconds.split_off(&(now.0 / 1_000_000_000 + 1));
        let mut due = std::mem::take(&mut self.wheel.due);
        for (slot, pockets) in std::mem::replace(&mut self.wheel.seconds, later) {
            for at in pockets {
                if let Some(pocket) = self.get_mut(at).filter(|pocket| pocket.scheduled == slot) {
                    pocket.scheduled = DUE;
                    due.push(at);
                }
            }
        }
        due.sort_unstable_by(|a, b| b.cmp(a));
        self.wheel.due = due;
    }

    /// Whether pockets are due that were not looked at.
    pub(crate) fn has_due(&self) -> bool {
        !self.wheel.due.is_empty()
    }

    /// The next pocket that is due, in the order of their slots.
    pub(crate) fn next_due(&mut self) -> Option<u32> {
        while let Some(at) = self.wheel.due.pop() {
            if let Some(pocket) = self.get_mut(at).filter(|pocket| pocket.scheduled == DUE) {
                pocket.scheduled = NEVER;
                return Some(at);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: UnixNanos = UnixNanos(1_795_168_800_000_000_000);

    #[test]
    fn what_is_due_is_looked_at_once_by_slot_and_what_is_left_stays_due() {
        let mut pockets = Pockets::default();
        let at: Vec<u32> = (0..6).map(|member| pockets.create(member, BEGIN, BEGIN, BEGIN)).collect();
        assert_eq!(pockets.next(), None);
        for (&at, second) in at.iter().zip([3, 2, 2, 1, 9, 9]) {
            pockets.schedule(at, BEGIN.plus_ms(second * 1000));
        }
        pockets.schedule(at[0], BEGIN.plus_ms(1999));
        assert_eq!(pockets.next(), Some(BEGIN.plus_ms(1000)));
        pockets.turn_wheel(BEGIN.plus_ms(2000));
        assert_eq!((pockets.next_due(), pockets.has_due()), (Some(at[0]), true));
        // Planned for later while it is due changes nothing; what is gone is passed over.
        pockets.schedule(at[1], BEGIN.plus_ms(5000));
        pockets.remove(at[2]);
        assert_eq!((pockets.next_due(), pockets.next()), (Some(at[1]), Some(UnixNanos(0))));
        // The part of another that was due makes that one due.
        pockets.merge(at[4], at[3]);
        assert_eq!(pockets.next_due(), None);
        pockets.turn_wheel(BEGIN.plus_ms(2000));
        assert_eq!((pockets.next_due(), pockets.next_due()), (Some(at[4]), None));
        // The second at which it would have been looked at is not forgotten for another.
        pockets.turn_wheel(BEGIN.plus_ms(9000));
        assert_eq!((pockets.next_due(), pockets.next_due(), pockets.next()), (Some(at[5]), None, None));
    }
}
