//! The dashboards and rules that we ship against a real Prometheus that scrapes the demo.
//!
//! The demo plays for some seconds, ends, and a server starts on what it left behind. So nothing moves
//! while the panels are compared with the ledger, and a restart lies within the time range that they show. A
//! second Prometheus scrapes by protobuf and must have read the same.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "support/panels.rs"]
mod panels;
#[path = "support/prometheus.rs"]
mod prometheus;
mod support;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use panels::{Target, charged, is_retry, is_waste, query_of, targets};
use prometheus::{Prometheus, Setup, demo, shipped_rules, value_of};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::Value;
use support::{PATIENCE, Server, free_address};

/// How long the demo begins new jobs.
const DEMO_SECONDS: u32 = 20;

/// A budget and an account that the demo spends.
const CONFIG: &str = "
budgets:
  - {name: everything, limit: 1000, currency: USD, period: year}
  - {name: video, limit: 100, currency: USD, period: month, scope: {provider: fal}}
prepaid:
  - {name: runway, unit: credit, balance: 100000, as_of: 2026-01-01, scope: {provider: runway}}
invoices:
  - {provider: fal, period: 2026-01-01/2099-12-31, amount: 1, currency: USD}
exporters: {prometheus: {new_series_at_zero: 2s}}
";

/// Panels that are empty when nothing went wrong, when there was nothing before, or in the first days of a
/// budget's period: their queries must answer, not hold anything.
const MAY_BE_EMPTY: [&str; 14] = [
    "Certificates",
    "Forwarded spans, per second",
    "Forwarding queues",
    "Forwarding destinations",
    "What changed, $currency",
    "Limits reached, per minute",
    "Queue and refusals",
    "Requests that no rule takes, per minute",
    "Revised and late jobs, per hour",
    "Sampled calls, per minute",
    "Spans by what became of them, per second",
    "Highest forecast",
    "Budgets",
    "Not known to be billed, $currency",
];

/// Every query, as the dashboards send it.
fn queries(seconds: u64) -> Vec<Target> {
    let (range, number) = (format!("{seconds}s"), seconds.to_string());
    targets(&[
        ("__rate_interval", &*range),
        ("__range_s", &*number),
        ("__range", &*range),
        ("currency", "USD"),
        ("compare", "1h"),
    ])
}

#[test]
fn panels_show_the_demo_and_equal_the_ledger() {
    let directory = tempfile::tempdir().unwrap();
    let (admin, began) = (free_address(), Instant::now());
    let config = directory.path().join("spantally.yaml");
    std::fs::write(&config, CONFIG).unwrap();
    let text = Setup { features: "exemplar-storage", rules: Some(shipped_rules()), ..Setup::default() };
    let protobuf = Setup { features: "exemplar-storage,native-histograms", ..Setup::default() };
    let text = Prometheus::start(&directory.path().join("text"), admin, &text);
    let protobuf = Prometheus::start(&directory.path().join("protobuf"), admin, &protobuf);
    let said = demo(directory.path(), admin, DEMO_SECONDS, &config);
    let server = Server::start_with(directory.path(), admin, Some(CONFIG), &[]);
    wait_for_scrapes(&text, 5);
    wait_for_scrapes(&protobuf, 5);
    // Longer than since the beginning: the first scrape is within it however slowly queries are answered.
    let seconds = began.elapsed().as_secs() + 120;

    assert_panels_equal_the_ledger(&text, &server, seconds);
    assert_no_panel_is_empty(&text, seconds, &said);
    check_metrics(&server.page("/metrics"));
    for group in text.ask("/api/v1/rules", &[])["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            assert_eq!(rule["health"], "ok", "{rule}");
        }
    }
    assert_budget_equals_the_counters(&server);

    for prometheus in [&text, &protobuf] {
        assert_exemplars_lead_to_a_job(prometheus, &server);
    }
    let all = "count by (__name__) ({__name__=~\"spantally_(job|cost|budget|spans).*\"})";
    assert_eq!(names(&protobuf, all), names(&text, all), "both formats have the same series");
    let cost = "sum(spantally_cost_total) - sum(spantally_cost_reversed_total)";
    let sums = [text.number(cost), protobuf.number(cost)];
    assert!((sums[0] - sums[1]).abs() < 1e-9, "{sums:?}");
    drop(server);
    assert_native_histograms_are_read(directory.path(), admin, [&text, &protobuf]);
}

