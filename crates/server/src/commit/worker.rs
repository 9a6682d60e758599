//! The thread that owns the journal: [`super`] says why there is one, and what it promises.
//!
//! # A round
//! It takes a command, gathers a group of the batches that wait, commits the group, and gives back one slice
//! of the journal. With no command it goes on giving back until nothing is left, then sleeps: for as long as
//! nobody sends, or until a relaxed journal is to be synced.
//!
//! # When the journal cannot be written
//! Each group is refused and the next one tried. When none comes an empty one is tried now and then, so that
//! the server is ready again without anybody's help.
//!
//! # The end
//! Told to stop, it commits what waits in the queue and syncs. When the core has ended by itself, it takes
//! nothing more: what is on disk is applied at the next start.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::time::{Duration, Instant};

use spantally_store::{Dropped, Journal, JournalSync, Seq, StoreError};
use tokio::sync::oneshot;

use super::shares::Share;
use super::{Command, CommitMessage, Pending, Shared};
use crate::batch::{Batch, Refusal};
use crate::{clock, record};

/// An encoding buffer above this is given back after the group that needed it.
const KEPT_BUFFER_BYTES: usize = 4 << 20;

pub(super) struct Worker {
    journal: Box<dyn Journal>,
    shared: Arc<Shared>,
    commands: Receiver<Command>,
    core: SyncSender<CommitMessage>,
    /// The group that gathers.
    batches: Vec<Batch>,
    answers: Vec<(oneshot::Sender<Result<(), Refusal>>, Share)>,
    spans: usize,
    bytes: Vec<u8>,
    /// There may be something to drop.
    dropping: bool,
    stopping: bool,
    /// Of a relaxed journal.
    syncer: Option<JournalSync>,
    /// When the first append came that is not synced.
    unsynced: Option<Instant>,
}

impl Worker {
    pub(super) fn new(
        journal: Box<dyn Journal>,
        syncer: Option<JournalSync>,
        shared: Arc<Shared>,
        commands: Receiver<Command>,
        core: SyncSender<CommitMessage>,
    ) -> Self {
        shared.stats.journal(&*journal);
        Self {
            journal,
            shared,
            commands,
            core,
            batches: Vec::new(),
            answers: Vec::new(),
            spans: 0,
            bytes: Vec::new(),
            dropping: false,
            stopping: false,
            syncer,
            unsynced: None,
        }
    }

    /// Until it is told to stop and has committed what then waits.
    pub(super) fn run(mut self) -> Box<dyn Journal> {
        while let Some(command) = self.next() {
            self.take(command);
            self.gather();
            if !self.batches.is_empty() {
                self.commit();
                self.drop_unneeded();
            }
            self.sync_if_due();
        }
        self.sync();
        self.journal
    }

