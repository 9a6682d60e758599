//! Which price, which policy row and which tariff.

use super::*;
use crate::Credit;
use crate::fact::BILLED_MODEL;

fn when(fact: &str, value: &str) -> Vec<Condition> {
    vec![Condition { facts: vec![fact.into()], is: Is::OneOf(vec![Pattern::new(value)]) }]
}

#[test]
fn prices_by_fact_and_by_date() {
    let table = |default: bool| {
        vec![
            PriceRow { when: when("resolution", "720p"), ..price("0.1") },
            PriceRow { when: when("resolution", "1080p"), is_default: default, ..price("0.2") },
            PriceRow { when: when("resolution", "4k"), ..price("0.4") },
        ]
    };
    let cards = |default| cards(vec![Meter { prices: table(default), ..seconds() }]);
    let at = |facts: &[(&str, &str, FactSource)]| attempt(&[&[("seconds", "10", REQUEST)], facts].concat());
    let success = "clips/success";
    check(&cards(true), &at(&[("resolution", "4k", REQUEST)]), ["4"; 3], Basis::Documented, success);
    check(&cards(true), &at(&[]), ["1", "2", "4"], Basis::Assumed, success);
    check(&cards(false), &at(&[]), ["1", "1", "4"], Basis::Assumed, success);
    let eight_k = bill(&job(vec![at(&[("resolution", "8k", REQUEST)])]), &cards(true));
    assert_eq!(eight_k.unpriced, [Unpriced { attempt: 0, reason: UnpricedReason::NoPrice }]);

    let until = |until| Period { from: UnixNanos(0), until: UnixNanos(until) };
    let from = Period { from: UnixNanos(100), until: UnixNanos(150) };
    let prices = vec![PriceRow { period: until(100), ..price("1") }, PriceRow { period: from, ..price("2") }];
    let cards = self::cards(vec![Meter { prices, ..seconds() }]);
    for (start, cost) in [(99, Some("10")), (100, Some("20")), (149, Some("20")), (150, None)] {
        let started = Attempt { started_at: UnixNanos(start), ..at(&[]) };
        if let Some(cost) = cost {
            check(&cards, &started, [cost; 3], Basis::Documented, success);
        } else {
            let bill = bill(&job(vec![started]), &cards);
            assert_eq!(bill.unpriced[0].reason, UnpricedReason::NoPriceAtTime);
            assert!(bill.cost().is_empty(), "no money rather than none spent");
        }
    }
}

#[test]
fn number_ranges_and_the_model_select_a_row() {
    let up_to = |most: &str| {
        vec![Condition { facts: vec!["seconds".into()], is: Is::Between(None, Some(dec(most))) }]
    };
    let prices = vec![
        PriceRow { when: up_to("5"), ..price("0.3") },
        PriceRow { when: when("model", "slow*"), ..price("9") },
        PriceRow { when: when("model", "fast"), ..price("0.2") },
    ];
    let cards = cards(vec![Meter { prices, ..seconds() }]);
    check(&cards, &attempt(&[("seconds", "5", REQUEST)]), ["1.5"; 3], Basis::Documented, "clips/success");
    check(&cards, &attempt(&[("seconds", "6", REQUEST)]), ["1.2"; 3], Basis::Documented, "clips/success");
}

#[test]
fn policy_terms() {
    let table = [
        (Terms::Full, ["0.8"; 3], Basis::Documented),
        (Terms::None, ["0"; 3], Basis::Documented),
        (Terms::Fixed(dec("2")), ["0.2"; 3], Basis::Documented),
        (Terms::Prorated(vec![source("seconds_done", RESPONSE)]), ["0.3"; 3], Basis::Documented),
        (Terms::Prorated(vec![source("never_seen", RESPONSE)]), ["0", "0.4", "0.8"], Basis::Assumed),
        (
            Terms::Prorated(vec![source("never_seen", RESPONSE), source("seconds_done", RESPONSE)]),
            ["0.3"; 3],
            Basis::Documented,
        ),
        (Terms::Reported, ["0", "0.4", "0.8"], Basis::Assumed),
        (Terms::Unknown { probability: dec("0.1") }, ["0", "0.08", "0.8"], Basis::Assumed),
    ];
    for (terms, cost, basis) in table {
        let cards =
            cards_of(tariff(vec![seconds()]), vec![row("clips/failed", Outcome::Failed, terms)], Vec::new());
        let mut failed = ends(Outcome::Failed);
        failed.facts.push(fact("seconds_done", "3", RESPONSE));
        check(&cards, &failed, cost, basis, "clips/failed");
    }
}

#[test]
fn policy_rows_by_reason_stage_cancel_status_and_code() {
    let failed = |when: When| PolicyRow { when, ..row("", Outcome::Failed, Terms::None) };
    let named = |name: &str, when: When| PolicyRow { name: name.into(), ..failed(when) };
    let rows = vec![
        named("code", When { facts: when("failure_code", "SAFETY.*"), ..When::default() }),
        named("reason", When { reasons: vec![FailureReason::Capacity], ..When::default() }),
        named(
            "status",
            When { statuses: vec![crate::StatusRange { from: 500, to: 599 }], ..When::default() },
        ),
        named("queued", When { canceled_before_start: Some(true), ..When::default() }),
        named("rest", When::default()),
    ];
    let cards = cards_of(tariff(vec![seconds()]), rows, Vec::new());
    let plain = ends(Outcome::Failed);
    let mut coded = plain.clone();
    coded.facts.push(fact("failure_code", "SAFETY.INPUT.TEXT", RESPONSE));
    let table = [
        ("code", coded),
        ("reason", Attempt { failure_reason: Some(FailureReason::Capacity), ..plain.clone() }),
        (
            "status",
            Attempt {
                calls: vec![
                    call(Role::Submit, Some(200)),
                    call(Role::Result, Some(503)),
                    call(Role::Poll, None),
                ],
                ..plain.clone()
            },
        ),
        ("queued", Attempt { outcome: Outcome::Canceled, canceled_before_start: true, ..plain.clone() }),
        ("rest", plain),
    ];
    for (policy, attempt) in table {
        check(&cards, &attempt, ["0"; 3], Basis::Documented, policy);
    }
}

