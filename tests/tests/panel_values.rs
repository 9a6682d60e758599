//! What panels show of series that are known: each case is one in which a plausible query is wrong.
//!
//! The queries are those of the shipped dashboards; promtool evaluates them after an hour of series that rise
//! evenly.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::process::Command;

use serde_json::{Value, json};
use spantally_tests::dashboards;
use spantally_tests::promql::substituted;

/// A panel, which of its queries, the variables that are chosen, series, and what the query must give.
struct Case {
    panel: &'static str,
    target: usize,
    chosen: &'static [(&'static str, &'static str)],
    /// Name and labels; what it has at first and each minute more.
    series: &'static [(&'static str, &'static str)],
    /// Labels and value.
    shown: &'static [(&'static str, f64)],
}

const CASES: [Case; 23] = [
    // A service with voice sessions may speak single sentences and make images as well: those are no
    // sessions.
    Case { panel: "Sessions", target: 0, chosen: &[], series: SESSIONS, shown: &[("{}", 60.0)] },
    Case {
        panel: "Cost per session, $currency",
        target: 0,
        chosen: &[],
        series: SESSIONS,
        shown: &[("{}", 0.5)],
    },
    Case {
        panel: "Cost per minute, $currency",
        target: 0,
        chosen: &[],
        series: SESSIONS,
        shown: &[("{}", 0.25)],
    },
    Case {
        panel: "Sessions by outcome, per hour",
        target: 0,
        chosen: &[],
        series: SESSIONS,
        shown: &[("{outcome=\"succeeded\"}", 60.0)],
    },
    Case {
        panel: "Jobs with unpriced legs",
        target: 0,
        chosen: &[],
        series: &[
            ("spantally_unpriced_jobs_total{operation=\"speech_to_text\",reason=\"no_price\"}", "0+2x60"),
            ("spantally_unpriced_jobs_total{operation=\"text_to_image\",reason=\"no_price\"}", "0+9x60"),
        ],
        shown: &[("{}", 120.0)],
    },
    // Jobs that were paid in another currency, failed or have no price are not what the money bought.
    Case {
        panel: "Cost per delivered job, $currency",
        target: 0,
        chosen: &[],
        series: CURRENCIES,
        shown: &[("{}", 3.0)],
    },
    Case {
        panel: "Top spenders, $currency",
        target: 5,
        chosen: &[],
        series: CURRENCIES,
        shown: &[("{provider=\"fal\"}", 3.0)],
    },
    // Most of the money went to jobs of which nobody knows whether they delivered.
    Case {
        panel: "Cost per delivered job, $currency",
        target: 0,
        chosen: &[],
        series: UNVERIFIED,
        shown: &[("{}", 3.0)],
    },
    Case {
        panel: "Cost per delivered job, $currency",
        target: 1,
        chosen: &[],
        series: UNVERIFIED,
        shown: &[("{}", 0.75)],
    },
    Case {
        panel: "Top spenders, $currency",
        target: 5,
        chosen: &[],
        series: UNVERIFIED,
        shown: &[("{provider=\"fal\"}", 3.0)],
    },
    // A loop whose attempts are refused.
    Case {
        panel: "Attempts by attempt needed",
        target: 0,
        chosen: &[],
        series: &[
            ("spantally_attempts_total{provider=\"fal\",cause=\"delivered\",accepted=\"yes\"}", "0+1x60"),
            ("spantally_attempts_total{provider=\"fal\",cause=\"retry\",accepted=\"no\"}", "0+4x60"),
        ],
        shown: &[("{provider=\"fal\"}", 5.0)],
    },
    // One instance of two is not well.
    Case {
        panel: "Limits in use",
        target: 0,
        chosen: &[],
        series: &[
            ("spantally_limit_used{instance=\"a\",limit=\"open_jobs\"}", "90x60"),
            ("spantally_limit{instance=\"a\",limit=\"open_jobs\"}", "100x60"),
            ("spantally_limit_used{instance=\"b\",limit=\"open_jobs\"}", "10x60"),
            ("spantally_limit{instance=\"b\",limit=\"open_jobs\"}", "1000x60"),
        ],
        shown: &[("{limit=\"open_jobs\"}", 0.9)],
    },
    Case {
        panel: "Runway",
        target: 0,
        chosen: &[],
        series: &[
            ("spantally_prepaid_runway_seconds{instance=\"a\",account=\"r\",currency=\"USD\"}", "1000x60"),
            ("spantally_prepaid_runway_seconds{instance=\"b\",account=\"r\",currency=\"USD\"}", "9000x60"),
        ],
        shown: &[("{account=\"r\",currency=\"USD\"}", 1000.0)],
    },
    // Two servers have each seen half of it.
    Case {
        panel: "Used",
        target: 0,
        chosen: &[],
        series: SERVERS,
        shown: &[("{budget=\"video\",currency=\"EUR\"}", 1.2)],
    },
    Case { panel: "Most used budget", target: 0, chosen: &[], series: SERVERS, shown: &[("{}", 1.2)] },
    Case {
        panel: "Invoices beside the ledger",
        target: 2,
        chosen: &[],
        series: SERVERS,
        shown: &[("{provider=\"fal\",currency=\"USD\",period=\"2026-10\"}", 120.0)],
    },
    Case {
        panel: "Forwarding destinations",
        target: 0,
        chosen: &[],
        series: &[
            ("spantally_forward_up{instance=\"a\",destination=\"tempo\"}", "1x60"),
            ("spantally_forward_up{instance=\"b\",destination=\"tempo\"}", "0x60"),
        ],
        shown: &[("{destination=\"tempo\"}", 0.0)],
    },
    Case {
        panel: "Up",
        target: 1,
        chosen: &[],
        series: &[("up{instance=\"a\"}", "1x60"), ("up{instance=\"b\"}", "0x60")],
        shown: &[("{}", 1.0)],
    },
    // Who and what for.
    Case {
        panel: "Spend by tenant, $currency",
        target: 0,
        chosen: &[],
        series: TENANTS,
        shown: &[("{tenant=\"acme\"}", 60.0), ("{tenant=\"no tenant\"}", 120.0)],
    },
    // Past the limit of label sets nobody knows the tenant; that is not to have none.
    Case {
        panel: "Spend by tenant, $currency",
        target: 0,
        chosen: &[],
        series: OVERFLOWED,
        shown: &[("{tenant=\"others past the label limit\"}", 60.0), ("{tenant=\"no tenant\"}", 120.0)],
    },
    Case {
        panel: "Refused",
        target: 1,
        chosen: &[],
        series: &[
            ("spantally_otlp_requests_total{result=\"unauthenticated\"}", "0+1x60"),
            ("spantally_otlp_requests_total{result=\"unsupported_type\"}", "0+2x60"),
            ("spantally_otlp_requests_total{result=\"overloaded\"}", "0+4x60"),
            ("spantally_otlp_requests_total{result=\"accepted\"}", "0+8x60"),
        ],
        shown: &[("{}", 180.0)],
    },
    Case {
        panel: "Spend by operation, $currency",
        target: 0,
        chosen: &[("tenant", "acme")],
        series: TENANTS,
        shown: &[("{operation=\"text_to_image\"}", 60.0)],
    },
    Case {
        panel: "Spend, $currency",
        target: 0,
        chosen: &[("operation", "chat")],
        series: TENANTS,
        shown: &[("{}", 120.0)],
    },
];

