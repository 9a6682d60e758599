#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use super::*;
use crate::{builtin, load};

const GOOD: &str = "\
provider: acme
title: Acme
calls: [{name: make, role: sync, method: POST, paths: [/v1/make]}]
hosts: [api.acme.example]
rates:
  currency: USD
  sources: {list: {url: 'https://acme.example', as_of: 2026-11-20}}
exports:
  - name: events
    source: list
    rows: data.events
    columns: {task_id: id, time: at, quantity: amount, cost: nano, unit_price: price}
    scale: 0.000000001
    currency: usd
";

#[test]
fn what_is_wrong_with_an_export_is_found_at_its_place() {
    assert_eq!(load("acme.yaml", GOOD).err(), None);
    for (old, new, expected) in [
        ("source: list\n", "source: lits\n", "acme.yaml:10:13: exports.source = `lits`: not a key"),
        ("rows: data.events", "rows: data..events", "acme.yaml:11:11: exports.rows = `data..events`"),
        ("scale: 0.000000001", "scale: 0", "acme.yaml:13:12: exports.scale = `0`: not a decimal"),
        ("scale: 0.000000001", "scale: nano", "acme.yaml:13:12: exports.scale = `nano`"),
        ("    currency: usd\n", "", "acme.yaml:9:11: exports.columns: no column and no `currency` says"),
        ("quantity: amount, cost: nano, ", "", "acme.yaml:9:11: exports.columns: neither a cost nor"),
        ("task_id: id, time: at, ", "", "acme.yaml:9:11: exports.columns: neither a task id nor"),
        ("task_id: id", "task_id: ' '", "acme.yaml:12:24: exports.columns: an empty name"),
        ("task_id: id", "taskid: id", "acme.yaml:12:15: taskid: unknown key (did you mean `task_id`?"),
        (
            "exports:\n",
            "exports:\n  - {name: events, source: list, columns: {time: a, quantity: b}}\n",
            "a name too",
        ),
    ] {
        assert!(GOOD.contains(old), "{old}");
        let found = load("acme.yaml", &GOOD.replacen(old, new, 1)).err().unwrap_or_default();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        let expected = if expected == "a name too" { "line 9 has this name too" } else { expected };
        assert!(found.iter().any(|line| line.contains(expected)), "{new}: {found:?}");
    }
}

fn row(export: &Export, cells: &[(&str, &str)]) -> Result<ExportRow, WrongCell> {
    export.read(|name| {
        let cell = cells.iter().find(|(column, _)| *column == name);
        cell.map(|(_, value)| Cow::Borrowed(*value))
    })
}

#[test]
fn cells_are_exact_and_what_is_empty_is_not_zero() {
    let export = load("acme.yaml", GOOD).unwrap().exports().remove(0);
    assert_eq!(export.rows, ["data", "events"]);
    for (nano, cost) in [
        ("1500000", Some("0.0015")),
        ("1", Some("0.000000001")),
        ("-45000000", Some("-0.045")),
        ("1.5e3", Some("0.0000015")),
        ("0", Some("0")),
        ("", None),
        (" ", None),
        ("123456789012345", Some("123456.789012345")),
    ] {
        let read = row(&export, &[("id", " t1 "), ("nano", nano)]).unwrap();
        assert_eq!(read.cost.map(|cost| cost.to_string()).as_deref(), cost, "{nano:?}");
        assert_eq!((read.task_id.as_deref(), read.currency.as_deref()), (Some("t1"), Some("USD")));
        assert_eq!((read.quantity, read.time), (None, None));
    }
    // The digits of a binary fraction.
    let read = row(&export, &[("amount", "0.3000000000000000444089209850062616")]).unwrap();
    assert_eq!(read.quantity.unwrap().round_dp(15).to_string(), "0.300000000000000");
}

#[test]
fn a_cell_that_is_no_number_is_told() {
    let export = load("acme.yaml", GOOD).unwrap().exports().remove(0);
    let long = "x".repeat(600);
    for (name, value, problem) in [
        ("nano", "12 USD", "not a decimal number"),
        ("nano", "1,5", "not a decimal number"),
        ("nano", "NaN", "not a decimal number"),
        ("nano", "inf", "not a decimal number"),
        ("nano", "1e30", "not a decimal number"),
        ("nano", "1e999999999", "not a decimal number"),
        ("nano", "1e-999999999", "not a decimal number"),
        ("amount", "-", "not a decimal number"),
        ("id", long.as_str(), "longer than any name"),
    ] {
        let wrong = row(&export, &[(name, value)]).unwrap_err();
        assert_eq!(wrong.name, name);
        assert!(wrong.problem.starts_with(problem), "{value}: {}", wrong.problem);
    }
}

#[test]
fn a_file_that_lacks_a_needed_column_is_another_export() {
    let export = load("acme.yaml", GOOD).unwrap().exports().remove(0);
    assert_eq!(export.missing(|_| true), []);
    assert_eq!(export.missing(|name| name != "price"), [], "the price is only looked at where it is");
    assert_eq!(export.missing(|name| name != "nano" && name != "at").len(), 2);
    assert_eq!(Export::focus().missing(|name| name == "BilledCost"), [(Column::Time, "ChargePeriodStart")]);
}

/// The exports of the built-in files, by the examples of their sources.
#[test]
fn built_in_exports_read_their_sources_examples() {
    let files = builtin::files().unwrap();
    let exports = |provider: &str| {
        let file = files.iter().find(|file| file.file.provider.value == provider).unwrap();
        file.exports()
    };
    let fal = [
        ("request_id", "def456"),
        ("endpoint_id", "fal-ai/flux/dev"),
        ("timestamp", "2025-01-15T10:25:30Z"),
        ("output_units", "2"),
        ("unit_price", "0.001"),
        ("percent_discount", "10"),
        ("cost_estimate_nano_usd", "1800000"),
    ];
    let openai = [("start_time", "1730419200"), ("amount.value", "0.06"), ("amount.currency", "usd")];
    let runway = [("date", "2026-11-20"), ("model", "gen4_turbo"), ("amount", "-25")];
    let kling = [("task_id", "1"), ("final_unit_deduction", "3.5")];
    for (provider, cells, cost) in [
        ("fal", &fal[..], ("0.0018", "USD")),
        ("openai", &openai, ("0.06", "USD")),
        ("runway", &runway, ("-25", "runway_credit")),
        ("kling", &kling, ("3.5", "kling_unit")),
    ] {
        let [export] = &exports(provider)[..] else { panic!("{provider}") };
        assert_eq!(export.missing(|name| cells.iter().any(|(column, _)| *column == name)), []);
        let read = row(export, cells).unwrap();
        let found = (read.cost.unwrap().to_string(), read.currency.unwrap());
        assert_eq!((found.0.as_str(), found.1.as_str()), cost, "{provider}");
    }
}
