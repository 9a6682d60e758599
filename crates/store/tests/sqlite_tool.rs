//! The ledger is opened by a tool that is not ours, while the server writes it: the queries of
//! `docs/ledger.md`, by the `sqlite3` of the system. It is older than the SQLite in this crate, and a view
//! that it cannot read would keep it from opening the file at all.

#![allow(clippy::unwrap_used, reason = "all of this file is tests")]

use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{TryRecvError, channel};
use std::time::{Duration, Instant};

use rust_decimal::Decimal;
use spantally_store::{ChargeRow, Checkpoint, DataDir, Detail, FormRow, JobRow, Ledger, RetentionBound, Seq};

#[path = "sqlite_tool/answers.rs"]
mod answers;

/// 2026-11-20T10:00:31.500Z.
const SETTLED_AT: u64 = 1_795_168_831_500_000_000;
const DAY: u64 = 86_400_000_000_000;

const PIECES: &str = concat!(
    r#"["{\"job_id\":\"",0,"\",\"attempts\":[{\"task_id\":\"",3,"\",\"accepted\":\"yes\","#,
    r#"\"outcome\":\"succeeded\",\"failure_reason\":null,\"cause\":\"delivered\",\"polls\":2,\"joins\":[],"#,
    r#"\"spans\":{\"submit\":[\"",4,":",5,"\"],\"poll\":[\"",4,":",6,"\"]}}]}"]"#
);

fn charge(cause: &'static str, cost: i64) -> ChargeRow {
    ChargeRow {
        provider: "fal".into(),
        model: "flux".into(),
        operation: "text_to_image".into(),
        unit: "image".into(),
        quantity: Decimal::ONE,
        unit_price: Some(Decimal::new(25, 3)),
        cost_min: Decimal::ZERO,
        cost_expected: Decimal::new(cost, 3),
        cost_max: Decimal::new(cost * 2, 3),
        currency: "USD".into(),
        cause: cause.into(),
        basis: "documented".into(),
        rule: "fal/image".into(),
        ..ChargeRow::default()
    }
}

fn form() -> FormRow {
    let charges = vec![charge("delivered", 25)].into();
    FormRow { id: 1, pieces: PIECES.into(), charges, ..FormRow::default() }
}

fn job(id: u128, settled_at: u64) -> JobRow {
    let parts = format!(r#"["t-{id}","{id:032x}","{id:016x}","{:016x}"]"#, id + (1 << 60));
    JobRow {
        job_id: (id.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)).to_be_bytes(),
        revision: 1,
        state: "settled".into(),
        service: "clips".into(),
        provider: "fal".into(),
        model: "flux".into(),
        operation: "text_to_image".into(),
        outcome: "succeeded".into(),
        attempts: 1,
        started_at: settled_at - 90_000_000_000,
        ended_at: settled_at - 60_000_000_000,
        settled_at,
        detail: Detail::Filled { form: 1, parts: parts.into_bytes() },
        ..JobRow::default()
    }
}

/// A charge as a document has it.
fn told(charge: &ChargeRow) -> String {
    let ChargeRow { attempt, cost_expected, cause, basis, currency, .. } = charge;
    format!(
        r#"{{"attempt":{attempt},"cost":"{cost_expected}","cause":"{cause}","basis":"{basis}",
        "currency":"{currency}"}}"#
    )
}

/// A job that is not like the others: its attempts as JSON, and its charges.
fn odd(
    id: u128,
    outcome: &'static str,
    reason: Option<&'static str>,
    attempts: &str,
    charges: Vec<ChargeRow>,
) -> JobRow {
    let hex = format!("{:032x}", u128::from_be_bytes(job(id, SETTLED_AT).job_id));
    let told: Vec<String> = charges.iter().map(told).collect();
    let detail = format!(r#"{{"job_id":"{hex}","attempts":[{attempts}],"charges":[{}]}}"#, told.join(","));
    JobRow {
        outcome: outcome.into(),
        failure_reason: reason.map(Into::into),
        attempts: attempts.matches("task_id").count() as u32,
        detail: Detail::Whole(detail.into_bytes()),
        charges: charges.into(),
        ..job(id, SETTLED_AT)
    }
}

fn attempt(number: u64, cause: &str, reason: &str, more: &str) -> String {
    format!(
        r#"{{"task_id":"x-{number}","accepted":"ambiguous","outcome":"failed","failure_reason":{reason},
        "cause":"{cause}","polls":9,"spans":{{"submit":["{number:032x}:{number:016x}"],"poll":[],
        "webhook":["{number:032x}:{:016x}"]}},"joins":[]{more}}}"#,
        number + 1
    )
}

