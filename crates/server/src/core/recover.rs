//! Bringing a new core to where the last process was, before anything listens.
//!
//! The first turn is not part of it: what became due while no process ran, and all that is open, is looked at
//! when spans are taken already, in parts ([`super::thread`]).

use std::path::{Path, PathBuf};

use spantally_stitch::UnixNanos;
use spantally_store::{Journal, Ledger};

use super::{Core, CoreRestoreError, Settled};
use crate::commit::{self, ReplayError};

/// Why the state of the last process cannot be taken back.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The ledger cannot be read, or was written with other settings.
    #[error("the ledger cannot be taken back: {0}")]
    Ledger(CoreRestoreError),
    /// Something in the ledger is not what any version writes.
    #[error("{path}: damaged: {source}; restore the data directory from a copy, or move it away and \
             start empty",
            path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<CoreRestoreError>,
    },
    /// The journal.
    #[error("the journal cannot be replayed: {0}")]
    Journal(#[from] ReplayError),
}

impl RecoverError {
    /// What the file's own errors say names it already; what is damaged in it does not.
    fn of(source: CoreRestoreError, path: &Path) -> Self {
        match source {
            CoreRestoreError::Store(_) | CoreRestoreError::Shard { .. } => Self::Ledger(source),
            _ => Self::Damaged { path: path.to_owned(), source: Box::new(source) },
        }
    }
}

/// Brings a new core to where the last process was: ledger, then the journal.
pub fn recover(core: &mut Core, ledger: &Ledger, journal: &mut dyn Journal) -> Result<(), RecoverError> {
    core.restore(ledger).map_err(|error| RecoverError::of(error, ledger.path()))?;
    let mut old = true;
    let labels = core.labels.clone();
    commit::replay(journal, ledger.done(), &labels, |message| {
        if message.seq <= ledger.applied() {
            core.rehydrate(message);
        } else {
            if std::mem::take(&mut old) {
                core.finish_rehydration();
            }
            core.apply(message);
        }
    })?;
    if old {
        core.finish_rehydration();
    }
    Ok(())
}

impl Core {
    /// The first turn of a core that was [`recover`]ed, for who drives one by hand: what became due settles,
    /// and of that goes at once what is past the retention, however often the process begins anew.
    pub fn wake(&mut self, now: UnixNanos) -> Vec<Settled> {
        self.resume(now);
        let mut settled = self.advance(now);
        settled.extend(self.advance(now));
        self.refresh();
        settled
    }
}
