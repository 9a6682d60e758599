//! Prompts, outputs and credentials never reach the disk, whatever spans carry: they are sent in every place
//! that instrumentations are known to put them into, and then looked for in every file.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use support::{Server, free_address};

/// What must not be kept begins so; each place has its own number behind it.
const SECRET: &str = "Zq7sEcReT";
const TASK: &str = "0b3c9a52-77aa-4f0e-9d1c-5d2f6a1e4c11";

/// A secret of one place, as it stands there, hyphen and all.
fn secret(place: u32) -> String {
    format!("{SECRET}{place:03}")
}

fn attributes(pairs: &[(&str, Value)]) -> Value {
    let value = |value: &Value| match value {
        Value::Number(number) => json!({"intValue": number.to_string()}),
        Value::Array(items) => {
            let values: Vec<_> = items.iter().map(|item| json!({"stringValue": item})).collect();
            json!({"arrayValue": {"values": values}})
        }
        other => json!({"stringValue": other}),
    };
    pairs.iter().map(|(key, of)| json!({"key": key, "value": value(of)})).collect()
}

struct Spans {
    at: u64,
    made: Vec<Value>,
}

impl Spans {
    /// Adds a span under the first one.
    fn add(&mut self, kind: u32, name: &str, pairs: &[(&str, Value)]) -> &mut Value {
        let number = self.made.len() + 1;
        let parent = if number == 1 { "" } else { "0000000000000001" };
        self.made.push(json!({
            "traceId": "5b8efff798038103d269b633813fc60c",
            "spanId": format!("{number:016x}"),
            "parentSpanId": parent,
            "name": name,
            "kind": kind,
            "startTimeUnixNano": self.at.to_string(),
            "endTimeUnixNano": (self.at + 200_000_000).to_string(),
            "attributes": attributes(pairs),
        }));
        self.at += 1_000_000_000;
        self.made.last_mut().unwrap()
    }

    /// A request of a client, with everything that an instrumentation captures when it is told to.
    fn call(&mut self, method: &str, url: &str, status: u32, place: u32) -> &mut Value {
        let secret = |more| secret(place + more);
        self.add(
            3,
            method,
            &[
                ("http.request.method", json!(method)),
                ("url.full", json!(url)),
                ("http.url", json!(url)),
                ("http.response.status_code", json!(status)),
                ("http.request.header.authorization", json!([format!("Key {}", secret(0))])),
                ("http.request.header.x_api_key", json!([secret(1)])),
                ("http.request.header.cookie", json!([secret(2)])),
                ("http.response.header.set-cookie", json!([secret(3)])),
                ("http.request.body", json!(format!("{{\"prompt\":\"{}\"}}", secret(4)))),
                ("http.response.body", json!(secret(5))),
            ],
        )
    }
}

fn event(name: &str, at: u64, pairs: &[(&str, Value)]) -> Value {
    json!({"name": name, "timeUnixNano": at.to_string(), "attributes": attributes(pairs)})
}

/// A span as OpenLLMetry and others make it, with everything that was asked and answered.
fn generation(spans: &mut Spans, now: u64) {
    let data = format!("data:image/png;base64,{}", secret(10));
    let span = spans.add(
        3,
        &format!("image_generation {}", secret(11)),
        &[
            ("gen_ai.system", json!("fal")),
            ("gen_ai.operation.name", json!("image_generation")),
            ("gen_ai.request.model", json!("fal-ai/flux/dev")),
            ("llm.request.type", json!("image_generation")),
            ("gen_ai.prompt.0.role", json!("user")),
            ("gen_ai.prompt.0.content", json!(secret(12))),
            ("gen_ai.completion.0.content", json!(secret(13))),
            ("gen_ai.input.messages", json!(format!("[{{\"content\":\"{}\"}}]", secret(14)))),
            ("gen_ai.output.messages", json!(secret(15))),
            ("gen_ai.system_instructions", json!(secret(16))),
            ("input.value", json!(secret(17))),
            ("output.value", json!(data)),
            ("llm.input_messages.0.message.content", json!(secret(18))),
            ("gen_ai.openai.api_key", json!(secret(19))),
        ],
    );
    span["events"] = json!([
        event("gen_ai.content.prompt", now, &[("gen_ai.prompt", json!(secret(20)))]),
        event("gen_ai.user.message", now, &[("content", json!(secret(21)))]),
    ]);
}

