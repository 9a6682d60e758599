//! Pockets that are put aside as bytes.
//!
//! # Why
//!
//! Most of what is in memory waits: for a provider that takes minutes, or, settled, for evidence that may
//! come late and nearly always does not. As it is solved, a pocket takes some hundred bytes a span, and
//! entries in four tables. So one that has been quiet for a while is *frozen*: evidence, ties, and what was
//! told of its jobs become a row of bytes, and all that is left in a table is by which names it may be asked
//! for.
//!
//! # States
//!
//! A pocket is whole or frozen. It freezes after a look ([`super::freeze`]) when nothing of it waits in a
//! lane, and its traces are its own. It *thaws* before anything is done with it: what comes for it, a name
//! that another span shows, or its moment in the wheel makes it the pocket that it was. To freeze changes
//! nothing but memory and time: a test freezes everything at every look, and sees the same as without.
//!
//! # Names
//!
//! A table has half of the hash of each name: the ids of its tasks, its traces, what its spans claimed, the
//! jobs that were found in it. Two names may have one half; then a pocket thaws for nothing, and freezes
//! again.
//!
//! # Never
//!
//! What is in a crowd, in a lane, or shares a trace with another pocket does not freeze.

mod parts;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use thin_vec::ThinVec;

use self::parts::planned;
pub(super) use self::parts::{FrozenJob, Parts, name_of_job, name_of_trace};
use crate::evidence::Client;
use crate::id::UnixNanos;
use crate::stitcher::bytes::{Packer, Uncommon, Unpacker};
use crate::stitcher::item::Carried;
use crate::stitcher::keyed::{give_back, half_of, spread};
use crate::stitcher::kinds::Kinds;
use crate::stitcher::pocket::Pocket;
use crate::stitcher::slab::Slab;

/// A pocket as bytes, and what is asked of all of them at once.
#[derive(Debug)]
pub(super) struct FrozenPocket {
    bytes: Box<[u8]>,
    /// See [`super::pocket::Pocket::last`].
    pub(super) last: UnixNanos,
    /// Kind of its first call.
    kind: u32,
    pub(super) calls: u32,
    /// See [`super::pocket::Pocket::shown`].
    pub(super) shown: Cell<u32>,
    pub(super) jobs: u16,
    /// See [`super::pocket::Pocket::settled`].
    pub(super) settled: bool,
    /// Something of it was not carried: see [`super::Stitcher::carry`].
    lacks: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Frozen {
    pockets: Slab<FrozenPocket>,
    /// Half of a name's hash, and whose it is.
    names: HashTable<(u32, u32)>,
    kinds: Kinds,
    /// What few spans have, by pocket.
    uncommon: HashMap<u32, ThinVec<Uncommon>, FixedState>,
    /// By the second at which they are looked at; what has thawed may still be named.
    seconds: BTreeMap<u64, Vec<u32>>,
    /// Those whose second has come.
    due: Vec<u32>,
    items: usize,
}

impl Frozen {
    pub(super) fn is_empty(&self) -> bool {
        self.pockets.len() == 0
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.pockets.len()
    }

    /// How many items are in them.
    pub(super) fn items(&self) -> usize {
        self.items
    }

    /// Slots and pockets from a slot on.
    pub(super) fn iter_from(&self, slot: u32) -> impl Iterator<Item = (u32, &FrozenPocket)> {
        self.pockets.iter_from(slot)
    }

    pub(super) fn get(&self, slot: u32) -> Option<&FrozenPocket> {
        self.pockets.get(slot)
    }

    /// Who made the first call of a pocket.
    pub(super) fn client(&self, pocket: &FrozenPocket) -> Option<&Arc<Client>> {
        self.kinds.client(pocket.kind)
    }

    /// The pockets that may go by a name.
    pub(super) fn named(&self, name: u64) -> impl Iterator<Item = u32> {
        let half = half_of(name);
        self.names.iter_hash(spread(half)).filter(move |(held, _)| *held == half).map(|&(_, slot)| slot)
    }

