//! Links of the dashboards lead to what a viewer was looking at.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use serde_json::Value;
use spantally_tests::dashboards;

fn shipped() -> Vec<(&'static str, Value)> {
    dashboards::all().into_iter().map(|d| (d.file, serde_json::from_str(&d.to_text()).unwrap())).collect()
}

/// Panels and links lead on: a link to a dashboard that is not there is a dead end.
#[test]
fn links_lead_to_dashboards_that_exist() {
    let uids: Vec<String> =
        shipped().iter().map(|(_, dashboard)| dashboard["uid"].as_str().unwrap().to_owned()).collect();
    for (file, dashboard) in shipped() {
        let text = dashboard.to_string();
        for part in text.split("\"/d/").skip(1) {
            let uid = part.split(['?', '"']).next().unwrap();
            assert!(uids.iter().any(|known| known == uid), "{file}: a link to /d/{uid}");
        }
    }
}

/// The addresses of all links to dashboards: where a link stands, its target's uid, and its parameters.
fn links(file: &str, value: &Value) -> Vec<(String, String, String)> {
    match value {
        Value::String(text) => {
            let Some((uid, rest)) = text.strip_prefix("/d/").and_then(|rest| rest.split_once('?')) else {
                return Vec::new();
            };
            vec![(file.to_owned(), uid.to_owned(), rest.to_owned())]
        }
        Value::Array(values) => values.iter().flat_map(|value| links(file, value)).collect(),
        Value::Object(fields) => fields.values().flat_map(|value| links(file, value)).collect(),
        _ => Vec::new(),
    }
}

/// What the viewer has chosen stays chosen: somebody who looks at one server must not land among all.
#[test]
fn links_pass_every_variable_that_both_dashboards_have() {
    let names = |dashboard: &Value| -> Vec<String> {
        let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
        // A constant has nothing to pass; filters on further labels go by labels that are not known here.
        let chosen = variables.filter(|one| !["constant", "adhoc"].contains(&one["type"].as_str().unwrap()));
        chosen.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    let all: Vec<(&str, Value, Vec<String>)> =
        shipped().into_iter().map(|(file, board)| (file, board.clone(), names(&board))).collect();
    let mut seen = 0;
    for (file, board, here) in &all {
        for (file, uid, parameters) in links(file, board) {
            let (_, _, there) = all.iter().find(|(_, other, _)| other["uid"] == uid.as_str()).unwrap();
            for name in here.iter().filter(|name| there.contains(name)) {
                let passed = parameters.contains(&format!("${{{name}:queryparam}}"))
                    || parameters.contains(&format!("var-{name}=${{__data.fields."));
                assert!(passed, "{file}: a link to {uid} forgets {name}: {parameters}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 10, "only {seen} links were found");
}

/// A name may have a `&` or a `#` in it, which Grafana leaves as it is unless it is told otherwise.
#[test]
fn links_escape_the_names_that_they_take_from_a_row() {
    for (file, dashboard) in shipped() {
        let text = dashboard.to_string();
        for part in text.split("=${__data.fields.").skip(1) {
            let field = part.split('}').next().unwrap();
            assert!(field.ends_with(":percentencode"), "{file}: {field}");
            // What is shown of an empty label is a word for it, which no series has.
            assert!(!["Model:percentencode", "Service:percentencode"].contains(&field), "{file}: {field}");
        }
    }
}
