//! Items that leave the index and come back as they were, with the frames of their traces.

use smallvec::SmallVec;

use super::index::{Index, mark, trace_with_calls};
use super::item::{Item, alias_key, fingerprint, has_neighbours, task_key, task_name};
use super::keyed::less_room;
use super::owned_trace::OwnedTrace;
use super::trace::{FrameItem, Trace};
use crate::evidence::Evidence;

/// The names of a task, each once: all calls name it alike, as a rule.
fn task_names(item: &Item) -> SmallVec<[u64; 2]> {
    let mut names = SmallVec::new();
    for evidence in item.calls() {
        for key in [task_key(evidence), alias_key(evidence)].iter().flatten() {
            let name = task_name(key.0, key.2);
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// The traces that an item has joined, each once.
fn traces(item: &Item) -> SmallVec<[OwnedTrace; 1]> {
    let mut traces = SmallVec::new();
    for evidence in item.calls().filter(|evidence| has_neighbours(evidence)) {
        let trace = OwnedTrace::of(evidence);
        if !traces.contains(&trace) {
            traces.push(trace);
        }
    }
    traces
}

impl Index {
    /// Whether no item but these has calls in the traces of one of them.
    pub(super) fn has_traces_of(&self, slot: u32, items: &[u32]) -> bool {
        let Some(item) = self.item(slot) else { return false };
        let is_own =
            |trace: &Trace| trace.is_plain() && trace.items().iter().all(|slot| items.contains(slot));
        traces(item).into_iter().all(|trace| self.trace(trace).is_some_and(is_own))
    }

    /// Takes items out that have their traces for themselves, with the frames of those. They still count as
    /// spans in memory.
    pub(super) fn take_out(&mut self, slots: &[u32]) -> (Vec<Item>, Vec<FrameItem>) {
        let mut items = Vec::with_capacity(slots.len());
        let mut frames = Vec::new();
        for &slot in slots {
            let Some(item) = self.items.remove(slot) else { continue };
            for name in task_names(&item) {
                if let Ok(entry) = self.tasks.find_entry(name, |&task| task == (name, slot)) {
                    entry.remove();
                }
            }
            for name in &item.names {
                self.names.remove(name);
            }
            if item.marked {
                self.seen.remove(&fingerprint(item.first()));
            }
            for trace in traces(&item) {
                let Some(entry) = self.traces.get_mut(&trace) else { continue };
                entry.leave(slot, item.is_hook());
                if !entry.has_items() {
                    frames.extend(self.traces.remove(&trace).into_iter().flat_map(Trace::into_frames));
                }
            }
            items.push(item);
        }
        self.give_back();
        (items, frames)
    }

    /// Gives back most of the room of tables of which little is left.
    fn give_back(&mut self) {
        let Self { tasks, names, seen, .. } = self;
        if let Some(room) = less_room(tasks.len(), tasks.capacity()) {
            tasks.shrink_to(room, |&(name, _)| name);
        }
        if let Some(room) = less_room(names.len(), names.capacity()) {
            names.shrink_to(room);
        }
        if let Some(room) = less_room(seen.len(), seen.capacity()) {
            seen.shrink_to(room);
        }
    }

    /// Slots for so many items, in ascending order.
    pub(super) fn reserve(&mut self, count: usize) -> Vec<u32> {
        let mut slots: Vec<u32> = (0..count).map(|_| self.items.next_slot()).collect();
        slots.sort_unstable();
        slots
    }

    /// Puts an item back, into a slot that was reserved for it.
    pub(super) fn put_back(&mut self, slot: u32, item: Item) {
        let (is_hook, is_marked) = (item.is_hook(), item.marked);
        for name in task_names(&item) {
            self.tasks.insert_unique(name, (name, slot), |&(name, _)| name);
        }
        for &name in &item.names {
            self.names.insert(name, slot);
        }
        let mut at = item.trace;
        for trace in traces(&item) {
            let entry;
            (at, entry) = trace_with_calls(&mut self.traces, &mut self.waiting, trace);
            if item.is_task {
                entry.join(slot);
            } else {
                entry.join_lone(slot, is_hook, is_marked);
            }
        }
        let item = self.items.get_or_insert_with(slot, || item);
        item.trace = at;
        if std::mem::take(&mut item.marked) {
            mark(&mut self.items, &mut self.seen, slot);
        }
    }

    /// Puts frames back into the traces of items that are back.
    pub(super) fn put_frames_back(&mut self, frames: Vec<FrameItem>) {
        for frame in frames {
            let trace = OwnedTrace::of(&frame.evidence);
            trace_with_calls(&mut self.traces, &mut self.waiting, trace).1.push(frame);
        }
    }

    /// What a call would be found by, as far as nothing in memory goes by it.
    pub(super) fn unknown_names(&self, call: &Evidence) -> SmallVec<[u64; 2]> {
        let keys = [task_key(call), alias_key(call)];
        let keys = keys.iter().flatten().map(|key| (task_name(key.0, key.2), key));
        let mut names: SmallVec<[u64; 2]> =
            keys.filter(|(name, key)| self.task(*name, key).is_none()).map(|(name, _)| name).collect();
        if task_key(call).or_else(|| alias_key(call)).is_none() && !has_neighbours(call) {
            let mark = fingerprint(call);
            names.extend((!self.seen.contains(&mark)).then_some(mark));
        }
        names
    }
}
