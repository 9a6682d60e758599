//! The dashboards and rules that we ship: no drift from the code, nothing in them that Spantally does not
//! have, and nothing that it has left out.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;

use serde_json::Value;
use spantally_server::export::inventory::{INVENTORY, Kind, Metric};
use spantally_tests::dashboards;
use spantally_tests::fixtures::repository;
use spantally_tests::promql::{Use, substituted, uses};

/// Labels that Prometheus itself adds.
const TARGET_LABELS: [&str; 2] = ["job", "instance"];

/// The common set; further ones are configured by users and not in what we ship.
const COMMON_LABELS: [&str; 5] = ["provider", "model", "operation", "service", "tenant"];

/// What the operating system and the scrape tell, besides our own metrics.
const OTHER_METRICS: [&str; 8] = [
    "up",
    "process_start_time_seconds",
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
    "process_open_fds",
    "process_threads",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
];

/// Kinds of panels; each but a row has queries, a unit, and a question that it answers.
const KINDS: [&str; 6] = ["stat", "timeseries", "heatmap", "bargauge", "table", "row"];

/// Metrics that no dashboard and no rule uses, each with the reason.
const UNUSED: [(&str, &str); 11] = [
    ("spantally_forward_held_bytes", "how much waits for its job, for those who set job_attributes"),
    ("spantally_forward_held_spans", "beside spantally_forward_held_bytes"),
    ("spantally_forward_job_attributes", "how many waited in vain, for those who set job_attributes"),
    ("spantally_forward_storage_faults", "says why, once SpantallyForwardLosingSpans has fired"),
    ("spantally_storage_faults", "says which fault it is, once an alert on a failing file has fired"),
    ("spantally_ledger_bytes", "for those who set max_size; of the disk there is an exporter"),
    ("spantally_ledger_limit_bytes", "beside spantally_ledger_bytes"),
    ("spantally_ledger_oldest_timestamp_seconds", "for those who set max_age"),
    ("spantally_ledger_removed_rows", "what retention did; nothing is wrong with it"),
    ("spantally_retry_cost_ratio", "for thresholds without a Prometheus; panels divide counters"),
    ("spantally_waste_cost_ratio", "for thresholds without a Prometheus; panels divide counters"),
];

/// Variables that stand for one value.
const VALUES: [(&str, &str); 2] = [("currency", "USD"), ("compare", "1w")];

fn shipped() -> Vec<(&'static str, Value)> {
    dashboards::all().into_iter().map(|d| (d.file, serde_json::from_str(&d.to_text()).unwrap())).collect()
}

/// Panels with data.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
}

fn expressions(dashboard: &Value) -> Vec<String> {
    let targets = panels(dashboard).flat_map(|panel| panel["targets"].as_array().unwrap());
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

/// What a dashboard's query asks for.
#[track_caller]
fn asked(file: &str, expression: &str) -> Vec<Use> {
    let query = substituted(expression, &VALUES);
    uses(&query).unwrap_or_else(|error| panic!("{file}: {error}\n{query}"))
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

fn known(name: &str) -> Option<&'static Metric> {
    INVENTORY.iter().find(|known| exposed_names(known).iter().any(|exposed| exposed == name))
}

/// What is wrong with a use of one of our metrics, if anything.
fn problem(metric: &str, labels: &BTreeSet<String>) -> Option<String> {
    let is_target = |label: &str| TARGET_LABELS.contains(&label);
    if OTHER_METRICS.contains(&metric) {
        let unknown: Vec<&String> = labels.iter().filter(|label| !is_target(label)).collect();
        return (!unknown.is_empty()).then(|| format!("{metric}: has no label {unknown:?}"));
    }
    let Some(known) = known(metric) else {
        return Some(format!("{metric}: Spantally has no such metric"));
    };
    let is_known = |label: &str| {
        let own = known.labels.iter().any(|own| own.name == label);
        let bucket = label == "le" && metric.ends_with("_bucket");
        own || bucket || is_target(label) || (known.common && COMMON_LABELS.contains(&label))
    };
    let unknown: Vec<&String> = labels.iter().filter(|label| !is_known(label)).collect();
    (!unknown.is_empty()).then(|| format!("{metric}: has no label {unknown:?}"))
}

#[test]
fn committed_dashboards_are_what_the_code_makes() {
    let mut wanted = BTreeSet::new();
    for dashboard in dashboards::all() {
        let path = format!("grafana/dashboards/{}.json", dashboard.file);
        let committed = std::fs::read_to_string(repository().join(&path)).unwrap_or_default();
        assert!(
            committed == dashboard.to_text(),
            "{path} is not what the code makes: cargo run -p spantally-tests --bin dashboards"
        );
        wanted.insert(format!("{}.json", dashboard.file));
    }
    let files = std::fs::read_dir(repository().join("grafana/dashboards")).unwrap();
    let files: BTreeSet<String> =
        files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, wanted, "grafana/dashboards holds what the code makes and nothing else");
}

