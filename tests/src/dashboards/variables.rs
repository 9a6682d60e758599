//! What a viewer may choose.

use serde_json::{Value, json};

use super::panel::{SOURCE, source};

/// Where the links to single jobs lead, until the viewer says otherwise.
const SPANTALLY_ADDRESS: &str = "http://127.0.0.1:9464";

/// Source, job and instance: what every dashboard begins with.
pub fn scrape() -> Vec<Value> {
    vec![
        data_source(),
        label("job", "Job", "spantally_spans_received_total"),
        label("instance", "Instance", "spantally_spans_received_total{job=~\"$job\"}"),
    ]
}

/// [`scrape`], then the common labels of the jobs that a selector finds, and one currency.
pub fn money(jobs: &str) -> Vec<Value> {
    let cost = "spantally_cost_total{job=~\"$job\"}";
    let mut variables = scrape();
    variables.extend([
        label("provider", "Provider", jobs),
        label("model", "Model", jobs),
        label("operation", "Operation", jobs),
        label("service", "Service", jobs),
        label("tenant", "Tenant", jobs),
        single_label("currency", "Currency", cost, "USD"),
    ]);
    variables
}

/// Jobs of the chosen instances.
pub const JOBS: &str = "spantally_jobs_total{job=~\"$job\",instance=~\"$instance\"}";

/// Any further label, for those of `processors.spantally.labels`: what it is set to is asked of every query
/// of the dashboard, so numbers that have no such label (budgets, prices) are then empty.
pub fn further_labels() -> Value {
    json!({
        "datasource": source(),
        "filters": [],
        "hide": 0,
        "label": "Label",
        "name": "label",
        "skipUrlSync": false,
        "type": "adhoc",
    })
}

/// The variable that chooses the Prometheus.
fn data_source() -> Value {
    json!({
        "hide": 0,
        "label": "Data source",
        "name": SOURCE,
        "query": "prometheus",
        "refresh": 1,
        "regex": "",
        "type": "datasource",
    })
}

/// A variable with the values of a label; several or all may be chosen.
fn label(name: &str, title: &str, metric_selector: &str) -> Value {
    let query = format!("label_values({metric_selector}, {name})");
    json!({
        "allValue": ".*",
        "current": {"selected": true, "text": ["All"], "value": ["$__all"]},
        "datasource": source(),
        "definition": query,
        "hide": 0,
        "includeAll": true,
        "label": title,
        "multi": true,
        "name": name,
        "query": {"query": query, "refId": "StandardVariableQuery"},
        "refresh": 2,
        "sort": 1,
        "type": "query",
    })
}

/// A variable with the values of a label of which exactly one is chosen.
fn single_label(name: &str, title: &str, metric_selector: &str, first: &str) -> Value {
    let mut variable = label(name, title, metric_selector);
    variable["multi"] = false.into();
    variable["includeAll"] = false.into();
    variable["allValue"] = Value::Null;
    variable["current"] = json!({"selected": true, "text": first, "value": first});
    variable
}

/// In the place of a variable that a dashboard follows but does not offer.
pub fn everything(name: &Value) -> Value {
    json!({"hide": 2, "name": name, "query": ".*", "skipUrlSync": true, "type": "constant"})
}

/// How long before lies what the time range is compared with.
pub fn compare() -> Value {
    let lengths = ["1h", "1d", "1w", "4w"];
    let options: Vec<Value> = lengths
        .iter()
        .map(|length| json!({"selected": *length == "1w", "text": length, "value": length}))
        .collect();
    json!({
        "current": {"selected": true, "text": "1w", "value": "1w"},
        "hide": 0,
        "includeAll": false,
        "label": "Compare with",
        "multi": false,
        "name": "compare",
        "options": options,
        "query": lengths.join(","),
        "type": "custom",
    })
}

/// The address of Spantally's own API as the viewer's browser reaches it, for links to single jobs.
pub fn address() -> Value {
    let value = json!({"selected": true, "text": SPANTALLY_ADDRESS, "value": SPANTALLY_ADDRESS});
    json!({
        "current": value,
        "hide": 0,
        "label": "Spantally",
        "name": "spantally",
        "options": [value],
        "query": SPANTALLY_ADDRESS,
        "type": "textbox",
    })
}
