//! The thread that drives the core: it applies what is committed, makes turns, and answers questions.
//!
//! # A turn
//! Every [`TurnOptions::interval`], or sooner when much is due ([`super::spacing`]): advance, compute the
//! gauges, gather a checkpoint, write it to the ledger, tell the commit how much of its journal is not needed
//! any more. The core stays locked until the file is durable, so that nobody sees what a crash could take
//! back. Groups that are committed meanwhile wait in their channel; senders do not, their answer came from
//! the journal. When many jobs are due a turn has parts, each with a checkpoint of its own, and groups are
//! applied between them: else the channel would fill, and senders would wait for jobs that are not theirs.
//!
//! Questions are answered beside it: [`super::handle`]. So they are while a listener is told what settled,
//! which may wait for a disk; they are answered then by what was before the part.
//!
//! # When the ledger cannot be written
//! The checkpoint is kept and tried again each turn; until it succeeds time stands still for the core, which
//! goes on to apply groups, and has new ones refused when it holds as many spans as it may. Nothing is lost,
//! because the journal is only dropped behind a checkpoint that is durable. Pages and jobs stand still as
//! well: what this checkpoint has is shown when it is written. That the ledger's log cannot be copied into
//! its file is another matter: what was written is durable, so that is counted and told, and tried again by
//! the next checkpoint. That the ledger cannot be read is like that it cannot be written
//! ([`super::waiting`]), but for pages: what was booked before is in the ledger, and shown.
//!
//! # Start and end
//! [`recover`](super::recover) brings a new core to where the last process was, before anything listens. What
//! became due since, and all that is open, is looked at in the first turns, while spans are taken already;
//! who asks waits for that ([`CoreHandle::first_look`]). The thread ends when the commit has ended and
//! everything is applied, with a last turn; if that cannot be written, [`CoreThread::join`] says so.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use spantally_stitch::UnixNanos;
use spantally_store::{Checkpoint, JournalSync, Ledger, Seq};
use tokio::sync::watch;

use super::handle::{CoreHandle, Locked, Shared, Unwritten};
use super::options::TurnOptions;
use super::refresh::{Pace, Refresh};
use super::removal::Removal;
use super::server_metrics::ServerMetrics;
use super::spacing::Spacing;
use super::{Core, Settled};
use crate::commit::{CommitHandle, CommitMessage};
use crate::export::Pages;
use crate::job_json::Rfc3339;

/// Who is told which jobs were published. After a crash jobs may be told again.
pub type Listener = Box<dyn FnMut(&[Settled]) + Send>;

/// What is durable is copied for pages no more often than this, since it costs what a scrape costs.
const COPY_EVERY: Duration = Duration::from_secs(2);

/// Clocks are set back by less than this in ordinary life.
const CLOCK_BACK_MS: u64 = 60_000;

/// Why the thread did not end well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoreEndError {
    /// It panicked.
    #[error("the core: its thread panicked; the log says where")]
    Panicked,
    /// The last checkpoint could not be written.
    #[error(
        "stopped without the last checkpoint: {reason}; what was acknowledged is in the journal, and the next \
             start takes it from there, if the data directory is in its place"
    )]
    Unwritten {
        /// What the ledger said.
        reason: String,
    },
    /// What was told of jobs could not be booked, since the ledger could not be asked about them.
    #[error(
        "stopped while the ledger cannot be read, so that changes of jobs wait ({changes}): {reason}; nothing is \
         lost: the spans that they follow from are in the journal, and the next start books them"
    )]
    Unread {
        /// How many wait.
        changes: usize,
        /// What the ledger said.
        reason: String,
    },
}

/// The thread, for the one who ends it.
#[derive(Debug)]
pub struct CoreThread {
    handle: CoreHandle,
    thread: JoinHandle<Result<Ledger, CoreEndError>>,
}

impl CoreThread {
    /// Starts the thread on a core that was [`recover`](super::recover)ed. A listener is told, before they
    /// are written, the jobs of each turn.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(
        mut core: Core,
        ledger: Ledger,
        messages: Receiver<CommitMessage>,
        commit: CommitHandle,
        options: TurnOptions,
        listener: Option<Listener>,
    ) -> std::io::Result<Self> {
        let removal = Removal::new(options.retention, &mut core, &ledger);
        let metrics = ServerMetrics::new(core.registry_mut(), (options.clock.now)());
        let checkpointed = ledger.applied();
        // What was taken back is durable.
        let mut pages = Pages::new();
        pages.look(core.registry_mut());
        let locked = Locked { core, metrics, checkpointed, unwritten: None, telling: HashSet::new() };
        let copied = (options.clock.instant)();
        let pace = Pace::new(copied, options.refresh_share, locked.core.applied_spans());
        let (core, pages) = (Mutex::new(locked), Mutex::new(pages));
        let shared = Arc::new(Shared { core, pages, commit, looked: watch::Sender::new(false) });
        let handle = CoreHandle { shared: Arc::clone(&shared) };
        let driver = Driver {
            shared,
            ledger,
            syncer: options.syncer.clone(),
            messages,
            pace,
            options,
            listener,
            pending: None,
            refreshing: None,
            removal,
            copied,
            copy_fails: false,
            reading_fails: false,
            clock_is_behind: false,
        };
        let thread = std::thread::Builder::new().name("core".to_owned()).spawn(move || driver.run())?;
        Ok(Self { handle, thread })
    }

    /// A handle to give to those who ask.
    pub fn handle(&self) -> CoreHandle {
        self.handle.clone()
    }

    /// Waits for the thread, which ends with a last turn once the commit has ended, and gives the ledger
    /// back.
    ///
    /// # Errors
    /// When the thread has panicked, or its last turn could not be written or booked.
    pub fn join(self) -> Result<Ledger, CoreEndError> {
        self.thread.join().unwrap_or(Err(CoreEndError::Panicked))
    }
}