/// Each minute a session of two minutes for half a dollar, and five images of ten minutes for one each.
const SESSIONS: &[(&str, &str)] = &[
    (
        "spantally_voice_session_duration_seconds_count{operation=\"text_to_speech\",outcome=\"succeeded\"}",
        "0+1x60",
    ),
    ("spantally_jobs_total{operation=\"text_to_speech\",outcome=\"succeeded\"}", "0+7x60"),
    ("spantally_voice_session_duration_seconds_sum{operation=\"text_to_speech\"}", "0+120x60"),
    ("spantally_job_duration_seconds_sum{operation=\"text_to_speech\"}", "0+3000x60"),
    ("spantally_voice_session_cost_total{operation=\"speech_to_text\",currency=\"USD\"}", "0+0.25x60"),
    ("spantally_voice_session_cost_total{operation=\"text_to_speech\",currency=\"USD\"}", "0+0.25x60"),
    ("spantally_cost_total{operation=\"text_to_speech\",currency=\"USD\"}", "0+5x60"),
];

const CURRENCIES: &[(&str, &str)] = &[
    ("spantally_cost_total{provider=\"fal\",currency=\"USD\",cause=\"delivered\"}", "0+2x60"),
    ("spantally_cost_total{provider=\"fal\",currency=\"USD\",cause=\"failed\"}", "0+1x60"),
    ("spantally_cost_total{provider=\"fal\",currency=\"EUR\",cause=\"delivered\"}", "0+8x60"),
    ("spantally_jobs_total{provider=\"fal\",outcome=\"succeeded\"}", "0+9x60"),
    ("spantally_delivered_jobs_total{provider=\"fal\",currency=\"USD\"}", "0+1x60"),
    ("spantally_delivered_jobs_total{provider=\"fal\",currency=\"EUR\"}", "0+4x60"),
];

