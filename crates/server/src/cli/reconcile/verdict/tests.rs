#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use super::*;

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// `min expected max CURRENCY`, or one figure and the currency, or nothing.
fn bound(text: &str) -> Option<(Arc<str>, Bound)> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        [] => None,
        [figure, currency] => Some((currency.into(), Bound::exactly(dec(figure)))),
        [min, expected, max, currency] => {
            let bound = Bound { min: dec(min), expected: dec(expected), max: dec(max) };
            Some((currency.into(), bound))
        }
        _ => panic!("{text}"),
    }
}

/// Ours: a cost, a quantity and a unit price; `?` for no price.
fn ours(cost: &str, quantity: &str, price: &str) -> Booked {
    Booked {
        cost: bound(cost).into_iter().map(|(currency, bound)| (currency.to_string(), bound)).collect(),
        is_unpriced: price == "?",
        quantities: [("second".to_owned(), quantity.parse().unwrap_or_default())].into(),
        unit_price: price.parse().ok(),
    }
}

/// Theirs: a cost, and what the row tells beside it.
fn theirs(cost: &str, quantity: &str, price: &str, discount: &str) -> Billed {
    let cost: std::collections::BTreeMap<_, _> = bound(cost).into_iter().collect();
    Billed {
        lacks_cost: cost.is_empty(),
        cost,
        quantity: quantity.parse().ok(),
        unit_price: price.parse().ok(),
        discount_percent: discount.parse().ok(),
        ..Billed::default()
    }
}

#[test]
fn a_task_and_its_bill_have_a_verdict_and_a_reason() {
    use Verdict::{AmountDiffers, Free, Matched, NotComparable, Unpriced};
    // our cost, quantity, price | their cost, quantity, price, discount | verdict, why
    for (cost, quantity, price, billed, billed_quantity, billed_price, discount, expected, why) in [
        ("0.40 USD", "8", "0.05", "0.40 USD", "8", "0.05", "", Matched, None),
        ("0.40 USD", "8", "0.05", "0.40005 USD", "", "", "", Matched, None),
        ("0.40 USD", "8", "0.05", "0.41 USD", "", "", "", AmountDiffers, Some(Why::Unknown)),
        ("0.2 0.4 0.8 USD", "8", "0.05", "0.8 USD", "16", "0.05", "", Matched, None),
        ("0.2 0.4 0.8 USD", "8", "0.05", "0.9 USD", "18", "0.05", "", AmountDiffers, Some(Why::Quantity)),
        ("0.40 USD", "8", "0.05", "0.5 USD", "10", "0.05", "", AmountDiffers, Some(Why::Quantity)),
        ("0.40 USD", "8", "0.05", "0.48 USD", "8", "0.06", "", AmountDiffers, Some(Why::Price)),
        ("0.40 USD", "8", "0.05", "0.60 USD", "10", "0.06", "", AmountDiffers, Some(Why::QuantityAndPrice)),
        ("0.40 USD", "8", "0.05", "0.36 USD", "8", "0.05", "10", AmountDiffers, Some(Why::Discount)),
        ("0.40 USD", "8", "0.05", "0.432 USD", "8", "0.06", "10", AmountDiffers, Some(Why::Price)),
        ("0 USD", "0", "0.05", "0.40 USD", "8", "0.05", "", AmountDiffers, Some(Why::Policy)),
        ("0 USD", "0", "0.05", "0 USD", "0", "", "", Free, None),
        ("", "0", "", "0 USD", "", "", "", Free, None),
        ("", "8", "?", "0.40 USD", "8", "", "", Unpriced, None),
        ("2.80 CNY", "8", "0.35", "0.40 USD", "8", "0.05", "", NotComparable, None),
        // Rows without a cost: only quantities can agree.
        ("0.40 USD", "8", "0.05", "", "8", "", "", Matched, None),
        ("0.40 USD", "8", "0.05", "", "9", "", "", AmountDiffers, Some(Why::Quantity)),
        ("0.40 USD", "8", "0.05", "", "", "", "", NotComparable, None),
    ] {
        let ours = ours(cost, quantity, price);
        let theirs = theirs(billed, billed_quantity, billed_price, discount);
        let judged = judge(&ours, Some(&theirs), dec("0.0001"));
        assert_eq!((judged[0].verdict, judged[0].why), (expected, why), "{cost} beside {billed}");
    }
}

#[test]
fn what_has_no_row_was_free() {
    for (cost, price, expected) in [
        ("0.40 USD", "0.05", Verdict::OnlyOurs),
        ("0 0.2 0.4 USD", "0.05", Verdict::Matched),
        ("0 USD", "0.05", Verdict::Free),
        ("", "", Verdict::Free),
        ("", "?", Verdict::Unpriced),
    ] {
        let judged = judge(&ours(cost, "8", price), None, dec("0.0001"));
        assert_eq!(judged.len(), 1);
        assert_eq!((judged[0].verdict, judged[0].theirs), (expected, Some(Bound::ZERO)), "{cost}");
    }
}

/// What nobody knows is in no sum.
#[test]
fn currencies_stay_apart_and_unknown_is_no_zero() {
    let judged = judge(&ours("2.80 CNY", "8", ""), Some(&theirs("0.40 USD", "", "", "")), dec("0.01"));
    let sides = judged.iter().map(|judged| (&*judged.currency, judged.ours, judged.theirs));
    let (yuan, dollars) = (Bound::exactly(dec("2.80")), Bound::exactly(dec("0.40")));
    assert_eq!(sides.collect::<Vec<_>>(), [("USD", None, Some(dollars)), ("CNY", Some(yuan), None)]);
    let judged = judge(&ours("0.1 USD", "8", "?"), Some(&theirs("0.40 USD", "", "", "")), dec("0.01"));
    assert_eq!((judged.len(), judged[0].ours, judged[0].theirs), (1, None, Some(dollars)));
}
