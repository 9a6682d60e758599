//! Whether the counters are the sums of the rows.
//!
//! Twice: series by series, against what each row says that it added; and by currency, unit and cause, and by
//! service and tenant, against the charges. The first finds where, the second does not believe the first.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, reason = "a decimal's operators panic"))]

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use rust_decimal::Decimal;
use spantally_price::{add, sum};
use spantally_store::{CounterRow, LedgerReader, StoreError};

use super::Report;
use super::rows::Totals;
use crate::batch::Transport;
use crate::core::checkpoint::WINDOW_ROW;
use crate::core::rebuild::read_entries;
use crate::core::windows::MINUTE_NANOS;
use crate::export::canonical::{self, owner_of};
use crate::export::{Kind, MetricId, series_key};

/// Values by name and labels; of histograms, how many values were counted.
type Counters = BTreeMap<String, BTreeMap<String, Decimal>>;

/// By the key of a text of labels that is not written any more, the key of the one that is.
type OldKeys = HashMap<u64, u64>;

pub(super) fn check(ledger: &LedgerReader, totals: &Totals, report: &mut Report) -> Result<(), StoreError> {
    let mut counters = Counters::new();
    let (mut windows, mut old_keys) = (Vec::new(), OldKeys::new());
    ledger.load_counters(|row| {
        if &*row.name == WINDOW_ROW {
            windows.push((row.labels.to_string(), row.value));
        } else if let Some((metric, value)) = MetricId::named(&row.name).zip(value(&row)) {
            let labels = canonical::of_series(metric.metric(), &row.labels);
            if let Cow::Owned(labels) = &labels {
                old_keys.insert(series_key(&row.name, &row.labels), series_key(&row.name, labels));
            }
            let sum = counters.entry(row.name.to_string()).or_default().entry(labels.into()).or_default();
            *sum = sum.saturating_add(value);
        } else if MetricId::named(&row.name).is_some() {
            report.differs("counter", format!("{}{{{}}}", row.name, row.labels), &row.value, "a number");
        }
    })?;
    check_series(ledger, (&counters, &old_keys), report)?;
    check_totals(ledger, &counters, totals, report)?;
    check_spans(&counters, report);
    let removed_until = ledger.number("removed_until")? / MINUTE_NANOS;
    for (key, value) in windows {
        check_window((&key, &value), removed_until, totals, report);
    }
    Ok(())
}

/// The value of a counter; of a histogram, how many values were counted. None when it is not readable.
fn value(row: &CounterRow) -> Option<Decimal> {
    match MetricId::named(&row.name)?.metric().kind {
        Kind::Histogram(_) => {
            let (classic, native) = row.value.split_once(" | ").unwrap_or((&row.value, ""));
            let counts = classic.split(' ').skip(1).map(|count| count.parse::<u64>().ok());
            // A native bucket is its number and its count; the first has zero and no number.
            let native = native.split(' ').filter(|bucket| !bucket.is_empty());
            let native = native.map(|bucket| bucket.rsplit(':').next()?.parse::<u64>().ok());
            let (counted, native) = (counts.sum::<Option<u64>>()?, native.sum::<Option<u64>>()?);
            let is_same = native == counted || !row.value.contains(" | ");
            Some(Decimal::from(if is_same { counted } else { native }))
        }
        Kind::Counter | Kind::Gauge => row.value.parse().ok(),
    }
}

