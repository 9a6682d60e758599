//! `spantally verify`: what agrees is left alone, and every kind of damage is found.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use support::{Server, send_with_python};

fn verify(data: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_spantally"))
        .arg("verify")
        .arg("--ledger")
        .arg(data)
        .args(["--set", "processors.spantally.settle_delay=1s"])
        .args(arguments)
        .env_remove("SPANTALLY_CONFIG")
        .output()
        .unwrap()
}

/// Kinds and places of everything that differs.
#[track_caller]
fn differences(data: &Path) -> Vec<(String, String)> {
    let output = verify(data, &["--format", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let found: Vec<_> = report["differences"].as_array().unwrap().clone();
    assert_eq!(output.status.code(), Some(if found.is_empty() { 0 } else { 2 }), "{report}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    found.iter().map(|found| (text(&found["kind"]), text(&found["at"]))).collect()
}

fn sqlite(file: &Path, sql: &str) -> String {
    let said = Command::new("sqlite3").arg(file).arg(sql).output().expect("sqlite3 must be installed");
    assert!(said.status.success(), "{sql}\n{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// The sum over the ledger's rows with a trigger out of the way, as somebody with the file could change it.
const UNLOCK: &str = "DROP TRIGGER job_row_update; DROP TRIGGER job_row_delete; DROP TRIGGER form_update;
    DROP TRIGGER form_delete;";

/// What is damaged, how, and the kind of difference that must be told among others.
const DAMAGE: [(&str, &str, &str); 20] = [
    (
        "ledger.db",
        "UPDATE counter SET value = value + 1 WHERE name = 'spantally_cost' AND value > 0",
        "counter",
    ),
    ("ledger.db", "DELETE FROM counter WHERE name = 'spantally_jobs' AND value > 0", "counter"),
    ("ledger.db", "UPDATE counter SET value = value + 1 WHERE name = 'spantally_spans_late'", "spans"),
    (
        "ledger.db",
        "UPDATE counter SET value = value || '7' WHERE name = 'spantally_job_duration_seconds'",
        "histogram",
    ),
    (
        "ledger.db",
        "UPDATE counter SET value = replace(value, ' 0.', ' 1.') WHERE name = 'cost_window'",
        "window",
    ),
    ("ledger.db", "DELETE FROM job_row WHERE id = 3", "row"),
    ("ledger.db", "UPDATE job_row SET parts = x'ff' WHERE id = 2", "row"),
    ("ledger.db", "UPDATE job_row SET revision = 2 WHERE id = 2", "revision"),
    (
        "ledger.db",
        "UPDATE job_row SET settled_at = settled_at - 1000000000000 WHERE id = (SELECT max(id) FROM job_row)",
        "time",
    ),
    ("ledger.db", "UPDATE job_row SET kind = 9999 WHERE id = 1", "kind"),
    ("ledger.db", "UPDATE job_row SET digest = digest + 1 WHERE id = 1", "evidence"),
    ("ledger.db", "UPDATE job_row SET booked = x'00' WHERE id = 1", "booked"),
    (
        "ledger.db",
        "UPDATE job_row SET ended_at = ended_at + 1000000000 WHERE id = 1 AND form IS NULL",
        "document",
    ),
    (
        "ledger.db",
        "UPDATE job_row SET parts = CAST(json_set(CAST(parts AS TEXT), '$[0]', 'aa') AS BLOB)
         WHERE form IS NOT NULL",
        "document",
    ),
    ("ledger.db", "UPDATE job_row SET charges = replace(charges, '\"0.', '\"1.') WHERE id = 1", "charge"),
    ("ledger.db", "UPDATE form SET charges = replace(charges, '\"0.', '\"1.')", "sum"),
    ("ledger.db", "UPDATE charge_kind SET cause = 'failed' WHERE cause = 'delivered'", "charge"),
    ("ledger.db", "UPDATE job_kind SET outcome = 'failed' WHERE outcome = 'succeeded'", "sum"),
    ("ledger.db", "UPDATE job_kind SET service = 'another'", "sum"),
    ("journal.db", "UPDATE journal SET batch = x'00' WHERE seq = (SELECT max(seq) FROM journal)", "evidence"),
];

#[test]
fn a_live_directory_agrees_and_every_damage_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let server = Server::start(directory.path());
    let sent = send_with_python(&server, "grpc", 1000);
    assert_eq!(differences(&data), [], "some of it not settled yet");
    let more = send_with_python(&server, "http", 2000);
    server.settled(sent.tasks.len() + more.tasks.len());
    assert_eq!(differences(&data), [], "while the server has it open");
    let said = String::from_utf8(verify(&data, &[]).stdout).unwrap();
    assert!(said.contains("everything agrees"), "{said}");
    let jobs = format!("{} jobs made again", sent.tasks.len() + more.tasks.len());
    assert!(said.contains(&jobs), "{jobs}: {said}");
    server.kill();
    assert_eq!(differences(&data), [], "after it was killed");

    for (number, (file, damage, kind)) in DAMAGE.iter().enumerate() {
        let copied = directory.path().join(format!("copy-{number}"));
        copy(&data, &copied);
        if *file == "ledger.db" {
            sqlite(&copied.join(file), UNLOCK);
        }
        let changed = sqlite(&copied.join(file), &format!("{damage}; SELECT changes()"));
        assert_ne!(changed.trim(), "0", "{damage} changes nothing");
        let found = differences(&copied);
        assert!(found.iter().any(|(found, _)| found == kind), "{damage}: {kind} is not in {found:?}");
    }
}

#[test]
fn what_differs_is_a_table_and_other_prices_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let server = Server::start(directory.path());
    let sent = send_with_python(&server, "grpc", 1000);
    server.settled(sent.tasks.len());
    server.kill();
    // Other prices than those that were in force.
    let prices = directory.path().join("prices");
    std::fs::create_dir(&prices).unwrap();
    let fal = include_str!("../../../config/providers/fal.yaml");
    std::fs::write(prices.join("fal.yaml"), fal.replace("price: 0.025", "price: 0.026")).unwrap();
    let output = verify(&data, &["--providers", prices.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("price") && said.contains("0.026 more by its spans"), "{said}");

    let output = verify(&directory.path().join("nowhere"), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no ledger here"));
}
