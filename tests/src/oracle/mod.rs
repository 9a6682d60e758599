//! A second stitcher, slow and obvious, and traffic on which its answer is the only one.
//!
//! [`workload`] makes traffic from a seed, as scenarios are written: what clients ask, what fails, what is
//! tried again. It keeps apart what only time could tell from its neighbours, so that every span has one job
//! to which it can belong. [`naive`] looks at the whole of it at once, compares everything with everything
//! and shares no code with the product: it reads URLs by splitting them. The test `tests/tests/oracle.rs`
//! holds the product to it.

pub mod naive;
pub mod request;
pub mod workload;

/// SplitMix64: numbers without pattern from a seed, the same on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound.max(1)
    }

    /// Any order of some things.
    pub fn shuffle<T>(&mut self, things: &mut [T]) {
        for at in (1..things.len()).rev() {
            things.swap(at, self.below(at as u64 + 1) as usize);
        }
    }
}
