//! Values by slot, in chunks: growing moves nothing and touches no memory that is in use.
//!
//! A vector that doubles copies everything that it holds, and asks for twice the room just when memory is
//! full. With millions of items that is expensive; here growing costs one more chunk.

/// Values in a chunk.
const CHUNK: usize = 512;

/// Values by slot. A slot that was freed is given out again, the last one first.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    chunks: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Keeps a value; its slot.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        let slot = self.next_slot();
        self.get_or_insert_with(slot, || value);
        slot
    }

    /// A slot that is free, to be filled at once.
    pub(super) fn next_slot(&mut self) -> u32 {
        if let Some(slot) = self.free.pop() {
            return slot;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        let Some(chunk) = self.chunks.last_mut() else { return 0 };
        chunk.push(None);
        (before + chunk.len() - 1) as u32
    }

    /// The value of a slot that was given out, made if there is none.
    pub(super) fn get_or_insert_with(&mut self, slot: u32, value: impl FnOnce() -> T) -> &mut T {
        let slot = slot as usize;
        self.chunks[slot / CHUNK][slot % CHUNK].get_or_insert_with(value)
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        let slot = slot as usize;
        self.chunks.get(slot / CHUNK)?.get(slot % CHUNK)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.place(slot)?.as_mut()
    }

    /// Takes a value out and frees its slot.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let value = self.place(slot)?.take()?;
        self.free.push(slot);
        Some(value)
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        let last = self.chunks.last().map_or(0, Vec::len);
        self.chunks.len().saturating_sub(1) * CHUNK + last - self.free.len()
    }

    /// Slots and values, in the order of slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.iter_from(0)
    }

    /// The same from a slot on.
    pub(crate) fn iter_from(&self, slot: u32) -> impl Iterator<Item = (u32, &T)> {
        let chunk = (slot as usize / CHUNK).min(self.chunks.len());
        let left = self.chunks[chunk..].iter().flatten().zip((chunk * CHUNK) as u32..);
        let left = left.skip(slot as usize - chunk * CHUNK);
        left.filter_map(|(value, slot)| Some((slot, value.as_ref()?)))
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.chunks.iter_mut().flatten().flatten()
    }

    fn place(&mut self, slot: u32) -> Option<&mut Option<T>> {
        let slot = slot as usize;
        self.chunks.get_mut(slot / CHUNK)?.get_mut(slot % CHUNK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_found_again_and_given_out_again() {
        let mut slab = Slab::default();
        let slots: Vec<u32> = (0..1300).map(|value| slab.insert(value)).collect();
        assert_eq!(slots, (0..1300).collect::<Vec<u32>>());
        assert_eq!((slab.get(1299), slab.get(1300)), (Some(&1299), None));
        assert_eq!((slab.remove(600), slab.remove(600), slab.get(600)), (Some(600), None, None));
        *slab.get_mut(1024).unwrap() = u32::MAX;
        slab.values_mut().filter(|value| **value == u32::MAX).for_each(|value| *value = 1024);
        assert!(slab.iter().all(|(slot, value)| slot == *value) && slab.iter().count() == 1299);
        for (from, first, left) in [(600, 601, 699), (1024, 1024, 276), (1299, 1299, 1)] {
            let mut slots = slab.iter_from(from).map(|(slot, _)| slot);
            assert_eq!((slots.next(), 1 + slots.count()), (Some(first), left));
        }
        assert_eq!((slab.iter_from(1300).count(), slab.iter_from(5000).count()), (0, 0));
        assert_eq!(slab.len(), 1299);
        assert_eq!(slab.insert(1), 600);
        assert_eq!(slab.insert(2), 1300);
        assert_eq!(slab.len(), 1301);
    }
}
