//! The values behind the page: families of series, with the label text of each rendered once.
//!
//! All values are decimals, so that a counter is the exact sum of what was added to it. A counter whose own
//! labels have known values (cause, basis, outcome, ...) comes into being with all of them, at zero, together
//! with its twin for reversals; Prometheus then sees a zero before the first increment, which `rate` and
//! `increase` need (of a series that is new, scrapers see it for a while: [`super::first_zeros`]).
//!
//! Series of a family are kept in the order of their labels: the same content gives the same page, whatever
//! the order in which it came. A series also has a stable *key*, a hash of its name and labels, by which the
//! open state on disk refers to it.

mod restore;

use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;
use spantally_stitch::UnixNanos;
use spantally_store::CounterRow;

use super::family::{Exemplar, Family, Series, SeriesId, Value, stable_hash};
use super::inventory::{INVENTORY, Kind, Metric, MetricId};
use super::labels::{CommonLabels, LabelSets, SetId, push_label};
use restore::OldTexts;

/// Why a saved series cannot be taken back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The value is not what this version writes.
    #[error("counter {name}{{{labels}}} in the ledger has the value {value:?}; expected {expected}")]
    Value {
        /// Metric.
        name: Arc<str>,
        /// Labels.
        labels: Arc<str>,
        /// What was found.
        value: String,
        /// What should be there.
        expected: &'static str,
    },
}

/// The stable key of a series.
pub(crate) fn series_key(name: &str, labels: &str) -> u64 {
    stable_hash(&[name, labels])
}

/// Every series.
#[derive(Debug)]
pub struct Registry {
    families: Vec<Family>,
    sets: LabelSets,
    changed: Vec<SeriesId>,
    old_texts: OldTexts,
    scratch: String,
    /// Whether the protobuf page has native histograms beside the classic ones.
    pub(super) shows_native: bool,
    /// How long scrapers see a new series at zero.
    pub(super) new_at_zero: Duration,
}

impl Registry {
    /// An empty registry over the whole inventory.
    pub fn new(sets: LabelSets) -> Self {
        Self {
            families: INVENTORY.iter().map(Family::new).collect(),
            sets,
            changed: Vec::new(),
            old_texts: OldTexts::default(),
            scratch: String::new(),
            shows_native: false,
            new_at_zero: Duration::ZERO,
        }
    }

    /// Has native histograms on the protobuf page, beside the classic ones. They are counted either way.
    pub(crate) fn show_native_histograms(&mut self, shown: bool) {
        self.shows_native = shown;
    }

    /// Has new series at zero on scrapers' pages for so long, from the first page that has them on.
    pub(crate) fn hold_new_series(&mut self, time: Duration) {
        self.new_at_zero = time;
    }

    /// The label sets.
    pub fn sets(&self) -> &LabelSets {
        &self.sets
    }

    pub(crate) fn sets_mut(&mut self) -> &mut LabelSets {
        &mut self.sets
    }

    /// The number of a label set.
    pub fn intern(&mut self, labels: &CommonLabels<'_>) -> SetId {
        self.sets.intern(labels)
    }

    /// The series of a metric with a label set and the values of the metric's own labels in order; made, with
    /// everything that is known to belong to it, when it is new.
    pub fn series(&mut self, id: MetricId, set: SetId, own: &[&str], created: UnixNanos) -> SeriesId {
        let metric = id.metric();
        debug_assert_eq!(metric.labels.len(), own.len(), "{}", metric.name);
        let mut text = std::mem::take(&mut self.scratch);
        self.render(&mut text, metric, set, own);
        let found = self.find(id, &text);
        let series = found.unwrap_or_else(|| {
            self.insert_known(metric, set, own, created);
            self.insert(id, &text, created)
        });
        self.scratch = text;
        series
    }

