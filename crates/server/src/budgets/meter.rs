//! What is spent in a scope.
//!
//! What is charged is counted as it is booked, by whose it is.

use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_price::sum;
use spantally_store::{ChargeRow, JobRow, SpendRow};

use super::definition::{Measure, Scope};
use crate::label_history::LabelHistory;

/// Adds up a measure of what is in a scope.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    measure: Measure,
    scope: Scope,
    /// For each label of the scope its place among the extra ones, if it is one.
    extra: Vec<Option<usize>>,
}

impl Meter {
    pub(super) fn new(measure: Measure, scope: Scope, extra_labels: &[String]) -> Self {
        let place = |name: &String| extra_labels.iter().position(|extra| extra == name);
        let extra = scope.labels.iter().map(|(name, _)| place(name)).collect();
        Self { measure, scope, extra }
    }

    pub(super) fn measure(&self) -> &Measure {
        &self.measure
    }

    /// Whether the scope has labels that are in no column of the ledger.
    pub(super) fn needs_labels(&self) -> bool {
        self.extra.iter().any(Option::is_some)
    }

    /// What a row of the ledger adds; none if it is out of scope. `names` says what its labels are called.
    pub(super) fn amount(&self, row: &SpendRow, names: &LabelHistory) -> Option<Decimal> {
        let spend = Spend::of_ledger(row);
        let amount = self.measured(&spend)?;
        let extra = || -> Vec<String> {
            let labels = row.labels.as_deref().unwrap_or("[]");
            // Spantally wrote it; what is not readable has no labels.
            serde_json::from_str(labels).unwrap_or_default()
        };
        let matches = self.scope.labels.iter().zip(&self.extra).all(|((name, value), place)| match place {
            Some(_) => names.value(row.labels_row, &extra(), name) == Some(value),
            None => spend.common(name) == Some(value),
        });
        matches.then_some(amount)
    }

    /// What a row adds that is booked now; `labels` are the values of its job's extra labels.
    pub(super) fn booked(&self, row: &JobRow, labels: &[Arc<str>]) -> Decimal {
        let is_in = |spend: &Spend<'_>| {
            self.scope.labels.iter().zip(&self.extra).all(|((name, value), place)| match place {
                Some(place) => labels.get(*place).is_some_and(|own| **own == **value),
                None => spend.common(name) == Some(value),
            })
        };
        let charges = row.charges.iter().map(|charge| Spend::of_charge(row, charge)).filter(is_in);
        sum(charges.filter_map(|spend| self.measured(&spend)))
    }

    fn measured(&self, spend: &Spend<'_>) -> Option<Decimal> {
        match &self.measure {
            Measure::Currency(currency) => (currency == spend.currency).then_some(spend.cost),
            Measure::Unit(unit) => (unit == spend.unit).then_some(spend.quantity),
        }
    }
}

/// Whose a charge is, and how much.
struct Spend<'r> {
    provider: &'r str,
    model: &'r str,
    operation: &'r str,
    service: &'r str,
    tenant: &'r str,
    unit: &'r str,
    currency: &'r str,
    quantity: Decimal,
    cost: Decimal,
}

impl<'r> Spend<'r> {
    fn of_ledger(row: &'r SpendRow) -> Self {
        let SpendRow { provider, model, operation, service, tenant, unit, currency, quantity, cost, .. } =
            row;
        let (quantity, cost) = (*quantity, *cost);
        Self { provider, model, operation, service, tenant, unit, currency, quantity, cost }
    }

    fn of_charge(job: &'r JobRow, charge: &'r ChargeRow) -> Self {
        let ChargeRow { provider, model, operation, unit, currency, quantity, cost_expected, .. } = charge;
        let JobRow { service, tenant, .. } = job;
        let (quantity, cost) = (*quantity, *cost_expected);
        Self { provider, model, operation, service, tenant, unit, currency, quantity, cost }
    }

    fn common(&self, name: &str) -> Option<&'r str> {
        match name {
            "provider" => Some(self.provider),
            "model" => Some(self.model),
            "operation" => Some(self.operation),
            "service" => Some(self.service),
            "tenant" => Some(self.tenant),
            _ => None,
        }
    }
}
