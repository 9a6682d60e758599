//! End to end: what one server takes, another gets, whatever dies in between.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::net::SocketAddr;

use rust_decimal::Decimal;
use support::{PATIENCE, Server, assert_counted, assert_found, free_address, send_with_python};

/// The backend is not there yet; the server is killed while spans wait for it, and starts again.
#[test]
fn spans_that_wait_survive_a_kill_and_reach_their_destination_once_it_is_there() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (grpc, http) = (free_address(), free_address());
    let config = format!(
        "exporters:\n  otlp/later: {{endpoint: 'http://{grpc}', retry_on_failure: {{initial_interval: 100ms, \
         max_interval: 500ms}}}}\n"
    );
    let server = Server::start_with(directories[0].path(), free_address(), Some(&config), &[]);
    let first = send_with_python(&server, "grpc", 1000);
    let second = send_with_python(&server, "http", 2000);
    // Metrics go on as if there were no destination.
    let jobs = server.settled(first.tasks.len() + second.tasks.len());
    let of_queue = |server: &Server| server.metric("spantally_forward_queue_bytes", &[]);
    assert!(of_queue(&server) > Decimal::ZERO);
    assert_eq!(server.metric("spantally_forward_up", &[]), Decimal::ZERO);
    server.kill();

    let backend = Server::start_on(directories[1].path(), [grpc, http, free_address()], None, &[]);
    let server = Server::start_with(directories[0].path(), free_address(), Some(&config), &[]);
    let there = backend.settled(jobs.len());
    assert_eq!(there.len(), jobs.len());
    let of = |tasks: &[String]| {
        let has = |job: &&serde_json::Value| tasks.iter().any(|task| job.to_string().contains(task.as_str()));
        there.iter().filter(has).cloned().collect::<Vec<_>>()
    };
    assert_found(&backend, &first, &of(&first.tasks));
    assert_found(&backend, &second, &of(&second.tasks));
    let mut all = first;
    all.spans += second.spans;
    assert_counted(&backend, "grpc", &all);
    let began = std::time::Instant::now();
    while of_queue(&server) > Decimal::ZERO {
        assert!(began.elapsed() < PATIENCE, "{}", server.log());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(server.metric("spantally_forward_spans_total", &["outcome=\"sent\""]), all.spans.into());
}

#[test]
fn a_port_that_others_can_reach_is_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    let open: SocketAddr = format!("0.0.0.0:{}", free_address().port()).parse().unwrap();
    let server = Server::start_at(directory.path(), open);
    assert!(
        server.log().contains("everyone who can reach this address can read what is spent"),
        "{}",
        server.log()
    );
    assert!(!server.log().contains("can send spans"), "the receivers are on loopback");
}
