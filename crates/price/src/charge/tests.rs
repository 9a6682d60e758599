//! Amounts, rule kind by rule kind: `docs/pricing.md` has the same tables in words. What selects a rule is in
//! `selection.rs`.

mod selection;

use spantally_stitch::{Accepted, Attempt, FactSource, FailureReason, Outcome, Role, UnixNanos};

use super::*;
use crate::fixture::*;
use crate::{
    Condition, Is, Pattern, Period, PriceRow, RateCard, ReportedCost, Rounding, Source, Stage, Terms, When,
    decided_by,
};

const REPORTED: FactSource = FactSource::Reported;
const REQUEST: FactSource = FactSource::Request;
const RESPONSE: FactSource = FactSource::Response;

fn ends(outcome: Outcome) -> Attempt {
    Attempt { outcome, ..attempt(&[("seconds", "8", REQUEST)]) }
}

/// Cost in dollars at 0.10 a second, basis, and what decided it.
fn check(cards: &Cards, attempt: &Attempt, cost: [&str; 3], basis: Basis, policy: &str) {
    let bill = bill(&job(vec![attempt.clone()]), cards);
    assert_eq!(bill.unpriced, [], "{attempt:?}");
    let [charge] = &bill.charges[..] else { panic!("one charge, not {:?}", bill.charges) };
    assert_eq!(charge.cost, bound(cost[0], cost[1], cost[2]), "{charge:?}");
    assert_eq!((charge.basis, &*charge.policy), (basis, policy), "{charge:?}");
    assert_eq!(charge.unit_price.map(|price| price * charge.quantity.expected), Some(charge.cost.expected));
}

#[test]
fn amounts_by_outcome() {
    let cards = cards(vec![seconds()]);
    let table = [
        (Outcome::Succeeded, ["0.8", "0.8", "0.8"], Basis::Documented, "clips/success"),
        (Outcome::Partial, ["0.8", "0.8", "0.8"], Basis::Documented, "clips/partial"),
        (Outcome::Failed, ["0", "0", "0"], Basis::Documented, "clips/failed"),
        (Outcome::Rejected, ["0.8", "0.8", "0.8"], Basis::Documented, "clips/moderated"),
        (Outcome::Canceled, ["0", "0.4", "0.8"], Basis::Assumed, "clips/canceled"),
        (Outcome::Unknown, ["0", "0.8", "0.8"], Basis::Documented, decided_by::UNVERIFIED),
        (Outcome::Abandoned, ["0", "0.8", "0.8"], Basis::Documented, decided_by::UNVERIFIED),
    ];
    for (outcome, cost, basis, policy) in table {
        check(&cards, &ends(outcome), cost, basis, policy);
    }
}

#[test]
fn an_ambiguous_submit_may_have_cost_everything() {
    let mut cards = cards(vec![seconds()]);
    let ambiguous = Attempt { accepted: Accepted::Ambiguous, ..ends(Outcome::Failed) };
    check(&cards, &ambiguous, ["0", "0.4", "0.8"], Basis::Assumed, decided_by::AMBIGUOUS);
    cards.set_ambiguous_probability(dec("0.25"));
    check(&cards, &ambiguous, ["0", "0.2", "0.8"], Basis::Assumed, decided_by::AMBIGUOUS);
    cards.set_ambiguous_probability(dec("7"));
    check(&cards, &ambiguous, ["0", "0.8", "0.8"], Basis::Assumed, decided_by::AMBIGUOUS);
}

#[test]
fn what_was_not_sent_costs_nothing_and_what_was_refused_asks_the_policy() {
    let mut rows = policy();
    let when = When { stage: Some(Stage::Refused), outcomes: vec![Outcome::Failed], ..When::default() };
    rows.insert(0, PolicyRow { when, ..row("clips/refused", Outcome::Failed, UNKNOWN) });
    let cards = cards_of(tariff(vec![seconds()]), rows, Vec::new());
    let refused = Attempt { accepted: Accepted::No, ..ends(Outcome::Failed) };
    check(&cards, &refused, ["0", "0.4", "0.8"], Basis::Assumed, "clips/refused");
    let not_sent = Attempt { calls: vec![call(Role::Submit, None)], ..refused };
    check(&cards, &not_sent, ["0", "0", "0"], Basis::Documented, decided_by::NOT_SENT);
}

