//! The real binary: exit codes, messages, signals.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_spantally");

/// Longer than any start or stop takes, so that a failure is a failure and not a slow machine.
const PATIENCE: Duration = Duration::from_mins(1);

fn spantally(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).env("NO_COLOR", "1").output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A server on free ports with a directory of its own; killed when dropped.
struct Server {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    admin: SocketAddr,
    directory: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new(BINARY)
            .arg("serve")
            .args(["--set", "receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0"])
            .args(["--set", "receivers.otlp.protocols.http.endpoint=127.0.0.1:0"])
            .args(["--set", "exporters.prometheus.endpoint=127.0.0.1:0"])
            .args(["--set", "service.telemetry.logs.encoding=json"])
            .arg("--set")
            .arg(format!("storage.directory={}", directory.path().join("data").display()))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let admin = loop {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the server ended before it was ready");
            let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
            if entry["message"] == "metrics and API" {
                break entry["address"].as_str().unwrap().parse().unwrap();
            }
        };
        Self { child, log, admin, directory }
    }

    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    fn exit_code(mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the server did not end");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn help_lists_the_commands() {
    let output = spantally(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    for command in ["serve", "check"] {
        assert!(text.contains(&format!("\n  {command} ")), "{command} is not in\n{text}");
    }
}

#[test]
fn wrong_usage_exits_64() {
    for arguments in [&[][..], &["srve"], &["serve", "--nothing"], &["check", "--format", "xml"]] {
        let output = spantally(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn an_unknown_key_is_shown_at_its_line_with_the_nearest_key() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("spantally.yaml");
    std::fs::write(&file, "receivers:\n  otlp:\n    protocols:\n      grpc:\n        endpont: x\n").unwrap();
    for command in ["serve", "check"] {
        let output = spantally(&[command, "--config", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(64), "{}", stderr(&output));
        let text = stderr(&output);
        assert!(text.contains("spantally.yaml:5:9"), "{text}");
        assert!(text.contains("did you mean `endpoint`?"), "{text}");
    }
}

#[test]
fn a_file_that_is_not_there_exits_64() {
    let output = spantally(&["check", "--config", "/nowhere/spantally.yaml"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("/nowhere/spantally.yaml"), "{}", stderr(&output));
}

#[test]
fn a_bad_provider_file_exits_64_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("mine.yaml"), "provider: mine\ntitel: Mine\n").unwrap();
    let output = spantally(&["check", "--providers", directory.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("mine.yaml:2"), "{}", stderr(&output));
}

#[test]
fn check_lists_the_providers() {
    let output = spantally(&["check", "--format", "jsonl"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let fal = rows.iter().find(|row| row["provider"] == "fal").unwrap();
    assert_eq!(fal["from"], "built-in");
    assert!(fal["calls"]["submit"].as_u64().unwrap() >= 1, "{fal}");
}

/// What one calls good the other takes.
#[test]
fn check_refuses_what_serve_refuses() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("spantally.yaml");
    for (text, part) in [
        ("receivers: {otlp: {auth: {tenants: [{name: a, token_file: /none}]}}}", "yaml:1:59"),
        ("receivers: {otlp: {protocols: {http: {tls: {cert_file: /none, key_file: /none}}}}}", "yaml:1:56"),
        ("exporters: {otlp: {endpoint: 'tempo:1', tls: {ca_file: /none}}}", "yaml:1:56"),
    ] {
        std::fs::write(&file, text).unwrap();
        let data = format!("storage.directory={}", directory.path().join("data").display());
        let [served, checked] = ["serve", "check"].map(|command| {
            let output = spantally(&[command, "--config", file.to_str().unwrap(), "--set", &data]);
            assert_eq!(output.status.code(), Some(64), "{command} {text}: {}", stderr(&output));
            stderr(&output)
        });
        assert_eq!(served, checked, "{text}");
        assert!(checked.contains(part) && checked.contains("/none"), "{text}: {checked}");
    }
    assert!(!directory.path().join("data").exists(), "nothing is written");
}

#[test]
fn a_port_in_use_exits_64_and_names_field_and_place() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("spantally.yaml");
    let text = format!(
        "exporters:\n  prometheus:\n    endpoint: {address}\n\
         receivers: {{otlp: {{protocols: {{grpc: {{endpoint: \"127.0.0.1:0\"}}}}}}}}\n"
    );
    std::fs::write(&file, text).unwrap();
    let output = spantally(&["serve", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(64));
    let text = stderr(&output).replace("\n  │ ", " ");
    for part in [&address.to_string(), "exporters.prometheus.endpoint", "spantally.yaml:3:15", "--set"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert_eq!(text.matches("in use").count(), 1, "why is said once:\n{text}");
}

#[test]
fn sigterm_and_sigint_drain_and_exit_0() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start();
        assert_eq!(server.get("/healthz"), (200, "ok\n".to_owned()));
        assert_eq!(server.get("/readyz"), (200, "ready\n".to_owned()));
        server.signal(signal);
        let mut log = String::new();
        server.log.read_to_string(&mut log).unwrap();
        assert_eq!(server.exit_code(), Some(0), "{log}");
        assert!(log.contains(&format!("SIG{signal}")), "{log}");
    }
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let server = Server::start();
    let data = server.directory.path().join("data");
    let output = spantally(&[
        "serve",
        "--set",
        "receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0",
        "--set",
        "receivers.otlp.protocols.http.endpoint=127.0.0.1:0",
        "--set",
        "exporters.prometheus.endpoint=127.0.0.1:0",
        "--set",
        &format!("storage.directory={}", data.display()),
    ]);
    assert_eq!(output.status.code(), Some(64));
    assert_eq!(stderr(&output).matches("another process").count(), 1, "{}", stderr(&output));
}
