//! Putting pockets aside, and bringing them back: see [`super::frozen`].

use smallvec::SmallVec;
use thin_vec::ThinVec;

use crate::evidence::Evidence;
use crate::id::UnixNanos;
use crate::solve::Pin;
use crate::solve::pool::call_of;
use crate::stitcher::Stitcher;
use crate::stitcher::crowd::CROWD;
use crate::stitcher::frozen::{FrozenJob, Parts, name_of_trace};
use crate::stitcher::item::has_neighbours;
use crate::stitcher::owned_trace::OwnedTrace;
use crate::stitcher::pocket::Pocket;

impl Stitcher {
    /// When a pocket may freeze if nothing comes for it.
    pub(super) fn freezes_at(&self, pocket: &Pocket) -> UnixNanos {
        pocket.last.plus_ms(self.settings.freeze_after_ms)
    }

    /// Whether a pocket has been quiet for long enough, waits for nothing, and all that is known of it is of
    /// its own.
    fn may_freeze(&self, at: u32) -> bool {
        let Some(pocket) = self.pockets.get(at) else { return false };
        let has = |slot: u32| pocket.members.contains(&slot);
        self.freezes_at(pocket) <= self.now
            && pocket.lanes.is_empty()
            && !pocket.jobs.is_empty()
            && pocket.members.len() <= CROWD
            && !self.ties.is_to_be_given_out(at)
            && pocket.pins.iter().all(|pin| has(pin.shot) && has(pin.made))
            && pocket
                .jobs
                .iter()
                .all(|&id| self.known.home(id) == Some(at) && self.told.is_within(id, &pocket.members))
            && pocket.members.iter().all(|&slot| self.index.has_traces_of(slot, &pocket.members))
    }

    /// Puts a pocket aside as bytes, if it may be and has been quiet for long enough.
    pub(super) fn freeze(&mut self, at: u32) {
        if !self.may_freeze(at) {
            return;
        }
        let Some(mut pocket) = self.pockets.remove(at) else { return };
        let mut slots = std::mem::take(&mut pocket.members);
        slots.sort_unstable();
        let place = |slot: u32| slots.binary_search(&slot).unwrap_or_default() as u32;
        for pin in &mut pocket.pins {
            (pin.shot, pin.made) = (place(pin.shot), place(pin.made));
        }
        let mut jobs = Vec::with_capacity(pocket.jobs.len());
        for &id in &pocket.jobs {
            let published = self.known.take_back(id);
            self.known.leave_home(id);
            let told = self.told.take(id).map(|told| told.iter().map(|&slot| place(slot)).collect());
            jobs.push(FrozenJob { id, published, told });
        }
        let (items, frames) = self.index.take_out(&slots);
        let tie = self.ties.take_out(at);
        self.frozen.insert(&Parts { pocket, items, frames, jobs, tie });
    }

    /// Makes a frozen pocket what it was; where it is now.
    pub(super) fn thaw(&mut self, frozen: u32) -> Option<u32> {
        let Parts { mut pocket, items, frames, jobs, tie } = self.frozen.take(frozen)?;
        let slots = self.index.reserve(items.len());
        let slot = |place: u32| slots.get(place as usize).copied().unwrap_or_default();
        pocket.members = SmallVec::from_slice(&slots);
        let pins = pocket.pins.iter().map(|pin| Pin { shot: slot(pin.shot), made: slot(pin.made), ..*pin });
        pocket.pins = pins.collect::<ThinVec<_>>();
        let planned = std::mem::replace(&mut pocket.planned, u64::MAX);
        let at = self.pockets.insert(pocket);
        for (mut item, &slot) in items.into_iter().zip(&slots) {
            item.pocket = at;
            self.index.put_back(slot, item);
        }
        self.index.put_frames_back(frames);
        for FrozenJob { id, published, told } in jobs {
            self.known.set_home(id, at);
            if let Some(published) = published {
                self.known.publish(id, published);
            }
            if let Some(told) = told {
                let told: Vec<u32> = told.into_iter().map(slot).collect();
                self.told.note(id, &told);
            }
        }
        if let Some(number) = tie {
            self.ties.put_back(at, number);
        }
        self.pockets.schedule(at, UnixNanos(planned.saturating_mul(1_000_000_000)));
        self.pockets.visit(at, self.now.plus_ms(self.settings.freeze_after_ms));
        Some(at)
    }

    /// Thaws what may go by a name.
    pub(super) fn thaw_named(&mut self, name: u64) {
        let frozen: SmallVec<[u32; 1]> = self.frozen.named(name).collect();
        for slot in frozen {
            self.thaw(slot);
        }
    }

    /// Thaws what may have a call or a frame in a trace.
    pub(super) fn thaw_trace(&mut self, trace: OwnedTrace) {
        if !self.frozen.is_empty() && self.index.trace(trace).is_none() {
            self.thaw_named(name_of_trace(trace));
        }
    }

    /// Thaws what a call may belong to by the ids and the trace that it shows, or may be a copy of.
    pub(super) fn thaw_for(&mut self, call: &Evidence) {
        if self.frozen.is_empty() {
            return;
        }
        for name in self.index.unknown_names(call) {
            self.thaw_named(name);
        }
        // Nothing else is looked for by the trace of a call that began it.
        if has_neighbours(call) || call_of(call).is_some_and(|call| call.role.starts()) {
            self.thaw_trace(OwnedTrace::of(call));
        }
    }

    /// Thaws the next pocket whose time has come; where it is now.
    pub(super) fn thaw_due(&mut self) -> Option<u32> {
        let frozen = self.frozen.next_due()?;
        self.thaw(frozen)
    }

    /// Thaws everything.
    pub(super) fn thaw_all(&mut self) {
        let frozen: Vec<u32> = self.frozen.iter_from(0).map(|(slot, _)| slot).collect();
        for slot in frozen {
            self.thaw(slot);
        }
    }
}
