//! `spantally export`, as a user runs it: its files are read back by pyarrow, not by the crate that wrote
//! them.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rust_decimal::Decimal;
use serde_json::Value;
use spantally_store::{
    ChargeRow, Checkpoint, DataDir, Detail, JobRow, Ledger, LedgerReader, RetentionBound, Seq,
};
use support::{Server, send_with_python};

const DAY: u64 = 86_400_000_000_000;
/// 2026-11-20.
const FIRST: u64 = 20_777;

/// A name with everything that a text format must quote.
const ODD: &str = "flux, \"dev\"\nünd";

fn decimal(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

fn charge(cause: &'static str, cost: &str) -> ChargeRow {
    ChargeRow {
        provider: "fal".into(),
        model: ODD.into(),
        operation: "text_to_image".into(),
        unit: "image".into(),
        quantity: decimal("1"),
        unit_price: Some(decimal("0.025")),
        cost_min: decimal(cost) / Decimal::TWO,
        cost_expected: decimal(cost),
        cost_max: decimal(cost),
        currency: "USD".into(),
        cause: cause.into(),
        basis: "documented".into(),
        rule: "fal/image".into(),
        ..ChargeRow::default()
    }
}

fn job(id: u8, revision: u32, settled_at: u64, charges: Vec<ChargeRow>) -> JobRow {
    let detail = format!(
        r#"{{"job_id":"{0}","attempts":[{{"task_id":"t-{id}","accepted":"yes","outcome":"succeeded",
        "failure_reason":null,"cause":"delivered","polls":2,"spans":{{"submit":["{0}:00000000000000{id:02x}"],
        "poll":["{0}:a0000000000000{id:02x}","{0}:b0000000000000{id:02x}"],"result":[]}},"joins":[]}}],
        "labels":["video-{id}",""]}}"#,
        format!("{id:02x}").repeat(16)
    );
    JobRow {
        job_id: [id; 16],
        revision,
        state: "settled".into(),
        service: "clips".into(),
        provider: "fal".into(),
        model: ODD.into(),
        operation: "text_to_image".into(),
        outcome: "succeeded".into(),
        attempts: 1,
        started_at: settled_at - 40_000_000_000,
        ended_at: settled_at - 30_000_000_000,
        settled_at,
        detail: Detail::Whole(detail.into_bytes()),
        charges: charges.into(),
        ..JobRow::default()
    }
}

/// Writes rows, and that the server's time is `now`.
fn write(ledger: &mut Ledger, jobs: Vec<JobRow>, now: u64) {
    let applied = Seq(ledger.applied().0 + 1);
    let names = r#"[[1,["team","env"]],[3,["env","team"]]]"#.to_owned();
    let meta = [("turn_unix_nanos", now.to_string()), ("label_names", names)]
        .map(|(name, value)| (name.to_owned(), value.into_bytes()));
    ledger.checkpoint(&Checkpoint { applied, jobs, meta: meta.into(), ..Checkpoint::default() }).unwrap();
}

/// Two days that are over, with a revision on the second of a job of the first, and a third that is not.
fn ledger(directory: &Path) -> Ledger {
    let mut ledger = Ledger::open(&DataDir::open(directory).unwrap()).unwrap();
    let at = |day: u64, hour: u64| (FIRST + day) * DAY + hour * 3_600_000_000_000;
    let third = "0.3333333333333333333333333333";
    let unpriced = ChargeRow { unit_price: None, currency: "".into(), ..charge("delivered", "0") };
    let rows = vec![
        job(1, 1, at(0, 1), vec![charge("delivered", "0.025"), charge("retry", third)]),
        job(2, 1, at(0, 23), vec![charge("delivered", "9999999999"), unpriced]),
        job(1, 2, at(1, 2), vec![charge("retry", &format!("-{third}")), charge("duplicate", third)]),
        job(3, 1, at(1, 3), vec![charge("delivered", "0.0000000000000000000000000001")]),
        job(4, 1, at(2, 4), vec![charge("failed", "0.5")]),
    ];
    write(&mut ledger, rows, at(2, 5));
    ledger
}

fn export(data: &Path, out: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spantally"));
    command.arg("export").arg("--ledger").arg(data).arg("--out").arg(out).args(arguments);
    command.env_remove("SPANTALLY_CONFIG").output().unwrap()
}

