//! Money and units that spans state, from the attribute to the report, by the built-in provider files.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// 2026-11-20T10:00:00Z.
const START_MS: u64 = 1_795_168_800_000;

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn dollars(cost: f64) -> Value {
    json!({"key": "spantally.cost_usd", "value": {"doubleValue": cost}})
}

/// A span of a second, in a trace; of a client if it has a method and an address.
fn span([trace, number, parent]: [u64; 3], at: u64, call: Option<(&str, &str)>, more: Vec<Value>) -> Value {
    let nanos = |ms: u64| format!("{}000000", START_MS + ms);
    let mut attributes = more;
    if let Some((method, url)) = call {
        attributes.extend([text("http.request.method", method), text("url.full", url)]);
        attributes.push(json!({"key": "http.response.status_code", "value": {"intValue": "200"}}));
    }
    let mut span = json!({
        "traceId": format!("{trace:032x}"), "spanId": format!("{number:016x}"), "name": "call",
        "kind": if call.is_some() { 3 } else { 1 },
        "startTimeUnixNano": nanos(at), "endTimeUnixNano": nanos(at + 1000), "attributes": attributes,
    });
    if parent > 0 {
        span["parentSpanId"] = format!("{parent:016x}").into();
    }
    span
}

/// What `replay` makes of spans, as JSON.
#[track_caller]
fn replay(spans: &[Value]) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spans.jsonl");
    let resource = json!({"attributes": [text("service.name", "clips")]});
    let request = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]});
    std::fs::write(&path, request.to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_spantally"))
        .args(["replay", path.to_str().unwrap(), "--format", "json"])
        .env_remove("SPANTALLY_CONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Expected cost, bounds and bases of the charges of the only job.
#[track_caller]
fn only_job(document: &Value) -> (Value, Vec<(String, String)>) {
    let [job] = &document["jobs"].as_array().unwrap()[..] else { panic!("one job, not {document}") };
    let charges = job["charges"].as_array().unwrap().iter();
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let charges = charges.map(|charge| (word(&charge["cost"]), word(&charge["basis"])));
    (job["cost"].clone(), charges.collect())
}

fn exactly(cost: &str) -> Value {
    json!({"USD": {"min": cost, "expected": cost, "max": cost}})
}

fn reported(costs: &[&str]) -> Vec<(String, String)> {
    costs.iter().map(|&cost| (cost.to_owned(), "reported".to_owned())).collect()
}

/// Whatever the provider, with a price and without one, by either spelling.
#[test]
fn dollars_on_a_call_are_its_cost() {
    let stated = || {
        vec![
            json!({"key": "gen_ai.usage.cost.amount", "value": {"doubleValue": 0.07}}),
            text("gen_ai.usage.cost.source", "provider"),
            text("gen_ai.usage.cost.currency", "USD"),
        ]
    };
    for url in [
        "https://fal.run/fal-ai/flux/dev",
        "https://fal.run/somebody/else",
        "https://api.openai.com/v1/images/generations",
        "https://api.replicate.com/v1/models/somebody/else/predictions",
        "https://api.elevenlabs.io/v1/text-to-speech/JBFqnCBsd6RMkjVDRZzb",
        "https://api.stability.ai/v2beta/stable-image/generate/core",
        "https://api.x.ai/v1/images/generations",
        "https://api.dev.runwayml.com/v1/image_to_video",
        "https://api.lumalabs.ai/dream-machine/v1/generations",
    ] {
        for more in [vec![dollars(0.07)], stated()] {
            let document = replay(&[span([1, 1, 0], 0, Some(("POST", url)), more)]);
            assert_eq!(only_job(&document), (exactly("0.07"), reported(&["0.07"])), "{url}");
        }
    }
}

/// The same figure on the submit, on each poll and on the span above is one bill.
#[test]
fn dollars_that_are_told_often_are_billed_once() {
    let task = "https://queue.fal.run/fal-ai/flux/requests/0a3f8f2e-3f5b-4f0e-9d8e-6a1f5b1c2d3e";
    let status = format!("{task}/status");
    let stated = || vec![dollars(0.07)];
    let mut spans = vec![
        span([1, 1, 0], 0, None, vec![dollars(0.07), text("spantally.job.id", "order-1")]),
        span([1, 2, 1], 100, Some(("POST", "https://queue.fal.run/fal-ai/flux/dev")), stated()),
        span([1, 9, 1], 9000, Some(("GET", task)), stated()),
    ];
    spans.extend((3..8).map(|n| span([1, n, 1], 1000 * n, Some(("GET", &status)), stated())));
    assert_eq!(only_job(&replay(&spans)), (exactly("0.07"), reported(&["0.07"])));
}

/// Each leg of a voice session has its own bill.
#[test]
fn legs_keep_their_own_dollars() {
    let leg = |number, url, cost| {
        let more = vec![dollars(cost), text("gen_ai.conversation.id", "talk-1")];
        span([number, number, 0], 1000 * number, Some(("POST", url)), more)
    };
    let document = replay(&[
        leg(1, "https://api.deepgram.com/v1/listen?model=nova-3", 0.01),
        leg(2, "https://api.elevenlabs.io/v1/text-to-speech/JBFqnCBsd6RMkjVDRZzb", 0.02),
    ]);
    assert_eq!(only_job(&document), (exactly("0.03"), reported(&["0.01", "0.02"])));
}

/// More than a decimal holds, added up: a report, and jobs that have no price.
#[test]
fn absurd_units_are_out_of_range() {
    let units = || {
        let values = json!([{"stringValue": "3160000000000000000000000000"}]);
        let key = "http.response.header.x-fal-billable-units";
        vec![json!({"key": key, "value": {"arrayValue": {"values": values}}})]
    };
    let call = Some(("POST", "https://fal.run/fal-ai/flux/dev"));
    let spans: Vec<_> = (1..=1100).map(|n| span([n, n, 0], n, call, units())).collect();
    let summary = &replay(&spans)["summary"];
    assert_eq!(summary["cost"], json!({}));
    let [row] = &summary["unpriced"].as_array().unwrap()[..] else { panic!("one reason, not {summary}") };
    assert_eq!((&row["reason"], &row["jobs"]), (&json!("out_of_range"), &json!(1100)));
}
