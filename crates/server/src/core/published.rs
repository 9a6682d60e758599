//! What was published of a job: what a revision must be compared with.
//!
//! In memory stands only what tells whether a job is to be published again ([`Published`]). What it added to
//! the counters and the ledger ([`Booked`]) is needed when it is revised, which is seldom: then it is read
//! from the ledger, where the job's row has it. Until that row is written, and where there is no ledger
//! (`replay`), it is kept in memory.
//!
//! On disk a series is named by its stable key.

use std::sync::Arc;

use hashbrown::HashMap;
use rust_decimal::Decimal;
use spantally_stitch::{Job, JobId, State, UnixNanos};
use spantally_store::ChargeRow;

use super::entries::Entry;
use super::row_labels::Labels;
use crate::export::{Registry, SeriesId};

/// The newest publication of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Published {
    /// The newest revision in the ledger.
    pub(super) revision: u32,
    /// Whether it was taken back.
    pub(super) is_superseded: bool,
    /// When it was published.
    pub(super) at: UnixNanos,
    /// When its first call started: what its id is derived from.
    pub(super) started_at: UnixNanos,
}

/// What the publications of a job added up to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Booked {
    /// What it added to the counters.
    pub(super) entries: Arc<[Entry]>,
    /// What it added to the ledger, all revisions together.
    pub(super) charges: Arc<[ChargeRow]>,
    /// Whose job it is: tenant, service, provider, model, operation.
    pub(super) names: [Arc<str>; 5],
    /// The values of its extra labels.
    pub(super) labels: Labels,
}

impl Booked {
    /// The job as a reversal shows it: whose it was, and nothing in it.
    pub(super) fn superseded_job(&self, id: JobId, before: &Published) -> Job {
        let [tenant, service, provider, model, operation] = self.names.clone();
        let (started_at, ended_at) = (before.started_at, before.at);
        Job {
            id,
            state: State::Superseded,
            tenant,
            service,
            provider,
            model,
            operation,
            started_at,
            ended_at,
            ..Job::default()
        }
    }
}

/// Whose job it is.
pub(super) fn names_of(job: &Job) -> [Arc<str>; 5] {
    [&job.tenant, &job.service, &job.provider, &job.model, &job.operation].map(Arc::clone)
}

/// Of one entry on disk: the key of its series, the amount.
const ENTRY_BYTES: usize = 24;

/// Entries as the ledger keeps them.
pub(super) fn save_entries(entries: &[Entry], registry: &Registry) -> Vec<u8> {
    let entry = |&(series, amount): &Entry| {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..8].copy_from_slice(&registry.key(series).to_le_bytes());
        bytes[8..].copy_from_slice(&amount.serialize());
        bytes
    };
    entries.iter().flat_map(entry).collect()
}

/// Reads what [`save_entries`] wrote: amounts by the keys of their series. None when the bytes are others'.
pub(crate) fn read_entries(bytes: &[u8]) -> Option<Vec<(u64, Decimal)>> {
    let (entries, rest) = bytes.as_chunks::<ENTRY_BYTES>();
    let read = |entry: &[u8; ENTRY_BYTES]| {
        let key = entry.first_chunk().map(|key| u64::from_le_bytes(*key))?;
        Some((key, entry.last_chunk().map(|amount| Decimal::deserialize(*amount))?))
    };
    rest.is_empty().then(|| entries.iter().map(read).collect())?
}

/// Series by their stable keys, as far as they were asked for.
#[derive(Debug, Default)]
pub(super) struct SeriesByKey {
    known: HashMap<u64, SeriesId, foldhash::fast::RandomState>,
}

impl SeriesByKey {
    /// Reads back what [`save_entries`] wrote. None when a series is not there or the bytes are others'.
    pub(super) fn read(&mut self, bytes: &[u8], registry: &Registry) -> Option<Vec<Entry>> {
        let entries = read_entries(bytes)?;
        if !entries.iter().all(|(key, _)| self.known.contains_key(key)) {
            self.known = registry.by_keys().collect();
        }
        let read = |(key, amount)| Some((*self.known.get(&key)?, amount));
        let mut entries = entries.into_iter().map(read).collect::<Option<Vec<_>>>()?;
        // The numbers of series need not be those of the process that saved them.
        entries.sort_unstable_by_key(|&(series, _)| series);
        Some(entries)
    }
}