/// Jobs of every kind that a question is about.
fn odd_ones() -> Vec<JobRow> {
    let timed_out = attempt(100, "timeout_resubmit", "\"client_timeout\"", "");
    let again = attempt(102, "duplicate", "null", "");
    let facts = r#""facts":[{"name":"audio_seconds","value":"7","source":"request"}]"#;
    let leg = |number, leg: &str| attempt(number, "delivered", "null", &format!(r#","leg":"{leg}",{facts}"#));
    let voice = |provider: &str, operation: &str, cause| ChargeRow {
        provider: provider.into(),
        operation: operation.into(),
        unit: "second".into(),
        ..charge(cause, 7)
    };
    let unpriced = ChargeRow {
        basis: "unpriced".into(),
        unit_price: None,
        currency: "".into(),
        ..charge("delivered", 0)
    };
    vec![
        odd(
            1,
            "failed",
            Some("moderation_output"),
            &attempt(98, "moderated", "null", ""),
            vec![charge("moderated", 25)],
        ),
        odd(
            2,
            "succeeded",
            None,
            &[timed_out, again].join(","),
            vec![charge("timeout_resubmit", 25), charge("duplicate", 25)],
        ),
        odd(
            3,
            "succeeded",
            None,
            &[leg(104, "stt"), leg(106, "tts")].join(","),
            vec![
                voice("deepgram", "speech_to_text", "delivered"),
                voice("elevenlabs", "text_to_speech", "interrupted"),
            ],
        ),
        odd(4, "succeeded", None, &attempt(108, "delivered", "null", ""), vec![unpriced]),
    ]
}

fn checkpoint(ledger: &mut Ledger, jobs: Vec<JobRow>, forms: Vec<FormRow>) {
    let applied = Seq(ledger.applied().0 + 1);
    ledger.checkpoint(&Checkpoint { applied, jobs, forms, ..Checkpoint::default() }).unwrap();
}

/// Jobs of an older day of which only sums are left, `count` alike ones, the odd ones, and a late revision.
fn ledger(directory: &Path, count: u128) -> Ledger {
    let mut ledger = Ledger::open(&DataDir::open(directory).unwrap()).unwrap();
    let old = (1000..1010).map(|id| job(id, SETTLED_AT - 3 * DAY)).collect();
    checkpoint(&mut ledger, old, vec![form()]);
    let bound = RetentionBound {
        before: Some(SETTLED_AT - DAY),
        max_bytes: None,
        hold_from: u64::MAX,
        max_rows: 100,
    };
    assert_eq!(ledger.remove_old(&bound, &|_| Some(Vec::new())).unwrap().rows, 10);
    for from in (2000..2000 + count).step_by(2000) {
        checkpoint(&mut ledger, (from..from + 2000).map(|id| job(id, SETTLED_AT)).collect(), Vec::new());
    }
    checkpoint(&mut ledger, odd_ones(), Vec::new());
    let revised = JobRow { revision: 2, ..odd(1, "succeeded", None, "", vec![charge("moderated", -25)]) };
    checkpoint(&mut ledger, vec![JobRow { settled_at: SETTLED_AT + DAY, ..revised }], Vec::new());
    let failed = odd(
        5,
        "failed",
        Some("provider_error"),
        &attempt(110, "failed", "null", ""),
        vec![charge("failed", 25)],
    );
    checkpoint(&mut ledger, vec![JobRow { settled_at: SETTLED_AT + DAY, ..failed }], Vec::new());
    ledger
}

fn ask(directory: &Path, query: &str) -> String {
    let file = format!("file:{}?mode=ro", directory.join("ledger.db").display());
    let said = Command::new("sqlite3").args([&file, query]).output().expect("sqlite3 must be installed");
    assert!(said.status.success(), "{query}\n{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap()
}

/// The queries of the page.
fn queries() -> Vec<&'static str> {
    let page = include_str!("../../../docs/ledger.md");
    page.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// With ten thousand jobs a plan that goes through all for each of all would take minutes.
#[test]
fn the_queries_of_the_documentation_run_in_the_systems_sqlite3_while_the_ledger_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let mut open = ledger(directory.path(), 10_000);
    let (stop, stopped) = channel::<()>();
    let writer = std::thread::spawn(move || {
        let mut written = 0;
        while stopped.try_recv() == Err(TryRecvError::Empty) {
            checkpoint(&mut open, vec![job(1_000_000 + written, SETTLED_AT + 2 * DAY)], Vec::new());
            written += 1;
            std::thread::sleep(Duration::from_millis(20));
        }
        written
    });
    let queries = queries();
    assert!(queries.len() >= 20, "the page has only {} queries", queries.len());
    for query in queries {
        let began = Instant::now();
        assert!(!ask(directory.path(), query).is_empty(), "nothing found by {query}");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?} for {query}", began.elapsed());
    }
    stop.send(()).unwrap();
    assert!(writer.join().unwrap() > 10, "the ledger was written meanwhile");
}

/// Two views are joined by an index that SQLite makes for the query, or by rows: never each with each.
#[test]
fn no_query_of_the_documentation_joins_each_row_with_each() {
    let directory = tempfile::tempdir().unwrap();
    let _open = ledger(directory.path(), 2000);
    for query in queries() {
        let plan = ask(directory.path(), &format!("EXPLAIN QUERY PLAN {query}"));
        // Scans beside each other in the tree, under one parent, are loops in each other.
        let mut scanned = Vec::new();
        for line in plan.lines() {
            let depth = line.find("--").unwrap_or_default();
            scanned.retain(|&other| other <= depth);
            if line.trim_end().ends_with("SCAN job") {
                assert!(!scanned.contains(&depth), "each with each:\n{plan}\n{query}");
                scanned.push(depth);
            }
        }
    }
}

#[test]
fn a_document_is_put_together_by_the_systems_sqlite3() {
    let directory = tempfile::tempdir().unwrap();
    let _open = ledger(directory.path(), 2000);
    let id = format!("{:032x}", u128::from_be_bytes(job(2001, SETTLED_AT).job_id));
    let detail = ask(directory.path(), &format!("SELECT detail FROM jobs WHERE job_id = '{id}'"));
    assert!(
        detail.starts_with(&format!(r#"{{"job_id":"{id}","attempts":[{{"task_id":"t-2001","#)),
        "{detail}"
    );
    let spans = ask(directory.path(), &format!("SELECT span_id FROM calls WHERE job_id = '{id}' ORDER BY 1"));
    assert_eq!(spans, "00000000000007d1\n10000000000007d1\n");
    let total = "SELECT decimal_sum(cost) FROM (SELECT cost_expected AS cost FROM charges \
                 UNION ALL SELECT cost_expected FROM removed_charges)";
    // 2010 alike at 0.025, of the odd ones 0 + 0.05 + 0.014 + 0 + 0.025.
    assert_eq!(ask(directory.path(), total), "50.339\n");
}