fn check_series(
    ledger: &LedgerReader,
    (counters, old_keys): (&Counters, &OldKeys),
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut booked = HashMap::<u64, Decimal>::new();
    let mut book = |key, amount: Decimal| {
        let key = old_keys.get(&key).copied().unwrap_or(key);
        add(booked.entry(key).or_default(), amount);
    };
    let mut unreadable = Vec::new();
    ledger.load_booked(|row, bytes| match read_entries(bytes) {
        Some(entries) => entries.into_iter().for_each(|(key, amount)| book(key, amount)),
        None => unreadable.push(row),
    })?;
    ledger.load_removed_entries(&mut book)?;
    for row in unreadable {
        report.differs("booked", format!("row {row}"), "not readable", "amounts by series");
    }
    for (name, series) in counters {
        let Some(twin) = MetricId::named(name).and_then(|metric| metric.metric().twin) else { continue };
        let reversed = counters.get(twin.metric().name);
        for (labels, &value) in series {
            let back = reversed.and_then(|twin| twin.get(labels)).copied().unwrap_or_default();
            let expected = booked.remove(&series_key(name, labels)).unwrap_or_default();
            let net = value.saturating_sub(back);
            if net != expected {
                let at = format!("{name}{{{labels}}}");
                report.differs("counter", at, net.normalize(), expected.normalize());
            }
        }
    }
    for (key, amount) in booked.into_iter().filter(|(_, amount)| !amount.is_zero()) {
        report.differs("counter", format!("series {key:#018x}"), "none", amount.normalize());
    }
    Ok(())
}

/// Whether a row's charges are those of its service and tenant. Past the limit on label sets nobody can tell
/// by the counters.
fn check_owners(
    (metric, own): (MetricId, &str),
    counters: &Counters,
    rows: [&Totals; 2],
    report: &mut Report,
) {
    let name = metric.metric().name;
    let mut should = BTreeMap::<String, Decimal>::new();
    for ((_, at), &amount) in rows.iter().flat_map(|rows| &rows.owned).filter(|((of, _), _)| *of == name) {
        add(should.entry(at.clone()).or_default(), amount);
    }
    should.retain(|_, sum| !sum.is_zero());
    let key = |labels: &str| Some(format!("{} {own}={}", owner_of(labels)?, label_value(labels, own)));
    if let Some(found) = nets_by(counters, metric, key) {
        compare(name, &found, &should, report);
    }
}

/// A counter less its twin, added up over all series that have the same labels of their own.
fn nets(counters: &Counters, metric: MetricId, own: &[&str]) -> BTreeMap<String, Decimal> {
    let word = |labels: &str, label: &str| format!("{label}={}", label_value(labels, label));
    let key = |labels: &str| Some(own.iter().map(|label| word(labels, label)).collect::<Vec<_>>().join(" "));
    nets_by(counters, metric, key).unwrap_or_default()
}

/// The same over all series of one key; none if some has none.
fn nets_by(
    counters: &Counters,
    metric: MetricId,
    key: impl Fn(&str) -> Option<String>,
) -> Option<BTreeMap<String, Decimal>> {
    let mut sums = BTreeMap::<String, Decimal>::new();
    let twin = metric.metric().twin.map(|twin| twin.metric().name);
    for (name, is_taken_back) in
        std::iter::once((metric.metric().name, false)).chain(twin.map(|name| (name, true)))
    {
        for (labels, &value) in counters.get(name).into_iter().flatten() {
            add(sums.entry(key(labels)?).or_default(), if is_taken_back { -value } else { value });
        }
    }
    sums.retain(|_, sum| !sum.is_zero());
    Some(sums)
}

/// The value of a label. Labels of a metric's own come after the common ones, hence the last one is meant;
/// their values have nothing that is escaped.
fn label_value<'l>(labels: &'l str, label: &str) -> &'l str {
    let start = format!("{label}=\"");
    let value = labels.rfind(&start).map(|at| &labels[at + start.len()..]);
    value.and_then(|rest| rest.split('"').next()).unwrap_or_default()
}

