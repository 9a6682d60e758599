//! Bringing a new core to where the last process was, before anything listens.

use std::ops::Not as _;

use spantally_stitch::{JobId, UnixNanos};
use spantally_store::{Journal, Ledger, LedgerReader, Published, StoreError};

use super::{Archive, Core, CoreRestoreError};
use crate::commit::{self, ReplayError};

/// Why the state of the last process cannot be taken back.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The ledger.
    #[error("the ledger cannot be taken back: {0}")]
    Ledger(#[from] CoreRestoreError),
    /// The journal.
    #[error("the journal cannot be replayed: {0}")]
    Journal(#[from] ReplayError),
    /// The first checkpoint.
    #[error("the first checkpoint cannot be written: {0}")]
    Checkpoint(#[from] StoreError),
}

/// Brings a new core to where the last process was: ledger, then the journal, then a turn.
pub fn recover(
    core: &mut Core,
    ledger: &mut Ledger,
    journal: &mut dyn Journal,
    now: UnixNanos,
) -> Result<(), RecoverError> {
    core.restore(ledger)?;
    let mut old = true;
    commit::replay(journal, ledger.done(), |message| {
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
    core.resume(now);
    core.advance(now);
    // What was settled and is past the retention goes at once, however often the process begins anew.
    core.advance(now);
    core.refresh();
    ledger.checkpoint(&core.checkpoint())?;
    Ok(())
}

impl Archive for LedgerReader {
    /// A ledger that cannot be read is taken to have the job: counting it late changes no sum.
    fn has(&self, id: JobId) -> bool {
        self.published(id.0).is_ok_and(|found| found.is_none()).not()
    }

    fn read(&self, id: JobId) -> Option<Published> {
        self.published(id.0).unwrap_or_else(|error| {
            tracing::error!(job = %id, %error, "a job cannot be revised: what it added cannot be read");
            None
        })
    }

    fn is_ledger(&self) -> bool {
        true
    }
}