struct Driver {
    shared: Arc<Shared>,
    ledger: Ledger,
    syncer: Option<JournalSync>,
    messages: Receiver<CommitMessage>,
    options: TurnOptions,
    listener: Option<Listener>,
    /// A checkpoint that could not be written yet.
    pending: Option<Checkpoint>,
    pace: Pace,
    /// A look at all open jobs that is under way, and how long it took so far.
    refreshing: Option<(Refresh, Duration)>,
    removal: Removal,
    /// When the registry was last copied for pages.
    copied: Instant,
    /// Whether the ledger's log could not be copied into its file last time.
    copy_fails: bool,
    /// Whether the ledger could not be read last time.
    reading_fails: bool,
    /// Whether the clock was behind the last turn's time.
    clock_is_behind: bool,
}

impl Driver {
    fn run(mut self) -> Result<Ledger, CoreEndError> {
        let instant = self.options.clock.instant;
        // Two turns, so that jobs which settle now but are already past retention are also forgotten, however
        // often the process restarts.
        self.turn();
        self.turn();
        self.shared.looked.send_replace(true);
        let mut spacing = Spacing::new(instant(), self.options.interval);
        loop {
            let patience = spacing.due_at().saturating_duration_since(instant());
            match self.messages.recv_timeout(patience) {
                Ok(message) => self.apply(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.turn();
                    let ended = self.shared.core.lock().ended();
                    return ended.map(|()| self.ledger);
                }
            }
            let began = instant();
            if began >= spacing.due_at() {
                spacing.note(began, self.turn());
                if !self.clock_is_behind {
                    self.removal.turn(&mut self.shared.core.lock().core, &mut self.ledger);
                }
            }
        }
    }

    fn apply(&self, message: CommitMessage) {
        let core = &mut self.shared.core.lock().core;
        core.apply(message);
        for message in self.messages.try_iter().take(self.options.groups_per_lock) {
            core.apply(message);
        }
    }

    /// A turn, in parts. After each part everything is as it is between two turns, so what waits is applied
    /// then, and who asks gets an answer. Says how many parts it had.
    fn turn(&mut self) -> u32 {
        let now = (self.options.clock.now)();
        self.heed_clock(now);
        let mut parts = 1;
        while self.part(now, parts == 1) {
            parts += 1;
            self.apply_waiting();
        }
        // Not when a checkpoint could not be written: it must not be followed by another.
        while self.refreshing.is_some() && self.pending.is_none() {
            self.apply_waiting();
            self.look();
        }
        self.refreshing = None;
        parts
    }

    /// Tells, once, that the clock has gone back by more than clocks are set by.
    fn heed_clock(&mut self, now: UnixNanos) {
        let told = self.shared.core.lock().core.now();
        let is_behind = now.plus_ms(CLOCK_BACK_MS) < told;
        if is_behind && !std::mem::replace(&mut self.clock_is_behind, is_behind) {
            tracing::error!(
                now = %Rfc3339(now), before = %Rfc3339(told),
                "the clock is behind what it was: until it is as late again no job settles by waiting and the \
                 ledger's retention rests; check the clock of this machine"
            );
        }
        self.clock_is_behind = is_behind;
    }

    fn apply_waiting(&self) {
        if let Ok(message) = self.messages.try_recv() {
            self.apply(message);
        }
    }

    /// A part of a turn; whether there is more to tell.
    fn part(&mut self, now: UnixNanos, is_first: bool) -> bool {
        let shared = Arc::clone(&self.shared);
        let mut locked = shared.core.lock();
        if is_first {
            // Time may go on only when what the last turn published is durable.
            if let Some(pending) = self.pending.take()
                && !self.write(&mut locked, pending)
            {
                return false;
            }
            self.copy_for_pages(&mut locked.core);
            locked.core.heed_limits(&self.shared.commit, now);
        }
        locked.core.resume(now);
        let (settled, more) = locked.core.advance_some(now, self.options.jobs_per_part);
        self.heed_reading(&mut locked);
        if let Some(listener) = &mut self.listener
            && !settled.is_empty()
        {
            // A listener may wait for a disk of its own. Whoever asks meanwhile sees the last part.
            locked.telling = settled.iter().map(|settled| settled.job.id.0).collect();
            MutexGuard::unlocked(&mut locked, || listener(&settled));
            locked.telling.clear();
        }
        if !more && self.pace.is_due((self.options.clock.instant)(), locked.core.applied_spans()) {
            self.refreshing = Some(Default::default());
            self.refresh(&mut locked.core);
        }
        let checkpoint = locked.core.checkpoint();
        self.write(&mut locked, checkpoint) && more
    }

