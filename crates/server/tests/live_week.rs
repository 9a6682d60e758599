//! The dashboards that we ship on a seeded week: recorded through the real core with a driven clock, given
//! to a real Prometheus as blocks, and gone on with by the real server on what the recording left behind.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "support/panels.rs"]
mod panels;
#[path = "support/prometheus.rs"]
mod prometheus;
mod support;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use panels::{Target, charged, is_retry, is_waste, query_of, shipped, targets};
use prometheus::{Prometheus, Setup, value_of};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::Value;
use spantally_server::clock;
use spantally_stitch::UnixNanos;
use spantally_tests::promql::substituted;
use spantally_tests::week::{Plan, Recording, record};
use support::{PATIENCE, Server, free_address};

const CONFIG: &str = "
processors: {spantally: {settle_delay: 2m}}
budgets:
  - {name: everything, limit: 1000, currency: USD, period: year}
prepaid:
  - {name: runway, unit: credit, balance: 100000, as_of: 2026-01-01, scope: {provider: runway}}
invoices:
  - {provider: fal, period: 2026-01-01/2099-12-31, amount: 100000, currency: USD}
";
const DAYS: u64 = 7;
const SCRAPE_MS: u64 = 30 * 60_000;

/// Panels that are empty when nothing went wrong, or because nothing is sent while the server is looked at;
/// their queries must answer.
const MAY_BE_EMPTY: [&str; 13] = [
    "Certificates",
    "Time to commit",
    "OTLP requests by result, per second",
    "Forwarded spans, per second",
    "Forwarding queues",
    "Forwarding destinations",
    "Limits reached, per minute",
    "Queue and refusals",
    "Requests that no rule takes, per minute",
    "Revised and late jobs, per hour",
    "Sampled calls, per minute",
    "Spans by what became of them, per second",
    "Unpriced jobs by reason, per hour",
];

fn seconds(moment: UnixNanos) -> u64 {
    moment.0 / 1_000_000_000
}

fn recorded(directory: &Path) -> (Recording, UnixNanos) {
    let config = directory.join("week.yaml");
    std::fs::write(&config, CONFIG).unwrap();
    let end = UnixNanos(seconds(clock::now()) * 1_000_000_000);
    let plan = Plan { seed: 11, end, days: DAYS, jobs_per_hour: 4.0, scrape_ms: SCRAPE_MS, fine_ms: 600_000 };
    let recording = record(directory, &config, &plan).unwrap();
    (recording, end.minus_ms(DAYS * 86_400_000))
}

