//! What a test expects and what was found, as text in which the two can be compared line by line.
//!
//! Of what was found only those keys are shown that the expectation names at the same place; what has no
//! counterpart is shown whole.

use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_price::{Bound, Charge};
use spantally_stitch::{Attempt, FailureReason, Role};

use super::file::{Amount, ExpectedAttempt, ExpectedCharge, ExpectedJob, Test};
use super::spans::Exporter;
use crate::core::Settled;

/// Keys with their values; of an expectation those that it names.
type Pairs = Vec<(&'static str, Option<String>)>;

/// What is expected and what was found.
pub(super) fn both(test: &Test, jobs: &[Settled], exporter: &Exporter<'_>) -> (String, String) {
    let (mut expected, mut found) = (String::new(), String::new());
    for at in 0..test.jobs.len().max(jobs.len()) {
        let (left, right) = (test.jobs.get(at), jobs.get(at));
        let mut block = Block { expected: &mut expected, found: &mut found };
        block.line("job:", left.map(|job| job_expected(job, exporter)), right.map(job_found));
        let attempts = left.map(|job| job.attempts.as_deref());
        if !matches!(attempts, Some(None)) {
            let wanted = attempts.flatten().unwrap_or_default();
            block.list(
                "  attempt:",
                wanted.iter().map(|one| attempt_expected(one, exporter)),
                right.iter().flat_map(|settled| &settled.job.attempts).map(attempt_found),
            );
        }
        let charges = left.map(|job| job.charges.as_deref());
        if !matches!(charges, Some(None)) {
            let wanted = charges.flatten().unwrap_or_default();
            block.list(
                "  charge:",
                wanted.iter().map(charge_expected),
                right.iter().flat_map(|settled| &settled.bill.charges).map(charge_found),
            );
        }
    }
    (expected, found)
}

/// The text of one job on both sides.
struct Block<'t> {
    expected: &'t mut String,
    found: &'t mut String,
}

impl Block<'_> {
    fn line(&mut self, what: &str, expected: Option<Pairs>, found: Option<Pairs>) {
        let wanted: Option<Vec<&str>> = expected
            .as_ref()
            .map(|pairs| pairs.iter().filter(|(_, value)| value.is_some()).map(|(key, _)| *key).collect());
        if let Some(pairs) = expected {
            write(self.expected, what, pairs);
        }
        if let Some(mut pairs) = found {
            if let Some(wanted) = wanted {
                pairs.retain(|(key, _)| wanted.contains(key));
            }
            write(self.found, what, pairs);
        }
    }

    /// Every element of both lists.
    fn list(
        &mut self,
        what: &str,
        mut expected: impl Iterator<Item = Pairs>,
        mut found: impl Iterator<Item = Pairs>,
    ) {
        loop {
            match (expected.next(), found.next()) {
                (None, None) => return,
                (left, right) => self.line(what, left, right),
            }
        }
    }
}

fn write(out: &mut String, what: &str, pairs: Pairs) {
    out.push_str(what);
    for (key, value) in pairs {
        if let Some(value) = value {
            out.push(' ');
            out.push_str(key);
            out.push('=');
            out.push_str(if value.is_empty() { "-" } else { &value });
        }
    }
    out.push('\n');
}

fn job_expected(job: &ExpectedJob, exporter: &Exporter<'_>) -> Pairs {
    let cost = job.cost.as_ref().map(|sums| {
        let sums = sums.iter().map(|(currency, amount)| format!("{currency} {}", amount_text(amount)));
        sums.collect::<Vec<_>>().join(", ")
    });
    vec![
        ("outcome", job.outcome.clone()),
        ("reason", job.reason.clone()),
        ("model", job.model.clone()),
        ("operation", job.operation.clone()),
        ("parent", job.parent.as_ref().map(|task| exporter.expand(task))),
        ("cost", cost),
        ("unpriced", job.unpriced.as_ref().map(|reasons| reasons.join(", "))),
    ]
}

fn job_found(settled: &Settled) -> Pairs {
    let Settled { job, bill, .. } = settled;
    let costs = bill.cost();
    let sums = costs.iter().filter(|(_, bound)| !bound.is_zero());
    let cost = sums.map(|(currency, bound)| format!("{currency} {}", bound_text(*bound)));
    let unpriced = bill.unpriced.iter().map(|unpriced| unpriced.reason.as_str());
    vec![
        ("outcome", Some(job.outcome.as_str().to_owned())),
        ("reason", Some(reason(job.failure_reason))),
        ("model", Some(job.model.to_string())),
        ("operation", Some(job.operation.to_string())),
        ("parent", Some(job.parent_task.as_ref().map(ToString::to_string).unwrap_or_default())),
        ("cost", Some(cost.collect::<Vec<_>>().join(", "))),
        ("unpriced", Some(unpriced.collect::<Vec<_>>().join(", "))),
    ]
}

