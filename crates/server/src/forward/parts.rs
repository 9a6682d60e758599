//! Resources and scopes of spans that are held: each is in memory once, for as long as a span has it.
//!
//! A client sends the same resource with every request, and many scopes under one resource. With a copy for
//! each scope a request would take its resource times its scopes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What a part takes beside its bytes: its places in the maps, with their slack.
const PART_OVERHEAD_BYTES: u64 = 100;

/// Parts, with the number of those who have them.
#[derive(Debug, Default)]
pub(super) struct Parts {
    known: HashSet<Arc<[u8]>>,
    /// By address, so that a large part is not read through for each span that has it.
    users: HashMap<usize, usize>,
    bytes: u64,
}

impl Parts {
    /// What they take in memory.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The part of these bytes, with one more user.
    pub(super) fn share(&mut self, bytes: Vec<u8>) -> Arc<[u8]> {
        if let Some(known) = self.known.get(&*bytes) {
            let known = known.clone();
            return self.again(&known);
        }
        self.bytes += cost(bytes.len());
        let part: Arc<[u8]> = bytes.into();
        self.known.insert(part.clone());
        self.again(&part)
    }

    /// One more user of a part that is here.
    pub(super) fn again(&mut self, part: &Arc<[u8]>) -> Arc<[u8]> {
        *self.users.entry(address(part)).or_default() += 1;
        part.clone()
    }

    /// One user less; the part goes with its last.
    pub(super) fn release(&mut self, part: &Arc<[u8]>) {
        let Some(users) = self.users.get_mut(&address(part)) else { return };
        *users -= 1;
        if *users == 0 {
            self.users.remove(&address(part));
            self.known.remove(part);
            self.bytes -= cost(part.len());
        }
    }
}

/// What a part of so many bytes takes.
pub(super) fn cost(len: usize) -> u64 {
    len as u64 + PART_OVERHEAD_BYTES
}

fn address(part: &Arc<[u8]>) -> usize {
    Arc::as_ptr(part).cast::<u8>().addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_there_once_and_goes_with_its_last_user() {
        let mut parts = Parts::default();
        let first = parts.share(vec![7; 50]);
        let second = parts.share(vec![7; 50]);
        assert!(Arc::ptr_eq(&first, &second));
        let empty = parts.share(Vec::new());
        assert_eq!(parts.bytes(), cost(50) + cost(0));
        parts.release(&first);
        parts.release(&empty);
        assert_eq!(parts.bytes(), cost(50));
        parts.release(&second);
        // Whoever still has it may not release it twice.
        parts.release(&second);
        assert_eq!((parts.bytes(), parts.known.len(), parts.users.len()), (0, 0, 0));
    }
}
