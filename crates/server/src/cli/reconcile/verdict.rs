//! What a task is beside its bill: the verdict, and why the two are not the same.

use std::sync::Arc;

use rust_decimal::Decimal;
use serde::Serialize;
use spantally_price::Bound;

use super::billed::Billed;
use super::booked::Booked;

/// What one task, or one day, is beside the export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// Billed within our bound, to rounding; also what may have been free and was.
    Matched,
    /// Nothing was billed, and we booked nothing.
    Free,
    /// Billed, and not what we booked.
    AmountDiffers,
    /// We booked something, and the export, which covers the time, has nothing.
    OnlyOurs,
    /// The export has something, and no job of ours is it.
    OnlyTheirs,
    /// We have no price; what the export says is what it cost.
    Unpriced,
    /// In two currencies without a rate, or in units that are not ours.
    NotComparable,
}

/// Why amounts differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Why {
    /// We took it for free.
    Policy,
    /// Another quantity, at our price.
    Quantity,
    /// Our quantity, at another price.
    Price,
    /// Another quantity and another price.
    QuantityAndPrice,
    /// Our quantity and price, less a discount that we do not know.
    Discount,
    /// The export does not tell.
    Unknown,
    /// Another job of ours has this task too.
    ClaimedTwice,
}

impl Verdict {
    /// In the order of reports.
    pub(super) const ALL: [Self; 7] = [
        Self::Matched,
        Self::Free,
        Self::AmountDiffers,
        Self::OnlyOurs,
        Self::OnlyTheirs,
        Self::Unpriced,
        Self::NotComparable,
    ];

    /// Whether the two sides agree.
    pub(super) fn agrees(self) -> bool {
        matches!(self, Self::Matched | Self::Free)
    }

    /// The word for machines.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Free => "free",
            Self::AmountDiffers => "amount_differs",
            Self::OnlyOurs => "only_ours",
            Self::OnlyTheirs => "only_theirs",
            Self::Unpriced => "unpriced",
            Self::NotComparable => "not_comparable",
        }
    }

    /// The words for people.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Matched => "billed within our bound",
            Self::Free => "free on both sides",
            Self::AmountDiffers => "another amount was billed",
            Self::OnlyOurs => "only ours: booked, not billed",
            Self::OnlyTheirs => "only theirs: billed, no job of ours",
            Self::Unpriced => "no price with us",
            Self::NotComparable => "cannot be compared",
        }
    }
}

impl Why {
    /// The word for machines.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Quantity => "quantity",
            Self::Price => "price",
            Self::QuantityAndPrice => "quantity_and_price",
            Self::Discount => "discount",
            Self::Unknown => "unknown",
            Self::ClaimedTwice => "claimed_twice",
        }
    }
}

/// A verdict with the figures that it is about, in one currency; a figure that nobody knows is none.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// Why the amounts differ, where they do.
    pub why: Option<Why>,
    /// The currency; empty where none is known.
    pub currency: Arc<str>,
    /// Ours.
    pub ours: Option<Bound>,
    /// Theirs.
    pub theirs: Option<Bound>,
}

/// Lays what we booked for a task beside its rows; there is one result for each currency. No rows means that
/// the export, which covers its time, has none.
pub(super) fn judge(ours: &Booked, theirs: Option<&Billed>, tolerance: Decimal) -> Vec<Judged> {
    let Some(theirs) = theirs else { return not_billed(ours, tolerance) };
    if theirs.cost.is_empty() || theirs.lacks_cost {
        return vec![by_quantity(ours, theirs, tolerance)];
    }
    let mut found = Vec::new();
    for (currency, &billed) in &theirs.cost {
        let booked = match ours.cost.get(&**currency) {
            Some(booked) => Some(*booked),
            None if ours.is_nothing() => Some(Bound::ZERO),
            None => None,
        };
        let (verdict, why) = match booked {
            _ if ours.is_unpriced => (Verdict::Unpriced, None),
            None => (Verdict::NotComparable, None),
            Some(booked) if booked.is_zero() && billed.is_zero() => (Verdict::Free, None),
            Some(booked) if meet(booked, billed, tolerance) => (Verdict::Matched, None),
            Some(booked) => (Verdict::AmountDiffers, Some(why(ours, booked, theirs, tolerance))),
        };
        // An unpriced attempt leaves the job's other charges, which are not what it cost.
        let booked = booked.filter(|_| !ours.is_unpriced);
        let currency = Arc::clone(currency);
        found.push(Judged { verdict, why, currency, ours: booked, theirs: Some(billed) });
    }
    // What we booked in a currency in which nothing was billed.
    for (currency, booked) in &ours.cost {
        if !ours.is_unpriced && !booked.is_zero() && !theirs.cost.contains_key(&**currency) {
            let currency = currency.as_str().into();
            let verdict = Verdict::NotComparable;
            found.push(Judged { verdict, why: None, currency, ours: Some(*booked), theirs: None });
        }
    }
    found
}

