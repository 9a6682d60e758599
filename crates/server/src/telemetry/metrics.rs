//! Our metrics by OTLP, for those who push: what `/metrics` shows, under the same names and labels.
//!
//! Prometheus counters go on from the ledger when the process starts anew; a cumulative sum in OTLP begins
//! with the process. So what was counted before is subtracted, and what is pushed is this process's share. Of
//! histograms the count and the sum are pushed, as two counters.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use parking_lot::Mutex;

use crate::clock;
use crate::export::inventory::{INVENTORY, Kind};

/// All metrics of one collection are of one page, which is written once.
const PAGE_AGE_MAX: Duration = Duration::from_secs(1);

/// Writes the page of metrics in Prometheus text.
pub(super) type Page = Box<dyn Fn() -> Bytes + Send + Sync>;

/// Label sets with their values, by name of the sample.
type Samples = HashMap<String, Vec<(Vec<KeyValue>, f64)>>;

struct Pages {
    page: Page,
    /// What was counted before this process.
    before: HashMap<String, Vec<(Vec<KeyValue>, f64)>>,
    latest: Mutex<(Instant, Samples)>,
}

impl Pages {
    fn new(page: Page) -> Self {
        let before = read_page(&page());
        Self { page, latest: Mutex::new((clock::instant(), before.clone())), before }
    }

    /// Hands every sample of a name to `observe`; for a counter less what it began with.
    fn observe(&self, name: &str, is_counter: bool, mut observe: impl FnMut(f64, &[KeyValue])) {
        let mut latest = self.latest.lock();
        if latest.0.elapsed() > PAGE_AGE_MAX {
            *latest = (clock::instant(), read_page(&(self.page)()));
        }
        let before = self.before.get(name).filter(|_| is_counter);
        for (labels, value) in latest.1.get(name).into_iter().flatten() {
            let same = before.and_then(|before| before.iter().find(|(known, _)| known == labels));
            observe(value - same.map_or(0.0, |(_, value)| *value), labels);
        }
    }
}

/// Begins to push the page every `OTEL_METRIC_EXPORT_INTERVAL`.
pub(super) fn provider(exporter: MetricExporter, resource: Resource, page: Page) -> SdkMeterProvider {
    let provider =
        SdkMeterProvider::builder().with_periodic_exporter(exporter).with_resource(resource).build();
    let meter = provider.meter("spantally");
    let pages = Arc::new(Pages::new(page));
    for metric in INVENTORY {
        let counter = |name: String, sample: String| {
            let pages = pages.clone();
            meter
                .f64_observable_counter(name)
                .with_description(metric.help)
                .with_callback(move |observer| {
                    pages.observe(&sample, true, |value, labels| observer.observe(value, labels));
                })
                .build();
        };
        match metric.kind {
            Kind::Counter => counter(metric.name.to_owned(), format!("{}_total", metric.name)),
            Kind::Histogram(_) => {
                for part in ["count", "sum"] {
                    let name = format!("{}_{part}", metric.name);
                    counter(name.clone(), name);
                }
            }
            Kind::Gauge => {
                let pages = pages.clone();
                meter
                    .f64_observable_gauge(metric.name)
                    .with_description(metric.help)
                    .with_callback(move |observer| {
                        pages.observe(metric.name, false, |value, labels| observer.observe(value, labels));
                    })
                    .build();
            }
        }
    }
    provider
}

/// Reads Prometheus text; what is no sample is passed over.
fn read_page(page: &[u8]) -> Samples {
    let mut samples = Samples::new();
    for line in String::from_utf8_lossy(page).lines().filter(|line| !line.starts_with('#')) {
        if let Some((name, labels, value)) = read_sample(line) {
            samples.entry(name.to_owned()).or_default().push((labels, value));
        }
    }
    samples
}

fn read_sample(line: &str) -> Option<(&str, Vec<KeyValue>, f64)> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(after) = rest.strip_prefix('{') {
        rest = after;
        loop {
            rest = rest.trim_start_matches(',');
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = unquote(after)?;
            labels.push(KeyValue::new(label.to_owned(), value));
            rest = after;
        }
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((name, labels, value))
}

/// The text up to its closing quote, and what follows.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    loop {
        match chars.next()? {
            (at, '"') => return Some((value, &text[at + 1..])),
            (_, '\\') => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            (_, other) => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn a_page_is_read_sample_by_sample() {
        let page =
            "# HELP a_total A.\na_total{x=\"1\",y=\"b\\\"c\\\\d\\ne\"} 2.5\nb 3\nc{} NaN 7\nbroken{x=\"\n";
        let samples = read_page(page.as_bytes());
        let labels = vec![KeyValue::new("x", "1"), KeyValue::new("y", "b\"c\\d\ne")];
        assert_eq!(samples["a_total"], [(labels, 2.5)]);
        assert_eq!(samples["b"], [(vec![], 3.0)]);
        assert!(samples["c"][0].1.is_nan());
        assert_eq!(samples.len(), 3);
    }

    #[test]
    fn what_was_counted_before_the_process_is_not_pushed() {
        let count = Arc::new(AtomicU64::new(40));
        let shown = count.clone();
        let page = move || format!("a_total 40\na_total{{x=\"1\"}} {0}\n", shown.load(Ordering::Relaxed));
        let pages = Pages::new(Box::new(move || page().into()));
        count.store(42, Ordering::Relaxed);
        pages.latest.lock().0 = clock::instant().checked_sub(2 * PAGE_AGE_MAX).unwrap();
        let mut found = Vec::new();
        pages.observe("a_total", true, |value, labels| found.push((value, labels.len())));
        pages.observe("a_total", false, |value, labels| found.push((value, labels.len())));
        assert_eq!(found, [(0.0, 0), (2.0, 1), (40.0, 0), (42.0, 1)]);
    }
}
