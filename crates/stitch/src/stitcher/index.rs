//! What is in memory, and how it is found: by task id, by trace, by identity.

use std::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet, HashTable};
use smallvec::SmallVec;

use crate::call::Evidence;
use crate::id::TraceId;
use crate::stitcher::item::{
    Carried, Item, Kept, NO_POCKET, TaskKey, alias_key, fingerprint, has_neighbours, hash, one, task_key,
};

/// Frames of a trace and the items that have calls with a parent in it.
#[derive(Debug, Default)]
struct Trace {
    frames: Vec<FrameItem>,
    items: SmallVec<[u32; 4]>,
}

/// A frame, with its creation number.
#[derive(Debug)]
struct FrameItem {
    number: u64,
    evidence: Evidence,
    carried: Carried,
}

#[derive(Debug)]
pub(crate) struct Index {
    items: Vec<Option<Item>>,
    free: Vec<u32>,
    /// Hash of the key and slot; the item has the key itself.
    tasks: HashTable<(u64, u32)>,
    traces: HashMap<TraceId, Trace, FixedState>,
    /// Names (task ids, correlation ids) and who went by them first.
    names: HashMap<u64, u32, FixedState>,
    /// Fingerprints of every span in memory.
    seen: HashSet<u64, FixedState>,
    /// Fingerprints of tasks that were forgotten, oldest first.
    tombstones: HashSet<u64, FixedState>,
    tombstone_order: VecDeque<u64>,
    /// What was carried and is no more.
    gone: Vec<u64>,
    /// Traces that have frames and no calls, oldest first.
    idle: VecDeque<TraceId>,
    max_idle: usize,
    frames_dropped: u64,
    next_number: u64,
}

/// Most forgotten tasks remembered: 8 bytes each.
const MAX_TOMBSTONES: usize = 1_000_000;

