//! Bringing a new core to where the last process was, before anything listens.
//!
//! The first turn is not part of it: what became due while no process ran, and all that is open, is looked at
//! when spans are taken already, in parts ([`super::thread`]).

use std::path::{Path, PathBuf};

use spantally_stitch::{Stitcher, UnixNanos};
use spantally_store::{Journal, Ledger, Seq};

use super::bound_history::{BoundHistory, Bounds};
use super::checkpoint::BOUNDS_META;
use super::{Core, CoreRestoreError, OUTAGE_MS, Settled, shard_of};
use crate::commit::{self, CommitMessage, ReplayError};

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
            core.use_bounds_of(message.seq);
            core.apply(message);
        }
    })?;
    if old {
        core.finish_rehydration();
    }
    core.use_own_bounds();
    Ok(())
}

impl Core {
    /// Takes a group again that the ledger includes already, after a restart: its evidence goes back into
    /// memory, and nothing is counted. Groups come in the order of the journal, before any that is new.
    pub fn rehydrate(&mut self, message: CommitMessage) {
        let numbers = || self.shards.iter().map(Stitcher::next_number).collect();
        self.turns.mark_before(Some(message.seq), numbers);
        self.use_bounds_of(message.seq);
        let arrival = self.turns.arrival(message.seq);
        self.shards.iter_mut().for_each(|shard| shard.set_time(arrival));
        for evidence in message.batches.into_iter().flat_map(|batch| batch.evidence) {
            let shard = shard_of(&evidence.client.tenant, self.shards.len());
            self.shards[shard].observe(evidence);
        }
    }

    /// All groups that the ledger includes are rehydrated: what had been forgotten is forgotten again, and
    /// what had been published is found again, before anything new comes.
    pub fn finish_rehydration(&mut self) {
        let numbers = || self.shards.iter().map(Stitcher::next_number).collect();
        self.turns.mark_before(None, numbers);
        for shard in &mut self.shards {
            shard.set_time(self.now);
            // The last turn may have been cut between two parts; the one before was not, and no two are
            // further apart without an outage.
            shard.forget_old(self.now.minus_ms(OUTAGE_MS), self.waited_ms);
            shard.recall();
        }
    }

    /// What a row of the journal brought is taken as it was by the process that took it first, also if that
    /// did not live to say so in the ledger: the page that it showed had counted it.
    pub(super) fn use_bounds_of(&mut self, seq: Seq) {
        if let Some(bounds) = self.bounds.at(seq.0) {
            bounds.set(&mut self.shards);
        }
    }

    /// From the next row on the bounds of the configuration hold. Of a ledger that tells none they always
    /// did.
    fn use_own_bounds(&mut self) {
        let own = Bounds::of(&self.stitching);
        own.set(&mut self.shards);
        let before = self.bounds.clone();
        let first = if before == BoundHistory::default() { 0 } else { self.applied.0 + 1 };
        self.bounds.note(first, own);
        if self.bounds != before {
            self.unsaved_history.push((BOUNDS_META, self.bounds.to_text()));
        }
    }

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
