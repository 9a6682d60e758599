//! The dashboards and rules that we ship against a real Prometheus that scrapes the demo.
//!
//! The demo plays for some seconds, ends, and a server starts on what it left behind. So nothing moves
//! while the panels are compared with the ledger, and a restart lies within the time range that they show.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::Value;
use spantally_tests::dashboards;
use spantally_tests::fixtures::repository;
use spantally_tests::promql::substituted;
use support::{PATIENCE, Server, free_address, get};

/// How long the demo begins new jobs.
const DEMO_SECONDS: u32 = 20;

/// Panels that are empty when nothing went wrong: their queries must answer, not hold anything.
const MAY_BE_EMPTY: [&str; 0] = [];

struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already; there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    /// Scrapes `target` each second, with our rules.
    fn start(directory: &Path, target: SocketAddr) -> Self {
        let address = free_address();
        let rules = repository().canonicalize().unwrap().join("grafana/prometheus/rules/*.yaml");
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\n\
             scrape_configs: [{{job_name: spantally, static_configs: [{{targets: ['{target}']}}]}}]\n",
            rules.display()
        );
        let file = directory.join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("prometheus cannot be started ({error}); it is a Debian package"));
        let prometheus = Self { child, address };
        let began = Instant::now();
        while get(address, "/-/ready").is_none_or(|(status, _)| status != 200) {
            assert!(began.elapsed() < PATIENCE, "Prometheus is not ready");
            std::thread::sleep(Duration::from_millis(100));
        }
        prometheus
    }

    #[track_caller]
    fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let mut query = String::new();
        for (name, value) in parameters {
            let _ = write!(query, "&{name}=");
            for byte in value.bytes() {
                let _ = write!(query, "%{byte:02x}");
            }
        }
        let (status, body) = get(self.address, &format!("{path}?{}", query.trim_start_matches('&'))).unwrap();
        assert_eq!(status, 200, "{parameters:?}: {body}");
        serde_json::from_str::<Value>(&body).unwrap()["data"].take()
    }

    /// Every series of an instant query.
    #[track_caller]
    fn series(&self, query: &str) -> Vec<Value> {
        self.ask("/api/v1/query", &[("query", query)])["result"].as_array().unwrap().clone()
    }

    /// The only value of an instant query.
    #[track_caller]
    fn number(&self, query: &str) -> f64 {
        let series = self.series(query);
        assert_eq!(series.len(), 1, "{query}: {series:?}");
        value_of(&series[0])
    }
}

fn value_of(series: &Value) -> f64 {
    series["value"][1].as_str().unwrap().parse().unwrap()
}

/// Plays the demo to its end and returns what it printed.
fn demo(directory: &Path, admin: SocketAddr) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_spantally"))
        .args(["demo", "--seconds", &DEMO_SECONDS.to_string(), "--rate", "12", "--any-port"])
        .args(["--data-dir", &directory.join("data").display().to_string()])
        .args(["--set", &format!("exporters.prometheus.endpoint={admin}")])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "spantally demo: {}\n{said}", output.status);
    said
}

/// Title and query of every target, as the dashboard sends it.
fn queries(range: &str) -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for dashboard in dashboards::all() {
        let dashboard: Value = serde_json::from_str(&dashboard.to_text()).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let values = [("__rate_interval", range), ("__range", range), ("currency", "USD")];
                let query = substituted(target["expr"].as_str().unwrap(), &values);
                queries.push((panel["title"].as_str().unwrap().to_owned(), query));
            }
        }
    }
    queries
}

fn query_of(panel: &str, range: &str) -> String {
    let mut of_panel = queries(range).into_iter().filter(|(title, _)| title == panel);
    of_panel.next().unwrap_or_else(|| panic!("no panel {panel}")).1
}

/// Sum of what the ledger's jobs were charged in US dollars, for the causes that are wanted.
fn charged(jobs: &[Value], wanted: impl Fn(&str) -> bool) -> Decimal {
    let charges = jobs.iter().flat_map(|job| job["charges"].as_array().unwrap());
    charges
        .filter(|charge| charge["currency"] == "USD" && wanted(charge["cause"].as_str().unwrap()))
        .filter_map(|charge| charge["cost"].as_str())
        .map(|cost| cost.parse::<Decimal>().unwrap())
        .sum()
}

#[test]
fn panels_show_the_demo_and_equal_the_ledger() {
    let directory = tempfile::tempdir().unwrap();
    let (admin, began) = (free_address(), Instant::now());
    let prometheus = Prometheus::start(directory.path(), admin);
    let said = demo(directory.path(), admin);
    let server = Server::start_at(directory.path(), admin);
    wait_for_scrapes(&prometheus, 5);
    let range = format!("{}s", began.elapsed().as_secs() + 5);

    let empty: Vec<String> = queries(&range)
        .into_iter()
        .filter(|(title, query)| {
            let series = prometheus.series(query);
            let is_empty = series.iter().all(|series| value_of(series).is_nan());
            is_empty && !MAY_BE_EMPTY.contains(&title.as_str())
        })
        .map(|(title, query)| format!("{title}: {query}"))
        .collect();
    assert!(empty.is_empty(), "panels without data:\n{}\n{said}", empty.join("\n"));

    let jobs = server.jobs("&state=settled");
    let total = charged(&jobs, |_| true);
    assert!(total > Decimal::ZERO, "{said}");
    // what the counters say is the ledger's sum to the last unit
    let counted = server.metric("spantally_cost_total", &["currency=\"USD\""])
        - server.metric("spantally_cost_reversed_total", &["currency=\"USD\""]);
    assert_eq!(counted, total);
    // `increase` estimates the ends of its range: up to one scrape in some forty at either end
    let waste = charged(&jobs, |cause| !matches!(cause, "delivered" | "unverified"));
    let spend = prometheus.number(&query_of("Spend", &range));
    assert_near("Spend", spend, total.to_f64().unwrap());
    assert_near("Jobs", prometheus.number(&query_of("Jobs", &range)), jobs.len() as f64);
    let share = prometheus.number(&query_of("Waste share", &range));
    assert_near("Waste share", share, (waste / total).to_f64().unwrap());
    let causes: f64 = prometheus.series(&query_of("Spend by provider", &range)).iter().map(value_of).sum();
    assert_near("Spend by provider", causes, total.to_f64().unwrap());

    check_metrics(&server.page("/metrics"));
    for rule in prometheus.ask("/api/v1/rules", &[])["groups"].as_array().unwrap() {
        for rule in rule["rules"].as_array().unwrap() {
            assert_eq!(rule["health"], "ok", "{rule}");
        }
    }
}

/// promtool's opinion of names, types and help texts.
#[track_caller]
fn check_metrics(page: &str) {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = promtool.unwrap_or_else(|error| panic!("promtool cannot be started ({error})"));
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "promtool check metrics\n{}", String::from_utf8_lossy(&said));
}

/// Waits until the server has answered that many scrapes since now.
fn wait_for_scrapes(prometheus: &Prometheus, scrapes: u32) {
    let began = Instant::now();
    let query = format!("sum(sum_over_time(up[{scrapes}s]))");
    while prometheus.series(&query).first().is_none_or(|up| value_of(up) < f64::from(scrapes)) {
        assert!(began.elapsed() < PATIENCE, "Prometheus does not scrape the server");
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[track_caller]
fn assert_near(panel: &str, shown: f64, ledger: f64) {
    let difference = (shown - ledger).abs() / ledger;
    assert!(difference <= 0.06, "{panel}: the panel says {shown}, the ledger {ledger}");
}
