//! Values by slot, in chunks: growing moves nothing and touches no memory that is in use.
//!
//! A vector that doubles copies everything that it holds, and asks for twice the room just when memory is
//! full. With millions of items that is expensive; here growing costs one more chunk. A chunk of which
//! nothing is left gives its room back: what came together goes together.

/// Values in a chunk.
const CHUNK: usize = 512;

/// Values by slot. A slot that was freed is given out again.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    chunks: Vec<Chunk<T>>,
    /// Chunks in which some slots are taken, or were lately, and some are free; the last is filled first.
    roomy: Vec<u32>,
    /// Chunks that gave their room back.
    empty: Vec<u32>,
    len: usize,
}

#[derive(Debug)]
struct Chunk<T> {
    /// Of those slots that were given out so far.
    places: Vec<Option<T>>,
    /// Those of them that are free, the last one first.
    free: Vec<u16>,
}

impl<T> Chunk<T> {
    fn is_full(&self) -> bool {
        self.free.is_empty() && self.places.len() == CHUNK
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), roomy: Vec::new(), empty: Vec::new(), len: 0 }
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
        let at = self.roomy.last().copied().unwrap_or_else(|| self.make_room());
        let chunk = &mut self.chunks[at as usize];
        let place = chunk.free.pop().unwrap_or_else(|| {
            chunk.places.push(None);
            (chunk.places.len() - 1) as u16
        });
        if chunk.is_full() {
            self.roomy.pop();
        }
        self.len += 1;
        at * CHUNK as u32 + u32::from(place)
    }

    /// A chunk with room, where there was none.
    fn make_room(&mut self) -> u32 {
        let at = self.empty.pop().unwrap_or_else(|| {
            self.chunks.push(Chunk { places: Vec::new(), free: Vec::new() });
            (self.chunks.len() - 1) as u32
        });
        self.chunks[at as usize].places.reserve_exact(CHUNK);
        self.roomy.push(at);
        at
    }

    /// The value of a slot that was given out, made if there is none.
    pub(super) fn get_or_insert_with(&mut self, slot: u32, value: impl FnOnce() -> T) -> &mut T {
        let slot = slot as usize;
        self.chunks[slot / CHUNK].places[slot % CHUNK].get_or_insert_with(value)
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        let slot = slot as usize;
        self.chunks.get(slot / CHUNK)?.places.get(slot % CHUNK)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.place(slot)?.as_mut()
    }

    /// Takes a value out and frees its slot.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let value = self.place(slot)?.take()?;
        let at = slot / CHUNK as u32;
        let chunk = &mut self.chunks[at as usize];
        if chunk.is_full() {
            self.roomy.push(at);
        }
        chunk.free.push((slot % CHUNK as u32) as u16);
        self.len -= 1;
        // One that has room stays, so that what comes and goes does not ask for memory each time.
        if chunk.free.len() == chunk.places.len() && self.roomy.len() > 1 {
            (chunk.places, chunk.free) = (Vec::new(), Vec::new());
            self.roomy.retain(|&roomy| roomy != at);
            self.empty.push(at);
        }
        Some(value)
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Slots and values, in the order of slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.iter_from(0)
    }

    /// The same from a slot on.
    pub(crate) fn iter_from(&self, slot: u32) -> impl Iterator<Item = (u32, &T)> {
        let chunk = (slot as usize / CHUNK).min(self.chunks.len());
        let places = self.chunks[chunk..].iter().zip(chunk..).flat_map(|(chunk, at)| {
            let first = (at * CHUNK) as u32;
            (first..).zip(&chunk.places)
        });
        let values = places.filter_map(|(slot, value)| Some((slot, value.as_ref()?)));
        values.skip_while(move |(held, _)| *held < slot)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.chunks.iter_mut().flat_map(|chunk| &mut chunk.places).flatten()
    }

    fn place(&mut self, slot: u32) -> Option<&mut Option<T>> {
        let slot = slot as usize;
        self.chunks.get_mut(slot / CHUNK)?.places.get_mut(slot % CHUNK)
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
    #[test]
    fn a_chunk_of_which_nothing_is_left_gives_its_room_back() {
        let mut slab = Slab::default();
        let slots: Vec<u32> = (0..5 * CHUNK as u32).map(|value| slab.insert(value)).collect();
        let room = |slab: &Slab<u32>| slab.chunks.iter().map(|chunk| chunk.places.capacity()).sum::<usize>();
        assert_eq!(room(&slab), 5 * CHUNK);
        for &slot in slots.iter().filter(|slot| **slot != 700) {
            assert_eq!(slab.remove(slot), Some(slot));
        }
        // That of 700, and one for what comes next.
        assert_eq!((slab.len(), room(&slab), slab.get(700)), (1, 2 * CHUNK, Some(&700)));
        assert_eq!(slab.iter().collect::<Vec<_>>(), [(700, &700)]);
        let again: Vec<u32> = (0..4 * CHUNK as u32).map(|value| slab.insert(value)).collect();
        assert_eq!((slab.chunks.len(), slab.len()), (5, 4 * CHUNK + 1));
        assert!(again.iter().zip(0..).all(|(slot, value)| slab.get(*slot) == Some(&value)));
        assert_eq!(slab.get(700), Some(&700));
        // One that comes and goes keeps its room.
        let mut slab = Slab::default();
        for value in 0..3 {
            let slot = slab.insert(value);
            slab.remove(slot);
        }
        assert_eq!((room(&slab), slab.len()), (CHUNK, 0));
    }
}
