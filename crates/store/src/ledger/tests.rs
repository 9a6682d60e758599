//! A checkpoint is there whole or not at all, rows are only ever added, and the views show them.

use std::borrow::Cow;
use std::fs;

use rusqlite::Connection;
use rust_decimal::Decimal;

use super::*;
use crate::dir::DataDir;
use crate::error::StoreError;
use crate::seq::Seq;
use crate::sqlite::{Database, Schema};

mod days;
mod forms;
mod labels;

fn decimal(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

fn charge(cost: &str) -> ChargeRow {
    ChargeRow {
        attempt: 0,
        provider: "fal".into(),
        model: "fal-ai/flux/dev".into(),
        operation: "text_to_image".into(),
        unit: "image".into(),
        quantity: decimal("1"),
        unit_price: Some(decimal("0.025")),
        cost_min: decimal(cost),
        cost_expected: decimal(cost),
        cost_max: decimal(cost),
        currency: "USD".into(),
        cause: Cow::Borrowed("delivered"),
        basis: Cow::Borrowed("documented"),
        rule: "fal/flux_image".into(),
    }
}

const DETAIL: &str = r#"{"attempts":[{"task_id":"t-1","accepted":"yes","outcome":"succeeded",
    "failure_reason":null,"cause":"delivered","polls":2,
    "spans":{"submit":["0102030405060708090a0b0c0d0e0f10:1112131415161718"],
    "poll":["0102030405060708090a0b0c0d0e0f10:2122232425262728",
    "0102030405060708090a0b0c0d0e0f10:3132333435363738"],
    "result":[]},"joins":[{"rule":"task_id_path","confidence":"exact"}]}]}"#;

fn job(id: u8, revision: u32, charges: Vec<ChargeRow>) -> JobRow {
    JobRow {
        job_id: [id; 16],
        revision,
        state: Cow::Borrowed("settled"),
        tenant: "".into(),
        service: "clips".into(),
        provider: "fal".into(),
        model: "fal-ai/flux/dev".into(),
        operation: "text_to_image".into(),
        outcome: Cow::Borrowed("succeeded"),
        failure_reason: None,
        attempts: 1,
        started_at: 1_794_000_000_000_000_000,
        ended_at: 1_794_000_001_500_000_000,
        settled_at: 1_794_000_031_500_000_000 + u64::from(revision),
        digest: 77,
        detail: Detail::Whole(DETAIL.as_bytes().to_vec()),
        charges: charges.into(),
        booked: vec![revision as u8],
    }
}

fn open() -> (tempfile::TempDir, Ledger) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&DataDir::open(dir.path()).unwrap()).unwrap();
    (dir, ledger)
}

fn reopen(dir: &tempfile::TempDir, ledger: Ledger) -> Ledger {
    drop(ledger);
    Ledger::open(&DataDir::open(dir.path()).unwrap()).unwrap()
}

fn state(ledger: &Ledger) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    ledger.load_state(|number, blob| found.push((number, blob.to_vec()))).unwrap();
    found
}

fn counters(ledger: &Ledger) -> Vec<CounterRow> {
    let mut found = Vec::new();
    ledger.load_counters(|counter| found.push(counter)).unwrap();
    found
}

fn counter(labels: &str, value: &str) -> CounterRow {
    CounterRow {
        name: "spantally_cost_total".into(),
        labels: labels.into(),
        value: value.to_owned(),
        start_unix_nanos: 17,
    }
}

