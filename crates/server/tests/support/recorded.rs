//! Commands as a user runs them, and a tiny recording for them.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

/// Runs it without standard input, colours or a configuration of this machine.
pub fn spantally(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_spantally"))
        .args(arguments)
        .env("NO_COLOR", "1")
        .env_remove("SPANTALLY_CONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Standard output of a command that ends well.
#[track_caller]
pub fn run(arguments: &[&str]) -> String {
    let output = spantally(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// What it says on standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// 2026-11-20T10:00:00Z.
pub const START_MS: u64 = 1_795_168_800_000;

/// A client span of its own trace; times in milliseconds, `status` 0 is a time-out.
pub fn span(number: u64, at: u64, took: u64, method: &str, url: &str, status: u16) -> Value {
    let nanos = |ms: u64| format!("{}000000", START_MS + ms);
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let mut attributes = vec![text("http.request.method", method), text("url.full", url)];
    let mut state = json!({});
    if status == 0 {
        attributes.push(text("error.type", "httpx.ReadTimeout"));
        state = json!({"code": 2, "message": "ReadTimeout: The read operation timed out"});
    } else {
        let code = json!({"key": "http.response.status_code", "value": {"intValue": status.to_string()}});
        attributes.push(code);
    }
    json!({
        "traceId": format!("{number:032x}"), "spanId": format!("{number:016x}"), "name": method, "kind": 3,
        "startTimeUnixNano": nanos(at), "endTimeUnixNano": nanos(at + took),
        "attributes": attributes, "status": state,
    })
}

/// Three jobs: one submitted again after a time-out, one whose end no span tells, one refused; and a span
/// that is about something else.
pub fn spans() -> Vec<Value> {
    let fal = "https://queue.fal.run/fal-ai/flux/dev";
    let task = "https://queue.fal.run/fal-ai/flux/requests/0a3f8f2e-3f5b-4f0e-9d8e-6a1f5b1c2d3e";
    let runway = "https://api.dev.runwayml.com/v1/tasks/11111111-2222-4333-8444-555555555555";
    let mut spans = vec![
        span(1, 0, 10_000, "POST", fal, 0),
        span(2, 10_200, 200, "POST", fal, 200),
        span(7, 12_600, 100, "GET", task, 200),
        span(10, 40_000, 300, "POST", "https://api.dev.runwayml.com/v1/image_to_video", 200),
        span(20, 90_000, 300, "POST", "https://fal.run/fal-ai/flux/dev", 422),
        span(30, 91_000, 300, "GET", "https://shop.example/jobs/7/status", 200),
    ];
    let status = format!("{task}/status");
    spans.extend((0..4).map(|poll| span(3 + poll, 10_500 + 500 * poll, 100, "GET", &status, 200)));
    spans.extend((0..3).map(|poll| span(11 + poll, 45_000 + 5000 * poll, 100, "GET", runway, 200)));
    spans.sort_by_key(|span| span["startTimeUnixNano"].as_str().unwrap().to_owned());
    spans
}

/// One export request of these spans.
pub fn request(spans: &[Value]) -> String {
    let service = json!({"key": "service.name", "value": {"stringValue": "clips"}});
    let resource = json!({"attributes": [service]});
    json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}).to_string()
}

/// The tiny recording, as the Collector's file exporter writes it.
pub fn recording(directory: &Path) -> PathBuf {
    let path = directory.join("spans.jsonl");
    let lines: Vec<_> = spans().chunks(4).map(request).collect();
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    path
}
