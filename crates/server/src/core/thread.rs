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
//! # Questions
//! [`CoreHandle`] locks the core for as long as an answer takes; for a page of metrics, only while what
//! changed since the last one is copied ([`Pages`]). An async caller should ask from a blocking thread.
//!
//! # When the ledger cannot be written
//! The checkpoint is kept and tried again each turn; until it succeeds time stands still for the core, which
//! goes on to apply groups. Nothing is lost, because the journal is only dropped behind a checkpoint that is
//! durable. [`CoreStatus::failure`] says what is wrong. (Only then does the page show what is not in the
//! ledger.)
//!
//! # Start and end
//! [`recover`](super::recover) brings a new core to where the last process was, before anything listens. What
//! became due since, and all that is open, is looked at in the first turns, while spans are taken already;
//! who asks waits for that ([`CoreHandle::first_look`]). The thread ends when the commit has ended and
//! everything is applied, with a last turn.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use spantally_price::Cards;
use spantally_stitch::{JobId, UnixNanos};
use spantally_store::{Checkpoint, JournalSync, Ledger, Seq};
use tokio::sync::watch;

use super::options::TurnOptions;
use super::refresh::{Pace, Refresh};
use super::removal::Removal;
use super::server_metrics::ServerMetrics;
use super::spacing::Spacing;
use super::{Core, JobView, OpenJob, Settled};
use crate::commit::{CommitHandle, CommitMessage};
use crate::export::process::process_metrics;
use crate::export::{Format, Page, Pages, Registry};

/// Who is told which jobs were published. After a crash jobs may be told again.
pub type Listener = Box<dyn FnMut(&[Settled]) + Send>;

/// How far the core is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoreStatus {
    /// The last group that was applied.
    pub applied: Seq,
    /// The last group that the ledger includes.
    pub checkpointed: Seq,
    /// Why the ledger cannot be written, while it cannot.
    pub failure: Option<String>,
    /// Jobs that are open, as of the last time they were counted.
    pub open_jobs: usize,
}

#[derive(Debug)]
struct Shared {
    core: Mutex<Locked>,
    /// Locked before the core, so that no page shows less than one before it.
    pages: Mutex<Pages>,
    commit: CommitHandle,
    /// Whether the first turns are over.
    looked: watch::Sender<bool>,
}

#[derive(Debug)]
struct Locked {
    core: Core,
    metrics: ServerMetrics,
    checkpointed: Seq,
    failure: Option<String>,
}

/// Asks the core; cheap to clone.
#[derive(Clone, Debug)]
pub struct CoreHandle {
    shared: Arc<Shared>,
}

impl CoreHandle {
    /// The page of metrics.
    pub fn metrics_page(&self, format: Format) -> Page {
        self.metrics_page_with(format, |_, _| ())
    }

    /// The page of metrics, with the series of another part of the server: `show` is told when the process
    /// started.
    pub(crate) fn metrics_page_with(
        &self,
        format: Format,
        show: impl FnOnce(&mut Registry, UnixNanos),
    ) -> Page {
        let process = process_metrics();
        let mut pages = self.shared.pages.lock();
        let mut locked = self.shared.core.lock();
        let Locked { core, metrics, checkpointed, failure } = &mut *locked;
        let applied = core.applied();
        metrics.positions(core.registry_mut(), applied, *checkpointed, failure.is_some());
        metrics.commit(core.registry_mut(), self.shared.commit.stats());
        core.show_limits(metrics.created(), &self.shared.commit);
        show(core.registry_mut(), metrics.created());
        pages.look(core.registry_mut());
        drop(locked);
        pages.write(format, &process)
    }

    /// Waits until what the last process left was looked at. Before that no gauge of what is open is known,
    /// and what settled while no process ran is not told.
    pub async fn first_look(&self) {
        // An error says that the thread has ended: there is nothing to wait for.
        drop(self.shared.looked.subscribe().wait_for(|looked| *looked).await);
    }

