//! Pockets: items that can only be placed together, and when to look at them.
//!
//! A pocket holds the calls of one trace, or one task with what names it. It is solved alone, and most are
//! complete in themselves. A pocket that is *loose* has a submit without its task or a task without its
//! submit; it waits in the lane of its tenant and provider, and all loose pockets of a tenant are solved
//! together. Once a tie found there is old enough to be final, it is pinned, and its pockets become one. That
//! one rests in the lane for a while: the others are solved with it, and learn from it what is usual.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use smallvec::SmallVec;
use thin_vec::ThinVec;

use crate::id::{JobId, UnixNanos};
use crate::solve::Pin;
use crate::stitcher::slab::Slab;
use crate::stitcher::wheel::{NEVER, Wheel};

/// Tenant and provider.
pub(crate) type LaneKey = (Arc<str>, Arc<str>);

#[derive(Debug)]
pub(crate) struct Pocket {
    pub(crate) members: SmallVec<[u32; 4]>,
    pub(crate) pins: ThinVec<Pin>,
    /// Latest activity: the later of the last call's end and the time it came.
    pub(crate) last: UnixNanos,
    /// Start of the first call.
    pub(crate) started: UnixNanos,
    /// When its newest part came to be known: the later of that part's start and its arrival. Spans that come
    /// hours late wait for one another as fresh ones do.
    pub(crate) opened: UnixNanos,
    /// When it was last solved, or made.
    pub(crate) looked: UnixNanos,
    /// Second of the wheel at which it is solved, or forgotten.
    pub(super) planned: u64,
    /// Second of the wheel at which it is looked at next: no later than that.
    pub(super) scheduled: u64,
    /// The lanes that it waits or rests in.
    pub(crate) lanes: ThinVec<LaneKey>,
    /// It waits for nothing in its lanes any more, and stays there to show the others what is usual.
    pub(crate) rests: bool,
    /// Holds a delivery that names no task.
    pub(crate) hook: bool,
    /// Jobs as last found.
    pub(crate) jobs: SmallVec<[JobId; 1]>,
    /// Nothing came since it was last published.
    pub(crate) settled: bool,
    /// The pass in which it was last shown: see [`super::view::OpenCursor`].
    pub(super) shown: Cell<u32>,
}

impl Pocket {
    pub(super) fn new(
        members: SmallVec<[u32; 4]>,
        started: UnixNanos,
        opened: UnixNanos,
        last: UnixNanos,
    ) -> Self {
        Self {
            members,
            pins: ThinVec::new(),
            last,
            started,
            opened,
            looked: opened,
            planned: NEVER,
            scheduled: NEVER,
            lanes: ThinVec::new(),
            rests: false,
            hook: false,
            jobs: SmallVec::new(),
            settled: false,
            shown: Cell::new(0),
        }
    }

    /// Adds ties; a settled job keeps no room for more.
    pub(super) fn pin(&mut self, pins: &[Pin]) {
        self.pins.reserve_exact(pins.len());
        self.pins.extend_from_slice(pins);
    }
}

/// All pockets, the lanes, and a wheel that says which to look at.
#[derive(Debug, Default)]
pub(crate) struct Pockets {
    pub(super) slots: Slab<Pocket>,
    pub(super) wheel: Wheel,
    lanes: BTreeMap<LaneKey, Lane>,
}

/// The loose pockets of a tenant and provider.
#[derive(Debug, Default)]
struct Lane {
    members: BTreeSet<u32>,
    /// Those of them that hold a delivery without a name.
    hooks: BTreeSet<u32>,
    /// The last that are decided, oldest first. They are solved with the others: how often a client submits,
    /// polls and retries is learned from them, and something late may still be theirs.
    resting: VecDeque<u32>,
    /// When it may be solved again: a crowded lane is solved less often, so that the cost of a span stays
    /// flat.
    next: UnixNanos,
}

/// A lane is solved again after a second, and a second more for so many pockets.
const POCKETS_A_SECOND: u64 = 2000;

