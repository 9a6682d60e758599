//! A bill: what one job cost, charge by charge.

use std::collections::BTreeMap;
use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_stitch::Cause;

/// How sure a charge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Basis {
    /// The provider said so in a span.
    Reported,
    /// Policy or price from a cited source.
    Documented,
    /// The policy or the quantity is not known: a bound.
    Assumed,
    /// No price: units only, no money.
    Unpriced,
}

impl Basis {
    /// Every value.
    pub const ALL: [Self; 4] = [Self::Reported, Self::Documented, Self::Assumed, Self::Unpriced];

    /// The word used in metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Documented => "documented",
            Self::Assumed => "assumed",
            Self::Unpriced => "unpriced",
        }
    }
}

/// Least, expected and most that something may cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// The least.
    pub min: Decimal,
    /// The best single figure; what counters count.
    pub expected: Decimal,
    /// The most.
    pub max: Decimal,
}

impl Bound {
    /// Nothing.
    pub const ZERO: Self = Self { min: Decimal::ZERO, expected: Decimal::ZERO, max: Decimal::ZERO };

    /// One figure that is sure.
    pub fn exactly(value: Decimal) -> Self {
        Self { min: value, expected: value, max: value }
    }

    /// Whether all three are zero.
    pub fn is_zero(&self) -> bool {
        self.min.is_zero() && self.expected.is_zero() && self.max.is_zero()
    }

    /// Whether none of the three is further from zero than `most`.
    pub(crate) fn is_within(&self, most: Decimal) -> bool {
        [self.min, self.expected, self.max].iter().all(|value| value.abs() <= most)
    }

    /// Applies one function to each of the three; `None` if any result is `None`.
    pub(crate) fn try_map(self, mut f: impl FnMut(Decimal) -> Option<Decimal>) -> Option<Self> {
        Some(Self { min: f(self.min)?, expected: f(self.expected)?, max: f(self.max)? })
    }
}

impl std::ops::Add for Bound {
    type Output = Self;

    /// Each of the three added, saturating at the largest decimal.
    fn add(self, other: Self) -> Self {
        Self {
            min: self.min.saturating_add(other.min),
            expected: self.expected.saturating_add(other.expected),
            max: self.max.saturating_add(other.max),
        }
    }
}

impl std::ops::Sub for Bound {
    type Output = Self;

    /// Each of the three subtracted, saturating: the difference of two figures, which may be negative.
    fn sub(self, other: Self) -> Self {
        Self {
            min: self.min.saturating_sub(other.min),
            expected: self.expected.saturating_sub(other.expected),
            max: self.max.saturating_sub(other.max),
        }
    }
}

/// Quantity x unit price = cost, for one attempt, by one named rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Charge {
    /// Index of the attempt in the job.
    pub attempt: usize,
    /// Unit, for example `second`.
    pub unit: Arc<str>,
    /// Expected quantity billed; `quantity.expected * unit_price = cost.expected` exactly.
    pub quantity: Bound,
    /// Price of one unit in `currency`; none when unpriced.
    pub unit_price: Option<Decimal>,
    /// Cost; all zero when unpriced (the basis says so, and the job counts as unpriced).
    pub cost: Bound,
    /// ISO 4217 code, or the name of a provider's credit.
    pub currency: Arc<str>,
    /// Why the money was spent.
    pub cause: Cause,
    /// How sure it is.
    pub basis: Basis,
    /// `provider/meter`, for example `fal/flux_image`.
    pub rule: Arc<str>,
    /// `provider/row` of the policy that decided how much is charged, for example `runway/moderated`; or one
    /// of the words of [`crate::decided_by`] where no row was asked.
    pub policy: Arc<str>,
    /// What was used, where the provider bills in credits: 10 seconds that cost 50 credits. None where the
    /// billed unit is the used one.
    pub consumed: Option<Consumed>,
}

/// What was used, apart from what is billed (FOCUS: consumed quantity against pricing quantity).
#[derive(Clone, Debug, PartialEq)]
pub struct Consumed {
    /// Unit, for example `second`.
    pub unit: Arc<str>,
    /// How much.
    pub quantity: Bound,
}

/// Why an attempt has no price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnpricedReason {
    /// No span names the model, and the provider's price depends on it.
    UnknownModel,
    /// The provider file has no price for the model.
    NoPrice,
    /// No price is in force at the time of the job.
    NoPriceAtTime,
    /// The quantity is not in the spans and no default is documented.
    NoQuantity,
    /// No provider file of that name is loaded.
    NoProvider,
    /// A quantity or a cost is larger than any job's ([`crate::QUANTITY_MAX`], [`crate::COST_MAX`]), or needs
    /// more digits than exact arithmetic has: a span carries nonsense.
    OutOfRange,
}

impl UnpricedReason {
    /// Every value.
    pub const ALL: [Self; 6] = [
        Self::UnknownModel,
        Self::NoPrice,
        Self::NoPriceAtTime,
        Self::NoQuantity,
        Self::NoProvider,
        Self::OutOfRange,
    ];

    /// The word used in metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownModel => "unknown_model",
            Self::NoPrice => "no_price",
            Self::NoPriceAtTime => "no_price_at_time",
            Self::NoQuantity => "no_quantity",
            Self::NoProvider => "no_provider",
            Self::OutOfRange => "out_of_range",
        }
    }
}

/// An attempt that may have cost something and has no price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpriced {
    /// Index of the attempt in the job.
    pub attempt: usize,
    /// Why.
    pub reason: UnpricedReason,
}

/// What one job cost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bill {
    /// Every charge.
    pub charges: Vec<Charge>,
    /// Attempts without a price.
    pub unpriced: Vec<Unpriced>,
}

impl Bill {
    /// Sum of the charges by currency.
    pub fn cost(&self) -> BTreeMap<Arc<str>, Bound> {
        let mut sums = BTreeMap::<Arc<str>, Bound>::new();
        for charge in self.charges.iter().filter(|charge| charge.unit_price.is_some()) {
            let sum = sums.entry(charge.currency.clone()).or_default();
            *sum = *sum + charge.cost;
        }
        sums
    }
}
