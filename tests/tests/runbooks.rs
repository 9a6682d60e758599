//! What queries of runbooks say of money: amounts of one currency each, less what was taken back.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use spantally_server::export::inventory::{INVENTORY, Metric};
use spantally_tests::fixtures::repository;
use spantally_tests::promql::{Use, uses};

/// Every query of every runbook, with its file: lines that are set apart, and formulas within the text.
fn queries() -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for entry in std::fs::read_dir(repository().join("grafana/runbooks")).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            if line.starts_with("    ") {
                queries.push((file.clone(), line.trim().to_owned()));
                continue;
            }
            let quoted = line.split('`').skip(1).step_by(2);
            let formulas = quoted.filter(|text| text.contains("spantally_") && text.contains('('));
            queries.extend(formulas.map(|text| (file.clone(), text.to_owned())));
        }
    }
    queries
}

/// The metric of a use, if it is an amount of money.
fn money(used: &Use) -> Option<&'static Metric> {
    let is_it = |metric: &&Metric| {
        used.metric == metric.name || used.metric.strip_suffix("_total") == Some(metric.name)
    };
    let metric = INVENTORY.iter().find(is_it)?;
    metric.labels.iter().any(|label| label.name == "currency").then_some(metric)
}

/// What is wrong with a query about money, if anything.
fn problem(found: &[Use]) -> Option<String> {
    for used in found {
        // What was recorded by currency can be added up to nonsense as well.
        if used.metric.split(':').next().is_some_and(|level| level.contains("currency"))
            || money(used).is_some()
        {
            let apart = !used.aggregated || used.kept.contains("currency");
            if !apart {
                return Some(format!("{} is not by currency", used.metric));
            }
        }
        let Some(twin) = money(used).and_then(|metric| metric.twin) else { continue };
        let reversed = INVENTORY.iter().find(|metric| metric.id == twin).unwrap();
        let taken_back = found.iter().any(|other| other.metric == format!("{}_total", reversed.name));
        if !taken_back {
            return Some(format!("{} without {}_total", used.metric, reversed.name));
        }
    }
    None
}

#[test]
fn amounts_are_of_one_currency_and_less_what_was_taken_back() {
    let mut problems = Vec::new();
    let mut amounts = 0;
    for (file, query) in queries() {
        let found = uses(&query).unwrap_or_else(|error| panic!("{file}: {error}: {query}"));
        amounts += usize::from(found.iter().any(|used| money(used).is_some()));
        problems.extend(problem(&found).map(|problem| format!("{file}: {problem}: {query}")));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(amounts >= 15, "only {amounts} queries about money were found");
}

#[test]
fn a_query_that_adds_up_currencies_or_forgets_what_was_taken_back_is_found() {
    let of = |query: &str| problem(&uses(query).unwrap());
    let net = |by: &str| {
        format!(
            "sum by ({by}) (increase(spantally_cost_total[1h]) - increase(spantally_cost_reversed_total[1h]))"
        )
    };
    assert_eq!(of(&net("model, currency")), None);
    assert_eq!(of("spantally_prepaid_balance"), None);
    let wrong = [
        net("model"),
        format!("topk(5, {})", net("model, currency")),
        "sum by (currency) (increase(spantally_cost_total[1h]))".to_owned(),
        "sum(spantally_exposure)".to_owned(),
        "sum by (provider) (job_provider_currency:spantally_cost:increase1h)".to_owned(),
    ];
    for query in wrong {
        assert!(of(&query).is_some(), "{query}");
    }
}
