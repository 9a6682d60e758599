//! The series of one metric: their labels, their values, and the order of the page.

use std::hash::BuildHasher as _;
use std::sync::{Arc, OnceLock};

use hashbrown::HashTable;
use rust_decimal::Decimal;
use spantally_stitch::{JobId, SpanId, TraceId, UnixNanos};

use super::inventory::{Kind, Metric, MetricId};
use super::native::Native;

/// Where a series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId {
    /// Its metric.
    pub metric: MetricId,
    pub(super) index: u32,
}

/// Which job a histogram's bucket last counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// The trace of its first call.
    pub trace_id: TraceId,
    /// The span of its first call.
    pub span_id: SpanId,
    /// The job.
    pub job_id: JobId,
    /// The value that was observed.
    pub value: Decimal,
    /// When.
    pub at: UnixNanos,
}

impl Exemplar {
    /// Its labels. OpenMetrics allows 128 characters of names and values; these are 101.
    pub(super) fn labels(&self) -> [(&'static str, String); 3] {
        [
            ("trace_id", self.trace_id.to_string()),
            ("span_id", self.span_id.to_string()),
            ("job_id", self.job_id.to_string()),
        ]
    }
}

#[derive(Debug)]
pub(super) struct Series {
    pub(super) labels: Arc<str>,
    pub(super) value: Value,
    pub(super) created: UnixNanos,
    /// Since it was last saved.
    pub(super) changed: bool,
}

#[derive(Debug)]
pub(super) enum Value {
    Number(Decimal),
    Histogram(Box<Histogram>),
}

#[derive(Debug)]
pub(super) struct Histogram {
    /// Not cumulative; the last is `+Inf`.
    pub(super) counts: Box<[u64]>,
    pub(super) sum: Decimal,
    pub(super) exemplars: Box<[Option<Exemplar>]>,
    /// The same observations; none where only the classic counts are known.
    pub(super) native: Option<Native>,
}

#[derive(Debug)]
pub(super) struct Family {
    pub(super) metric: &'static Metric,
    pub(super) name: Arc<str>,
    pub(super) bounds: Vec<Decimal>,
    pub(super) series: Vec<Series>,
    /// Indexes of `series` by label text.
    order: Vec<u32>,
    by_labels: HashTable<u32>,
    /// Made when a page is written, gone when a series comes.
    heads: OnceLock<Heads>,
}

/// Name, labels and the space before the value of each series, in the order of the page and in one piece.
/// Series come from all over the memory; with this a page is nearly a copy (measured: 2 instead of 6 times a
/// copy for 100,000 series), at the price of the labels' text once more.
#[derive(Debug)]
struct Heads {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Family {
    pub(super) fn new(metric: &'static Metric) -> Self {
        let bounds = match metric.kind {
            Kind::Histogram(bounds) => bounds,
            Kind::Counter | Kind::Gauge => &[],
        };
        Self {
            metric,
            name: metric.name.into(),
            // A test holds that every bound of the inventory is a number.
            bounds: bounds.iter().filter_map(|bound| bound.parse().ok()).collect(),
            series: Vec::new(),
            order: Vec::new(),
            by_labels: HashTable::new(),
            heads: OnceLock::new(),
        }
    }

    /// Adds a series at zero; its index.
    pub(super) fn push(&mut self, labels: Arc<str>, created: UnixNanos) -> u32 {
        self.heads.take();
        let index = self.series.len() as u32;
        let place = self.order.partition_point(|&other| *self.series[other as usize].labels < *labels);
        self.order.insert(place, index);
        let value = match self.metric.kind {
            Kind::Histogram(_) => {
                Value::Histogram(Box::new(Histogram::empty(self.metric, self.bounds.len() + 1)))
            }
            Kind::Counter | Kind::Gauge => Value::Number(Decimal::ZERO),
        };
        let hash = hash_of(&labels);
        self.series.push(Series { labels, value, created, changed: false });
        let series = &self.series;
        self.by_labels.insert_unique(hash, index, |&other| hash_of(&series[other as usize].labels));
        index
    }

