//! Taking back what a checkpoint wrote.
//!
//! Counters come first; then what was settled within the retention, so that it is not told again; then the
//! open state; then, through [`Core::rehydrate`], the journal rows that the checkpoint includes and whose
//! evidence is still needed; then, through [`Core::apply`], those that it does not include.

use spantally_stitch::{JobId, State, UnixNanos};
use spantally_store::{CLOCK_SKEW_NANOS, CounterRow, Ledger, Seq, StoreError};

use super::Core;
use super::bound_history::BoundHistory;
use super::checkpoint::{
    BOUNDS_META, EXPOSURE_ROW, FORGOTTEN_META, OUTAGES_META, SET_ROW, SHARD_SHIFT, TIE, TRIMMED_META,
    TURN_META, WAITED_META, WINDOW_ROW, parse_outages,
};
use super::published::Published;
use crate::export::RestoreError;
use crate::label_history::{self, LabelHistory};
use crate::record::{RecordError, decode_carried, decode_tie};

/// Why a ledger cannot be taken back. Nothing is skipped: what is not read would be counted anew.
#[derive(Debug, thiserror::Error)]
pub enum CoreRestoreError {
    /// The file cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A counter is damaged.
    #[error(transparent)]
    Counter(#[from] RestoreError),
    /// Cost by time is damaged.
    #[error("the cost window {key:?} in the ledger is not readable")]
    Window {
        /// Provider, model and currency.
        key: String,
    },
    /// Undecided money by day is damaged.
    #[error("the exposure of {labels:?} in the ledger is not readable")]
    Exposure {
        /// Labels of its series.
        labels: String,
    },
    /// The spans of a job are damaged.
    #[error("the open state {number:#x} in the ledger is not readable: {source}")]
    Evidence {
        /// Its number.
        number: u64,
        /// What is wrong.
        source: RecordError,
    },
    /// The state was written with more shards than there are now.
    #[error(
        "the open state in the ledger is of shard {shard}, but there are {shards}: the number must not change"
    )]
    Shard {
        /// Its shard.
        shard: u64,
        /// How many there are.
        shards: usize,
    },
    /// The names of label values are damaged.
    #[error("the names of labels in the ledger are not readable")]
    LabelNames,
    /// The bounds of earlier processes are damaged.
    #[error("the bounds in the ledger under which spans were taken are not readable")]
    Bounds,
    /// A moment is damaged.
    #[error("the value {name} in the ledger is not a number")]
    Moment {
        /// Its name.
        name: &'static str,
    },
}

impl Core {
    /// Takes the last checkpoint of a ledger back into a new core.
    pub fn restore(&mut self, ledger: &Ledger) -> Result<(), CoreRestoreError> {
        let mut rows = Vec::new();
        ledger.load_counters(|row| rows.push(row))?;
        self.restore_counters(&rows)?;
        ledger.load_forms(|id, key, booked| self.books.forms.restore(id, key, booked))?;
        self.now = load_moment(ledger, TURN_META)?;
        if !self.turns.restore(ledger.done(), &ledger.load_turns()?, self.now) {
            return Err(CoreRestoreError::Moment { name: "turn" });
        }
        self.restore_outages(ledger)?;
        self.trims.1 = load_moment(ledger, TRIMMED_META)?;
        self.waited_ms = self.waited_ms.max(load_number(ledger, WAITED_META)?);
        ledger
            .load_tombstones(|mark| self.shards.iter_mut().for_each(|shard| shard.restore_tombstone(mark)))?;
        self.restore_settled(ledger)?;
        self.restore_bounds(ledger)?;
        let mut restored = Ok(());
        ledger.load_state(|number, bytes| {
            if restored.is_ok() {
                restored = self.restore_state(number, bytes);
            }
        })?;
        restored?;
        self.books.removed_until = load_moment(ledger, "removed_until")?;
        self.applied = ledger.applied();
        let names = self.restore_names(ledger)?;
        self.budgets.restore(ledger, &names, self.now)?;
        self.books.labels.restore(names);
        Ok(())
    }

    /// What the label values of the ledger's documents are called; of those to come, what the configuration
    /// says.
    fn restore_names(&mut self, ledger: &Ledger) -> Result<LabelHistory, CoreRestoreError> {
        let names: Vec<String> = self.labels.iter().map(ToString::to_string).collect();
        let saved = ledger.load_meta(label_history::META)?;
        let mut history = match &saved {
            Some(text) => LabelHistory::parse(text).ok_or(CoreRestoreError::LabelNames)?,
            None => LabelHistory::default(),
        };
        // A ledger that has none is new, or of a version that did not keep them: today's are taken to be its
        // own.
        let first = if saved.is_some() { ledger.newest_row()? + 1 } else { 0 };
        if let Some(before) = history.note(first, names.clone()) {
            let (before, now) = (before.join(", "), names.join(", "));
            tracing::info!(
                before,
                now,
                "the extra labels are others than in the last run: values follow names"
            );
        }
        let text = history.to_text();
        let is_saved = saved.map_or(names.is_empty(), |saved| saved == text.as_bytes());
        if !is_saved {
            self.unsaved_history.push((label_history::META, text));
        }
        Ok(history)
    }

