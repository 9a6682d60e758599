//! Jobs and rate cards for tests.

use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_stitch::{
    Accepted, Attempt, CallRef, Cause, Fact, FactSource, FactValue, Job, JobId, Outcome, Role, SpanKey,
    State, UnixNanos,
};

use crate::{
    Bound, Cards, Citation, Credit, Meter, Pattern, Period, PolicyRow, PriceRow, RateCard, ReportedCost,
    Rounding, Source, Tariff, Terms, When,
};

pub(crate) fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

pub(crate) fn bound(min: &str, expected: &str, max: &str) -> Bound {
    Bound { min: dec(min), expected: dec(expected), max: dec(max) }
}

pub(crate) const ALWAYS: Period = Period { from: UnixNanos(0), until: UnixNanos(u64::MAX) };

/// An accepted attempt of `clips/fast`, delivered.
pub(crate) fn attempt(facts: &[(&str, &str, FactSource)]) -> Attempt {
    Attempt {
        task_id: None,
        provider: "clips".into(),
        model: "fast".into(),
        operation: "text_to_video".into(),
        rule: "submit".into(),
        leg: None,
        accepted: Accepted::Yes,
        outcome: Outcome::Succeeded,
        failure_reason: None,
        canceled_before_start: false,
        cause: Cause::Delivered,
        started_at: UnixNanos(100),
        ended_at: UnixNanos(200),
        calls: vec![call(Role::Submit, Some(200))],
        joins: Vec::new(),
        facts: facts.iter().map(|(name, value, source)| fact(name, value, *source)).collect(),
    }
}

pub(crate) fn fact(name: &str, value: &str, source: FactSource) -> Fact {
    let value = value.parse().map_or_else(|_| FactValue::Text(value.into()), FactValue::Number);
    Fact { name: name.into(), value, source }
}

pub(crate) fn call(role: Role, status: Option<u16>) -> CallRef {
    let (start, end) = (UnixNanos(1_000_000_000), UnixNanos(3_500_000_000));
    CallRef { span: SpanKey::default(), role, start, end, status, failure: None }
}

pub(crate) fn job(attempts: Vec<Attempt>) -> Job {
    Job {
        id: JobId::default(),
        state: State::Settled,
        tenant: "".into(),
        service: "studio".into(),
        labels: Vec::new(),
        provider: "clips".into(),
        model: "fast".into(),
        operation: "text_to_video".into(),
        outcome: Outcome::Succeeded,
        failure_reason: None,
        spans: Vec::new(),
        started_at: UnixNanos(100),
        ended_at: UnixNanos(200),
        attempts,
        parent_task: None,
    }
}

pub(crate) fn source(name: &str, at_least: FactSource) -> Source {
    Source::Fact { name: name.into(), at_least, scale: Decimal::ONE }
}

pub(crate) fn price(text: &str) -> PriceRow {
    PriceRow {
        when: Vec::new(),
        is_default: false,
        unit_price: dec(text),
        period: ALWAYS,
        citation: Citation::default(),
    }
}

pub(crate) fn credit(name: &str, price: &str, period: Period) -> Credit {
    Credit {
        name: name.into(),
        pack: "".into(),
        when: Vec::new(),
        is_default: false,
        unit_price: dec(price),
        currency: "USD".into(),
        period,
        citation: Citation::default(),
    }
}

/// A meter of seconds: what the provider bills, else what it made, else what was asked for, else 4, 5 or 10.
pub(crate) fn seconds() -> Meter {
    Meter {
        rule: "clips/seconds".into(),
        unit: "second".into(),
        quantity: vec![
            source("billable_units", FactSource::Reported),
            source("seconds", FactSource::Response),
            source("seconds", FactSource::Request),
            Source::Assume(bound("4", "5", "10")),
        ],
        rounding: Rounding::default(),
        credit_rounding: Rounding::default(),
        interrupted: Vec::new(),
        cause: None,
        currency: "USD".into(),
        prices: vec![price("0.1")],
        multipliers: Vec::new(),
    }
}

pub(crate) fn row(name: &str, outcome: Outcome, terms: Terms) -> PolicyRow {
    let when = When { outcomes: vec![outcome], ..When::default() };
    PolicyRow { name: name.into(), when, terms, citation: Citation::default() }
}

pub(crate) const UNKNOWN: Terms = Terms::Unknown { probability: crate::HALF };

/// Success full, failure free, moderation full, cancel unknown.
pub(crate) fn policy() -> Vec<PolicyRow> {
    vec![
        row("clips/success", Outcome::Succeeded, Terms::Full),
        row("clips/partial", Outcome::Partial, Terms::Full),
        row("clips/failed", Outcome::Failed, Terms::None),
        row("clips/moderated", Outcome::Rejected, Terms::Full),
        row("clips/canceled", Outcome::Canceled, UNKNOWN),
    ]
}

pub(crate) fn tariff(meters: Vec<Meter>) -> Tariff {
    Tariff { models: vec![Pattern::new("fast")], meters, ..Tariff::default() }
}

pub(crate) fn cards_of(tariff: Tariff, policy: Vec<PolicyRow>, credits: Vec<Credit>) -> Cards {
    let mut cards = Cards::default();
    cards.insert(RateCard::new("clips".into(), vec![tariff], policy, credits));
    cards
}

pub(crate) fn cards(meters: Vec<Meter>) -> Cards {
    cards_of(tariff(meters), policy(), Vec::new())
}

pub(crate) fn reported_cost(fact: &str, scale: &str, currency: &str) -> ReportedCost {
    ReportedCost {
        rule: Arc::from("clips/reported"),
        amount: Source::Fact { name: fact.into(), at_least: FactSource::Reported, scale: dec(scale) },
        interrupted: Vec::new(),
        currency: currency.into(),
        citation: Citation::default(),
    }
}
