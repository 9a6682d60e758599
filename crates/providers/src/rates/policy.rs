//! What is wrong with the policy rows of a `rates:` section: gaps, rows that nothing reaches, terms without a
//! figure.

use rust_decimal::Decimal;
use spantally_price::When;
use spantally_stitch::Outcome;

use super::check::Checker;
use super::compile::{status_range, when};
use super::section::{CancelWord, PolicyRule, WhenRule};
use super::words::ChargeWord;

/// Ends of which every file must say what they cost, if only that it is not known.
const REQUIRED: [Outcome; 5] =
    [Outcome::Succeeded, Outcome::Partial, Outcome::Failed, Outcome::Rejected, Outcome::Canceled];

pub(super) fn check(checker: &mut Checker<'_>) {
    let rates = checker.rates;
    let lists = rates.tariffs.iter().map(|tariff| &tariff.policy).chain([&rates.policy]);
    for rows in lists {
        for (index, row) in rows.iter().enumerate() {
            check_row(checker, row);
            check_reached(checker, row, &rows[..index]);
        }
    }
    check_complete(checker);
}

/// For every end there is a row without further conditions. A section without tariffs charges nothing: no
/// findings.
fn check_complete(checker: &mut Checker<'_>) {
    let rows: Vec<When> = checker.rates.policy.iter().map(|row| when(&row.when)).collect();
    for outcome in REQUIRED {
        let full = When { outcomes: vec![outcome], ..When::default() };
        if rows.iter().any(|row| covers(row, &full)) {
            continue;
        }
        let Some(first) = checker.rates.tariffs.first() else { return };
        let at = first.models.referenced;
        let problem = format!("no row without further conditions says what a job that ended {outcome} costs");
        let finding = checker.find(at, "rates.policy", problem);
        finding.value = outcome.as_str().into();
        finding.help =
            "if it is not documented, say `charge: unknown` and in the note where you looked".into();
    }
}

fn check_reached(checker: &mut Checker<'_>, row: &PolicyRule, earlier: &[PolicyRule]) {
    let own = when(&row.when);
    if let Some(other) = earlier.iter().find(|other| covers(&when(&other.when), &own)) {
        let line = other.name.referenced.line();
        let problem = format!("never used: the row at line {line} takes everything that this one does");
        checker.find(row.name.referenced, "rates.policy", problem).help =
            "the first row that matches decides: put the narrower one first".into();
    }
}

fn check_row<'a>(checker: &mut Checker<'a>, row: &'a PolicyRule) {
    checker.name(&row.name, "rates.policy.name");
    checker.facts(&row.when.facts, "rates.policy.when.facts");
    check_when(checker, row, &row.when);
    match &row.source {
        Some(source) => checker.source(source, "rates.policy.source"),
        None if row.charge.value.0 == ChargeWord::Unknown => {
            if row.note.is_empty() {
                let problem = "an unknown charge needs a note: where was it looked for?";
                checker.find(row.name.referenced, "rates.policy.note", problem);
            }
        }
        None => {
            let problem = "what is charged must have a source, or be `unknown`";
            checker.find(row.name.referenced, "rates.policy.source", problem);
        }
    }
    check_quantity(checker, row);
    if let Some(probability) = &row.probability {
        let is_share = (Decimal::ZERO..=Decimal::ONE).contains(&probability.value.0);
        if !is_share || row.charge.value.0 != ChargeWord::Unknown {
            let problem = "a share between 0 and 1, with `charge: unknown` only";
            checker.find(probability.referenced, "rates.policy.probability", problem).value =
                probability.value.0.to_string();
        }
    }
}

fn check_quantity<'a>(checker: &mut Checker<'a>, row: &'a PolicyRule) {
    const FIELD: &str = "rates.policy.quantity";
    let charge = row.charge.value.0;
    let takes_quantity = matches!(charge, ChargeWord::Prorated | ChargeWord::Fixed);
    match &row.quantity[..] {
        [] if takes_quantity => {
            checker.find(row.charge.referenced, FIELD, "how much? This charge needs a quantity");
        }
        [] => {}
        [first, ..] if !takes_quantity => {
            let problem = "a quantity belongs to `charge: prorated` or `charge: fixed`";
            checker.find(first.referenced, FIELD, problem);
        }
        [first, others @ ..] => {
            checker.quantities(&row.quantity, FIELD);
            if charge == ChargeWord::Fixed && (first.value.constant.is_none() || !others.is_empty()) {
                checker.find(first.referenced, FIELD, "a fixed charge is one `constant`");
            }
        }
    }
}

fn check_when(checker: &mut Checker<'_>, row: &PolicyRule, when: &WhenRule) {
    let names_canceled = when.outcome.iter().any(|word| word.0 == Outcome::Canceled);
    if matches!(when.canceled, Some(CancelWord::BeforeStart | CancelWord::AfterStart)) && !names_canceled {
        let problem = "`canceled` needs `outcome: [canceled]`";
        checker.find(row.name.referenced, "rates.policy.when.canceled", problem);
    }
    for status in &when.status {
        if status_range(status.value).is_none() {
            let problem = "a policy is about an answer: a status such as 422 or 5xx";
            checker.find(status.referenced, "rates.policy.when.status", problem);
        }
    }
}

/// Whether every case of `narrow` is a case of `wide`.
fn covers(wide: &When, narrow: &When) -> bool {
    fn all<T: PartialEq>(wide: &[T], narrow: &[T]) -> bool {
        wide.is_empty() || !narrow.is_empty() && narrow.iter().all(|one| wide.contains(one))
    }
    let statuses = wide.statuses.is_empty()
        || !narrow.statuses.is_empty()
            && narrow.statuses.iter().all(|narrow| {
                wide.statuses.iter().any(|wide| wide.from <= narrow.from && narrow.to <= wide.to)
            });
    all(&wide.outcomes, &narrow.outcomes)
        && all(&wide.reasons, &narrow.reasons)
        && (wide.stage.is_none() || wide.stage == narrow.stage)
        && (wide.canceled_before_start.is_none()
            || wide.canceled_before_start == narrow.canceled_before_start)
        && statuses
        && wide.facts.iter().all(|condition| narrow.facts.contains(condition))
}
