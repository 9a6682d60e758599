//! What the dashboards that we ship ask a Prometheus for.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use rust_decimal::Decimal;
use serde_json::Value;
use spantally_tests::dashboards;
use spantally_tests::promql::substituted;

/// A query of a panel, as the dashboard sends it.
#[derive(Clone, Debug)]
pub struct Target {
    /// Title of the panel.
    pub panel: String,
    /// The query.
    pub query: String,
    /// Over the time range, or at its end.
    pub is_range: bool,
    /// Labels that the query or its legend keeps.
    pub labels: Vec<String>,
}

/// Every dashboard.
pub fn shipped() -> Vec<Value> {
    dashboards::all().iter().map(|dashboard| serde_json::from_str(&dashboard.to_text()).unwrap()).collect()
}

/// Every query of every panel.
pub fn targets(values: &[(&str, &str)]) -> Vec<Target> {
    let mut targets = Vec::new();
    for dashboard in shipped() {
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let query = substituted(target["expr"].as_str().unwrap(), values);
                targets.push(Target {
                    panel: panel["title"].as_str().unwrap().to_owned(),
                    is_range: target["range"].as_bool().unwrap(),
                    labels: labels(&query, target["legendFormat"].as_str().unwrap_or_default()),
                    query,
                });
            }
        }
    }
    targets
}

/// Labels in a legend, and in the outermost `by` of a query. An aggregation of everything keeps none.
fn labels(query: &str, legend: &str) -> Vec<String> {
    let is_of_all = ["avg(", "count(", "max(", "min(", "sum("].iter().any(|whole| query.starts_with(whole));
    let in_legend = legend.split("{{").skip(1).filter_map(|part| part.split_once("}}")).map(|(name, _)| name);
    let group = query.split_once(" by (").filter(|_| !is_of_all).and_then(|(_, rest)| rest.split_once(')'));
    let is_quantile = query.contains("histogram_quantile");
    let kept = group.map_or("", |(labels, _)| labels).split(", ").filter(|label| !label.is_empty());
    let kept = kept.filter(|label| !is_quantile || *label != "le");
    in_legend.chain(kept).map(str::to_owned).collect()
}

/// The first query of a panel.
#[track_caller]
pub fn query_of(targets: &[Target], panel: &str) -> String {
    let found = targets.iter().find(|target| target.panel == panel);
    found.unwrap_or_else(|| panic!("no panel {panel}")).query.clone()
}

/// Sum of what the ledger's jobs were charged in US dollars, for the causes that are wanted.
pub fn charged(jobs: &[Value], wanted: impl Fn(&str) -> bool) -> Decimal {
    let charges = jobs.iter().flat_map(|job| job["charges"].as_array().unwrap());
    charges
        .filter(|charge| charge["currency"] == "USD" && wanted(charge["cause"].as_str().unwrap()))
        .filter_map(|charge| charge["cost"].as_str())
        .map(|cost| cost.parse::<Decimal>().unwrap())
        .sum()
}

/// Whether a cause is waste.
pub fn is_waste(cause: &str) -> bool {
    !matches!(cause, "delivered" | "unverified")
}

/// Whether a cause is driven by retries.
pub fn is_retry(cause: &str) -> bool {
    matches!(cause, "retry" | "timeout_resubmit" | "duplicate")
}
