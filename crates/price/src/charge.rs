//! A job into a bill: which policy, how much, at which price.
//!
//! For each attempt: find the tariff of the model that was billed, decide what share of a full charge applies
//! (the policy row of its outcome, or the rule for an ambiguous submit or an unverified outcome), read the
//! quantity of every meter, take that share of it, and price it with the row in force when the attempt
//! started. What the
//! provider itself reported goes before all of it. `docs/pricing.md` has the rules with examples. The next
//! file in the flow is `posting.rs`.

mod amount;
mod reported;

use std::collections::BTreeMap;
use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_stitch::{Accepted, Attempt, Cause, Fact, FactSource, FactValue, Job, Outcome, Role, TaskId};

use crate::bill::{Basis, Bill, Bound, Charge, Consumed, Unpriced, UnpricedReason};
use crate::card::{Cards, Meter, RateCard, Tariff};
use crate::condition::{SERVICE, TENANT};
use crate::exact::{COST_MAX, QUANTITY_MAX};
use crate::fact::billed_model;
use crate::policy::{Case, HALF, PolicyRow};
use crate::prices::{self, Prices};
use crate::quantity::{Quantity, Rounding};
use amount::{NOTHING, Scale, chance, either, terms, unheard};

/// Name of the fact by which a span states the dollars that the provider billed.
pub(crate) const COST_STATED: &str = "cost_usd";

/// What a job cost. Never fails: what has no price is in [`Bill::unpriced`].
pub fn bill(job: &Job, cards: &Cards) -> Bill {
    let mut bill = Bill { charges: Vec::with_capacity(job.attempts.len()), unpriced: Vec::new() };
    let bearers = bearers(job);
    for (index, attempt) in job.attempts.iter().enumerate() {
        let bearer = attempt.task_id.as_ref().and_then(|task| bearers.get(&(&attempt.provider, task)));
        let shares_task = bearer.is_some_and(|&bearer| bearer != index);
        let asks_whose = cards.get(&attempt.provider).is_some_and(RateCard::asks_whose);
        let known = asks_whose.then(|| with_whose(job, attempt));
        let attempt = known.as_ref().unwrap_or(attempt);
        Biller { cards, index, attempt, shares_task, bill: &mut bill }.bill();
    }
    bill
}

/// The attempt with facts of whose it is. Few cards ask for them, so that the others need not carry them.
fn with_whose(job: &Job, attempt: &Attempt) -> Attempt {
    let mut known = attempt.clone();
    known.facts.extend([(TENANT, &job.tenant), (SERVICE, &job.service)].map(|(name, value)| Fact {
        name: name.into(),
        value: FactValue::Text(Arc::clone(value)),
        source: FactSource::Request,
    }));
    known
}

/// Of each task of a job, the attempt that is charged for it: an idempotency key that the provider honours
/// makes a resubmission the same task. The accepted one bears it, of several the one that delivered.
fn bearers(job: &Job) -> BTreeMap<(&Arc<str>, &TaskId), usize> {
    let mut bearers = BTreeMap::new();
    if job.attempts.len() == 1 {
        return bearers;
    }
    let rank = |at: usize| {
        let attempt = &job.attempts[at];
        (attempt.accepted != Accepted::Yes, attempt.cause.is_retry_driven(), at)
    };
    for (at, attempt) in job.attempts.iter().enumerate() {
        let Some(task) = &attempt.task_id else { continue };
        let held = bearers.entry((&attempt.provider, task)).or_insert(at);
        if rank(at) < rank(*held) {
            *held = at;
        }
    }
    bearers
}

/// What share of a full charge an attempt bears.
#[derive(Clone, Copy, Debug)]
enum Decision<'a> {
    /// Nothing was sent.
    Nothing,
    /// Another attempt is charged for the same task.
    SameTask,
    /// Between nothing and everything, with the probability that it bills.
    Chance(Decimal),
    /// Success or failure: the spans do not tell which.
    Either { failed: Option<&'a PolicyRow>, succeeded: Option<&'a PolicyRow> },
    /// As a row says.
    Row(&'a PolicyRow),
    /// No row matches.
    NoRow,
}

/// A meter to charge an attempt for, and on what terms.
#[derive(Clone, Copy)]
struct Item<'a> {
    card: &'a RateCard,
    meter: &'a Meter,
    decision: Decision<'a>,
}

struct Biller<'a> {
    cards: &'a Cards,
    index: usize,
    attempt: &'a Attempt,
    /// Another attempt is charged for its task.
    shares_task: bool,
    bill: &'a mut Bill,
}

