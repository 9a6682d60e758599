//! An alert from the spans to the people: the demo spends a budget, a real Prometheus evaluates the rules
//! that we ship, a real Alertmanager groups the alert by the configuration that we ship and calls a webhook.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "support/prometheus.rs"]
mod prometheus;
mod support;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};

use prometheus::{Daemon, Prometheus, Setup, demo, shipped_rules, wait_until_ready};
use serde_json::Value;
use spantally_tests::fixtures::repository;
use support::{PATIENCE, free_address};

const DEMO_SECONDS: u32 = 15;

const CONFIG: &str = "
budgets:
  - {name: tiny, limit: 0.05, currency: USD, period: year}
  - {name: ample, limit: 1000000, currency: USD, period: year}
";

/// The rules that we ship, but for how long a condition must hold: a test has no minutes.
fn impatient_rules(directory: &Path) -> PathBuf {
    let to = directory.join("rules");
    std::fs::create_dir_all(&to).unwrap();
    for entry in std::fs::read_dir(shipped_rules().parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text.lines().map(|line| match line.trim_start().strip_prefix("for: ") {
            Some(time) => line.replace(time, "1s"),
            None => line.to_owned(),
        });
        let text: Vec<String> = lines.collect();
        std::fs::write(to.join(path.file_name().unwrap()), text.join("\n")).unwrap();
    }
    to.join("*.yaml")
}

/// The configuration that we ship, with a webhook in place of nobody and without its patience.
fn alertmanager(directory: &Path, webhook: SocketAddr) -> (Daemon, SocketAddr) {
    let shipped = repository().join("grafana/prometheus/alertmanager.yml");
    let text = std::fs::read_to_string(shipped).unwrap();
    assert!(text.contains("  - name: nobody\n") && text.contains("group_wait: 30s"), "{text}");
    let receiver = format!("  - name: nobody\n    webhook_configs: [{{url: 'http://{webhook}/'}}]\n");
    let text = text.replace("  - name: nobody\n", &receiver).replace("group_wait: 30s", "group_wait: 1s");
    let file = directory.join("alertmanager.yml");
    std::fs::write(&file, text).unwrap();
    let address = free_address();
    let arguments = [
        format!("--config.file={}", file.display()),
        format!("--storage.path={}", directory.join("alertmanager").display()),
        format!("--web.listen-address={address}"),
        "--cluster.listen-address=".to_owned(),
    ];
    let daemon = Daemon::start("prometheus-alertmanager", &arguments);
    wait_until_ready("Alertmanager", address);
    (daemon, address)
}

/// Takes POST requests and hands their bodies on.
fn webhook() -> (SocketAddr, Receiver<Value>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
            let body = loop {
                let read = stream.read(&mut chunk).unwrap();
                request.extend_from_slice(&chunk[..read]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
                if body.len() >= length.parse::<usize>().unwrap() {
                    break body.to_owned();
                }
            };
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
            // Nobody listens any more once the test has what it waited for.
            if sender.send(serde_json::from_str(&body).unwrap()).is_err() {
                return;
            }
        }
    });
    (address, receiver)
}

#[test]
fn a_spent_budget_reaches_a_webhook_with_the_money_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let config = directory.join("spantally.yaml");
    std::fs::write(&config, CONFIG).unwrap();
    let admin = free_address();
    let (webhook, messages) = webhook();
    let (_alertmanager, alertmanager) = alertmanager(directory, webhook);
    let setup = Setup {
        rules: Some(impatient_rules(directory)),
        alertmanager: Some(alertmanager),
        ..Setup::default()
    };
    let _prometheus = Prometheus::start(&directory.join("prometheus"), admin, &setup);
    demo(directory, admin, DEMO_SECONDS, &config);

    let alert = loop {
        let message = messages.recv_timeout(PATIENCE).expect("the webhook is called");
        let alerts = message["alerts"].as_array().unwrap().clone();
        let is_wanted = |alert: &Value| alert["labels"]["alertname"] == "SpantallyBudgetExhausted";
        if let Some(alert) = alerts.into_iter().find(is_wanted) {
            break alert;
        }
    };
    let labels = &alert["labels"];
    let told = ["budget", "currency", "severity", "job"].map(|label| labels[label].as_str().unwrap());
    assert_eq!(told, ["tiny", "USD", "critical", "spantally"]);
    assert_eq!(alert["status"], "firing");
    let annotations = &alert["annotations"];
    let description = annotations["description"].as_str().unwrap();
    let spent = description.strip_prefix("Budget tiny has spent ").and_then(|rest| rest.split_once(" USD"));
    let spent: f64 = spent.unwrap_or_else(|| panic!("{description}")).0.parse().unwrap();
    assert!(spent >= 0.05, "{description}");
    let runbook = annotations["runbook_url"].as_str().unwrap();
    assert!(repository().join(runbook).is_file(), "{runbook}");
}
