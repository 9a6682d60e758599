//! Rules of a provider file that nothing reaches, and calls that can be of no use.
//!
//! Each is well formed by itself; what is wrong with it is what stands before it or beside it.

use std::collections::BTreeSet;

use spantally_price::Pattern;
use spantally_stitch::Role;

use crate::error::{LoadError, Source};
use crate::format::{CallRule, ProviderFile};
use crate::route::Template;

/// Rules that nothing reaches: mistakes.
pub(crate) fn check(source: &Source, file: &ProviderFile) -> Vec<LoadError> {
    let mut findings = Vec::new();
    check_words(source, file, &mut findings);
    check_operations(source, file, &mut findings);
    check_nothing(source, file, &mut findings);
    findings
}

/// What is good enough to run with and still worth a look.
pub(crate) fn advice(source: &Source, file: &ProviderFile) -> Vec<LoadError> {
    let mut findings = Vec::new();
    for call in &file.calls {
        check_task(source, file, call, &mut findings);
    }
    check_cited(source, file, &mut findings);
    findings
}

/// The first rule that has a word is the one: a word that an earlier rule takes is never asked for.
fn check_words(source: &Source, file: &ProviderFile, findings: &mut Vec<LoadError>) {
    let mut seen: Vec<(&str, u64)> = Vec::new();
    for rule in &file.words {
        let line = rule.state.referenced.line();
        for word in &rule.is {
            if let Some((_, earlier)) = seen.iter().find(|(pattern, _)| takes(pattern, word)) {
                let problem = format!("never reached: the rule at line {earlier} takes this word");
                findings.push(
                    source
                        .finding(rule.state.referenced, "words.is", problem)
                        .value(word)
                        .help("the first rule that has a word is the one: put the narrower one first"),
                );
            }
            seen.push((word, line));
        }
    }
}

/// Whether every word that `narrow` means is meant by `wide`: any case, a trailing `*` for any ending.
fn takes(wide: &str, narrow: &str) -> bool {
    let text = narrow.strip_suffix('*').unwrap_or(narrow);
    match wide.strip_suffix('*') {
        Some(start) => text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start)),
        None => wide.eq_ignore_ascii_case(narrow),
    }
}

fn check_operations(source: &Source, file: &ProviderFile, findings: &mut Vec<LoadError>) {
    for (index, rule) in file.operations.iter().enumerate() {
        let own = Pattern::new(&rule.model.value);
        let earlier =
            file.operations[..index].iter().find(|other| Pattern::new(&other.model.value).covers(&own));
        if let Some(earlier) = earlier {
            let line = earlier.model.referenced.line();
            let problem = format!("never reached: the pattern at line {line} takes every model of this one");
            findings.push(
                source
                    .finding(rule.model.referenced, "operations.model", problem)
                    .value(&rule.model.value)
                    .help("the first pattern that takes a model is the one: put the narrower one first"),
            );
        }
    }
}

/// The first meter of a tariff is what the job is for. Where its quantity is nothing because no span shows
/// one, every such job is a documented zero.
fn check_nothing(source: &Source, file: &ProviderFile, findings: &mut Vec<LoadError>) {
    let first_meters = file.rates.tariffs.iter().filter_map(|tariff| tariff.meters.first());
    for last in first_meters.filter_map(|meter| meter.quantity.value.last()) {
        if let Some(zero) = last.value.constant.as_ref().filter(|constant| constant.value.0.is_zero()) {
            let problem = "what no span shows is not nothing: every such job would be free, as documented";
            findings.push(
                source.finding(zero.referenced, "rates.tariffs.meters.quantity", problem).value("0").help(
                    "name the least, the usual and the most in `assume`, or leave it out: then the job is \
                     unpriced and counted",
                ),
            );
        }
    }
}

/// A poll, a result fetch or a cancel is about a task: without a place for its id it can be tied to nothing
/// by name.
fn check_task(source: &Source, file: &ProviderFile, call: &CallRule, findings: &mut Vec<LoadError>) {
    let is_about_a_task = matches!(call.role.value.0, Role::Poll | Role::Result | Role::Cancel);
    let elsewhere = !call.task_from.is_empty() || !call.alias_from.is_empty() || !file.task_from.is_empty();
    if !is_about_a_task || elsewhere {
        return;
    }
    for path in &call.paths {
        let Ok(template) = Template::parse(&path.value) else { continue };
        if !template.captures().any(|name| matches!(name, "task" | "task_alias")) {
            let problem =
                format!("a {} call that says nowhere which task it is about", call.role.value.0.as_str());
            findings.push(
                source
                    .finding(path.referenced, "calls.paths", problem)
                    .value(&path.value)
                    .help("capture `{task}` in the path, or name the place of the id in `task_from`"),
            );
        }
    }
}

/// A source that nothing cites is left over, or the figure that it was for names the wrong one.
fn check_cited(source: &Source, file: &ProviderFile, findings: &mut Vec<LoadError>) {
    let rates = &file.rates;
    let tariffs = &rates.tariffs;
    let meters = || tariffs.iter().flat_map(|tariff| &tariff.meters);
    let policies = tariffs.iter().flat_map(|tariff| &tariff.policy).chain(&rates.policy);
    let reported = tariffs.iter().flat_map(|tariff| &tariff.reported).chain(&rates.reported);
    let assumed =
        meters().flat_map(|meter| &meter.quantity.value).filter_map(|rule| rule.value.assume.as_ref());
    let factors = meters().flat_map(|meter| &meter.multipliers).flat_map(|table| &table.factors.value);
    let keys = meters()
        .flat_map(|meter| &meter.prices)
        .map(|row| &row.value.source)
        .chain(policies.filter_map(|row| row.source.as_ref()))
        .chain(reported.map(|row| &row.source))
        .chain(assumed.map(|assume| &assume.source))
        .chain(factors.map(|row| &row.value.source))
        .chain(rates.credits.iter().map(|row| &row.source))
        .chain(rates.discounts.iter().map(|row| &row.source))
        .chain(rates.exchange.iter().map(|row| &row.source))
        .chain(file.exports.iter().map(|export| &export.source));
    let cited: BTreeSet<&str> = keys.map(|key| key.value.as_str()).collect();
    for (key, rule) in rates.sources.iter().filter(|(key, _)| !cited.contains(key.as_str())) {
        findings.push(
            source
                .finding(rule.url.referenced, "rates.sources", "nothing in this file cites this source")
                .value(key)
                .help("remove it, or name it where the figure that it is for stands"),
        );
    }
}
