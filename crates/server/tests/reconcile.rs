//! `spantally reconcile`, as a user runs it: a recording, and an export of fal with known drift.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "support/recorded.rs"]
mod recorded;

use std::path::{Path, PathBuf};
use std::process::Output;

use recorded::{request, span, spantally, stderr};
use serde_json::{Value, json};

/// How a job of the recording ends.
#[derive(Clone, Copy)]
enum End {
    /// Its result says how many units are billed.
    Units(&'static str),
    /// No span says how much was made.
    Unseen,
    /// The result answers with this status.
    Status(u16),
}

/// A job of fal, in a trace of its own, that starts so many seconds after the recording does.
fn job(number: u64, second: u64, model: &str, end: End) -> Vec<Value> {
    let at = second * 1000;
    let app = model.split('/').take(2).collect::<Vec<_>>().join("/");
    let task = format!("https://queue.fal.run/{app}/requests/{}", id(number));
    let status = if let End::Status(status) = end { status } else { 200 };
    let mut spans = vec![
        span(number * 10, at, 200, "POST", &format!("https://queue.fal.run/{model}"), 200),
        span(number * 10 + 1, at + 500, 100, "GET", &format!("{task}/status"), 202),
        span(number * 10 + 2, at + 1500, 100, "GET", &format!("{task}/status"), 200),
        span(number * 10 + 3, at + 1700, 100, "GET", &task, status),
    ];
    if let End::Units(units) = end {
        let values = json!([{"stringValue": units}]);
        let header = json!({
            "key": "http.response.header.x-fal-billable-units", "value": {"arrayValue": {"values": values}},
        });
        spans[3]["attributes"].as_array_mut().unwrap().push(header);
    }
    for span in &mut spans {
        span["traceId"] = format!("{number:032x}").into();
    }
    spans
}

fn id(number: u64) -> String {
    format!("0a3f8f2e-3f5b-4f0e-9d8e-{number:012x}")
}

/// A row of fal's billing events.
fn event(number: u64, units: &str, price: &str, discount: Option<u32>, nano: u64) -> Value {
    json!({
        "request_id": id(number), "endpoint_id": "fal-ai/flux/dev",
        "timestamp": format!("2026-11-20T10:{:02}:02Z", number),
        "output_units": units.parse::<u64>().unwrap(), "unit_price": price.parse::<f64>().unwrap(),
        "percent_discount": discount, "cost_estimate_nano_usd": nano,
    })
}

const FLUX: &str = "fal-ai/flux/dev";

/// Ten jobs a minute apart, one long after them, and a time-out whose task no span shows.
fn jobs() -> Vec<Value> {
    let ends = [
        (1, End::Units("1")),
        (2, End::Unseen),
        (3, End::Units("1")),
        (4, End::Units("1")),
        (5, End::Units("1")),
        (6, End::Status(500)),
        (7, End::Status(500)),
        (8, End::Status(500)),
        (9, End::Units("1")),
        (10, End::Status(422)),
        (2000, End::Units("1")),
    ];
    let mut spans: Vec<Value> =
        ends.into_iter().flat_map(|(number, end)| job(number, number * 60, FLUX, end)).collect();
    spans.extend(job(11, 11 * 60, "somebody/else", End::Unseen));
    spans.push(span(9000, 200_000, 10_000, "POST", "https://queue.fal.run/fal-ai/flux/dev", 0));
    spans.sort_by_key(|span| span["startTimeUnixNano"].as_str().unwrap().to_owned());
    spans
}

/// 1 and 2 agree, 3 to 5 differ by price, quantity and discount, 6 and 7 were said to be free, 9 is missing,
/// 20 is nobody's.
fn events() -> Vec<Value> {
    vec![
        event(1, "1", "0.025", None, 25_000_000),
        event(2, "2", "0.025", None, 50_000_000),
        event(3, "1", "0.03", None, 30_000_000),
        event(4, "2", "0.025", None, 50_000_000),
        event(5, "1", "0.025", Some(10), 22_500_000),
        event(6, "1", "0.025", None, 25_000_000),
        event(7, "1", "0.025", None, 25_000_000),
        event(10, "1", "0.025", None, 25_000_000),
        event(11, "1", "0.07", None, 70_000_000),
        event(20, "4", "0.025", None, 100_000_000),
    ]
}

struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("spans.jsonl"), request(&jobs())).unwrap();
        Self { directory }
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs it on an export.
    fn reconcile(&self, export: &Path, more: &[&str]) -> Output {
        let spans = self.directory.path().join("spans.jsonl");
        let mut arguments = vec!["reconcile", export.to_str().unwrap(), "--from", spans.to_str().unwrap()];
        if !more.contains(&"--provider") {
            arguments.extend(["--provider", "fal"]);
        }
        arguments.extend(more);
        spantally(&arguments)
    }

    #[track_caller]
    fn report(&self, export: &Path, more: &[&str], code: i32) -> Value {
        let output = self.reconcile(export, &[more, &["--format", "json"]].concat());
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn page(events: &[Value]) -> String {
    json!({"billing_events": events, "next_cursor": null, "has_more": false}).to_string()
}

/// A period in which every job of the recording but the late one is.
const DAY: [&str; 2] = ["--period", "2026-11-20/2026-11-20"];

#[test]
fn each_task_has_its_verdict() {
    let files = Files::new();
    let report = files.report(&files.write("events.json", page(&events())), &[], 2);
    let count = |verdict: &str| report["verdicts"][verdict]["count"].as_u64().unwrap_or_default();
    let verdicts = ["matched", "free", "amount_differs", "only_ours", "only_theirs", "unpriced"].map(count);
    assert_eq!(verdicts, [3, 1, 5, 1, 1, 1], "{report:#}");
    assert_eq!((&report["outside"]["count"], &report["without_task_id"]["count"]), (&json!(1), &json!(1)));
    let findings = report["findings"].as_array().unwrap();
    let found = |number: u64| {
        let finding = findings.iter().find(|finding| finding["task_id"] == id(number)).unwrap();
        let text = |key: &str| finding[key].as_str().unwrap_or("-").to_owned();
        [text("verdict"), text("why"), text("theirs"), text("difference")].join(" ")
    };
    for (number, expected) in [
        (3, "amount_differs price 0.03 0.005"),
        (4, "amount_differs quantity 0.05 0.025"),
        (5, "amount_differs discount 0.0225 -0.0025"),
        (6, "amount_differs policy 0.025 0.025"),
        (9, "only_ours - 0 -0.025"),
        (11, "unpriced - 0.07 -"),
        (20, "only_theirs - 0.1 -"),
    ] {
        assert_eq!(found(number), expected);
    }
}

#[test]
fn a_policy_that_the_bill_refutes_is_told_with_its_tasks() {
    let files = Files::new();
    let export = files.write("events.json", page(&events()));
    let report = files.report(&export, &DAY, 2);
    let policies = report["policies"].as_array().unwrap();
    let of = |policy: &str| policies.iter().find(|row| row["policy"] == policy).unwrap();
    let free = of("fal/server_error");
    let figures = ["tasks", "billed", "refuted"].map(|key| free[key].as_u64().unwrap());
    assert_eq!((free["says"].as_str(), figures), (Some("free"), [3, 2, 2]), "{free:#}");
    assert_eq!(free["cost"]["USD"], "0.050");
    let tickets: Vec<_> =
        free["tickets"].as_array().unwrap().iter().map(|ticket| &ticket["task_id"]).collect();
    assert_eq!(tickets, [&json!(id(6)), &json!(id(7))]);
    assert_eq!((&free["source"], &free["as_of"]), (&json!("https://docs.fal.ai/faq"), &json!("2026-11-20")));
    let unknown = of("fal/client_error");
    assert_eq!(
        (&unknown["says"], &unknown["billed"], &unknown["refuted"]),
        (&json!("unknown"), &json!(1), &Value::Null,)
    );
    // What the provider reported in a span is no witness: of the successes only the one without units is.
    assert_eq!(of("fal/success")["tasks"], 1);

    let human = String::from_utf8(files.reconcile(&export, &DAY).stdout).unwrap();
    for words in [
        "fal/server_error (failed: provider_error) is free: refuted by 2 of 3 jobs, 0.0500 USD billed",
        "by https://docs.fal.ai/faq, read 2026-11-20",
        &format!("{}, {}", id(6), id(7)),
        "nobody knows; billed in 1 of 1 job, 0.0250 USD",
        "1 task without a task id in the spans",
        "only theirs: billed, no job of ours",
        "Of theirs, 0.0700 USD is for jobs that have no price with us",
        "A row that is only theirs may be of a task whose id no span shows",
    ] {
        assert!(human.contains(words), "{words}:\n{human}");
    }
}

/// What is not known is in no figure: the sum of ours leaves out the job without a price.
#[test]
fn totals_are_exact_and_have_both_sides() {
    let files = Files::new();
    let report = files.report(&files.write("events.json", page(&events())), &[], 2);
    let total = &report["totals"]["USD"];
    let figure =
        |value: &Value| value.as_str().unwrap().parse::<rust_decimal::Decimal>().unwrap().normalize();
    assert_eq!(figure(&total["theirs"]).to_string(), "0.4225");
    assert_eq!(figure(&total["ours"]["min"]).to_string(), "0.15", "{total:#}");
    assert_eq!(report["verdicts"]["unpriced"]["cost"]["USD"]["ours"], Value::Null);
    assert_eq!(report["verdicts"]["only_theirs"]["cost"]["USD"]["ours"], Value::Null);
}

#[test]
fn every_format_has_the_findings() {
    let files = Files::new();
    let export = files.write("events.json", page(&events()));
    let text = |format: &str| {
        let output = files.reconcile(&export, &["--format", format]);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let csv = text("csv");
    assert_eq!(csv.lines().count(), 9, "{csv}");
    assert!(csv.starts_with("verdict,why,job_id,task_id,model,day,"), "{csv}");
    let row = format!(",{},fal-ai/flux/dev,2026-11-20,,,USD,,,,0.1,,,4,", id(20));
    assert!(csv.contains(&row), "{row}\n{csv}");
    let lines = text("jsonl");
    assert_eq!(lines.lines().count(), 8);
    assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    let human = text("human");
    assert!(
        human.contains("0.0500 USD (+0.0250), another quantity\n      quantity: ours 1, theirs 2"),
        "{human}"
    );
    let cut = String::from_utf8(files.reconcile(&export, &["--limit", "2"]).stdout).unwrap();
    assert!(cut.contains("and 6 more: --limit"), "{cut}");
}

#[test]
fn an_export_that_agrees_ends_with_0() {
    let files = Files::new();
    let agreeing = [event(1, "1", "0.025", None, 25_000_000), event(2, "1", "0.025", None, 25_000_000)];
    let output = files.reconcile(&files.write("events.json", page(&agreeing)), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("Everything that could be compared agrees"), "{text}");
    // The same rows twice are twice the cost.
    let twice = [agreeing[0].clone(), agreeing[0].clone()];
    let report = files.report(&files.write("events.json", page(&twice)), &[], 2);
    assert_eq!(report["findings"][0]["why"], "quantity", "{report:#}");
    // Another tenant has no jobs: all is theirs alone.
    let report = files.report(&files.write("events.json", page(&agreeing)), &["--tenant", "others"], 2);
    assert_eq!(report["verdicts"]["only_theirs"]["count"], 2);
    let human = files.reconcile(&files.write("events.json", page(&agreeing)), &["--tenant", "others"]);
    let human = String::from_utf8(human.stdout).unwrap();
    assert!(human.contains("There is no settled job of it"), "{human}");
}

/// Only what the export covers can be missing from it.
#[test]
fn jobs_of_other_times_are_not_compared() {
    let files = Files::new();
    let export = files.write("events.json", page(&[event(1, "1", "0.025", None, 25_000_000)]));
    let report = files.report(&export, &[], 0);
    assert_eq!((&report["jobs"], &report["outside"]["count"]), (&json!(12), &json!(12)), "{report:#}");
    let report = files.report(&export, &DAY, 2);
    assert_eq!(report["verdicts"]["only_ours"]["count"], 5, "{report:#}");
    let report = files.report(&export, &["--period", "2026-10"], 0);
    assert_eq!(report["outside"]["count"], 13);
    assert_eq!(report["verdicts"], json!({}));
}

#[test]
fn a_table_of_any_shape_is_read_by_its_columns() {
    let files = Files::new();
    let export = files.write("bill.csv", format!("id,when,cents\n{},2026-11-20 10:01:02,2.5\n", id(1)));
    let columns = ["--columns", "task_id=id,time=when,cost=cents", "--currency", "USD", "--scale", "0.01"];
    let report = files.report(&export, &columns, 0);
    assert_eq!(report["verdicts"]["matched"]["count"], 1, "{report:#}");
    let nested = format!(r#"{{"data":{{"items":[{{"id":"{}","when":1795168862,"cents":2.5}}]}}}}"#, id(1));
    let json = files.write("bill.json", nested);
    let rows = [&columns[..], &["--rows", "data.items"]].concat();
    assert_eq!(files.report(&json, &rows, 0)["verdicts"]["matched"]["count"], 1);
    // Its first line is in Berlin's time: an hour before the job.
    let berlin = [&columns[..], &["--time-zone", "Europe/Berlin"]].concat();
    assert_eq!(files.report(&export, &berlin, 0)["period"]["from"], "2026-11-20T09:01:02Z");
}

/// Runway tells credits by day and model; plain spans name no model, so a day is compared as a whole.
#[test]
fn sums_of_a_day_are_compared_where_no_task_is_named() {
    let files = Files::new();
    let runway = "https://api.dev.runwayml.com/v1";
    let task = format!("{runway}/tasks/11111111-2222-4333-8444-555555555555");
    let credits = json!({"key": "spantally.credits", "value": {"intValue": "25"}});
    let mut spans = vec![
        span(10, 0, 300, "POST", &format!("{runway}/image_to_video"), 200),
        span(11, 5000, 100, "GET", &task, 200),
    ];
    spans[1]["attributes"].as_array_mut().unwrap().push(credits);
    for span in &mut spans {
        span["traceId"] = format!("{:032x}", 1).into();
    }
    files.write("spans.jsonl", request(&spans));
    for (amount, code, verdict) in [("25", 0, "matched"), ("30", 2, "amount_differs")] {
        let credits = json!([{"model": "gen4_turbo", "amount": amount.parse::<u64>().unwrap()}]);
        let usage = json!({"results": [{"date": "2026-11-20", "usedCredits": credits}]}).to_string();
        let report = files.report(&files.write("usage.json", usage), &["--provider", "runway"], code);
        assert_eq!((&report["by"], &report["verdicts"][verdict]["count"]), (&json!("day"), &json!(1)));
        let sides = &report["verdicts"][verdict]["cost"]["USD"];
        assert_eq!(sides["ours"]["expected"], "0.25", "{report:#}");
    }
    let focus = "ChargePeriodStart,BilledCost,BillingCurrency\n2026-11-20T00:00:00Z,0.25,USD\n";
    let report = files.report(&files.write("focus.csv", focus), &["--provider", "runway"], 0);
    assert_eq!((&report["export"], &report["verdicts"]["matched"]["count"]), (&json!("focus"), &json!(1)));
    assert_eq!(report["period"]["until"], "2026-11-21T00:00:00Z");
}

#[test]
fn bad_usage_ends_with_64_and_says_what_is_meant() {
    let files = Files::new();
    let events = files.write("events.json", page(&events()));
    let csv = files.write("bill.csv", "request,when,cents\na,2026-11-20,2.5\n");
    let broken = files.write("broken.json", "{\"billing_events\": [");
    let mine = ["--columns", "task_id=requests,cost=cents", "--currency", "USD"];
    for (export, arguments, code, words) in [
        (&events, &["--provider", "fall"][..], 64, "there is no provider `fall`"),
        (&events, &["--provider", "fall"], 64, "did you mean `fal`?"),
        (&csv, &[], 64, "bill.csv:1: not the columns of an export of fal"),
        (&csv, &mine, 64, "`requests` (task_id, did you mean `request`?)"),
        (&csv, &["--columns", "task=request"], 64, "did you mean `task_id`?"),
        (&csv, &["--columns", "task_id=request"], 64, "neither cost nor quantity"),
        (&csv, &["--columns", "task_id=request,cost=cents"], 64, "a cost without its currency"),
        (&csv, &["--period", "yesterday"], 64, "expected a month such as"),
        (&csv, &["--time-zone", "Berlin"], 64, "not a time zone"),
        (&broken, &[], 1, "broken.json:1: not JSON"),
        (&files.directory.path().join("none.csv"), &[], 1, "cannot read"),
    ] {
        let output = files.reconcile(export, arguments);
        let said = stderr(&output).replace("\n  │ ", " ");
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {words}: {said}");
    }
}

/// A row that cannot be read may have been anything: nobody can say that all agrees.
#[test]
fn a_row_that_cannot_be_read_is_a_finding() {
    let files = Files::new();
    let mut broken = event(1, "1", "0.025", None, 25_000_000);
    broken["cost_estimate_nano_usd"] = "much".into();
    let good = event(3, "1", "0.025", None, 25_000_000);
    let export = files.write("events.json", page(&[good, broken]));
    let report = files.report(&export, &[], 2);
    assert_eq!((&report["skipped_rows"], &report["findings"]), (&json!(1), &json!([])), "{report:#}");
    let human = String::from_utf8(files.reconcile(&export, &[]).stdout).unwrap();
    assert!(human.contains("events.json:1: cost_estimate_nano_usd = `much`: not a decimal"), "{human}");
}
