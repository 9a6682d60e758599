//! A server that has jobs to show: a capture of real traffic, and a job of a service with a hostile name.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use spantally_tests::capture::read_capture;
use spantally_tests::fixtures::capture_dir;

use crate::support::{PATIENCE, Server, free_address, post_json};

/// What a sender may call its service.
pub(crate) const HOSTILE: &str = "<img src=x onerror=\"window.harmed=1\"><script>window.harmed=1</script>";

/// A server, what it keeps its files in, and its jobs, all settled.
#[derive(Debug)]
pub(crate) struct Fed {
    pub(crate) server: Server,
    pub(crate) jobs: Vec<Value>,
    _directory: tempfile::TempDir,
}

/// Starts a server, feeds it, and waits until nothing is open any more.
pub(crate) fn fed() -> Fed {
    let directory = tempfile::tempdir().unwrap();
    // The recording is older than the absolute limit: it would settle everything at once.
    let config = "processors: {spantally: {idle_timeout: 2s, absolute_timeout: 87600h}}";
    let server = Server::start_with(directory.path(), free_address(), Some(config), &[]);
    for request in read_capture(&capture_dir("bare-headers")).unwrap() {
        export(server.http, &request.body);
    }
    assert_eq!(post_json(server.http, "/v1/traces", &hostile_job()), 200);
    let sent = Instant::now();
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let open = server.jobs("&state=open").len();
        // What is open is counted once in a while, so an empty list counts only when the limits have passed.
        if sent.elapsed() > Duration::from_secs(7) && open == 0 {
            let jobs = server.jobs("&state=settled");
            assert!(jobs.len() > 80, "{} jobs\n{}", jobs.len(), server.log());
            return Fed { server, jobs, _directory: directory };
        }
        assert!(sent.elapsed() < PATIENCE, "{open} jobs are still open\n{}", server.log());
    }
}

fn export(address: SocketAddr, body: &[u8]) {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/x-protobuf\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(" 200 "), "{answer}");
}

/// One video, submitted, asked for once, and fetched.
fn hostile_job() -> Value {
    const TASK: &str = "requests/0b3c9a52-77aa-4f0e-9d1c-5d2f6a1e4c11";
    const MODEL: &str = "fal-ai/kling-video/v2.5-turbo/pro/text-to-video";
    let calls = [
        ("POST", format!("https://queue.fal.run/{MODEL}"), 200),
        ("GET", format!("https://queue.fal.run/fal-ai/kling-video/{TASK}/status"), 200),
        ("GET", format!("https://queue.fal.run/fal-ai/kling-video/{TASK}"), 200),
    ];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let spans = calls.iter().enumerate().map(|(index, (method, url, status))| {
        let start = now - 10_000 + 1000 * index as u128;
        json!({
            "traceId": "5b8efff798038103d269b633813fc60c",
            "spanId": format!("{:016x}", index + 1),
            "name": method,
            "kind": 3,
            "startTimeUnixNano": format!("{start}000000"),
            "endTimeUnixNano": format!("{}000000", start + 200),
            "attributes": [
                {"key": "http.request.method", "value": {"stringValue": method}},
                {"key": "url.full", "value": {"stringValue": url}},
                {"key": "http.response.status_code", "value": {"intValue": status.to_string()}},
            ],
        })
    });
    json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": HOSTILE}}]},
        "scopeSpans": [{"spans": spans.collect::<Vec<_>>()}],
    }]})
}
