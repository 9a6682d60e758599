//! Overview: what do we spend, how much of it is waste, what changed?
//!
//! From large to small: the numbers of the time range, when and why money went, who takes it, how the jobs
//! went, and where to look next.

use serde_json::json;

use super::panel::Panel;
use super::query::{Growth, Net, ratio, selector};
use super::{Dashboard, label_variable, single_label_variable, source_variable};

/// Causes of spend, each always in its colour: blue was worth it, warm colours were not.
const CAUSE_COLORS: [(&str, &str); 12] = [
    ("delivered", "#5794F2"),
    ("unverified", "#8AB8FF"),
    ("retry", "#FF9830"),
    ("timeout_resubmit", "#FA6400"),
    ("duplicate", "#B877D9"),
    ("failed", "#F2495C"),
    ("moderated", "#C4162A"),
    ("canceled", "#FADE2A"),
    ("abandoned", "#8E8E8E"),
    ("poll", "#37872D"),
    ("webhook", "#96D98D"),
    ("interrupted", "#FF7383"),
];

const OUTCOME_COLORS: [(&str, &str); 7] = [
    ("succeeded", "#5794F2"),
    ("partial", "#8AB8FF"),
    ("unknown", "#CCCCDC"),
    ("failed", "#F2495C"),
    ("rejected", "#C4162A"),
    ("canceled", "#FADE2A"),
    ("abandoned", "#8E8E8E"),
];

const COST: &str = "spantally_cost";
const CURRENCY: &str = "currency=\"$currency\"";
const WASTE: &str = "currency=\"$currency\",cause!~\"delivered|unverified\"";
const RETRY: &str = "currency=\"$currency\",cause=~\"retry|timeout_resubmit|duplicate\"";
const FAILED: &str = "currency=\"$currency\",cause=~\"failed|moderated\"";
/// What a label without a value is called.
const UNKNOWN: &str = "not in the spans";
const DELIVERED: &str = "outcome=~\"succeeded|partial\"";

/// The dashboard.
pub fn dashboard() -> Dashboard {
    Dashboard {
        file: "overview",
        uid: "spantally-overview",
        title: "Spantally / Overview",
        description: "What media generation costs, how much of it is waste, and where to look next.",
        variables: variables(),
        panels: [numbers(), over_time(), takers(), jobs(), vec![top_spenders()]].concat(),
    }
}

fn variables() -> Vec<serde_json::Value> {
    let jobs = "spantally_jobs_total{job=~\"$job\",instance=~\"$instance\"}";
    vec![
        source_variable(),
        label_variable("job", "Job", "spantally_spans_received_total"),
        label_variable("instance", "Instance", "spantally_spans_received_total{job=~\"$job\"}"),
        label_variable("provider", "Provider", jobs),
        label_variable("model", "Model", jobs),
        label_variable("service", "Service", jobs),
        single_label_variable("currency", "Currency", "spantally_cost_total{job=~\"$job\"}", "USD"),
    ]
}

fn in_range(metric: &'static str, matchers: &'static str, by: &'static [&'static str]) -> String {
    Net { metric, matchers, growth: Growth::InRange, by }.query()
}

fn rate(metric: &'static str, matchers: &'static str, by: &'static [&'static str], growth: Growth) -> String {
    Net { metric, matchers, growth, by }.query()
}

fn numbers() -> Vec<Panel> {
    let spend = in_range(COST, CURRENCY, &[]);
    let waste = ratio(&in_range(COST, WASTE, &[]), &spend);
    let per_delivered = ratio(&spend, &in_range("spantally_jobs", DELIVERED, &[]));
    let exposure = selector("spantally_exposure", "currency=\"$currency\",bound=\"max\"");
    vec![
        Panel::stat("Spend", "Expected cost of the jobs that settled in the time range.")
            .instant(&spend, "")
            .unit("none", 2),
        Panel::stat("Waste share", "Share of the spend that is neither delivered nor unverified.")
            .instant(&waste, "")
            .unit("percentunit", 1)
            .thresholds(&[(None, "green"), (Some(0.05), "orange"), (Some(0.15), "red")]),
        Panel::stat("Retry-driven spend", "Spend on retries, resubmissions after time-outs and duplicates.")
            .instant(&in_range(COST, RETRY, &[]), "")
            .unit("none", 2)
            .thresholds(&[(None, "orange")]),
        Panel::stat("Cost per delivered job", "All spend, waste included, by job that delivered something.")
            .instant(&per_delivered, "")
            .unit("none", 4),
        Panel::stat("Failed but billed", "Spend on jobs that failed or were refused by moderation.")
            .instant(&in_range(COST, FAILED, &[]), "")
            .unit("none", 2)
            .thresholds(&[(None, "red")]),
        Panel::stat(
            "Open exposure",
            "The most that open jobs and assumed amounts may still add to the invoice.",
        )
        .instant(&format!("sum({exposure})"), "")
        .unit("none", 2),
        Panel::stat("Jobs", "Jobs that settled in the time range.")
            .instant(&in_range("spantally_jobs", "", &[]), "")
            .unit("locale", 0),
        Panel::stat(
            "Unpriced jobs",
            "Settled jobs with an attempt that has no price: their money is missing.",
        )
        .instant(&in_range("spantally_unpriced_jobs", "", &[]), "")
        .unit("locale", 0)
        .thresholds(&[(None, "green"), (Some(1.0), "orange")]),
    ]
}