#[test]
fn a_checkpoint_is_there_after_a_start() {
    let (dir, mut ledger) = open();
    let first = Checkpoint {
        applied: Seq(7),
        open: vec![(2, Some(b"two".to_vec())), (1, Some(b"one".to_vec()))],
        counters: vec![counter("a", "1.50"), counter("b", "2")],
        jobs: vec![job(9, 1, vec![charge("0.025")])],
        forms: Vec::new(),
        turn: Some(TurnRow { applied: Seq(7), unix_nanos: 12, mark: b"mark".to_vec() }),
        done: Seq(3),
        tombstones: vec![7, u64::MAX],
        meta: vec![("clock".to_owned(), b"12".to_vec())],
    };
    ledger.checkpoint(&first).unwrap();
    let second = Checkpoint {
        applied: Seq(8),
        turn: Some(TurnRow { applied: Seq(8), unix_nanos: 14, mark: vec![] }),
        open: vec![(1, None), (2, Some(b"two, changed".to_vec())), (3, Some(Vec::new()))],
        counters: vec![counter("a", "1.75")],
        ..Checkpoint::default()
    };
    ledger.checkpoint(&second).unwrap();
    let ledger = reopen(&dir, ledger);
    assert_eq!(ledger.applied(), Seq(8));
    assert_eq!(state(&ledger), [(2, b"two, changed".to_vec()), (3, vec![])]);
    assert_eq!(counters(&ledger), [counter("a", "1.75"), counter("b", "2")]);
    assert_eq!(ledger.load_meta("clock").unwrap().as_deref(), Some(&b"12"[..]));
    assert_eq!(ledger.load_meta("nothing").unwrap(), None);
    let turns = |ledger: &Ledger| ledger.load_turns().unwrap();
    assert_eq!(turns(&ledger), [first.turn.clone().unwrap(), second.turn.clone().unwrap()]);
    let mut ledger = ledger;
    ledger.checkpoint(&Checkpoint { applied: Seq(8), done: Seq(7), ..Checkpoint::default() }).unwrap();
    assert_eq!(turns(&ledger), [second.turn.unwrap()]);
    let published = ledger.reader().unwrap().published([9; 16]).unwrap().unwrap();
    assert_eq!(published.job, job(9, 1, vec![]));
    assert_eq!(published.charges, [(1, charge("0.025"))]);
}

#[test]
fn a_revision_adds_rows_whose_sum_is_right() {
    let (_dir, mut ledger) = open();
    let jobs = vec![job(5, 1, vec![charge("0.025")]), job(4, 1, vec![charge("1")])];
    ledger.checkpoint(&Checkpoint { applied: Seq(1), jobs, ..Checkpoint::default() }).unwrap();
    let jobs = vec![job(5, 2, vec![charge("-0.0125"), charge("0")])];
    ledger.checkpoint(&Checkpoint { applied: Seq(2), jobs, ..Checkpoint::default() }).unwrap();
    let reader = ledger.reader().unwrap();
    let published = reader.published([5; 16]).unwrap().unwrap();
    assert_eq!(published.job.revision, 2);
    let sum: Decimal = published.charges.iter().map(|(_, charge)| charge.cost_expected).sum();
    assert_eq!(sum.to_string(), "0.0125");
    assert_eq!(reader.published([6; 16]).unwrap(), None);

    let newest = |since| {
        let mut newest = Vec::new();
        reader.load_settled(since, |row| newest.push((row.job_id[0], row.revision, row.digest))).unwrap();
        newest
    };
    assert_eq!(newest(0), [(5, 2, 77), (4, 1, 77), (5, 1, 77)]);
    assert_eq!(newest(job(5, 2, vec![]).settled_at), [(5, 2, 77)]);
}

#[test]
fn rows_cannot_be_changed_or_removed() {
    let (dir, mut ledger) = open();
    let jobs = vec![job(5, 1, vec![charge("0.025")])];
    let forms = vec![FormRow { id: 1, pieces: "[]".into(), ..FormRow::default() }];
    ledger.checkpoint(&Checkpoint { applied: Seq(1), forms, jobs, ..Checkpoint::default() }).unwrap();
    let other = Connection::open(dir.path().join("ledger.db")).unwrap();
    for sql in [
        "UPDATE job_row SET attempts = 9",
        "DELETE FROM job_row",
        "UPDATE form SET pieces = '[]'",
        "DELETE FROM form",
    ] {
        let error = other.execute(sql, []).unwrap_err();
        assert!(error.to_string().contains("append-only"), "{sql}: {error}");
    }
}

