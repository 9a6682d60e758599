//! The generator's own randomness: a seed gives the same traffic on every machine and in every version.
//!
//! SplitMix64 (Steele, Lea, Flood 2014): eight lines, no state to set up, good enough to draw traffic.
//! A dependency would do too, but its stream may change between versions, and with it every recorded seed.

use std::time::Duration;

/// A seeded stream of numbers.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `0..n`; 0 when `n` is 0. The bias of the multiplication is below 2^-32 for the ranges here.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// Uniform in `low..=high`.
    pub fn between(&mut self, (low, high): (u64, u64)) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Gap to the next event of a Poisson process when `rate` happen in a second; an hour when none do.
    pub fn gap(&mut self, rate: f64) -> Duration {
        let seconds = -(1.0 - self.unit()).ln() / rate;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_hours(1))
    }

    /// One of several, each as likely as its weight; none when all weights are 0.
    pub fn weighted<'t, T>(&mut self, items: &'t [T], weight: impl Fn(&T) -> u32) -> Option<&'t T> {
        let total = items.iter().map(|item| u64::from(weight(item))).sum();
        let mut left = self.below(total);
        items.iter().find(|item| {
            let weight = u64::from(weight(item));
            let hit = left < weight;
            left = left.saturating_sub(weight);
            hit
        })
    }

    /// One of several, all equally likely; none when there are none.
    pub fn pick<'t, T>(&mut self, items: &'t [T]) -> Option<&'t T> {
        items.get(self.below(items.len() as u64) as usize)
    }

    /// Random bytes, never all zero (OTLP reads an all-zero id as "none").
    pub fn id<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_be_bytes()[..chunk.len()]);
        }
        bytes[N - 1] |= 1;
        bytes
    }

    /// Characters of an alphabet.
    pub fn text(&mut self, alphabet: &[u8], len: usize) -> String {
        (0..len).map(|_| char::from(alphabet[self.below(alphabet.len() as u64) as usize])).collect()
    }

    /// A version 4 UUID.
    pub fn uuid(&mut self) -> String {
        let hex = self.text(b"0123456789abcdef", 32);
        format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
    }
}
