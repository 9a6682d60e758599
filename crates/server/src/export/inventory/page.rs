//! The inventory as a page for people: `docs/metrics.md`.

use std::fmt::Write as _;

use super::{INVENTORY, Kind, Label, Metric, MetricId};

/// Most values of a label that are listed; of more, the first ones stand for all.
const LISTED_VALUES: usize = 16;

const HEAD: &str = "# Metrics

Written from the table in `crates/server/src/export/inventory.rs`; do not edit. `cargo run -p spantally-server --example metrics_page >
docs/metrics.md` writes it anew.

- `/metrics` speaks Prometheus text 0.0.4, OpenMetrics 1.0 and Prometheus' protobuf, as `Accept` asks, with gzip for those who take it.
- Native histograms stand beside the classic ones of jobs in the protobuf format, if `exporters.prometheus.native_histograms` is on.
- Exemplars (OpenMetrics and protobuf) are on the buckets of the histograms about jobs: `trace_id`, `span_id`, `job_id`.
- *Common labels* are `provider`, `model`, `operation`, `service`, `tenant`, and those of `processors.spantally.labels`. A value that no span
  tells is empty; of a configured label it is left out. When these are configured otherwise, series go on by the names that their labels have.
  Past `exporters.prometheus.max_label_sets` new combinations are counted in series with `otel_metric_overflow=\"true\"` in their place.
- A counter with *reversals* has a second one, `..._reversed_total`, with the same labels: what later evidence took back. Always use the difference,
  `x_total - x_reversed_total`. Both exist from the same moment on.
- Series whose label values are known beforehand exist at 0 before the first increment, so that `rate` and `increase` see it.
- These two leave out what a series had when it was first scraped. So Prometheus, and who scrapes as it does (vmagent, Alloy, the Collector's
  receiver: whoever sends `X-Prometheus-Scrape-Timeout-Seconds`), sees a new series about jobs, money or spans at 0 for
  `exporters.prometheus.new_series_at_zero` (a minute) from the first page that has it on, then its value; of several scrapers each has its zero, if
  none of them scrapes more seldom. Nothing of what `increase` gives is lost by it, it comes that much later, and sums over series agree with the
  ledger again after that time. Whoever else asks for `/metrics` (a browser, `curl`), OTLP and the API see every value at once. What was counted
  before a first scrape that comes more than ten minutes after the start is shown as it is, as is what an earlier process has left in the ledger.
- Counters about jobs, money and spans go on after a restart, with the start time (`_created`) of the first process; those marked *process* begin anew.
- Money is in the currency of the label `currency`, an ISO 4217 code or a provider's credit. Never add up two.
";

/// The page.
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for (title, holds) in SECTIONS {
        // Writing to a String cannot fail.
        let _ = write!(page, "\n## {title}\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n");
        let metrics = INVENTORY.iter().filter(|metric| metric.id.twin_of().is_none());
        for metric in metrics.filter(|metric| section(metric) == *holds) {
            row(&mut page, metric);
        }
    }
    page += "\n## The process\n\n`process_*`: CPU time, memory, open files, threads and start time, as every Prometheus client \
             shows them.\n";
    page
}

#[derive(PartialEq, Eq)]
enum Section {
    Jobs,
    Money,
    Trust,
    Spans,
    Server,
}

const SECTIONS: &[(&str, Section)] = &[
    ("Jobs", Section::Jobs),
    ("Money", Section::Money),
    ("Prices", Section::Trust),
    ("Spans", Section::Spans),
    ("Spantally itself", Section::Server),
];

fn section(metric: &Metric) -> Section {
    let is = |words: &[&str]| words.iter().any(|word| metric.name.contains(word));
    if is(&["rate_card", "unpriced"]) {
        Section::Trust
    } else if is(&["_cost", "billed", "exposure", "budget", "prepaid", "reconciliation"]) {
        Section::Money
    } else if is(&["spantally_spans", "joins"]) {
        Section::Spans
    } else if metric.common {
        Section::Jobs
    } else {
        Section::Server
    }
}

fn row(page: &mut String, metric: &Metric) {
    let name = match metric.kind {
        Kind::Counter => format!("{}_total", metric.name),
        Kind::Gauge | Kind::Histogram(_) => metric.name.to_owned(),
    };
    let mut kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    }
    .to_owned();
    if metric.twin.is_some() {
        kind += ", reversals";
    }
    if metric.id.is_of_process() || metric.id == MetricId::BuildInfo {
        kind += ", process";
    }
    let common = metric.common.then(|| "*common*".to_owned());
    let labels: Vec<String> = common.into_iter().chain(metric.labels.iter().map(label)).collect();
    let labels = if labels.is_empty() { "-".to_owned() } else { labels.join("; ") };
    let mut help = metric.help.to_owned();
    if let Kind::Histogram(bounds) = metric.kind {
        let _ = write!(help, " Buckets: {}.", bounds.join(", "));
    }
    let _ = writeln!(page, "| `{name}` | {kind} | {labels} | {help} |");
}

fn label(label: &Label) -> String {
    let Some(known) = label.known else { return format!("`{}`", label.name) };
    let values = known();
    let more = if values.len() > LISTED_VALUES { ", ..." } else { "" };
    let listed: Vec<&str> = values.into_iter().take(LISTED_VALUES).collect();
    format!("`{}`: {}{more}", label.name, listed.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_docs_is_what_the_table_says() {
        let committed = include_str!("../../../../../docs/metrics.md");
        assert!(
            committed == markdown(),
            "docs/metrics.md: cargo run -p spantally-server --example metrics_page > docs/metrics.md"
        );
    }

    #[test]
    fn every_metric_is_on_the_page() {
        let page = markdown();
        for metric in INVENTORY.iter().filter(|metric| metric.id.twin_of().is_none()) {
            assert!(page.contains(&format!("| `{}", metric.name)), "{}", metric.name);
        }
    }
}
