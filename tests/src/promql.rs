//! What a query asks for: the metrics and labels that it names.

use std::collections::BTreeSet;

use promql_parser::label::Matcher;
use promql_parser::parser::{AggregateExpr, Expr, LabelModifier, VectorSelector, parse};
use promql_parser::util::{ExprVisitor, walk_expr};

/// Grafana's macros, each with a text that Prometheus reads; longest first.
const MACROS: [(&str, &str); 3] = [("$__rate_interval", "5m"), ("$__range_s", "21600"), ("$__range", "6h")];

/// A query as Prometheus gets it: macros and variables replaced. A variable stands for everything (`.*`)
/// except the ones named in `values`.
pub fn substituted(expression: &str, values: &[(&str, &str)]) -> String {
    let named = values.iter().map(|(name, value)| (format!("${name}"), *value));
    let macros = MACROS.iter().map(|(name, value)| ((*name).to_owned(), *value));
    let text =
        named.chain(macros).fold(expression.to_owned(), |text, (name, value)| text.replace(&name, value));
    let mut parts = text.split('$');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        if part.starts_with(|c: char| c.is_ascii_digit()) {
            return text + "$" + part; // what a group of a regular expression matched
        }
        text + ".*" + part.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_')
    })
}

/// A metric and the labels that a query compares or groups by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The metric, as it stands in the query.
    pub metric: String,
    /// Labels in its matchers and in every `by` or `without` around it.
    pub labels: BTreeSet<String>,
    /// Labels whose values stay apart: those of its matchers, and those that every `by` around it keeps.
    pub kept: BTreeSet<String>,
    /// Whether it is added up, or ranked, with other series.
    pub aggregated: bool,
    /// Whether it is taken over a time, as `rate` and `increase` do.
    pub ranged: bool,
}

/// Every metric that a query uses. The error is the parser's own.
pub fn uses(query: &str) -> Result<Vec<Use>, String> {
    let expression = parse(query)?;
    let mut visitor = Collector::default();
    walk_expr(&mut visitor, &expression)?;
    Ok(visitor.found)
}

#[derive(Default)]
struct Collector {
    /// Labels of the aggregations that are being walked through, innermost last.
    grouping: Vec<Vec<String>>,
    found: Vec<Use>,
}

impl Collector {
    fn add(&mut self, selector: &VectorSelector, ranged: bool) {
        let compared = selector.matchers.matchers.iter();
        let alternatives = selector.matchers.or_matchers.iter().flatten();
        let matched: BTreeSet<String> =
            compared.chain(alternatives).map(|matcher: &Matcher| matcher.name.clone()).collect();
        let grouped = self.grouping.iter().flatten();
        let in_all = |label: &&String| self.grouping.iter().all(|labels| labels.contains(label));
        self.found.push(Use {
            metric: selector.name.clone().unwrap_or_default(),
            kept: matched.iter().chain(grouped.clone().filter(in_all)).cloned().collect(),
            labels: matched.iter().chain(grouped).cloned().collect(),
            aggregated: !self.grouping.is_empty(),
            ranged,
        });
    }
}

fn grouping(aggregate: &AggregateExpr) -> Vec<String> {
    match &aggregate.modifier {
        Some(LabelModifier::Include(labels) | LabelModifier::Exclude(labels)) => labels.labels.clone(),
        None => Vec::new(),
    }
}

impl ExprVisitor for Collector {
    type Error = String;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, String> {
        match expression {
            Expr::Aggregate(aggregate) => self.grouping.push(grouping(aggregate)),
            Expr::VectorSelector(selector) => self.add(selector, false),
            Expr::MatrixSelector(matrix) => self.add(&matrix.vs, true),
            _ => {}
        }
        Ok(true)
    }

    fn post_visit(&mut self, expression: &Expr) -> Result<bool, String> {
        if matches!(expression, Expr::Aggregate(_)) {
            self.grouping.pop();
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_and_variables_are_replaced() {
        let query =
            "sum(rate(a{job=~\"$job\",currency=\"$currency\"}[$__rate_interval])) / increase(b[$__range])";
        assert_eq!(
            substituted(query, &[("currency", "USD")]),
            "sum(rate(a{job=~\".*\",currency=\"USD\"}[5m])) / increase(b[6h])"
        );
        let group = "label_replace(a, \"le\", \"$1\", \"le\", \"(.+)[.]0\")";
        assert_eq!(substituted(group, &[]), group);
    }

    #[test]
    fn metrics_and_labels_are_found() {
        let found = uses("topk(3, sum by (cause) (rate(a{x=\"1\"}[5m]))) - b{y!~\"z\"}").unwrap();
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let used = |metric: &str, labels: &[&str], kept: &[&str], ranged| Use {
            metric: metric.to_owned(),
            labels: set(labels),
            kept: set(kept),
            aggregated: ranged,
            ranged,
        };
        // `topk` ranks over all causes.
        let expected = vec![used("a", &["cause", "x"], &["x"], true), used("b", &["y"], &["y"], false)];
        assert_eq!(found, expected);
        assert!(uses("sum(").is_err());
    }
}
