//! Our metrics by OTLP, for those who push: what `/metrics` shows, under the same names and labels.
//!
//! Prometheus counters go on from the ledger when the process starts anew; a cumulative sum in OTLP begins
//! with the process. So what was counted before is subtracted, and what is pushed is this process's share. Of
//! histograms the count and the sum are pushed, as two counters. Counters that did not count yet are left
//! out: most of what a label set has never does.
//!
//! A page is pushed in parts ([`Part`]), since backends take requests of some megabytes (a Collector 4 MiB)
//! and a page may have a hundred. The SDK asks every instrument for its points whenever it exports; so it is
//! made to export once for each part, and instruments have the points of the part that is under way.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, MeterProvider};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use parking_lot::Mutex;

use super::page::{read_labels, visit_samples};
use crate::clock;
use crate::export::inventory::{INVENTORY, Kind, Metric};

/// Writes the page of metrics in Prometheus text.
pub(super) type Page = Box<dyn Fn() -> Bytes + Send + Sync>;

/// Most points of a part. The SDK keeps 2,000 of an instrument; the rest would become one without labels.
const PART_POINTS: usize = 2_000;
/// About the most bytes of a part as a request, beside its resource.
const PART_BYTES: usize = 1 << 20;

/// Bytes of a point beside its labels: value, times and lengths.
const POINT_BYTES: usize = 40;
/// Bytes of a label beside its name and value.
const LABEL_BYTES: usize = 12;

/// The reader's own clock is not used: parts are exported when they are there.
const NEVER: Duration = Duration::MAX;

/// Parts that may fail in a row until a push is given up.
const FAILURES_MAX: usize = 2;

/// By name of the sample: by the text of its labels, what was counted before this process.
type Before = HashMap<String, HashMap<String, f64>>;

/// What goes out with one request.
#[derive(Default)]
struct Part {
    /// By name of the sample.
    samples: HashMap<String, Vec<(f64, Vec<KeyValue>)>>,
    points: usize,
    bytes: usize,
}

impl Part {
    fn add(&mut self, name: &str, labels: Vec<KeyValue>, value: f64) {
        let of_label = |label: &KeyValue| LABEL_BYTES + label.key.as_str().len() + label.value.as_str().len();
        self.points += 1;
        self.bytes += POINT_BYTES + labels.iter().map(of_label).sum::<usize>();
        match self.samples.get_mut(name) {
            Some(samples) => samples.push((value, labels)),
            None => drop(self.samples.insert(name.to_owned(), vec![(value, labels)])),
        }
    }

    fn is_full(&self) -> bool {
        self.points >= PART_POINTS || self.bytes >= PART_BYTES
    }
}

/// Pushes pages, part by part.
struct Pusher {
    page: Page,
    /// Whether the samples of a name are of a counter.
    is_counter: HashMap<String, bool>,
    before: Before,
    part: Arc<Mutex<Part>>,
    provider: SdkMeterProvider,
}

impl Pusher {
    fn new(exporter: impl PushMetricExporter, resource: Resource, page: Page) -> Self {
        let part = Arc::default();
        let provider = provider(exporter, resource, &part);
        let samples = INVENTORY.iter().flat_map(|metric| {
            instruments(metric).into_iter().map(|(_, sample)| (sample, metric.kind != Kind::Gauge))
        });
        let is_counter: HashMap<String, bool> = samples.collect();
        let mut before = Before::new();
        visit_samples(&page(), |name, labels, value| {
            if value != 0.0 && is_counter.get(name).copied().unwrap_or_default() {
                before.entry(name.to_owned()).or_default().insert(labels.to_owned(), value);
            }
        });
        Self { page, is_counter, before, part, provider }
    }

    /// Pushes the page as it stands; tells whether all of it went out.
    fn push(&self) -> bool {
        let (mut part, mut failed, mut left_out) = (Part::default(), 0, 0_u64);
        visit_samples(&(self.page)(), |name, text, value| {
            let Some((labels, value)) = self.point(name, text, value) else { return };
            if failed >= FAILURES_MAX {
                left_out += 1;
                return;
            }
            part.add(name, labels, value);
            if part.is_full() {
                failed = if self.export(std::mem::take(&mut part)) { 0 } else { failed + 1 };
            }
        });
        if part.points > 0 && !self.export(part) {
            failed += 1;
        }
        if left_out > 0 {
            tracing::warn!(series = left_out, "metrics are not taken; the rest of them is not pushed");
        }
        failed == 0
    }

