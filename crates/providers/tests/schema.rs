//! `config/provider.schema.json`, which editors use, says what the loader says.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;

use serde_json::Value;
use spantally_providers::rates::UNITS;
use spantally_providers::{FACT_NAMES, builtin, load};

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../config/provider.schema.json")).unwrap()
}

/// A file with an unknown key in each kind of mapping: where the key is, and which mapping it is in.
const PLACES: [(&str, &str); 25] = [
    ("provider: a\n? x", ""),
    ("backup_hosts: [{? x}]", "backup_host"),
    ("output_hosts: [{? x}]", "output_host"),
    ("calls: [{? x}]", "call"),
    ("calls: [{answers: [{? x}]}]", "answer"),
    ("spans: [{? x}]", "span"),
    ("operations: [{? x}]", "operation"),
    ("words: [{? x}]", "word"),
    ("facts: [{? x}]", "fact"),
    ("rates: {? x}", "rates"),
    ("rates: {sources: {a: {? x}}}", "source"),
    ("rates: {tariffs: [{? x}]}", "tariff"),
    ("rates: {reported: [{? x}]}", "reported"),
    ("rates: {tariffs: [{meters: [{? x}]}]}", "meter"),
    ("rates: {tariffs: [{meters: [{quantity: [{? x}]}]}]}", "quantity"),
    ("rates: {tariffs: [{meters: [{quantity: [{assume: {? x}}]}]}]}", "assume"),
    ("rates: {tariffs: [{meters: [{prices: [{? x}]}]}]}", "price"),
    ("rates: {tariffs: [{meters: [{multipliers: [{? x}]}]}]}", "multiplier"),
    ("rates: {tariffs: [{meters: [{multipliers: [{factors: [{? x}]}]}]}]}", "factor"),
    ("rates: {discounts: [{? x}]}", "discount"),
    ("rates: {exchange: [{? x}]}", "exchange"),
    ("rates: {credits: [{? x}]}", "credit"),
    ("rates: {policy: [{? x}]}", "policy"),
    ("exports: [{? x}]", "export"),
    ("exports: [{columns: {? x}}]", "columns"),
];

/// The keys that the loader allows where a key is not known.
fn allowed(text: &str) -> BTreeSet<String> {
    let found = load("x.yaml", &text.replace("? x", "unheard_of: 1")).unwrap_err();
    let (_, list) = found[0].help.split_once("llowed: ").unwrap_or_else(|| panic!("{text}: {}", found[0]));
    list.split(", ").map(str::to_owned).collect()
}

fn properties(definition: &Value) -> BTreeSet<String> {
    definition["properties"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn every_mapping_has_the_keys_that_the_loader_allows() {
    let schema = schema();
    let mut tested: BTreeSet<&str> = BTreeSet::from(["comparison", "place"]);
    for (text, name) in PLACES {
        let definition = if name.is_empty() { &schema } else { &schema["$defs"][name] };
        assert_eq!(properties(definition), allowed(text), "{name}");
        assert_eq!(definition["additionalProperties"], false, "{name}");
        tested.insert(name);
    }
    assert_eq!(properties(&schema["$defs"]["when"]), allowed("rates: {policy: [{when: {? x}}]}"));
    tested.insert("when");
    let missing: Vec<_> =
        schema["$defs"].as_object().unwrap().keys().filter(|name| !tested.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "definitions without a test: {missing:?}");
}

#[test]
fn words_are_those_of_the_loader() {
    let schema = schema();
    let list = |path: &str| -> Vec<String> {
        let words = schema.pointer(path).unwrap().as_array().unwrap();
        words.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(list("/$defs/meter/properties/unit/enum"), UNITS);
    assert_eq!(list("/$defs/fact/properties/name/enum"), FACT_NAMES);
    for (text, path) in [
        ("calls: [{role: unheard_of}]", "/$defs/call/properties/role/enum"),
        ("calls: [{answers: [{accepted: unheard_of}]}]", "/$defs/answer/properties/accepted/enum"),
        ("words: [{state: unheard_of}]", "/$defs/word/properties/state/enum"),
        ("words: [{reason: unheard_of}]", "/$defs/word/properties/reason/enum"),
        ("rates: {policy: [{charge: unheard_of}]}", "/$defs/policy/properties/charge/enum"),
        ("rates: {policy: [{when: {outcome: [unheard_of]}}]}", "/$defs/when/properties/outcome/items/enum"),
        ("rates: {tariffs: [{meters: [{cause: unheard_of}]}]}", "/$defs/meter/properties/cause/enum"),
    ] {
        let words: BTreeSet<String> = list(path).into_iter().collect();
        assert_eq!(words, allowed(text), "{path}");
    }
}

/// What of the value the schema does not allow: as much of JSON Schema as this schema uses.
fn violations(schema: &Value, rule: &Value, value: &Value, path: &str, out: &mut Vec<String>) {
    if let Some(name) = rule["$ref"].as_str() {
        let target = schema.pointer(name.trim_start_matches('#')).unwrap();
        return violations(schema, target, value, path, out);
    }
    if let Some(any) = rule["anyOf"].as_array() {
        let fits = any.iter().any(|rule| {
            let mut found = Vec::new();
            violations(schema, rule, value, path, &mut found);
            found.is_empty()
        });
        if !fits {
            out.push(format!("{path}: fits none of anyOf: {value}"));
        }
        return;
    }
    if let Some(words) = rule["enum"].as_array() {
        if !words.contains(value) {
            out.push(format!("{path}: {value} is no word"));
        }
        return;
    }
    let kind = match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "boolean",
        Value::Null => "null",
    };
    let types: Vec<&str> = match &rule["type"] {
        Value::String(one) => vec![one],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => vec![kind],
    };
    if !types.iter().any(|wanted| *wanted == kind || (*wanted == "integer" && kind == "number")) {
        return out.push(format!("{path}: a {kind}, not {types:?}"));
    }
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        violations(schema, &rule["items"], item, &format!("{path}/{at}"), out);
    }
    for (key, item) in value.as_object().into_iter().flatten() {
        let inner = match (&rule["properties"][key], &rule["additionalProperties"]) {
            (Value::Null, Value::Bool(false)) => return out.push(format!("{path}/{key}: unknown")),
            (Value::Null, other) => other,
            (known, _) => known,
        };
        violations(schema, inner, item, &format!("{path}/{key}"), out);
    }
    for key in rule["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(key).is_none() {
            out.push(format!("{path}/{key}: missing"));
        }
    }
}

#[test]
fn the_built_in_files_fit_and_what_is_wrong_does_not() {
    let schema = schema();
    let check = |text: &str| {
        let file: Value = serde_saphyr::from_str(text).unwrap();
        let mut found = Vec::new();
        violations(&schema, &schema, &file, "", &mut found);
        found
    };
    for (name, text) in builtin::TEXTS {
        assert_eq!(check(text), Vec::<String>::new(), "{name}");
    }
    let (_, fal) = builtin::TEXTS.iter().find(|(name, _)| name.contains("fal")).unwrap();
    for (from, to) in [
        ("role: submit", "role: sumbit"),
        ("unit: second", "unit: seconds"),
        ("title: fal.ai\n", ""),
        ("needs_result: true", "need_result: true"),
        ("charge: full", "charge: 1"),
    ] {
        assert!(fal.contains(from), "{from}");
        assert_ne!(check(&fal.replacen(from, to, 1)), Vec::<String>::new(), "{to}");
    }
}
