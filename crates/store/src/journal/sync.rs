//! Syncing a relaxed journal, by whoever has to.
//!
//! With [`Durability::Relaxed`](super::Durability::Relaxed) an append ends when the operating system has the
//! bytes. They reach the disk when somebody calls [`JournalSync::sync`]: the commit every so often, and the
//! core before each checkpoint, so that the ledger never includes what a loss of power could take from the
//! journal.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::StoreError;

/// Brings what was appended to the disk; cheap to clone, for any thread.
#[derive(Clone, Debug)]
pub struct JournalSync {
    /// The write-ahead log. The file itself is synced by SQLite whenever the log is copied into it.
    log: Arc<File>,
    path: PathBuf,
}

impl JournalSync {
    pub(super) fn open(path: PathBuf) -> Result<Self, StoreError> {
        // SQLite holds no lock on this file that closing it could end.
        let log = File::open(&path).map_err(|source| StoreError::Sync { path: path.clone(), source })?;
        Ok(Self { log: Arc::new(log), path })
    }

    /// Everything that was appended before is on the disk when this returns.
    ///
    /// # Errors
    /// [`StoreError::Sync`]: what was appended since the last call may be lost with the power. It is still
    /// there for as long as the machine runs.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.log.sync_data().map_err(|source| StoreError::Sync { path: self.path.clone(), source })
    }
}