    /// What is pushed of a sample, if anything is.
    fn point(&self, name: &str, text: &str, value: f64) -> Option<(Vec<KeyValue>, f64)> {
        let value = if *self.is_counter.get(name)? {
            let before = self.before.get(name).and_then(|before| before.get(text));
            let counted = value - before.copied().unwrap_or(0.0);
            (counted > 0.0).then_some(counted)?
        } else {
            value
        };
        Some((read_labels(text)?, value))
    }

    fn export(&self, part: Part) -> bool {
        *self.part.lock() = part;
        // Why it failed is in the log, by the SDK.
        let is_exported = self.provider.force_flush().is_ok();
        *self.part.lock() = Part::default();
        is_exported
    }

    /// Pushes every `interval`, and once more when it is to end.
    fn run(&self, interval: Duration, stopped: &Receiver<()>) -> bool {
        let mut wait = interval;
        loop {
            let is_last = stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout);
            let began = clock::instant();
            let is_pushed = self.push();
            if is_last {
                return is_pushed;
            }
            wait = interval.saturating_sub(clock::instant().saturating_duration_since(began));
        }
    }
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

/// Instruments that have the points of the part that is under way.
fn provider(
    exporter: impl PushMetricExporter,
    resource: Resource,
    part: &Arc<Mutex<Part>>,
) -> SdkMeterProvider {
    let reader = PeriodicReader::builder(exporter).with_interval(NEVER).build();
    let provider = SdkMeterProvider::builder().with_reader(reader).with_resource(resource).build();
    let meter = provider.meter("spantally");
    for metric in INVENTORY {
        for (name, sample) in instruments(metric) {
            let part = part.clone();
            let observe = move |observer: &dyn AsyncInstrument<f64>| {
                let part = part.lock();
                let samples = part.samples.get(&sample).into_iter().flatten();
                samples.for_each(|(value, labels)| observer.observe(*value, labels));
            };
            if metric.kind == Kind::Gauge {
                let gauge = meter.f64_observable_gauge(name).with_description(metric.help);
                gauge.with_callback(observe).build();
            } else {
                let counter = meter.f64_observable_counter(name).with_description(metric.help);
                counter.with_callback(observe).build();
            }
        }
    }
    provider
}

/// The thread that pushes.
#[derive(Debug)]
pub(super) struct Pushing {
    provider: SdkMeterProvider,
    stop: Sender<()>,
    /// Whether the last push went out.
    ended: Receiver<bool>,
}

impl Pushing {
    /// Begins to push the page every `interval`.
    pub(super) fn start(
        exporter: impl PushMetricExporter,
        resource: Resource,
        interval: Duration,
        page: Page,
    ) -> Self {
        let pusher = Pusher::new(exporter, resource, page);
        let provider = pusher.provider.clone();
        let ((stop, stopped), (end, ended)) = (channel(), channel());
        let thread = std::thread::Builder::new().name("push metrics".to_owned());
        let started = thread.spawn(move || {
            // Nobody may wait for it any more.
            let _: Result<(), _> = end.send(pusher.run(interval, &stopped));
        });
        if let Err(error) = started {
            tracing::warn!(%error, "the thread that pushes metrics cannot be started; none are pushed");
        }
        Self { provider, stop, ended }
    }

    /// Pushes once more, and ends; each may take so long.
    pub(super) fn shutdown(self, timeout: Duration) -> OTelSdkResult {
        drop(self.stop);
        let pushed = match self.ended.recv_timeout(timeout) {
            Ok(true) => Ok(()),
            Ok(false) => Err(OTelSdkError::InternalFailure("the last metrics were not taken".to_owned())),
            Err(_) => return Err(OTelSdkError::Timeout(timeout)),
        };
        pushed.and(self.provider.shutdown_with_timeout(timeout))
    }
}

#[cfg(test)]
mod tests;