#[test]
fn quantities_in_order_of_strength() {
    let cards = cards(vec![seconds()]);
    let with = |facts: &[(&str, &str, FactSource)]| attempt(facts);
    check(&cards, &with(&[]), ["0.4", "0.5", "1"], Basis::Assumed, "clips/success");
    check(&cards, &with(&[("seconds", "8", REQUEST)]), ["0.8"; 3], Basis::Documented, "clips/success");
    check(
        &cards,
        &with(&[("seconds", "3.008", RESPONSE)]),
        ["0.3008"; 3],
        Basis::Documented,
        "clips/success",
    );
    let billed = [("seconds", "8", RESPONSE), ("billable_units", "3.14159265", REPORTED)];
    check(&cards, &with(&billed), ["0.314159265"; 3], Basis::Reported, decided_by::REPORTED);
    let weak = [("billable_units", "3", RESPONSE), ("seconds", "-1", REQUEST)];
    check(&cards, &with(&weak), ["0.4", "0.5", "1"], Basis::Assumed, "clips/success");
}

#[test]
fn a_reported_quantity_decides_on_errors_too() {
    let cards = cards(vec![seconds()]);
    for (units, cost) in [("0", "0"), ("3", "0.3")] {
        let failed = Attempt { outcome: Outcome::Failed, ..attempt(&[("billable_units", units, REPORTED)]) };
        check(&cards, &failed, [cost; 3], Basis::Reported, decided_by::REPORTED);
    }
}

#[test]
fn reported_money_and_credits_replace_the_meters() {
    let mut ticks = tariff(vec![seconds(), seconds()]);
    ticks.reported = vec![reported_cost("ticks", "0.0000000001", "USD")];
    let cards = cards_of(ticks, policy(), Vec::new());
    let rejected = Attempt { outcome: Outcome::Rejected, ..attempt(&[("ticks", "2500000000", REPORTED)]) };
    check(&cards, &rejected, ["0.25"; 3], Basis::Reported, decided_by::REPORTED);

    let mut header = tariff(vec![seconds()]);
    header.reported = vec![reported_cost("character_cost", "1", "voice_credit")];
    let cards = cards_of(header, policy(), vec![credit("voice_credit", "0.00008", ALWAYS)]);
    let spoken = attempt(&[("character_cost", "120", REPORTED)]);
    check(&cards, &spoken, ["0.0096"; 3], Basis::Reported, decided_by::REPORTED);
    let charge = bill(&job(vec![spoken]), &cards).charges.remove(0);
    assert_eq!((&*charge.unit, charge.quantity), ("credit", bound("120", "120", "120")));
}

#[test]
fn credits_are_the_billed_unit_and_seconds_the_consumed_one() {
    let meter = Meter {
        currency: "runway_credit".into(),
        prices: vec![price("5")],
        credit_rounding: Rounding { minimum: Some(dec("56")), ..Rounding::default() },
        ..seconds()
    };
    let old = Period { from: UnixNanos(0), until: UnixNanos(50) };
    let new = Period { from: UnixNanos(50), until: UnixNanos(u64::MAX) };
    let credits = vec![credit("runway_credit", "0.02", old), credit("runway_credit", "0.01", new)];
    let cards = cards_of(tariff(vec![meter]), policy(), credits);
    let charge = bill(&job(vec![ends(Outcome::Succeeded)]), &cards).charges.remove(0);
    assert_eq!((&*charge.unit, charge.quantity.expected, &*charge.currency), ("credit", dec("56"), "USD"));
    assert_eq!((charge.unit_price, charge.cost.max), (Some(dec("0.01")), dec("0.56")));
    assert_eq!(charge.consumed, Some(Consumed { unit: "second".into(), quantity: bound("8", "8", "8") }));
    check(&cards, &ends(Outcome::Failed), ["0"; 3], Basis::Documented, "clips/failed");
    check(&cards, &ends(Outcome::Canceled), ["0", "0.28", "0.56"], Basis::Assumed, "clips/canceled");
}