#[test]
fn queries_use_metrics_and_labels_that_exist() {
    let mut problems = Vec::new();
    for (file, dashboard) in shipped() {
        for expression in expressions(&dashboard) {
            let found = asked(file, &expression);
            assert!(!found.is_empty(), "{file}: asks for nothing: {expression}");
            problems.extend(found.iter().filter_map(|used| problem(&used.metric, &used.labels)));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// The total of a counter says nothing: only its growth does. A gauge has no growth.
#[test]
fn counters_are_taken_over_a_time_and_gauges_are_not() {
    for (file, dashboard) in shipped() {
        for expression in expressions(&dashboard) {
            for used in asked(file, &expression) {
                let Some(metric) = known(&used.metric) else { continue };
                let burn = used.metric == "spantally_budget_spent";
                let fits = burn || used.ranged == (metric.kind != Kind::Gauge);
                assert!(fits, "{file}: {}: {expression}", used.metric);
            }
        }
    }
}

#[test]
fn variables_use_metrics_and_labels_that_exist() {
    for (file, dashboard) in shipped() {
        for variable in dashboard["templating"]["list"].as_array().unwrap() {
            let Some(query) = variable["query"]["query"].as_str() else { continue };
            let inside = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
            let (selector, label) = inside.rsplit_once(", ").unwrap();
            let mut used = asked(file, selector).pop().unwrap();
            used.labels.insert(label.to_owned());
            assert_eq!(problem(&used.metric, &used.labels), None, "{file}: {query}");
        }
    }
}

/// A query that follows a variable which its dashboard does not have would never match.
#[test]
fn every_variable_of_a_query_is_one_of_its_dashboard() {
    for (file, dashboard) in shipped() {
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        let names: Vec<&str> = variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
        for expression in expressions(&dashboard) {
            for part in expression.split('$').skip(1) {
                let name: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let is_macro = name.starts_with("__");
                // What a group of a regular expression matched.
                let is_group = name.parse::<u8>().is_ok();
                assert!(
                    is_macro || is_group || names.contains(&name.as_str()),
                    "{file}: ${name}: {expression}"
                );
            }
        }
    }
}

/// Rules of a file: `alerts` or `recording`.
fn rules(file: &str) -> Vec<Value> {
    let path = repository().join(format!("grafana/prometheus/rules/{file}.yaml"));
    let rules: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

/// Recording rules may use our metrics; alerts those and what was recorded.
#[test]
fn rules_use_metrics_and_labels_that_exist() {
    let mut recorded = BTreeSet::new();
    let mut problems = Vec::new();
    for rule in ["recording", "alerts"].into_iter().flat_map(rules) {
        for used in uses(rule["expr"].as_str().unwrap()).unwrap() {
            if !recorded.contains(&used.metric) {
                problems.extend(problem(&used.metric, &used.labels));
            }
        }
        recorded.extend(rule["record"].as_str().map(str::to_owned));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// What is recorded costs storage for ever: each series is compared by an alert or recorded on.
#[test]
fn every_recorded_series_is_used() {
    let used: BTreeSet<String> = ["recording", "alerts"]
        .into_iter()
        .flat_map(rules)
        .flat_map(|rule| uses(rule["expr"].as_str().unwrap()).unwrap())
        .map(|used| used.metric)
        .collect();
    for rule in rules("recording") {
        let name = rule["record"].as_str().unwrap();
        assert!(used.contains(name), "{name} is recorded and nothing uses it");
    }
}

/// A metric that nobody looks at is a cost without a use; the list of exceptions may only get shorter.
#[test]
fn every_metric_is_looked_at() {
    let mut used = BTreeSet::new();
    for (file, dashboard) in shipped() {
        for expression in expressions(&dashboard) {
            used.extend(asked(file, &expression).into_iter().map(|used| used.metric));
        }
    }
    for rule in ["recording", "alerts"].into_iter().flat_map(rules) {
        used.extend(uses(rule["expr"].as_str().unwrap()).unwrap().into_iter().map(|used| used.metric));
    }
    for metric in INVENTORY {
        let is_used = exposed_names(metric).iter().any(|name| used.contains(name));
        let is_excused = UNUSED.iter().any(|(name, _)| *name == metric.name);
        assert!(is_used != is_excused, "{}: used {is_used}, in the list {is_excused}", metric.name);
    }
}

/// What Grafana's own linter asks of a dashboard, as far as it concerns one without a Grafana.
#[test]
fn dashboards_keep_grafanas_conventions() {
    let mut uids = BTreeSet::new();
    for (file, dashboard) in shipped() {
        assert_eq!((&dashboard["id"], &dashboard["editable"]), (&Value::Null, &Value::Bool(false)), "{file}");
        assert!(uids.insert(dashboard["uid"].to_string()), "{file}: its uid is another one's");
        assert!(!dashboard["description"].as_str().unwrap().is_empty(), "{file}: no description");
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        let names: Vec<&str> = variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
        assert_eq!(names[..3], ["datasource", "job", "instance"], "{file}");
        for variable in variables.iter().filter(|variable| variable["type"] == "query") {
            assert_eq!(variable["refresh"], 2, "{file}: a variable is not renewed with the time range");
        }
        let mut titles = BTreeSet::new();
        for panel in panels(&dashboard) {
            check_panel(file, panel);
            assert!(
                titles.insert(panel["title"].to_string()),
                "{file}: {}: two panels of a name",
                panel["title"]
            );
        }
        for expression in expressions(&dashboard) {
            for label in TARGET_LABELS {
                assert!(expression.contains(&format!("{label}=~\"${label}\"")), "{file}: {expression}");
            }
        }
    }
}

#[track_caller]
fn check_panel(file: &str, panel: &Value) {
    let title = panel["title"].as_str().unwrap();
    assert!(!title.is_empty() && !panel["description"].as_str().unwrap().is_empty(), "{file}: {title}");
    assert!(KINDS.contains(&panel["type"].as_str().unwrap()), "{file}: {title}: new kind, add it here");
    assert_eq!(panel["datasource"]["uid"], "${datasource}", "{file}: {title}");
    assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{file}: {title}: no unit");
    let targets = panel["targets"].as_array().unwrap();
    assert!(!targets.is_empty(), "{file}: {title}: no query");
    for target in targets {
        // The legend's labels must be those that the query keeps, else it shows `{{label}}`.
        let legend = target["legendFormat"].as_str().unwrap_or_default();
        let expression = target["expr"].as_str().unwrap();
        for part in legend.split("{{").skip(1) {
            let label = part.split("}}").next().unwrap();
            let kept = asked(file, expression).iter().any(|used| used.labels.contains(label));
            assert!(kept, "{file}: {title}: the legend's {label} is not in {expression}");
        }
    }
}

/// What is past the limit of label sets has none of the common labels, and must not look like what no span
/// tells, nor be added to it.
#[test]
fn what_is_past_the_limit_of_label_sets_is_told_apart() {
    let common = |label: &str| COMMON_LABELS.contains(&label);
    let by_common = |query: &str| {
        let groups = query.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
        groups.flat_map(|labels| labels.split(", ")).any(common)
    };
    let of_jobs = |used: &Use| known(&used.metric).is_some_and(|metric| metric.common);
    let queries = shipped()
        .into_iter()
        .flat_map(|(file, dashboard)| expressions(&dashboard).into_iter().map(move |query| (file, query)));
    let rules = ["recording", "alerts"].into_iter().flat_map(|file| {
        rules(file).into_iter().map(move |rule| (file, rule["expr"].as_str().unwrap().to_owned()))
    });
    for (file, query) in queries.chain(rules) {
        // Attempts by service are compared with jobs by service: both have the same without a name.
        if !by_common(&query)
            || query.contains("by (job, service)")
            || !asked(file, &query).iter().any(of_jobs)
        {
            continue;
        }
        assert!(query.contains("\"otel_metric_overflow\", \"true\""), "{file}: {query}");
    }
}

/// Somebody who was woken pastes these: a query that is wrong costs minutes.
#[test]
fn queries_of_runbooks_use_metrics_and_labels_that_exist() {
    let recorded: Vec<String> =
        rules("recording").iter().map(|rule| rule["record"].as_str().unwrap().to_owned()).collect();
    let mut queries = 0;
    for entry in std::fs::read_dir(repository().join("grafana/runbooks")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| line.starts_with("    ")) {
            for used in
                uses(line.trim()).unwrap_or_else(|error| panic!("{}: {error}: {line}", path.display()))
            {
                let problem = problem(&used.metric, &used.labels);
                assert!(
                    recorded.contains(&used.metric) || problem.is_none(),
                    "{}: {problem:?}",
                    path.display()
                );
                queries += 1;
            }
        }
    }
    assert!(queries >= 20, "only {queries} queries were found");
}
