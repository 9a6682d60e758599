//! Attempts, and what the built-in files make of them.

use rust_decimal::Decimal;
use spantally_price::{Bill, Bound, Cards, bill};
use spantally_providers::{builtin, load};
use spantally_stitch::{
    Accepted, Attempt, CallRef, Cause, Fact, FactSource, FactValue, FailureReason, Job, Outcome, Role,
    SpanKey, UnixNanos,
};

/// 2026-11-20, in nanoseconds since the epoch.
pub(crate) const DAY: u64 = 1_795_132_800_000_000_000;

/// A model of fal with one price a second, 0.07, whatever the clip.
pub(crate) const KLING_ON_FAL: &str = "fal-ai/kling-video/v2.5-turbo/pro/text-to-video";

pub(crate) fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// A delivered attempt with facts that its answer tells.
pub(crate) fn attempt(provider: &str, model: &str, operation: &str, facts: &[(&str, &str)]) -> Attempt {
    Attempt {
        task_id: None,
        provider: provider.into(),
        model: model.into(),
        operation: operation.into(),
        rule: "".into(),
        leg: None,
        accepted: Accepted::Yes,
        outcome: Outcome::Succeeded,
        failure_reason: None,
        canceled_before_start: false,
        cause: Cause::Delivered,
        started_at: UnixNanos(DAY),
        ended_at: UnixNanos(DAY),
        calls: vec![call(Role::Submit, 200)],
        joins: Vec::new(),
        facts: facts.iter().map(|(name, value)| fact(name, value, FactSource::Response)).collect(),
    }
}

pub(crate) fn fact(name: &str, value: &str, source: FactSource) -> Fact {
    let value = value.parse().map_or_else(|_| FactValue::Text(value.into()), FactValue::Number);
    Fact { name: name.into(), value, source }
}

pub(crate) fn call(role: Role, status: u16) -> CallRef {
    let (start, end) = (UnixNanos(DAY), UnixNanos(DAY + 2_500_000_000));
    CallRef { span: SpanKey::default(), role, start, end, status: Some(status), failure: None }
}

pub(crate) fn ended(mut attempt: Attempt, outcome: Outcome, reason: FailureReason) -> Attempt {
    attempt.outcome = outcome;
    attempt.failure_reason = Some(reason);
    attempt.cause = Cause::Failed;
    attempt
}

pub(crate) fn built_in() -> Cards {
    let mut cards = Cards::default();
    for file in builtin::files().unwrap() {
        cards.insert(file.card);
    }
    cards
}

/// The cards of one file: a provider's head, and the `rates:` section of a user.
pub(crate) fn own(provider: &str, rates: &str) -> Cards {
    let text = format!(
        "provider: {provider}\ntitle: Own\nhosts: [own.test]\ncalls: [{{name: make, role: submit, method: POST, \
         paths: [/v1/make]}}]\nrates:\n{rates}"
    );
    let file = load("own.yaml", &text).unwrap_or_else(|found| panic!("{}", found[0].render()));
    let mut cards = Cards::default();
    cards.insert(file.card);
    cards
}

/// A policy that charges what is made and nothing else, for `rates:` sections of tests.
pub(crate) const MADE: &str = "
  policy:
    - {name: made, when: {outcome: [succeeded, partial]}, charge: full, source: list}
    - {name: other, charge: unknown, note: looked in list}
";

pub(crate) fn job(attempts: Vec<Attempt>) -> Job {
    Job { provider: attempts[0].provider.clone(), attempts, ..Job::default() }
}

pub(crate) fn billed(attempt: Attempt, cards: &Cards) -> Bill {
    bill(&job(vec![attempt]), cards)
}

/// What an attempt costs by the built-in files: `0.24 USD`, or `[0, 0.12, 0.24] USD` of a bound.
pub(crate) fn cost(attempt: Attempt) -> String {
    cost_by(attempt, &built_in())
}

pub(crate) fn cost_by(attempt: Attempt, cards: &Cards) -> String {
    let bill = billed(attempt, cards);
    if !bill.unpriced.is_empty() {
        return format!("unpriced {}", bill.unpriced[0].reason.as_str());
    }
    let sums = bill.cost();
    let sums: Vec<_> = sums.iter().map(|(currency, bound)| format!("{} {currency}", text(*bound))).collect();
    sums.join(", ")
}

pub(crate) fn text(bound: Bound) -> String {
    let [min, expected, max] =
        [bound.min, bound.expected, bound.max].map(|side| side.normalize().to_string());
    if min == max { expected } else { format!("[{min}, {expected}, {max}]") }
}

/// The charges of an attempt by the built-in files: `meter quantity unit`.
pub(crate) fn units(attempt: Attempt) -> Vec<String> {
    let bill = billed(attempt, &built_in());
    let name = |rule: &str| rule.split('/').next_back().unwrap_or_default().to_owned();
    bill.charges
        .iter()
        .map(|charge| {
            let used = charge.consumed.as_ref();
            let (quantity, unit) =
                used.map_or((charge.quantity, &charge.unit), |used| (used.quantity, &used.unit));
            format!("{} {} {unit}", name(&charge.rule), text(quantity))
        })
        .collect()
}
