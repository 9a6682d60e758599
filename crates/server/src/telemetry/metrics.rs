//! Our metrics by OTLP, for those who push: what `/metrics` shows, under the same names and labels.
//!
//! Prometheus counters go on from the ledger when the process starts anew; a cumulative sum in OTLP begins
//! with the process. So what was counted before is subtracted, and what is pushed is this process's share. Of
//! histograms the count and the sum are pushed, as two counters.

//!
//! The SDK keeps 2,000 series of an instrument; the rest become one without their labels, with the value of
//! the last. So each instrument says how many it may have, by the limit on label sets.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, MeterProvider};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{Instrument, SdkMeterProvider, Stream};
use parking_lot::Mutex;

use crate::export::inventory::{INVENTORY, Kind, Metric};

/// Writes the page of metrics in Prometheus text.
pub(super) type Page = Box<dyn Fn() -> Bytes + Send + Sync>;

/// What is counted on for the values of a label that are not known beforehand.
const OPEN_VALUES: usize = 8;
/// Series of an instrument that are pushed at least, and at most: the SDK takes memory for each at once.
const SERIES: [usize; 2] = [2_000, 4_000_000];

/// By name of the sample: by the text of its labels, what was counted before this process.
type Before = HashMap<String, HashMap<String, f64>>;

/// By name of the sample.
type Samples = HashMap<String, Vec<Sample>>;

#[derive(Debug, PartialEq)]
struct Sample {
    labels: Vec<KeyValue>,
    value: f64,
    /// What of it was counted before this process.
    before: f64,
}

struct Pages {
    page: Page,
    before: Before,
    latest: Mutex<Latest>,
}

/// A page gives each sample once: who asks a second time is the next collection, and all of one collection is
/// of one page.
#[derive(Default)]
struct Latest {
    samples: Option<Samples>,
    given: HashSet<(String, bool)>,
}

impl Pages {
    fn new(page: Page) -> Self {
        let mut before = Before::new();
        visit_page(&page(), |name, labels, value| {
            before.entry(name.to_owned()).or_default().insert(labels.to_owned(), value);
        });
        Self { page, before, latest: Mutex::default() }
    }

    /// Hands every sample of a name to `observe`, `max` of them at most; for a counter less what it began
    /// with.
    fn observe(&self, name: &str, is_counter: bool, max: usize, mut observe: impl FnMut(f64, &[KeyValue])) {
        let mut latest = self.latest.lock();
        let Latest { samples, given } = &mut *latest;
        if !given.insert((name.to_owned(), is_counter)) {
            *samples = None;
            given.retain(|given| given.0 == name && given.1 == is_counter);
        }
        let samples = samples.get_or_insert_with(|| read_page(&(self.page)(), &self.before));
        let samples = samples.get(name).map_or(&[][..], Vec::as_slice);
        if samples.len() > max {
            tracing::warn!(name, series = samples.len(), max, "not all series of a metric are pushed");
        }
        for Sample { labels, value, before } in samples.iter().take(max) {
            observe(if is_counter { value - before } else { *value }, labels);
        }
    }
}

/// Series that a metric may have with so many label sets; one more is that of the overflow.
fn most_series(metric: &Metric, label_sets: usize) -> usize {
    let is_open = metric.labels.iter().any(|label| label.known.is_none());
    // Without the labels of a set, those of its own that are open come to no more than sets do.
    let (sets, open) = match (metric.common, is_open) {
        (true, _) => (label_sets + 1, OPEN_VALUES),
        (false, true) => ((label_sets + 1) * OPEN_VALUES, 1),
        (false, false) => (1, 1),
    };
    let values = metric.labels.iter().map(|label| label.known.map_or(open, |known| known().len()));
    values.fold(sets, usize::saturating_mul).clamp(SERIES[0], SERIES[1])
}

/// Names of a metric's instruments, each with that of its sample on the page.
fn instruments(metric: &Metric) -> Vec<(String, String)> {
    let name = metric.name;
    match metric.kind {
        Kind::Counter => vec![(name.to_owned(), format!("{name}_total"))],
        Kind::Gauge => vec![(name.to_owned(), name.to_owned())],
        Kind::Histogram(_) => ["count", "sum"].map(|part| format!("{name}_{part}")).map(twice).into(),
    }
}

