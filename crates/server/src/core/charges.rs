//! A bill as ledger rows, and what a revision changes in them.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, reason = "a decimal's operators panic"))]

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use spantally_price::{self as price, Basis, Bill, Bound, Charge};
use spantally_stitch::Job;
use spantally_store::ChargeRow;

/// Every charge of a bill as a row. What was used apart from what is billed (seconds that cost credits) is a
/// row of its own without a price, so that the rows of a unit add up to its counter.
pub(super) fn charge_rows(job: &Job, bill: &Bill) -> Vec<ChargeRow> {
    let mut rows = Vec::with_capacity(bill.charges.len());
    for charge in &bill.charges {
        let row = charge_row(job, charge);
        if let Some(consumed) = &charge.consumed {
            rows.push(ChargeRow {
                unit: consumed.unit.clone(),
                quantity: consumed.quantity.expected,
                unit_price: None,
                cost_min: Decimal::ZERO,
                cost_expected: Decimal::ZERO,
                cost_max: Decimal::ZERO,
                currency: "".into(),
                ..row.clone()
            });
        }
        rows.push(row);
    }
    rows
}

fn charge_row(job: &Job, charge: &Charge) -> ChargeRow {
    let (provider, model, operation) = match job.attempts.get(charge.attempt) {
        Some(attempt) => (&attempt.provider, &attempt.model, &attempt.operation),
        None => (&job.provider, &job.model, &job.operation),
    };
    let cost = if charge.unit_price.is_some() { charge.cost } else { Bound::default() };
    ChargeRow {
        attempt: charge.attempt as u32,
        provider: provider.clone(),
        model: model.clone(),
        operation: operation.clone(),
        unit: charge.unit.clone(),
        quantity: charge.quantity.expected,
        unit_price: charge.unit_price,
        cost_min: cost.min,
        cost_expected: cost.expected,
        cost_max: cost.max,
        currency: charge.currency.clone(),
        cause: charge.cause.as_str().into(),
        basis: charge.basis.as_str().into(),
        rule: charge.rule.clone(),
    }
}

/// Whether the row has money. Without a price the currency means nothing.
pub(super) fn is_priced(row: &ChargeRow) -> bool {
    row.unit_price.is_some() && row.basis != Basis::Unpriced.as_str()
}

/// What must be appended after `old` so that the sum of all rows is `new`, in the order of charges. A charge
/// that stays as it is adds nothing; one that is new is told even when it is free.
pub(super) fn charge_deltas(old: &[ChargeRow], new: &[ChargeRow]) -> Vec<ChargeRow> {
    let mut deltas = BTreeMap::<_, (ChargeRow, bool)>::new();
    for row in new {
        let (sum, _) = deltas.entry(key(row)).or_insert_with(|| (zeroed(row), true));
        add(sum, row, |amount| amount);
    }
    for row in old {
        let (sum, is_new) = deltas.entry(key(row)).or_insert_with(|| (zeroed(row), false));
        *is_new = false;
        add(sum, row, |amount| -amount);
    }
    deltas.into_values().filter(|(row, is_new)| *is_new || !is_zero(row)).map(|(row, _)| row).collect()
}

/// The rows of several revisions added up: one of each charge, also of those that came to nothing.
pub(super) fn sum_of_rows(rows: impl Iterator<Item = ChargeRow>) -> Vec<ChargeRow> {
    let mut sums = BTreeMap::<_, ChargeRow>::new();
    for row in rows {
        let sum = sums.entry(key(&row)).or_insert_with(|| zeroed(&row));
        add(sum, &row, |amount| amount);
    }
    sums.into_values().collect()
}

/// What makes two rows the same charge at two times.
fn key(row: &ChargeRow) -> impl Ord + use<> {
    let names =
        [&row.provider, &row.model, &row.operation, &row.unit, &row.currency, &row.rule].map(Clone::clone);
    (row.attempt, names, row.unit_price, row.cause.clone(), row.basis.clone())
}

fn zeroed(row: &ChargeRow) -> ChargeRow {
    ChargeRow {
        quantity: Decimal::ZERO,
        cost_min: Decimal::ZERO,
        cost_expected: Decimal::ZERO,
        cost_max: Decimal::ZERO,
        ..row.clone()
    }
}

fn add(sum: &mut ChargeRow, row: &ChargeRow, signed: impl Fn(Decimal) -> Decimal) {
    for (to, amount) in [
        (&mut sum.quantity, row.quantity),
        (&mut sum.cost_min, row.cost_min),
        (&mut sum.cost_expected, row.cost_expected),
        (&mut sum.cost_max, row.cost_max),
    ] {
        price::add(to, signed(amount));
    }
}

fn is_zero(row: &ChargeRow) -> bool {
    [row.quantity, row.cost_min, row.cost_expected, row.cost_max].iter().all(Decimal::is_zero)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(attempt: u32, cause: &'static str, cost: i64) -> ChargeRow {
        ChargeRow {
            attempt,
            unit: "image".into(),
            quantity: Decimal::from(cost * 2),
            unit_price: Some(Decimal::new(5, 1)),
            cost_min: Decimal::from(cost),
            cost_expected: Decimal::from(cost),
            cost_max: Decimal::from(cost),
            currency: "USD".into(),
            cause: cause.into(),
            basis: "documented".into(),
            ..ChargeRow::default()
        }
    }

    fn sum(rows: &[ChargeRow], cause: &str) -> Decimal {
        rows.iter().filter(|row| row.cause == cause).map(|row| row.cost_expected).sum()
    }

    #[test]
    fn old_rows_and_deltas_add_up_to_the_new_rows() {
        let old = [row(0, "unverified", 3), row(1, "delivered", 2)];
        let new = [row(0, "retry", 3), row(1, "delivered", 5), row(2, "delivered", 0)];
        let deltas = charge_deltas(&old, &new);
        let all: Vec<_> = old.iter().chain(&deltas).cloned().collect();
        for cause in ["unverified", "retry", "delivered"] {
            assert_eq!(sum(&all, cause), sum(&new, cause), "{cause}");
        }
        assert_eq!(deltas.len(), 4, "one taken back, one changed, two new: {deltas:?}");
    }

    #[test]
    fn what_stays_adds_nothing_and_a_free_charge_is_told_once() {
        let rows = [row(0, "delivered", 0)];
        assert_eq!(charge_deltas(&[], &rows), rows);
        assert_eq!(charge_deltas(&rows, &rows), []);
    }

    #[test]
    fn two_equal_charges_of_one_bill_are_one_row() {
        let twice = [row(0, "poll", 1), row(0, "poll", 1)];
        assert_eq!(charge_deltas(&[], &twice), [row(0, "poll", 2)]);
        assert_eq!(charge_deltas(&twice, &twice), []);
    }
}