#[test]
fn a_fallback_is_billed_as_the_model_that_ran() {
    let slow = Tariff {
        models: vec![Pattern::new("slow*")],
        meters: vec![Meter { prices: vec![price("1")], ..seconds() }],
        ..Tariff::default()
    };
    let mut cards = Cards::default();
    cards.insert(RateCard::new("clips".into(), vec![slow, tariff(vec![seconds()])], policy(), Vec::new()));
    check(&cards, &ends(Outcome::Succeeded), ["0.8"; 3], Basis::Documented, "clips/success");
    let mut fallen = ends(Outcome::Succeeded);
    fallen.facts.push(fact(BILLED_MODEL, "slow-2", RESPONSE));
    check(&cards, &fallen, ["8"; 3], Basis::Documented, "clips/success");
}

/// Not only the tariff: price rows, factors, credits and policy rows by model are of the one that ran.
#[test]
fn a_fallback_selects_by_the_model_that_ran() {
    let by_model = |fast: &str, slow: &str| {
        vec![
            PriceRow { when: when("model", "fast"), ..price(fast) },
            PriceRow { when: when("model", "slow"), ..price(slow) },
        ]
    };
    let priced = Meter { prices: by_model("0.1", "1"), ..seconds() };
    let times = Meter { multipliers: vec![by_model("1", "10")], ..seconds() };
    let in_credits = Meter { currency: "coin".into(), prices: vec![price("1")], ..seconds() };
    let pack = |model, price| Credit { when: when("model", model), ..credit("coin", price, ALWAYS) };
    let packs = vec![pack("fast", "0.1"), pack("slow", "1")];
    let of = |model| When { facts: when("model", model), ..When::default() };
    let paid = PolicyRow { when: of("fast"), ..row("fast", Outcome::Succeeded, Terms::Full) };
    let free = PolicyRow { when: of("slow"), ..row("slow", Outcome::Succeeded, Terms::None) };

    let table = [
        (priced, Vec::new(), policy(), "clips/success", "8", "clips/success"),
        (times, Vec::new(), policy(), "clips/success", "8", "clips/success"),
        (in_credits, packs, policy(), "clips/success", "8", "clips/success"),
        (seconds(), Vec::new(), vec![paid, free], "fast", "0", "slow"),
    ];
    for (meter, credits, rows, by_fast, slow_cost, by_slow) in table {
        let mut both = tariff(vec![meter]);
        both.models.push(Pattern::new("slow"));
        let cards = cards_of(both, rows, credits);
        let asked = ends(Outcome::Succeeded);
        check(&cards, &asked, ["0.8"; 3], Basis::Documented, by_fast);
        let mut fallen = asked.clone();
        fallen.facts.push(fact(BILLED_MODEL, "slow", RESPONSE));
        check(&cards, &fallen, [slow_cost; 3], Basis::Documented, by_slow);
        let unnamed = Attempt { model: "".into(), ..fallen };
        check(&cards, &unnamed, [slow_cost; 3], Basis::Documented, by_slow);
        let decided = cards.get("clips").unwrap().policy_of(&unnamed);
        assert_eq!(decided.map(|row| &*row.name), Some(by_slow), "the same as in the bill");
    }
}

/// A fallback to a model without a price is that, also where the model asked for is in no span.
#[test]
fn a_fallback_has_its_own_reason_for_no_price() {
    let rows = vec![PriceRow { when: when("model", "fast"), ..price("1") }];
    let mut any = tariff(vec![Meter { prices: rows, ..seconds() }]);
    any.models = vec![Pattern::new("*"), Pattern::new("")];
    let cards = cards_of(any, policy(), Vec::new());
    let mut fallen = Attempt { model: "".into(), ..ends(Outcome::Succeeded) };
    fallen.facts.push(fact(BILLED_MODEL, "slow", RESPONSE));
    let bill = bill(&job(vec![fallen]), &cards);
    assert_eq!(bill.unpriced, [Unpriced { attempt: 0, reason: UnpricedReason::NoPrice }]);
}

#[test]
fn the_first_tariff_that_takes_model_and_operation() {
    let named = |models: &[&str], operations: &[&str], rule: &str| Tariff {
        models: models.iter().map(|model| Pattern::new(model)).collect(),
        operations: operations.iter().map(|operation| Pattern::new(operation)).collect(),
        meters: vec![Meter { rule: rule.into(), ..seconds() }],
        ..Tariff::default()
    };
    let tariffs = vec![
        named(&["a/one"], &["text_to_image"], "one_image"),
        named(&["a/*"], &[], "a_any"),
        named(&[""], &["text_to_image"], "unseen_image"),
        named(&["*", ""], &[], "rest"),
    ];
    let card = RateCard::new("p".into(), tariffs, Vec::new(), Vec::new());
    for (model, operation, rule) in [
        ("a/one", "text_to_image", "one_image"),
        ("a/one", "upscale", "a_any"),
        ("a/two", "text_to_image", "a_any"),
        ("b", "text_to_image", "rest"),
        ("", "text_to_image", "unseen_image"),
        ("", "", "rest"),
    ] {
        let found = card.tariff(model, operation).map(|tariff| &*tariff.meters[0].rule);
        assert_eq!(found, Some(rule), "{model} {operation}");
    }
}