    /// The next command; none when it is time to end. With nothing to do it drops what is not needed,
    /// then sleeps.
    fn next(&mut self) -> Option<Command> {
        loop {
            match self.commands.try_recv() {
                Ok(command) => return Some(command),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) if self.stopping => return None,
                Err(TryRecvError::Empty) if self.dropping => self.drop_unneeded(),
                Err(TryRecvError::Empty) => match self.commands.recv_timeout(self.patience()) {
                    Ok(command) => return Some(command),
                    Err(RecvTimeoutError::Disconnected) => return None,
                    Err(RecvTimeoutError::Timeout) => self.idle(),
                },
            }
        }
    }

    /// How long there is nothing to do but to wait.
    fn patience(&self) -> Duration {
        let options = &self.shared.options;
        if self.shared.stats.storage_failing.load(Ordering::Relaxed) {
            return Duration::from_millis(options.probe_interval_ms);
        }
        let interval = Duration::from_millis(options.sync_interval_ms);
        self.unsynced.map_or(Duration::from_hours(1), |since| {
            interval.saturating_sub(clock::instant().saturating_duration_since(since))
        })
    }

    /// Nobody sent anything for a while.
    fn idle(&mut self) {
        if self.shared.stats.storage_failing.load(Ordering::Relaxed) {
            // An empty group: service returns also when nobody dares to send.
            self.commit();
        }
        self.sync_if_due();
    }

    fn sync_if_due(&mut self) {
        let interval = Duration::from_millis(self.shared.options.sync_interval_ms);
        let is_due = |since| clock::instant().saturating_duration_since(since) >= interval;
        if self.unsynced.is_some_and(is_due) || self.syncer.as_ref().is_some_and(JournalSync::has_failed) {
            self.sync();
        }
    }

    /// Brings what a relaxed journal took to the disk. When that fails, here or when the core does it,
    /// nothing more is taken until the journal has written all of it again, with the next append.
    fn sync(&mut self) {
        let Some(syncer) = &self.syncer else { return };
        if self.unsynced.is_none() && !syncer.has_failed() {
            return;
        }
        match syncer.sync() {
            Ok(()) => self.unsynced = None,
            Err(error) => self.failed(&error),
        }
    }

    /// Counts a failure, and says it once.
    fn failed(&self, error: &StoreError) {
        let stats = &self.shared.stats;
        stats.fault(error.fault());
        if !stats.storage_failing.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the journal cannot be written: batches are refused");
        }
    }

    /// Appends. After a sync that failed the journal first writes again what that concerned.
    fn append(&mut self) -> Result<Seq, StoreError> {
        let seq = self.journal.append(&self.bytes)?;
        if self.syncer.is_some() {
            self.unsynced.get_or_insert_with(clock::instant);
        }
        Ok(seq)
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Commit(Pending { batch, answer, share }) => {
                self.spans += batch.evidence.len();
                self.batches.push(batch);
                self.answers.push((answer, share));
            }
            Command::Drop => self.dropping = true,
            Command::Stop => self.stopping = true,
        }
    }

    /// Fills the group with what waits, and for as long as the configuration lets it wait.
    fn gather(&mut self) {
        let options = self.shared.options;
        let patience = Duration::from_millis(options.max_group_delay_ms);
        let started = clock::instant();
        while !self.batches.is_empty()
            && self.batches.len() < options.group_batches
            && self.spans < options.group_spans
        {
            let command = match self.commands.try_recv() {
                Ok(command) => command,
                Err(_) if patience.is_zero() || self.stopping => return,
                Err(_) => {
                    let waited = clock::instant().saturating_duration_since(started);
                    match self.commands.recv_timeout(patience.saturating_sub(waited)) {
                        Ok(command) => command,
                        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
                    }
                }
            };
            self.take(command);
        }
    }

    /// Append, acknowledge, hand over.
    fn commit(&mut self) {
        let batches = std::mem::take(&mut self.batches);
        let spans = std::mem::take(&mut self.spans) as u64;
        record::encode_labelled(&batches, &self.shared.labels, &mut self.bytes);
        let started = clock::instant();
        let appended = self.append();
        let took = clock::instant().saturating_duration_since(started);

        let stats = &self.shared.stats;
        let count = batches.len() as u64;
        stats.queued_batches.fetch_sub(count, Ordering::Relaxed);
        stats.queued_spans.fetch_sub(spans, Ordering::Relaxed);
        match appended {
            Ok(seq) => {
                let failing = stats.storage_failing.swap(false, Ordering::Relaxed);
                stats.append_seconds.observe(took);
                stats.groups.fetch_add(1, Ordering::Relaxed);
                stats.batches.fetch_add(count, Ordering::Relaxed);
                stats.spans.fetch_add(spans, Ordering::Relaxed);
                stats.bytes.fetch_add(self.bytes.len() as u64, Ordering::Relaxed);
                stats.last_seq.store(seq.0, Ordering::Relaxed);
                stats.journal(&*self.journal);
                if failing {
                    tracing::info!(%seq, "the journal can be written again");
                }
                self.answer(&Ok(()));
                self.hand_over(CommitMessage { seq, batches });
            }
            Err(error) => {
                stats.refused_storage.fetch_add(count, Ordering::Relaxed);
                self.failed(&error);
                self.answer(&Err(Refusal::Storage { detail: error.to_string() }));
            }
        }
        if self.bytes.capacity() > KEPT_BUFFER_BYTES {
            self.bytes = Vec::new();
        }
    }

    /// A sender that has gone away meanwhile does not need its answer.
    fn answer(&mut self, answer: &Result<(), Refusal>) {
        for (sender, _share) in self.answers.drain(..) {
            let _ = sender.send(answer.clone());
        }
    }

    fn hand_over(&mut self, message: CommitMessage) {
        if self.core.send(message).is_err() && !self.stopping {
            // What is on disk is applied at the next start; taking more would only fill the disk.
            tracing::error!("the core has ended; no more batches are taken");
            self.shared.stopping.store(true, Ordering::Release);
            self.stopping = true;
        }
    }

    /// Gives back one slice of what the core does not need any more.
    fn drop_unneeded(&mut self) {
        let unneeded = Seq(self.shared.unneeded.load(Ordering::Acquire));
        let stats = &self.shared.stats;
        match self.journal.drop_to(unneeded) {
            Ok(dropped) => {
                self.dropping = dropped == Dropped::Some;
                stats.journal(&*self.journal);
            }
            Err(error) => {
                // Tried again after the next group or checkpoint.
                self.dropping = false;
                stats.drop_failures.fetch_add(1, Ordering::Relaxed);
                stats.fault(error.fault());
                tracing::warn!(%error, "room in the journal could not be given back; it is tried again");
            }
        }
    }
}