    /// The index of the series with these labels.
    pub(super) fn find(&self, labels: &str) -> Option<u32> {
        let same = |&index: &u32| &*self.series[index as usize].labels == labels;
        self.by_labels.find(hash_of(labels), same).copied()
    }

    /// Its series in the order of labels.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Series> {
        self.order.iter().map(|&index| &self.series[index as usize])
    }

    /// Its series in the order of labels, each with the beginning of its line in both text formats. Of a
    /// histogram each line has labels of its own.
    pub(super) fn iter_with_heads(&self) -> impl Iterator<Item = (&[u8], &Series)> {
        let heads = self.heads.get_or_init(|| self.render_heads());
        let starts = std::iter::once(0).chain(heads.ends.iter().copied());
        let pieces = starts.zip(&heads.ends).map(|(start, &end)| &heads.text[start..end]);
        pieces.zip(self.iter())
    }

    fn render_heads(&self) -> Heads {
        let suffix = if self.metric.kind == Kind::Counter { "_total" } else { "" };
        let mut heads = Heads { text: Vec::new(), ends: Vec::with_capacity(self.series.len()) };
        for series in self.iter() {
            let labels = &*series.labels;
            let (open, close) = if labels.is_empty() { ("", " ") } else { ("{", "} ") };
            for part in [self.metric.name, suffix, open, labels, close] {
                heads.text.extend_from_slice(part.as_bytes());
            }
            heads.ends.push(heads.text.len());
        }
        heads
    }

    /// Reads what [`Value::to_text`] wrote; what was expected instead.
    pub(super) fn parse(&self, text: &str) -> Result<Value, &'static str> {
        if !matches!(self.metric.kind, Kind::Histogram(_)) {
            return text.parse().map(Value::Number).map_err(|_| "a decimal number");
        }
        let expected = "the sum and one count a bucket, with spaces between, and maybe native counts";
        let (classic, native) = match text.split_once(NATIVE_MARK) {
            Some((classic, native)) => (classic, Some(Native::parse(native).ok_or(expected)?)),
            None => (text, None),
        };
        let mut words = classic.split(' ');
        let sum = words.next().and_then(|word| word.parse().ok()).ok_or(expected)?;
        let counts: Box<[u64]> = words.map(str::parse).collect::<Result<_, _>>().map_err(|_| expected)?;
        if counts.len() != self.bounds.len() + 1 {
            return Err(expected);
        }
        let exemplars = vec![None; counts.len()].into();
        let native = has_native(self.metric)
            .then(|| native.unwrap_or_else(|| Native::of_classic(&counts, &self.bounds)));
        Ok(Value::Histogram(Box::new(Histogram { counts, sum, exemplars, native })))
    }
}

/// Between the classic and the native counts of a histogram on disk.
const NATIVE_MARK: &str = " | ";

/// Histograms about jobs are observed value by value; the others come as classic counts.
fn has_native(metric: &Metric) -> bool {
    metric.common
}

impl Histogram {
    fn empty(metric: &Metric, buckets: usize) -> Self {
        Self {
            counts: vec![0; buckets].into(),
            sum: Decimal::ZERO,
            exemplars: vec![None; buckets].into(),
            native: has_native(metric).then(Native::default),
        }
    }
}

impl Value {
    /// As the ledger keeps it.
    pub(super) fn to_text(&self) -> String {
        match self {
            Self::Number(value) => value.normalize().to_string(),
            Self::Histogram(histogram) => {
                let sum = histogram.sum.normalize().to_string();
                let classic =
                    histogram.counts.iter().fold(sum, |text, count| text + " " + &count.to_string());
                let native = histogram.native.as_ref();
                native.map_or(classic.clone(), |native| classic + NATIVE_MARK + &native.to_text())
            }
        }
    }
}

/// For the table in memory only. Its seed may be fixed because the limit on label sets bounds what a sender
/// can insert.
fn hash_of(labels: &str) -> u64 {
    foldhash::fast::FixedState::default().hash_one(labels)
}

/// FNV-1a, 64 bits, with a zero byte between the parts: it is on disk, so it must be the same in every
/// version.
pub(super) fn stable_hash(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
