//! `spantally estimate`, as a user runs it: from a recording, a ledger, a server.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "support/recorded.rs"]
mod recorded;
mod support;

use std::collections::BTreeMap;
use std::path::Path;

use rust_decimal::Decimal;
use serde_json::Value;

use recorded::{recording, request, run, spans, spantally, stderr};

fn money(text: &Value) -> Decimal {
    text.as_str().unwrap().parse().unwrap()
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&run(&[&["estimate", "--format", "json"], arguments].concat())).unwrap()
}

#[test]
fn a_recording_is_told_in_every_format() {
    let directory = tempfile::tempdir().unwrap();
    let path = recording(directory.path());
    let limits = ["--max-attempts", "1", "--timeout", "2s", "--poll-every", "1s"];
    let from = ["--from", path.to_str().unwrap(), "--jobs-per-day", "100"];
    let report = json(&[&from[..], &limits].concat());
    // Three jobs, of which 100 a day for 30 days are a thousand times as many.
    assert_eq!((&report["factor"], &report["total"]["jobs"]), (&"1000".into(), &3.into()), "{report}");
    let total = &report["total"]["forecast"]["USD"];
    let seen = money(&report["total"]["cost"]["USD"]["expected"]);
    assert_eq!(money(&total["expected"]), seen * Decimal::from(1000), "{report}");
    assert!(seen > Decimal::ZERO && total["range"].is_null(), "three jobs are too few: {report}");

    let what_if = report["what_if"].as_array().unwrap();
    let told = what_if.iter().map(|row| {
        ["lost", "may_be_lost", "not_judged", "attempts_not_made", "polls_saved"]
            .map(|name| row[name].as_i64().unwrap())
    });
    // The first job is delivered by its second submit, 2.5 s after it, with four polls half a second apart;
    // of the second nobody knows the end, after three polls 5 s apart.
    assert_eq!(
        told.collect::<Vec<_>>(),
        [[1, 0, 0, 1, 4], [1, 1, 0, 0, 3], [0, 0, 0, 0, 1 - 8], [1, 1, 0, 1, 4 + 3]],
        "{report}"
    );
    assert_eq!(what_if[2]["delay_seconds"], "0.25", "{report}");
    let wait = &report["backoff"]["attempts"][1]["wait_seconds"];
    assert_eq!(wait["median"].as_f64(), Some(0.2), "{report}");

    let human = run(&[&["estimate"], &from[..], &limits].concat());
    assert!(human.starts_with("100 jobs a day, 30 days, 3000 jobs: USD "), "{human}");
    for words in [
        "too few jobs for a range",
        "at most 1 attempt\n    saves USD ",
        "tasks given up after 2 s\n",
        "polls every 1 s\n",
        "at most 1 attempt, tasks given up after 2 s, polls every 1 s\n",
        "1 polled task seen 0.25 s later on average",
        "under 1 s",
    ] {
        assert!(human.contains(words), "{words}:\n{human}");
    }
    let csv = run(&[&["estimate", "--format", "csv"], &from[..]].concat());
    let column = csv.lines().next().unwrap().split(',').position(|name| name == "forecast").unwrap();
    let cells = csv.lines().skip(1).map(|line| line.split(',').nth(column).unwrap());
    let sum: Decimal =
        cells.filter(|cell| !cell.is_empty()).map(|cell| cell.parse::<Decimal>().unwrap()).sum();
    assert_eq!(sum, money(&total["expected"]), "{csv}");
    let lines = run(&[&["estimate", "--format", "jsonl", "--by", "service"], &from[..]].concat());
    let groups: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(groups.len(), report["groups"].as_array().unwrap().len(), "{lines}");
    assert!(groups.iter().all(|group| group["service"] == "clips"), "{lines}");
}

