//! End to end with a client that is not ours: the official Python OpenTelemetry SDK, over both protocols.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use rust_decimal::Decimal;
use serde_json::Value;
use support::{Sent, Server, send_with_python};

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} is no text: {value}"))
}

/// Every task that was sent is one settled job with its submits and polls, delivered and priced.
#[track_caller]
fn assert_found(server: &Server, sent: &Sent, jobs: &[Value]) {
    let (mut submits, mut polls) = (0, 0);
    for task in &sent.tasks {
        let of_task: Vec<&Value> =
            jobs.iter().filter(|job| job.to_string().contains(task.as_str())).collect();
        let [job] = of_task[..] else { panic!("task {task} is in {} jobs\n{}", of_task.len(), server.log()) };
        assert_eq!(text(job, "outcome"), "succeeded", "{job}");
        assert_eq!((text(job, "provider"), text(job, "model")), ("fal", "fal-ai/flux/dev"), "{job}");
        assert_eq!(text(job, "service"), "clips", "{job}");
        let cost: Decimal = text(&job["cost"]["USD"], "expected").parse().unwrap();
        assert!(cost > Decimal::ZERO, "{job}");
        for attempt in job["attempts"].as_array().unwrap() {
            submits += attempt["spans"]["submit"].as_array().unwrap().len();
            polls += attempt["spans"]["poll"].as_array().unwrap().len();
        }
    }
    assert_eq!((submits, polls), (sent.attempts, sent.polls));
}

#[track_caller]
fn assert_counted(server: &Server, transport: &str, sent: &Sent) {
    let transport = format!("transport=\"{transport}\"");
    let of = |name: &str| server.metric(&format!("spantally_spans_{name}_total"), &[&transport]);
    assert_eq!(of("received"), Decimal::from(sent.spans));
    let accounted: Decimal =
        ["accepted", "duplicate", "late", "ignored", "rejected"].into_iter().map(of).sum();
    assert_eq!(accounted, of("received"), "every span is accounted for");
}

#[track_caller]
fn assert_ledger_equals_metrics(server: &Server, jobs: &[Value]) {
    let charges = jobs.iter().flat_map(|job| job["charges"].as_array().unwrap());
    let charged: Decimal = charges.map(|charge| text(charge, "cost").parse::<Decimal>().unwrap()).sum();
    let counted = server.metric("spantally_cost_total", &["currency=\"USD\""])
        - server.metric("spantally_cost_reversed_total", &["currency=\"USD\""]);
    assert_eq!(counted, charged, "the counter is the sum of the charges, to the last unit");
    assert!(counted > Decimal::ZERO);
}

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
