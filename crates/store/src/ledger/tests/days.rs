//! Days as ranges of rows, and what goes of them.

use super::*;
use crate::ledger::{DAY_NANOS, RetentionBound};

const FIRST_DAY: u64 = 20_777;

/// A job that settled on a day, at an hour of it.
fn settled(id: u8, revision: u32, (day, hour): (u64, u64), cost: &str) -> JobRow {
    let settled_at = (FIRST_DAY + day) * DAY_NANOS + hour * (DAY_NANOS / 24);
    let charges = if cost.is_empty() { vec![] } else { vec![charge(cost)] };
    JobRow { settled_at, booked: cost.as_bytes().to_vec(), ..job(id, revision, charges) }
}

/// Three days; a job of the first is revised on the third.
fn three_days() -> (tempfile::TempDir, Ledger) {
    let (dir, mut ledger) = open();
    let jobs = vec![
        settled(1, 1, (0, 0), "0.1"),
        settled(2, 1, (0, 23), "0.2"),
        settled(3, 1, (1, 5), "0.3"),
        settled(4, 1, (2, 1), ""),
        settled(2, 2, (2, 2), "-0.05"),
    ];
    ledger.checkpoint(&Checkpoint { applied: Seq(1), jobs, ..Checkpoint::default() }).unwrap();
    (dir, ledger)
}

/// What a test row booked is its cost, on one series.
fn entries(booked: &[u8]) -> Option<Vec<(u64, Decimal)>> {
    let text = std::str::from_utf8(booked).ok()?;
    Some(vec![(7, decimal(text))])
}

fn bound(before: (u64, u64)) -> RetentionBound {
    let at = |(day, hour)| (FIRST_DAY + day) * DAY_NANOS + hour * (DAY_NANOS / 24);
    RetentionBound { before: Some(at(before)), max_bytes: None, hold_from: u64::MAX, max_rows: 100 }
}

fn days_of(ledger: &Ledger, told_until: u64) -> Vec<(u64, (u64, u64), bool, bool)> {
    let days = ledger.reader().unwrap().days(told_until).unwrap();
    days.iter().map(|day| (day.day - FIRST_DAY, day.rows, day.is_cut, day.is_over)).collect()
}

