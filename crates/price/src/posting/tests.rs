//! Laws of bills, postings and totals, on jobs and rate cards made at random.

use proptest::prelude::*;
use rust_decimal::Decimal;
use spantally_stitch::{Accepted, Attempt, Cause, FactSource, Job, Outcome};

use super::*;
use crate::fixture::*;
use crate::{Bill, Cards, Meter, PolicyRow, Source, Terms, bill, diff, postings};

#[test]
fn a_correction_goes_to_the_reversed_counter() {
    let mut total = Total::default();
    total.add(bound("1", "2", "3"));
    total.add(bound("-1", "-0.5", "1"));
    assert_eq!(total, Total { posted: bound("1", "2", "4"), reversed: bound("1", "0.5", "0") });
    assert_eq!(total.net(), bound("0", "1.5", "4"));
}

#[test]
fn postings_are_units_money_and_jobs_without_a_price() {
    let attempts = vec![
        Attempt { cause: Cause::Retry, outcome: Outcome::Failed, ..attempt(&[]) },
        Attempt { model: "unheard_of".into(), ..attempt(&[]) },
        Attempt { model: "unheard_of_too".into(), ..attempt(&[]) },
        attempt(&[("seconds", "8", FactSource::Request)]),
    ];
    let job = job(attempts);
    let cards = cards(vec![seconds()]);
    let found: Vec<_> = postings(&job, &bill(&job, &cards))
        .into_iter()
        .map(|posting| {
            let key = posting.key;
            (key.account.model.to_string(), key.measure, key.cause, posting.amount.expected)
        })
        .collect();
    let fast = || "fast".to_owned();
    let (first, second) = ("unheard_of".to_owned(), "unheard_of_too".to_owned());
    assert_eq!(
        found,
        [
            (fast(), Measure::Unit("second".into()), Cause::Delivered, dec("8")),
            (fast(), Measure::Currency("USD".into()), Cause::Delivered, dec("0.8")),
            (first.clone(), Measure::Unit("task".into()), Cause::Delivered, dec("1")),
            (first, Measure::Unpriced(crate::UnpricedReason::NoPrice), Cause::Delivered, dec("1")),
            (second, Measure::Unit("task".into()), Cause::Delivered, dec("1")),
        ],
        "one job without a price, though two attempts of it; a free retry posts nothing"
    );
}

fn number(digits: u64, places: u32) -> impl Strategy<Value = Decimal> {
    (0..digits).prop_map(move |value| Decimal::new(i64::try_from(value).unwrap_or_default(), places))
}

fn terms() -> impl Strategy<Value = Terms> {
    prop_oneof![
        Just(Terms::Full),
        Just(Terms::None),
        Just(Terms::Reported),
        number(20, 0).prop_map(Terms::Fixed),
        Just(Terms::Prorated(vec![source("done", FactSource::Response)])),
        number(1001, 3).prop_map(|probability| Terms::Unknown { probability }),
    ]
}

fn rows() -> impl Strategy<Value = Vec<PolicyRow>> {
    let outcomes = Outcome::ALL.iter().filter(|outcome| **outcome != Outcome::Unknown);
    let rows = outcomes.map(|outcome| terms().prop_map(|terms| row("row", *outcome, terms)));
    rows.collect::<Vec<_>>()
}

fn any_cards() -> impl Strategy<Value = Cards> {
    (rows(), number(1_000_000, 10), number(100_000, 5), number(1001, 3)).prop_map(
        |(rows, cheap, dear, probability)| {
            let flat =
                Meter { prices: vec![crate::PriceRow { unit_price: cheap, ..price("0") }], ..seconds() };
            let credits = Meter { currency: "credit_of_clips".into(), prices: vec![price("5")], ..seconds() };
            // A factor of which nobody knows whether it applies, a pack that is cheaper, money of elsewhere.
            let when =
                vec![crate::Condition { facts: vec!["voice".into()], is: crate::Is::OneOf(Vec::new()) }];
            let factor = crate::PriceRow { when, ..price("2.5") };
            let voice = vec![factor, crate::PriceRow { is_default: true, ..price("1") }];
            let yuan = Meter {
                currency: "CNY".into(),
                prices: vec![price("0.46")],
                multipliers: vec![voice],
                ..seconds()
            };
            let pack = |price: Decimal, name: &str| crate::Credit {
                unit_price: price,
                pack: name.into(),
                is_default: name.is_empty(),
                ..credit("credit_of_clips", "0", ALWAYS)
            };
            let packs = vec![pack(dear, ""), pack(dear / Decimal::TWO, "large")];
            let exchange = crate::Exchange {
                from: "CNY".into(),
                to: "EUR".into(),
                rate: dec("0.1208"),
                period: ALWAYS,
                citation: crate::Citation::default(),
            };
            let tariffs = vec![tariff(vec![flat, credits, yuan])];
            let card = crate::RateCard::new("clips".into(), tariffs, rows, packs);
            let mut cards = Cards::default();
            cards.insert(card.with_exchange(vec![exchange]));
            cards.set_ambiguous_probability(probability);
            cards
        },
    )
}

