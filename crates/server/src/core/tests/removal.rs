//! The ledger's retention: rows go, numbers stay.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use rust_decimal::Decimal;
use spantally_stitch::{Evidence, TaskState, UnixNanos};
use spantally_store::{DataDir, Ledger, LedgerReader};

use super::fixture::*;
use super::turns::{committer, journal, wait_until};
use crate::core::removal::{LedgerRetention, Removal};
use crate::core::{Clock, Core, CoreThread, TurnOptions};
use crate::export::MetricId;
use crate::verify::{Report, verify_ledger};

const DAY: u64 = 86_400;

fn done(task: &str, second: u64) -> Vec<Evidence> {
    let mut evidence = unfinished(task, second);
    evidence.push(result(task, second, TaskState::Succeeded));
    evidence
}

fn turn(core: &mut Core, ledger: &mut Ledger, second: u64) {
    core.advance(at(second));
    core.refresh();
    ledger.checkpoint(&core.checkpoint()).unwrap();
}

/// A job a day for ten days.
fn ten_days(ledger: &mut Ledger) -> Core {
    let mut core = core();
    core.set_archive(Box::new(ledger.reader().unwrap()));
    for day in 0..10 {
        core.apply(message(day + 1, done(&format!("task-{day:03}"), day * DAY)));
        turn(&mut core, ledger, day * DAY + 100);
    }
    core
}

fn open(dir: &tempfile::TempDir) -> Ledger {
    Ledger::open(&DataDir::open(dir.path()).unwrap()).unwrap()
}

fn retention(days: u64) -> LedgerRetention {
    LedgerRetention { max_age: Some(Duration::from_secs(days * DAY)), max_bytes: None }
}

fn rows(reader: &LedgerReader) -> u64 {
    reader.row_range(0).unwrap().map_or(0, |(first, last)| last + 1 - first)
}

/// Rows, counters and the sums of what is removed add up.
#[track_caller]
fn assert_agrees(core: &mut Core, ledger: &mut Ledger) {
    ledger.checkpoint(&core.checkpoint()).unwrap();
    let mut report = Report::default();
    verify_ledger(&ledger.reader().unwrap(), &mut report).unwrap();
    assert_eq!(report.differences, []);
    assert!(report.checked.counters > 100, "{:?}", report.checked);
}

/// Everything of the page but what the removal itself shows.
fn numbers(core: &Core) -> Vec<String> {
    let page = page(core);
    let is_other = |line: &&str| !line.contains("spantally_ledger_") && !line.starts_with('#');
    let without_exemplar = |line: &str| line.split(" # {").next().unwrap_or_default().to_owned();
    page.lines().filter(is_other).map(without_exemplar).collect()
}