fn twice(name: String) -> (String, String) {
    (name.clone(), name)
}

/// Begins to push the page every `OTEL_METRIC_EXPORT_INTERVAL`, with at most so many label sets.
pub(super) fn provider(
    exporter: impl PushMetricExporter,
    resource: Resource,
    label_sets: usize,
    page: Page,
) -> SdkMeterProvider {
    let of_metric = |metric: &'static Metric| {
        let max = most_series(metric, label_sets);
        instruments(metric).into_iter().map(move |(name, _)| (name, max))
    };
    let limits: HashMap<String, usize> = INVENTORY.iter().flat_map(of_metric).collect();
    let limited = move |instrument: &Instrument| {
        let limit = *limits.get(instrument.name())?;
        Stream::builder().with_cardinality_limit(limit).build().ok()
    };
    let provider = SdkMeterProvider::builder()
        .with_periodic_exporter(exporter)
        .with_resource(resource)
        .with_view(limited)
        .build();
    let meter = provider.meter("spantally");
    let pages = Arc::new(Pages::new(page));
    for metric in INVENTORY {
        let max = most_series(metric, label_sets);
        let is_gauge = metric.kind == Kind::Gauge;
        for (name, sample) in instruments(metric) {
            let pages = pages.clone();
            if is_gauge {
                let gauge = meter.f64_observable_gauge(name).with_description(metric.help);
                let observe = move |observer: &dyn AsyncInstrument<f64>| {
                    pages.observe(&sample, false, max, |value, labels| observer.observe(value, labels));
                };
                gauge.with_callback(observe).build();
            } else {
                let counter = meter.f64_observable_counter(name).with_description(metric.help);
                let observe = move |observer: &dyn AsyncInstrument<f64>| {
                    pages.observe(&sample, true, max, |value, labels| observer.observe(value, labels));
                };
                counter.with_callback(observe).build();
            }
        }
    }
    provider
}

/// Reads Prometheus text.
fn read_page(page: &[u8], before: &Before) -> Samples {
    let mut samples = Samples::new();
    visit_page(page, |name, text, value| {
        let Some(labels) = read_labels(text) else { return };
        let before = before.get(name).and_then(|before| before.get(text)).copied().unwrap_or(0.0);
        let sample = Sample { labels, value, before };
        match samples.get_mut(name) {
            Some(samples) => samples.push(sample),
            None => drop(samples.insert(name.to_owned(), vec![sample])),
        }
    });
    samples
}

/// Gives name, labels and value of every sample to `visit`, but for the buckets of histograms, which are not
/// pushed. What is no sample is passed over.
fn visit_page(page: &[u8], mut visit: impl FnMut(&str, &str, f64)) {
    for line in String::from_utf8_lossy(page).lines().filter(|line| !line.starts_with('#')) {
        if let Some((name, labels, value)) = read_sample(line)
            && !name.ends_with("_bucket")
        {
            visit(name, labels, value);
        }
    }
}

fn read_sample(line: &str) -> Option<(&str, &str, f64)> {
    let (name, rest) = line.split_at(line.find(['{', ' '])?);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => rest.split_at(labels_len(rest)?),
        None => ("", rest),
    };
    let value = rest.trim_start_matches('}').split_whitespace().next()?.parse().ok()?;
    Some((name, labels, value))
}

/// Bytes of labels up to the brace that closes them: one within quotes does not.
fn labels_len(text: &str) -> Option<usize> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.bytes().position(|byte| {
        let is_quote = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_quoted ^= is_quote;
        byte == b'}' && !is_quoted
    })
}