fn any_attempt() -> impl Strategy<Value = Attempt> {
    let models = prop_oneof![Just("fast"), Just("fast"), Just("unheard_of")];
    let accepted = prop_oneof![Just(Accepted::Yes), Just(Accepted::No), Just(Accepted::Ambiguous)];
    let outcome = proptest::sample::select(Outcome::ALL);
    let cause = proptest::sample::select(Cause::ALL);
    let seen = proptest::option::of(number(100_000_000_000, 9));
    let done = proptest::option::of(number(10_000, 3));
    let reported = proptest::option::weighted(0.2, number(1_000_000_000, 8));
    (models, accepted, outcome, cause, seen, done, reported).prop_map(
        |(model, accepted, outcome, cause, seen, done, reported)| {
            let mut attempt = attempt(&[]);
            let mut add = |name: &str, value: Option<Decimal>, source| {
                attempt.facts.extend(value.map(|value| fact(name, &value.to_string(), source)));
            };
            add("seconds", seen, FactSource::Request);
            add("done", done, FactSource::Response);
            add(
                "unheard",
                done.map(|done| done / dec("3")).map(|part| part.round_dp(6)),
                FactSource::Response,
            );
            add("billable_units", reported, FactSource::Reported);
            Attempt { model: model.into(), accepted, outcome, cause, ..attempt }
        },
    )
}

fn any_job() -> impl Strategy<Value = Job> {
    proptest::collection::vec(any_attempt(), 0..5).prop_map(job)
}

fn totals(postings: &[Posting]) -> Totals {
    let mut totals = Totals::default();
    totals.extend(postings);
    totals
}

fn nets(totals: &Totals) -> Vec<(PostingKey, Bound)> {
    let nets = totals.iter().map(|(key, total)| (key.clone(), total.net()));
    nets.filter(|(_, net)| !net.is_zero()).collect()
}

fn non_zero<K>(costs: BTreeMap<K, Bound>) -> Vec<Bound> {
    costs.into_values().filter(|cost| !cost.is_zero()).collect()
}

