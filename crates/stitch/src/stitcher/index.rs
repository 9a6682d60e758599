//! What is in memory, and how it is found: by task id, by trace, by identity.

use std::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet, HashTable};
use smallvec::SmallVec;

use crate::call::Evidence;
use crate::id::{TraceId, UnixNanos};
use crate::stitcher::item::{
    Carried, Item, NO_POCKET, TaskKey, alias_key, fingerprint, has_neighbours, hash, task_key,
};
use crate::stitcher::slab::Slab;
use crate::stitcher::tombstones::Tombstones;
use crate::stitcher::trace::{FrameItem, Trace};

#[derive(Debug)]
pub(crate) struct Index {
    items: Slab<Item>,
    /// Hash of the key and slot; the item has the key itself.
    tasks: HashTable<(u64, u32)>,
    traces: HashMap<TraceId, Trace, FixedState>,
    /// Names (task ids, correlation ids) and who went by them first.
    names: HashMap<u64, u32, FixedState>,
    /// Fingerprints of every span in memory.
    seen: HashSet<u64, FixedState>,
    pub(super) tombstones: Tombstones,
    /// What was carried and is no more.
    gone: Vec<u64>,
    /// Traces that have frames and no calls, oldest first.
    idle: VecDeque<TraceId>,
    max_idle: usize,
    frames_dropped: u64,
    next_number: u64,
}

impl Index {
    pub(crate) fn new(max_idle: usize) -> Self {
        Self {
            items: Slab::default(),
            tasks: HashTable::new(),
            traces: HashMap::default(),
            names: HashMap::default(),
            seen: HashSet::default(),
            tombstones: Tombstones::default(),
            gone: Vec::new(),
            idle: VecDeque::new(),
            max_idle,
            frames_dropped: 0,
            next_number: 0,
        }
    }

    pub(crate) fn spans(&self) -> usize {
        self.seen.len()
    }

    pub(crate) fn frames_dropped(&self) -> u64 {
        self.frames_dropped
    }

    /// Notes a span's identity; false if it was known. The end and the answer belong to the identity: some
    /// instrumentations send a retry under the same span id.
    pub(crate) fn remember(&mut self, evidence: &Evidence) -> bool {
        self.seen.insert(fingerprint(evidence))
    }

    pub(crate) fn forget_span(&mut self, evidence: &Evidence) {
        self.seen.remove(&fingerprint(evidence));
    }

    pub(crate) fn is_tombstone(&self, evidence: &Evidence) -> bool {
        if self.tombstones.is_empty() {
            return false;
        }
        match task_key(evidence) {
            Some(key) => self.tombstones.has(hash(&key)) && self.task(&key).is_none(),
            None => self.tombstones.has(fingerprint(evidence)),
        }
    }

    pub(crate) fn item(&self, slot: u32) -> Option<&Item> {
        self.items.get(slot)
    }

    pub(crate) fn item_mut(&mut self, slot: u32) -> Option<&mut Item> {
        self.items.get_mut(slot)
    }

    /// Adds a call to its task or as a new item; tells the slot and whether it is new.
    pub(crate) fn add_call(&mut self, evidence: Evidence) -> (u32, bool) {
        let (slot, created) = self.place(self.next_number, Carried::No, evidence);
        self.next_number += u64::from(created);
        (slot, created)
    }

    pub(crate) fn restore_call(&mut self, number: u64, evidence: Evidence) -> (u32, bool) {
        self.next_number = self.next_number.max(number + 1);
        let placed = self.place(number, Carried::Whole, evidence);
        if let Some(item) = self.item_mut(placed.0) {
            item.carried = Carried::Whole;
        }
        placed
    }

    fn place(&mut self, number: u64, carried: Carried, evidence: Evidence) -> (u32, bool) {
        let trace = has_neighbours(&evidence).then_some(evidence.span.trace);
        if task_key(&evidence).or_else(|| alias_key(&evidence)).is_some() {
            return self.place_task(number, carried, trace, evidence);
        }
        let slot = self.insert(number, carried, false, evidence);
        self.join_trace(trace, slot);
        (slot, true)
    }

    fn join_trace(&mut self, trace: Option<TraceId>, slot: u32) {
        let Some(trace) = trace else { return };
        self.traces.entry(trace).or_default().join(slot);
    }

    /// The slot of a task.
    fn task(&self, key: &TaskKey<'_>) -> Option<u32> {
        let mark = hash(key);
        let same = |&(held, slot): &(u64, u32)| {
            held == mark && self.item(slot).is_some_and(|item| item.goes_by(key))
        };
        self.tasks.find(mark, same).map(|&(_, slot)| slot)
    }

