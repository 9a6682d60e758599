//! The frames of traces: kept with their trace, and gone with it.

use super::index::Index;
use super::item::{Carried, Item, has_neighbours};
use super::trace::{FrameItem, Trace, is_session};
use crate::evidence::Evidence;
use crate::id::UnixNanos;
use crate::stitcher::Observed;
use crate::stitcher::owned_trace::OwnedTrace;

impl Index {
    /// Adds a frame to its trace, unless it is known; tells whether the trace has calls.
    pub(crate) fn add_frame(&mut self, came: UnixNanos, evidence: Evidence) -> Result<bool, Observed> {
        self.push_frame(FrameItem { number: self.next_number, evidence, carried: Carried::No, came })
    }

    /// The same for one that comes back.
    pub(crate) fn restore_frame(
        &mut self,
        number: u64,
        came: UnixNanos,
        evidence: Evidence,
    ) -> Result<bool, Observed> {
        self.push_frame(FrameItem { number, evidence, carried: Carried::Whole, came })
    }

    fn push_frame(&mut self, frame: FrameItem) -> Result<bool, Observed> {
        let number = frame.number;
        let has_calls = match self.traces.get_mut(&OwnedTrace::of(&frame.evidence)) {
            Some(entry) if entry.has_frame(&frame.evidence) => return Err(Observed::Duplicate),
            Some(entry) => {
                entry.push(frame);
                !entry.items().is_empty()
            }
            None if !self.waiting.push(frame) => return Err(Observed::Duplicate),
            None => false,
        };
        self.next_number = self.next_number.max(number + 1);
        self.spans += 1;
        if self.waiting.len() > self.max_idle
            && let Some(oldest) = self.waiting.pop()
        {
            self.forget_frame(oldest.number, oldest.carried);
            self.frames_dropped += 1;
        }
        Ok(has_calls)
    }

    /// What is kept of a trace in which a call has a parent.
    pub(super) fn trace(&self, trace: OwnedTrace) -> Option<&Trace> {
        self.traces.get(&trace)
    }

    /// The same for one that an item has joined, which remembers where its trace stands.
    pub(super) fn joined_trace(&self, trace: OwnedTrace, slot: u32) -> Option<&Trace> {
        self.traces.get_at(self.item(slot)?.trace, &trace)
    }

    fn drop_trace(&mut self, trace: OwnedTrace) {
        let Some(entry) = self.traces.remove(&trace) else { return };
        for frame in entry.frames() {
            self.forget_frame(frame.number, frame.carried);
        }
    }

    fn forget_frame(&mut self, number: u64, carried: Carried) {
        self.spans -= 1;
        if carried != Carried::No {
            self.gone.push(number);
        }
    }

    /// A trace that lives for days loses the frames of jobs that are forgotten.
    fn prune(&mut self, trace: OwnedTrace, items: &[u32], until: UnixNanos) {
        let Some(mut entry) = self.traces.get_mut(&trace).map(std::mem::take) else { return };
        let calls = items.iter().filter_map(|&slot| self.item(slot)).flat_map(Item::calls);
        let calls = calls.filter(|call| OwnedTrace::of(call) == trace);
        let needed = calls.flat_map(|call| entry.frames_near(call)).map(|frame| frame.span.span).collect();
        let gone = entry.prune(&needed, until);
        for frame in &gone {
            self.forget_frame(frame.number, frame.carried);
        }
        if let Some(place) = self.traces.get_mut(&trace) {
            *place = entry;
        }
    }

    /// Frames that may say something of calls of these items, which are of one tenant.
    pub(crate) fn frames_of<'a>(&'a self, slots: &[u32]) -> Vec<&'a Evidence> {
        let calls = || {
            let items = slots.iter().filter_map(|&slot| self.item(slot));
            items.flat_map(Item::calls).filter(|call| has_neighbours(call))
        };
        let Some(first) = calls().next() else { return Vec::new() };
        // Most pools are of one request, and all its frames are near.
        let at = slots.iter().find_map(|&slot| Some(self.item(slot)?.trace)).unwrap_or_default();
        if calls().all(|call| call.span.trace == first.span.trace)
            && let Some(trace) =
                self.traces.get_at(at, &OwnedTrace::of(first)).filter(|trace| trace.is_small())
        {
            return trace.frames_near(first).collect();
        }
        let mut calls: Vec<&Evidence> = calls().collect();
        calls.sort_unstable_by_key(|call| (call.span.trace, call.parent));
        calls.dedup_by(|a, b| (a.span.trace, a.parent) == (b.span.trace, b.parent) && !is_session(a));
        let mut frames = Vec::new();
        for calls in calls.chunk_by(|a, b| a.span.trace == b.span.trace) {
            let Some(trace) = self.traces.get(&OwnedTrace::of(calls[0])) else { continue };
            let calls = if trace.is_small() { &calls[..1] } else { calls };
            let from = frames.len();
            frames.extend(calls.iter().flat_map(|call| trace.frames_near(call)));
            if !trace.is_small() {
                frames[from..].sort_unstable_by_key(|frame| frame.span);
                frames.dedup_by_key(|frame| frame.span);
            }
        }
        frames
    }

    /// An item that was in a slot goes.
    pub(super) fn leave_trace(&mut self, trace: OwnedTrace, slot: u32, item: &Item) {
        let Some(entry) = self.traces.get_mut(&trace) else { return };
        entry.leave(slot, item.is_hook());
        if !entry.has_items() {
            self.drop_trace(trace);
        } else if let Some(items) = entry.due_for_pruning() {
            self.prune(trace, &items, item.last);
        }
    }
}
