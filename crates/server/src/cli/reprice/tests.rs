//! Jobs that have a price on one side only, by attempts and currencies.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use spantally_price::{Unpriced, UnpricedReason};

use super::*;

fn before(cost: &[(&str, i64)], unpriced: &[usize]) -> Before {
    let cost = cost.iter().map(|&(currency, cents)| {
        let figure = Decimal::new(cents, 2);
        (Arc::from(currency), Bound { min: figure, expected: figure, max: figure })
    });
    Before {
        job_id: "1".to_owned(),
        provider: "clips".to_owned(),
        model: "clip".to_owned(),
        outcome: "succeeded".to_owned(),
        cost: cost.collect(),
        rules: Vec::new(),
        unpriced: unpriced.iter().map(|&attempt| (attempt, "no_price".to_owned())).collect(),
    }
}

fn after(unpriced: &[usize]) -> Bill {
    let unpriced = unpriced.iter().map(|&attempt| Unpriced { attempt, reason: UnpricedReason::NoPrice });
    Bill { charges: Vec::new(), unpriced: unpriced.collect() }
}

#[test]
fn only_jobs_with_the_same_unpriced_attempts_are_compared() {
    // before | no price before | no price after | changed, lost, found, rows, in the totals
    for (cost, was, is, expected) in [
        (&[("USD", 40)][..], &[][..], &[0][..], (0, 1, 0, 1, false)),
        (&[("USD", 40), ("CNY", 3)], &[], &[0], (0, 1, 0, 2, false)),
        (&[("USD", 40)], &[1], &[0, 1], (0, 1, 0, 1, false)),
        (&[("USD", 40)], &[1], &[0], (0, 1, 1, 1, false)),
        (&[], &[0], &[], (0, 0, 1, 1, false)),
        (&[], &[], &[0], (0, 1, 0, 1, false)),
        (&[], &[0], &[0], (0, 0, 0, 0, false)),
        (&[("USD", 40)], &[], &[], (1, 0, 0, 1, true)),
        (&[("USD", 40)], &[1], &[1], (1, 0, 0, 1, true)),
    ] {
        let mut report = Report::default();
        report.add(&before(cost, was), &after(is));
        report.finish();
        let jobs = |apart: &BTreeMap<String, Apart>| apart.values().map(|apart| apart.jobs).sum::<usize>();
        let Report { changed, price_lost, price_found, changes, totals, .. } = &report;
        let found = (*changed, jobs(price_lost), jobs(price_found), changes.len(), !totals.is_empty());
        assert_eq!(found, expected, "{cost:?} {was:?} {is:?}");
        assert_eq!(changes.iter().any(|change| change.difference.is_some()), *changed > 0);
    }
}