    /// All that a page could now show is durable, or in the journal; what follows is not before it is
    /// written. If a scrape holds the lock, it already has this copy.
    fn copy_for_pages(&mut self, core: &mut Core) {
        let now = (self.options.clock.instant)();
        if now.saturating_duration_since(self.copied) >= COPY_EVERY
            && let Some(mut pages) = self.shared.pages.try_lock()
        {
            pages.look(core.registry_mut());
            self.copied = now;
        }
    }

    /// A further part of a look at all open jobs.
    fn look(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut locked = shared.core.lock();
        if !self.refresh(&mut locked.core) {
            let checkpoint = locked.core.checkpoint();
            self.write(&mut locked, checkpoint);
        }
    }

    /// A part of a look at all open jobs, if one is under way; whether there is more of it.
    fn refresh(&mut self, core: &mut Core) -> bool {
        let Some((mut refresh, took)) = self.refreshing.take() else { return false };
        let instant = self.options.clock.instant;
        let started = instant();
        let more = core.refresh_some(&mut refresh, self.options.jobs_per_part);
        let ended = instant();
        let took = took + ended.saturating_duration_since(started);
        if more {
            self.refreshing = Some((refresh, took));
        } else {
            self.pace.note(ended, took, core.applied_spans());
        }
        more
    }

    /// Writes a checkpoint; keeps it for the next turn if that fails.
    fn write(&mut self, locked: &mut Locked, checkpoint: Checkpoint) -> bool {
        let instant = self.options.clock.instant;
        let started = instant();
        // The ledger must not include what a loss of power could take from the journal. Where that cannot be
        // synced the commit wakes, which alone can write it again.
        let wake = |_: &_| self.shared.commit.drop_to(Seq::default());
        let synced = self.syncer.as_ref().map_or(Ok(()), JournalSync::sync).inspect_err(wake);
        let written = synced.and_then(|()| self.ledger.checkpoint(&checkpoint));
        let took = instant().saturating_duration_since(started);
        locked.metrics.checkpoint(locked.core.registry_mut(), took, written.is_ok());
        match written {
            Ok(()) => {
                if locked.unwritten.take().is_some() {
                    tracing::info!(applied = %checkpoint.applied, "the ledger can be written again");
                }
                locked.checkpointed = checkpoint.applied;
                locked.core.keep_look();
                // While what was told waits, no time passes and nothing is forgotten.
                let waits = locked.core.read_failure().is_some();
                self.shared.commit.hold_back(waits && locked.core.is_full());
                self.heed_copy(locked);
                self.shared.commit.drop_to(checkpoint.done);
                true
            }
            Err(error) => {
                if locked.unwritten.is_none() {
                    tracing::error!(%error, "the ledger cannot be written; it is tried again every turn");
                    locked.core.take_look_back();
                }
                locked.metrics.ledger_failed(locked.core.registry_mut(), error.fault());
                let jobs = checkpoint.jobs.iter().map(|job| job.job_id).collect();
                locked.unwritten = Some(Unwritten { reason: error.to_string(), jobs });
                // Time stands still until it is written, so nothing settles and nothing is forgotten.
                self.shared.commit.hold_back(locked.core.is_full());
                self.pending = Some(checkpoint);
                false
            }
        }
    }

    /// Counts, and tells once, that the ledger cannot be read, so that what was told is not booked.
    fn heed_reading(&mut self, locked: &mut Locked) {
        let Some(error) = locked.core.read_failure() else {
            self.reading_fails = false;
            return;
        };
        let fault = error.fault();
        if !std::mem::replace(&mut self.reading_fails, true) {
            tracing::error!(
                %error,
                "the ledger cannot be read, so nothing is booked: some jobs may be in it already; it is tried \
                 again every turn"
            );
        }
        locked.metrics.ledger_failed(locked.core.registry_mut(), fault);
    }

    /// Counts and tells that the log of what was just written could not be copied into the ledger's file.
    fn heed_copy(&mut self, locked: &mut Locked) {
        let Some(error) = self.ledger.take_copy_failure() else {
            self.copy_fails = false;
            return;
        };
        locked.metrics.ledger_failed(locked.core.registry_mut(), error.fault());
        if !std::mem::replace(&mut self.copy_fails, true) {
            tracing::error!(
                %error,
                "the ledger is written, but its log cannot be copied into the file and grows; it is tried \
                 again with every checkpoint"
            );
        }
    }
}