const TENANTS: &[(&str, &str)] = &[
    ("spantally_cost_total{tenant=\"acme\",operation=\"text_to_image\",currency=\"USD\"}", "0+1x60"),
    ("spantally_cost_total{operation=\"chat\",currency=\"USD\"}", "0+2x60"),
];

const OVERFLOWED: &[(&str, &str)] = &[
    ("spantally_cost_total{otel_metric_overflow=\"true\",currency=\"USD\"}", "0+1x60"),
    ("spantally_cost_total{operation=\"chat\",currency=\"USD\"}", "0+2x60"),
];

const UNVERIFIED: &[(&str, &str)] = &[
    ("spantally_cost_total{provider=\"fal\",currency=\"USD\",cause=\"delivered\"}", "0+2x60"),
    ("spantally_cost_total{provider=\"fal\",currency=\"USD\",cause=\"failed\"}", "0+1x60"),
    ("spantally_cost_total{provider=\"fal\",currency=\"USD\",cause=\"unverified\"}", "0+9x60"),
    ("spantally_delivered_jobs_total{provider=\"fal\",currency=\"USD\"}", "0+1x60"),
];

const SERVERS: &[(&str, &str)] = &[
    ("spantally_budget_spent{instance=\"a\",budget=\"video\",currency=\"EUR\"}", "60x60"),
    ("spantally_budget_spent{instance=\"b\",budget=\"video\",currency=\"EUR\"}", "60x60"),
    ("spantally_budget_limit{instance=\"a\",budget=\"video\",currency=\"EUR\"}", "100x60"),
    ("spantally_budget_limit{instance=\"b\",budget=\"video\",currency=\"EUR\"}", "100x60"),
    (
        "spantally_reconciliation_booked{instance=\"a\",provider=\"fal\",currency=\"USD\",period=\"2026-10\",\
         bound=\"expected\"}",
        "60x60",
    ),
    (
        "spantally_reconciliation_booked{instance=\"b\",provider=\"fal\",currency=\"USD\",period=\"2026-10\",\
         bound=\"expected\"}",
        "60x60",
    ),
];

/// A query of a panel; `$__range` is the hour.
fn query(case: &Case) -> String {
    let values = [("__range", "1h"), ("__rate_interval", "1h"), ("currency", "USD")];
    let values = [&values[..], case.chosen].concat();
    let named = |panel: &&Value| panel["title"] == case.panel;
    let boards: Vec<Value> = dashboards::all()
        .iter()
        .map(|dashboard| serde_json::from_str(&dashboard.to_text()).unwrap())
        .collect();
    let mut panels = boards.iter().flat_map(|board| board["panels"].as_array().unwrap());
    let panel = panels.find(named).unwrap_or_else(|| panic!("no panel {}", case.panel));
    substituted(panel["targets"][case.target]["expr"].as_str().unwrap(), &values)
}

/// The series of a case, and beside each counter what was taken back of it: nothing.
fn series(case: &Case) -> Vec<Value> {
    let told = case.series.iter().map(|(name, values)| json!({"series": name, "values": values}));
    let counters = case.series.iter().filter(|(name, _)| name.contains("_total{"));
    let taken_back = counters
        .map(|(name, _)| json!({"series": name.replace("_total{", "_reversed_total{"), "values": "0x60"}));
    told.chain(taken_back).collect()
}

#[test]
fn panels_show_what_their_titles_say() {
    let tests: Vec<Value> = CASES
        .iter()
        .map(|case| {
            let samples: Vec<Value> =
                case.shown.iter().map(|(labels, value)| json!({"labels": labels, "value": value})).collect();
            let asked = json!({"expr": query(case), "eval_time": "60m", "exp_samples": samples});
            json!({
                "name": case.panel, "interval": "1m", "input_series": series(case),
                "promql_expr_test": [asked],
            })
        })
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("panels.yaml");
    // JSON is YAML too.
    std::fs::write(&file, json!({"evaluation_interval": "1m", "tests": tests}).to_string()).unwrap();
    let output = Command::new("promtool").args(["test", "rules"]).arg(&file).output();
    let output = output.unwrap_or_else(|error| {
        panic!("promtool cannot be started ({error}); it is in Debian's package prometheus")
    });
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}
