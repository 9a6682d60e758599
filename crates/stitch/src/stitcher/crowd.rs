//! Pockets that never rest: a trace that is the life of a worker, or of a batch.
//!
//! # Why
//!
//! A trace ties its calls, so that they are solved together once it has been quiet for the settle delay. The
//! trace of a program that submits one job after another for days is never quiet, and would hold a hundred
//! thousand jobs that never settle. So a pocket with many members is *crowded*, and has rules of its own.
//!
//! # Start
//!
//! A pocket becomes crowded when it has many members, and is an ordinary one again when enough have left.
//!
//! # Due
//!
//! It is looked at after the settle delay, quiet or not, and the more members the later. Each job in it
//! settles by its own last call, not by that of the pocket.
//!
//! # Leaving
//!
//! A job that is over, and past the time in which it takes part in matching its neighbours' calls, moves out
//! into a pocket of its own, and its items are apart in their traces: a new call of the trace does not tie to
//! them.
//!
//! # Late, never
//!
//! A later call of its task finds the job where it moved to. A span above it that comes when it has moved out
//! (the root, at the end of the batch) says nothing of it any more. What never ends stays in the crowd until
//! the idle or the absolute limit.

use crate::id::UnixNanos;
use crate::solve::Pin;
use crate::stitcher::Stitcher;
use crate::stitcher::pocket::Pocket;
use crate::stitcher::publish::Found;

/// A pocket with more members than this is crowded, and a trace with more frames.
pub(super) const CROWD: usize = 32;
/// A crowded pocket is looked at again a second later for so many members.
const MEMBERS_A_SECOND: u64 = 2000;

/// When something was heard of, was opened, was started.
pub(super) struct Times {
    pub(super) last: UnixNanos,
    pub(super) opened: UnixNanos,
    pub(super) started: UnixNanos,
}

impl Pocket {
    fn is_crowded(&self) -> bool {
        self.members.len() > CROWD
    }

    /// Whether a job in it has to be looked at again though it is over: it may still change with what is in
    /// its lanes, or is to leave.
    pub(super) fn holds_more(&self, firm: bool) -> bool {
        !firm && !self.lanes.is_empty() || self.is_crowded()
    }

    /// Whether something of it may be tied to what is in its lanes.
    pub(super) fn waits(&self) -> bool {
        !self.lanes.is_empty() && !self.rests
    }
}

impl Stitcher {
    /// When a pocket is to be solved.
    pub(super) fn look_at_moment(&self, pocket: &Pocket) -> UnixNanos {
        let delay = self.settings.settle_delay_ms;
        let quiet = pocket.last.plus_ms(delay);
        if !pocket.is_crowded() || pocket.settled {
            return quiet;
        }
        quiet.min(pocket.looked.plus_ms(delay + 1000 * pocket.members.len() as u64 / MEMBERS_A_SECOND))
    }

    /// Whether an item is in a crowded pocket.
    pub(super) fn in_crowd(&self, slot: u32) -> bool {
        self.pocket_of(slot).and_then(|at| self.pockets.get(at)).is_some_and(Pocket::is_crowded)
    }

    /// The times of some items: those of their pockets, and in a crowd their own.
    pub(super) fn times(&self, members: &[u32]) -> Times {
        let mut times = Times { last: UnixNanos(0), opened: UnixNanos(0), started: UnixNanos(u64::MAX) };
        for item in members.iter().filter_map(|&slot| self.index.item(slot)) {
            let Some(pocket) = self.pockets.get(item.pocket) else { continue };
            let (last, opened, started) = if pocket.is_crowded() {
                (item.last, item.opened, item.started().unwrap_or(pocket.started))
            } else {
                (pocket.last, pocket.opened, pocket.started)
            };
            times.last = times.last.max(last);
            times.opened = times.opened.max(opened);
            times.started = times.started.min(started);
        }
        times
    }

    /// Gives a job of a crowd a pocket of its own; that pocket.
    pub(super) fn move_out(&mut self, found: &Found) -> Option<u32> {
        let Times { last, opened, started } = self.times(&found.members);
        let (crowd, rest): (Vec<u32>, Vec<u32>) =
            found.members.iter().partition(|&&slot| self.in_crowd(slot));
        let (&first, others) = crowd.split_first()?;
        let left = self.pocket_of(first)?;
        let own = self.pockets.create(first, started, opened, last);
        if let Some(pocket) = self.pockets.get_mut(own) {
            pocket.members.extend_from_slice(others);
        }
        for &slot in &crowd {
            if let Some(item) = self.index.item_mut(slot) {
                item.pocket = own;
            }
            self.index.set_apart(slot);
        }
        let mut matched = false;
        for slot in rest {
            matched |= self.merge(first, slot);
        }
        let home = self.pocket_of(first)?;
        let pocket = self.pockets.get_mut(home)?;
        pocket.jobs.push(found.id);
        pocket.pin(&found.pins);
        self.pockets.leave_lanes(home);
        self.known.set_home(found.id, home);
        if matched || self.ties.has(left) || found.pins.iter().any(Pin::is_close) {
            self.ties.note(home);
        }
        if self.ties.has(left) {
            self.ties.note(left);
        }
        self.plan(home, None);
        Some(home)
    }

    /// Members that moved out are no members any more; a pocket without any goes.
    pub(super) fn close_ranks(&mut self, at: u32) {
        let index = &self.index;
        let Some(pocket) = self.pockets.get_mut(at).filter(|pocket| pocket.is_crowded()) else { return };
        let stays = |slot: u32| index.item(slot).is_some_and(|item| item.pocket == at);
        pocket.members.retain(|slot| stays(*slot));
        pocket.pins.retain(|pin| stays(pin.shot));
        if pocket.members.is_empty() {
            self.pockets.remove(at);
            self.ties.drop(at);
        }
    }
}