/// How many rest in a lane.
const RESTING: usize = 256;

impl Pockets {
    pub(crate) fn create(
        &mut self,
        member: u32,
        started: UnixNanos,
        opened: UnixNanos,
        last: UnixNanos,
    ) -> u32 {
        self.insert(Pocket::new(SmallVec::from_slice(&[member]), started, opened, last))
    }

    pub(super) fn insert(&mut self, pocket: Pocket) -> u32 {
        self.slots.insert(pocket)
    }

    /// Takes an item into an existing pocket. The result is that of making one for it and merging the two.
    pub(crate) fn admit(
        &mut self,
        at: u32,
        member: u32,
        started: UnixNanos,
        opened: UnixNanos,
        last: UnixNanos,
    ) {
        let Some(pocket) = self.get_mut(at) else { return };
        pocket.members.push(member);
        pocket.last = pocket.last.max(last);
        pocket.started = pocket.started.min(started);
        pocket.opened = pocket.opened.max(opened);
        pocket.looked = pocket.looked.min(opened);
        pocket.settled = false;
    }

    pub(crate) fn get(&self, at: u32) -> Option<&Pocket> {
        self.slots.get(at)
    }

    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut Pocket> {
        self.slots.get_mut(at)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Pocket)> {
        self.slots.iter()
    }

    /// The same from a slot on.
    pub(crate) fn iter_from(&self, at: u32) -> impl Iterator<Item = (u32, &Pocket)> {
        self.slots.iter_from(at)
    }

    /// Puts a pocket into a lane, where what is loose is solved together.
    pub(crate) fn join_lane(&mut self, at: u32, key: LaneKey) {
        self.wait(at);
        let Some(pocket) = self.get_mut(at) else { return };
        if !pocket.lanes.contains(&key) {
            pocket.lanes.push(key.clone());
            let hook = pocket.hook;
            let lane = self.lanes.entry(key).or_default();
            lane.members.insert(at);
            if hook {
                lane.hooks.insert(at);
            }
        }
    }

    /// Notes that a pocket holds a delivery that names no task.
    pub(crate) fn mark_hook(&mut self, at: u32) {
        let Some(pocket) = self.slots.get_mut(at) else { return };
        pocket.hook = true;
        for key in &pocket.lanes {
            if let Some(lane) = self.lanes.get_mut(key) {
                lane.hooks.insert(at);
            }
        }
    }

    pub(crate) fn leave_lanes(&mut self, at: u32) {
        let Some(pocket) = self.get_mut(at) else { return };
        let rests = std::mem::take(&mut pocket.rests);
        for key in std::mem::take(&mut pocket.lanes) {
            self.leave(&key, at, rests);
        }
    }