#[test]
fn a_checkpoint_that_fails_leaves_nothing_behind() {
    let (dir, mut ledger) = open();
    let jobs = vec![job(5, 1, vec![charge("0.025")])];
    ledger.checkpoint(&Checkpoint { applied: Seq(1), jobs: jobs.clone(), ..Checkpoint::default() }).unwrap();
    // The same revision once more: refused by the file, after the open state and a job before it were
    // written.
    let twice = Checkpoint {
        applied: Seq(2),
        open: vec![(1, Some(b"half".to_vec()))],
        counters: vec![counter("a", "1")],
        jobs: vec![job(1, 1, vec![charge("3")]), jobs[0].clone()],
        ..Checkpoint::default()
    };
    ledger.checkpoint(&twice).unwrap_err();
    assert_eq!((ledger.applied(), state(&ledger), counters(&ledger)), (Seq(1), vec![], vec![]));
    assert_eq!(ledger.reader().unwrap().published([1; 16]).unwrap(), None);
    // And the next one works.
    let next = Checkpoint { jobs: vec![job(1, 1, vec![charge("3")])], ..twice };
    ledger.checkpoint(&next).unwrap();
    let ledger = reopen(&dir, ledger);
    assert_eq!((ledger.applied(), state(&ledger).len()), (Seq(2), 1));
}

#[test]
fn an_older_checkpoint_is_refused() {
    let (_dir, mut ledger) = open();
    ledger.checkpoint(&Checkpoint { applied: Seq(5), ..Checkpoint::default() }).unwrap();
    let error = ledger.checkpoint(&Checkpoint { applied: Seq(4), ..Checkpoint::default() }).unwrap_err();
    assert!(matches!(error, StoreError::Backwards { applied: Seq(5), given: Seq(4), .. }), "{error}");
}

#[test]
fn the_views_unpack_a_job() {
    let (dir, mut ledger) = open();
    let jobs = vec![job(0xab, 1, vec![charge("0.025")]), job(0xab, 2, vec![charge("-0.005")])];
    ledger.checkpoint(&Checkpoint { applied: Seq(1), jobs, ..Checkpoint::default() }).unwrap();
    let other = Connection::open(dir.path().join("ledger.db")).unwrap();
    let texts = |sql: &str| -> Vec<String> {
        let mut select = other.prepare(sql).unwrap();
        select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let id = "ab".repeat(16);
    assert_eq!(
        texts("SELECT job_id || ' ' || revision || ' ' || started_at || ' ' || ended_at FROM jobs"),
        [format!("{id} 2 2026-11-06T21:20:00.000Z 2026-11-06T21:20:01.500Z")]
    );
    assert_eq!(
        texts(
            "SELECT revision || ' ' || cause || ' ' || cost_expected || ' ' || service
             FROM charges ORDER BY revision"
        ),
        ["1 delivered 0.025 clips", "2 delivered -0.005 clips"]
    );
    assert_eq!(
        texts(
            "SELECT attempt || ' ' || task_id || ' ' || outcome || ' ' || polls || ' ' || joins FROM attempts"
        ),
        [r#"0 t-1 succeeded 2 [{"rule":"task_id_path","confidence":"exact"}]"#]
    );
    assert_eq!(
        texts("SELECT call || ' ' || trace_id || ' ' || span_id FROM calls ORDER BY call, span_id"),
        [
            "poll 0102030405060708090a0b0c0d0e0f10 2122232425262728",
            "poll 0102030405060708090a0b0c0d0e0f10 3132333435363738",
            "submit 0102030405060708090a0b0c0d0e0f10 1112131415161718",
        ]
    );
}

#[test]
fn a_reader_sees_one_moment_and_holds_nobody_up() {
    let (dir, mut ledger) = open();
    ledger.checkpoint(&Checkpoint { applied: Seq(1), ..Checkpoint::default() }).unwrap();
    let other = Connection::open(dir.path().join("ledger.db")).unwrap();
    other.execute_batch("BEGIN; SELECT * FROM meta").unwrap();
    let jobs = vec![job(1, 1, vec![])];
    ledger.checkpoint(&Checkpoint { applied: Seq(2), jobs, ..Checkpoint::default() }).unwrap();
    let count: i64 = other.query_row("SELECT count(*) FROM jobs", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 0);
    other.execute_batch("COMMIT").unwrap();
    let count: i64 = other.query_row("SELECT count(*) FROM jobs", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 1);
}

#[test]
fn a_reader_says_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let error = LedgerReader::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    fs::write(dir.path().join("ledger.db"), "not a database, by far").unwrap();
    let error = LedgerReader::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
}

#[test]
fn a_newer_or_damaged_ledger_is_refused() {
    let (dir, ledger) = open();
    let path = ledger.path().to_owned();
    drop(ledger);
    let data = DataDir::open(dir.path()).unwrap();
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = Ledger::open(&data).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, supported: 1, .. }), "{error}");
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 1).unwrap();

    let mut bytes = fs::read(&path).unwrap();
    for byte in &mut bytes[100..8192] {
        *byte = 0x5a;
    }
    fs::write(&path, bytes).unwrap();
    let error = Ledger::open(&data).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