/// A clock that was far ahead and is set right again: by the time that it was before, rows would go too soon.
#[test]
fn rows_stay_while_the_clock_is_behind_what_it_was() {
    static SECOND: AtomicU64 = AtomicU64::new(2 * DAY);
    static LOOKS: AtomicU64 = AtomicU64::new(0);
    fn now() -> UnixNanos {
        LOOKS.fetch_add(1, Ordering::SeqCst);
        at(SECOND.load(Ordering::SeqCst))
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = DataDir::open(dir.path()).unwrap();
    let mut ledger = Ledger::open(&dir).unwrap();
    let core = ten_days(&mut ledger);
    let reader = ledger.reader().unwrap();
    let (committer, _groups) = committer(journal(&dir, ledger.applied()));
    let (sender, messages) = sync_channel(1);
    let clock = Clock { now, instant: Instant::now };
    let options = TurnOptions {
        interval: Duration::from_millis(5),
        retention: retention(4),
        ..TurnOptions::new(clock)
    };
    let thread = CoreThread::start(core, ledger, messages, committer.handle(), options, None).unwrap();

    // Each turn looks once; the retention comes after all but the first two of them.
    wait_until(|| LOOKS.load(Ordering::SeqCst) > 8);
    assert_eq!(rows(&reader), 10);
    SECOND.store(9 * DAY + 200, Ordering::SeqCst);
    wait_until(|| rows(&reader) < 10);
    drop(sender);
    thread.join().unwrap();
    committer.stop().unwrap();
}

#[test]
fn rows_go_counters_stay_and_a_restart_knows() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(&dir);
    let mut core = ten_days(&mut ledger);
    assert_agrees(&mut core, &mut ledger);
    let before = numbers(&core);
    Removal::new(LedgerRetention::default(), &mut core, &ledger).turn(&mut core, &mut ledger);
    assert_eq!(rows(&ledger.reader().unwrap()), 10, "without a bound all stay");
    Removal::new(retention(4), &mut core, &ledger).turn(&mut core, &mut ledger);
    core.refresh();
    assert_eq!(rows(&ledger.reader().unwrap()), 5, "nine days, of which four are wanted, and today");
    assert_eq!(numbers(&core), before);
    assert_agrees(&mut core, &mut ledger);
    let shown = page(&core);
    assert!(shown.contains("spantally_ledger_removed_rows_total 5\n"), "{shown}");
    assert!(shown.contains("spantally_ledger_bytes "), "{shown}");
    assert!(!shown.contains("spantally_ledger_limit_bytes "), "there is no limit");

    drop(ledger);
    let ledger = open(&dir);
    let mut again = super::fixture::core();
    again.restore(&ledger).unwrap();
    again.finish_rehydration();
    again.advance(at(9 * DAY + 100));
    again.refresh();
    assert_eq!(numbers(&again), before);
    // What is of a time that is removed may have been counted. The old process remembers that it was, the new
    // one takes it to be: neither counts it again.
    for core in [&mut core, &mut again] {
        core.apply(message(11, done("task-000", 0)));
        let settled = core.advance(at(9 * DAY + 4000));
        assert!(settled.is_empty(), "{settled:?}");
        assert_eq!(net(core, MetricId::Jobs, &[]), Decimal::from(10));
    }
    // Both know the task as forgotten, so that its four spans are late, and nothing comes of them.
    for core in [&core, &again] {
        let lates = [MetricId::SpansLate, MetricId::LateJobs].map(|metric| net(core, metric, &[]));
        assert_eq!(lates, [Decimal::from(4), Decimal::ZERO]);
    }
}

#[test]
fn what_may_still_be_revised_stays_whatever_the_bound() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(&dir);
    let mut core = ten_days(&mut ledger);
    let tiny = LedgerRetention { max_age: Some(Duration::from_secs(1)), max_bytes: Some(1) };
    Removal::new(tiny, &mut core, &ledger).turn(&mut core, &mut ledger);
    // A day, six hours and one more.
    assert_eq!(rows(&ledger.reader().unwrap()), 2, "today's and yesterday's");
    assert!(
        page(&core).contains("spantally_ledger_limit_bytes 1\n"),
        "the bound is shown, and that it is passed"
    );
}

#[test]
fn an_outage_is_no_waiting_for_those_that_are_open() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(&dir);
    let mut core = ten_days(&mut ledger);
    // One more begins, and the server is away for a week.
    core.apply(message(11, unfinished("task-010", 9 * DAY + 200)));
    turn(&mut core, &mut ledger, 9 * DAY + 300);
    core.resume(at(16 * DAY));
    Removal::new(retention(1), &mut core, &ledger).turn(&mut core, &mut ledger);
    core.apply(message(12, vec![result("task-010", 9 * DAY + 200, TaskState::Succeeded)]));
    turn(&mut core, &mut ledger, 16 * DAY + 600);
    assert_eq!(net(&core, MetricId::Jobs, &[]), Decimal::from(11));
    assert_agrees(&mut core, &mut ledger);
}

#[test]
fn what_a_budget_counts_from_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(&dir);
    let mut core = core();
    core.set_budgets(super::budgets::monthly());
    core.set_archive(Box::new(ledger.reader().unwrap()));
    for day in 0..10 {
        core.apply(message(day + 1, done(&format!("task-{day:03}"), day * DAY)));
        turn(&mut core, &mut ledger, day * DAY + 100);
    }
    Removal::new(retention(4), &mut core, &ledger).turn(&mut core, &mut ledger);
    assert_eq!(rows(&ledger.reader().unwrap()), 10, "all of one month");
    // The next month begins: the last one may go.
    turn(&mut core, &mut ledger, 15 * DAY);
    Removal::new(retention(4), &mut core, &ledger).turn(&mut core, &mut ledger);
    assert_eq!(rows(&ledger.reader().unwrap()), 0);
    assert_agrees(&mut core, &mut ledger);
}