fn attempt_expected(attempt: &ExpectedAttempt, exporter: &Exporter<'_>) -> Pairs {
    vec![
        ("accepted", attempt.accepted.clone()),
        ("cause", attempt.cause.clone()),
        ("outcome", attempt.outcome.clone()),
        ("reason", attempt.reason.clone()),
        ("task", attempt.task.as_ref().map(|task| exporter.expand(task))),
        ("provider", attempt.provider.clone()),
        ("model", attempt.model.clone()),
        ("leg", attempt.leg.clone()),
        ("polls", attempt.polls.clone()),
    ]
}

fn attempt_found(attempt: &Attempt) -> Pairs {
    let task = attempt.task_id.as_ref().map(ToString::to_string).unwrap_or_default();
    vec![
        ("accepted", Some(attempt.accepted.as_str().to_owned())),
        ("cause", Some(attempt.cause.as_str().to_owned())),
        ("outcome", Some(attempt.outcome.as_str().to_owned())),
        ("reason", Some(reason(attempt.failure_reason))),
        ("task", Some(task)),
        ("provider", Some(attempt.provider.to_string())),
        ("model", Some(attempt.model.to_string())),
        ("leg", Some(attempt.leg.as_deref().unwrap_or_default().to_owned())),
        ("polls", Some(attempt.count(Role::Poll).to_string())),
    ]
}

fn charge_expected(charge: &ExpectedCharge) -> Pairs {
    let amount = |amount: &Option<Amount>| amount.as_ref().map(amount_text);
    vec![
        ("attempt", charge.attempt.clone()),
        ("meter", charge.meter.clone()),
        ("quantity", amount(&charge.quantity)),
        ("unit", charge.unit.clone()),
        ("price", amount(&charge.price)),
        ("cost", amount(&charge.cost)),
        ("currency", charge.currency.clone()),
        ("cause", charge.cause.clone()),
        ("basis", charge.basis.clone()),
        ("policy", charge.policy.clone()),
        ("used", amount(&charge.used)),
    ]
}

fn charge_found(charge: &Charge) -> Pairs {
    let money = charge.unit_price.is_some();
    vec![
        ("attempt", Some((charge.attempt + 1).to_string())),
        ("meter", Some(after_slash(&charge.rule))),
        ("quantity", Some(bound_text(charge.quantity))),
        ("unit", Some(charge.unit.to_string())),
        ("price", Some(charge.unit_price.map(text).unwrap_or_default())),
        ("cost", Some(if money { bound_text(charge.cost) } else { String::new() })),
        ("currency", Some(charge.currency.to_string())),
        ("cause", Some(charge.cause.as_str().to_owned())),
        ("basis", Some(charge.basis.as_str().to_owned())),
        ("policy", Some(after_slash(&charge.policy))),
        ("used", Some(charge.consumed.as_ref().map(|used| bound_text(used.quantity)).unwrap_or_default())),
    ]
}

fn after_slash(name: &Arc<str>) -> String {
    name.split_once('/').map_or(&**name, |(_, name)| name).to_owned()
}

fn reason(reason: Option<FailureReason>) -> String {
    reason.map(FailureReason::as_str).unwrap_or_default().to_owned()
}

fn text(value: Decimal) -> String {
    value.normalize().to_string()
}

fn bound_text(bound: Bound) -> String {
    if bound.min == bound.max && bound.min == bound.expected {
        return text(bound.expected);
    }
    format!("[{}, {}, {}]", text(bound.min), text(bound.expected), text(bound.max))
}

/// As `bound_text` writes it; what is no number stays as it is and then differs.
fn amount_text(amount: &Amount) -> String {
    let normal = |written: &String| written.parse().map_or_else(|_| written.clone(), text);
    let sides: Vec<String> = amount.0.iter().map(normal).collect();
    match &sides[..] {
        [one, rest @ ..] if rest.iter().all(|side| side == one) => one.clone(),
        _ => format!("[{}]", sides.join(", ")),
    }
}
