//! The hash that is kept in the journal and in open state.
//!
//! It is persisted, so it is written here rather than taken from a library that may change it, and a
//! test pins its values. It need not resist an attacker: equal fingerprints only make two submits
//! candidates for one job.

/// A multiply-and-fold hash over parts, eight bytes at a time, with a multiplier of the finaliser of
/// MurmurHash3.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    const SEED: u64 = 0xcbf2_9ce4_8422_2325;
    const MULTIPLIER: u64 = 0xff51_afd7_ed55_8ccd;

    pub(crate) fn new() -> Self {
        Self(Self::SEED)
    }

    /// Adds one part and its length, so that `ab` + `c` differs from `a` + `bc`.
    pub(crate) fn part(self, text: &str) -> Self {
        let (words, tail) = text.as_bytes().as_chunks::<8>();
        let mut last = [0; 8];
        last[..tail.len()].copy_from_slice(tail);
        words
            .iter()
            .chain(std::iter::once(&last))
            .fold(self, |hash, word| hash.word(u64::from_le_bytes(*word)))
            .word(text.len() as u64)
    }

    fn word(self, word: u64) -> Self {
        let mixed = (self.0 ^ word).wrapping_mul(Self::MULTIPLIER);
        Self(mixed ^ mixed >> 32)
    }

    pub(crate) fn value(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_never_change() {
        let submit = Fingerprint::new().part("POST").part("queue.fal.run").part("/fal-ai/flux/dev").part("");
        assert_eq!(Fingerprint::new().part("").value(), 0x1df2_044a_5d6c_89fd);
        assert_eq!(submit.value(), 0x35fe_d10b_58c0_6233);
    }

    #[test]
    fn parts_do_not_run_together() {
        let of = |parts: &[&str]| parts.iter().fold(Fingerprint::new(), |hash, part| hash.part(part)).value();
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["a"]), of(&["a", ""]));
        assert_ne!(of(&["a"]), of(&["a\0"]));
    }
}