fn make_blocks(recording: &Recording, directory: &Path) {
    let output = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "--max-block-duration=256h", "openmetrics"])
        .args([&recording.history, &directory.join("tsdb")])
        .output()
        .unwrap_or_else(|error| panic!("promtool cannot be started ({error})"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The week as a dashboard shows it at a moment.
struct Week<'a> {
    prometheus: &'a Prometheus,
    now: f64,
    targets: Vec<Target>,
}

impl<'a> Week<'a> {
    /// As of the last scrape: a range that ends on a sample is not extrapolated.
    fn now(prometheus: &'a Prometheus, start: UnixNanos) -> Self {
        let now = prometheus.number("max(timestamp(spantally_cost_total))");
        let start = seconds(start);
        let range = (now - start as f64).ceil().to_u64().unwrap();
        let (range, number) = (format!("{range}s"), range.to_string());
        let values = [
            ("__rate_interval", "2h"),
            ("__range_s", &*number),
            ("__range", &*range),
            ("currency", "USD"),
            ("compare", "1d"),
        ];
        Self { prometheus, now, targets: targets(&values) }
    }

    fn series(&self, query: &str) -> Vec<Value> {
        let time = format!("{:.3}", self.now);
        self.prometheus.ask("/api/v1/query", &[("query", query), ("time", &time)])["result"]
            .as_array()
            .unwrap()
            .clone()
    }

    /// The only value of a panel's first query, to a cent.
    fn stat(&self, panel: &str) -> Decimal {
        let series = self.series(&query_of(&self.targets, panel));
        assert_eq!(series.len(), 1, "{panel}: {series:?}");
        cents(value_of(&series[0]))
    }

    /// What is wrong with a panel's query, if anything.
    fn problem(&self, target: &Target) -> Option<String> {
        let Target { panel, query, is_range, labels } = target;
        let series = if *is_range { self.points(query) } else { self.series(query) };
        let told: Vec<&Value> = series.iter().filter(|series| is_number(series)).collect();
        if told.is_empty() {
            let is_excused = MAY_BE_EMPTY.contains(&panel.as_str());
            return (!is_excused).then(|| format!("{panel}: no data: {query}"));
        }
        let missing: Vec<&String> = labels
            .iter()
            .filter(|label| told.iter().all(|series| !series["metric"][label.as_str()].is_string()))
            .collect();
        (!missing.is_empty()).then(|| format!("{panel}: no series has {missing:?}: {query}"))
    }

    fn points(&self, query: &str) -> Vec<Value> {
        // The last step is the last scrape: what only the process itself tells has no history.
        let start = format!("{:.3}", self.now - (DAYS * 86_400) as f64);
        let end = format!("{:.3}", self.now);
        let parameters = [("query", query), ("start", &start), ("end", &end), ("step", "3600")];
        self.prometheus.ask("/api/v1/query_range", &parameters)["result"].as_array().unwrap().clone()
    }
}

/// Whether a series has any value that is a number.
fn is_number(series: &Value) -> bool {
    let one = series["value"].as_array().into_iter();
    let many = series["values"].as_array().into_iter().flatten().filter_map(Value::as_array);
    one.chain(many).any(|point| !point[1].as_str().unwrap().parse::<f64>().unwrap().is_nan())
}

fn cents(amount: f64) -> Decimal {
    Decimal::from_f64_retain(amount).unwrap().round_dp(2)
}

#[test]
fn a_week_is_on_every_panel_and_equals_the_ledger_to_the_cent() {
    let directory = tempfile::tempdir().unwrap();
    let (recording, start) = recorded(directory.path());
    make_blocks(&recording, directory.path());
    let admin = free_address();
    let server = Server::start_with(directory.path(), admin, Some(CONFIG), &[]);
    let arguments = ["--query.lookback-delta=4h", "--storage.tsdb.retention.time=60d"];
    let setup = Setup { instance: Some("127.0.0.1:9464"), arguments: &arguments, ..Setup::default() };
    let prometheus = Prometheus::start(directory.path(), admin, &setup);
    wait_for_three_scrapes(&prometheus);

    assert_stats_equal_the_ledger(&prometheus, &server, start);
    let week = Week::now(&prometheus, start);
    let problems: Vec<String> = week.targets.iter().filter_map(|target| week.problem(target)).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert_variables_have_values(&prometheus);
}

fn wait_for_three_scrapes(prometheus: &Prometheus) {
    let began = Instant::now();
    while prometheus.series("count_over_time(up[1m]) >= 3").is_empty() {
        assert!(began.elapsed() < PATIENCE, "Prometheus does not scrape the server");
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
}

/// Jobs that were open when the recording ended settle meanwhile, so the ledger is read before and after.
fn assert_stats_equal_the_ledger(prometheus: &Prometheus, server: &Server, start: UnixNanos) {
    let began = Instant::now();
    loop {
        let jobs = server.jobs("&state=settled");
        let total = charged(&jobs, |_| true);
        std::thread::sleep(std::time::Duration::from_secs(3));
        let week = Week::now(prometheus, start);
        let shown =
            ["Spend, $currency", "Waste, $currency", "Retry-driven spend, $currency"].map(|p| week.stat(p));
        let by_provider = week.series(&query_of(&week.targets, "Spend by provider, $currency"));
        let by_provider: f64 = by_provider.iter().map(value_of).sum();
        let count = week.series(&query_of(&week.targets, "Jobs"));
        if charged(&server.jobs("&state=settled"), |_| true) != total {
            assert!(began.elapsed() < PATIENCE, "jobs go on settling");
            continue;
        }
        assert!(jobs.len() > 400, "{} jobs are too few for a week", jobs.len());
        let ledger = [total, charged(&jobs, is_waste), charged(&jobs, is_retry)].map(|sum| sum.round_dp(2));
        assert!(ledger.iter().all(|sum| *sum > Decimal::ONE), "{ledger:?}");
        assert_eq!(shown, ledger, "spend, waste and retry-driven spend");
        assert_eq!(cents(by_provider), ledger[0]);
        assert_eq!(value_of(&count[0]).round().to_usize(), Some(jobs.len()));
        return;
    }
}

fn assert_variables_have_values(prometheus: &Prometheus) {
    for dashboard in shipped() {
        for variable in dashboard["templating"]["list"].as_array().unwrap() {
            let Some(query) = variable["query"]["query"].as_str() else { continue };
            let inside = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
            let (selector, label) = inside.rsplit_once(", ").unwrap();
            let selector = substituted(selector, &[]);
            let values = prometheus.ask(&format!("/api/v1/label/{label}/values"), &[("match[]", &selector)]);
            let values = values.as_array().unwrap();
            assert!(!values.is_empty() || label == "tenant", "{}: {query}", dashboard["title"]);
            let first = variable["current"]["value"].as_str();
            let is_there = first.is_none_or(|first| values.iter().any(|value| value == first));
            assert!(is_there, "{}: {query}: {first:?} is not among {values:?}", dashboard["title"]);
        }
    }
}