    /// The jobs that were open at the last look, with what they would cost.
    pub fn open_jobs(&self, wanted: impl Fn(&OpenJob) -> bool) -> Vec<OpenJob> {
        self.shared.core.lock().core.open_jobs().iter().filter(|open| wanted(open)).cloned().collect()
    }

    /// A job that is still in memory, open or settled; of older ones the ledger knows.
    pub fn job(&self, id: JobId) -> Option<JobView> {
        self.shared.core.lock().core.job(id)
    }

    /// Prices from now on by other cards: what settles next, and what is revised.
    pub fn set_cards(&self, cards: Arc<Cards>) {
        self.shared.core.lock().core.set_cards(cards);
    }

    /// Whether spans can be made durable.
    pub fn takes_spans(&self) -> bool {
        !self.shared.commit.stats().storage_failing.load(Ordering::Relaxed)
    }

    /// How far the core is, and whether it is well.
    pub fn status(&self) -> CoreStatus {
        let locked = self.shared.core.lock();
        CoreStatus {
            applied: locked.core.applied(),
            checkpointed: locked.checkpointed,
            failure: locked.failure.clone(),
            open_jobs: locked.core.open_count(),
        }
    }

    /// Reads the core, for what the other questions do not cover (a live summary reads the registry).
    pub fn read<R>(&self, read: impl FnOnce(&Core) -> R) -> R {
        read(&self.shared.core.lock().core)
    }
}

/// The thread, for the one who ends it.
#[derive(Debug)]
pub struct CoreThread {
    handle: CoreHandle,
    thread: JoinHandle<Ledger>,
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
        let locked = Locked { core, metrics, checkpointed, failure: None };
        let pace = Pace::new((options.clock.instant)(), options.refresh_share, locked.core.applied_spans());
        let (core, pages) = (Mutex::new(locked), Mutex::new(Pages::new()));
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
    /// When the thread has panicked.
    pub fn join(self) -> std::thread::Result<Ledger> {
        self.thread.join()
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
}

impl Driver {
    fn run(mut self) -> Ledger {
        let instant = self.options.clock.instant;
        // Two, so that what settles and is past the retention goes, however often the process begins anew.
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
                    return self.ledger;
                }
            }
            let began = instant();
            if began >= spacing.due_at() {
                spacing.note(began, self.turn());
                self.removal.turn(&mut self.shared.core.lock().core, &mut self.ledger);
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
            locked.core.heed_limits(&self.shared.commit, now);
            locked.core.resume(now);
        }
        let (settled, more) = locked.core.advance_some(now, self.options.jobs_per_part);
        if let Some(listener) = &mut self.listener
            && !settled.is_empty()
        {
            listener(&settled);
        }
        if !more && self.pace.is_due((self.options.clock.instant)(), locked.core.applied_spans()) {
            self.refreshing = Some(Default::default());
            self.refresh(&mut locked.core);
        }
        let checkpoint = locked.core.checkpoint();
        self.write(&mut locked, checkpoint) && more
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
        // The ledger must not include what a loss of power could take from the journal.
        let synced = self.syncer.as_ref().map_or(Ok(()), JournalSync::sync);
        let written = synced.and_then(|()| self.ledger.checkpoint(&checkpoint));
        let took = instant().saturating_duration_since(started);
        locked.metrics.checkpoint(locked.core.registry_mut(), took, written.is_ok());
        match written {
            Ok(()) => {
                if locked.failure.take().is_some() {
                    tracing::info!(applied = %checkpoint.applied, "the ledger can be written again");
                }
                locked.checkpointed = checkpoint.applied;
                self.shared.commit.applied(checkpoint.done);
                true
            }
            Err(error) => {
                if locked.failure.is_none() {
                    tracing::error!(%error, "the ledger cannot be written; it is tried again every turn");
                }
                locked.metrics.ledger_failed(locked.core.registry_mut(), error.fault());
                locked.failure = Some(error.to_string());
                self.pending = Some(checkpoint);
                false
            }
        }
    }
}