/// One job: asked for by a web request, under a span of OpenLLMetry's kind, delivered by poll and by webhook.
fn spans() -> Vec<Value> {
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap();
    let mut spans = Spans { at: now - 20_000_000_000, made: Vec::new() };
    spans.add(
        2,
        "POST /api/generations",
        &[
            ("http.request.method", json!("POST")),
            ("url.path", json!("/api/generations")),
            ("url.query", json!(format!("prompt={}&api_key={}", secret(1), secret(2)))),
            ("traceloop.entity.input", json!(format!("{{\"inputs\":{{\"prompt\":\"{}\"}}}}", secret(3)))),
            ("traceloop.entity.output", json!(secret(4))),
            ("enduser.id", json!(secret(5))),
        ],
    );
    generation(&mut spans, now);
    let hook = format!(
        "https%3A%2F%2Fme.example%2Fwebhooks%2Ffal%2F{}%3Forder%3Do-17%26token%3D{}",
        secret(30),
        secret(31)
    );
    let submit = format!("https://queue.fal.run/fal-ai/flux/dev?fal_webhook={hook}&fal_key={}", secret(32));
    spans.call("POST", &submit, 200, 40);
    let task = format!("https://user:{}@queue.fal.run/fal-ai/flux/requests/{TASK}", secret(50));
    for place in [60, 70] {
        spans.call("GET", &format!("{task}/status?logs=1&key={}", secret(51)), 202, place);
    }
    let failed = spans.call("GET", &format!("{task}/status"), 500, 80);
    failed["status"] = json!({"code": 2, "message": secret(90)});
    failed["events"] = json!([event(
        "exception",
        now,
        &[("exception.message", json!(secret(91))), ("exception.stacktrace", json!(secret(92)))]
    )]);
    spans.call("GET", &task, 200, 100);
    let signed = format!("https://v3.fal.media/files/a/b.png?X-Amz-Signature={}&sig={0}", secret(110));
    spans.call("GET", &signed, 200, 120);
    spans.call("GET", &format!("data:image/png;base64,{}", secret(130)), 200, 140);
    spans.add(
        2,
        "POST /webhooks/fal",
        &[
            ("http.request.method", json!("POST")),
            ("url.path", json!(format!("/webhooks/fal/{}", secret(30)))),
            ("url.query", json!(format!("order=o-17&token={}&request_id={TASK}", secret(31)))),
            ("http.request.header.x-fal-webhook-signature", json!([secret(150)])),
            ("http.response.status_code", json!(200)),
        ],
    );
    spans.made
}

fn send(server: &Server) {
    let body = json!({"resourceSpans": [{
        "resource": {"attributes": attributes(&[
            ("service.name", json!("kept-name")),
            ("process.command_args", json!(["app", format!("--key={}", secret(160))])),
            ("process.command_line", json!(secret(161))),
        ])},
        "scopeSpans": [{"scope": {"name": "opentelemetry.instrumentation.fal"}, "spans": spans()}],
    }]})
    .to_string();
    let mut stream = TcpStream::connect(server.http).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST /v1/traces HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Files in which a text stands, also in pages that are free.
fn with(directory: &Path, text: &str) -> Vec<PathBuf> {
    let has = |path: &PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        memchr::memmem::find(&bytes, text.as_bytes()).is_some()
    };
    let mut found: Vec<_> = files(directory).into_iter().filter(has).collect();
    found.sort();
    found
}

fn shown(server: &Server) -> String {
    let jobs = server.jobs("");
    let id = jobs[0]["job_id"].as_str().unwrap();
    let calls = server.page(&format!("/api/v1/jobs/{id}/calls"));
    [Value::Array(jobs.clone()).to_string(), calls, server.page("/metrics"), server.log()].concat()
}

#[test]
fn no_file_and_no_page_has_a_prompt_an_output_or_a_credential() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    send(&server);
    let jobs = server.settled(1);
    assert_eq!(jobs[0]["outcome"], "succeeded", "{jobs:?}");
    assert_eq!(jobs[0]["attempts"][0]["task_id"], TASK);
    assert!(!shown(&server).contains(SECRET), "{}", shown(&server));
    let files = with(directory.path(), "kept-name");
    for name in ["ledger.db", "journal.db"] {
        let has = files.iter().any(|path| path.to_string_lossy().contains(name));
        assert!(has, "what is kept is found, so what is not found is not kept: {name} in {files:?}");
    }
    assert_eq!(with(directory.path(), SECRET), Vec::<PathBuf>::new(), "while it runs");
    server.kill();
    assert_eq!(with(directory.path(), SECRET), Vec::<PathBuf>::new());
    // Started again it reads and writes everything anew.
    let server = Server::start(directory.path());
    server.settled(1);
    assert!(!shown(&server).contains(SECRET));
    assert_eq!(with(directory.path(), SECRET), Vec::<PathBuf>::new());
}

/// Spans that are to be sent on are sent as they came; until then they wait on disk, and nowhere else.
#[test]
fn what_waits_to_be_forwarded_is_in_its_queue_alone() {
    let directory = tempfile::tempdir().unwrap();
    let config = format!("exporters:\n  otlp/later: {{endpoint: 'http://{}'}}\n", free_address());
    let server = Server::start_with(directory.path(), free_address(), Some(&config), &[]);
    send(&server);
    server.settled(1);
    let queue = directory.path().join("data/forward/otlp@later");
    let found = with(directory.path(), SECRET);
    assert!(!found.is_empty() && found.iter().all(|path| path.starts_with(&queue)), "{found:?}");
}
