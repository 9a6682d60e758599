//! How much of a unit an attempt used: sources in order of strength, then allowance, block and minimum.
//!
//! The next file in the flow is `price.rs`.

use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_stitch::{Attempt, Fact, FactSource, FactValue, Role};

use crate::bill::{Basis, Bound};
use crate::exact::{self, PRICE_PLACES, QUANTITY_PLACES};
use crate::formula::Formula;

/// Where a quantity may come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A fact that the spans show.
    Fact {
        /// Its name.
        name: Arc<str>,
        /// The weakest source taken. With [`FactSource::Reported`] the value is what the provider says it
        /// bills, and no policy is asked.
        at_least: FactSource,
        /// One of the fact is so many of the meter's unit.
        scale: Decimal,
    },
    /// Always so many.
    Constant(Decimal),
    /// How many calls of a role the attempt has.
    Count(Role),
    /// How long the calls of a role lasted together, in seconds.
    Elapsed(Role),
    /// Computed from facts.
    Formula(Formula),
    /// The documented smallest, default and largest quantity, when the spans do not show any.
    Assume(Bound),
    /// The same, computed from facts: so many tokens for each of the images asked for, at the lowest quality,
    /// the default one and the highest. Values that are out of order are put in order.
    Estimate(Box<[Formula; 3]>),
}

/// A quantity and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quantity {
    /// How much.
    pub(crate) bound: Bound,
    /// [`Basis::Reported`], [`Basis::Documented`] or [`Basis::Assumed`].
    pub(crate) basis: Basis,
}

impl Source {
    /// What an attempt shows by this source, if anything. Negative values count as not shown; one that is too
    /// large for any job is shown as it is, and out of range when it is charged.
    pub(crate) fn read(&self, attempt: &Attempt) -> Option<Quantity> {
        let (value, basis) = match self {
            Self::Fact { name, at_least, scale } => {
                return stated(attempt, name, *at_least, *scale, QUANTITY_PLACES);
            }
            Self::Constant(value) => (*value, Basis::Documented),
            Self::Count(role) => (Decimal::from(attempt.count(*role)), Basis::Documented),
            Self::Elapsed(role) => (attempt.seconds(*role)?, Basis::Documented),
            Self::Formula(formula) => (formula.evaluate(attempt)?, Basis::Documented),
            Self::Assume(bound) => return Some(Quantity { bound: *bound, basis: Basis::Assumed }),
            Self::Estimate(formulas) => return estimate(formulas, attempt),
        };
        let value = exact::quantity(value);
        (value >= Decimal::ZERO).then_some(Quantity { bound: Bound::exactly(value), basis })
    }

    /// The same for an amount of money, which may be as fine as a price.
    pub(crate) fn read_money(&self, attempt: &Attempt) -> Option<Quantity> {
        match self {
            Self::Fact { name, at_least, scale } => stated(attempt, name, *at_least, *scale, PRICE_PLACES),
            _ => self.read(attempt),
        }
    }

    /// Whether it is what the provider says it bills.
    pub(crate) fn is_reported(&self) -> bool {
        matches!(self, Self::Fact { at_least: FactSource::Reported, .. })
    }
}

/// An amount of money that a fact of this name says the provider billed.
pub(crate) fn reported_money(attempt: &Attempt, name: &str) -> Option<Quantity> {
    stated(attempt, name, FactSource::Reported, Decimal::ONE, PRICE_PLACES)
}

fn stated(
    attempt: &Attempt,
    name: &str,
    at_least: FactSource,
    scale: Decimal,
    places: u32,
) -> Option<Quantity> {
    let fact = attempt.fact(name).filter(|fact| fact.source >= at_least)?;
    let value = exact::rounded(exact::nearest_product(number(fact)?, scale), places);
    let basis = basis_of(at_least);
    (value >= Decimal::ZERO).then_some(Quantity { bound: Bound::exactly(value), basis })
}

fn estimate(formulas: &[Formula; 3], attempt: &Attempt) -> Option<Quantity> {
    let [smallest, default, largest] = formulas;
    let read = |formula: &Formula| Some(exact::quantity(formula.evaluate(attempt)?).max(Decimal::ZERO));
    let (min, expected, max) = (read(smallest)?, read(default)?, read(largest)?);
    let bound = Bound { min: min.min(expected), expected, max: max.max(expected) };
    Some(Quantity { bound, basis: Basis::Assumed })
}

fn basis_of(at_least: FactSource) -> Basis {
    if at_least == FactSource::Reported { Basis::Reported } else { Basis::Documented }
}

fn number(fact: &Fact) -> Option<Decimal> {
    match &fact.value {
        FactValue::Number(number) => Some(*number),
        FactValue::Text(text) => text.parse().ok(),
    }
}

/// How a provider rounds: free allowance, then whole blocks, then the minimum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rounding {
    /// So many of the unit are free in every task.
    pub free: Option<Decimal>,
    /// Rounded up to a multiple of this.
    pub block: Option<Decimal>,
    /// A task that bills anything bills at least this; one that bills nothing bills nothing.
    pub minimum: Option<Decimal>,
}

impl Rounding {
    /// Applies it to each side of a bound. What has no next block stays out of range, at its end.
    pub(crate) fn apply(&self, bound: Bound) -> Bound {
        if *self == Self::default() {
            return bound;
        }
        let each = |value| self.apply_to(value).unwrap_or(Decimal::MAX);
        Bound { min: each(bound.min), expected: each(bound.expected), max: each(bound.max) }
    }

    fn apply_to(&self, mut value: Decimal) -> Option<Decimal> {
        if let Some(free) = self.free {
            value = value.checked_sub(free)?.max(Decimal::ZERO);
        }
        if let Some(block) = self.block {
            value = exact::round_up(value, block)?;
        }
        let minimum = self.minimum.filter(|_| !value.is_zero());
        Some(minimum.map_or(value, |minimum| value.max(minimum)))
    }
}
