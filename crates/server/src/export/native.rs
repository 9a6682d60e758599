//! Native histograms: the same observations in buckets that grow by a fixed factor, so that nobody has to
//! choose bounds beforehand.
//!
//! Bucket `i` of schema 3 holds what is above `2^((i - 1) / 8)` and up to `2^(i / 8)`: eight buckets to a
//! doubling, each 9 % wide. What is next to nothing is in the zero bucket. Only the protobuf format can say
//! them, and only a scraper that was told to reads them ([`super::protobuf`]).

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

/// How finely a doubling is divided: by two to this power.
pub(super) const SCHEMA: i64 = 3;
/// Values up to this are zero: what Prometheus' own client takes, 2^-128.
pub(super) const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;
/// Upper bounds of a doubling's buckets, from 0.5 (the last of the doubling before) on: 2^(i / 8 - 1).
const BOUNDS: [f64; 8] = [
    0.5,
    0.545_253_866_332_628_8,
    0.594_603_557_501_360_5,
    0.648_419_777_325_504_8,
    std::f64::consts::FRAC_1_SQRT_2,
    0.771_105_412_703_970_4,
    0.840_896_415_253_714_4,
    0.917_004_043_204_671_1,
];

/// The counts of one series. A decimal has 29 digits, so there are at most some 1500 buckets; durations and
/// amounts of one series fill a few dozen.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Native {
    pub(super) zero: u64,
    /// Bucket and count, by bucket.
    pub(super) counts: Vec<(i16, u64)>,
}

impl Clone for Native {
    fn clone(&self) -> Self {
        Self { zero: self.zero, counts: self.counts.clone() }
    }

    /// In the memory of the old one.
    fn clone_from(&mut self, source: &Self) {
        self.zero = source.zero;
        self.counts.clone_from(&source.counts);
    }
}

impl Native {
    /// Counts a value; one that is negative counts as zero, which none of ours is.
    pub(super) fn observe(&mut self, observed: Decimal) {
        self.add(observed.to_f64().unwrap_or_default(), 1);
    }

    fn add(&mut self, observed: f64, count: u64) {
        let Some(bucket) = bucket_of(observed) else {
            self.zero += count;
            return;
        };
        self.add_to(bucket, count);
    }

    fn add_to(&mut self, bucket: i16, count: u64) {
        match self.counts.binary_search_by_key(&bucket, |&(bucket, _)| bucket) {
            Ok(place) => self.counts[place].1 += count,
            Err(place) => self.counts.insert(place, (bucket, count)),
        }
    }

    /// What classic counts tell of it: each value is taken to lie at the upper bound of its bucket, and
    /// beyond the last bound at twice that.
    pub(super) fn of_classic(counts: &[u64], bounds: &[Decimal]) -> Self {
        let mut native = Self::default();
        let beyond = bounds.last().map(|last| last.saturating_mul(Decimal::TWO));
        for (&count, bound) in counts.iter().zip(bounds.iter().copied().chain(beyond)) {
            if count > 0 {
                native.add(bound.to_f64().unwrap_or_default(), count);
            }
        }
        native
    }

    /// Adds the counts of another.
    pub(super) fn merge(&mut self, other: &Self) {
        self.zero += other.zero;
        for &(bucket, count) in &other.counts {
            self.add_to(bucket, count);
        }
    }

    /// As the ledger keeps it: the zero bucket, then `bucket:count` by bucket, with spaces between.
    pub(super) fn to_text(&self) -> String {
        let bucket = |text: String, (bucket, count): &(i16, u64)| format!("{text} {bucket}:{count}");
        self.counts.iter().fold(self.zero.to_string(), bucket)
    }

    /// Reads what [`Self::to_text`] wrote.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let zero = words.next()?.parse().ok()?;
        let bucket = |word: &str| {
            let (bucket, count) = word.split_once(':')?;
            Some((bucket.parse().ok()?, count.parse().ok()?))
        };
        let counts: Vec<(i16, u64)> = words.map(bucket).collect::<Option<_>>()?;
        counts.is_sorted_by(|a, b| a.0 < b.0).then_some(Self { zero, counts })
    }
}

/// The bucket that a value is in; none for what is next to nothing.
fn bucket_of(value: f64) -> Option<i16> {
    if value <= ZERO_THRESHOLD || !value.is_normal() {
        return None;
    }
    // As a fraction from 0.5 to below 1 times a power of two: the fraction finds the bucket in its doubling.
    let bits = value.to_bits();
    let exponent = ((bits >> 52) & 0x7FF) as u16;
    let exponent = exponent.cast_signed() - 1022;
    let fraction = f64::from_bits(bits & !(0x7FF << 52) | 1022 << 52);
    let place = BOUNDS.partition_point(|&bound| bound < fraction) as u16;
    Some(place.cast_signed() + (exponent - 1) * (1 << SCHEMA))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bounds_are_powers_of_the_eighth_root_of_two() {
        for (place, bound) in BOUNDS.into_iter().enumerate() {
            let wanted = 2_f64.powf(place as f64 / 8.0 - 1.0);
            assert!((bound - wanted).abs() < 1e-15, "{place}: {bound}, not {wanted}");
        }
    }

    #[test]
    fn a_value_at_a_bound_is_below_it() {
        for (value, bucket) in
            [(1.0, 0), (1.000_001, 1), (2.0, 8), (2.1, 9), (0.5, -8), (0.025, -42), (300.0, 66)]
        {
            assert_eq!(bucket_of(value), Some(bucket), "{value}");
        }
        assert_eq!(bucket_of(0.0), None);
        assert_eq!(bucket_of(-3.0), None);
    }

    #[test]
    fn classic_counts_become_native_ones_of_the_same_number() {
        let bounds = ["0", "1", "10"].map(|bound| bound.parse().unwrap());
        let native = Native::of_classic(&[2, 3, 0, 4], &bounds);
        assert_eq!(native, Native { zero: 2, counts: vec![(0, 3), (35, 4)] });
    }

    #[test]
    fn what_is_not_ours_is_not_read() {
        for text in ["", "x", "1 2", "1 3:x", "1 3:1 2:1", "1 3:1 3:1"] {
            assert_eq!(Native::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_value_is_within_its_bucket(value in 1e-9_f64..1e12) {
            let bucket = f64::from(bucket_of(value).unwrap());
            let (below, above) = (2_f64.powf((bucket - 1.0) / 8.0), 2_f64.powf(bucket / 8.0));
            prop_assert!(below * (1.0 - 1e-12) <= value && value <= above * (1.0 + 1e-12), "{below} {above}");
        }

        #[test]
        fn text_comes_back(values in prop::collection::vec(0_i64..1_000_000, 0..50)) {
            let mut native = Native::default();
            for value in &values {
                native.observe(Decimal::new(*value, 3));
            }
            let count: u64 = native.counts.iter().map(|(_, count)| count).sum();
            prop_assert_eq!(count + native.zero, values.len() as u64);
            prop_assert_eq!(Native::parse(&native.to_text()), Some(native));
        }
    }
}
