//! Values by key, in the order in which they came.
//!
//! A map of a million entries is larger than a processor's caches, so finding one means waiting for memory,
//! and the larger the entries, the longer the wait. Here the table that is searched at random has eight bytes
//! an entry. Keys and values stand in a slab, where what came together lies together, and a caller that knows
//! the slot needs no table.

use std::hash::Hash;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::stitcher::item::hash;
use crate::stitcher::slab::Slab;

/// Values by key.
#[derive(Debug)]
pub(super) struct Keyed<K, V> {
    /// Half of a key's hash, and its slot.
    table: HashTable<(u32, u32)>,
    slots: Slab<(K, V)>,
}

impl<K, V> Default for Keyed<K, V> {
    fn default() -> Self {
        Self { table: HashTable::new(), slots: Slab::default() }
    }
}

/// Half of a key's hash.
fn half<K: Hash>(key: &K) -> u32 {
    half_of(hash(key))
}

/// Half of a hash.
pub(super) fn half_of(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// The hash that a table is given for a half: it looks at the lowest and at the highest bits.
pub(super) fn spread(half: u32) -> u64 {
    u64::from(half).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Whether an entry of the table is that of a key.
fn is_of<K: Eq, V>(slots: &Slab<(K, V)>, half: u32, key: &K) -> impl Fn(&(u32, u32)) -> bool {
    move |&(held, slot)| held == half && slots.get(slot).is_some_and(|(known, _)| known == key)
}

/// Room for so many is kept.
const KEPT: usize = 4096;

/// The room that a table of so many entries is to have instead, if little of it is left.
pub(super) fn less_room(len: usize, capacity: usize) -> Option<usize> {
    (len < capacity / 8 && capacity > KEPT).then_some(2 * len)
}

/// Gives back most of the room of a table of which little is left.
pub(super) fn give_back(table: &mut HashTable<(u32, u32)>) {
    if let Some(room) = less_room(table.len(), table.capacity()) {
        table.shrink_to(room, |&(half, _)| spread(half));
    }
}

impl<K: Hash + Eq, V> Keyed<K, V> {
    /// Where the value of a key stands.
    pub(super) fn slot(&self, key: &K) -> Option<u32> {
        let half = half(key);
        self.table.find(spread(half), is_of(&self.slots, half, key)).map(|&(_, slot)| slot)
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.slots.get(self.slot(key)?).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let slot = self.slot(key)?;
        self.slots.get_mut(slot).map(|(_, value)| value)
    }

    /// The same as [`Self::get`], for who remembers where it stood.
    pub(super) fn get_at(&self, slot: u32, key: &K) -> Option<&V> {
        match self.slots.get(slot) {
            Some((known, value)) if known == key => Some(value),
            _ => self.get(key),
        }
    }

    /// The value of a key, made if there is none, and where it stands.
    pub(super) fn or_insert_with(&mut self, key: K, value: impl FnOnce() -> V) -> (u32, &mut V) {
        let half = half(&key);
        let Self { table, slots } = self;
        let slot = match table.entry(spread(half), is_of(slots, half, &key), |&(held, _)| spread(held)) {
            Entry::Occupied(entry) => entry.get().1,
            Entry::Vacant(entry) => entry.insert((half, slots.next_slot())).get().1,
        };
        (slot, &mut slots.get_or_insert_with(slot, || (key, value())).1)
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let half = half(key);
        let Self { table, slots } = self;
        let ((_, slot), _) = table.find_entry(spread(half), is_of(slots, half, key)).ok()?.remove();
        give_back(table);
        slots.remove(slot).map(|(_, value)| value)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.slots.values_mut().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_under_a_key_is_found_and_goes() {
        let mut keyed = Keyed::default();
        for key in 0..5000_u64 {
            let (slot, value) = keyed.or_insert_with(key, || key + 1);
            assert_eq!((u64::from(slot), *value), (key, key + 1));
        }
        assert_eq!(keyed.or_insert_with(7, || 0), (7, &mut 8), "there is one already");
        *keyed.get_mut(&8).unwrap() = 80;
        assert_eq!((keyed.get(&8), keyed.get(&5000), keyed.slot(&4999)), (Some(&80), None, Some(4999)));
        for key in (0..5000).step_by(2) {
            assert!(keyed.remove(&key).is_some() && keyed.remove(&key).is_none());
        }
        assert!((0..5000).all(|key| keyed.get(&key).is_some() == (key % 2 == 1)));
        assert_eq!(keyed.values_mut().count(), 2500);
    }

    #[test]
    fn a_table_of_which_little_is_left_gives_its_room_back() {
        let mut keyed = Keyed::default();
        for key in 0..100_000_u64 {
            keyed.or_insert_with(key, || key);
        }
        assert!(keyed.table.capacity() >= 100_000);
        for key in 0..99_000 {
            assert_eq!(keyed.remove(&key), Some(key));
        }
        assert!(keyed.table.capacity() <= 2 * KEPT, "{}", keyed.table.capacity());
        assert!((99_000..100_000).all(|key| keyed.get(&key) == Some(&key)));
    }

    #[test]
    fn a_slot_is_believed_only_for_its_key() {
        let mut keyed = Keyed::default();
        let slots = ["a", "b"].map(|key| keyed.or_insert_with(key, || key.len()).0);
        assert_eq!(keyed.get_at(slots[1], &"b"), Some(&1));
        assert_eq!(keyed.get_at(slots[0], &"b"), Some(&1), "it stands elsewhere");
        keyed.remove(&"a");
        let (again, _) = keyed.or_insert_with("ccc", || 3);
        assert_eq!((again, keyed.get_at(slots[0], &"a")), (slots[0], None), "another has its place");
    }
}
