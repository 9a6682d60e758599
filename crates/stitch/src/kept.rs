//! The hash behind fingerprints that outlive the process: tombstones, what a tie holds, digests of jobs.
//!
//! The next version must come to the same values, so it is written here rather than taken from a library that
//! may change it, and tests pin what it makes. In-memory tables use another, faster one. It need not
//! resist an attacker: who makes two spans of equal fingerprints has one of his own spans taken for a
//! duplicate.

use std::hash::Hasher;

/// A multiply-and-fold hash, eight bytes at a time, with a multiplier of the finaliser of `MurmurHash3`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeptHasher(u64);

impl Default for KeptHasher {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl KeptHasher {
    fn word(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
        self.0 = mixed ^ mixed >> 32;
    }
}

impl Hasher for KeptHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, tail) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..tail.len()].copy_from_slice(tail);
        self.word(u64::from_le_bytes(last));
        self.word(bytes.len() as u64);
    }

    fn write_u8(&mut self, number: u8) {
        self.word(u64::from(number));
    }

    fn write_u16(&mut self, number: u16) {
        self.word(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.word(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.word(number);
    }

    /// Lengths, and which variant of an enum it is: the same on machines of other word sizes.
    fn write_usize(&mut self, number: usize) {
        self.word(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.word(number.cast_unsigned() as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::hash::Hash;

    use super::*;

    fn of<T: Hash>(value: T) -> u64 {
        let mut hasher = KeptHasher::default();
        value.hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(of(("ab", "c")), of(("a", "bc")));
        assert_ne!(of([1_u8, 2].as_slice()), of([1_u8, 2, 0].as_slice()));
        assert_ne!(of((1_u64, 2_u64)), of((2_u64, 1_u64)));
    }

    #[test]
    fn values_never_change() {
        assert_eq!(of(7_u64), PINNED[0]);
        assert_eq!(of("/fal-ai/flux/dev"), PINNED[1]);
        assert_eq!(of((Some(crate::Role::Poll), [1_u8; 16])), PINNED[2]);
    }

    const PINNED: [u64; 3] = [0xefb9_d4aa_716f_6e90, 0xa25c_e621_c9a4_d674, 0x5151_d1cb_707f_35fa];
}
