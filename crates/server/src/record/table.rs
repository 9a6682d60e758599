//! What many spans of a row share stands once, and is named by its place.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// What stands once in a row, and its index.
pub(super) struct Table<K> {
    pub(super) rows: Vec<K>,
    index: HashMap<K, u32, FixedState>,
    /// The last one asked for, which is very often the next one too.
    last: Option<(K, u32)>,
}

impl<K: Copy + Eq + std::hash::Hash> Table<K> {
    pub(super) fn new() -> Self {
        Self { rows: Vec::new(), index: HashMap::with_hasher(FixedState::default()), last: None }
    }

    #[inline]
    pub(super) fn index_of(&mut self, key: K) -> u32 {
        match self.last {
            Some((last, at)) if last == key => at,
            _ => {
                let at = *self.index.entry(key).or_insert_with(|| {
                    self.rows.push(key);
                    self.rows.len() as u32 - 1
                });
                self.last = Some((key, at));
                at
            }
        }
    }
}

/// A table of shared values. Told apart by address, which is cheap; two equal ones at two addresses are two
/// rows.
pub(super) struct Shared<'a, T> {
    addresses: Table<*const T>,
    pub(super) values: Vec<&'a T>,
}

impl<'a, T> Shared<'a, T> {
    pub(super) fn new() -> Self {
        Self { addresses: Table::new(), values: Vec::new() }
    }

    #[inline]
    pub(super) fn index_of(&mut self, value: &'a Arc<T>) -> u32 {
        let at = self.addresses.index_of(Arc::as_ptr(value));
        if at as usize == self.values.len() {
            self.values.push(value);
        }
        at
    }
}
