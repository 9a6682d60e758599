//! The ledger is opened by a tool that is not ours, while the server has it open: the queries of
//! `docs/ledger.md`, by the `sqlite3` of the system. It is older than the SQLite in this crate, and a view
//! that it cannot read would keep it from opening the file at all.

#![allow(clippy::unwrap_used, reason = "all of this file is tests")]

use std::path::Path;
use std::process::Command;

use rust_decimal::Decimal;
use spantally_store::{ChargeRow, Checkpoint, DataDir, Detail, FormRow, JobRow, Ledger, Seq};

const PIECES: &str = concat!(
    r#"["{\"job_id\":\"",0,"\",\"attempts\":[{\"task_id\":\"",3,"\",\"cause\":\"duplicate\",\"polls\":2,"#,
    r#"\"spans\":{\"submit\":[\"",4,":",5,"\"]}}]}"]"#
);

fn ledger(directory: &Path) -> Ledger {
    let charge = |cause: &'static str| ChargeRow {
        provider: "fal".into(),
        quantity: Decimal::ONE,
        unit_price: Some(Decimal::new(25, 3)),
        cost_expected: Decimal::new(25, 3),
        cost_max: Decimal::new(50, 3),
        currency: "USD".into(),
        cause: cause.into(),
        ..ChargeRow::default()
    };
    let form = FormRow {
        id: 1,
        pieces: PIECES.into(),
        charges: vec![charge("delivered"), charge("duplicate")].into(),
        ..FormRow::default()
    };
    let job = |id: u8, outcome: &'static str| JobRow {
        job_id: [id; 16],
        revision: 1,
        state: "settled".into(),
        outcome: outcome.into(),
        settled_at: 1_794_000_031_500_000_000,
        detail: Detail::Filled {
            form: 1,
            parts: format!(r#"["t-{id}","{id:032x}","{id:016x}"]"#).into_bytes(),
        },
        ..JobRow::default()
    };
    let mut ledger = Ledger::open(&DataDir::open(directory).unwrap()).unwrap();
    let jobs = vec![job(1, "succeeded"), job(2, "failed")];
    let checkpoint = Checkpoint { applied: Seq(1), forms: vec![form], jobs, ..Checkpoint::default() };
    ledger.checkpoint(&checkpoint).unwrap();
    ledger
}

fn ask(directory: &Path, query: &str) -> String {
    let file = format!("file:{}?mode=ro", directory.join("ledger.db").display());
    let said = Command::new("sqlite3").args([&file, query]).output().expect("sqlite3 must be installed");
    assert!(said.status.success(), "{query}\n{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap()
}

#[test]
fn the_queries_of_the_documentation_run_in_the_systems_sqlite3() {
    let directory = tempfile::tempdir().unwrap();
    let _open = ledger(directory.path());
    let page = include_str!("../../../docs/ledger.md");
    let mut ran = 0;
    for query in page.split("```sql").skip(1).map(|rest| rest.split("```").next().unwrap()) {
        assert!(!ask(directory.path(), query).is_empty(), "nothing found by {query}");
        ran += 1;
    }
    assert!(ran >= 6, "the page has only {ran} queries");
}

#[test]
fn a_document_is_put_together_by_the_systems_sqlite3() {
    let directory = tempfile::tempdir().unwrap();
    let _open = ledger(directory.path());
    let id = "02".repeat(16);
    let detail = ask(directory.path(), &format!("SELECT detail FROM jobs WHERE job_id = '{id}'"));
    assert!(detail.starts_with(&format!(r#"{{"job_id":"{id}","attempts":[{{"task_id":"t-2","#)), "{detail}");
    assert_eq!(ask(directory.path(), "SELECT SUM(cost_max) FROM charges"), "0.2\n");
    let spans = ask(directory.path(), "SELECT span_id FROM calls ORDER BY 1");
    assert_eq!(spans, "0000000000000001\n0000000000000002\n");
}
