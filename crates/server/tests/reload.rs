//! Provider files that change under a running server: what is in force then, and what is told.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rust_decimal::Decimal;
use serde_json::{Value, json};
use support::{PATIENCE, Server, assert_ledger_equals_metrics, free_address, post_json, text};

/// A provider with one price, which the tests change.
fn acme(price: &str) -> String {
    format!(
        "provider: acme
title: Acme
hosts: [api.acme.example]
calls:
  - {{name: create, role: submit, method: POST, paths: [/v1/tasks], model: m, operation: text_to_video}}
  - {{name: get, role: poll, method: GET, paths: ['/v1/tasks/{{task}}']}}
rates:
  currency: USD
  sources:
    pricing: {{url: 'https://acme.example/pricing', as_of: 2026-11-20}}
  tariffs:
    - models: ['*', '']
      meters:
        - name: task
          unit: task
          quantity: [{{constant: 1}}]
          prices: [{{price: {price}, effective_from: 2020-01-01, source: pricing}}]
  policy:
    - {{name: all, when: {{outcome: [succeeded, partial, failed, rejected, canceled]}}, charge: full, source: pricing}}
"
    )
}

fn serve(directory: &Path, providers: &Path, interval: &str) -> Server {
    let config = format!("providers: {{directory: {}, reload_interval: {interval}}}\n", providers.display());
    Server::start_with(directory, free_address(), Some(&config), &[])
}

/// Sends the submit of a task, or its end.
fn send(server: &Server, task: u8, is_end: bool) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let id = format!("task-{task}");
    let (method, url, word) = if is_end {
        ("GET", format!("https://api.acme.example/v1/tasks/{id}"), "succeeded")
    } else {
        ("POST", "https://api.acme.example/v1/tasks".to_owned(), "running")
    };
    let span = json!({
        "traceId": format!("{task:032x}"),
        "spanId": format!("{:016x}", u16::from(task) * 2 + u16::from(is_end)),
        "name": method,
        "kind": 3,
        "startTimeUnixNano": (now - 1_000_000).to_string(),
        "endTimeUnixNano": now.to_string(),
        "attributes": [
            attribute("http.request.method", method),
            attribute("url.full", &url),
            attribute("spantally.task.id", &id),
            attribute("spantally.task.status", word),
            json!({"key": "http.response.status_code", "value": {"intValue": "200"}}),
        ],
    });
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]});
    assert_eq!(post_json(server.http, "/v1/traces", &body), 200);
}

fn wait_for(server: &Server, what: &str, mut reached: impl FnMut() -> bool) {
    let began = Instant::now();
    while !reached() {
        assert!(began.elapsed() < PATIENCE, "{what}\n{}", server.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn reloads(server: &Server, result: &str) -> Decimal {
    server.metric("spantally_rules_reloads_total", &[&format!("result=\"{result}\"")])
}

/// Every settled job by its task, with its cost.
fn costs(jobs: &[Value]) -> Vec<(&str, &str)> {
    let mut costs: Vec<_> = jobs
        .iter()
        .map(|job| (text(&job["attempts"][0], "task_id"), text(&job["cost"]["USD"], "expected")))
        .collect();
    costs.sort_unstable();
    costs
}

#[test]
fn a_changed_file_prices_what_settles_then_and_a_bad_one_changes_nothing() {
    let (directory, providers) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = providers.path().join("acme.yaml");
    std::fs::write(&file, acme("0.01")).unwrap();
    let server = serve(directory.path(), providers.path(), "200ms");
    assert_eq!(server.metric("spantally_rules_last_reload_successful", &[]), Decimal::ONE);
    let loaded_at = server.metric("spantally_rules_last_reload_success_timestamp_seconds", &[]);
    assert!(loaded_at > Decimal::from(1_700_000_000));
    send(&server, 1, false);
    send(&server, 1, true);
    send(&server, 2, false);
    server.settled(1);

    std::fs::write(&file, acme("0.05")).unwrap();
    wait_for(&server, "the change is not seen", || reloads(&server, "ok") == Decimal::ONE);
    assert!(server.log().contains("the provider files are read again"), "{}", server.log());
    assert!(server.metric("spantally_rules_last_reload_success_timestamp_seconds", &[]) > loaded_at);
    send(&server, 2, true);
    let jobs = server.settled(2);
    assert_eq!(costs(&jobs), [("task-1", "0.01"), ("task-2", "0.05")], "what is booked stays as it is");
    let repriced = reprice(directory.path(), providers.path());
    assert_eq!((&repriced["jobs"], &repriced["changed"]), (&json!(2), &json!(1)), "{repriced}");
    assert_eq!(repriced["totals"]["USD"]["difference"], "0.04", "{repriced}");
    assert_eq!(repriced["changes"][0]["before"]["expected"], "0.01", "{repriced}");
    assert_eq!(repriced["skipped"], json!([]), "{repriced}");

    std::fs::write(&file, acme("a_lot")).unwrap();
    wait_for(&server, "the mistake is not seen", || reloads(&server, "error") == Decimal::ONE);
    assert_eq!(server.metric("spantally_rules_last_reload_successful", &[]), Decimal::ZERO);
    assert!(server.log().contains("acme.yaml:17:"), "the log names file and line\n{}", server.log());
    send(&server, 3, false);
    send(&server, 3, true);
    let jobs = server.settled(3);
    assert_eq!(costs(&jobs)[2], ("task-3", "0.05"), "the old rules stay in force");

    std::fs::write(&file, acme("0.05")).unwrap();
    wait_for(&server, "the repair is not seen", || reloads(&server, "ok") == Decimal::TWO);
    assert_eq!(server.metric("spantally_rules_last_reload_successful", &[]), Decimal::ONE);
    assert_eq!(reloads(&server, "error"), Decimal::ONE, "a mistake is told once");
    assert_ledger_equals_metrics(&server, &jobs);
}

#[test]
fn a_hangup_reads_the_files_again() {
    let (directory, providers) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = serve(directory.path(), providers.path(), "0");
    let of_acme = |server: &Server| server.metric("spantally_rate_card_info", &["provider=\"acme\""]);
    assert_eq!(of_acme(&server), Decimal::ZERO);
    let file = providers.path().join("acme.yaml");
    std::fs::write(&file, acme("0.01")).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(reloads(&server, "ok"), Decimal::ZERO, "nobody looks by itself");
    hang_up(&server);
    wait_for(&server, "the new file is not read", || of_acme(&server) == Decimal::ONE);
    send(&server, 1, false);
    send(&server, 1, true);
    let jobs = server.settled(1);
    assert_eq!(costs(&jobs), [("task-1", "0.01")], "spans of a new provider are recognised");
    std::fs::remove_file(&file).unwrap();
    hang_up(&server);
    wait_for(&server, "the file is still in force", || of_acme(&server) == Decimal::ZERO);
}

/// The ledger under provider files, beside the running server.
fn reprice(directory: &Path, providers: &Path) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_spantally"))
        .args(["reprice", "--format", "json", "--ledger"])
        .arg(directory.join("data"))
        .arg("--with")
        .arg(providers)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn hang_up(server: &Server) {
    let kill = Command::new("kill").args(["-HUP", &server.process_id().to_string()]).status().unwrap();
    assert!(kill.success());
}
