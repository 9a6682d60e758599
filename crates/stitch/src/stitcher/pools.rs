//! What is solved together, as a pool: the items of some pockets, and the frames near them.

use std::collections::BTreeMap;

use crate::evidence::Evidence;
use crate::solve::Pin;
use crate::solve::pool::Pool;
use crate::stitcher::Stitcher;
use crate::stitcher::item::Item;

impl Stitcher {
    /// All pockets, those of each tenant apart: no pool has calls of two.
    pub(super) fn by_tenant(&self) -> Vec<Vec<u32>> {
        let mut tenants: BTreeMap<Option<&str>, Vec<u32>> = BTreeMap::new();
        for (at, pocket) in self.pockets.iter() {
            let first = pocket.members.first().and_then(|&slot| self.index.item(slot));
            tenants.entry(first.map(|item| &*item.first().client.tenant)).or_default().push(at);
        }
        tenants.into_values().collect()
    }

    /// The items and ties of some pockets, in order: of two ties that exclude each other the first holds
    /// ([`crate::solve`]). Which that is goes by when its items came, and not by their slots: those are
    /// others after a restart, or when they were frozen.
    pub(super) fn contents(&self, pockets: &[u32]) -> (Vec<u32>, Vec<Pin>) {
        let known = || pockets.iter().filter_map(|&at| self.pockets.get(at));
        let mut slots: Vec<u32> = known().flat_map(|pocket| pocket.members.iter().copied()).collect();
        slots.sort_unstable();
        let mut pins: Vec<Pin> = known().flat_map(|pocket| pocket.pins.iter().copied()).collect();
        let number = |slot: u32| self.index.item(slot).map(|item| item.number);
        pins.sort_by_cached_key(|pin| (number(pin.shot), number(pin.made)));
        (slots, pins)
    }

    /// The polls of some items that are kept as one with others of their task, to make a pool with.
    pub(super) fn again(&self, slots: &[u32]) -> Vec<Vec<Evidence>> {
        let items = slots.iter().filter_map(|&slot| self.index.item(slot));
        items.filter(|item| item.is_task).map(Item::again).collect()
    }

    pub(super) fn pool<'a>(&'a self, slots: &[u32], again: &'a [Vec<Evidence>]) -> Pool<'a> {
        let items = || slots.iter().filter_map(|&slot| Some((slot, self.index.item(slot)?)));
        let tasks = items().filter(|(_, item)| item.is_task).zip(again);
        let tasks = tasks.map(|((slot, item), again)| (slot, item.calls().chain(again).collect()));
        let lone = items().filter(|(_, item)| !item.is_task);
        let lone = lone.map(|(slot, item)| (slot, item.first()));
        Pool::new(tasks, lone, self.index.frames_of(slots).into_iter())
    }
}