    fn place_task(
        &mut self,
        number: u64,
        carried: Carried,
        trace: Option<TraceId>,
        evidence: Evidence,
    ) -> (u32, bool) {
        let key = task_key(&evidence);
        let alias = alias_key(&evidence);
        let marks = [key.as_ref().map(hash), alias.as_ref().map(hash)];
        let known = [key, alias].map(|key| key.and_then(|key| self.task(&key)));
        let found = known[0].or(known[1]);
        // Most calls come in the trace of the call before, which the item has joined.
        let (slot, joined) = match found {
            Some(slot) => (slot, self.push_call(slot, evidence)),
            None => (self.insert(number, carried, true, evidence), None),
        };
        if trace != joined {
            self.join_trace(trace, slot);
        }
        for (mark, _) in marks.into_iter().zip(known).filter(|(_, known)| known.is_none()) {
            if let Some(mark) = mark {
                self.tasks.insert_unique(mark, (mark, slot), |&(mark, _)| mark);
            }
        }
        (slot, found.is_none())
    }

    /// Adds a call to a task; tells the trace that the task has joined with the call before.
    fn push_call(&mut self, slot: u32, evidence: Evidence) -> Option<TraceId> {
        let item = self.item_mut(slot)?;
        let last = item.calls.last().filter(|last| has_neighbours(last)).map(|last| last.span.trace);
        item.calls.push(evidence);
        item.carried.grow();
        last
    }

    fn insert(&mut self, number: u64, carried: Carried, is_task: bool, evidence: Evidence) -> u32 {
        // A task is seldom seen once.
        let mut calls = Vec::with_capacity(if is_task { 4 } else { 1 });
        calls.push(evidence);
        let names = SmallVec::new();
        let (last, opened) = (UnixNanos(0), UnixNanos(0));
        self.items.insert(Item { number, is_task, calls, pocket: NO_POCKET, names, carried, last, opened })
    }

    pub(crate) fn add_frame(&mut self, evidence: Evidence) {
        self.push_frame(self.next_number, Carried::No, evidence);
    }

    pub(crate) fn restore_frame(&mut self, number: u64, evidence: Evidence) {
        self.push_frame(number, Carried::Whole, evidence);
    }

    fn push_frame(&mut self, number: u64, carried: Carried, evidence: Evidence) {
        self.next_number = self.next_number.max(number + 1);
        let trace = evidence.span.trace;
        let entry = self.traces.entry(trace).or_default();
        if entry.is_empty() {
            self.idle.push_back(trace);
        }
        entry.push(FrameItem { number, evidence, carried });
        if self.idle.len() > self.max_idle {
            self.drop_idle();
        }
    }

    /// The oldest trace without calls goes.
    fn drop_idle(&mut self) {
        while let Some(trace) = self.idle.pop_front() {
            if self.traces.get(&trace).is_some_and(|entry| !entry.has_items()) {
                self.frames_dropped += self.drop_trace(trace);
                return;
            }
        }
    }

    fn drop_trace(&mut self, trace: TraceId) -> u64 {
        let Some(entry) = self.traces.remove(&trace) else { return 0 };
        for frame in entry.frames() {
            self.forget_frame(frame);
        }
        entry.frames().len() as u64
    }

    fn forget_frame(&mut self, frame: &FrameItem) {
        self.seen.remove(&fingerprint(&frame.evidence));
        if frame.carried != Carried::No {
            self.gone.push(frame.number);
        }
    }

    /// A trace that lives for days loses the frames of jobs that are forgotten.
    fn prune(&mut self, trace: TraceId, items: &[u32], until: UnixNanos) {
        let Some(mut entry) = self.traces.remove(&trace) else { return };
        let calls = items.iter().filter_map(|&slot| self.item(slot)).flat_map(Item::evidence);
        let calls = calls.filter(|call| call.span.trace == trace);
        let needed = calls.flat_map(|call| entry.frames_near(call)).map(|frame| frame.span.span).collect();
        let gone = entry.prune(&needed, until);
        for frame in &gone {
            self.forget_frame(frame);
        }
        self.traces.insert(trace, entry);
    }

    /// Items that have calls with a parent in a trace.
    pub(crate) fn in_trace(&self, trace: TraceId) -> &[u32] {
        self.traces.get(&trace).map(Trace::items).unwrap_or_default()
    }

