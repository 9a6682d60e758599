//! Captures sent to a running server, and the jobs that it settled as it went, scored.
//!
//! A recording that is read to the end is solved as a whole once more; a server has only what it knew when a
//! job settled. Requests are sent in order and faster than they were recorded, and what no span ends is
//! settled after seconds, so that the test ends.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use spantally_tests::capture::read_capture;
use spantally_tests::fixtures::capture_dir;
use spantally_tests::score::found::parse_jobs;
use spantally_tests::score::{Score, score};
use spantally_tests::truth::read_truth;

use self::support::{PATIENCE, Server, free_address};

/// Recorded milliseconds in one millisecond of the test.
const HASTE: u32 = 30;

fn export(address: SocketAddr, body: &[u8]) {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/x-protobuf\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let line = String::from_utf8_lossy(&answer);
    assert!(line.starts_with("HTTP/1.0 200") || line.starts_with("HTTP/1.1 200"), "{line}");
}

/// The jobs when nothing is open any more. What is open is counted once in a while, so that an empty list
/// counts only when the limits have passed.
fn all_settled(server: &Server) -> Vec<serde_json::Value> {
    let sent = Instant::now();
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let open = server.jobs("&state=open").len();
        if sent.elapsed() > Duration::from_secs(8) && open == 0 {
            return server.jobs("&state=settled");
        }
        assert!(sent.elapsed() < PATIENCE, "{open} jobs are still open\n{}", server.log());
    }
}

fn live(capture: &str) -> Score {
    let directory = std::env::temp_dir().join(format!("spantally-live-{capture}-{}", std::process::id()));
    // The recording is older than the absolute limit: it would settle everything at once.
    let config = "processors: {spantally: {idle_timeout: 3s, absolute_timeout: 87600h}}";
    let server = Server::start_with(&directory, free_address(), Some(config), &[]);
    let began = Instant::now();
    for request in read_capture(&capture_dir(capture)).unwrap() {
        let at = Duration::from_millis(u64::from(request.at_ms / HASTE));
        std::thread::sleep(at.saturating_sub(began.elapsed()));
        export(server.http, &request.body);
    }
    let lines: Vec<String> = all_settled(&server).iter().map(ToString::to_string).collect();
    let found = parse_jobs(&lines.join("\n"), "server").unwrap();
    let figures = score(&read_truth(&capture_dir(capture)).unwrap(), &found, None);
    drop(server);
    // What is left of it is in the way of nobody.
    let _ = std::fs::remove_dir_all(&directory);
    figures
}

#[track_caller]
fn hold(capture: &str, exact: f64, polls: f64) {
    let figures = live(capture);
    let jobs = &figures.jobs;
    assert_eq!((jobs.noise_only, jobs.spans_in_two_jobs, jobs.unknown_spans), (0, 0, 0), "{figures}");
    assert!(figures.stitch.exact_jobs >= exact, "{capture}: exact jobs below {exact}\n{figures}");
    assert!(figures.stitch.polls_with_their_submit >= polls, "{capture}: polls below {polls}\n{figures}");
}

#[test]
fn plain_spans_settle_as_they_were() {
    hold("bare-new", 0.90, 0.97);
}

#[test]
fn spans_under_requests_settle_as_they_were() {
    hold("parented-dup", 0.95, 0.99);
}
