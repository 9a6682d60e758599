use std::sync::Arc;

use spantally_store::{ChargeRow, Checkpoint, DataDir, JobRow, Ledger, RetentionBound};

use super::*;
use crate::export::LabelSets;

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// A job that began at a second, with one charge.
fn job(id: u8, revision: u32, second: u64, provider: &str, [min, expected, max]: [&str; 3]) -> JobRow {
    let charge = ChargeRow {
        provider: provider.into(),
        unit: "image".into(),
        quantity: Decimal::ONE,
        unit_price: Some(dec(expected)),
        cost_min: dec(min),
        cost_expected: dec(expected),
        cost_max: dec(max),
        currency: "USD".into(),
        cause: "delivered".into(),
        basis: "documented".into(),
        ..ChargeRow::default()
    };
    JobRow {
        job_id: [id; 16],
        revision,
        state: "settled".into(),
        provider: provider.into(),
        started_at: second * 1_000_000_000,
        ended_at: second * 1_000_000_000,
        settled_at: (second + 60) * 1_000_000_000,
        charges: Arc::new([charge]),
        ..JobRow::default()
    }
}

fn invoice(provider: &str, [from, until]: [u64; 2], amount: &str) -> Invoice {
    Invoice {
        provider: provider.to_owned(),
        period: format!("{from}/{until}"),
        from: UnixNanos(from * 1_000_000_000),
        until: UnixNanos(until * 1_000_000_000),
        amount: dec(amount),
        currency: "USD".to_owned(),
    }
}

#[test]
fn an_invoice_is_laid_beside_what_began_in_its_period() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&DataDir::open(directory.path()).unwrap()).unwrap();
    let jobs = vec![
        job(1, 1, 999, "fal", ["9", "9", "9"]),
        job(2, 1, 1000, "fal", ["1", "1", "2"]),
        job(3, 1, 1500, "runway", ["7", "7", "7"]),
        job(2, 2, 1000, "fal", ["-0.5", "0.25", "0"]),
        job(4, 1, 2000, "fal", ["9", "9", "9"]),
    ];
    ledger.checkpoint(&Checkpoint { jobs, ..Checkpoint::default() }).unwrap();
    let invoices = vec![
        invoice("fal", [1000, 2000], "2.01"),
        invoice("fal", [0, 1000], "9.02"),
        invoice("runway", [1000, 2000], "6.98"),
        invoice("luma", [1000, 2000], "1"),
    ];
    let reconciliation = Reconciliation::new(invoices, directory.path());
    let mut registry = Registry::new(LabelSets::new(9, &[]));
    reconciliation.show(&mut registry, UnixNanos(1));
    assert!(registry.is_empty(), "nothing is known before the ledger was read");

    reconciliation.read().unwrap();
    reconciliation.show(&mut registry, UnixNanos(1));
    let shown = |metric| -> Vec<(String, String)> {
        let text = |(labels, value): (&str, Decimal)| (labels.to_owned(), value.normalize().to_string());
        registry.values(metric).map(text).collect()
    };
    let booked = shown(MetricId::Booked);
    let of = |bound: &str| {
        let wanted = format!("provider=\"fal\",currency=\"USD\",period=\"1000/2000\",bound=\"{bound}\"");
        booked.iter().find(|(labels, _)| *labels == wanted).unwrap().1.clone()
    };
    assert_eq!(["min", "expected", "max"].map(of), ["0.5", "1.25", "2"]);
    let verdicts: Vec<String> = shown(MetricId::Reconciled)
        .into_iter()
        .filter(|(_, value)| value == "1")
        .map(|(labels, _)| labels.replace(",currency=\"USD\"", "").replace('"', ""))
        .collect();
    assert_eq!(
        verdicts,
        [
            "provider=fal,period=0/1000,verdict=above",
            "provider=fal,period=1000/2000,verdict=within_bounds",
            "provider=luma,period=1000/2000,verdict=nothing_booked",
            "provider=runway,period=1000/2000,verdict=below",
        ]
    );
}

/// A job of one image that has no price.
fn unpriced(id: u8, revision: u32, second: u64, images: &str) -> JobRow {
    let priced = job(id, revision, second, "fal", ["0", "0", "0"]);
    let charge = ChargeRow {
        quantity: dec(images),
        unit_price: None,
        currency: "".into(),
        basis: "unpriced".into(),
        ..priced.charges[0].clone()
    };
    JobRow { charges: Arc::new([charge]), ..priced }
}