#[test]
fn rounding_allowance_and_minimum() {
    let table = [
        (Rounding { block: Some(dec("60")), ..Rounding::default() }, "61", "12"),
        (Rounding { free: Some(dec("5")), ..Rounding::default() }, "8", "0.3"),
        (Rounding { free: Some(dec("5")), ..Rounding::default() }, "3", "0"),
        (Rounding { minimum: Some(dec("10")), ..Rounding::default() }, "8", "1"),
        (Rounding { free: Some(dec("1")), block: Some(dec("4")), minimum: Some(dec("6")) }, "6", "0.8"),
        (Rounding { minimum: Some(dec("10")), ..Rounding::default() }, "0", "0"),
        (Rounding { free: Some(dec("8")), block: None, minimum: Some(dec("6")) }, "8", "0"),
        (Rounding { free: Some(dec("8")), block: None, minimum: Some(dec("6")) }, "8.1", "0.6"),
    ];
    for (rounding, seen, cost) in table {
        let cards = cards(vec![Meter { rounding, ..seconds() }]);
        check(&cards, &attempt(&[("seconds", seen, REQUEST)]), [cost; 3], Basis::Documented, "clips/success");
        let billed = attempt(&[("billable_units", "1", REPORTED)]);
        check(&cards, &billed, ["0.1"; 3], Basis::Reported, decided_by::REPORTED);
    }
}

/// A minimum is of a task that bills something: neither a policy that leaves nothing nor the lower side of an
/// assumption that begins at nothing is raised to it.
#[test]
fn nothing_is_not_raised_to_the_minimum() {
    let minimum = Rounding { minimum: Some(dec("10")), ..Rounding::default() };
    let by_unit = Meter { rounding: minimum, ..seconds() };
    let by_credit =
        Meter { currency: "coin".into(), prices: vec![price("1")], credit_rounding: minimum, ..seconds() };
    let nothing = Terms::Prorated(vec![Source::Constant(Decimal::ZERO)]);
    for (meter, terms) in
        [(&by_unit, &nothing), (&by_credit, &nothing), (&by_credit, &Terms::Fixed(Decimal::ZERO))]
    {
        let rows = vec![row("clips/failed", Outcome::Failed, terms.clone())];
        let credits = vec![credit("coin", "0.1", ALWAYS)];
        let cards = cards_of(tariff(vec![meter.clone()]), rows, credits);
        check(&cards, &ends(Outcome::Failed), ["0"; 3], Basis::Documented, "clips/failed");
    }
    let assumed = Meter { quantity: vec![Source::Assume(bound("0", "2", "20"))], ..by_unit };
    check(&cards(vec![assumed]), &attempt(&[]), ["0", "1", "2"], Basis::Assumed, "clips/success");
}

#[test]
fn an_end_without_a_row_is_unknown() {
    let cards = cards_of(tariff(vec![seconds()]), Vec::new(), Vec::new());
    check(&cards, &ends(Outcome::Failed), ["0", "0.4", "0.8"], Basis::Assumed, decided_by::NO_POLICY);
}

#[test]
fn the_tariff_s_own_policy_comes_first() {
    let mut own = tariff(vec![seconds()]);
    own.policy = vec![row("fast/failed", Outcome::Failed, Terms::Full)];
    let cards = cards_of(own, policy(), Vec::new());
    check(&cards, &ends(Outcome::Failed), ["0.8"; 3], Basis::Documented, "fast/failed");
    check(&cards, &ends(Outcome::Succeeded), ["0.8"; 3], Basis::Documented, "clips/success");
}

#[test]
fn unverified_is_between_failure_and_success() {
    for (failed, cost, basis) in [
        (Terms::None, ["0", "0.8", "0.8"], Basis::Documented),
        (Terms::Full, ["0.8"; 3], Basis::Documented),
        (UNKNOWN, ["0", "0.8", "0.8"], Basis::Assumed),
        (Terms::Fixed(dec("9")), ["0.8", "0.8", "0.9"], Basis::Documented),
    ] {
        let rows =
            vec![row("success", Outcome::Succeeded, Terms::Full), row("failed", Outcome::Failed, failed)];
        let cards = cards_of(tariff(vec![seconds()]), rows, Vec::new());
        check(&cards, &ends(Outcome::Unknown), cost, basis, decided_by::UNVERIFIED);
    }
}