    fn leave(&mut self, key: &LaneKey, at: u32, rests: bool) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        if rests {
            lane.resting.retain(|&held| held != at);
        } else {
            lane.members.remove(&at);
            lane.hooks.remove(&at);
        }
        if lane.members.is_empty() && lane.resting.is_empty() {
            self.lanes.remove(key);
        }
    }

    /// A pocket waits for nothing any more: it stays in its lanes until so many others rest there.
    pub(crate) fn rest(&mut self, at: u32) {
        let Some(pocket) = self.get_mut(at).filter(|pocket| !pocket.rests) else { return };
        pocket.rests = !pocket.lanes.is_empty();
        for key in pocket.lanes.clone() {
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            lane.members.remove(&at);
            lane.hooks.remove(&at);
            lane.resting.push_back(at);
            let oldest = if lane.resting.len() > RESTING { lane.resting.pop_front() } else { None };
            if let Some((at, pocket)) = oldest.and_then(|at| Some((at, self.get_mut(at)?))) {
                pocket.lanes.retain(|held| *held != key);
                pocket.rests &= !pocket.lanes.is_empty();
                // What is in no lane may freeze.
                let last = pocket.last;
                self.visit(at, last);
            }
        }
    }

    /// A pocket that rested waits once more.
    pub(crate) fn wait(&mut self, at: u32) {
        let Some(pocket) = self.get_mut(at).filter(|pocket| pocket.rests) else { return };
        let lanes = pocket.lanes.to_vec();
        self.leave_lanes(at);
        for key in lanes {
            self.join_lane(at, key);
        }
    }

    /// The lanes of a tenant.
    fn lanes_of(&self, tenant: &Arc<str>) -> impl Iterator<Item = (&LaneKey, &Lane)> {
        let from = (Arc::clone(tenant), Arc::from(""));
        self.lanes.range(from..).take_while(move |(key, _)| key.0 == *tenant)
    }

    /// The pockets that are solved with those of a lane: all that wait or rest in any lane of its tenant.
    /// What a client is used to does not depend on the provider: how soon it submits once more, how often it
    /// asks.
    pub(crate) fn lane_group(&self, key: &LaneKey) -> Vec<u32> {
        let lanes = self.lanes_of(&key.0).map(|(_, lane)| lane);
        let pockets = lanes.flat_map(|lane| lane.members.iter().chain(&lane.resting)).copied();
        pockets.collect::<BTreeSet<u32>>().into_iter().collect()
    }

    /// Whether deliveries that name no task wait in a lane: then any task of the provider may be theirs.
    pub(crate) fn has_hooks(&self, key: &LaneKey) -> bool {
        self.lanes.get(key).is_some_and(|lane| !lane.hooks.is_empty())
    }

    /// Whether the lanes of a tenant may be solved now; if so, they may not be for a while. Else, when they
    /// may.
    pub(crate) fn turn(&mut self, key: &LaneKey, now: UnixNanos) -> Result<(), UnixNanos> {
        let Some(lane) = self.lanes.get(key) else { return Ok(()) };
        if lane.next > now {
            return Err(lane.next);
        }
        let pockets = self.lanes_of(&key.0).map(|(_, lane)| lane.members.len() + lane.resting.len());
        let next = now.plus_ms(1000 + 1000 * pockets.sum::<usize>() as u64 / POCKETS_A_SECOND);
        let keys: Vec<LaneKey> = self.lanes_of(&key.0).map(|(key, _)| key.clone()).collect();
        for key in keys {
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.next = next;
            }
        }
        Ok(())
    }

    /// Makes one pocket of two; tells which one is left.
    pub(crate) fn merge(&mut self, a: u32, b: u32) -> (u32, Vec<u32>) {
        let size = |at: u32| self.get(at).map_or(0, |pocket| pocket.members.len());
        let (into, from) = if size(a) >= size(b) { (a, b) } else { (b, a) };
        let lanes = self.get(from).map(|pocket| pocket.lanes.clone()).unwrap_or_default();
        let Some(gone) = self.remove(from) else { return (into, Vec::new()) };
        for key in lanes {
            self.join_lane(into, key);
        }
        if gone.hook {
            self.mark_hook(into);
        }
        let mut again = None;
        if let Some(pocket) = self.get_mut(into) {
            pocket.members.extend_from_slice(&gone.members);
            pocket.pins.extend(gone.pins);
            pocket.last = pocket.last.max(gone.last);
            pocket.started = pocket.started.min(gone.started);
            pocket.opened = pocket.opened.max(gone.opened);
            pocket.looked = pocket.looked.min(gone.looked);
            pocket.settled &= gone.settled;
            pocket.jobs.extend(gone.jobs);
            again = (gone.planned != NEVER).then_some(gone.planned);
        }
        if let Some(slot) = again {
            self.schedule(into, UnixNanos(slot.saturating_mul(1_000_000_000)));
        }
        (into, gone.members.to_vec())
    }

    pub(crate) fn remove(&mut self, at: u32) -> Option<Pocket> {
        self.leave_lanes(at);
        self.slots.remove(at)
    }
}
