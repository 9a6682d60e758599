//! Taking back the series that an earlier process saved.
//!
//! What it wrote as two texts may be one set of labels ([`canonical`]): then the values are added, and the
//! text that is not written any more stands in the ledger at zero from the next checkpoint on. It stays there
//! because rows of jobs name series by a hash of their text: by the old one a job still finds what it added.

use std::borrow::Cow;

use spantally_stitch::UnixNanos;
use spantally_store::CounterRow;

use super::{Registry, RestoreError, series_key};
use crate::export::canonical;
use crate::export::family::SeriesId;
use crate::export::inventory::MetricId;

/// What is known of series by texts that are not written any more.
#[derive(Debug, Default)]
pub(super) struct OldTexts {
    /// The key by the old text, and the series that it is now.
    keys: Vec<(u64, SeriesId)>,
    /// Old texts at zero, to be saved together with the series below.
    pub(super) emptied: Vec<CounterRow>,
    /// Series that took the value of an old text.
    merged: Vec<SeriesId>,
}

impl Registry {
    /// Takes a series back that an earlier process saved. A metric that this version does not have is left
    /// out.
    pub fn restore(&mut self, row: &CounterRow) -> Result<Option<SeriesId>, RestoreError> {
        let Some(id) = MetricId::named(&row.name) else { return Ok(None) };
        let labels = canonical::of_series(id.metric(), &row.labels);
        let created = UnixNanos(row.start_unix_nanos);
        let first = id.twin_of().unwrap_or(id);
        let index = self.find(first, &labels).unwrap_or_else(|| self.insert(first, &labels, created)).index;
        let series = SeriesId { metric: id, index };
        let family = &mut self.families[id as usize];
        let value = family.parse(&row.value).map_err(|expected| RestoreError::Value {
            name: row.name.clone(),
            labels: row.labels.clone(),
            value: row.value.clone(),
            expected,
        })?;
        let zero = family.zero();
        family.touch_all();
        family.restored = family.restored.max(index as usize + 1);
        let slot = &mut family.series[index as usize];
        slot.value.merge(&value);
        slot.created = slot.created.min(created);
        if let Cow::Borrowed(_) = labels {
            slot.changed = false;
            return Ok(Some(series));
        }
        self.old_texts.keys.push((series_key(&row.name, &row.labels), series));
        if value != zero {
            self.old_texts.emptied.push(CounterRow { value: zero.to_text(), ..row.clone() });
            self.old_texts.merged.push(series);
        }
        Ok(Some(series))
    }

    /// What was taken back is on disk already; what this version has beside it, or has added up, is not.
    pub(crate) fn finish_restore(&mut self) {
        let families = &self.families;
        self.changed.retain(|id| families[id.metric as usize].series[id.index as usize].changed);
        for series in std::mem::take(&mut self.old_texts.merged) {
            self.mark(series);
        }
    }

    /// Every series by every key that the ledger may have for it.
    pub(crate) fn by_keys(&self) -> impl Iterator<Item = (u64, SeriesId)> {
        self.ids().map(|series| (self.key(series), series)).chain(self.old_texts.keys.iter().copied())
    }
}