#[test]
fn without_a_price_there_are_units_and_a_reason() {
    let unpriced_meter = cards(vec![Meter { prices: Vec::new(), ..seconds() }]);
    let no_quantity = cards(vec![Meter { quantity: vec![source("x", REQUEST)], ..seconds() }]);
    let absurd = attempt(&[("seconds", "79228162514264337593543950335", REQUEST)]);
    let other = |model: &str, provider: &str| Attempt {
        model: model.into(),
        provider: provider.into(),
        ..ends(Outcome::Succeeded)
    };
    let expensive = cards(vec![Meter { prices: vec![price("2.5")], ..seconds() }]);
    let block = Rounding { block: Some(dec("60")), ..Rounding::default() };
    let in_blocks = cards(vec![Meter { rounding: block, ..seconds() }]);
    let scaled = Source::Fact { name: "seconds".into(), at_least: REQUEST, scale: dec("1000") };
    let scaled = cards(vec![Meter { quantity: vec![scaled, Source::Constant(Decimal::ONE)], ..seconds() }]);
    let much = attempt(&[("seconds", "1000000000.000000001", REQUEST)]);
    let dear = attempt(&[("seconds", "4000001", REQUEST)]);
    let table = [
        (&unpriced_meter, ends(Outcome::Succeeded), UnpricedReason::NoPrice, 1),
        (&no_quantity, ends(Outcome::Succeeded), UnpricedReason::NoQuantity, 0),
        (&expensive, absurd.clone(), UnpricedReason::OutOfRange, 0),
        (&in_blocks, absurd.clone(), UnpricedReason::OutOfRange, 0),
        (&scaled, absurd, UnpricedReason::OutOfRange, 0),
        (&expensive, much, UnpricedReason::OutOfRange, 0),
        (&expensive, dear, UnpricedReason::OutOfRange, 1),
        (&unpriced_meter, other("slow", "clips"), UnpricedReason::NoPrice, 1),
        (&unpriced_meter, other("", "clips"), UnpricedReason::UnknownModel, 1),
        (&unpriced_meter, other("fast", "elsewhere"), UnpricedReason::NoProvider, 1),
    ];
    for (cards, attempt, reason, charges) in table {
        let bill = bill(&job(vec![attempt]), cards);
        assert_eq!(bill.unpriced, [Unpriced { attempt: 0, reason }]);
        assert_eq!(bill.charges.len(), charges, "{reason:?}");
        for charge in &bill.charges {
            assert_eq!((charge.unit_price, charge.cost, charge.basis), (None, Bound::ZERO, Basis::Unpriced));
            assert!(!charge.quantity.is_zero());
        }
        assert!(bill.cost().is_empty());
    }
}

/// What is large and not absurd has its price, to the last place.
#[test]
fn the_most_of_a_charge_is_in_range() {
    let expensive = cards(vec![Meter { prices: vec![price("2.5")], ..seconds() }]);
    let dear = attempt(&[("seconds", "4000000", REQUEST)]);
    check(&expensive, &dear, ["10000000"; 3], Basis::Documented, "clips/success");
    let cheap = cards(vec![Meter { prices: vec![price("0.0000000001")], ..seconds() }]);
    let much = attempt(&[("seconds", "999999999.999999999", REQUEST)]);
    check(&cheap, &much, ["0.0999999999999999999"; 3], Basis::Documented, "clips/success");
}

/// A free failure is free, whatever a span says of its length.
#[test]
fn nonsense_that_nobody_bills_costs_nothing() {
    let absurd = attempt(&[("seconds", "79228162514264337593543950335", REQUEST)]);
    let failed = Attempt { outcome: Outcome::Failed, ..absurd };
    check(&cards(vec![seconds()]), &failed, ["0"; 3], Basis::Documented, "clips/failed");
}

#[test]
fn nothing_billed_is_nothing_missing() {
    let cards = cards(vec![Meter { prices: Vec::new(), ..seconds() }]);
    let bill = bill(&job(vec![ends(Outcome::Failed)]), &cards);
    assert_eq!(bill.unpriced, [], "a free failure needs no price");
    assert_eq!(bill.charges[0].basis, Basis::Documented);
}

#[test]
fn polls_cost_only_where_a_meter_counts_them() {
    let polls = Meter {
        rule: "clips/polls".into(),
        unit: "poll".into(),
        quantity: vec![Source::Count(Role::Poll)],
        cause: Some(Cause::Poll),
        prices: vec![price("0.001")],
        ..seconds()
    };
    let mut polled = ends(Outcome::Failed);
    polled.calls.extend([call(Role::Poll, Some(200)), call(Role::Poll, Some(404))]);
    let without = bill(&job(vec![polled.clone()]), &cards(vec![seconds()]));
    assert_eq!(without.cost()["USD"], Bound::ZERO);
    let with = bill(&job(vec![polled]), &cards(vec![seconds(), polls]));
    let charge = &with.charges[1];
    assert_eq!((charge.cause, charge.cost.expected), (Cause::Poll, dec("0.002")));
    assert_eq!(&*charge.policy, decided_by::PER_CALL);
}