impl<'a> Biller<'a> {
    fn bill(&mut self) {
        let attempt = self.attempt;
        let model = billed_model(attempt);
        let card = self.cards.get(&attempt.provider);
        let tariff = card.and_then(|card| card.tariff(model, &attempt.operation));
        if !self.shares_task && self.charge_reported(card, tariff) {
            return;
        }
        let Some(card) = card else {
            return self.no_tariff(UnpricedReason::NoProvider);
        };
        let Some(tariff) = tariff else {
            let unseen = model.is_empty();
            return self.no_tariff(if unseen {
                UnpricedReason::UnknownModel
            } else {
                UnpricedReason::NoPrice
            });
        };
        let decision = self.decide(card, tariff);
        for (position, meter) in tariff.meters.iter().enumerate() {
            self.meter(Item { card, meter, decision }, position == 0);
        }
    }

    fn decide(&self, card: &'a RateCard, tariff: &'a Tariff) -> Decision<'a> {
        let attempt = self.attempt;
        let row = |case| card.policy_for(Some(tariff), case);
        if self.shares_task {
            return Decision::SameTask;
        }
        if attempt.accepted == Accepted::Ambiguous {
            return Decision::Chance(self.cards.ambiguous_probability);
        }
        if attempt.accepted == Accepted::No && was_not_sent(attempt) {
            return Decision::Nothing;
        }
        if attempt.outcome != Outcome::Unknown {
            match row(Case::of(attempt)) {
                Some(row) => return Decision::Row(row),
                None if attempt.outcome != Outcome::Abandoned => return Decision::NoRow,
                None => {}
            }
        }
        Decision::Either {
            failed: row(Case::if_it_had(attempt, Outcome::Failed)),
            succeeded: row(Case::if_it_had(attempt, Outcome::Succeeded)),
        }
    }

    /// No rules for the model: a task is counted, money is not known.
    fn no_tariff(&mut self, reason: UnpricedReason) {
        let words = &self.cards.words;
        if self.shares_task || (self.attempt.accepted == Accepted::No && was_not_sent(self.attempt)) {
            return;
        }
        let max = Decimal::ONE;
        let bound = match (self.attempt.accepted, self.attempt.outcome) {
            (Accepted::Yes, Outcome::Succeeded | Outcome::Partial) => Bound::exactly(max),
            (Accepted::Yes, Outcome::Unknown) => Bound { min: Decimal::ZERO, expected: max, max },
            _ => Bound { min: Decimal::ZERO, expected: HALF, max },
        };
        let rule = Arc::clone(&words.no_tariff);
        let units = Units { unit: &words.task, bound, cause: self.attempt.cause, rule: &rule, policy: &rule };
        self.unpriced(&units, reason);
    }

    fn meter(&mut self, item: Item<'_>, is_first: bool) {
        let meter = item.meter;
        let Some((share, policy)) = self.share(item, None) else {
            return self.note(UnpricedReason::NoQuantity);
        };
        if share.bound.is_zero() && !(is_first && meter.cause.is_none()) {
            return;
        }
        let cause = meter.cause.unwrap_or(self.attempt.cause);
        let Some([heard, unheard]) = unheard(&meter.interrupted, share, self.attempt) else {
            return self.price(item, share, cause, &policy);
        };
        self.price(item, heard, cause, &policy);
        self.price(item, unheard, Cause::Interrupted, &policy);
    }

    /// How much of a meter's unit is billed, and what decided it; none if the quantity is needed and not
    /// seen. With prices in credits, how many credits: a share of the rounded credits, not the rounded
    /// credits of a share.
    fn share(&self, item: Item<'_>, credits: Option<Prices>) -> Option<(Quantity, Arc<str>)> {
        let words = &self.cards.words;
        let scale = Scale { meter: item.meter, credits };
        let read = || scale.round(item.meter.quantity.iter().find_map(|source| source.read(self.attempt))?);
        if item.meter.cause.is_some() {
            return read().map(|quantity| (quantity, Arc::clone(&words.per_call)));
        }
        if matches!(item.decision, Decision::SameTask) {
            return Some((NOTHING, Arc::clone(&words.same_task)));
        }
        let mut reported = item.meter.quantity.iter().filter(|source| source.is_reported());
        if let Some(quantity) = reported.find_map(|source| source.read(self.attempt)) {
            return scale.plain(quantity).map(|quantity| (quantity, Arc::clone(&words.reported)));
        }
        let full = read();
        let by_row = |row: Option<&PolicyRow>| match row {
            Some(row) => terms(&row.terms, full, scale, self.attempt),
            None => full.map(|full| chance(full, HALF)),
        };
        match item.decision {
            Decision::Nothing => Some((NOTHING, Arc::clone(&words.not_sent))),
            Decision::SameTask => Some((NOTHING, Arc::clone(&words.same_task))),
            Decision::Chance(probability) => {
                full.map(|full| (chance(full, probability), Arc::clone(&words.ambiguous)))
            }
            Decision::Row(row) => by_row(Some(row)).map(|share| (share, Arc::clone(&row.name))),
            Decision::NoRow => by_row(None).map(|share| (share, Arc::clone(&words.no_policy))),
            Decision::Either { failed, succeeded } => {
                let (failed, succeeded) = (by_row(failed)?, by_row(succeeded)?);
                Some((either(failed, succeeded), Arc::clone(&words.unverified)))
            }
        }
    }

    fn price(&mut self, item: Item<'_>, share: Quantity, cause: Cause, policy: &Arc<str>) {
        let words = &self.cards.words;
        let Item { card, meter, .. } = item;
        if !share.bound.is_within(QUANTITY_MAX) {
            return self.note(UnpricedReason::OutOfRange);
        }
        let units = Units { unit: &meter.unit, bound: share.bound, cause, rule: &meter.rule, policy };
        let at = self.attempt.started_at;
        let prices = match prices::of_meter(&meter.prices, &meter.multipliers, self.attempt) {
            Ok(prices) => prices,
            Err(UnpricedReason::NoPrice) if billed_model(self.attempt).is_empty() => {
                return self.unpriced(&units, UnpricedReason::UnknownModel);
            }
            Err(reason) => return self.unpriced(&units, reason),
        };
        let basis = |prices: Prices| {
            if prices.is_sure || share.bound.is_zero() { share.basis } else { Basis::Assumed }
        };
        if !card.is_credit(&meter.currency) {
            return match prices::exchanged(card, prices, &meter.currency, at) {
                Ok((money, currency)) => self.priced(&units, money, &currency, basis(money), None),
                Err(reason) => self.unpriced(&units, reason),
            };
        }
        let credit = prices::of_credit(card, &meter.currency, self.attempt);
        let credit = credit.and_then(|(money, currency)| prices::exchanged(card, money, currency, at));
        let (money, currency) = match credit {
            Ok(credit) => credit,
            Err(reason) => return self.unpriced(&units, reason),
        };
        let credits = if meter.credit_rounding == Rounding::default() {
            prices.credits(share.bound)
        } else {
            self.share(item, Some(prices)).map(|(credits, _)| credits.bound)
        };
        let Some(credits) = credits else {
            return self.unpriced(&units, UnpricedReason::OutOfRange);
        };
        let consumed = (*meter.unit != *words.credit)
            .then(|| Consumed { unit: Arc::clone(&meter.unit), quantity: share.bound });
        let units = Units { unit: &words.credit, bound: credits, ..units };
        let is_sure = prices.is_sure && money.is_sure;
        self.priced(&units, money, &currency, basis(Prices { is_sure, ..money }), consumed);
    }

    fn priced(
        &mut self,
        units: &Units<'_>,
        prices: Prices,
        currency: &Arc<str>,
        basis: Basis,
        consumed: Option<Consumed>,
    ) {
        let Some(cost) = prices.cost(units.bound).filter(|cost| cost.is_within(COST_MAX)) else {
            return self.unpriced(units, UnpricedReason::OutOfRange);
        };
        self.bill.charges.push(Charge {
            unit_price: Some(prices.expected),
            cost,
            currency: Arc::clone(currency),
            basis,
            consumed,
            ..units.charge(self.index, &self.cards.words.none)
        });
    }

    /// Units without money. Where the quantity is surely zero, so is the cost, and nothing is missing. A
    /// quantity out of range is no quantity.
    fn unpriced(&mut self, units: &Units<'_>, reason: UnpricedReason) {
        if !units.bound.is_within(QUANTITY_MAX) {
            return self.note(UnpricedReason::OutOfRange);
        }
        let is_zero = units.bound.is_zero();
        let basis = if is_zero { Basis::Documented } else { Basis::Unpriced };
        self.bill.charges.push(Charge { basis, ..units.charge(self.index, &self.cards.words.none) });
        if !is_zero {
            self.note(reason);
        }
    }

    fn note(&mut self, reason: UnpricedReason) {
        let unpriced = Unpriced { attempt: self.index, reason };
        if !self.bill.unpriced.contains(&unpriced) {
            self.bill.unpriced.push(unpriced);
        }
    }
}

/// A quantity on its way to a charge.
#[derive(Clone, Copy)]
struct Units<'a> {
    unit: &'a Arc<str>,
    bound: Bound,
    cause: Cause,
    rule: &'a Arc<str>,
    policy: &'a Arc<str>,
}

impl Units<'_> {
    fn charge(&self, attempt: usize, no_currency: &Arc<str>) -> Charge {
        Charge {
            attempt,
            unit: Arc::clone(self.unit),
            quantity: self.bound,
            unit_price: None,
            cost: Bound::ZERO,
            currency: Arc::clone(no_currency),
            cause: self.cause,
            basis: Basis::Unpriced,
            rule: Arc::clone(self.rule),
            policy: Arc::clone(self.policy),
            consumed: None,
        }
    }
}

/// Nothing left the client, so nothing can be billed: refused, and no submit has an answer.
fn was_not_sent(attempt: &Attempt) -> bool {
    let mut sent = attempt.calls.iter().filter(|call| matches!(call.role, Role::Submit | Role::Sync));
    sent.all(|call| call.status.is_none())
}

#[cfg(test)]
mod tests;
