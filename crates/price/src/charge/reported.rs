//! What the provider itself says it billed: money or credits in the spans, whatever the meters say.
//!
//! A card names the facts in which its provider states a cost. Dollars that a span states ([`COST_STATED`])
//! need no card: they were billed for the attempt, whatever its model, its price and its end. The card's own
//! facts come first, for it knows their unit and cites them; but money is what credits would be turned into
//! by a price, so a statement in dollars goes before credits.

use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_stitch::Cause;

use super::amount::unheard;
use super::{Biller, COST_STATED, Units};
use crate::bill::{Basis, Bound};
use crate::card::{RateCard, ReportedCost, Tariff};
use crate::prices::{self, Prices};
use crate::quantity::{self, Quantity};

impl Biller<'_> {
    /// Charges what the spans say was billed, if they do: one charge, or two where a part was never heard.
    pub(super) fn charge_reported(&mut self, card: Option<&RateCard>, tariff: Option<&Tariff>) -> bool {
        if let Some(card) = card {
            let own = tariff.map(|tariff| &*tariff.reported).unwrap_or_default();
            for reported in own.iter().chain(card.reported()) {
                if card.is_credit(&reported.currency) && self.charge_stated(Some(card)) {
                    return true;
                }
                if let Some(amount) = reported.amount.read_money(self.attempt) {
                    self.reported_cost(card, reported, amount);
                    return true;
                }
            }
        }
        self.charge_stated(card)
    }

    /// Dollars that a span states.
    fn charge_stated(&mut self, card: Option<&RateCard>) -> bool {
        let Some(amount) = quantity::reported_money(self.attempt, COST_STATED) else { return false };
        let words = &self.cards.words;
        self.stated_money(card, &words.cost_stated, amount, &words.dollar);
        true
    }

    /// Charges money as it was stated, as one task.
    fn stated_money(
        &mut self,
        card: Option<&RateCard>,
        rule: &Arc<str>,
        amount: Quantity,
        currency: &Arc<str>,
    ) {
        let units = self.task(rule);
        let (stated, at) = (amount.bound.expected, self.attempt.started_at);
        let exchanged = match card {
            Some(card) => prices::exchanged_statement(card, stated, currency, at),
            None => Ok((stated, Arc::clone(currency))),
        };
        match exchanged {
            Ok((money, currency)) => {
                self.priced(&units, Prices::of(money), &currency, amount.basis, None);
            }
            Err(reason) => self.unpriced(&units, reason),
        }
    }

    fn reported_cost(&mut self, card: &RateCard, reported: &ReportedCost, amount: Quantity) {
        let words = &self.cards.words;
        if !card.is_credit(&reported.currency) {
            return self.stated_money(Some(card), &reported.rule, amount, &reported.currency);
        }
        let at = self.attempt.started_at;
        let whole = self.task(&reported.rule);
        let parts = unheard(&reported.interrupted, amount, self.attempt);
        let (heard, unheard) = parts.map_or((amount, None), |[heard, unheard]| (heard, Some(unheard)));
        let units = Units { unit: &words.credit, bound: heard.bound, ..whole };
        let parts = unheard.map(|part| Units { bound: part.bound, cause: Cause::Interrupted, ..units });
        let parts = std::iter::once(units).chain(parts);
        let credit = prices::of_credit(card, &reported.currency, self.attempt);
        match credit.and_then(|(prices, currency)| prices::exchanged(card, prices, currency, at)) {
            Ok((prices, currency)) => {
                let basis = if prices.is_sure { heard.basis } else { Basis::Assumed };
                parts.for_each(|units| self.priced(&units, prices, &currency, basis, None));
            }
            Err(reason) => parts.for_each(|units| self.unpriced(&units, reason)),
        }
    }

    /// The attempt as one task that was billed as stated.
    fn task<'u>(&self, rule: &'u Arc<str>) -> Units<'u>
    where
        Self: 'u,
    {
        let words = &self.cards.words;
        Units {
            unit: &words.task,
            bound: Bound::exactly(Decimal::ONE),
            cause: self.attempt.cause,
            rule,
            policy: &words.reported,
        }
    }
}

#[cfg(test)]
mod tests {
    use spantally_stitch::{Accepted, Attempt, FactSource, Outcome, TaskId};

    use crate::charge::COST_STATED;
    use crate::fixture::*;
    use crate::{Basis, Bill, Cards, Exchange, RateCard, Unpriced, UnpricedReason, bill, decided_by};

    const REPORTED: FactSource = FactSource::Reported;

    fn stating(cost: &str) -> Attempt {
        attempt(&[("seconds", "8", FactSource::Request), (COST_STATED, cost, REPORTED)])
    }

