//! The dashboards and rules that we ship: no drift from the code, and nothing in them that Spantally does
//! not have.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;

use serde_json::Value;
use spantally_server::export::inventory::{INVENTORY, Kind, Metric};
use spantally_tests::dashboards;
use spantally_tests::fixtures::repository;
use spantally_tests::promql::{substituted, uses};

/// Labels that Prometheus itself adds.
const TARGET_LABELS: [&str; 2] = ["job", "instance"];

/// The common set; further ones are configured by users and not in what we ship.
const COMMON_LABELS: [&str; 5] = ["provider", "model", "operation", "service", "tenant"];

/// Panels whose queries are not one number for the time range.
const UNIT_KINDS: [&str; 4] = ["stat", "timeseries", "bargauge", "table"];

fn shipped() -> Vec<(&'static str, Value)> {
    dashboards::all().into_iter().map(|d| (d.file, serde_json::from_str(&d.to_text()).unwrap())).collect()
}

fn panels(dashboard: &Value) -> &Vec<Value> {
    dashboard["panels"].as_array().unwrap()
}

fn expressions(dashboard: &Value) -> Vec<String> {
    let targets = panels(dashboard).iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

/// Names under which a metric is scraped.
fn exposed_names(metric: &Metric) -> Vec<String> {
    match metric.kind {
        Kind::Counter => vec![format!("{}_total", metric.name)],
        Kind::Gauge => vec![metric.name.to_owned()],
        Kind::Histogram(_) => {
            ["bucket", "sum", "count"].map(|part| format!("{}_{part}", metric.name)).to_vec()
        }
    }
}

/// What is wrong with a use of one of our metrics, if anything.
fn problem(metric: &str, labels: &BTreeSet<String>) -> Option<String> {
    let Some(known) = INVENTORY.iter().find(|known| exposed_names(known).iter().any(|name| name == metric))
    else {
        return Some(format!("{metric}: Spantally has no such metric"));
    };
    let is_known = |label: &str| {
        let own = known.labels.iter().any(|own| own.name == label);
        let bucket = label == "le" && metric.ends_with("_bucket");
        own || bucket || TARGET_LABELS.contains(&label) || (known.common && COMMON_LABELS.contains(&label))
    };
    let unknown: Vec<&String> = labels.iter().filter(|label| !is_known(label)).collect();
    (!unknown.is_empty()).then(|| format!("{metric}: has no label {unknown:?}"))
}

#[test]
fn committed_dashboards_are_what_the_code_makes() {
    for dashboard in dashboards::all() {
        let path = format!("grafana/dashboards/{}.json", dashboard.file);
        let committed = std::fs::read_to_string(repository().join(&path)).unwrap_or_default();
        assert!(
            committed == dashboard.to_text(),
            "{path} is not what the code makes: cargo run -p spantally-tests --bin dashboards"
        );
    }
}

#[test]
fn queries_use_metrics_and_labels_that_exist() {
    let mut problems = Vec::new();
    for (file, dashboard) in shipped() {
        for expression in expressions(&dashboard) {
            let query = substituted(&expression, &[("currency", "USD")]);
            let found = uses(&query).unwrap_or_else(|error| panic!("{file}: {error}\n{query}"));
            assert!(!found.is_empty(), "{file}: asks for nothing: {query}");
            problems.extend(found.iter().filter_map(|used| problem(&used.metric, &used.labels)));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn variables_use_metrics_and_labels_that_exist() {
    for (_, dashboard) in shipped() {
        for variable in dashboard["templating"]["list"].as_array().unwrap() {
            let Some(query) = variable["query"]["query"].as_str() else { continue };
            let inside = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
            let (selector, label) = inside.rsplit_once(", ").unwrap();
            let mut found = uses(&substituted(selector, &[])).unwrap();
            let mut used = found.pop().unwrap();
            used.labels.insert(label.to_owned());
            assert_eq!(problem(&used.metric, &used.labels), None, "{query}");
        }
    }
}

/// Recording rules may use our metrics; alerts those, recorded series and `up`.
#[test]
fn rules_use_metrics_and_labels_that_exist() {
    let mut recorded = BTreeSet::from(["up".to_owned()]);
    let mut problems = Vec::new();
    for file in ["recording", "alerts"] {
        let text =
            std::fs::read_to_string(repository().join(format!("grafana/prometheus/rules/{file}.yaml")));
        let rules: Value = serde_saphyr::from_str(&text.unwrap()).unwrap();
        for rule in
            rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap())
        {
            for used in uses(rule["expr"].as_str().unwrap()).unwrap() {
                if !recorded.contains(&used.metric) {
                    problems.extend(problem(&used.metric, &used.labels));
                }
            }
            recorded.extend(rule["record"].as_str().map(str::to_owned));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// What Grafana's own linter asks of a dashboard, as far as it concerns one without a Grafana.
#[test]
fn dashboards_keep_grafanas_conventions() {
    for (file, dashboard) in shipped() {
        assert_eq!((&dashboard["id"], &dashboard["editable"]), (&Value::Null, &Value::Bool(false)), "{file}");
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        let names: Vec<&str> = variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
        assert_eq!(names[..3], ["datasource", "job", "instance"], "{file}");
        for variable in &variables[1..] {
            assert_eq!(variable["refresh"], 2, "{file}: a variable is not renewed with the time range");
        }
        for panel in panels(&dashboard) {
            let title = panel["title"].as_str().unwrap();
            assert!(
                !title.is_empty() && !panel["description"].as_str().unwrap().is_empty(),
                "{file}: {title}"
            );
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{file}: {title}");
            assert!(
                UNIT_KINDS.contains(&panel["type"].as_str().unwrap()),
                "{file}: {title}: new kind, add it here"
            );
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{file}: {title}: no unit");
            assert!(!panel["targets"].as_array().unwrap().is_empty(), "{file}: {title}: no query");
        }
        for expression in expressions(&dashboard) {
            for label in ["job", "instance"] {
                assert!(expression.contains(&format!("{label}=~\"${label}\"")), "{file}: {expression}");
            }
            let windowed = expression.contains("[$__rate_interval]") || expression.contains("[$__range]");
            assert!(windowed || expression.contains("spantally_exposure"), "{file}: {expression}");
        }
    }
}