    /// Keeps a pocket as bytes.
    pub(super) fn insert(&mut self, parts: &Parts) {
        let Pocket { last, planned, settled, ref shown, .. } = parts.pocket;
        let mut packer = Packer::new(&mut self.kinds, last);
        parts.pack(&mut packer);
        let kind = parts.items.first().map_or(0, |item| packer.kind(item.first()));
        let (bytes, uncommon) = packer.into_parts();
        let slot = self.pockets.insert(FrozenPocket {
            bytes,
            last,
            kind,
            calls: parts.calls() as u32,
            shown: shown.clone(),
            jobs: parts.jobs.len() as u16,
            settled,
            lacks: parts.uncarried() < u64::MAX,
        });
        if !uncommon.is_empty() {
            self.uncommon.insert(slot, uncommon);
        }
        self.items += parts.items.len();
        self.seconds.entry(planned).or_default().push(slot);
        for name in parts.names() {
            let half = half_of(name);
            self.names.insert_unique(spread(half), (half, slot), |&(half, _)| spread(half));
        }
    }

    /// What is in a pocket.
    pub(super) fn read(&self, slot: u32) -> Option<Parts> {
        let pocket = self.pockets.get(slot)?;
        let uncommon = self.uncommon.get(&slot).cloned().unwrap_or_default();
        Parts::unpack(&mut Unpacker::new(&pocket.bytes, pocket.last, uncommon, &self.kinds), pocket)
    }

    /// Takes a pocket out.
    pub(super) fn take(&mut self, slot: u32) -> Option<Parts> {
        let pocket = self.pockets.remove(slot)?;
        let uncommon = self.uncommon.remove(&slot).unwrap_or_default();
        let mut unpacker = Unpacker::new(&pocket.bytes, pocket.last, uncommon, &self.kinds);
        let parts = Parts::unpack(&mut unpacker, &pocket);
        for kind in unpacker.into_met().into_iter().chain([pocket.kind]) {
            self.kinds.release(kind);
        }
        let parts = parts?;
        self.items -= parts.items.len();
        for name in parts.names() {
            let held = (half_of(name), slot);
            if let Ok(entry) = self.names.find_entry(spread(held.0), |&entry| entry == held) {
                entry.remove();
            }
        }
        give_back(&mut self.names);
        Some(parts)
    }

    /// The pockets of which something was not carried that came before a number, or grew since it was.
    pub(super) fn uncarried(&self, before: u64) -> Vec<u32> {
        let lacking = self.pockets.iter().filter(|(_, pocket)| pocket.lacks).map(|(slot, _)| slot);
        let numbers = lacking.filter_map(|slot| Some((slot, self.read(slot)?.uncarried())));
        numbers.filter(|&(_, number)| number == 0 || number < before).map(|(slot, _)| slot).collect()
    }

    /// The next second at which one is to be looked at.
    pub(super) fn next(&self) -> Option<UnixNanos> {
        if !self.due.is_empty() {
            return Some(UnixNanos(0));
        }
        self.seconds.keys().next().map(|&second| UnixNanos(second.saturating_mul(1_000_000_000)))
    }

    /// Takes note of those whose time has come.
    pub(super) fn turn_wheel(&mut self, now: UnixNanos) {
        let later = self.seconds.split_off(&(now.0 / 1_000_000_000 + 1));
        for (second, slots) in std::mem::replace(&mut self.seconds, later) {
            let is_due = |slot: &u32| self.pockets.get(*slot).is_some_and(|pocket| planned(pocket) == second);
            self.due.extend(slots.into_iter().filter(is_due));
        }
        self.due.sort_unstable_by(|a, b| b.cmp(a));
        self.due.dedup();
    }

    /// The next one whose time has come.
    pub(super) fn next_due(&mut self) -> Option<u32> {
        self.due.pop()
    }

    pub(super) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }
}

/// Before which number the caller of [`super::Stitcher::carry`] is to ask for what came under one: any, if
/// more came since it was shown.
fn lacks(carried: Carried, number: u64) -> u64 {
    match carried {
        Carried::No => number,
        Carried::Partly => 0,
        Carried::Whole => u64::MAX,
    }
}
