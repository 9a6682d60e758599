//! What scrapers see of one metric: a copy of its series, brought up to date while the registry is locked.
//!
//! Copying what changed is all that happens under that lock; the page is written from the copy afterwards
//! ([`super::pages`]). The labels are not copied, they are shared.

use std::sync::Arc;
use std::time::Duration;

use spantally_stitch::UnixNanos;

use super::family::{Family, Value};
use super::first_zeros::{FirstZeros, Scrape};
use super::inventory::{Kind, Metric};

/// A copy of the series of a metric. A *look* is a number that grows with each copy; a series has *places* in
/// the order of labels and an *index* in the order in which it was made.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) metric: &'static Metric,
    labels: Vec<Arc<str>>,
    created: Vec<UnixNanos>,
    values: Vec<Value>,
    /// Indexes by place.
    order: Vec<u32>,
    /// Places by index.
    places: Vec<u32>,
    /// By place: the look at which the value was new.
    pub(super) changed_at: Vec<u32>,
    /// The last of these.
    pub(super) last_change: u32,
    /// The look at which places were new.
    pub(super) remade_at: u32,
    /// Of counters and histograms that the ledger keeps.
    first_zeros: Option<FirstZeros>,
    /// What is shown of a series that is held back.
    zero: Value,
    /// Whether the page that is written holds new series back.
    pub(super) holds_back: bool,
}

/// One series of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShownSeries<'a> {
    pub(super) labels: &'a str,
    pub(super) created: UnixNanos,
    pub(super) value: &'a Value,
}

impl Shown {
    pub(super) fn new(metric: &'static Metric) -> Self {
        let is_held = metric.kind != Kind::Gauge && metric.id.is_of_core();
        Self {
            metric,
            labels: Vec::new(),
            created: Vec::new(),
            values: Vec::new(),
            order: Vec::new(),
            places: Vec::new(),
            changed_at: Vec::new(),
            last_change: 0,
            remade_at: 0,
            first_zeros: is_held.then(FirstZeros::default),
            zero: Family::new(metric).zero(),
            holds_back: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The series at a place.
    pub(super) fn at(&self, place: usize) -> ShownSeries<'_> {
        let index = self.order[place] as usize;
        let is_held = |zeros: &FirstZeros| self.holds_back && zeros.holds(index);
        let is_zero = self.first_zeros.as_ref().is_some_and(is_held);
        let value = if is_zero { &self.zero } else { &self.values[index] };
        ShownSeries { labels: &self.labels[index], created: self.created[index], value }
    }

    /// A page for scrapers is about to be written: notes which series it has, and shows those from now on
    /// that were at zero for long enough. Tells whether any is held back.
    pub(super) fn scrape(&mut self, scrape: Scrape, time: Duration, look: u32) -> bool {
        let Some(zeros) = &mut self.first_zeros else { return false };
        for index in zeros.scrape(self.values.len(), scrape, time) {
            if self.values[index] != self.zero {
                self.changed_at[self.places[index] as usize] = look;
                self.last_change = look;
            }
        }
        zeros.holds(self.values.len().saturating_sub(1)) && !self.values.is_empty()
    }

    /// Copies what changed since the last look.
    pub(super) fn look(&mut self, family: &mut Family, look: u32) {
        if let Some(zeros) = &mut self.first_zeros {
            zeros.restored(family.restored);
        }
        let Self { values, places, changed_at, last_change, .. } = self;
        let is_known = family.show_changed(|index, series| {
            // What is new is copied below.
            let Some(value) = values.get_mut(index as usize) else { return };
            if *value != series.value {
                value.copy_from(&series.value);
                changed_at[places[index as usize] as usize] = look;
                *last_change = look;
            }
        });
        if !is_known {
            self.labels.clear();
            self.created.clear();
            self.values.clear();
        }
        if !is_known || family.series.len() > self.values.len() {
            self.copy_new(family, look);
        }
    }

    /// Copies the series that came, which gives many a new place.
    pub(super) fn copy_new(&mut self, family: &Family, look: u32) {
        for series in &family.series[self.values.len()..] {
            self.labels.push(Arc::clone(&series.labels));
            self.created.push(series.created);
            self.values.push(series.value.clone());
        }
        self.order.clear();
        self.order.extend_from_slice(family.order());
        self.places.resize(self.order.len(), 0);
        for (place, &index) in self.order.iter().enumerate() {
            self.places[index as usize] = place as u32;
        }
        self.changed_at.clear();
        self.changed_at.resize(self.order.len(), look);
        self.last_change = look;
        self.remade_at = look;
    }
}