    /// The one charge of an attempt: a task, in dollars.
    #[track_caller]
    fn check(cards: &Cards, attempt: &Attempt, cost: &str) {
        let Bill { charges, unpriced } = bill(&job(vec![attempt.clone()]), cards);
        assert_eq!(unpriced, [], "{attempt:?}");
        let [charge] = &charges[..] else { panic!("one charge, not {charges:?}") };
        assert_eq!(charge.cost, bound(cost, cost, cost), "{charge:?}");
        let words = (&*charge.unit, &*charge.currency, charge.basis, &*charge.policy);
        assert_eq!(words, ("task", "USD", Basis::Reported, decided_by::REPORTED));
        assert_eq!((charge.quantity, charge.unit_price), (bound("1", "1", "1"), Some(dec(cost))));
    }

    /// Dollars that a span states are the cost, whatever the card, the model and the end.
    #[test]
    fn dollars_that_a_span_states_stand_before_everything_else() {
        let clips = cards(vec![seconds(), seconds()]);
        let unpriced = cards(vec![crate::Meter { prices: Vec::new(), ..seconds() }]);
        for cost in ["0.07", "0", "0.0000000001"] {
            let stating = stating(cost);
            check(&clips, &stating, cost);
            check(&unpriced, &stating, cost);
            for outcome in Outcome::ALL {
                check(&clips, &Attempt { outcome: *outcome, ..stating.clone() }, cost);
            }
            for model in ["slow", ""] {
                check(&clips, &Attempt { model: model.into(), ..stating.clone() }, cost);
            }
            check(&clips, &Attempt { provider: "elsewhere".into(), ..stating.clone() }, cost);
            check(&clips, &Attempt { accepted: Accepted::Ambiguous, ..stating }, cost);
        }
    }

    /// What a span asked for or computed is not what was billed; nor is what is no amount.
    #[test]
    fn other_statements_are_not_taken() {
        let clips = cards(vec![seconds()]);
        for (cost, source) in [("0.07", FactSource::Response), ("-1", REPORTED), ("a lot", REPORTED)] {
            let attempt = attempt(&[("seconds", "8", FactSource::Request), (COST_STATED, cost, source)]);
            let bill = bill(&job(vec![attempt]), &clips);
            assert_eq!(bill.cost()["USD"], bound("0.8", "0.8", "0.8"), "{cost}");
        }
        let absurd = bill(&job(vec![stating("10000000.01")]), &clips);
        assert_eq!(absurd.unpriced, [Unpriced { attempt: 0, reason: UnpricedReason::OutOfRange }]);
        assert!(absurd.cost().is_empty());
    }

    /// The card's own money is the same money and cited; credits are turned into money by a price.
    #[test]
    fn the_card_s_own_money_comes_first_and_credits_come_after() {
        let both = attempt(&[("own", "3", REPORTED), (COST_STATED, "0.07", REPORTED)]);
        let cases = [("USD", "3", "clips/reported"), ("clip_credit", "0.07", "cost_stated")];
        for (currency, cost, rule) in cases {
            let mut own = tariff(vec![seconds()]);
            own.reported = vec![reported_cost("own", "1", currency)];
            let cards = cards_of(own, policy(), vec![credit("clip_credit", "0.5", ALWAYS)]);
            check(&cards, &both, cost);
            assert_eq!(&*bill(&job(vec![both.clone()]), &cards).charges[0].rule, rule);
        }
    }

    #[test]
    fn one_task_is_billed_once() {
        let task = Some(TaskId::new("task-1"));
        let made = Attempt { task_id: task.clone(), ..stating("0.07") };
        let again = Attempt { task_id: task, ..stating("0.07") };
        let bill = bill(&job(vec![made, again]), &cards(vec![seconds()]));
        assert_eq!(bill.cost()["USD"], bound("0.07", "0.07", "0.07"));
    }

    /// However fine the statement and the rate are: what has too many places is rounded, half to even, and
    /// stays a price.
    #[test]
    fn a_card_that_charges_in_another_currency_does_so_here() {
        for (rate, stated, cost) in [
            ("0.9", "0.07", "0.063"),
            ("0.9231", "0.071234", "0.0657561054"),
            ("0.9231", "0.0712345", "0.065756567"),
            ("0.9231", "0.0378125001", "0.0349047188"),
            ("0.0000000001", "0.07", "0"),
            ("0.5", "0.0000000001", "0"),
            ("0.5", "0.0000000003", "0.0000000002"),
            ("3.1415926535", "1.23456789012345", "3.8785094138"),
        ] {
            let exchange = Exchange {
                from: "USD".into(),
                to: "EUR".into(),
                rate: dec(rate),
                period: ALWAYS,
                citation: crate::Citation::default(),
            };
            let mut own = tariff(vec![seconds()]);
            own.reported = vec![reported_cost("own", "1", "USD")];
            let card = RateCard::new("clips".into(), vec![own], policy(), Vec::new());
            let mut cards = Cards::default();
            cards.insert(card.with_exchange(vec![exchange]));
            for attempt in [stating(stated), attempt(&[("own", stated, REPORTED)])] {
                let bill = bill(&job(vec![attempt]), &cards);
                assert_eq!(bill.unpriced, [], "{stated} at {rate}");
                assert_eq!(bill.cost()["EUR"], bound(cost, cost, cost), "{stated} at {rate}");
            }
        }
    }
}