    /// Adds to a counter or a gauge; what is negative is added to the counter's twin instead.
    pub fn add(&mut self, id: SeriesId, delta: Decimal) {
        match id.metric.metric().twin {
            Some(twin) if delta.is_sign_negative() => self.add(SeriesId { metric: twin, ..id }, -delta),
            _ => self.update(id, |value| value.saturating_add(delta)),
        }
    }

    /// Gives a gauge, or a counter that is counted elsewhere, its value.
    pub fn set(&mut self, id: SeriesId, value: Decimal) {
        self.update(id, |_| value);
    }

    fn update(&mut self, id: SeriesId, change: impl FnOnce(Decimal) -> Decimal) {
        let series = self.series_mut(id);
        if let Value::Number(value) = &mut series.value {
            let next = change(*value);
            if next != *value {
                *value = next;
                self.mark(id);
            }
        }
    }

    /// Counts a value in a histogram.
    pub fn observe(&mut self, id: SeriesId, observed: Decimal, exemplar: Option<Exemplar>) {
        let family = &mut self.families[id.metric as usize];
        let bucket = family.bounds.partition_point(|&bound| bound < observed);
        if let Value::Histogram(histogram) = &mut family.series[id.index as usize].value {
            histogram.counts[bucket] += 1;
            histogram.sum = histogram.sum.saturating_add(observed);
            if let Some(native) = &mut histogram.native {
                native.observe(observed);
            }
            if exemplar.is_some() {
                histogram.exemplars[bucket] = exemplar;
            }
            self.mark(id);
        }
    }

    /// Gives a histogram that is counted elsewhere its counts, one a bucket and not cumulative.
    pub(crate) fn set_histogram(&mut self, id: SeriesId, counts: &[u64], sum: Decimal) {
        if let Value::Histogram(histogram) = &mut self.series_mut(id).value {
            for (slot, &count) in histogram.counts.iter_mut().zip(counts) {
                *slot = count;
            }
            histogram.sum = sum;
            self.families[id.metric as usize].touch(id.index);
        }
    }

    /// Sets every series of a gauge to zero, before it is computed anew.
    pub fn zero(&mut self, id: MetricId) {
        let family = &mut self.families[id as usize];
        for index in 0..family.series.len() {
            family.series[index].value = Value::Number(Decimal::ZERO);
            family.touch(index as u32);
        }
    }

    /// Drops every series of a gauge for which "nothing" is not zero, before it is computed anew.
    pub fn clear(&mut self, id: MetricId) {
        debug_assert_eq!(id.metric().kind, Kind::Gauge);
        self.families[id as usize] = Family::new(id.metric());
    }

    /// The labels of a series, without braces.
    pub(crate) fn labels(&self, id: SeriesId) -> &str {
        &self.families[id.metric as usize].series[id.index as usize].labels
    }

    /// Adds to the most of an exposure, by the labels that it has without its bound; the least is there too.
    pub(crate) fn show_exposure(&mut self, labels: &str, most: Decimal, created: UnixNanos) {
        let [least, greatest] = ["min", "max"].map(|bound| {
            let mut text = labels.to_owned();
            push_label(&mut text, "bound", bound);
            self.insert(MetricId::Exposure, &text, created)
        });
        self.add(least, Decimal::ZERO);
        self.add(greatest, most);
    }

    /// The value of a counter or a gauge.
    pub fn value(&self, id: SeriesId) -> Decimal {
        match &self.families[id.metric as usize].series[id.index as usize].value {
            Value::Number(value) => *value,
            Value::Histogram(histogram) => histogram.sum,
        }
    }

    /// Every series of a metric in the order of labels: the labels without braces, and the value (of a
    /// histogram, its sum).
    pub fn values(&self, id: MetricId) -> impl Iterator<Item = (&str, Decimal)> {
        self.families[id as usize].iter().map(|series| {
            let value = match &series.value {
                Value::Number(value) => *value,
                Value::Histogram(histogram) => histogram.sum,
            };
            (&*series.labels, value)
        })
    }

