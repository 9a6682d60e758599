//! What is in memory, and how it is found: by task id, by trace, by identity.
//!
//! A call that names its task is looked for among the calls of the task; only what names none is found by its
//! fingerprint. Most spans are polls, so most need no entry of their own.

use std::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet, HashTable};

use crate::call::Evidence;
use crate::id::{TraceId, UnixNanos};
use crate::stitcher::Observed;
use crate::stitcher::item::{
    Carried, Item, TaskKey, alias_key, fingerprint, has_neighbours, hash, task_key, task_name,
};
use crate::stitcher::slab::Slab;
use crate::stitcher::tombstones::Tombstones;
use crate::stitcher::trace::{FrameItem, Trace};

#[derive(Debug)]
pub(crate) struct Index {
    items: Slab<Item>,
    /// Name and slot; the item has the key itself. Two providers may have a task of the same name.
    tasks: HashTable<(u64, u32)>,
    traces: HashMap<TraceId, Trace, FixedState>,
    /// Names (correlation ids, and task ids that frames tell) and who went by them first.
    names: HashMap<u64, u32, FixedState>,
    /// Fingerprints of the frames, and of the calls that name no task.
    seen: HashSet<u64, FixedState>,
    spans: usize,
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
            spans: 0,
            tombstones: Tombstones::default(),
            gone: Vec::new(),
            idle: VecDeque::new(),
            max_idle,
            frames_dropped: 0,
            next_number: 0,
        }
    }

    pub(crate) fn spans(&self) -> usize {
        self.spans
    }

    /// How many tasks and lone calls there are.
    pub(crate) fn items(&self) -> usize {
        self.items.len()
    }

    /// Takes back the newest span of a task that has more than it may.
    pub(crate) fn take_surplus(&mut self, slot: u32, max: usize) -> Option<Evidence> {
        let surplus = self.items.get_mut(slot).filter(|item| item.evidence().len() > max)?.pop();
        self.spans -= usize::from(surplus.is_some());
        surplus
    }

    pub(crate) fn frames_dropped(&self) -> u64 {
        self.frames_dropped
    }

    pub(crate) fn item(&self, slot: u32) -> Option<&Item> {
        self.items.get(slot)
    }

    pub(crate) fn item_mut(&mut self, slot: u32) -> Option<&mut Item> {
        self.items.get_mut(slot)
    }

    /// Adds a call to its task or as a new item; tells the slot and whether it is new, or why it is not
    /// added.
    pub(crate) fn add_call(&mut self, evidence: Evidence) -> Result<(u32, bool), Observed> {
        let (slot, created) = self.place(self.next_number, Carried::No, evidence)?;
        self.next_number += u64::from(created);
        Ok((slot, created))
    }

    /// Takes a call back: what is forgotten was so before, and is not asked.
    pub(crate) fn restore_call(&mut self, number: u64, evidence: Evidence) -> Result<(u32, bool), Observed> {
        self.next_number = self.next_number.max(number + 1);
        let placed = self.place(number, Carried::Whole, evidence)?;
        if let Some(item) = self.item_mut(placed.0) {
            item.carried = Carried::Whole;
        }
        Ok(placed)
    }

    fn place(&mut self, number: u64, carried: Carried, evidence: Evidence) -> Result<(u32, bool), Observed> {
        let trace = has_neighbours(&evidence).then_some(evidence.span.trace);
        let placed = if task_key(&evidence).or_else(|| alias_key(&evidence)).is_some() {
            self.place_task(number, carried, trace, evidence)?
        } else {
            (self.place_lone(number, carried, trace, evidence)?, true)
        };
        self.spans += 1;
        Ok(placed)
    }

    fn place_lone(
        &mut self,
        number: u64,
        carried: Carried,
        trace: Option<TraceId>,
        evidence: Evidence,
    ) -> Result<u32, Observed> {
        let mark = fingerprint(&evidence);
        if carried == Carried::No && self.tombstones.has(mark) {
            return Err(Observed::Late);
        }
        if !self.seen.insert(mark) {
            return Err(Observed::Duplicate);
        }
        let slot = self.items.insert(Item::new(number, carried, false, evidence));
        self.join_trace(trace, slot);
        Ok(slot)
    }

    fn join_trace(&mut self, trace: Option<TraceId>, slot: u32) {
        let Some(trace) = trace else { return };
        self.traces.entry(trace).or_default().join(slot);
    }

    /// The slot of a task.
    fn task(&self, name: u64, key: &TaskKey<'_>) -> Option<u32> {
        let same = |&(held, slot): &(u64, u32)| {
            held == name && self.item(slot).is_some_and(|item| item.goes_by(key))
        };
        self.tasks.find(name, same).map(|&(_, slot)| slot)
    }

    fn place_task(
        &mut self,
        number: u64,
        carried: Carried,
        trace: Option<TraceId>,
        evidence: Evidence,
    ) -> Result<(u32, bool), Observed> {
        let keys = [task_key(&evidence), alias_key(&evidence)];
        let names = keys.each_ref().map(|key| key.as_ref().map(|key| task_name(key.0, key.2)));
        let known = [0, 1].map(|at| self.task(names[at]?, keys[at].as_ref()?));
        // Most calls come in the trace of the call before, which the item has joined.
        let (slot, joined) = if let Some(slot) = known[0].or(known[1]) {
            (slot, self.push_call(slot, evidence)?)
        } else {
            let is_forgotten =
                |key: &TaskKey<'_>| !self.tombstones.is_empty() && self.tombstones.has(hash(key));
            if carried == Carried::No && keys[0].as_ref().is_some_and(is_forgotten) {
                return Err(Observed::Late);
            }
            (self.items.insert(Item::new(number, carried, true, evidence)), None)
        };
        if trace != joined {
            self.join_trace(trace, slot);
        }
        for (name, _) in names.into_iter().zip(known).filter(|(_, known)| known.is_none()) {
            if let Some(name) = name {
                self.tasks.insert_unique(name, (name, slot), |&(name, _)| name);
            }
        }
        Ok((slot, known == [None, None]))
    }

    /// Adds a call to a task; tells the trace that the task has joined with the call before.
    fn push_call(&mut self, slot: u32, evidence: Evidence) -> Result<Option<TraceId>, Observed> {
        let Some(item) = self.item_mut(slot).filter(|item| !item.has(&evidence)) else {
            return Err(Observed::Duplicate);
        };
        let last = item.evidence().last().filter(|last| has_neighbours(last)).map(|last| last.span.trace);
        item.push(evidence);
        Ok(last)
    }

    /// Whether a frame was not known yet; notes it.
    pub(crate) fn is_new_frame(&mut self, evidence: &Evidence) -> bool {
        self.seen.insert(fingerprint(evidence))
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
        self.spans += 1;
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
        self.spans -= 1;
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
        let calls = || {
            let items = slots.iter().filter_map(|&slot| self.item(slot));
            items.flat_map(Item::evidence).filter(|call| has_neighbours(call))
        };
        let Some(first) = calls().next() else { return Vec::new() };
        // Most pools are of one request, and all its frames are near.
        if calls().all(|call| call.span.trace == first.span.trace)
            && let Some(trace) = self.traces.get(&first.span.trace).filter(|trace| trace.is_small())
        {
            return trace.frames_near(first).collect();
        }
        let mut calls: Vec<&Evidence> = calls().collect();
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
        self.spans -= item.evidence().len();
        let mut known = [None, None];
        for evidence in item.evidence() {
            if !item.is_task {
                let mark = fingerprint(evidence);
                self.seen.remove(&mark);
                self.tombstones.bury(mark);
            }
            // All calls of a task name it alike, as a rule.
            for (key, known) in [task_key(evidence), alias_key(evidence)].into_iter().zip(&mut known) {
                if let Some(key) = key
                    && known.replace(key) != Some(key)
                {
                    self.tombstones.bury(hash(&key));
                    let held = (task_name(key.0, key.2), slot);
                    if let Ok(entry) = self.tasks.find_entry(held.0, |&task| task == held) {
                        entry.remove();
                    }
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
        let held = self.named(name, slot);
        if held.is_none()
            && self.tasks.find(name, |&task| task == (name, slot)).is_none()
            && let Some(item) = self.items.get_mut(slot)
        {
            item.names.push(name);
            self.names.insert(name, slot);
        }
        held
    }

    /// Who goes by a name besides the task in a slot.
    pub(crate) fn named(&self, name: u64, slot: u32) -> Option<u32> {
        let task = || self.tasks.find(name, |&(held, other)| held == name && other != slot);
        self.names.get(&name).copied().or_else(|| task().map(|&(_, slot)| slot))
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
