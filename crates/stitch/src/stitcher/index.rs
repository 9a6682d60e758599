//! What is in memory, and how it is found: by task id, by trace, by identity.
//!
//! A call that names its task is looked for among the calls of the task, one that names none among the few
//! of its trace. Only what is alone, or in a crowd, is found by its fingerprint: most spans need no entry of
//! their own.

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet, HashTable};

use crate::evidence::Evidence;
use crate::stitcher::item::{
    Carried, Item, TaskKey, alias_key, fingerprint, has_neighbours, hash, is_same, task_key, task_name,
};
use crate::stitcher::keyed::Keyed;
use crate::stitcher::owned_trace::OwnedTrace;
use crate::stitcher::slab::Slab;
use crate::stitcher::tombstones::Tombstones;
use crate::stitcher::trace::Trace;
use crate::stitcher::waiting::Waiting;
use crate::stitcher::{Came, Observed};

/// Where a call went: the slot of its item.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Placed {
    /// A new item.
    New(u32),
    /// An item that there was.
    Added(u32),
    /// The task is full: the call is not kept.
    Surplus(u32),
}

#[derive(Debug)]
pub(crate) struct Index {
    pub(super) items: Slab<Item>,
    /// Name and slot; the item has the key itself. Two providers may have a task of the same name.
    pub(super) tasks: HashTable<(u64, u32)>,
    /// Those that have calls.
    pub(super) traces: Keyed<OwnedTrace, Trace>,
    /// Names (correlation ids, and task ids that frames tell) and who went by them first.
    pub(super) names: HashMap<u64, u32, FixedState>,
    /// Fingerprints of the calls that name no task, if they are alone or in a crowd.
    pub(super) seen: HashSet<u64, FixedState>,
    pub(super) spans: usize,
    pub(super) tombstones: Tombstones,
    /// What was carried and is no more.
    pub(super) gone: Vec<u64>,
    /// Frames of traces without calls.
    pub(super) waiting: Waiting,
    pub(super) max_idle: usize,
    pub(super) frames_dropped: u64,
    pub(super) next_number: u64,
    /// Where the last call of a task went: the next is often of the same one.
    recent: u32,
}

impl Index {
    pub(crate) fn new(max_idle: usize) -> Self {
        Self {
            items: Slab::default(),
            tasks: HashTable::new(),
            traces: Keyed::default(),
            names: HashMap::default(),
            seen: HashSet::default(),
            spans: 0,
            tombstones: Tombstones::default(),
            gone: Vec::new(),
            waiting: Waiting::default(),
            max_idle,
            frames_dropped: 0,
            next_number: 0,
            recent: 0,
        }
    }

    pub(crate) fn spans(&self) -> usize {
        self.spans
    }