proptest! {
    #[test]
    fn quantity_times_price_is_cost_and_bounds_are_in_order(job in any_job(), cards in any_cards()) {
        for charge in bill(&job, &cards).charges {
            let (quantity, cost) = (charge.quantity, charge.cost);
            prop_assert!(Decimal::ZERO <= quantity.min && quantity.min <= quantity.expected);
            prop_assert!(quantity.expected <= quantity.max);
            prop_assert!(cost.min <= cost.expected && cost.expected <= cost.max);
            if let Some(price) = charge.unit_price {
                prop_assert_eq!(crate::product(quantity.expected, price), Some(cost.expected));
            } else {
                prop_assert_eq!(cost, Bound::ZERO);
            }
        }
    }

    #[test]
    fn causes_partition_the_charges_and_the_totals(job in any_job(), cards in any_cards()) {
        let bill = bill(&job, &cards);
        let totals = totals(&postings(&job, &bill));
        prop_assert_eq!(non_zero(bill.cost()), non_zero(totals.cost()));
        let mut by_currency = BTreeMap::<Arc<str>, Bound>::new();
        for ((currency, _), cost) in totals.cost_by_cause() {
            let sum = by_currency.entry(currency).or_default();
            *sum = *sum + cost;
        }
        prop_assert_eq!(by_currency, totals.cost());
        // Credits and other units alike: what is charged is what is counted, whatever the cause.
        let mut charged = BTreeMap::<Arc<str>, Bound>::new();
        for charge in &bill.charges {
            let used = charge.consumed.iter().map(|used| (&used.unit, used.quantity));
            for (unit, quantity) in std::iter::once((&charge.unit, charge.quantity)).chain(used) {
                let sum = charged.entry(Arc::clone(unit)).or_default();
                *sum = *sum + quantity;
            }
        }
        let counted = totals.sum_by(|key| match &key.measure {
            Measure::Unit(unit) => Some(Arc::clone(unit)),
            Measure::Currency(_) | Measure::Unpriced(_) => None,
        });
        prop_assert_eq!(non_zero(charged), non_zero(counted));
    }

    #[test]
    fn what_was_never_heard_moves_money_between_causes_and_changes_no_total(
        job in any_job(), rows in rows(),
    ) {
        let cost = |interrupted: Vec<Source>| {
            let plain = Meter { interrupted: interrupted.clone(), ..seconds() };
            let prices = vec![price("5")];
            let credits = Meter { interrupted, currency: "credit_of_clips".into(), prices, ..seconds() };
            let packs = vec![credit("credit_of_clips", "0.01", ALWAYS)];
            bill(&job, &cards_of(tariff(vec![plain, credits]), rows.clone(), packs))
        };
        let (whole, parted) = (cost(Vec::new()), cost(vec![source("unheard", FactSource::Response)]));
        prop_assert_eq!(whole.cost(), parted.cost());
        let units = |bill: &Bill| totals(&postings(&job, bill)).sum_by(|key| match &key.measure {
            Measure::Unit(unit) => Some(Arc::clone(unit)),
            Measure::Currency(_) | Measure::Unpriced(_) => None,
        });
        prop_assert_eq!(units(&whole), units(&parted));
    }

    #[test]
    fn a_correction_leads_from_the_old_bill_to_the_new(
        before in any_job(), after in any_job(), old in any_cards(), new in any_cards(),
    ) {
        let (old, new) = (postings(&before, &bill(&before, &old)), postings(&after, &bill(&after, &new)));
        let mut corrected = totals(&old);
        corrected.extend(&diff(&old, &new));
        prop_assert_eq!(nets(&corrected), nets(&totals(&new)));
        prop_assert!(diff(&new, &new).is_empty());
    }

    #[test]
    fn counters_never_fall_and_the_order_of_postings_does_not_matter(
        jobs in proptest::collection::vec(any_job(), 1..6), cards in any_cards(), turn in 0_usize..50,
    ) {
        let bills: Vec<Bill> = jobs.iter().map(|job| bill(job, &cards)).collect();
        let mut all: Vec<Posting> =
            jobs.iter().zip(&bills).flat_map(|(job, bill)| postings(job, bill)).collect();
        all.extend(diff(&postings(&jobs[0], &bills[0]), &[]));
        let mut running = Totals::default();
        for posting in &all {
            let before = running.get(&posting.key).copied().unwrap_or_default();
            running.apply(posting);
            let after = running.get(&posting.key).copied().unwrap_or_default();
            prop_assert!(after.posted.max >= before.posted.max && after.reversed.max >= before.reversed.max);
        }
        let len = all.len().max(1);
        all.rotate_left(turn % len);
        all.reverse();
        prop_assert_eq!(totals(&all), running);
    }

    #[test]
    fn a_policy_that_is_cheaper_in_every_cell_never_raises_a_total(
        job in any_job(), rows in rows(), p in number(1001, 3),
    ) {
        let cheaper = |rows: &[PolicyRow]| -> Vec<PolicyRow> {
            let terms = |terms: &Terms| match terms {
                Terms::Full => Terms::Unknown { probability: p },
                Terms::Unknown { probability } => Terms::Unknown { probability: *probability * p },
                Terms::Fixed(quantity) => Terms::Fixed(*quantity * p),
                Terms::None | Terms::Reported | Terms::Prorated(_) => Terms::None,
            };
            rows.iter().map(|row| PolicyRow { terms: terms(&row.terms), ..row.clone() }).collect()
        };
        let cost = |rows: Vec<PolicyRow>| {
            let bill = bill(&job, &cards_of(tariff(vec![seconds()]), rows, Vec::new()));
            bill.cost().remove("USD").unwrap_or_default()
        };
        let (low, high) = (cost(cheaper(&rows)), cost(rows.clone()));
        prop_assert!(low.min <= high.min && low.expected <= high.expected && low.max <= high.max);
    }
}
