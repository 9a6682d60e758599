//! Attributes by slot: which keys are read at all, and what one span has of them.
//!
//! Most attributes of most spans are of no use here, and most slots are empty in most spans. So a key is
//! known or not after one look at its length and its last bytes, and a set of bits says which slots are
//! filled: whether a span has any of fifty facts is one comparison of two words.

/// An attribute value. Of an array of strings (captured headers) it is the first element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text.
    Text(&'a str),
    /// Integer.
    Int(i64),
    /// Floating point.
    Double(f64),
    /// Boolean.
    Bool(bool),
}

/// The attribute keys that any rule names, each with a slot. What is not in it is never read.
///
/// Several keys may share a slot: spellings of one meaning (`http.method`, `http.request.method`). A span
/// that carries both (`OTEL_SEMCONV_STABILITY_OPT_IN=http/dup`) then has one value, not two.
#[derive(Clone, Debug, Default)]
pub struct AttributeKeys {
    /// A hash table of places that the keys go to one after the other from [`home`] on. At least half are
    /// free, so that most looks end where they begin; their number is a power of two.
    table: Vec<Option<Known>>,
    /// How many keys there are.
    known: usize,
    /// How many slots there are.
    count: u16,
}

#[derive(Clone, Debug)]
struct Known {
    tail: u64,
    slot: u16,
    key: Box<[u8]>,
}

impl AttributeKeys {
    /// The slot of a key, added if new. At 65,535 slots further keys share the last one.
    pub fn slot_of(&mut self, key: &str) -> u16 {
        if let Some(slot) = self.find(key.as_bytes()) {
            return slot;
        }
        let slot = self.count;
        self.count = self.count.saturating_add(1);
        self.add(key, slot);
        slot
    }

    /// One slot for several spellings of a meaning. A spelling that already has a slot keeps it.
    pub fn slot_of_any<K: AsRef<str>>(&mut self, spellings: &[K]) -> u16 {
        let known = spellings.iter().find_map(|key| self.find(key.as_ref().as_bytes()));
        let slot = known.unwrap_or_else(|| {
            self.count = self.count.saturating_add(1);
            self.count - 1
        });
        for key in spellings {
            self.add(key.as_ref(), slot);
        }
        slot
    }

    fn add(&mut self, key: &str, slot: u16) {
        let key = key.as_bytes();
        if self.find(key).is_some() {
            return;
        }
        self.known += 1;
        if self.known * 2 > self.table.len() {
            let larger = vec![None; (self.known * 2).next_power_of_two()];
            let held = std::mem::replace(&mut self.table, larger);
            held.into_iter().flatten().for_each(|known| self.place(known));
        }
        self.place(Known { tail: tail(key), slot, key: key.into() });
    }

    fn place(&mut self, known: Known) {
        let last = self.table.len() - 1;
        let mut at = home(known.tail, known.key.len()) & last;
        while self.table[at].is_some() {
            at = (at + 1) & last;
        }
        self.table[at] = Some(known);
    }

    /// The slot of a key as it stands on the wire, if any rule names it.
    #[inline]
    pub fn find(&self, key: &[u8]) -> Option<u16> {
        let last = self.table.len().wrapping_sub(1);
        let tail = tail(key);
        let mut at = home(tail, key.len()) & last;
        loop {
            let known = self.table.get(at)?.as_ref()?;
            if known.tail == tail && known.key.len() == key.len() && same_words(&known.key, key) {
                return Some(known.slot);
            }
            at = (at + 1) & last;
        }
    }

    /// How many slots there are.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// The last eight bytes, in which texts of one length nearly always differ; of a shorter text all of it.
#[inline]
pub(crate) fn tail(text: &[u8]) -> u64 {
    match text.last_chunk() {
        Some(last) => u64::from_le_bytes(*last),
        None => text.iter().fold(0, |tail, &byte| tail << 8 | u64::from(byte)),
    }
}

/// Where a key's place in the table is looked for first. The upper bits of the product depend on all of both.
#[inline]
fn home(tail: u64, len: usize) -> usize {
    ((tail ^ len as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize
}

/// Whether all whole words of two texts of one length are equal: with equal tails, whether the texts are.
/// Keys are so short that a call to compare them costs more than comparing them.
#[inline]
fn same_words(a: &[u8], b: &[u8]) -> bool {
    a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0).all(|(a, b)| a == b)
}

/// A set of slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SlotSet(Vec<u64>);

impl SlotSet {
    fn of_size(slots: usize) -> Self {
        Self(vec![0; slots.div_ceil(64)])
    }

    /// Adds a slot.
    pub(crate) fn insert(&mut self, slot: u16) {
        let (word, bit) = place(slot);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= bit;
    }

    #[inline]
    fn contains(&self, slot: u16) -> bool {
        let (word, bit) = place(slot);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Whether the two have a slot in common.
    #[inline]
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }
}

impl FromIterator<u16> for SlotSet {
    fn from_iter<I: IntoIterator<Item = u16>>(slots: I) -> Self {
        let mut set = Self::default();
        slots.into_iter().for_each(|slot| set.insert(slot));
        set
    }
}

#[inline]
fn place(slot: u16) -> (usize, u64) {
    (usize::from(slot >> 6), 1 << (slot & 63))
}

/// The attributes of a span or a resource that a rule names, by slot of [`AttributeKeys`].
#[derive(Clone, Debug, Default)]
pub struct Attributes<'a> {
    /// What each slot held last, whether it is filled now or not.
    values: Vec<Value<'a>>,
    filled: SlotSet,
}

impl<'a> Attributes<'a> {
    /// No attributes, with room for all of `keys`.
    pub fn new(keys: &AttributeKeys) -> Self {
        Self { values: vec![Value::Bool(false); keys.len()], filled: SlotSet::of_size(keys.len()) }
    }