    /// Every series.
    pub(crate) fn ids(&self) -> impl Iterator<Item = SeriesId> {
        let of = |family: &Family| (family.metric.id, family.series.len() as u32);
        let families = self.families.iter().map(of);
        families.flat_map(|(metric, len)| (0..len).map(move |index| SeriesId { metric, index }))
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.families.iter().map(|family| family.series.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn families(&self) -> &[Family] {
        &self.families
    }

    pub(super) fn families_mut(&mut self) -> &mut [Family] {
        &mut self.families
    }

    /// A series' stable key.
    pub fn key(&self, id: SeriesId) -> u64 {
        let family = &self.families[id.metric as usize];
        series_key(family.metric.name, &family.series[id.index as usize].labels)
    }

    /// The counters and histograms that changed since the last call, as the ledger keeps them.
    pub(crate) fn take_changed(&mut self) -> Vec<CounterRow> {
        let emptied = std::mem::take(&mut self.old_texts.emptied);
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        let save = |id: SeriesId| {
            let family = &mut self.families[id.metric as usize];
            let series = &mut family.series[id.index as usize];
            series.changed = false;
            CounterRow {
                name: family.name.clone(),
                labels: series.labels.clone(),
                value: series.value.to_text(),
                start_unix_nanos: series.created.0,
            }
        };
        changed.into_iter().map(save).chain(emptied).collect()
    }

    fn series_mut(&mut self, id: SeriesId) -> &mut Series {
        &mut self.families[id.metric as usize].series[id.index as usize]
    }

    /// For the page, and for the ledger if it outlives the process: gauges are computed anew.
    fn mark(&mut self, id: SeriesId) {
        self.families[id.metric as usize].touch(id.index);
        if id.metric.metric().kind == Kind::Gauge || id.metric.is_of_process() {
            return;
        }
        let series = self.series_mut(id);
        if !std::mem::replace(&mut series.changed, true) {
            self.changed.push(id);
        }
    }

    fn render(&self, out: &mut String, metric: &Metric, set: SetId, own: &[&str]) {
        out.clear();
        out.push_str(self.sets.text(set));
        for (label, value) in metric.labels.iter().zip(own) {
            push_label(out, label.name, value);
        }
    }

    fn find(&self, metric: MetricId, labels: &str) -> Option<SeriesId> {
        let family = &self.families[metric as usize];
        family.find(labels).map(|index| SeriesId { metric, index })
    }

    /// A counter and its twin always have the same labels at the same index.
    fn insert(&mut self, id: MetricId, labels: &str, created: UnixNanos) -> SeriesId {
        if let Some(found) = self.find(id, labels) {
            return found;
        }
        let labels: Arc<str> = labels.into();
        let mut made = SeriesId { metric: id, index: 0 };
        for metric in std::iter::once(id).chain(id.metric().twin) {
            let index = self.families[metric as usize].push(labels.clone(), created);
            let series = SeriesId { metric, index };
            self.mark(series);
            made.index = index;
        }
        made
    }

    /// Makes the series of every combination of known label values, with the given values of the others.
    fn insert_known(&mut self, metric: &'static Metric, set: SetId, own: &[&str], created: UnixNanos) {
        if metric.labels.iter().all(|label| label.known.is_none()) {
            return;
        }
        let mut combinations = vec![Vec::with_capacity(own.len())];
        for (label, &given) in metric.labels.iter().zip(own) {
            let values = label.known.map_or_else(|| vec![given], |known| known());
            combinations = combinations
                .iter()
                .flat_map(|chosen| {
                    values
                        .iter()
                        .map(move |&value| chosen.iter().copied().chain([value]).collect::<Vec<&str>>())
                })
                .collect();
        }
        let mut text = String::new();
        for values in combinations {
            self.render(&mut text, metric, set, &values);
            self.insert(metric.id, &text, created);
        }
    }
}

#[cfg(test)]
mod tests;