    /// Under which bounds the rows of the journal were taken. What is carried is older than all of them: it
    /// comes back under the first.
    fn restore_bounds(&mut self, ledger: &Ledger) -> Result<(), CoreRestoreError> {
        let Some(text) = ledger.load_meta(BOUNDS_META)? else { return Ok(()) };
        self.bounds = BoundHistory::parse(&text).ok_or(CoreRestoreError::Bounds)?;
        self.bounds.forget_before(ledger.done().0 + 1);
        self.use_bounds_of(Seq(ledger.done().0 + 1));
        Ok(())
    }

    fn restore_counters(&mut self, rows: &[CounterRow]) -> Result<(), CoreRestoreError> {
        for row in rows {
            match &*row.name {
                SET_ROW => self.books.registry.sets_mut().restore(&row.labels),
                WINDOW_ROW => {
                    if !self.books.windows.restore(&row.labels, &row.value) {
                        return Err(CoreRestoreError::Window { key: row.labels.to_string() });
                    }
                }
                EXPOSURE_ROW => {
                    if !self.books.exposure.restore(&row.labels, &row.value) {
                        return Err(CoreRestoreError::Exposure { labels: row.labels.to_string() });
                    }
                }
                _ => {
                    self.books.registry.restore(row)?;
                }
            }
        }
        self.saved_sets = self.books.registry.sets().len();
        self.books.registry.finish_restore();
        Ok(())
    }

    /// What was settled within the retention, or since the oldest row came that the journal still has: its
    /// evidence comes back, also that of a job which the last process was about to forget. What was forgotten
    /// already is among it; the books find that out.
    fn restore_settled(&mut self, ledger: &Ledger) -> Result<(), CoreRestoreError> {
        let reader = ledger.reader()?;
        let retained = self.outages.before(self.now, self.stitching.retention_ms);
        let since = retained.min(self.turns.oldest_arrival());
        let (books, shards) = (&mut self.books, &mut self.shards);
        let now = self.now;
        reader.load_settled(since.0, |row| {
            let id = JobId(row.job_id);
            let (at, started_at) = (UnixNanos(row.settled_at), UnixNanos(row.started_at));
            if books.revision(id) > 0 {
                return; // an older revision
            }
            let is_superseded = row.state == State::Superseded.as_str();
            if !is_superseded {
                let shard = super::shard_of(&row.tenant, shards.len());
                shards[shard].restore_published(id, (row.revision, row.digest), (at, now));
            }
            books.restore(id, Published { revision: row.revision, is_superseded, at, started_at });
        })?;
        self.books.archive = Some(Box::new(reader));
        // Of what settled before that only carried evidence can tell. Its jobs are looked up. What starts
        // after the last turn is none of them: to look up all that is new would hold the core up.
        let until = UnixNanos(since.0.saturating_add(CLOCK_SKEW_NANOS)).min(self.now);
        let until = until.max(load_moment(ledger, FORGOTTEN_META)?);
        self.books.forgotten.restore(until);
        Ok(())
    }

    fn restore_outages(&mut self, ledger: &Ledger) -> Result<(), CoreRestoreError> {
        let value = ledger.load_meta(OUTAGES_META)?.unwrap_or_default();
        let outages = std::str::from_utf8(&value).ok().and_then(parse_outages);
        for (from, until) in outages.ok_or(CoreRestoreError::Moment { name: OUTAGES_META })? {
            self.note_outage(from, until);
        }
        Ok(())
    }

    fn restore_state(&mut self, number: u64, bytes: &[u8]) -> Result<(), CoreRestoreError> {
        let (shard, own_number) = (number >> SHARD_SHIFT, number & ((1 << SHARD_SHIFT) - 1));
        let shards = self.shards.len();
        let stitcher =
            self.shards.get_mut(shard as usize).ok_or(CoreRestoreError::Shard { shard, shards })?;
        let damaged = |source| CoreRestoreError::Evidence { number, source };
        if own_number & TIE == 0 {
            let (came, evidence) = decode_carried(bytes, &self.labels).map_err(damaged)?;
            stitcher.restore(own_number, came, evidence);
        } else {
            stitcher.restore_tie(own_number & !TIE, decode_tie(bytes).map_err(damaged)?);
        }
        Ok(())
    }
}

fn load_moment(ledger: &Ledger, name: &'static str) -> Result<UnixNanos, CoreRestoreError> {
    load_number(ledger, name).map(UnixNanos)
}

/// 0 when the ledger has none.
fn load_number(ledger: &Ledger, name: &'static str) -> Result<u64, CoreRestoreError> {
    let Some(value) = ledger.load_meta(name)? else { return Ok(0) };
    let number = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
    number.ok_or(CoreRestoreError::Moment { name })
}