#[test]
fn causes_of_a_capture_are_those_of_its_report() {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/captures");
    let capture = captures.join("rich-new/capture.otlp.gz").display().to_string();
    let replayed: Value = serde_json::from_str(&run(&["replay", &capture, "--format", "json"])).unwrap();
    let report = json(&["--from", &capture, "--volume", "10", "--days", "2.5"]);
    let causes = replayed["summary"]["causes"].as_array().unwrap().iter();
    let key = |currency: &str, cause: &str| (currency.to_owned(), cause.to_owned());
    let replayed: BTreeMap<_, _> = causes
        .map(|row| {
            (key(row["currency"].as_str().unwrap(), row["cause"].as_str().unwrap()), money(&row["cost"]))
        })
        .collect();
    let mut found = BTreeMap::new();
    let factor = money(&report["factor"]);
    for (currency, causes) in report["total"]["causes"].as_object().unwrap() {
        let forecast = &report["total"]["forecast"][currency];
        for (cause, part) in causes.as_object().unwrap() {
            let expected = money(&part["expected"]);
            assert_eq!(money(&forecast["causes"][cause]["expected"]), expected * factor, "{cause}");
            found.insert(key(currency, cause), expected);
        }
        let [low, min, expected, max, high] = ["/range/low", "/min", "/expected", "/max", "/range/high"]
            .map(|at| money(forecast.pointer(at).unwrap()));
        assert!(low <= min && min < expected && expected < max && max <= high, "{forecast}");
    }
    assert_eq!(found, replayed);
}

#[test]
fn a_ledger_has_no_times_of_calls_and_a_server_has() {
    let directory = tempfile::tempdir().unwrap();
    // The spans are of a day that has long passed: by the usual limits all of them would have settled.
    let config = "processors: {spantally: {idle_timeout: 87600h, absolute_timeout: 87600h}}";
    let admin = support::free_address();
    let server = support::Server::start_with(directory.path(), admin, Some(config), &[]);
    let body: Value = serde_json::from_str(&request(&spans())).unwrap();
    assert_eq!(support::post_json(server.http, "/v1/traces", &body), 200);
    server.settled(2);
    let url = format!("http://{}", server.admin);
    let data = directory.path().join("data").display().to_string();
    let limits = ["--jobs-per-day", "10", "--max-attempts", "1", "--poll-every", "1s"];
    let by_server = json(&[&["--server", &url], &limits[..]].concat());
    let by_ledger = json(&[&["--ledger", &data], &limits[..]].concat());
    assert_eq!(by_server["total"], by_ledger["total"]);
    assert_eq!(by_ledger["total"]["jobs"], 2, "what is open has no cost yet: {by_ledger}");
    // By one attempt at most both can be judged; how often it would have been polled only with times.
    for (report, without_times) in [(&by_server, 0), (&by_ledger, 1)] {
        assert_eq!(report["backoff"]["without_times"], without_times, "{report}");
        assert_eq!(
            (&report["what_if"][0]["lost"], &report["what_if"][0]["not_judged"]),
            (&1.into(), &0.into())
        );
        assert_eq!(report["what_if"][1]["not_judged"], without_times, "{report}");
    }
    server.kill();
    assert_eq!(json(&[&["--ledger", &data], &limits[..]].concat()), by_ledger);
}

#[test]
fn what_cannot_be_estimated_is_told_and_wrong_use_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = recording(directory.path());
    let from = ["estimate", "--from", path.to_str().unwrap()];
    for (arguments, code, words) in [
        (&["--since", "2027-01-01"][..], 1, "ask for another time"),
        (&["--service", "nobody"], 1, "3 settled jobs, none of which counts"),
        (&["--since", "2026-11-21", "--until", "2026-11-20"], 64, "--since is not before --until"),
        (&["--since", "soon"], 64, "expected a day"),
        (&["--volume", "0"], 64, "above 0"),
        (&["--days", "-3"], 64, ""),
        (&["--volume", "2", "--jobs-per-day", "3"], 64, "cannot be used with"),
        (&["--max-attempts", "0"], 64, ""),
        (&["--timeout", "0s"], 64, "above 0"),
    ] {
        let output = spantally(&[&from[..], arguments].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        let said = stderr(&output).replace("\n  │ ", " ").replace("\n        ", " ");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    let output = spantally(&["estimate", "--ledger", directory.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
}
