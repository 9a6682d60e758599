//! Limits in a real server: what happens at each is what `docs/limits.md` states, and it is counted.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod memory;
mod storm;
#[path = "../support/mod.rs"]
mod support;
mod traffic;

use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rust_decimal::Decimal;

use self::support::{PATIENCE, Server, free_address};
use self::traffic::{Service, head, post, status};

/// A server with a configuration of its own.
fn serve(directory: &Path, config: &str) -> Server {
    Server::start_with(directory, free_address(), Some(config), &[])
}

fn limit(server: &Server, metric: &str, name: &str) -> Decimal {
    server.metric(metric, &[&format!("limit=\"{name}\"")])
}

fn reached(server: &Server, name: &str) -> Decimal {
    limit(server, "spantally_limit_reached_total", name)
}

#[track_caller]
fn wait_for(server: &Server, what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}\n{}", server.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Until it is taken; how often it was refused before.
#[track_caller]
fn deliver(server: &Server, body: &[u8]) -> u32 {
    for tries in 0..600 {
        match post(server.http, body) {
            Some(200) => return tries,
            Some(503) | None => std::thread::sleep(Duration::from_millis(100)),
            other => panic!("{other:?}\n{}", server.log()),
        }
    }
    panic!("it is never taken\n{}", server.log());
}

#[test]
fn every_limit_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    for (name, expected) in [
        ("spans", 4_000_000),
        ("open_jobs", 1_000_000),
        ("trace_tasks", 20_000),
        ("task_spans", 20_000),
        ("idle_frames", 200_000),
        ("label_sets", 2000),
        ("inflight_bytes", 256 << 20),
        ("connections", 1024),
        ("tenants", 1000),
        ("label_bytes", 256),
        ("id_bytes", 1024),
        ("callback_ids", 32),
        ("span_links", 128),
        ("commit_queue_spans", 262_144),
        ("journal_bytes", 8_u64 << 30),
    ] {
        assert_eq!(limit(&server, "spantally_limit", name), Decimal::from(expected), "{name}");
        assert_eq!(reached(&server, name), Decimal::ZERO, "{name}");
    }
}

#[test]
fn polls_of_one_task_are_kept_up_to_the_limit() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve(directory.path(), "processors: {spantally: {limits: {max_task_spans: 100}}}");
    let mut service = Service::new("clips");
    let mut spans = service.job(false);
    spans.extend((0..110).map(|_| service.poll(1)));
    assert_eq!(deliver(&server, &service.request(spans)), 0);
    wait_for(&server, "spans are applied", || {
        server.metric("spantally_spans_received_total", &[]) == Decimal::from(112)
    });
    // The submit is known by its trace only, so the task has 111 polls.
    assert_eq!(server.metric("spantally_spans_surplus_total", &[]), Decimal::from(11));
    assert_eq!(server.metric("spantally_spans_accepted_total", &[]), Decimal::from(101));
    assert_eq!(reached(&server, "task_spans"), Decimal::from(11));
}

#[test]
fn bytes_under_way_are_refused_past_the_limit() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve(directory.path(), "receivers: {otlp: {limits: {max_inflight_bytes: 10000}}}");
    let mut service = Service::new("clips");
    let mut slow = TcpStream::connect(server.http).unwrap();
    // Half of it has come, so there is room for all of it.
    slow.write_all(&[head(server.http, 9000).as_bytes(), &[0; 4500]].concat()).unwrap();
    wait_for(&server, "the request is under way", || {
        limit(&server, "spantally_limit_used", "inflight_bytes") == Decimal::from(9000)
    });
    let small = service.job(true);
    let small = service.request(small);
    assert!(small.len() <= 1000, "{}", small.len());
    assert_eq!(post(server.http, &small), Some(200), "there is room for it");
    assert_eq!(reached(&server, "inflight_bytes"), Decimal::ZERO);
    let large = (0..2).flat_map(|_| service.job(true)).collect();
    assert_eq!(post(server.http, &service.request(large)), Some(503));
    assert_eq!(reached(&server, "inflight_bytes"), Decimal::ONE);
    drop(slow);
    let large = (0..2).flat_map(|_| service.job(true)).collect();
    deliver(&server, &service.request(large));
}

#[test]
fn connections_past_the_limit_wait() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve(directory.path(), "receivers: {otlp: {limits: {max_connections: 2}}}");
    let mut service = Service::new("clips");
    let spans = service.job(true);
    assert_eq!(post(server.http, &service.request(spans)), Some(200));
    wait_for(&server, "it is closed", || server.metric("spantally_otlp_connections_open", &[]).is_zero());
    let first = TcpStream::connect(server.http).unwrap();
    wait_for(&server, "it is closed", || {
        server.metric("spantally_otlp_connections_open", &[]) == Decimal::ONE
    });
    assert_eq!(reached(&server, "connections"), Decimal::ZERO);
    let second = TcpStream::connect(server.http).unwrap();
    wait_for(&server, "the next one waits", || reached(&server, "connections") == Decimal::ONE);
    let spans = service.job(true);
    let body = service.request(spans);
    let mut third = TcpStream::connect(server.http).unwrap();
    third.write_all(&[head(server.http, body.len()).as_bytes(), &body].concat()).unwrap();
    third.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert_eq!(status(&mut third), None, "it waits in the system's queue");
    assert_eq!(server.metric("spantally_otlp_connections_open", &[]), Decimal::TWO);
    drop((first, second));
    third.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(status(&mut third), Some(200));
}

/// Nothing is refused for long, and nothing is lost: rows whose evidence is in memory are given back early.
#[test]
fn a_small_journal_gives_room_back() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve(directory.path(), "storage: {journal: {max_size: 1048576}}");
    let mut service = Service::new("clips");
    let (mut sent, mut most) = (0, Decimal::ZERO);
    for _ in 0..60 {
        let jobs = (0..200).flat_map(|_| service.job(true)).collect();
        deliver(&server, &service.request(jobs));
        sent += 200;
        most = most.max(limit(&server, "spantally_limit_used", "journal_bytes"));
    }
    let written = server.metric("spantally_commit_bytes_total", &[]);
    let max = Decimal::from(1 << 20);
    assert!(written > max * Decimal::TWO, "only {written} bytes were written");
    assert!(most > max / Decimal::TWO && most <= max * Decimal::from(3), "{most} bytes");
    wait_for(&server, "everything has settled", || {
        server.metric("spantally_jobs_total", &["succeeded"]) == Decimal::from(sent)
    });
    assert_eq!(
        server.metric("spantally_cost_total", &["delivered"]),
        Decimal::from(sent) * Decimal::new(25, 3)
    );
    wait_for(&server, "the journal has room", || {
        limit(&server, "spantally_limit_used", "journal_bytes") <= max / Decimal::from(4) * Decimal::from(3)
    });
}