fn check_totals(
    ledger: &LedgerReader,
    counters: &Counters,
    totals: &Totals,
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut removed = Totals::default();
    ledger.load_removed_charges(|charge, owner| removed.add_charge(&charge, owner))?;
    ledger.load_removed_jobs(|outcome, jobs| *removed.jobs.entry(outcome).or_default() += jobs)?;
    for (metric, own) in [
        (MetricId::BilledUnits, &["unit", "cause", "basis"][..]),
        (MetricId::Cost, &["currency", "cause", "basis"]),
        (MetricId::CostBound, &["currency", "bound"]),
    ] {
        let name = metric.metric().name;
        let mut should = BTreeMap::<String, Decimal>::new();
        for ((_, labels), &amount) in
            totals.counters.iter().chain(&removed.counters).filter(|((of, _), _)| *of == name)
        {
            add(should.entry(labels.clone()).or_default(), amount);
        }
        should.retain(|_, sum| !sum.is_zero());
        compare(name, &nets(counters, metric, own), &should, report);
    }
    for (metric, own) in [(MetricId::BilledUnits, "unit"), (MetricId::Cost, "currency")] {
        check_owners((metric, own), counters, [totals, &removed], report);
    }
    let mut jobs = BTreeMap::<String, Decimal>::new();
    for (outcome, &count) in totals.jobs.iter().chain(&removed.jobs) {
        add(jobs.entry(format!("outcome={outcome}")).or_default(), Decimal::from(count));
    }
    compare(MetricId::Jobs.metric().name, &nets(counters, MetricId::Jobs, &["outcome"]), &jobs, report);
    if report.checked.removed_rows == 0 {
        let durations = counters.get(MetricId::JobDuration.metric().name).into_iter().flatten();
        let counted = sum(durations.map(|(_, count)| *count));
        if counted != Decimal::from(totals.first) {
            report.differs("histogram", MetricId::JobDuration.metric().name, counted, totals.first);
        }
    }
    Ok(())
}

fn compare(
    name: &str,
    found: &BTreeMap<String, Decimal>,
    should: &BTreeMap<String, Decimal>,
    report: &mut Report,
) {
    let mut keys: Vec<_> = found.keys().chain(should.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        let [found, should] = [found, should].map(|sums| sums.get(key).copied().unwrap_or_default());
        if found != should {
            let at = format!("{name} by {key}");
            report.differs("sum", at, found.normalize(), format!("{} by the rows", should.normalize()));
        }
    }
}

/// received = accepted + duplicate + late + surplus + ignored + rejected.
fn check_spans(counters: &Counters, report: &mut Report) {
    for transport in Transport::ALL.map(Transport::as_str) {
        let of = |metric: MetricId| -> Decimal {
            let series = counters.get(metric.metric().name).into_iter().flatten();
            let series = series.filter(|(labels, _)| label_value(labels, "transport") == transport);
            sum(series.map(|(_, value)| *value))
        };
        let parts = [
            MetricId::SpansAccepted,
            MetricId::SpansDuplicate,
            MetricId::SpansLate,
            MetricId::SpansSurplus,
            MetricId::SpansIgnored,
            MetricId::SpansRejected,
        ];
        let (received, accounted) = (of(MetricId::SpansReceived), sum(parts.map(of)));
        if received != accounted {
            let at = format!("spans received by {transport}");
            report.differs("spans", at, received, format!("{accounted} accounted for"));
        }
    }
}

/// Cost by time, from which the ratio gauges are: everything since its first minute. Old minutes stay in it
/// until something new is spent, also when their rows are removed; these are passed over.
fn check_window((key, text): (&str, &str), removed_until: u64, totals: &Totals, report: &mut Report) {
    let bucket = |line: &str| {
        let mut words = line.split(' ');
        Some((words.next()?.parse::<u64>().ok()?, words.next()?.parse::<Decimal>().ok()?))
    };
    let names: Vec<_> = key.split('\n').map(str::to_owned).collect();
    let at = || format!("cost by time of {}", names.join(" "));
    let (Ok(names), Some(buckets)) =
        (<[String; 3]>::try_from(names.clone()), text.lines().map(bucket).collect::<Option<Vec<_>>>())
    else {
        return report.differs("window", at(), "not readable", "minutes with amounts");
    };
    let kept = buckets.into_iter().filter(|&(start, _)| start > removed_until);
    let buckets: Vec<_> = kept.collect();
    let Some(&(first, _)) = buckets.first() else { return };
    // Past the limit on series the models of a provider are taken together.
    if names[1].is_empty() {
        return;
    }
    let found = sum(buckets.iter().map(|(_, total)| *total));
    let from = (names.clone(), first);
    let until = (names.clone(), u64::MAX);
    let should = sum(totals.minutes.range(from..=until).map(|(_, cost)| *cost));
    if found != should {
        report.differs("window", at(), found.normalize(), format!("{} by the rows", should.normalize()));
    }
}
