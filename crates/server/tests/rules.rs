//! `spantally rules test`, as a user runs it: the tests of the built-in files, and what a failure looks like.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_spantally");

/// What the tests of every built-in file must show: a success, a failure, moderation, a cancel, a retry, a
/// duplicate and a submit of which nobody knows whether it was taken.
const SITUATIONS: [&str; 7] =
    ["succeeded", "failed", "rejected", "canceled", "retry", "duplicate", "ambiguous"];

fn built_in() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/providers")
}

fn rules_test(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(["rules", "test"]).args(arguments).env("NO_COLOR", "1").output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_tests_of_the_built_in_files_hold() {
    let output = rules_test(&[built_in().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn every_built_in_file_is_tested_in_every_situation_and_every_policy_row() {
    let output = rules_test(&[built_in().to_str().unwrap(), "--format", "json"]);
    let reports: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let mut tested: Vec<&str> = reports.iter().map(|report| report["provider"].as_str().unwrap()).collect();
    tested.sort_unstable();
    let texts = spantally_providers::builtin::TEXTS;
    let names: Vec<&str> = texts
        .iter()
        .map(|(name, _)| name.trim_start_matches("providers/").trim_end_matches(".yaml"))
        .collect();
    assert_eq!(tested, names, "each NAME.yaml has its NAME.test.yaml");
    for report in &reports {
        let seen: Vec<&str> =
            report["situations"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        for situation in SITUATIONS {
            assert!(seen.contains(&situation), "{}: no test shows {situation}", report["provider"]);
        }
        let missing = &report["policy_rows_without_a_test"];
        assert_eq!(missing.as_array().unwrap().len(), 0, "{}: {missing}", report["provider"]);
    }
}

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
    - {name: other, charge: unknown, note: looked in list}
";

const TEST: &str = "\
provider: clips
tests:
  - name: a clip
    spans: [{at: 0, post: /v1/make}]
    jobs: [{outcome: succeeded, charges: [{cost: 0.25, policy: made}]}]
";

fn files(test: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("clips.yaml"), PROVIDER).unwrap();
    let path = directory.path().join("clips.test.yaml");
    std::fs::write(&path, test).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

#[test]
fn a_test_file_stands_beside_its_provider_file() {
    let (_directory, path) = files(TEST);
    let output = rules_test(&[&path]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("1 passed, 0 failed"), "{}", stdout(&output));
    assert!(stdout(&output).contains("no test reaches the policy rows other"), "{}", stdout(&output));
}

/// The pages that explain provider files, their prices and their tests: one example in three parts.
#[test]
fn the_example_of_the_documentation_holds() {
    let example =
        |page: &str| page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap().to_owned();
    let provider = example(include_str!("../../../docs/providers.md"));
    let rates = example(include_str!("../../../docs/pricing.md"));
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("acme.yaml"), provider + &rates).unwrap();
    let test = example(include_str!("../../../docs/rules-test.md"));
    std::fs::write(directory.path().join("acme.test.yaml"), test).unwrap();
    let output = rules_test(&[directory.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn a_test_that_fails_shows_both_sides_and_exits_2() {
    for (from, to, shown) in [
        ("cost: 0.25", "cost: 0.26", "-   charge: cost=0.26 policy=made"),
        ("policy: made", "policy: other", "+   charge: cost=0.25 policy=made"),
        ("outcome: succeeded", "outcome: failed", "- job: outcome=failed"),
        (
            "post: /v1/make}]",
            "post: /v1/make}, {at: 900, trace: x, post: /v1/make}]",
            "+ job: outcome=succeeded",
        ),
        ("charges: [{cost: 0.25, policy: made}]", "charges: []", "+   charge:"),
    ] {
        assert!(TEST.contains(from), "{from}");
        let (_directory, path) = files(&TEST.replace(from, to));
        let output = rules_test(&[&path]);
        let text = stdout(&output);
        assert_eq!(output.status.code(), Some(2), "{to}: {text}{}", stderr(&output));
        assert!(text.contains("clips.test.yaml:3: a clip") && text.contains(shown), "{to}: {text}");
    }
}

#[test]
fn what_is_no_test_file_exits_64_and_says_where() {
    for (from, to, shown) in [
        ("spans:", "span:", "clips.test.yaml:4:"),
        ("at: 0", "att: 0", "att"),
        ("provider: clips", "provider: clip", "no provider file of this name"),
        ("at: 0", "at: soon", "at = `soon`: not a number of seconds"),
        ("at: 0", "answer: 99", "answer = `99`: a status code"),
        ("at: 0", "get: /v1/make", "exactly one of get, post"),
        ("tests:", "day: yesterday\ntests:", "day = `yesterday`: not a day such as"),
        ("at: 0", "parent: nobody", "parent = `nobody`: no span of the test has this name"),
    ] {
        assert!(TEST.contains(from), "{from}");
        let (_directory, path) = files(&TEST.replacen(from, to, 1));
        let output = rules_test(&[&path]);
        let text = stderr(&output).replace("\n  │ ", " ");
        assert_eq!(output.status.code(), Some(64), "{to}: {}{text}", stdout(&output));
        assert!(text.contains(shown), "{to}: {text}");
    }
    let output = rules_test(&[]);
    assert_eq!(output.status.code(), Some(64), "{}", stderr(&output));
}

/// What has tested nothing is not green.
#[test]
fn no_test_at_all_exits_64_and_says_why() {
    let (directory, path) = files(TEST);
    let inside = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir(inside("none")).unwrap();
    std::fs::write(inside("empty.test.yaml"), "provider: clips\ntests: []\n").unwrap();
    for (arguments, shown) in [
        (vec![inside("none")], "no test file in this directory: expected NAME.test.yaml or NAME.test.yml"),
        (
            vec![path, "--only".to_owned(), "webhook".to_owned()],
            "--only webhook: no test has this in its name",
        ),
        (vec![inside("empty.test.yaml")], "tests: expected at least one test"),
        (vec![inside("missing.test.yaml")], "missing.test.yaml"),
    ] {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let output = rules_test(&arguments);
        let text = stderr(&output).replace("\n  │ ", " ");
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}{text}", stdout(&output));
        assert!(text.contains(shown), "{arguments:?}: {text}");
    }
    // The other ending is found in a directory, too.
    std::fs::remove_file(inside("empty.test.yaml")).unwrap();
    std::fs::rename(inside("clips.test.yaml"), inside("clips.test.yml")).unwrap();
    let output = rules_test(&[directory.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("1 passed, 0 failed"), "{}", stdout(&output));
}