/// A year has begun long ago and its budget was not there: it is read from the ledger. Budgets are shown at
/// times, and those times are far apart on a slow machine.
fn assert_budget_equals_the_counters(server: &Server) {
    let began = Instant::now();
    loop {
        let spent = server.metric("spantally_budget_spent", &["budget=\"everything\""]);
        let counted = counted(server);
        if spent == counted {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "the budget has {spent}, the counters {counted}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The cost counters, less what was taken back.
fn counted(server: &Server) -> Decimal {
    let [cost, reversed] = ["spantally_cost_total", "spantally_cost_reversed_total"]
        .map(|name| server.metric(name, &["currency=\"USD\""]));
    cost - reversed
}

/// After a restart with native histograms on: they hold what was observed before it. A Prometheus that reads
/// them by protobuf has them in place of the classic ones, which the other one still has.
fn assert_native_histograms_are_read(
    directory: &Path,
    admin: SocketAddr,
    [text, protobuf]: [&Prometheus; 2],
) {
    let config = CONFIG.replace("prometheus: {", "prometheus: {native_histograms: true, ");
    let server = Server::start_with(directory, admin, Some(&config), &[]);
    let began = Instant::now();
    let count = "sum(histogram_count(spantally_job_duration_seconds))";
    let classic = "spantally_job_duration_seconds_count";
    while protobuf.series(count).is_empty() || text.series(classic).is_empty() {
        assert!(began.elapsed() < PATIENCE, "no histogram was read");
        std::thread::sleep(Duration::from_millis(500));
    }
    let classic = server.metric(classic, &[]).to_f64().unwrap();
    assert!(classic > 50.0, "{classic} jobs are too few to compare");
    assert!((protobuf.number(count) - classic).abs() < 0.5, "as many observations as the text page has");
    let sum = server.metric("spantally_job_duration_seconds_sum", &[]).to_f64().unwrap();
    assert!((protobuf.number("sum(histogram_sum(spantally_job_duration_seconds))") - sum).abs() < 1e-6 * sum);
    // Classic buckets double or so, native ones grow by a twelfth: the same median, more or less.
    for q in ["0.5", "0.9"] {
        let native = format!("histogram_quantile({q}, sum(spantally_job_duration_seconds))");
        let classic = format!("histogram_quantile({q}, sum by (le) (spantally_job_duration_seconds_bucket))");
        let (native, classic) = (protobuf.number(&native), text.number(&classic));
        assert!((0.4..2.5).contains(&(native / classic)), "{q}: {native}, {classic}");
    }
}

fn assert_no_panel_is_empty(prometheus: &Prometheus, seconds: u64, said: &str) {
    let empty: Vec<String> = queries(seconds)
        .into_iter()
        .filter(|Target { panel, query, .. }| {
            let series = prometheus.series(query);
            let is_empty = series.iter().all(|series| value_of(series).is_nan());
            is_empty && !MAY_BE_EMPTY.contains(&panel.as_str())
        })
        .map(|Target { panel, query, .. }| format!("{panel}: {query}"))
        .collect();
    assert!(empty.is_empty(), "panels without data:\n{}\n{said}", empty.join("\n"));
}

fn assert_panels_equal_the_ledger(prometheus: &Prometheus, server: &Server, seconds: u64) {
    let jobs = server.jobs("&state=settled");
    let total = charged(&jobs, |_| true);
    assert!(total > Decimal::ZERO);
    // what the counters say is the ledger's sum to the last unit
    assert_eq!(counted(server), total);
    let (waste, retry) = (charged(&jobs, is_waste), charged(&jobs, is_retry));
    let targets = queries(seconds);
    // `increase` does not see what a series had when it was first scraped: some, where a job came and settled
    // between two scrapes of a slow machine. The least of a counter is what it had then.
    let shown = |panel: &str| {
        let query = query_of(&targets, panel);
        let sum = |query: &str| prometheus.series(query).iter().map(value_of).sum::<f64>();
        [sum(&query), sum(&query.replace("increase(", "min_over_time("))]
    };
    let near = |panel: &str, ledger: f64| {
        let [shown, unseen] = shown(panel);
        assert!(unseen <= 0.3 * ledger, "{panel}: {unseen} of {ledger} was there at the first scrape");
        assert_near(panel, shown, ledger - unseen);
        shown
    };
    let dollars = |amount: Decimal| amount.to_f64().unwrap();
    let spend = near("Spend, $currency", dollars(total));
    let wasted = near("Waste, $currency", dollars(waste));
    near("Retry-driven spend, $currency", dollars(retry));
    near("Jobs", jobs.len() as f64);
    near("Spend by provider, $currency", dollars(total));
    assert_near("Waste share", shown("Waste share")[0], wasted / spend);
}

/// From a point on *Job duration* to the job that the ledger has.
fn assert_exemplars_lead_to_a_job(prometheus: &Prometheus, server: &Server) {
    let now = prometheus.number("vector(time())");
    let (start, end) = ((now - 600.0).to_string(), now.to_string());
    let query = ("query", "spantally_job_duration_seconds_bucket");
    let found = prometheus.ask("/api/v1/query_exemplars", &[query, ("start", &start), ("end", &end)]);
    let exemplars: Vec<&Value> =
        found.as_array().unwrap().iter().flat_map(|series| series["exemplars"].as_array().unwrap()).collect();
    let labels = &exemplars.first().expect("exemplars were stored")["labels"];
    let job = labels["job_id"].as_str().unwrap();
    let document = server.page(&format!("/api/v1/jobs/{job}"));
    let (trace, span) = (labels["trace_id"].as_str().unwrap(), labels["span_id"].as_str().unwrap());
    assert!(document.contains(&format!("{trace}:{span}")), "{labels} is not in {document}");
}

/// Metric names with how many series each has.
fn names(prometheus: &Prometheus, query: &str) -> Vec<(String, String)> {
    let mut names: Vec<(String, String)> = prometheus
        .series(query)
        .iter()
        .map(|series| {
            let name = series["metric"]["__name__"].as_str().unwrap();
            (name.to_owned(), series["value"][1].as_str().unwrap().to_owned())
        })
        // Only OpenMetrics has the start of a counter as a series.
        .filter(|(name, _)| !name.ends_with("_created"))
        .collect();
    names.sort();
    names
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

/// `increase` estimates the ends of its range: up to one scrape in some forty at either end.
#[track_caller]
fn assert_near(panel: &str, shown: f64, ledger: f64) {
    let difference = (shown - ledger).abs() / ledger;
    assert!(difference <= 0.06, "{panel}: the panel says {shown}, the ledger {ledger}");
}
