//! End to end with a client that is not ours: the official Python OpenTelemetry SDK, over both protocols.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use rust_decimal::Decimal;
use serde_json::Value;
use support::{Server, assert_counted, assert_found, assert_ledger_equals_metrics, send_with_python, text};

#[test]
fn the_python_sdk_exports_over_grpc_and_over_http() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let over_grpc = send_with_python(&server, "grpc", 1000);
    let over_http = send_with_python(&server, "http", 2000);
    let expected = over_grpc.tasks.len() + over_http.tasks.len();
    let jobs = server.settled(expected);
    assert_eq!(jobs.len(), expected, "one job a task");
    assert_found(&server, &over_grpc, &jobs);
    assert_found(&server, &over_http, &jobs);
    assert_counted(&server, "grpc", &over_grpc);
    assert_counted(&server, "http_protobuf", &over_http);
    assert_ledger_equals_metrics(&server, &jobs);
    assert_eq!(server.metric("spantally_jobs_total", &["outcome=\"succeeded\""]), Decimal::from(expected));
    let job = server.page(&format!("/api/v1/jobs/{}", text(&jobs[0], "job_id")));
    assert_eq!(serde_json::from_str::<Value>(&job).unwrap(), jobs[0]);
}

/// After SIGKILL nothing that was acknowledged is lost or counted twice, and no counter falls.
#[test]
fn a_killed_server_comes_back_with_everything_it_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let first = send_with_python(&server, "grpc", 1000);
    let before = server.settled(first.tasks.len());
    let cost_before = server.metric("spantally_cost_total", &[]);
    // acknowledged and not yet settled when the process dies
    let second = send_with_python(&server, "grpc", 2000);
    server.kill();

    let server = Server::start(directory.path());
    let received = Decimal::from(first.spans + second.spans);
    assert_eq!(server.metric("spantally_spans_received_total", &["transport=\"grpc\""]), received);
    let jobs = server.settled(first.tasks.len() + second.tasks.len());
    assert_found(&server, &first, &jobs);
    assert_found(&server, &second, &jobs);
    assert!(before.iter().all(|job| jobs.contains(job)), "what had settled is as it was");
    assert!(server.metric("spantally_cost_total", &[]) > cost_before);
    assert_ledger_equals_metrics(&server, &jobs);

    // and once more with nothing on the way
    let counted = server.metric("spantally_cost_total", &[]);
    server.kill();
    let server = Server::start(directory.path());
    assert_eq!(server.metric("spantally_cost_total", &[]), counted);
    assert_eq!(server.settled(jobs.len()).len(), jobs.len());
}