fn read_labels(mut rest: &str) -> Option<Vec<KeyValue>> {
    let mut labels = Vec::new();
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"")?;
        let (value, after) = unquote(after)?;
        labels.push(KeyValue::new(label.to_owned(), value));
        rest = after.trim_start_matches(',');
    }
    Some(labels)
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
    use std::fmt::Write as _;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::metrics::Temporality;
    use opentelemetry_sdk::metrics::data::{
        AggregatedMetrics, GaugeDataPoint, MetricData, ResourceMetrics, ScopeMetrics, SumDataPoint,
    };

    use super::*;

    #[test]
    fn a_page_is_read_sample_by_sample() {
        let page = "# HELP a_total A.\na_total{x=\"1\",y=\"b\\\"}c\\\\d\\ne\"} 2.5\nb 3\nc{} NaN 7\n\
                    broken{x=\"\nd_bucket{le=\"1\"} 5\n";
        let samples = read_page(page.as_bytes(), &Before::new());
        let labels = vec![KeyValue::new("x", "1"), KeyValue::new("y", "b\"}c\\d\ne")];
        assert_eq!(samples["a_total"], [Sample { labels, value: 2.5, before: 0.0 }]);
        assert_eq!(samples["b"], [Sample { labels: vec![], value: 3.0, before: 0.0 }]);
        assert!(samples["c"][0].value.is_nan());
        assert_eq!(samples.len(), 3);
    }

    #[test]
    fn what_was_counted_before_the_process_is_not_pushed() {
        let count = Arc::new(AtomicU64::new(40));
        let shown = count.clone();
        let page = move || format!("a_total 40\na_total{{x=\"1\"}} {0}\n", shown.load(Ordering::Relaxed));
        let pages = Pages::new(Box::new(move || page().into()));
        count.store(42, Ordering::Relaxed);
        let found = |is_counter, max| {
            let mut found = Vec::new();
            pages.observe("a_total", is_counter, max, |value, labels| found.push((value, labels.len())));
            found
        };
        assert_eq!(found(true, 9), [(0.0, 0), (2.0, 1)]);
        count.store(43, Ordering::Relaxed);
        assert_eq!(found(false, 9), [(40.0, 0), (42.0, 1)], "of the same page");
        assert_eq!(found(true, 9), [(0.0, 0), (3.0, 1)], "of the next one");
        assert_eq!(found(true, 1), [(0.0, 0)]);
    }

    /// By name: how many points were pushed, and their sum.
    #[derive(Clone, Debug, Default)]
    struct Kept(Arc<Mutex<HashMap<String, (usize, f64)>>>);

    impl PushMetricExporter for Kept {
        async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
            for metric in metrics.scope_metrics().flat_map(ScopeMetrics::metrics) {
                let values: Vec<f64> = match metric.data() {
                    AggregatedMetrics::F64(MetricData::Sum(sum)) => {
                        sum.data_points().map(SumDataPoint::value).collect()
                    }
                    AggregatedMetrics::F64(MetricData::Gauge(gauge)) => {
                        gauge.data_points().map(GaugeDataPoint::value).collect()
                    }
                    other => panic!("{other:?}"),
                };
                self.0.lock().insert(metric.name().to_owned(), (values.len(), values.iter().sum()));
            }
            Ok(())
        }

        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }

        fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
            Ok(())
        }

        fn temporality(&self) -> Temporality {
            Temporality::Cumulative
        }
    }

    /// More series than the SDK keeps by itself: all of them are pushed, with all of the money.
    #[test]
    fn what_is_pushed_is_what_the_page_shows() {
        const SETS: usize = 1_500;
        const CAUSES: usize = 6;
        let mut text = String::new();
        for set in 0..SETS {
            for cause in 0..CAUSES {
                writeln!(text, "spantally_cost_total{{model=\"m{set}\",cause=\"c{cause}\"}} 0.5").unwrap();
            }
            writeln!(text, "spantally_open_jobs{{model=\"m{set}\"}} 2").unwrap();
            writeln!(text, "spantally_job_duration_seconds_count{{model=\"m{set}\",outcome=\"a\"}} 3")
                .unwrap();
            writeln!(text, "spantally_job_duration_seconds_count{{model=\"m{set}\",outcome=\"b\"}} 4")
                .unwrap();
        }
        let is_first = std::sync::atomic::AtomicBool::new(true);
        let page: Page = Box::new(move || {
            if is_first.swap(false, Ordering::Relaxed) { Bytes::new() } else { text.clone().into() }
        });
        let kept = Kept::default();
        let provider = provider(kept.clone(), Resource::builder_empty().build(), SETS, page);
        provider.force_flush().unwrap();
        let found = kept.0.lock().clone();
        assert_eq!(found["spantally_cost"], (SETS * CAUSES, 4_500.0));
        assert_eq!(found["spantally_open_jobs"], (SETS, 3_000.0));
        assert_eq!(found["spantally_job_duration_seconds_count"], (2 * SETS, 10_500.0));
    }
}
