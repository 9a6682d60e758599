//! `cargo bench -p spantally-bench --bench page`: what a scrape of some 100,000 series costs, in all three
//! formats, as a multiple of copying the finished page.
//!
//! The registry is the server's own. Its series are those that so many label sets (provider, model,
//! operation, service, tenant) make when each has been seen with every metric about jobs: counters with their
//! twins and their zeros, histograms with exemplars. A series is a line of the text page, as Prometheus
//! counts. Between two scrapes a share of them changes. Each round does it all for each format and share, and
//! copies the page into memory that has been written before, so that a disturbance of the machine meets both.
//! Medians over the rounds; then gzip, which is not part of the multiple.
//!
//! *locked* is how long the core would be kept waiting: what changed is copied then. The rest is done without
//! its lock.

#![allow(clippy::print_stdout, reason = "a benchmark answers on its standard output")]

use std::hint::black_box;
use std::io::Write as _;
use std::time::{Duration, Instant};

use rust_decimal::Decimal;
use spantally_server::export::{
    CommonLabels, Exemplar, Format, INVENTORY, Kind, LabelSets, Pages, Registry, SeriesId,
};
use spantally_stitch::{JobId, SpanId, TraceId, UnixNanos};

#[global_allocator]
static ALLOCATIONS: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BEGIN: UnixNanos = UnixNanos(1_795_000_000_123_456_789);
const SERIES: usize = 100_000;
const ROUNDS: usize = 41;
const FORMATS: [(&str, &str); 3] = [
    ("text 0.0.4", "text/plain;version=0.0.4"),
    ("OpenMetrics 1.0", "application/openmetrics-text;version=1.0.0"),
    (
        "protobuf",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
    ),
];
/// Of a thousand series.
const SHARES: [usize; 4] = [0, 50, 200, 1000];

fn main() {
    let mut traffic = Traffic::new();
    let mut pages = Pages::new();
    let mut times = vec![Times::default(); FORMATS.len() * SHARES.len()];
    let mut copies = vec![Vec::new(); FORMATS.len()];
    let first = traffic.first_scrapes(&mut pages);
    for round in 0..ROUNDS {
        for (place, &share) in SHARES.iter().enumerate() {
            for (number, (_, accept)) in FORMATS.iter().enumerate() {
                let format = Format::negotiate(Some(accept));
                let scraped = traffic.scrape(&mut pages, format, share, &mut copies[number]);
                // The first round makes everything.
                if round > 0 {
                    times[number * SHARES.len() + place].push(&scraped);
                }
            }
        }
    }
    println!("{} series in {} label sets; the first scrape of a process:", traffic.lines(), traffic.sets);
    for ((name, _), took) in FORMATS.iter().zip(first) {
        println!("  {name}: {:.1} ms, locked {:.1} ms", ms(took.0 + took.1), ms(took.0));
    }
    println!();
    println!("| format | MiB | changed | copy ms | locked ms | scrape ms | scrape / copy |");
    println!("|---|---|---|---|---|---|---|");
    for (number, (name, _)) in FORMATS.iter().enumerate() {
        for (place, share) in SHARES.iter().enumerate() {
            let times = &mut times[number * SHARES.len() + place];
            println!(
                "| {name} | {:.1} | {} % | {:.2} | {:.2} | {:.2} | {:.2} |",
                copies[number].len() as f64 / f64::from(1 << 20),
                *share as f64 / 10.0,
                median(&mut times.copy),
                median(&mut times.locked),
                median(&mut times.scrape),
                median(&mut times.ratio),
            );
        }
    }
    println!();
    for ((name, _), page) in FORMATS.iter().zip(&copies) {
        let (took, bytes) = zipped(page);
        println!("gzip of {name}: {:.0} ms, {:.2} MiB", ms(took), bytes as f64 / f64::from(1 << 20));
    }
}

/// Milliseconds of each round.
#[derive(Clone, Default)]
struct Times {
    copy: Vec<f64>,
    locked: Vec<f64>,
    scrape: Vec<f64>,
    ratio: Vec<f64>,
}

struct Scraped {
    copy: Duration,
    locked: Duration,
    written: Duration,
}

impl Times {
    fn push(&mut self, scraped: &Scraped) {
        let (copy, scrape) = (ms(scraped.copy), ms(scraped.locked + scraped.written));
        self.copy.push(copy);
        self.locked.push(ms(scraped.locked));
        self.scrape.push(scrape);
        self.ratio.push(scrape / copy);
    }
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

struct Traffic {
    registry: Registry,
    sets: usize,
    /// Of the metrics about jobs, and what they are.
    series: Vec<(SeriesId, Kind)>,
    /// Where the next change is made.
    next: usize,
    changes: u64,
}

impl Traffic {
    fn new() -> Self {
        let mut registry = Registry::new(LabelSets::new(100_000, &[]));
        let mut sets = 0;
        while lines(&registry) < SERIES {
            add_set(&mut registry, sets);
            sets += 1;
        }
        let mut series = Vec::new();
        registry.visit_series(|id, _| series.push((id, id.metric.metric().kind)));
        let mut traffic = Self { registry, sets, series, next: 0, changes: 0 };
        for _ in 0..traffic.series.len() {
            traffic.change();
        }
        traffic
    }