/// A revision that takes charges without a price back, and has a price.
fn priced(back: &JobRow, now: JobRow) -> JobRow {
    JobRow { charges: back.charges.iter().chain(now.charges.iter()).cloned().collect(), ..now }
}

/// Jobs without a price are not nothing: what they cost is missing on the ledger's side. Once a revision has
/// a price for them they are jobs like others.
#[test]
fn an_invoice_above_jobs_without_a_price_is_not_drift() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&DataDir::open(directory.path()).unwrap()).unwrap();
    let mut jobs: Vec<JobRow> = (0..3).map(|id| unpriced(id, 1, 1000, "1")).collect();
    jobs.extend([
        job(9, 1, 1100, "fal", ["0.025", "0.025", "0.025"]),
        unpriced(4, 1, 3000, "1"),
        unpriced(5, 1, 5000, "1"),
        priced(&unpriced(5, 2, 5000, "-1"), job(5, 2, 5000, "fal", ["1", "1", "1"])),
        job(6, 1, 9000, "fal", ["7", "7", "7"]),
        unpriced(7, 1, 9000, "1"),
    ]);
    ledger.checkpoint(&Checkpoint { jobs, ..Checkpoint::default() }).unwrap();
    let invoices = vec![
        invoice("fal", [1000, 2000], "5"),
        invoice("fal", [3000, 4000], "5"),
        invoice("fal", [5000, 6000], "5"),
        invoice("fal", [7000, 8000], "5"),
        invoice("fal", [9000, 9999], "5"),
    ];
    let reconciliation = Reconciliation::new(invoices, directory.path());
    let mut registry = Registry::new(LabelSets::new(9, &[]));
    reconciliation.read().unwrap();
    reconciliation.show(&mut registry, UnixNanos(1));
    let wanted = [
        ("unpriced_jobs", "0.025"),
        ("unpriced_jobs", "0"),
        ("above", "1"),
        ("nothing_booked", "0"),
        ("below", "7"),
    ];
    assert_eq!(told(&registry), wanted.map(|(verdict, least)| (verdict.to_owned(), Some(least.to_owned()))));
}

/// A verdict and the least that is booked, by the first second of the period.
fn told(registry: &Registry) -> Vec<(String, Option<String>)> {
    let period =
        |labels: &str| labels.split("period=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let booked = |wanted: &str| {
        let mut booked = registry.values(MetricId::Booked);
        let least = booked.find(|(labels, _)| period(labels) == wanted && labels.contains("bound=\"min\""));
        least.map(|(_, amount)| amount.normalize().to_string())
    };
    let verdicts = registry.values(MetricId::Reconciled).filter(|(_, holds)| *holds == Decimal::ONE);
    verdicts
        .map(|(labels, _)| {
            let verdict = labels.split("verdict=\"").nth(1).unwrap().trim_end_matches('"').to_owned();
            (verdict, booked(&period(labels)))
        })
        .collect()
}

/// What is removed is not nothing. A client whose clock is ahead has jobs that settle before they begin.
#[test]
fn an_invoice_whose_rows_may_be_removed_is_not_compared() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&DataDir::open(directory.path()).unwrap()).unwrap();
    let ahead = JobRow { settled_at: 8_500_000_000_000, ..job(3, 1, 9000, "fal", ["2", "2", "2"]) };
    let jobs = vec![
        job(1, 1, 1000, "fal", ["1", "1", "1"]),
        job(2, 1, 1100, "fal", ["1", "1", "1"]),
        ahead,
        job(4, 1, 9100, "fal", ["3", "3", "3"]),
    ];
    ledger.checkpoint(&Checkpoint { jobs, ..Checkpoint::default() }).unwrap();
    let invoices = vec![invoice("fal", [1000, 2000], "2"), invoice("fal", [9000, 9999], "5")];
    let reconciliation = Reconciliation::new(invoices, directory.path());
    let mut registry = Registry::new(LabelSets::new(9, &[]));
    let mut read = || {
        reconciliation.read().unwrap();
        reconciliation.show(&mut registry, UnixNanos(1));
        told(&registry)
    };
    let within = |least: &str| ("within_bounds".to_owned(), Some(least.to_owned()));
    assert_eq!(read(), [within("2"), within("5")]);
    let bound = RetentionBound {
        before: Some(1_100_000_000_000),
        max_bytes: None,
        hold_from: u64::MAX,
        max_rows: 100,
    };
    assert_eq!(ledger.remove_old(&bound, &|_| Some(Vec::new())).unwrap().rows, 1);
    assert_eq!(read(), [("rows_removed".to_owned(), None), within("5")]);
}