    /// How many tasks and lone calls there are.
    pub(crate) fn items(&self) -> usize {
        self.items.len()
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

    /// Adds a call to its task or as a new item; tells where it went, or why it went nowhere. A task that
    /// `is_full` takes no more.
    pub(crate) fn add_call(
        &mut self,
        evidence: Evidence,
        is_full: impl Fn(&Item) -> bool,
    ) -> Result<Placed, Observed> {
        let placed = self.place(self.next_number, Carried::No, evidence, is_full)?;
        self.next_number += u64::from(matches!(placed, Placed::New(_)));
        Ok(placed)
    }

    /// Takes a call back. It was kept and not forgotten when it was carried, so no tombstone is asked about
    /// it, and its task has room for it, however much one may keep by now.
    pub(crate) fn restore_call(&mut self, number: u64, evidence: Evidence) -> Result<Placed, Observed> {
        self.next_number = self.next_number.max(number + 1);
        let placed = self.place(number, Carried::Whole, evidence, |_| false)?;
        if let Placed::New(slot) | Placed::Added(slot) = placed
            && let Some(item) = self.item_mut(slot)
        {
            item.carried = Carried::Whole;
        }
        Ok(placed)
    }

    fn place(
        &mut self,
        number: u64,
        carried: Carried,
        evidence: Evidence,
        is_full: impl Fn(&Item) -> bool,
    ) -> Result<Placed, Observed> {
        let trace = has_neighbours(&evidence).then(|| OwnedTrace::of(&evidence));
        let placed = if task_key(&evidence).or_else(|| alias_key(&evidence)).is_some() {
            self.place_task(number, carried, trace, evidence, is_full)?
        } else {
            Placed::New(self.place_lone(number, carried, trace, evidence)?)
        };
        self.spans += usize::from(!matches!(placed, Placed::Surplus(_)));
        Ok(placed)
    }

    fn place_lone(
        &mut self,
        number: u64,
        carried: Carried,
        trace: Option<OwnedTrace>,
        evidence: Evidence,
    ) -> Result<u32, Observed> {
        let may_be_late = carried == Carried::No && !self.tombstones.is_empty();
        if may_be_late && self.tombstones.has(fingerprint(&evidence)) {
            return Err(Observed::Late);
        }
        let Some(trace) = trace else {
            if !self.seen.insert(fingerprint(&evidence)) {
                return Err(Observed::Duplicate);
            }
            let mut item = Item::new(number, carried, false, evidence);
            item.marked = true;
            return Ok(self.items.insert(item));
        };
        let (at, entry) = trace_with_calls(&mut self.traces, &mut self.waiting, trace);
        let sparse = entry.is_sparse();
        if sparse {
            let items = entry.items().iter().filter_map(|&slot| self.items.get(slot));
            let mut lone = items.filter(|item| !item.is_task).map(Item::first);
            if lone.any(|held| is_same(held, &evidence)) {
                return Err(Observed::Duplicate);
            }
        } else {
            for slot in entry.take_unmarked() {
                mark(&mut self.items, &mut self.seen, slot);
            }
            if !self.seen.insert(fingerprint(&evidence)) {
                return Err(Observed::Duplicate);
            }
        }
        let mut item = Item::new(number, carried, false, evidence);
        (item.trace, item.marked) = (at, !sparse);
        let is_hook = item.is_hook();
        let slot = self.items.insert(item);
        entry.join_lone(slot, is_hook, !sparse);
        Ok(slot)
    }

    fn join_trace(&mut self, trace: Option<OwnedTrace>, slot: u32) {
        let Some(trace) = trace else { return };
        let (at, entry) = trace_with_calls(&mut self.traces, &mut self.waiting, trace);
        entry.join(slot);
        if let Some(item) = self.items.get_mut(slot) {
            item.trace = at;
        }
    }

    /// The slot of a task.
    pub(super) fn task(&self, name: u64, key: &TaskKey<'_>) -> Option<u32> {
        let same = |&(held, slot): &(u64, u32)| {
            held == name && self.item(slot).is_some_and(|item| item.goes_by(key))
        };
        self.tasks.find(name, same).map(|&(_, slot)| slot)
    }

    fn place_task(
        &mut self,
        number: u64,
        carried: Carried,
        trace: Option<OwnedTrace>,
        evidence: Evidence,
        is_full: impl Fn(&Item) -> bool,
    ) -> Result<Placed, Observed> {
        let keys = [task_key(&evidence), alias_key(&evidence)];
        if let [Some(key), None] = &keys
            && self.item(self.recent).is_some_and(|item| item.is_task && item.goes_by(key))
        {
            return self.add_to(self.recent, trace, evidence, is_full);
        }
        let names = keys.each_ref().map(|key| key.as_ref().map(|key| task_name(key.0, key.2)));
        let known = [0, 1].map(|at| self.task(names[at]?, keys[at].as_ref()?));
        let (slot, placed) = if let Some(slot) = known[0].or(known[1]) {
            (slot, self.add_to(slot, trace, evidence, is_full)?)
        } else {
            let is_forgotten =
                |key: &TaskKey<'_>| !self.tombstones.is_empty() && self.tombstones.has(hash(key));
            if carried == Carried::No && keys[0].as_ref().is_some_and(is_forgotten) {
                return Err(Observed::Late);
            }
            let slot = self.items.insert(Item::new(number, carried, true, evidence));
            self.join_trace(trace, slot);
            (slot, Placed::New(slot))
        };
        for (name, _) in names.into_iter().zip(known).filter(|(_, known)| known.is_none()) {
            if let Some(name) = name {
                self.tasks.insert_unique(name, (name, slot), |&(name, _)| name);
            }
        }
        self.recent = slot;
        Ok(placed)
    }

    /// Adds a call to a task. One for which there is no room joins no trace either: it would hold the trace
    /// and its frames for ever, since an item leaves the traces of the calls that it has.
    fn add_to(
        &mut self,
        slot: u32,
        trace: Option<OwnedTrace>,
        evidence: Evidence,
        is_full: impl Fn(&Item) -> bool,
    ) -> Result<Placed, Observed> {
        let Some(item) = self.item_mut(slot).filter(|item| !item.has(&evidence)) else {
            return Err(Observed::Duplicate);
        };
        if is_full(item) {
            return Ok(Placed::Surplus(slot));
        }
        // Most calls come in the trace of the call before, which the item has joined.
        let newest = item.newest();
        let joined = has_neighbours(newest).then(|| OwnedTrace::of(newest));
        item.push(evidence);
        if trace != joined {
            self.join_trace(trace, slot);
        }
        Ok(Placed::Added(slot))
    }

    /// Items that have calls with a parent in a trace.
    pub(crate) fn in_trace(&self, trace: OwnedTrace) -> &[u32] {
        self.trace(trace).map(Trace::items).unwrap_or_default()
    }

    /// Removes an item for good. What comes of its task later is late, and so is a lone call that comes
    /// again.
    pub(crate) fn remove(&mut self, slot: u32) {
        let Some(item) = self.items.remove(slot) else { return };
        if item.carried != Carried::No {
            self.gone.push(item.number);
        }
        self.spans -= item.len();
        let mut known = [None, None];
        for evidence in item.calls() {
            if !item.is_task {
                let mark = fingerprint(evidence);
                if item.marked {
                    self.seen.remove(&mark);
                }
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
                self.leave_trace(OwnedTrace::of(evidence), slot, &item);
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

    /// Who claimed a name.
    pub(crate) fn holder(&self, name: u64) -> Option<u32> {
        self.names.get(&name).copied()
    }

    /// Who goes by a name besides the task in a slot.
    pub(crate) fn named(&self, name: u64, slot: u32) -> Option<u32> {
        let task = || self.tasks.find(name, |&(held, other)| held == name && other != slot);
        self.names.get(&name).copied().or_else(|| task().map(|&(_, slot)| slot))
    }

    /// The job of an item is over: what comes in its traces has nothing to do with it.
    pub(crate) fn set_apart(&mut self, slot: u32) {
        mark(&mut self.items, &mut self.seen, slot);
        let Some(item) = self.items.get(slot) else { return };
        let is_hook = item.is_hook();
        for evidence in item.calls().filter(|evidence| has_neighbours(evidence)) {
            if let Some(trace) = self.traces.get_mut(&OwnedTrace::of(evidence)) {
                trace.set_apart(slot, is_hook);
            }
        }
    }

    /// The creation number of what comes next.
    pub(crate) fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Shows what was created before a number and is not carried, and all that was carried and grew.
    pub(crate) fn carry(&mut self, before: u64, mut visit: impl FnMut(u64, Came, &[&Evidence])) {
        let wanted = |number: u64, carried: Carried| match carried {
            Carried::No => number < before,
            Carried::Partly => true,
            Carried::Whole => false,
        };
        for item in self.items.values_mut().filter(|item| wanted(item.number, item.carried)) {
            let came = Came { first: item.opened, last: item.last };
            let again = item.again();
            let calls: Vec<&Evidence> = item.calls().chain(&again).collect();
            visit(item.number, came, &calls);
            item.carried = Carried::Whole;
        }
        for frame in self.traces.values_mut().flat_map(Trace::frames_mut) {
            if wanted(frame.number, frame.carried) {
                let came = Came { first: frame.came, last: frame.came };
                visit(frame.number, came, &[&frame.evidence]);
                frame.carried = Carried::Whole;
            }
        }
        for frame in self.waiting.iter_mut().filter(|frame| wanted(frame.number, frame.carried)) {
            let came = Came { first: frame.came, last: frame.came };
            visit(frame.number, came, &[&frame.evidence()]);
            frame.carried = Carried::Whole;
        }
    }

    /// What was carried and is gone since the last call.
    pub(crate) fn take_gone(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.gone)
    }
}

/// A trace that has a call, with the frames that waited for one.
pub(super) fn trace_with_calls<'a>(
    traces: &'a mut Keyed<OwnedTrace, Trace>,
    waiting: &mut Waiting,
    trace: OwnedTrace,
) -> (u32, &'a mut Trace) {
    traces.or_insert_with(trace, || Trace::of(waiting.take(trace)))
}

/// A lone call is found by its fingerprint from now on.
pub(super) fn mark(items: &mut Slab<Item>, seen: &mut HashSet<u64, FixedState>, slot: u32) {
    let Some(item) = items.get_mut(slot).filter(|item| !item.is_task && !item.marked) else { return };
    item.marked = true;
    seen.extend(item.calls().map(fingerprint));
}