/// Live rows and what is kept of others: cost, jobs that are the newest of theirs.
fn sums(ledger: &Ledger) -> (Decimal, u64) {
    let reader = ledger.reader().unwrap();
    let (mut cost, mut jobs) = (Decimal::ZERO, 0);
    let (first, last) = reader.row_range(0).unwrap().unwrap_or((1, 0));
    let replaced = reader.replaced_rows().unwrap();
    let mut add = |charge: ChargeRow| cost += charge.cost_expected;
    reader
        .visit_charges((first, last), |_, charge| {
            add(charge);
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    reader.load_removed_charges(|charge, _| add(charge)).unwrap();
    reader.load_removed_jobs(|_, count| jobs += count).unwrap();
    jobs += (first..=last).filter(|row| !replaced.contains(row)).count() as u64;
    (cost, jobs)
}

fn removed_entry(ledger: &Ledger) -> Decimal {
    let mut sum = Decimal::ZERO;
    ledger
        .reader()
        .unwrap()
        .load_removed_entries(|key, amount| {
            assert_eq!(key, 7);
            sum += amount;
        })
        .unwrap();
    sum
}

#[test]
fn a_day_is_a_range_of_rows() {
    let (_dir, ledger) = three_days();
    let over = (FIRST_DAY + 2) * DAY_NANOS;
    assert_eq!(
        days_of(&ledger, over),
        [(0, (1, 2), false, true), (1, (3, 3), false, true), (2, (4, 5), false, false)]
    );
    let reader = ledger.reader().unwrap();
    for day in reader.days(over).unwrap() {
        assert_eq!(reader.day(day.day, over).unwrap(), Some(day));
    }
    assert_eq!([FIRST_DAY - 1, FIRST_DAY + 3].map(|day| reader.day(day, over).unwrap()), [None, None]);
    let (_dir, empty) = open();
    assert_eq!(days_of(&empty, 0), []);
    assert_eq!(empty.reader().unwrap().day(FIRST_DAY, 0).unwrap(), None);
}

#[test]
fn old_rows_go_and_their_sums_stay() {
    let (dir, mut ledger) = three_days();
    let before = sums(&ledger);
    assert_eq!(before, (decimal("0.55"), 4));
    // Where it cannot be read what a row added to the counters, the row stays.
    let error = ledger.remove_old(&bound((1, 0)), &|_| None).unwrap_err();
    assert!(error.to_string().contains("remove old rows"), "{error}");
    assert_eq!((sums(&ledger), ledger.size().unwrap().removed_rows), (before, 0));
    let removed = ledger.remove_old(&bound((1, 0)), &entries).unwrap();
    assert_eq!((removed.rows, removed.is_more), (2, false));
    assert_eq!(removed.until_unix_nanos, settled(2, 1, (0, 23), "").settled_at);
    assert_eq!(sums(&ledger), before);
    // The second job counts by its newest revision, which is still there.
    assert_eq!(removed_entry(&ledger), decimal("0.1"));
    assert_eq!(days_of(&ledger, 0), [(1, (3, 3), false, false), (2, (4, 5), false, false)]);
    assert_eq!(ledger.reader().unwrap().day(FIRST_DAY, 0).unwrap(), None, "it is gone");
    assert_eq!(ledger.reader().unwrap().removed_until().unwrap(), removed.until_unix_nanos);
    let size = ledger.size().unwrap();
    assert_eq!((size.removed_rows, size.oldest_unix_nanos), (2, Some(settled(3, 1, (1, 5), "").settled_at)));

    let reader = ledger.reader().unwrap();
    assert!(reader.published([1; 16]).unwrap().is_none());
    let cut = reader.published([2; 16]).unwrap().unwrap();
    assert!(cut.is_cut && cut.job.revision == 2 && cut.charges.len() == 1, "{cut:?}");
    assert!(!reader.published([3; 16]).unwrap().unwrap().is_cut);

    // All go, in slices; numbers go on.
    let one = RetentionBound { max_rows: 1, ..bound((9, 0)) };
    assert!(ledger.remove_old(&one, &entries).unwrap().is_more);
    while ledger.remove_old(&one, &entries).unwrap().is_more {}
    assert_eq!((days_of(&ledger, 0), sums(&ledger)), (vec![], before));
    let mut ledger = reopen(&dir, ledger);
    let jobs = vec![settled(9, 1, (3, 1), "1")];
    ledger.checkpoint(&Checkpoint { applied: Seq(2), jobs, ..Checkpoint::default() }).unwrap();
    assert_eq!(days_of(&ledger, 0), [(3, (6, 6), false, false)]);
    assert!(ledger.reader().unwrap().published([9; 16]).unwrap().is_some());
    assert_eq!(sums(&ledger), (decimal("1.55"), 5));
}

#[test]
fn what_may_be_revised_stays_whole() {
    let (_dir, mut ledger) = three_days();
    // The first job goes; the second has a revision that is held, so its older one stays, and all after it.
    let held = RetentionBound { hold_from: settled(2, 2, (2, 2), "").settled_at, ..bound((2, 2)) };
    assert_eq!(ledger.remove_old(&held, &entries).unwrap().rows, 1);
    assert_eq!(ledger.remove_old(&held, &entries).unwrap().rows, 0);
    assert_eq!(days_of(&ledger, 0)[0], (0, (2, 2), true, false), "the first day is cut");
    let nothing = RetentionBound { hold_from: 0, ..bound((9, 0)) };
    assert_eq!(ledger.remove_old(&nothing, &entries).unwrap().rows, 0);
}

#[test]
fn a_ledger_that_is_too_large_gives_room_for_new_rows() {
    let (dir, mut ledger) = open();
    let fill = |ledger: &mut Ledger, seq: u64| {
        let applied = Seq(seq);
        let rows = (0..200_u64).map(|number| JobRow {
            job_id: u128::from(seq * 1000 + number).to_be_bytes(),
            detail: Detail::Whole(vec![b' '; 2000]),
            settled_at: FIRST_DAY * DAY_NANOS + seq,
            ..job(0, 1, vec![charge("0.5")])
        });
        let jobs = rows.collect();
        ledger.checkpoint(&Checkpoint { applied, jobs, ..Checkpoint::default() }).unwrap();
    };
    (1..=10).for_each(|seq| fill(&mut ledger, seq));
    let full = ledger.size().unwrap().used_bytes;
    let bound =
        RetentionBound { before: None, max_bytes: Some(full / 2), hold_from: u64::MAX, max_rows: 150 };
    let file = || fs::metadata(ledger_file(&dir)).unwrap().len();
    let size = file();
    for seq in 11..=30 {
        while ledger.remove_old(&bound, &|_| Some(Vec::new())).unwrap().is_more {}
        assert!(ledger.size().unwrap().used_bytes <= full / 2, "at the bound");
        fill(&mut ledger, seq);
    }
    assert!(file() <= size, "free pages are used again: {} of {size}", file());
    assert_eq!(sums(&ledger).0, decimal("0.5") * Decimal::from(30 * 200));
    // What must stay stays, also past the bound.
    let held = RetentionBound { hold_from: 0, max_bytes: Some(1), ..bound };
    assert_eq!(ledger.remove_old(&held, &|_| Some(Vec::new())).unwrap().rows, 0);
}

fn ledger_file(dir: &tempfile::TempDir) -> std::path::PathBuf {
    dir.path().join("ledger.db")
}

#[test]
fn rows_cannot_be_deleted_by_hand() {
    let (dir, ledger) = three_days();
    drop(ledger);
    let connection = Connection::open(ledger_file(&dir)).unwrap();
    let refused = connection.execute("DELETE FROM job_row WHERE id = 1", []).unwrap_err();
    assert!(refused.to_string().contains("append-only"), "{refused}");
}
