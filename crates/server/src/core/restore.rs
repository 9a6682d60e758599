//! Taking back what a checkpoint wrote.
//!
//! Counters come first, since what was published of a job names the series it was added to; then the open
//! state; then, through [`Core::apply`], the journal rows that the checkpoint does not include.

use spantally_stitch::UnixNanos;
use spantally_store::{CounterRow, Ledger, StoreError};

use super::published::{Published, SavedError, SeriesByKey};
use super::{Core, FORGOTTEN_META, PUBLISHED, SET_ROW, SHARD_SHIFT, TURN_META, WINDOW_ROW};
use crate::export::RestoreError;
use crate::record::{RecordError, decode_evidence};

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
    /// The spans of a job are damaged.
    #[error("the open state {number:#x} in the ledger is not readable: {source}")]
    Evidence {
        /// Its number.
        number: u64,
        /// What is wrong.
        source: RecordError,
    },
    /// What was published of a job is damaged.
    #[error("the open state {number:#x} in the ledger is not readable: {source}")]
    Published {
        /// Its number.
        number: u64,
        /// What is wrong.
        source: SavedError,
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
    /// A moment is damaged.
    #[error("the value {name} in the ledger is not a number of nanoseconds")]
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
        let keys = self.restore_counters(&rows)?;
        let mut restored = Ok(());
        ledger.load_state(|number, bytes| {
            if restored.is_ok() {
                restored = self.restore_state(number, bytes, &keys);
            }
        })?;
        restored?;
        self.now = load_moment(ledger, TURN_META)?;
        self.books.forgotten_until = load_moment(ledger, FORGOTTEN_META)?;
        self.applied = ledger.applied();
        self.budgets.restore(ledger, &self.books.registry, self.now)?;
        Ok(())
    }

    fn restore_counters(&mut self, rows: &[CounterRow]) -> Result<SeriesByKey, CoreRestoreError> {
        let mut keys = SeriesByKey::default();
        for row in rows {
            match &*row.name {
                SET_ROW => self.books.registry.sets_mut().restore(&row.labels),
                WINDOW_ROW => {
                    if !self.books.windows.restore(&row.labels, &row.value) {
                        return Err(CoreRestoreError::Window { key: row.labels.to_string() });
                    }
                }
                _ => {
                    if let Some(series) = self.books.registry.restore(row)? {
                        keys.insert(self.books.registry.key(series), series);
                    }
                }
            }
        }
        self.saved_sets = self.books.registry.sets().len();
        self.books.registry.finish_restore();
        Ok(keys)
    }

    fn restore_state(
        &mut self,
        number: u64,
        bytes: &[u8],
        keys: &SeriesByKey,
    ) -> Result<(), CoreRestoreError> {
        if number & PUBLISHED != 0 {
            let (id, published) = Published::restore(number & !PUBLISHED, bytes, keys)
                .map_err(|source| CoreRestoreError::Published { number, source })?;
            if !published.is_superseded {
                let shard = self.shard_of_published(&published);
                self.shards[shard].restore_published(id, published.revision, published.digest);
            }
            self.books.restore(id, published);
            return Ok(());
        }
        let (shard, own_number) = (number >> SHARD_SHIFT, number & ((1 << SHARD_SHIFT) - 1));
        let shards = self.shards.len();
        let stitcher =
            self.shards.get_mut(shard as usize).ok_or(CoreRestoreError::Shard { shard, shards })?;
        let evidence =
            decode_evidence(bytes).map_err(|source| CoreRestoreError::Evidence { number, source })?;
        stitcher.restore(own_number, evidence);
        Ok(())
    }

    fn shard_of_published(&self, published: &Published) -> usize {
        super::shard_of(&published.names[0], self.shards.len())
    }
}

fn load_moment(ledger: &Ledger, name: &'static str) -> Result<UnixNanos, CoreRestoreError> {
    let Some(value) = ledger.load_meta(name)? else { return Ok(UnixNanos::default()) };
    let nanos = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
    nanos.map(UnixNanos).ok_or(CoreRestoreError::Moment { name })
}