fn not_billed(ours: &Booked, tolerance: Decimal) -> Vec<Judged> {
    if ours.is_unpriced {
        let theirs = Some(Bound::ZERO);
        let currency = Arc::default();
        return vec![Judged { verdict: Verdict::Unpriced, why: None, currency, ours: None, theirs }];
    }
    if ours.is_nothing() {
        let (currency, ours, theirs) = (Arc::default(), Some(Bound::ZERO), Some(Bound::ZERO));
        return vec![Judged { verdict: Verdict::Free, why: None, currency, ours, theirs }];
    }
    let judged = |(currency, booked): (&String, &Bound)| {
        let verdict = if booked.min > tolerance { Verdict::OnlyOurs } else { Verdict::Matched };
        let (ours, theirs) = (Some(*booked), Some(Bound::ZERO));
        Judged { verdict, why: None, currency: currency.as_str().into(), ours, theirs }
    };
    ours.cost.iter().filter(|(_, booked)| !booked.is_zero()).map(judged).collect()
}

/// Rows that tell no cost: only quantities can agree.
fn by_quantity(ours: &Booked, theirs: &Billed, tolerance: Decimal) -> Judged {
    let quantities = theirs.quantity.zip(ours.quantity(theirs.unit.as_deref()));
    let verdict = match quantities {
        Some((billed, booked)) if billed.is_zero() && booked.is_zero() => Verdict::Free,
        Some((billed, booked)) if is_near(billed, booked, tolerance) => Verdict::Matched,
        Some(_) => Verdict::AmountDiffers,
        None if theirs.quantity.is_some_and(|quantity| quantity.is_zero()) && ours.is_nothing() => {
            Verdict::Free
        }
        None => Verdict::NotComparable,
    };
    let why = (verdict == Verdict::AmountDiffers).then_some(Why::Quantity);
    let currency = ours.cost.keys().next().map(|name| name.as_str().into()).unwrap_or_default();
    let booked = ours.cost.values().next().copied().filter(|_| !ours.is_unpriced);
    Judged { verdict, why, currency, ours: booked, theirs: None }
}

/// Whether two ranges meet, to rounding.
fn meet(ours: Bound, theirs: Bound, tolerance: Decimal) -> bool {
    theirs.max.saturating_add(tolerance) >= ours.min && theirs.min.saturating_sub(tolerance) <= ours.max
}

fn is_near(a: Decimal, b: Decimal, tolerance: Decimal) -> bool {
    a.saturating_sub(b).abs() <= tolerance
}

fn why(ours: &Booked, booked: Bound, theirs: &Billed, tolerance: Decimal) -> Why {
    if booked.is_zero() {
        return Why::Policy;
    }
    let quantities = theirs.quantity.zip(ours.quantity(theirs.unit.as_deref()));
    let prices = theirs.unit_price.zip(ours.unit_price);
    let is_other = |(a, b): (Decimal, Decimal)| !is_near(a, b, Decimal::new(1, 6));
    match (quantities.map(is_other), prices.map(is_other)) {
        (Some(true), Some(true)) => Why::QuantityAndPrice,
        (Some(true), _) => Why::Quantity,
        (Some(false), other) => {
            let is_discounted = theirs.discount_percent.is_some_and(|percent| percent > Decimal::ZERO);
            let list = theirs.unit_price.zip(theirs.quantity).and_then(|(a, b)| a.checked_mul(b));
            let explains = || list.is_some_and(|list| meet(booked, Bound::exactly(list), tolerance));
            if is_discounted && other != Some(true) && explains() { Why::Discount } else { Why::Price }
        }
        (None, Some(true)) => Why::Price,
        (None, _) => Why::Unknown,
    }
}

#[cfg(test)]
mod tests;