#[track_caller]
fn exported(data: &Path, out: &Path, arguments: &[&str]) -> String {
    let output = export(data, out, arguments);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What pyarrow reads.
#[track_caller]
fn read(out: &Path, table: &str, format: &str) -> Value {
    let output = support::python("read_export.py").arg(out).args([table, format]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Sums of the ledger's charges by day, currency, cause and column.
fn sums(data: &Path) -> BTreeMap<String, Decimal> {
    let reader = LedgerReader::open(data).unwrap();
    let mut sums = BTreeMap::<String, Decimal>::new();
    for day in reader.days(0).unwrap() {
        let text = jiff::Timestamp::from_second((day.day * 86_400).cast_signed())
            .unwrap()
            .strftime("%F")
            .to_string();
        let visit = |_, row: ChargeRow| {
            for (name, amount) in [
                ("quantity", row.quantity),
                ("cost_min", row.cost_min),
                ("cost_expected", row.cost_expected),
                ("cost_max", row.cost_max),
            ] {
                *sums.entry(format!("{text}|{}|{}|{name}", row.currency, row.cause)).or_default() += amount;
            }
            ControlFlow::Continue(())
        };
        reader.visit_charges(day.rows, visit).unwrap();
    }
    sums
}

#[track_caller]
fn assert_sums(found: &Value, expected: &BTreeMap<String, Decimal>) {
    let found: BTreeMap<String, Decimal> = found["sums"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, sum)| (key.clone(), sum.as_str().unwrap().parse().unwrap()))
        .collect();
    assert_eq!(&found, expected);
}

#[test]
fn every_format_has_every_charge_to_the_last_digit() {
    let (data, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let _open = ledger(data.path());
    let expected = sums(data.path());
    assert_eq!(expected["2026-11-20|USD|retry|cost_expected"], decimal("0.3333333333333333333333333333"));
    for format in ["parquet", "csv", "jsonl"] {
        exported(data.path(), out.path(), &["--format", format]);
        let only = tempfile::tempdir().unwrap();
        exported(data.path(), only.path(), &["--format", format]);
        let charges = read(only.path(), "charges", format);
        assert_sums(&charges, &expected);
        let days = serde_json::json!({"2026-11-20": 4, "2026-11-21": 3, "2026-11-22": 1});
        assert_eq!(charges["days"], days, "{format}");
        assert_eq!(charges["first"]["model"], ODD, "{format}");
        let jobs = read(only.path(), "jobs", format);
        assert_eq!(jobs["days"]["2026-11-21"], 2, "{format}: the second revision is a row of its day");
        assert!(jobs["first"]["detail"].as_str().unwrap().contains("\"t-1\""), "{format}: {jobs}");
    }
    for path in ["charges/day=2026-11-20/charges.csv", "jobs/day=2026-11-22/jobs.parquet"] {
        assert!(out.path().join(path).is_file(), "formats lie side by side: {path}");
    }
}

#[test]
fn parquet_has_decimals_moments_and_nothing_where_nothing_is_known() {
    let (data, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let _open = ledger(data.path());
    exported(data.path(), out.path(), &["--table", "charges,attempts,calls"]);
    let charges = read(out.path(), "charges", "parquet");
    for (column, expected) in [
        ("cost_expected", "decimal128(38, 28)"),
        ("unit_price", "decimal128(38, 28)"),
        ("settled_at", "timestamp[ms, tz=UTC]"),
        ("attempt", "int64"),
        ("cause", "string"),
    ] {
        assert_eq!(charges["schema"][column], expected, "{column}");
    }
    assert_eq!(charges["sums"]["2026-11-20||delivered|quantity"], format!("1.{}", "0".repeat(28)));
    let attempts = read(out.path(), "attempts", "parquet");
    assert_eq!(attempts["first"]["task_id"], "t-1");
    assert_eq!(attempts["first"]["failure_reason"], Value::Null);
    let calls = read(out.path(), "calls", "parquet");
    assert_eq!(calls["days"]["2026-11-22"], 3);
    assert_eq!(calls["first"]["trace_id"], "01".repeat(16));
}

#[test]
fn labels_are_exported_by_the_names_of_their_time() {
    let (data, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let _open = ledger(data.path());
    exported(data.path(), out.path(), &["--table", "labels", "--format", "jsonl"]);
    let path = |day: &str| out.path().join(format!("labels/day={day}/labels.jsonl"));
    let count = |day, name: &str| std::fs::read_to_string(path(day)).unwrap().matches(name).count();
    assert_eq!(count("2026-11-20", r#""name":"team","value":"video-"#), 2);
    assert_eq!(count("2026-11-21", r#""name":"env","value":"video-"#), 2);
}

fn changed_at(out: &Path) -> BTreeMap<PathBuf, std::time::SystemTime> {
    ["2026-11-20", "2026-11-21", "2026-11-22"]
        .map(|day| out.join(format!("charges/day={day}/charges.csv")))
        .into_iter()
        .map(|path| (path.clone(), path.metadata().unwrap().modified().unwrap()))
        .collect()
}

#[test]
fn a_second_run_writes_what_is_missing_and_what_has_grown() {
    let (data, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut ledger = ledger(data.path());
    let run = || exported(data.path(), out.path(), &["--table", "charges", "--format", "csv"]);
    assert!(run().contains("3 of 3 files written, 8 rows"));
    let first = changed_at(out.path());
    assert!(run().contains("0 of 3 files written"));
    assert_eq!(changed_at(out.path()), first, "nothing was touched");

    // The third day goes on; a file of the second is gone, one of the first is cut.
    let settled_at = (FIRST + 2) * DAY + 20 * 3_600_000_000_000;
    write(&mut ledger, vec![job(5, 1, settled_at, vec![charge("failed", "1")])], (FIRST + 3) * DAY);
    std::fs::remove_file(out.path().join("charges/day=2026-11-21/charges.csv")).unwrap();
    std::fs::write(out.path().join("charges/day=2026-11-20/charges.csv"), "job_id\n").unwrap();
    let said = run();
    assert!(said.contains("written charges/day=2026-11-20/charges.csv: 4 rows"), "{said}");
    assert!(said.contains("written charges/day=2026-11-21/charges.csv: 3 rows"), "{said}");
    assert!(said.contains("extended charges/day=2026-11-22/charges.csv: 2 rows"), "{said}");
    assert!(!said.contains("more may come"), "the third day is over: {said}");
    assert_sums(&read(out.path(), "charges", "csv"), &sums(data.path()));
    assert!(run().contains("0 of 3 files written"));
}

/// The retention removes the beginning of a day that was written while it ran: the file is all there is of
/// it.
#[test]
fn what_was_written_stays_when_the_ledger_has_it_no_more() {
    let (data, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut ledger = ledger(data.path());
    let at = |hour: u64| (FIRST + 2) * DAY + hour * 3_600_000_000_000;
    let arguments = ["--table", "charges", "--format", "jsonl"];
    let run = || exported(data.path(), out.path(), &arguments);
    let spent = || -> String {
        let files = std::fs::read_dir(out.path().join("charges/day=2026-11-22")).unwrap();
        let lines =
            files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect::<String>();
        let cost = |line: &str| {
            decimal(serde_json::from_str::<Value>(line).unwrap()["cost_expected"].as_str().unwrap())
        };
        lines.lines().map(cost).sum::<Decimal>().normalize().to_string()
    };
    write(&mut ledger, vec![job(5, 1, at(6), vec![charge("failed", "1")])], at(7));
    run();
    assert_eq!(spent(), "1.5");
    let bound = RetentionBound { before: Some(at(5)), max_bytes: None, hold_from: u64::MAX, max_rows: 100 };
    assert_eq!(ledger.remove_old(&bound, &|_| Some(Vec::new())).unwrap().rows, 5);
    write(&mut ledger, vec![job(6, 1, at(8), vec![charge("failed", "2")])], at(9));
    let part = "charges/day=2026-11-22/charges-2.jsonl";
    let said = run();
    assert!(said.contains(&format!("appended {part}: 1 rows")) && said.contains("more may come"), "{said}");
    assert_eq!(spent(), "3.5");
    assert!(run().contains("0 of 1 files written"));

    // The day ends; a part that was lost is written anew, with what came behind it.
    write(&mut ledger, vec![job(7, 1, at(20), vec![charge("failed", "4")])], at(25));
    std::fs::remove_file(out.path().join(part)).unwrap();
    let said = run();
    assert!(said.contains(&format!("appended {part}: 2 rows")) && !said.contains("more may come"), "{said}");
    assert_eq!(spent(), "7.5");

    // Another ledger replaces all of it, and says so.
    let other = tempfile::tempdir().unwrap();
    let mut another = Ledger::open(&DataDir::open(other.path()).unwrap()).unwrap();
    write(&mut another, vec![job(9, 1, at(1), vec![charge("failed", "3")])], at(25));
    let output = export(other.path(), out.path(), &arguments);
    assert_eq!(output.status.code(), Some(2));
    assert!(!out.path().join(part).exists());
    assert_eq!(spent(), "3");
}

/// A run was killed after it had put a file in its place and before it had noted it; then the retention
/// removed rows that only this file has.
#[test]
fn a_file_that_nobody_noted_stays_when_the_ledger_cannot_make_it_anew() {
    let (data, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut ledger = ledger(data.path());
    let at = |hour: u64| (FIRST + 2) * DAY + hour * 3_600_000_000_000;
    let arguments = ["--table", "charges", "--format", "jsonl"];
    exported(data.path(), out.path(), &arguments);
    let manifest = std::fs::read(out.path().join("manifest.json")).unwrap();
    write(&mut ledger, vec![job(5, 1, at(6), vec![charge("failed", "1")])], at(7));
    exported(data.path(), out.path(), &arguments);
    std::fs::write(out.path().join("manifest.json"), manifest).unwrap();
    let file = out.path().join("charges/day=2026-11-22/charges.jsonl");
    let before = std::fs::read(&file).unwrap();
    let bound = RetentionBound { before: Some(at(5)), max_bytes: None, hold_from: u64::MAX, max_rows: 100 };
    assert_eq!(ledger.remove_old(&bound, &|_| Some(Vec::new())).unwrap().rows, 5);
    let output = export(data.path(), out.path(), &arguments);
    let said = String::from_utf8(output.stderr).unwrap().replace("\n  │ ", " ");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("charges.jsonl was left out") && said.contains("move it away"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    std::fs::remove_file(&file).unwrap();
    assert!(exported(data.path(), out.path(), &arguments).contains("written charges/day=2026-11-22"));
}

#[test]
fn another_ledger_in_the_same_place_is_a_finding() {
    let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let out = tempfile::tempdir().unwrap();
    let _open = ledger(data.path());
    exported(data.path(), out.path(), &[]);
    let mut ledger = Ledger::open(&DataDir::open(other.path()).unwrap()).unwrap();
    let rows = vec![job(9, 1, FIRST * DAY + 7, vec![charge("delivered", "3")])];
    write(&mut ledger, rows, (FIRST + 9) * DAY);
    let output = export(other.path(), out.path(), &[]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("replaced charges/day=2026-11-20/charges.parquet: 1 rows"), "{said}");
    let days = read(out.path(), "charges", "parquet")["days"].clone();
    assert_eq!(days["2026-11-21"], 3, "days that this ledger does not have stay");
}

#[test]
fn what_cannot_be_exported_says_so() {
    let (data, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (arguments, code, part) in [
        (&[][..], 1, "there is no ledger here"),
        (&["--format", "xlsx"], 64, "parquet"),
        (&["--since", "2026-11-31"], 64, "expected a day such as"),
        (&["--since", "2026-11-21", "--until", "2026-11-20"], 64, "no day would be written"),
    ] {
        let output = export(data.path(), out.path(), arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
    let mut ledger = ledger(data.path());
    let huge = vec![job(7, 1, (FIRST + 3) * DAY, vec![charge("delivered", "10000000000")])];
    write(&mut ledger, huge, (FIRST + 4) * DAY);
    let next = vec![job(8, 1, (FIRST + 4) * DAY, vec![charge("delivered", "1")])];
    write(&mut ledger, next, (FIRST + 5) * DAY);
    let output = export(data.path(), out.path(), &[]);
    let said = String::from_utf8(output.stderr).unwrap().replace("\n  │ ", " ");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cost_expected is 10000000000") && said.contains("csv or jsonl"), "{said}");
    assert!(!out.path().join("charges/day=2026-11-23/charges.parquet").exists(), "no half of a file");
    assert!(said.contains("charges/day=2026-11-23/charges.parquet was left out"), "{said}");
    assert!(out.path().join("charges/day=2026-11-24/charges.parquet").exists(), "the days after it");
    assert!(out.path().join("jobs/day=2026-11-23/jobs.parquet").exists(), "what else there is of its day");
    assert!(out.path().join("charges/day=2026-11-22/charges.parquet").exists(), "what was written stays");
    exported(data.path(), out.path(), &["--format", "csv", "--since", "2026-11-23"]);
}

/// A real server on the other side, whose counters are what the files must add up to.
#[test]
fn files_of_a_running_server_add_up_to_its_counters() {
    let (directory, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let data = directory.path().join("data");
    let server = Server::start(directory.path());
    let sent = send_with_python(&server, "grpc", 1000);
    exported(&data, out.path(), &[]);
    send_with_python(&server, "http", 2000);
    server.settled(2 * sent.tasks.len());
    exported(&data, out.path(), &["--table", "jobs,charges,attempts,calls"]);
    let charges = read(out.path(), "charges", "parquet");
    let cost: Decimal = charges["sums"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(key, _)| key.ends_with("|cost_expected"))
        .map(|(_, sum)| sum.as_str().unwrap().parse::<Decimal>().unwrap())
        .sum();
    assert!(cost > Decimal::ZERO);
    assert_eq!(cost, server.metric("spantally_cost_total", &["currency=\"USD\""]));
    let rows = |table: &str| -> u64 {
        let days = read(out.path(), table, "parquet")["days"].clone();
        days.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum()
    };
    assert_eq!(rows("jobs"), 2 * sent.tasks.len() as u64);
    assert_eq!(rows("attempts"), 2 * sent.attempts as u64);
    assert!(rows("calls") >= 2 * (sent.attempts + sent.polls) as u64);
}
