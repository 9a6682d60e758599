//! `spantally reprice`, as a user runs it: one recording, two folders of provider files.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_spantally");

const PROVIDER: &str = "\
provider: clips
title: Clips
hosts: [clips.test]
calls:
  - {name: make, role: sync, method: POST, paths: [/v1/make], model: clip, operation: text_to_video}
rates:
  currency: USD
  sources: {list: {url: 'https://clips.test/prices', as_of: 2026-11-20}}
  tariffs:
    - models: [clip]
      meters:
        - name: clip
          unit: clip
          quantity: [{constant: 1}]
          prices: [{price: 0.25, effective_from: 2026-01-01, source: list}]
  policy:
    - {name: made, when: {outcome: [succeeded, partial]}, charge: full, source: list}
    - {name: failed, when: {outcome: [failed]}, charge: none, source: list}
    - {name: other, charge: unknown, note: looked in list}
";

/// Two clips that were made, and one refused for want of credentials.
fn recording() -> String {
    let span = |number: u32, status: u32| {
        format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"{number:032x}","spanId":"{number:016x}","kind":3,"startTimeUnixNano":"179516880{number}000000000","endTimeUnixNano":"179516880{number}500000000","attributes":[{{"key":"http.request.method","value":{{"stringValue":"POST"}}}},{{"key":"url.full","value":{{"stringValue":"https://clips.test/v1/make?n={number}"}}}},{{"key":"http.response.status_code","value":{{"intValue":"{status}"}}}}]}}]}}]}}]}}"#
        )
    };
    [span(1, 200), span(3, 200), span(5, 401)].join("\n")
}

fn reprice(directory: &Path, arguments: &[&str]) -> Output {
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    Command::new(BINARY)
        .args(["reprice", &path("spans.jsonl"), "--providers", &path("now"), "--with", &path("then")])
        .args(arguments)
        .output()
        .unwrap()
}

fn folders(then: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [("now", PROVIDER), ("then", then)] {
        std::fs::create_dir(directory.path().join(name)).unwrap();
        std::fs::write(directory.path().join(name).join("clips.yaml"), text).unwrap();
    }
    std::fs::write(directory.path().join("spans.jsonl"), recording()).unwrap();
    directory
}

#[test]
fn a_price_that_rises_changes_what_was_made_and_nothing_else() {
    let directory = folders(&PROVIDER.replace("price: 0.25", "price: 0.3"));
    let output = reprice(directory.path(), &["--format", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["jobs"], &report["changed"]), (&3.into(), &2.into()), "{report}");
    let total = &report["totals"]["USD"];
    assert_eq!(
        (total["before"]["expected"].as_str(), total["difference"].as_str()),
        (Some("0.50"), Some("0.10"))
    );
    let human = reprice(directory.path(), &[]);
    let text = String::from_utf8_lossy(&human.stdout).into_owned();
    assert!(text.contains("2 of 3 jobs would cost something else") && text.contains("+0.05"), "{text}");
}

#[test]
fn another_policy_changes_what_failed() {
    let then = PROVIDER.replace("outcome: [failed]}, charge: none", "outcome: [failed]}, charge: full");
    let directory = folders(&then);
    let output = reprice(directory.path(), &["--format", "csv"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(lines[1].contains("clips,clip,failed,USD,0.00,0.25,0.25"), "{text}");
}

#[test]
fn the_same_files_change_nothing_and_a_missing_folder_is_told() {
    let directory = folders(PROVIDER);
    let output = reprice(directory.path(), &[]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("0 of 3 jobs"), "{output:?}");
    let then = directory.path().join("then");
    std::fs::remove_file(then.join("clips.yaml")).unwrap();
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).replace("\n  │ ", " ");
    let empty = reprice(directory.path(), &[]);
    assert!(said(&empty).contains("no provider file (*.yaml) in it"), "{}", said(&empty));
    std::fs::remove_dir_all(then).unwrap();
    let missing = reprice(directory.path(), &[]);
    assert_eq!(missing.status.code(), Some(64));
    let text = said(&missing);
    assert!(text.contains("--with: cannot read") && !text.contains("providers.directory"), "{text}");
    assert_eq!(text.matches("No such file").count(), 1, "{text}");
}

#[test]
fn a_price_that_is_gone_is_not_a_saving() {
    let directory = folders(&PROVIDER.replace("models: [clip]", "models: [other]"));
    let json = reprice(directory.path(), &["--format", "json"]);
    let report: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(report["price_lost"]["no_price"]["jobs"], 3, "one of them was free: {report}");
    assert_eq!(report["price_lost"]["no_price"]["cost"]["USD"]["expected"], "0.50", "{report}");
    assert_eq!((&report["changed"], &report["models"]), (&0.into(), &serde_json::json!([])), "{report}");
    let human = String::from_utf8(reprice(directory.path(), &[]).stdout).unwrap();
    for words in [
        "3 jobs would have no price (no_price): 0.5000 USD before; in no sum",
        "0.2500 -> no price (no_price) USD\n",
    ] {
        assert!(human.contains(words), "{words}:\n{human}");
    }
    assert!(!human.contains("-0.") && !human.contains("0.5000   0.0000"), "{human}");
    let csv = String::from_utf8(reprice(directory.path(), &["--format", "csv"]).stdout).unwrap();
    let lost = csv.lines().filter(|line| line.ends_with(",USD,0.25,,,0.25,0.25,,,,no_price,"));
    assert_eq!(lost.count(), 2, "{csv}");

    // The other way round it is found, and no rise either.
    let directory = folders(PROVIDER);
    let path = |name: &str| directory.path().join(name);
    std::fs::rename(path("now"), path("then.old")).unwrap();
    std::fs::create_dir(path("now")).unwrap();
    std::fs::write(path("now/clips.yaml"), PROVIDER.replace("models: [clip]", "models: [other]")).unwrap();
    let human = String::from_utf8(reprice(directory.path(), &[]).stdout).unwrap();
    assert!(human.contains("3 jobs without a price (no_price) would have one: 0.5000 USD after;"), "{human}");
    assert!(human.contains("no price (no_price) -> 0.2500 USD\n"), "{human}");
}