/// A version after the newest, as a later release may add one.
const LATER: Schema = Schema {
    steps: &[
        SCHEMA.steps[0],
        "ALTER TABLE meta ADD COLUMN note TEXT; UPDATE meta SET note = 'moved';",
        "CREATE TABLE budget(name TEXT PRIMARY KEY) STRICT;",
    ],
    ..SCHEMA
};

fn version_of(path: &std::path::Path) -> i64 {
    Connection::open(path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

#[test]
fn a_file_of_version_1_is_brought_to_a_later_one_with_its_rows() {
    let (_dir, mut ledger) = open();
    let jobs = vec![job(1, 1, vec![charge("3")])];
    ledger.checkpoint(&Checkpoint { applied: Seq(4), jobs, ..Checkpoint::default() }).unwrap();
    let path = ledger.path().to_owned();
    drop(ledger);
    assert_eq!(version_of(&path), 1);
    let database = Database::open(&path, LATER.kind, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    database.migrate(&LATER).unwrap();
    database.migrate(&LATER).unwrap();
    drop(database);
    assert_eq!(version_of(&path), 3);
    let other = Connection::open(&path).unwrap();
    let note: String =
        other.query_row("SELECT note FROM meta WHERE name = 'applied'", [], |row| row.get(0)).unwrap();
    let jobs: i64 = other.query_row("SELECT count(*) FROM jobs", [], |row| row.get(0)).unwrap();
    assert_eq!((note.as_str(), jobs), ("moved", 1));
}

#[test]
fn a_migration_that_fails_changes_nothing() {
    const BROKEN: Schema = Schema {
        steps: &[SCHEMA.steps[0], "CREATE TABLE budget(name TEXT);", "CREATE TABLE budget(name TEXT);"],
        ..SCHEMA
    };
    let (_dir, ledger) = open();
    let path = ledger.path().to_owned();
    drop(ledger);
    let database = Database::open(&path, BROKEN.kind, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    database.migrate(&BROKEN).unwrap_err();
    drop(database);
    assert_eq!(version_of(&path), 1);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("SELECT * FROM budget").unwrap_err();
}

#[test]
fn the_documentation_names_every_column_of_the_views() {
    let (dir, _ledger) = open();
    let page = include_str!("../../../../docs/ledger.md");
    let other = Connection::open(dir.path().join("ledger.db")).unwrap();
    for view in ["jobs", "charges", "attempts", "calls", "labels", "removed_charges", "removed_jobs"] {
        let section = page.split(&format!("\n## {view}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
        let select = other.prepare(&format!("SELECT * FROM {view}")).unwrap();
        for column in select.column_names() {
            assert!(section.contains(&format!("`{column}`")), "{view}.{column} is not documented");
        }
    }
}

#[test]
fn a_revision_that_does_not_follow_is_refused() {
    let (_dir, mut ledger) = open();
    let jobs = vec![job(5, 1, vec![])];
    ledger.checkpoint(&Checkpoint { applied: Seq(1), jobs, ..Checkpoint::default() }).unwrap();
    for (id, revision) in [(5, 3), (6, 2)] {
        let jobs = vec![job(id, revision, vec![])];
        let error =
            ledger.checkpoint(&Checkpoint { applied: Seq(2), jobs, ..Checkpoint::default() }).unwrap_err();
        assert!(matches!(error, StoreError::Revision { .. }), "{error}");
    }
    let jobs = vec![job(5, 2, vec![]), job(5, 3, vec![])];
    ledger.checkpoint(&Checkpoint { applied: Seq(2), jobs, ..Checkpoint::default() }).unwrap();
}