fn over_time() -> Vec<Panel> {
    let by_cause = rate(COST, CURRENCY, &["cause"], Growth::PerHour);
    let waste = rate(COST, WASTE, &["provider"], Growth::PerSecond);
    let all = rate(COST, CURRENCY, &["provider"], Growth::PerSecond);
    vec![
        Panel::time_series(
            "Spend rate by cause, per hour",
            "When and why did money go? Blue was delivered, light blue is unverified, the rest is waste.",
            (16, 9),
            true,
        )
        .range(&format!("{by_cause} != 0"), "{{cause}}")
        .unit("none", 2)
        .legend("table", "right")
        .colors(&CAUSE_COLORS),
        Panel::time_series(
            "Waste share by provider",
            "Is waste within what is allowed? The line is the 15 % at which the number above turns red.",
            (8, 9),
            false,
        )
        .range(&ratio(&waste, &format!("{all} > 0")), "{{provider}}")
        .unit("percentunit", 1)
        .legend("list", "bottom")
        .axis(0.0, 0.3)
        .threshold_line(0.15),
    ]
}

/// The largest of a label's values. Where the spans do not tell the value, the bar says so.
fn top_of(label: &'static str, by: &'static [&'static str]) -> String {
    let spend = in_range(COST, CURRENCY, by);
    format!("label_replace(topk(8, {spend} > 0), \"{label}\", \"{UNKNOWN}\", \"{label}\", \"\")")
}

fn takers() -> Vec<Panel> {
    vec![
        Panel::bars("Spend by provider", "Which provider takes the money of the time range?", (8, 7))
            .instant(&top_of("provider", &["provider"]), "{{provider}}")
            .unit("none", 2),
        Panel::bars("Spend by model", "Which models take it? The eight dearest.", (8, 7))
            .instant(&top_of("model", &["model"]), "{{model}}")
            .unit("none", 2),
        Panel::bars("Spend by service", "Which services cause it? The eight dearest.", (8, 7))
            .instant(&top_of("service", &["service"]), "{{service}}")
            .unit("none", 2),
    ]
}

fn jobs() -> Vec<Panel> {
    let outcomes = rate("spantally_jobs", "", &["outcome"], Growth::PerHour);
    let failures = rate("spantally_failures", "", &["reason"], Growth::PerHour);
    let polls = |part: &str| {
        let counter = selector(&format!("spantally_job_polls_{part}"), "");
        format!("sum by (provider) (rate({counter}[$__rate_interval]))")
    };
    vec![
        Panel::time_series("Jobs by outcome, per hour", "How do jobs end?", (8, 8), true)
            .range(&format!("{outcomes} != 0"), "{{outcome}}")
            .unit("locale", 1)
            .legend("list", "bottom")
            .colors(&OUTCOME_COLORS),
        Panel::time_series("Failures by reason, per hour", "Why do attempts fail?", (8, 8), true)
            .range(&format!("{failures} != 0"), "{{reason}}")
            .legend("list", "bottom")
            .unit("locale", 1),
        Panel::time_series(
            "Polls per job",
            "How often is a job's status asked for? Where this is high, a webhook saves calls.",
            (8, 8),
            false,
        )
        .range(&ratio(&polls("sum"), &format!("{} > 0", polls("count"))), "{{provider}}")
        .legend("list", "bottom")
        .unit("locale", 1),
    ]
}

fn top_spenders() -> Panel {
    const BY: &[&str] = &["provider", "model", "service"];
    let spend = in_range(COST, CURRENCY, BY);
    let waste = in_range(COST, WASTE, BY);
    let hidden = json!({"Time": true});
    let order = json!({
        "provider": 0, "model": 1, "service": 2, "Value #A": 3, "Value #B": 4, "Value #C": 5, "Value #D": 6,
    });
    let names = json!({
        "provider": "Provider", "model": "Model", "service": "Service",
        "Value #A": "Spend", "Value #B": "Waste", "Value #C": "Waste share", "Value #D": "Jobs",
    });
    let footer =
        json!({"countRows": false, "fields": ["Spend", "Waste", "Jobs"], "reducer": ["sum"], "show": true});
    let money = json!([{"id": "unit", "value": "none"}, {"id": "decimals", "value": 2}]);
    Panel::table("Top spenders", "What to look at next: the twenty dearest models of a service.", (24, 13))
        .no_value(UNKNOWN)
        .column(&format!("topk(20, {spend} > 0)"))
        .column(&format!("{waste} and topk(20, {spend} > 0)"))
        .column(&ratio(&waste, &format!("topk(20, {spend} > 0)")))
        .column(&format!("{} and topk(20, {spend} > 0)", in_range("spantally_jobs", "", BY)))
        .transform("merge", &json!({}))
        .transform("organize", &json!({"excludeByName": hidden, "indexByName": order, "renameByName": names}))
        .field("Model", &json!([{"id": "custom.width", "value": 330}]))
        .field("Spend", &money)
        .field("Waste", &money)
        .field("Waste share", &share_cell())
        .field("Jobs", &json!([{"id": "unit", "value": "locale"}, {"id": "decimals", "value": 0}]))
        .option("sortBy", json!([{"desc": true, "displayName": "Spend"}]))
        .option("footer", footer)
        .unit("none", 2)
}

/// A share from 0 to 1 as a bar in its cell.
fn share_cell() -> serde_json::Value {
    let steps = json!([
        {"color": "green", "value": null},
        {"color": "orange", "value": 0.05},
        {"color": "red", "value": 0.15},
    ]);
    json!([
        {"id": "unit", "value": "percentunit"},
        {"id": "decimals", "value": 1},
        {"id": "min", "value": 0},
        {"id": "max", "value": 1},
        {"id": "thresholds", "value": {"mode": "absolute", "steps": steps}},
        {"id": "color", "value": {"mode": "thresholds"}},
        {"id": "custom.cellOptions", "value": {"mode": "basic", "type": "gauge", "valueDisplayMode": "text"}},
    ])
}