    fn lines(&self) -> usize {
        lines(&self.registry)
    }

    /// One more of what a series counts. The order is that of time, not that of the page.
    fn change(&mut self) {
        let step = 7_919;
        self.next = (self.next + step) % self.series.len();
        self.changes += 1;
        let (id, kind) = self.series[self.next];
        let amount = Decimal::new((self.changes % 977 + 1).cast_signed(), 3);
        if !matches!(kind, Kind::Histogram(_)) {
            return self.registry.add(id, amount);
        }
        let exemplar = Exemplar {
            trace_id: TraceId(
                u128::from(self.changes).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c).to_be_bytes(),
            ),
            span_id: SpanId(self.changes.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()),
            job_id: JobId(u128::from(self.changes).wrapping_mul(0xf39c_c060_5ced_c835_9e37).to_be_bytes()),
            value: amount * Decimal::from(100),
            at: UnixNanos(BEGIN.0 + self.changes * 1_000_003),
        };
        self.registry.observe(id, exemplar.value, Some(exemplar));
    }

    fn scrape(&mut self, pages: &mut Pages, format: Format, share: usize, copy: &mut Vec<u8>) -> Scraped {
        // What changed between two scrapes of other formats is not to be counted here.
        pages.look(&mut self.registry);
        pages.write(format, &[]);
        for _ in 0..self.series.len() * share / 1000 {
            self.change();
        }
        let began = Instant::now();
        pages.look(&mut self.registry);
        let looked = Instant::now();
        let page = pages.write(format, &[]);
        let written = Instant::now();
        let page = page.to_vec();
        copy.clear();
        copy.reserve(page.len());
        let begin_copy = Instant::now();
        copy.extend_from_slice(&page);
        let copied = begin_copy.elapsed();
        black_box(&*copy);
        Scraped { copy: copied, locked: looked - began, written: written - looked }
    }

    /// What it takes where no page was made before.
    fn first_scrapes(&mut self, pages: &mut Pages) -> Vec<(Duration, Duration)> {
        let mut scrape = |(number, &(_, accept)): (usize, &(&str, &str))| {
            let began = Instant::now();
            if number == 0 {
                pages.look(&mut self.registry);
            }
            let looked = Instant::now();
            pages.write(Format::negotiate(Some(accept)), &[]);
            (looked - began, looked.elapsed())
        };
        FORMATS.iter().enumerate().map(&mut scrape).collect()
    }
}

/// Every metric about jobs, with a label set of its own.
fn add_set(registry: &mut Registry, number: usize) {
    const PROVIDERS: [&str; 5] = ["fal", "replicate", "runway", "luma", "elevenlabs"];
    const OPERATIONS: [&str; 4] = ["text_to_image", "image_to_video", "text_to_video", "text_to_speech"];
    let model = format!("vendor-ai/model-{}/v{}/image-to-video", number % 37, number % 3);
    let service = format!("render-worker-{}", number / 37);
    let set = registry.intern(&CommonLabels {
        provider: PROVIDERS[number % PROVIDERS.len()],
        model: &model,
        operation: OPERATIONS[number % OPERATIONS.len()],
        service: &service,
        tenant: "studio",
        extra: &[],
    });
    let metrics = INVENTORY.iter().filter(|metric| metric.common && metric.id.twin_of().is_none());
    for metric in metrics {
        // Where values are not known beforehand, two of them are usual.
        for open in open_values(metric.labels.iter().map(|label| label.name)) {
            let own: Vec<&str> = metric
                .labels
                .iter()
                .zip(&open)
                .map(|(label, open)| label.known.map_or(*open, |k| k()[0]))
                .collect();
            registry.series(metric.id, set, &own, BEGIN);
        }
    }
}

fn open_values<'a>(names: impl Iterator<Item = &'a str>) -> [Vec<&'static str>; 2] {
    let values = |name: &str| match name {
        "outcome" => ["succeeded", "failed"],
        "call" => ["submit", "poll"],
        "unit" => ["seconds", "images"],
        "currency" => ["USD", "USD"],
        _ => ["2xx", "5xx"],
    };
    let both: Vec<_> = names.map(values).collect();
    [0, 1].map(|which| both.iter().map(|values| values[which]).collect())
}

/// Lines of the text page, the heads of metrics left out.
fn lines(registry: &Registry) -> usize {
    let mut lines = 0;
    registry.visit_series(|_, samples| lines += samples.len());
    lines
}

fn zipped(page: &[u8]) -> (Duration, usize) {
    let began = Instant::now();
    let mut encoder =
        flate2::write::GzEncoder::new(Vec::with_capacity(page.len() / 8), flate2::Compression::fast());
    let bytes = encoder.write_all(page).and_then(|()| encoder.finish()).map_or(0, |zipped| zipped.len());
    (began.elapsed(), bytes)
}
