//! Quantities between a meter's sources and a charge: rounding, credits, and the share that a policy leaves.

use rust_decimal::Decimal;
use spantally_stitch::Attempt;

use crate::bill::{Basis, Bound};
use crate::card::Meter;
use crate::exact;
use crate::policy::{HALF, Terms};
use crate::prices::Prices;
use crate::quantity::{Quantity, Source};

pub(super) const NOTHING: Quantity = Quantity { bound: Bound::ZERO, basis: Basis::Documented };

/// From what a source shows to what is billed: the meter's own rounding, then credits where it is priced in
/// them.
#[derive(Clone, Copy)]
pub(super) struct Scale<'a> {
    pub(super) meter: &'a Meter,
    pub(super) credits: Option<Prices>,
}

impl Scale<'_> {
    pub(super) fn round(self, quantity: Quantity) -> Option<Quantity> {
        self.convert(Quantity { bound: self.meter.rounding.apply(quantity.bound), ..quantity })
    }

    /// Without rounding: the provider has done its own.
    pub(super) fn plain(self, quantity: Quantity) -> Option<Quantity> {
        let Some(prices) = self.credits else { return Some(quantity) };
        Some(Quantity { bound: prices.credits(quantity.bound)?, ..quantity })
    }

    pub(super) fn convert(self, quantity: Quantity) -> Option<Quantity> {
        let Some(prices) = self.credits else { return Some(quantity) };
        let bound = self.meter.credit_rounding.apply(prices.credits(quantity.bound)?);
        Some(Quantity { bound, ..quantity })
    }
}

pub(super) fn terms(
    terms: &Terms,
    full: Option<Quantity>,
    scale: Scale<'_>,
    attempt: &Attempt,
) -> Option<Quantity> {
    match terms {
        Terms::Full => full,
        Terms::None => Some(NOTHING),
        Terms::Fixed(quantity) => scale.convert(Quantity { bound: Bound::exactly(*quantity), ..NOTHING }),
        Terms::Prorated(sources) => match sources.iter().find_map(|source| source.read(attempt)) {
            Some(done) => scale.round(done),
            None => full.map(|full| chance(full, HALF)),
        },
        // Had it been reported, no row would have been asked.
        Terms::Reported => full.map(|full| chance(full, HALF)),
        Terms::Unknown { probability } => full.map(|full| chance(full, *probability)),
    }
}

/// A quantity as what was heard of it and what was made and never played, if the spans tell of any. Where how
/// much that was is assumed, so is either part; but neither is wider for it. What one has more the other has
/// less, so wider parts would add up to a job that may cost nothing or twice as much, of which all is known.
pub(super) fn unheard(sources: &[Source], all: Quantity, attempt: &Attempt) -> Option<[Quantity; 2]> {
    let part = sources.iter().find_map(|source| source.read(attempt))?;
    let of = |all: Decimal| all.min(part.bound.expected);
    let bound = Bound { min: of(all.bound.min), expected: of(all.bound.expected), max: of(all.bound.max) };
    if bound.is_zero() {
        return None;
    }
    let basis = if part.basis == Basis::Assumed { Basis::Assumed } else { all.basis };
    Some([Quantity { bound: all.bound - bound, basis }, Quantity { bound, basis }])
}

pub(super) fn chance(full: Quantity, probability: Decimal) -> Quantity {
    let expected = full.bound.expected.saturating_mul(probability);
    let bound = Bound { min: Decimal::ZERO, expected: exact::quantity(expected), max: full.bound.max };
    let basis = if bound.max.is_zero() { full.basis } else { Basis::Assumed };
    Quantity { bound, basis }
}

pub(super) fn either(failed: Quantity, succeeded: Quantity) -> Quantity {
    Quantity {
        bound: Bound {
            min: failed.bound.min.min(succeeded.bound.min),
            expected: succeeded.bound.expected,
            max: failed.bound.max.max(succeeded.bound.max),
        },
        basis: failed.basis.max(succeeded.basis),
    }
}
