//! The table *What it answers* of the README leads to what there is: metrics, alerts, panels and dashboards.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;

use serde_json::Value;
use spantally_server::export::{INVENTORY, Kind};
use spantally_tests::fixtures::repository;

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap()
}

/// The rows of the table: question and answer.
fn rows(readme: &str) -> Vec<(&str, &str)> {
    let table = readme.split("## What it answers").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| question |"));
    rows.map(|row| row.trim_matches('|').split_once(" | ").unwrap()).collect()
}

/// What stands between two marks, over and over.
fn marked(text: &str, mark: char) -> Vec<&str> {
    text.split(mark).skip(1).step_by(2).collect()
}

/// Whether a name is one of these, or with a star at its end the beginning of one.
fn is_among<'n>(name: &str, mut names: impl Iterator<Item = &'n str>) -> bool {
    match name.strip_suffix('*') {
        Some(begin) => names.any(|known| known.starts_with(begin)),
        None => names.any(|known| known == name),
    }
}

/// Titles of dashboards and panels.
fn titles() -> BTreeSet<String> {
    let mut titles = BTreeSet::new();
    for entry in std::fs::read_dir(repository().join("grafana/dashboards")).unwrap() {
        let board: Value =
            serde_json::from_str(&std::fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap();
        titles.insert(board["title"].as_str().unwrap().trim_start_matches("Spantally / ").to_owned());
        let mut left: Vec<&Value> = board["panels"].as_array().unwrap().iter().collect();
        while let Some(panel) = left.pop() {
            titles.insert(panel["title"].as_str().unwrap_or_default().to_owned());
            left.extend(panel["panels"].as_array().into_iter().flatten());
        }
    }
    titles
}

/// Alerts of one row may leave out what their names begin with alike: `...LabelSetsFull`.
#[test]
fn every_alert_is_in_the_table_of_alerts() {
    let page = read("grafana/README.md");
    let table = page.split("## Alerts").nth(1).unwrap().split("\n## ").next().unwrap();
    let rules = read("grafana/prometheus/rules/alerts.yaml");
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 20, "{} alerts", alerts.len());
    let named: Vec<&str> = table.lines().flat_map(|row| marked(row, '`')).collect();
    for alert in alerts {
        let is_named = named.iter().any(|&name| match name.strip_prefix("...") {
            Some(end) => alert.ends_with(end),
            None => name == alert,
        });
        assert!(is_named, "{alert} is not in the table of grafana/README.md");
    }
}

#[test]
fn every_place_that_the_table_of_questions_names_is_there() {
    let readme = read("README.md");
    let rows = rows(&readme);
    assert!(rows.len() >= 20, "{} questions", rows.len());
    let metrics: Vec<String> = INVENTORY
        .iter()
        .map(|metric| [metric.name, if metric.kind == Kind::Counter { "_total" } else { "" }].concat())
        .collect();
    let rules = read("grafana/prometheus/rules/alerts.yaml");
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let titles = titles();
    let queries = read("docs/ledger.md");
    for (question, answer) in rows {
        for code in marked(answer, '`') {
            let name = code.split('{').next().unwrap();
            if name.starts_with("spantally_") {
                assert!(is_among(name, metrics.iter().map(String::as_str)), "{question}: no metric {name}");
            } else if name.starts_with("Spantally") {
                assert!(is_among(name, alerts.iter().copied()), "{question}: no alert {name}");
            }
        }
        let outside: String = answer.split('`').step_by(2).collect();
        for title in marked(&outside, '*') {
            let begin = title.trim_end_matches(" ...");
            let found = titles.iter().any(|known| {
                known == begin
                    || known.starts_with(&[begin, ","].concat())
                    || title != begin && known.starts_with(begin)
            });
            assert!(found, "{question}: no panel or dashboard {title}");
        }
        if let Some(number) = answer.split("query ").nth(1).and_then(|rest| rest.split(' ').next()) {
            assert!(queries.contains(&format!("\n{number}. ")), "{question}: no query {number}");
        }
    }
}