#[test]
fn interrupted_audio_is_apart() {
    let meter = Meter { interrupted: vec![source("unheard_seconds", RESPONSE)], ..seconds() };
    let cards = cards(vec![meter]);
    let spoken = attempt(&[("seconds", "8", RESPONSE), ("unheard_seconds", "3", RESPONSE)]);
    let bill = bill(&job(vec![spoken]), &cards);
    let parts: Vec<_> = bill.charges.iter().map(|charge| (charge.cause, charge.cost.expected)).collect();
    assert_eq!(parts, [(Cause::Delivered, dec("0.5")), (Cause::Interrupted, dec("0.3"))]);
}

/// Which part of it was heard is a guess; what it costs together is not.
#[test]
fn a_guessed_share_that_nobody_heard_is_assumed_and_leaves_the_total() {
    let guess = Source::Assume(bound("0", "4", "8"));
    let meter = Meter { interrupted: vec![source("unheard_seconds", RESPONSE), guess.clone()], ..seconds() };
    let mut own = tariff(vec![meter]);
    let credits = ReportedCost { interrupted: vec![guess], ..reported_cost("own", "1", "clip_credit") };
    own.reported = vec![credits];
    let cards = cards_of(own, policy(), vec![credit("clip_credit", "0.1", ALWAYS)]);
    let read = |facts: &[(&'static str, &'static str, FactSource)]| {
        let bill = bill(&job(vec![attempt(facts)]), &cards);
        assert_eq!(bill.cost()["USD"], bound("0.8", "0.8", "0.8"), "{facts:?}");
        let part = |charge: &Charge| (charge.cause, charge.cost.expected, charge.basis);
        bill.charges.iter().map(part).collect::<Vec<_>>()
    };
    let half = [Cause::Delivered, Cause::Interrupted].map(|cause| (cause, dec("0.4"), Basis::Assumed));
    assert_eq!(read(&[("seconds", "8", RESPONSE)]), half);
    assert_eq!(read(&[("own", "8", FactSource::Reported)]), half);
    let counted = read(&[("seconds", "8", RESPONSE), ("unheard_seconds", "3", RESPONSE)]);
    assert!(counted.iter().all(|(.., basis)| *basis == Basis::Documented), "{counted:?}");
}

#[test]
fn several_meters_make_several_charges() {
    let images = Meter {
        rule: "clips/reference".into(),
        unit: "reference_image".into(),
        quantity: vec![source("reference_images", REQUEST), Source::Constant(Decimal::ZERO)],
        rounding: Rounding { free: Some(dec("5")), ..Rounding::default() },
        prices: vec![price("0.04")],
        ..seconds()
    };
    let session =
        Meter { unit: "session_second".into(), quantity: vec![Source::Elapsed(Role::Session)], ..seconds() };
    let cards = cards(vec![seconds(), images, session]);
    let mut rich = attempt(&[("seconds", "2", REQUEST), ("reference_images", "7", REQUEST)]);
    rich.calls.push(call(Role::Session, None));
    let costs: Vec<_> = bill(&job(vec![rich]), &cards).charges.iter().map(|charge| charge.cost.max).collect();
    assert_eq!(costs, [dec("0.2"), dec("0.08"), dec("0.25")]);
}

/// One task is charged once, whatever the order of the attempts that share it; another provider's id of the
/// same text is another task.
#[test]
fn attempts_that_share_a_task_are_charged_once() {
    let cards = cards(vec![seconds()]);
    let task = Some(TaskId::new("task-1"));
    let made = Attempt { task_id: task.clone(), cause: Cause::Delivered, ..ends(Outcome::Succeeded) };
    let tried = Attempt {
        accepted: Accepted::Ambiguous,
        cause: Cause::TimeoutResubmit,
        outcome: Outcome::Failed,
        ..made.clone()
    };
    let elsewhere = Attempt { provider: "other".into(), ..made.clone() };
    for attempts in [vec![tried.clone(), made.clone()], vec![made.clone(), tried.clone()]] {
        let first_is_tried = attempts[0].accepted == Accepted::Ambiguous;
        let bill = bill(&job(attempts), &cards);
        let (free, full) = if first_is_tried { (0, 1) } else { (1, 0) };
        assert_eq!((bill.charges[free].cost, &*bill.charges[free].policy), (Bound::ZERO, "same_task"));
        assert_eq!(bill.charges[full].cost, bound("0.8", "0.8", "0.8"));
    }
    let apart = bill(&job(vec![tried, elsewhere]), &cards);
    assert_eq!(apart.charges[0].cost, bound("0", "0.4", "0.8"));
}
