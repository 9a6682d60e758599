//! What scrapers see of one metric: a copy of its series, brought up to date while the registry is locked.
//!
//! Copying what changed is all that happens under that lock; the page is written from the copy afterwards
//! ([`super::pages`]). The labels are not copied, they are shared.

use std::sync::Arc;

use spantally_stitch::UnixNanos;

use super::family::{Family, Value};
use super::inventory::Metric;

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
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The series at a place.
    pub(super) fn at(&self, place: usize) -> ShownSeries<'_> {
        let index = self.order[place] as usize;
        ShownSeries { labels: &self.labels[index], created: self.created[index], value: &self.values[index] }
    }

    /// Copies what changed since the last look.
    pub(super) fn look(&mut self, family: &mut Family, look: u32) {
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
