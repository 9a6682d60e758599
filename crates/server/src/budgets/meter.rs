//! What is spent in a scope.
//!
//! What is charged is counted as it is booked, by whose it is. Only a scope with an extra label follows the
//! counters, since a row that takes a job back has no labels of its own.

use rust_decimal::Decimal;
use spantally_price::sum;
use spantally_store::{ChargeRow, JobRow, SpendRow};

use super::definition::{Measure, Scope};
use crate::export::labels::{legal_name, push_label};
use crate::export::{MetricId, Registry, SeriesId};
use crate::label_history::LabelHistory;

/// Adds up a measure of what is in a scope.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    measure: Measure,
    scope: Scope,
    /// For each label of the scope whether it is an extra one.
    extra: Vec<bool>,
    /// Each `name="value"` that a series must have.
    needed: Vec<String>,
    /// The counters found so far, and how many were looked at.
    counters: Vec<SeriesId>,
    looked_at: usize,
    counted: Decimal,
}

impl Meter {
    pub(super) fn new(measure: Measure, scope: Scope, extra_labels: &[String]) -> Self {
        let of_measure = match &measure {
            Measure::Currency(name) => ("currency", name),
            Measure::Unit(name) => ("unit", name),
        };
        let pair = |name: &str, value: &str| {
            let mut text = String::new();
            push_label(&mut text, name, value);
            text
        };
        let scoped = scope.labels.iter().map(|(name, value)| pair(&legal_name(name), value));
        let needed = scoped.chain([pair(of_measure.0, of_measure.1)]).collect();
        let extra = scope.labels.iter().map(|(name, _)| extra_labels.contains(name)).collect();
        Self { measure, scope, extra, needed, counters: Vec::new(), looked_at: 0, counted: Decimal::ZERO }
    }

    pub(super) fn measure(&self) -> &Measure {
        &self.measure
    }

    /// Whether the scope has labels that are in no column of the ledger.
    pub(super) fn needs_labels(&self) -> bool {
        self.extra.contains(&true)
    }

    /// How much the counters have grown since the last call, reversals taken away; nothing where
    /// [`Self::booked`] tells it.
    pub(super) fn growth(&mut self, registry: &Registry) -> Decimal {
        if !self.needs_labels() {
            return Decimal::ZERO;
        }
        let metric = match self.measure {
            Measure::Currency(_) => MetricId::Cost,
            Measure::Unit(_) => MetricId::BilledUnits,
        };
        for (series, labels) in registry.series_from(metric, self.looked_at) {
            self.looked_at += 1;
            if self.needed.iter().all(|pair| has_label(labels, pair)) {
                self.counters.push(series);
            }
        }
        let net = |&series: &SeriesId| registry.net(series);
        let total = self.counters.iter().map(net).fold(Decimal::ZERO, Decimal::saturating_add);
        total.saturating_sub(std::mem::replace(&mut self.counted, total))
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
        let matches = self.scope.labels.iter().zip(&self.extra).all(|((name, value), &is_extra)| {
            if is_extra {
                names.value(row.labels_row, &extra(), name) == Some(value)
            } else {
                spend.common(name) == Some(value)
            }
        });
        matches.then_some(amount)
    }

    /// What a row adds that is booked now; nothing where [`Self::growth`] tells it.
    pub(super) fn booked(&self, row: &JobRow) -> Decimal {
        if self.needs_labels() {
            return Decimal::ZERO;
        }
        let is_in = |spend: &Spend<'_>| {
            self.scope.labels.iter().all(|(name, value)| spend.common(name) == Some(value))
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

/// Whether a rendered label set has a pair. Quotes in values are escaped, so that no value can look like one.
fn has_label(labels: &str, pair: &str) -> bool {
    labels.match_indices(pair).any(|(at, _)| {
        let before = at == 0 || labels.as_bytes()[at - 1] == b',';
        let end = at + pair.len();
        before && (end == labels.len() || labels.as_bytes()[end] == b',')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_found_whole_or_not_at_all() {
        let labels = r#"provider="fal",model="a,service=\"x\"",service="clips",currency="USD""#;
        for (pair, wanted) in [
            (r#"provider="fal""#, true),
            (r#"service="clips""#, true),
            (r#"currency="USD""#, true),
            (r#"service="x""#, false),
            (r#"vider="fal""#, false),
            (r#"provider="fa""#, false),
        ] {
            assert_eq!(has_label(labels, pair), wanted, "{pair}");
        }
    }
}
