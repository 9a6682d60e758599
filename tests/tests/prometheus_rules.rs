//! The Prometheus rules that we ship: checked and unit-tested by promtool, and complete.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use spantally_tests::fixtures::repository;

fn directory() -> PathBuf {
    repository().join("grafana/prometheus")
}

#[track_caller]
fn promtool(arguments: &[&str]) {
    let mut command = Command::new("promtool");
    let output = command.args(arguments).current_dir(directory()).output().unwrap_or_else(|error| {
        panic!("promtool cannot be started ({error}); it is in Debian's package prometheus")
    });
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "promtool {}\n{}", arguments.join(" "), String::from_utf8_lossy(&said));
}

fn files_in(folder: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory().join(folder))
        .unwrap()
        .map(|entry| format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap()))
        .collect();
    names.sort();
    names
}

fn yaml(name: &str) -> Value {
    serde_saphyr::from_str(&std::fs::read_to_string(directory().join(name)).unwrap()).unwrap()
}

/// Every alert of the rule files.
fn alerts() -> Vec<Value> {
    let rules = yaml("rules/alerts.yaml");
    let groups = rules["groups"].as_array().unwrap().iter();
    groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

#[test]
fn rules_pass_promtool() {
    let mut arguments = vec!["check", "rules", "--lint=all", "--lint-fatal"];
    let rules = files_in("rules");
    arguments.extend(rules.iter().map(String::as_str));
    promtool(&arguments);
}

#[test]
fn the_example_configuration_passes_promtool() {
    promtool(&["check", "config", "prometheus.yml"]);
}

#[test]
fn rules_pass_their_unit_tests() {
    let mut arguments = vec!["test", "rules"];
    let tests = files_in("tests");
    arguments.extend(tests.iter().map(String::as_str));
    promtool(&arguments);
}

/// Each alert has a test in which it fires and one in which it does not, and a runbook.
#[test]
fn every_alert_is_tested_and_has_a_runbook() {
    let (mut fires, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for file in files_in("tests") {
        let tests = yaml(&file);
        let tests = tests["tests"].as_array().unwrap().iter();
        for check in tests.flat_map(|test| test["alert_rule_test"].as_array().unwrap().clone()) {
            let expected = check["exp_alerts"].as_array().unwrap().len();
            let side = if expected > 0 { &mut fires } else { &mut silent };
            side.insert(check["alertname"].as_str().unwrap().to_owned());
        }
    }
    let mut runbooks: BTreeSet<String> = BTreeSet::new();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        assert!(fires.contains(name), "{name}: no test in which it fires");
        assert!(silent.contains(name), "{name}: no test in which it does not");
        let runbook = format!("grafana/runbooks/{name}.md");
        assert_eq!(alert["annotations"]["runbook_url"], runbook.as_str());
        assert!(repository().join(&runbook).is_file(), "{runbook} is missing");
        assert!(
            alert["annotations"]["summary"].as_str().unwrap().ends_with('.'),
            "{name}: summary is a sentence"
        );
        assert!(
            matches!(alert["labels"]["severity"].as_str(), Some("critical" | "warning")),
            "{name}: severity"
        );
        runbooks.insert(format!("{name}.md"));
    }
    let written = std::fs::read_dir(repository().join("grafana/runbooks")).unwrap();
    let written: BTreeSet<String> =
        written.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(written, runbooks, "runbooks and alerts");
}