impl Index {
    pub(crate) fn new(max_idle: usize) -> Self {
        Self {
            items: Vec::new(),
            free: Vec::new(),
            tasks: HashTable::new(),
            traces: HashMap::default(),
            names: HashMap::default(),
            seen: HashSet::default(),
            tombstones: HashSet::default(),
            tombstone_order: VecDeque::new(),
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
        let key = task_key(evidence);
        key.is_some_and(|key| self.tombstones.contains(&hash(&key)) && self.task(&key).is_none())
    }

    pub(crate) fn item(&self, slot: u32) -> Option<&Item> {
        self.items.get(slot as usize)?.as_ref()
    }

    pub(crate) fn item_mut(&mut self, slot: u32) -> Option<&mut Item> {
        self.items.get_mut(slot as usize)?.as_mut()
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
        let (slot, created) = if task_key(&evidence).or_else(|| alias_key(&evidence)).is_some() {
            self.place_task(number, carried, evidence)
        } else {
            (self.insert(number, carried, Kept::Lone(evidence)), true)
        };
        if let Some(trace) = trace {
            let items = &mut self.traces.entry(trace).or_default().items;
            if items.last() != Some(&slot) && !items.contains(&slot) {
                items.push(slot);
            }
        }
        (slot, created)
    }

    /// The slot of a task.
    fn task(&self, key: &TaskKey<'_>) -> Option<u32> {
        let mark = hash(key);
        let same = |&(held, slot): &(u64, u32)| {
            held == mark && self.item(slot).is_some_and(|item| item.goes_by(key))
        };
        self.tasks.find(mark, same).map(|&(_, slot)| slot)
    }

    fn place_task(&mut self, number: u64, carried: Carried, evidence: Evidence) -> (u32, bool) {
        let key = task_key(&evidence);
        let alias = alias_key(&evidence);
        let marks = [key.as_ref().map(hash), alias.as_ref().map(hash)];
        let known = [key, alias].map(|key| key.and_then(|key| self.task(&key)));
        let (slot, created) = match known[0].or(known[1]) {
            Some(slot) => {
                if let Some(Item { kept: Kept::Task(calls), carried, .. }) = self.item_mut(slot) {
                    calls.push(evidence);
                    carried.grow();
                }
                (slot, false)
            }
            None => (self.insert(number, carried, Kept::Task(one(evidence))), true),
        };
        for (mark, _) in marks.into_iter().zip(known).filter(|(_, known)| known.is_none()) {
            if let Some(mark) = mark {
                self.tasks.insert_unique(mark, (mark, slot), |&(mark, _)| mark);
            }
        }
        (slot, created)
    }

    fn insert(&mut self, number: u64, carried: Carried, kept: Kept) -> u32 {
        let item = Item { number, kept, pocket: NO_POCKET, names: SmallVec::new(), carried };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.items.push(None);
            self.items.len() as u32 - 1
        });
        self.items[slot as usize] = Some(item);
        slot
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
        if entry.frames.is_empty() && entry.items.is_empty() {
            self.idle.push_back(trace);
        }
        entry.frames.push(FrameItem { number, evidence, carried });
        if self.idle.len() > self.max_idle {
            self.drop_idle();
        }
    }

    /// The oldest trace without calls goes.
    fn drop_idle(&mut self) {
        while let Some(trace) = self.idle.pop_front() {
            if self.traces.get(&trace).is_some_and(|entry| entry.items.is_empty()) {
                self.frames_dropped += self.drop_trace(trace);
                return;
            }
        }
    }

    fn drop_trace(&mut self, trace: TraceId) -> u64 {
        let Some(entry) = self.traces.remove(&trace) else { return 0 };
        for frame in &entry.frames {
            self.seen.remove(&fingerprint(&frame.evidence));
            if frame.carried != Carried::No {
                self.gone.push(frame.number);
            }
        }
        entry.frames.len() as u64
    }

    /// Items that have calls with a parent in a trace.
    pub(crate) fn in_trace(&self, trace: TraceId) -> &[u32] {
        self.traces.get(&trace).map(|entry| &*entry.items).unwrap_or_default()
    }

    /// Frames of the traces in which some of these items have calls with a parent.
    pub(crate) fn frames_of<'a>(&'a self, slots: &[u32]) -> Vec<&'a Evidence> {
        let calls = slots.iter().filter_map(|&slot| self.item(slot)).flat_map(Item::evidence);
        let mut traces: Vec<TraceId> =
            calls.filter(|call| has_neighbours(call)).map(|call| call.span.trace).collect();
        traces.sort_unstable();
        traces.dedup();
        let entries = traces.iter().filter_map(|trace| self.traces.get(trace));
        entries.flat_map(|entry| entry.frames.iter().map(|frame| &frame.evidence)).collect()
    }

    /// Removes an item for good; its task's later calls are late.
    pub(crate) fn remove(&mut self, slot: u32) {
        let Some(item) = self.items.get_mut(slot as usize).and_then(Option::take) else { return };
        self.free.push(slot);
        if item.carried != Carried::No {
            self.gone.push(item.number);
        }
        for evidence in item.evidence() {
            self.seen.remove(&fingerprint(evidence));
            for key in task_key(evidence).into_iter().chain(alias_key(evidence)) {
                let mark = hash(&key);
                self.bury(mark);
                if let Ok(entry) = self.tasks.find_entry(mark, |&held| held == (mark, slot)) {
                    entry.remove();
                }
            }
            if has_neighbours(evidence) {
                self.leave_trace(evidence.span.trace, slot);
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

    /// Frames known of a trace.
    pub(crate) fn frames_in(&self, trace: TraceId) -> impl Iterator<Item = &Evidence> {
        let entry = self.traces.get(&trace).into_iter();
        entry.flat_map(|entry| entry.frames.iter().map(|frame| &frame.evidence))
    }

    fn leave_trace(&mut self, trace: TraceId, slot: u32) {
        let Some(entry) = self.traces.get_mut(&trace) else { return };
        entry.items.retain(|held| *held != slot);
        if entry.items.is_empty() {
            self.drop_trace(trace);
        }
    }

    fn bury(&mut self, mark: u64) {
        if self.tombstones.insert(mark) {
            self.tombstone_order.push_back(mark);
        }
        if self.tombstone_order.len() > MAX_TOMBSTONES
            && let Some(oldest) = self.tombstone_order.pop_front()
        {
            self.tombstones.remove(&oldest);
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
        for item in self.items.iter_mut().flatten().filter(|item| wanted(item.number, item.carried)) {
            visit(item.number, item.evidence());
            item.carried = Carried::Whole;
        }
        for frame in self.traces.values_mut().flat_map(|entry| &mut entry.frames) {
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
