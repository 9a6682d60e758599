//! Laws of bills and postings, on jobs and rate cards made at random.

use proptest::prelude::*;
use rust_decimal::Decimal;
use spantally_stitch::{Accepted, Attempt, FactSource, Outcome};

use super::*;
use crate::fixture::*;
use crate::{Bill, Cards, Meter, PolicyRow, Source, Terms, bill};

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
            (first, Measure::Unpriced(UnpricedReason::NoPrice), Cause::Delivered, dec("1")),
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

/// Amounts of postings, added up by what their measure is grouped under; others are left out.
fn sums<G: Ord>(postings: &[Posting], group: impl Fn(&PostingKey) -> Option<G>) -> BTreeMap<G, Bound> {
    let mut sums = BTreeMap::<G, Bound>::new();
    for posting in postings {
        if let Some(group) = group(&posting.key) {
            let sum = sums.entry(group).or_default();
            *sum = *sum + posting.amount;
        }
    }
    sums
}

fn currency(key: &PostingKey) -> Option<Arc<str>> {
    match &key.measure {
        Measure::Currency(currency) => Some(Arc::clone(currency)),
        Measure::Unit(_) | Measure::Unpriced(_) => None,
    }
}

fn unit(key: &PostingKey) -> Option<Arc<str>> {
    match &key.measure {
        Measure::Unit(unit) => Some(Arc::clone(unit)),
        Measure::Currency(_) | Measure::Unpriced(_) => None,
    }
}

fn non_zero<K: Ord>(mut sums: BTreeMap<K, Bound>) -> BTreeMap<K, Bound> {
    sums.retain(|_, sum| !sum.is_zero());
    sums
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
    fn postings_are_all_that_is_charged_whatever_the_cause(job in any_job(), cards in any_cards()) {
        let bill = bill(&job, &cards);
        let postings = postings(&job, &bill);
        prop_assert_eq!(non_zero(bill.cost()), non_zero(sums(&postings, currency)));
        prop_assert!(postings.is_sorted_by(|a, b| a.key < b.key), "one of a key, in their order");
        // Credits and other units alike: what is charged is what is counted, whatever the cause.
        let mut charged = BTreeMap::<Arc<str>, Bound>::new();
        for charge in &bill.charges {
            let used = charge.consumed.iter().map(|used| (&used.unit, used.quantity));
            for (unit, quantity) in std::iter::once((&charge.unit, charge.quantity)).chain(used) {
                let sum = charged.entry(Arc::clone(unit)).or_default();
                *sum = *sum + quantity;
            }
        }
        prop_assert_eq!(non_zero(charged), non_zero(sums(&postings, unit)));
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
        let whole = cost(Vec::new());
        let units = |bill: &Bill| sums(&postings(&job, bill), unit);
        let guess = Bound { min: Decimal::ZERO, expected: Decimal::TWO, max: Decimal::TEN };
        for told in [source("unheard", FactSource::Response), Source::Assume(guess)] {
            let parted = cost(vec![told]);
            prop_assert_eq!(whole.cost(), parted.cost());
            prop_assert_eq!(units(&whole), units(&parted));
        }
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
