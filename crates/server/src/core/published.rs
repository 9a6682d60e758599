//! What was published of a job: what a revision must be compared with.
//!
//! It is kept in memory as long as late evidence may still revise the job, and on disk beside the job's
//! evidence, so that a restart can revise it as well. On disk a series is named by its stable key.

use std::borrow::Cow;
use std::sync::Arc;

use hashbrown::HashMap;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use spantally_stitch::{Job, JobId, State, UnixNanos};
use spantally_store::ChargeRow;

use super::entries::Entry;
use crate::export::{Registry, SeriesId};

/// Series by their stable keys.
pub(super) type SeriesByKey = HashMap<u64, SeriesId, foldhash::fast::RandomState>;

/// The newest publication of a job.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Published {
    /// Its number in the open state on disk.
    pub(super) number: u64,
    /// The newest revision in the ledger.
    pub(super) revision: u32,
    /// The stitcher's fingerprint of it.
    pub(super) digest: u64,
    /// Whether it was taken back.
    pub(super) is_superseded: bool,
    /// When it was published.
    pub(super) at: UnixNanos,
    /// When its first call started: what its id is derived from.
    pub(super) started_at: UnixNanos,
    /// What it added to the counters.
    pub(super) entries: Box<[Entry]>,
    /// What it added to the ledger, all revisions together.
    pub(super) charges: Box<[ChargeRow]>,
    /// Whose job it is: tenant, service, provider, model, operation.
    pub(super) names: [Arc<str>; 5],
}

impl Published {
    /// The job as a reversal shows it: whose it was, and nothing in it.
    pub(super) fn superseded_job(&self, id: JobId) -> Job {
        let [tenant, service, provider, model, operation] = self.names.clone();
        let (started_at, ended_at) = (self.started_at, self.at);
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

    /// Bytes for the open state.
    pub(super) fn save(&self, id: JobId, registry: &Registry) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&Saved {
            job_id: id.0,
            revision: self.revision,
            digest: self.digest,
            is_superseded: self.is_superseded,
            at: self.at.0,
            started_at: self.started_at.0,
            entries: self.entries.iter().map(|&(series, amount)| (registry.key(series), amount)).collect(),
            charges: self.charges.iter().map(SavedCharge::new).collect(),
            names: self.names.clone(),
        })
    }

    /// Reads back what [`Self::save`] wrote.
    pub(super) fn restore(
        number: u64,
        bytes: &[u8],
        series: &SeriesByKey,
    ) -> Result<(JobId, Self), SavedError> {
        let saved: Saved = serde_json::from_slice(bytes)?;
        let found = |&(key, amount): &(u64, Decimal)| {
            series.get(&key).map(|&series| (series, amount)).ok_or(SavedError::Series { key })
        };
        let mut entries: Box<[Entry]> = saved.entries.iter().map(found).collect::<Result<_, _>>()?;
        // The numbers of series need not be those of the process that saved them.
        entries.sort_unstable_by_key(|&(series, _)| series);
        let published = Self {
            number,
            revision: saved.revision,
            digest: saved.digest,
            is_superseded: saved.is_superseded,
            at: UnixNanos(saved.at),
            started_at: UnixNanos(saved.started_at),
            entries,
            charges: saved.charges.into_iter().map(SavedCharge::into_row).collect(),
            names: saved.names,
        };
        Ok((JobId(saved.job_id), published))
    }
}

/// Why saved state of a job cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// Not what this version writes.
    #[error("what was published of a job is not readable: {0}")]
    Json(#[from] serde_json::Error),
    /// A counter that the job was added to is not in the ledger.
    #[error(
        "a job was added to the series with key {key:016x}, which is not among the counters of the ledger"
    )]
    Series {
        /// The key of the series.
        key: u64,
    },
}

#[derive(Serialize, Deserialize)]
struct Saved {
    job_id: [u8; 16],
    revision: u32,
    digest: u64,
    is_superseded: bool,
    at: u64,
    started_at: u64,
    entries: Vec<(u64, Decimal)>,
    charges: Vec<SavedCharge>,
    names: [Arc<str>; 5],
}

#[derive(Serialize, Deserialize)]
struct SavedCharge {
    attempt: u32,
    provider: Arc<str>,
    model: Arc<str>,
    operation: Arc<str>,
    unit: Arc<str>,
    quantity: Decimal,
    unit_price: Option<Decimal>,
    cost: [Decimal; 3],
    currency: Arc<str>,
    cause: Cow<'static, str>,
    basis: Cow<'static, str>,
    rule: Arc<str>,
}

impl SavedCharge {
    fn new(row: &ChargeRow) -> Self {
        let row = row.clone();
        Self {
            attempt: row.attempt,
            provider: row.provider,
            model: row.model,
            operation: row.operation,
            unit: row.unit,
            quantity: row.quantity,
            unit_price: row.unit_price,
            cost: [row.cost_min, row.cost_expected, row.cost_max],
            currency: row.currency,
            cause: row.cause,
            basis: row.basis,
            rule: row.rule,
        }
    }

    fn into_row(self) -> ChargeRow {
        let [cost_min, cost_expected, cost_max] = self.cost;
        ChargeRow {
            attempt: self.attempt,
            provider: self.provider,
            model: self.model,
            operation: self.operation,
            unit: self.unit,
            quantity: self.quantity,
            unit_price: self.unit_price,
            cost_min,
            cost_expected,
            cost_max,
            currency: self.currency,
            cause: self.cause,
            basis: self.basis,
            rule: self.rule,
        }
    }
}