    /// Frames that may say something of calls of these items.
    pub(crate) fn frames_of<'a>(&'a self, slots: &[u32]) -> Vec<&'a Evidence> {
        let calls = slots.iter().filter_map(|&slot| self.item(slot)).flat_map(Item::evidence);
        let mut calls: Vec<&Evidence> = calls.filter(|call| has_neighbours(call)).collect();
        calls.sort_unstable_by_key(|call| (call.span.trace, call.parent));
        calls.dedup_by_key(|call| (call.span.trace, call.parent));
        let mut frames = Vec::new();
        for calls in calls.chunk_by(|a, b| a.span.trace == b.span.trace) {
            let Some(trace) = self.traces.get(&calls[0].span.trace) else { continue };
            let calls = if trace.is_small() { &calls[..1] } else { calls };
            let from = frames.len();
            frames.extend(calls.iter().flat_map(|call| trace.frames_near(call)));
            if calls.len() > 1 {
                frames[from..].sort_unstable_by_key(|frame| frame.span);
                frames.dedup_by_key(|frame| frame.span);
            }
        }
        frames
    }

    /// Removes an item for good. What comes of its task later is late, and so is a lone call that comes
    /// again.
    pub(crate) fn remove(&mut self, slot: u32) {
        let Some(item) = self.items.remove(slot) else { return };
        if item.carried != Carried::No {
            self.gone.push(item.number);
        }
        for evidence in item.evidence() {
            let identity = fingerprint(evidence);
            self.seen.remove(&identity);
            if !item.is_task {
                self.tombstones.bury(identity);
            }
            for key in task_key(evidence).into_iter().chain(alias_key(evidence)) {
                let mark = hash(&key);
                self.tombstones.bury(mark);
                if let Ok(entry) = self.tasks.find_entry(mark, |&held| held == (mark, slot)) {
                    entry.remove();
                }
            }
            if has_neighbours(evidence) {
                self.leave_trace(evidence.span.trace, slot, item.last);
            }
        }
        for name in item.names {
            self.names.remove(&name);
        }
    }

    /// Finds who else goes by a name; the first to come keeps it.
    pub(crate) fn name(&mut self, name: u64, slot: u32) -> Option<u32> {
        let held = self.named(name);
        if held.is_none()
            && let Some(item) = self.item_mut(slot)
        {
            item.names.push(name);
            self.names.insert(name, slot);
        }
        held
    }

    /// Who goes by a name.
    pub(crate) fn named(&self, name: u64) -> Option<u32> {
        self.names.get(&name).copied()
    }

    /// Frames of its trace that may say something of a call.
    pub(crate) fn frames_near(&self, call: &Evidence) -> impl Iterator<Item = &Evidence> {
        self.traces.get(&call.span.trace).into_iter().flat_map(|trace| trace.frames_near(call))
    }

    /// The job of an item is over: what comes in its traces has nothing to do with it.
    pub(crate) fn set_apart(&mut self, slot: u32) {
        let Some(item) = self.items.get(slot) else { return };
        for evidence in item.evidence().iter().filter(|evidence| has_neighbours(evidence)) {
            if let Some(trace) = self.traces.get_mut(&evidence.span.trace) {
                trace.set_apart(slot);
            }
        }
    }

    fn leave_trace(&mut self, trace: TraceId, slot: u32, last: UnixNanos) {
        let Some(entry) = self.traces.get_mut(&trace) else { return };
        entry.leave(slot);
        if !entry.has_items() {
            self.drop_trace(trace);
        } else if let Some(items) = entry.due_for_pruning() {
            self.prune(trace, &items, last);
        }
    }

    /// The creation number of what comes next.
    pub(crate) fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Shows what was created before a number and is not carried, and all that was carried and grew.
    pub(crate) fn carry(&mut self, before: u64, mut visit: impl FnMut(u64, &[Evidence])) {
        let wanted = |number: u64, carried: Carried| match carried {
            Carried::No => number < before,
            Carried::Partly => true,
            Carried::Whole => false,
        };
        for item in self.items.values_mut().filter(|item| wanted(item.number, item.carried)) {
            visit(item.number, item.evidence());
            item.carried = Carried::Whole;
        }
        for frame in self.traces.values_mut().flat_map(Trace::frames_mut) {
            if wanted(frame.number, frame.carried) {
                visit(frame.number, std::slice::from_ref(&frame.evidence));
                frame.carried = Carried::Whole;
            }
        }
    }

    /// What was carried and is gone since the last call.
    pub(crate) fn take_gone(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.gone)
    }
}