    /// The attribute in a slot.
    #[inline]
    pub fn get(&self, slot: u16) -> Option<Value<'a>> {
        if self.filled.contains(slot) { self.values.get(usize::from(slot)).copied() } else { None }
    }

    /// Puts a value into a slot, or takes it out. A slot that is not one of the keys' is passed over.
    #[inline]
    pub fn set(&mut self, slot: u16, value: Option<Value<'a>>) {
        let (word, bit) = place(slot);
        let (Some(held), Some(filled)) =
            (self.values.get_mut(usize::from(slot)), self.filled.0.get_mut(word))
        else {
            return;
        };
        match value {
            Some(value) => {
                *held = value;
                *filled |= bit;
            }
            None => *filled &= !bit,
        }
    }

    /// Puts text into a slot that still holds the same text from before it was emptied, which is known to be
    /// UTF-8: one process sends the same host, method and model span after span. False when it is another.
    #[inline]
    pub fn set_same(&mut self, slot: u16, text: &[u8]) -> bool {
        let (word, bit) = place(slot);
        match (self.values.get(usize::from(slot)), self.filled.0.get_mut(word)) {
            (Some(Value::Text(held)), Some(filled)) if held.as_bytes() == text => {
                *filled |= bit;
                true
            }
            _ => false,
        }
    }

    /// Empties every slot.
    #[inline]
    pub fn clear(&mut self) {
        self.filled.0.fill(0);
    }

    /// Whether any of some slots is filled.
    #[inline]
    pub(crate) fn has_any(&self, slots: &SlotSet) -> bool {
        self.filled.meets(slots)
    }

    /// Every slot, in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<Value<'a>>> {
        (0..=u16::MAX).zip(&self.values).map(|(slot, _)| self.get(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_meaning_share_a_slot() {
        let mut keys = AttributeKeys::default();
        let method = keys.slot_of_any(&["http.request.method", "http.method"]);
        let url = keys.slot_of("url.full");
        assert_eq!(keys.find(b"http.method"), Some(method));
        assert_eq!(keys.find(b"url.full"), Some(url));
        assert_eq!(keys.find(b"url.fill"), None);
        assert_eq!(keys.find(b"url.path"), None);
        assert_eq!(keys.len(), 2);
        assert_eq!(keys.slot_of_any(&["url.full", "http.url"]), url);
        assert_eq!(keys.len(), 2);
    }

    #[test]
    fn keys_are_told_apart_wherever_they_differ() {
        for len in 0..40 {
            let key = "k".repeat(len);
            let mut keys = AttributeKeys::default();
            let slot = keys.slot_of(&key);
            assert_eq!(keys.find(key.as_bytes()), Some(slot));
            for at in 0..len {
                let mut other = key.clone().into_bytes();
                other[at] = b'q';
                assert_eq!(keys.find(&other), None, "{len} bytes, byte {at}");
            }
        }
    }

    #[test]
    fn what_is_emptied_is_gone_and_what_is_the_same_comes_back() {
        let mut keys = AttributeKeys::default();
        let slots: Vec<u16> = (0..70).map(|number| keys.slot_of(&format!("key.{number}"))).collect();
        let mut attributes = Attributes::new(&keys);
        for &slot in &slots {
            attributes.set(slot, Some(Value::Int(slot.into())));
        }
        assert_eq!(attributes.get(69), Some(Value::Int(69)));
        attributes.set(69, None);
        assert_eq!(attributes.get(69), None);
        attributes.set(68, Some(Value::Text("GET")));
        let [low, high, none] = [vec![3], vec![1, 68], vec![69]].map(SlotSet::from_iter);
        assert!(attributes.has_any(&low) && attributes.has_any(&high) && !attributes.has_any(&none));
        attributes.clear();
        assert!(attributes.iter().all(|value| value.is_none()));
        assert!(!attributes.has_any(&low) && !attributes.has_any(&high));
        assert!(!attributes.set_same(68, b"PUT") && !attributes.set_same(67, b"GET"));
        assert!(attributes.set_same(68, b"GET"));
        assert_eq!(attributes.iter().flatten().collect::<Vec<_>>(), [Value::Text("GET")]);
        attributes.set(u16::MAX, Some(Value::Int(1)));
        assert_eq!(attributes.get(u16::MAX), None);
    }
}
