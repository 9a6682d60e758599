//! The series of one metric: their labels, their values, and the order of the page.

use std::hash::BuildHasher as _;
use std::sync::Arc;

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

#[derive(Debug)]
pub(super) struct Series {
    pub(super) labels: Arc<str>,
    pub(super) value: Value,
    pub(super) created: UnixNanos,
    /// Since it was last saved.
    pub(super) changed: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Number(Decimal),
    Histogram(Box<Histogram>),
}

#[derive(Debug, PartialEq)]
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
    /// Series before this one may have been shown by an earlier process.
    pub(super) restored: usize,
    /// Which series changed since they were last shown, a bit each by index.
    unshown: Vec<u64>,
    is_all_unshown: bool,
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
            restored: 0,
            unshown: Vec::new(),
            is_all_unshown: true,
        }
    }

    /// What a series has before anything is counted.
    pub(super) fn zero(&self) -> Value {
        match self.metric.kind {
            Kind::Histogram(_) => {
                Value::Histogram(Box::new(Histogram::empty(self.metric, self.bounds.len() + 1)))
            }
            Kind::Counter | Kind::Gauge => Value::Number(Decimal::ZERO),
        }
    }

    /// Adds a series at zero; its index.
    pub(super) fn push(&mut self, labels: Arc<str>, created: UnixNanos) -> u32 {
        let index = self.series.len() as u32;
        let place = self.order.partition_point(|&other| *self.series[other as usize].labels < *labels);
        self.order.insert(place, index);
        let value = self.zero();
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

    /// The indexes of its series in the order of labels.
    pub(super) fn order(&self) -> &[u32] {
        &self.order
    }

    /// Notes that a series must be shown anew.
    pub(super) fn touch(&mut self, index: u32) {
        let (word, bit) = (index as usize / 64, 1 << (index % 64));
        if word >= self.unshown.len() {
            self.unshown.resize(word + 1, 0);
        }
        self.unshown[word] |= bit;
    }

    /// Notes that all of them must be.
    pub(super) fn touch_all(&mut self) {
        self.is_all_unshown = true;
    }

    /// Gives to `show` every series that changed since the last call, in the order in which they were made;
    /// false if all must be shown anew.
    pub(super) fn show_changed(&mut self, mut show: impl FnMut(u32, &Series)) -> bool {
        let are_all = std::mem::take(&mut self.is_all_unshown);
        for (word, bits) in self.unshown.iter_mut().enumerate() {
            let mut bits = std::mem::take(bits);
            while bits != 0 && !are_all {
                let index = word as u32 * 64 + bits.trailing_zeros();
                bits &= bits - 1;
                show(index, &self.series[index as usize]);
            }
        }
        !are_all
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

    fn merge(&mut self, other: &Self) {
        for (count, other) in self.counts.iter_mut().zip(&other.counts) {
            *count += other;
        }
        self.sum = self.sum.saturating_add(other.sum);
        if let (Some(native), Some(other)) = (&mut self.native, &other.native) {
            native.merge(other);
        }
    }
}

impl Clone for Histogram {
    fn clone(&self) -> Self {
        Self {
            counts: self.counts.clone(),
            sum: self.sum,
            exemplars: self.exemplars.clone(),
            native: self.native.clone(),
        }
    }

    /// In the memory of the old one.
    fn clone_from(&mut self, source: &Self) {
        self.counts.clone_from(&source.counts);
        self.sum = source.sum;
        self.exemplars.clone_from(&source.exemplars);
        match (&mut self.native, &source.native) {
            (Some(native), Some(source)) => native.clone_from(source),
            (native, source) => native.clone_from(source),
        }
    }
}

impl Value {
    /// Becomes equal to another, in its own memory.
    pub(super) fn copy_from(&mut self, other: &Self) {
        match (self, other) {
            (Self::Number(value), Self::Number(other)) => *value = *other,
            (Self::Histogram(histogram), Self::Histogram(other)) => (**histogram).clone_from(other),
            (value, other) => *value = other.clone(),
        }
    }

    /// Adds another of the same metric.
    pub(super) fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Number(value), Self::Number(other)) => *value = value.saturating_add(*other),
            (Self::Histogram(histogram), Self::Histogram(other)) => histogram.merge(other),
            (value, other) => value.copy_from(other),
        }
    }

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
