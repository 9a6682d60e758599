//! Syncing a relaxed journal, by whoever has to.
//!
//! With [`Durability::Relaxed`](super::Durability::Relaxed) an append ends when the operating system has the
//! bytes. They reach the disk when somebody calls [`JournalSync::sync`]: the commit every so often, and the
//! core before each checkpoint, so that the ledger never includes what a loss of power could take from the
//! journal.
//!
//! # After a sync that failed
//! Linux may take pages that it could not write for written. So a later sync of the same log that succeeds
//! says nothing of what came before it, and is not believed, whoever calls it: every sync fails until the
//! journal has copied all of its log into its file, which is synced then. It does so before it appends
//! anything more. A start does it as well.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::StoreError;

/// Brings what was appended to the disk; cheap to clone, for any thread.
#[derive(Clone, Debug)]
pub struct JournalSync {
    /// The write-ahead log. The file itself is synced by SQLite whenever the log is copied into it.
    log: Arc<File>,
    path: PathBuf,
    failures: SyncFailures,
}

/// How many syncs of a log failed, and how many of those are made good: shared by all who sync it and the
/// journal.
#[derive(Clone, Debug, Default)]
pub(super) struct SyncFailures(Arc<[AtomicU64; 2]>);

impl SyncFailures {
    fn note(&self) {
        self.0[0].fetch_add(1, Ordering::AcqRel);
    }

    /// The number of those that are not made good yet, if any are not.
    pub(super) fn pending(&self) -> Option<u64> {
        let [failed, mended] = [&self.0[0], &self.0[1]].map(|count| count.load(Ordering::Acquire));
        (failed != mended).then_some(failed)
    }

    /// All that was appended before is on the disk, by another way than syncing the log. What failed
    /// meanwhile does not count as made good.
    pub(super) fn mended(&self, pending: u64) {
        self.0[1].store(pending, Ordering::Release);
    }
}

impl JournalSync {
    pub(super) fn open(path: PathBuf, failures: SyncFailures) -> Result<Self, StoreError> {
        // SQLite holds no lock on this file that closing it could end.
        let log = File::open(&path).map_err(|source| StoreError::Sync { path: path.clone(), source })?;
        Ok(Self { log: Arc::new(log), path, failures })
    }

    /// Everything that was appended before is on the disk when this returns.
    ///
    /// # Errors
    /// [`StoreError::Sync`]: what was appended since the last call that succeeded may be lost with the power.
    /// It is still there for as long as the machine runs. Further calls fail until the journal has appended
    /// again.
    pub fn sync(&self) -> Result<(), StoreError> {
        let before = self.failures.pending().map_or(Ok(()), |_| {
            Err(io::Error::other("an earlier sync failed, and what it concerned is not written again yet"))
        });
        let synced = before.and_then(|()| self.log.sync_data().inspect_err(|_| self.failures.note()));
        synced.map_err(|source| StoreError::Sync { path: self.path.clone(), source })
    }

    /// Whether a sync failed, and what it concerned is not written again yet.
    pub fn has_failed(&self) -> bool {
        self.failures.pending().is_some()
    }
}

#[cfg(test)]
impl JournalSync {
    /// As if the disk had failed once.
    pub(super) fn fail(&self) {
        self.failures.note();
    }
}
