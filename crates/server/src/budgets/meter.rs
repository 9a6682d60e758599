//! What the counters of a scope have grown by.

use rust_decimal::Decimal;
use spantally_store::SpendRow;

use super::definition::{Measure, Scope};
use crate::export::labels::{legal_name, push_label};
use crate::export::{MetricId, Registry, SeriesId};
use crate::label_history::LabelHistory;

/// Adds up the counters of a measure whose labels are in a scope.
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

    /// How much the counters have grown since the last call, reversals taken away.
    pub(super) fn growth(&mut self, registry: &Registry) -> Decimal {
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
        let amount = match &self.measure {
            Measure::Currency(currency) => (*currency == row.currency).then_some(row.cost)?,
            Measure::Unit(unit) => (*unit == row.unit).then_some(row.quantity)?,
        };
        let extra = || -> Vec<String> {
            let labels = row.labels.as_deref().unwrap_or("[]");
            // Spantally wrote it; what is not readable has no labels.
            serde_json::from_str(labels).unwrap_or_default()
        };
        let matches = self.scope.labels.iter().zip(&self.extra).all(|((name, value), &is_extra)| {
            if is_extra {
                names.value(row.labels_row, &extra(), name) == Some(value)
            } else {
                common(row, name) == Some(value)
            }
        });
        matches.then_some(amount)
    }
}

fn common<'a>(row: &'a SpendRow, name: &str) -> Option<&'a String> {
    match name {
        "provider" => Some(&row.provider),
        "model" => Some(&row.model),
        "operation" => Some(&row.operation),
        "service" => Some(&row.service),
        "tenant" => Some(&row.tenant),
        _ => None,
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
