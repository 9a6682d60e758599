//! Exact decimal arithmetic: what fits is exact, what does not fit is refused, nothing is rounded in silence.
//!
//! [`Decimal`] holds 96 bits of digits and at most 28 places. Its operators round when a result needs more.
//! Here a quantity has at most [`QUANTITY_PLACES`] places and a price at most [`PRICE_PLACES`], so a cost has
//! at most 19, and sums of costs stay exact below 7.9 thousand million of a currency. A product that would
//! still not fit is refused by [`product`], and the attempt counts as unpriced
//! ([`crate::UnpricedReason::OutOfRange`]).
//!
//! Spans come from outside, and a number in one may be anything. So one charge has a most, of quantity and of
//! cost, far above anything that a provider sells and so low that millions of them add up; what is above it
//! is out of range as well. And a sum of decimals is made by [`add`] or [`sum`], here and in the server, for
//! the operators of [`Decimal`] panic past its range, where a panic ends the server. The next file in the
//! flow is `fact.rs`.

use rust_decimal::{Decimal, RoundingStrategy};

/// Decimal places of a quantity. Nothing that a provider reports has more: fal writes eight.
pub const QUANTITY_PLACES: u32 = 9;

/// Decimal places of a unit price. The finest known is xAI's tick, ten places of a dollar.
pub const PRICE_PLACES: u32 = 10;

/// The most of a unit that one charge may be of: ten digits before the point are what a column of
/// `DECIMAL(38, 28)` has. At [`QUANTITY_PLACES`], 79 thousand million of it add up exactly.
pub(crate) const QUANTITY_MAX: Decimal = whole(1_000_000_000);

/// The most that one charge may cost, in any currency: some hundred dollars in dong, where it is least.
pub const COST_MAX: Decimal = whole(10_000_000);

const fn whole(value: u64) -> Decimal {
    Decimal::from_parts((value & u32::MAX as u64) as u32, (value >> 32) as u32, 0, false, 0)
}

/// Adds an amount to a sum. Past the range of a decimal the sum stays at its end: a wrong figure of a sum
/// that means nothing any more, in place of a server that ends.
pub fn add(sum: &mut Decimal, amount: Decimal) {
    *sum = sum.saturating_add(amount);
}

/// The sum of amounts, by the rule of [`add`].
pub fn sum(amounts: impl IntoIterator<Item = Decimal>) -> Decimal {
    amounts.into_iter().fold(Decimal::ZERO, Decimal::saturating_add)
}

/// A quantity to [`QUANTITY_PLACES`], half to even. The only rounding that is not a provider's own rule; it
/// meets results of divisions (a formula, a probability), never a quantity that somebody stated.
pub(crate) fn quantity(value: Decimal) -> Decimal {
    rounded(value, QUANTITY_PLACES)
}

/// A value to so many places, half to even.
pub(crate) fn rounded(value: Decimal, places: u32) -> Decimal {
    if value.scale() <= places {
        return value;
    }
    value.round_dp_with_strategy(places, RoundingStrategy::MidpointNearestEven)
}

/// `a x b`, or none if the exact product needs more than 96 bits or 28 places.
pub fn product(a: Decimal, b: Decimal) -> Option<Decimal> {
    fits(a, b).or_else(|| fits(a.normalize(), b.normalize()))
}

/// `a x b` as near as a decimal comes, for what somebody stated: too fine is rounded, too large stays at the
/// end of the range, where it is seen to be out of range.
pub(crate) fn nearest_product(a: Decimal, b: Decimal) -> Decimal {
    product(a, b).unwrap_or_else(|| a.saturating_mul(b))
}

fn fits(a: Decimal, b: Decimal) -> Option<Decimal> {
    let scale = a.scale() + b.scale();
    let digits = a.mantissa().checked_mul(b.mantissa())?;
    if scale > Decimal::MAX_SCALE {
        return None;
    }
    Decimal::try_from_i128_with_scale(digits, scale).ok()
}

/// The least multiple of `block` that is not less than `value`; none out of range.
pub(crate) fn round_up(value: Decimal, block: Decimal) -> Option<Decimal> {
    let over = value.checked_rem(block)?;
    if over.is_zero() { Some(value) } else { value.checked_sub(over)?.checked_add(block) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dec(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn products_are_exact_or_refused() {
        for (a, b, expected) in [
            ("3.14159265", "0.0000000001", Some("0.000000000314159265")),
            ("3.008", "0.03", Some("0.09024")),
            ("0", "0.0000000001", Some("0")),
            ("100000.000000000", "0.0000100000", Some("1")),
            ("79228162514264337593543950335", "1", Some("79228162514264337593543950335")),
            ("79228162514264337593543950335", "2", None),
            ("0.0000000000000000000000000001", "0.1", None),
            ("1.0000000000000000000000000000", "1.0", Some("1")),
        ] {
            assert_eq!(product(dec(a), dec(b)), expected.map(dec), "{a} x {b}");
        }
    }

    #[test]
    fn sums_stay_in_range_and_exact_below_the_promise() {
        let mut total = Decimal::MAX;
        add(&mut total, Decimal::ONE);
        assert_eq!(total, Decimal::MAX);
        add(&mut total, -dec("5"));
        assert_eq!((total, sum([Decimal::MAX; 3])), (Decimal::MAX - dec("5"), Decimal::MAX));
        assert_eq!(sum([Decimal::MIN, Decimal::MIN]), Decimal::MIN);

        let finest = Decimal::new(1, QUANTITY_PLACES + PRICE_PLACES);
        let dearest = COST_MAX - finest;
        let (mut most, jobs) = (Decimal::ZERO, 789);
        (0..jobs).for_each(|_| add(&mut most, dearest));
        assert_eq!(most, COST_MAX * Decimal::from(jobs) - finest * Decimal::from(jobs), "all 19 places");
        let millions = QUANTITY_MAX - Decimal::new(1, QUANTITY_PLACES);
        let of_millions = product(millions, dec("79000000000")).unwrap();
        assert_eq!(sum([of_millions, millions]) - millions, of_millions, "exact at all 9 places");
    }

    #[test]
    fn rounding_up_keeps_whole_blocks() {
        for (value, block, expected) in [
            ("0", "60", "0"),
            ("0.001", "60", "60"),
            ("60", "60", "60"),
            ("60.000000001", "60", "120"),
            ("101", "50", "150"),
            ("1.2", "0.5", "1.5"),
        ] {
            assert_eq!(round_up(dec(value), dec(block)), Some(dec(expected)), "{value} by {block}");
        }
        assert_eq!(round_up(dec("1"), Decimal::ZERO), None);
        assert_eq!(round_up(Decimal::MAX, dec("2")), None, "the next block is out of range");
    }

    #[test]
    fn quantities_have_nine_places() {
        for (value, expected) in [
            ("3.14159265", "3.14159265"),
            ("0.0000000015", "0.000000002"),
            ("0.0000000025", "0.000000002"),
            ("0.33333333333333", "0.333333333"),
        ] {
            assert_eq!(quantity(dec(value)), dec(expected));
        }
    }
}
