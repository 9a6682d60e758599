//! A seeded mutator: the same seed makes the same inputs everywhere.

/// Bytes that mean something somewhere: ends of ranges, varints of ten bytes, zero ids, groups.
const TELLING: [&[u8]; 16] = [
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80\x00",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"\x0b\x0c",
    b"\x0b\x13\x14\x0c",
    b"\x0a\x00",
    b"\x12\x01\x00",
    b"null",
    b"{}",
    b"[]",
    b"\"NaN\"",
    b"-9223372036854775808",
];

/// Longest input that is made.
const BYTES_MAX: usize = 64 << 10;

/// Makes inputs of those it is given.
#[derive(Debug)]
pub struct Mutator {
    state: u64,
}

impl Mutator {
    /// One that makes the same inputs for the same seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 11) as usize % bound.max(1)
    }

    /// An input: one of the corpus, changed a few times.
    pub fn input(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut input = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(6) {
            self.change(&mut input, corpus);
        }
        input.truncate(BYTES_MAX);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        let end = at + self.below(1 + (input.len() - at).min(64));
        match self.below(7) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = self.next() as u8,
            2 => drop(input.splice(at..at, TELLING[self.below(TELLING.len())].iter().copied())),
            3 => drop(input.drain(at..end)),
            4 => {
                let piece = input[at..end].to_vec();
                drop(input.splice(end..end, piece));
            }
            5 => {
                let other = &corpus[self.below(corpus.len())];
                let from = self.below(other.len() + 1);
                let piece = other[from..].iter().take(256).copied().collect::<Vec<_>>();
                drop(input.splice(at..at, piece));
            }
            _ => input.truncate(at),
        }
    }
}
