//! Commit: a batch is on disk before its sender is told so.
//!
//! One thread owns the journal. Receivers put batches into a bounded queue ([`CommitHandle`]) and wait for
//! their answer; the thread takes whatever waits as one group, writes it as one row with one flush
//! ([`crate::record`] makes the bytes), answers every sender, and hands the group to the core with the
//! row's position. While the flush of one group runs the next one gathers, so under load groups grow by
//! themselves and an idle server adds no delay.
//!
//! **The order, and why.** *Append, acknowledge, hand over.* Success means durable and nothing else: once
//! the row is on disk the batch will be applied, now or after a restart, so nobody has to wait for the
//! core. When the core falls behind, the hand-over blocks, the queue fills, and senders are refused: that
//! is the only back-pressure there is.
//!
//! **Shares.** A service may have as much in the queue as is still free in it ([`shares`]), so that one that
//! storms leaves room for the others.
//!
//! **Refusals.** A full queue refuses at once ([`Refusal::Overloaded`]). A failed append refuses the whole
//! group ([`Refusal::Storage`]) and the thread goes on: the next group tries the disk anew, and when none
//! comes the thread tries an empty one, so service returns by itself when space does. The senders send again;
//! what was on disk after all is told apart by span identity.
//!
//! **Giving room back.** When a checkpoint is durable the core calls [`CommitHandle::drop_to`] with the
//! position up to which nothing is needed any more; the thread drops the journal up to there, one slice
//! after each group and all of it when idle.
//!
//! **Start and end.** [`replay`] gives the core what it has not applied, before the thread starts.
//! [`Committer::stop`] refuses what is new, commits what waits, and gives the journal back.
//!
//! Next in the flow: [`crate::core`], which applies each [`CommitMessage`].

mod shares;
mod stats;
#[cfg(test)]
mod tests;
mod worker;

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::task::{Context, Poll, ready};
use std::thread::JoinHandle;

use spantally_store::{Journal, JournalSync, Seq, StoreError};
use tokio::sync::oneshot;

use crate::batch::{Batch, Refusal};
use crate::record::{self, RecordError};
use shares::{Held, Share, Shares};
pub use stats::{APPEND_SECONDS_BOUNDS, CommitStats, Histogram};

/// One group of batches that is on disk: what the core applies.
#[derive(Clone, Debug, PartialEq)]
pub struct CommitMessage {
    /// Its position in the journal.
    pub seq: Seq,
    /// Its batches, in the order in which they were taken.
    pub batches: Vec<Batch>,
}

/// Limits of the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitOptions {
    /// Batches that may wait; one more is refused.
    pub queue_batches: usize,
    /// Spans worth keeping that may wait, over all batches; past it a batch is refused unless it is alone.
    pub queue_spans: u64,
    /// Batches in one group.
    pub group_batches: usize,
    /// Spans worth keeping in one group: at 60 to 100 bytes each, about 1 MiB by default. A larger batch is
    /// a group alone.
    pub group_spans: usize,
    /// How long a group may wait for company, in milliseconds. 0 is best unless a flush is so dear that
    /// fewer are worth the delay.
    pub max_group_delay_ms: u64,
    /// What a refused sender is told to wait, in milliseconds.
    pub retry_after_ms: u64,
    /// How often a relaxed journal is synced, in milliseconds.
    pub sync_interval_ms: u64,
    /// While the journal cannot be written and nobody sends, it is tried this often, in milliseconds.
    pub probe_interval_ms: u64,
}

impl Default for CommitOptions {
    fn default() -> Self {
        Self {
            queue_batches: 1024,
            queue_spans: 262_144,
            group_batches: 256,
            group_spans: 8192,
            max_group_delay_ms: 0,
            retry_after_ms: 1000,
            sync_interval_ms: 200,
            probe_interval_ms: 1000,
        }
    }
}

/// The thread that owns the journal, for the one who stops it.
#[derive(Debug)]
pub struct Committer {
    handle: CommitHandle,
    thread: JoinHandle<Box<dyn Journal>>,
}

impl Committer {
    /// Starts the thread. What the journal holds past the ledger must have been given to the core by
    /// [`replay`] already.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(
        journal: Box<dyn Journal>,
        options: CommitOptions,
        core: SyncSender<CommitMessage>,
    ) -> std::io::Result<Self> {
        Self::start_with(journal, None, &[], options, core)
    }

    /// The same for a relaxed journal, which has somebody else sync what it took, and for spans with extra
    /// labels of these names.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start_with(
        journal: Box<dyn Journal>,
        syncer: Option<JournalSync>,
        labels: &[Arc<str>],
        options: CommitOptions,
        core: SyncSender<CommitMessage>,
    ) -> std::io::Result<Self> {
        let (queue, commands) = sync_channel(options.queue_batches);
        let handle = CommitHandle {
            queue,
            shared: Arc::new(Shared {
                options,
                labels: labels.into(),
                stats: CommitStats::default(),
                unneeded: AtomicU64::new(0),
                stopping: AtomicBool::new(false),
                held_back: AtomicBool::new(false),
                shares: Shares::default(),
            }),
        };
        let worker = worker::Worker::new(journal, syncer, handle.shared.clone(), commands, core);
        let thread = std::thread::Builder::new().name("commit".to_owned()).spawn(move || worker.run())?;
        Ok(Self { handle, thread })
    }

    /// A handle to give to receivers and the core.
    pub fn handle(&self) -> CommitHandle {
        self.handle.clone()
    }

    /// Refuses new batches, commits and hands over those that wait, ends the thread and gives the journal
    /// back. The core's channel is closed by then. Blocks meanwhile; the core must still take what comes.
    ///
    /// # Errors
    /// When the thread has panicked.
    pub fn stop(self) -> std::thread::Result<Box<dyn Journal>> {
        self.handle.shared.stopping.store(true, Ordering::Release);
        // It fails only when the thread has ended already, which is what is wanted.
        let _ = self.handle.queue.send(Command::Stop);
        self.thread.join()
    }
}

/// What the handles and the thread share.
#[derive(Debug)]
struct Shared {
    options: CommitOptions,
    /// Names of the extra labels.
    labels: Box<[Arc<str>]>,
    stats: CommitStats,
    /// The journal up to here may be dropped.
    unneeded: AtomicU64,
    stopping: AtomicBool,
    /// The core has no room for more spans.
    held_back: AtomicBool,
    shares: Shares,
}

/// What the thread is asked for.
#[derive(Debug)]
enum Command {
    Commit(Pending),
    /// `Shared::unneeded` has moved.
    Drop,
    Stop,
}

/// A batch whose sender waits.
#[derive(Debug)]
struct Pending {
    batch: Batch,
    answer: oneshot::Sender<Result<(), Refusal>>,
    /// Given back when the sender has its answer.
    share: Share,
}

/// Commits batches; cheap to clone.
#[derive(Clone, Debug)]
pub struct CommitHandle {
    queue: SyncSender<Command>,
    shared: Arc<Shared>,
}

impl CommitHandle {
    /// Commits a batch: `Ok` once it is durable.
    ///
    /// # Errors
    /// A [`Refusal`]: nothing was taken, the sender is to send again.
    pub async fn commit(&self, batch: Batch) -> Result<(), Refusal> {
        self.try_enqueue(batch)?.await
    }

    /// Puts a batch into the queue without waiting; the answer comes through the [`Acknowledgement`].
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] when the queue or the core is full, [`Refusal::Stopping`] when the server is.
    pub(crate) fn try_enqueue(&self, batch: Batch) -> Result<Acknowledgement, Refusal> {
        let Shared { options, stats, stopping, held_back, shares, .. } = &*self.shared;
        if stopping.load(Ordering::Acquire) {
            stats.refused_stopping.fetch_add(1, Ordering::Relaxed);
            return Err(Refusal::Stopping);
        }
        let spans = batch.evidence.len() as u64;
        if spans > 0 && held_back.load(Ordering::Relaxed) {
            stats.refused_full.fetch_add(1, Ordering::Relaxed);
            return Err(Refusal::Overloaded { retry_after_ms: options.retry_after_ms });
        }
        let waiting = stats.queued_spans.fetch_add(spans, Ordering::Relaxed);
        let (answer, receiver) = oneshot::channel();
        let free = Held {
            spans: options.queue_spans.saturating_sub(waiting),
            batches: (options.queue_batches as u64)
                .saturating_sub(stats.queued_batches.load(Ordering::Relaxed)),
        };
        let share = shares.take(&batch, free);
        let sent = if let Some(share) = share.filter(|_| waiting == 0 || spans <= free.spans) {
            stats.queued_batches.fetch_add(1, Ordering::Relaxed);
            self.queue.try_send(Command::Commit(Pending { batch, answer, share })).map_err(|error| {
                stats.queued_batches.fetch_sub(1, Ordering::Relaxed);
                match error {
                    TrySendError::Full(_) => self.overloaded(),
                    TrySendError::Disconnected(_) => self.stopped(),
                }
            })
        } else {
            Err(self.overloaded())
        };
        if sent.is_err() {
            stats.queued_spans.fetch_sub(spans, Ordering::Relaxed);
        }
        sent.map(|()| Acknowledgement { receiver, shared: self.shared.clone() })
    }

    /// Says that a checkpoint is durable with which nothing up to a position is needed any more: the journal
    /// up to there may go.
    pub fn drop_to(&self, seq: Seq) {
        self.shared.unneeded.fetch_max(seq.0, Ordering::AcqRel);
        // A full queue wakes the thread as well, and a thread that has ended has nothing to drop.
        let _ = self.queue.try_send(Command::Drop);
    }

    /// Limits of the commit.
    pub fn options(&self) -> &CommitOptions {
        &self.shared.options
    }

    /// Counters of the commit, for the exporter.
    pub(crate) fn stats(&self) -> &CommitStats {
        &self.shared.stats
    }

    /// From now on batches with spans are refused, or are taken again: for the core, while it can give
    /// nothing up.
    pub(crate) fn hold_back(&self, is_full: bool) {
        self.shared.held_back.store(is_full, Ordering::Relaxed);
    }

    fn overloaded(&self) -> Refusal {
        self.shared.stats.refused_overloaded.fetch_add(1, Ordering::Relaxed);
        Refusal::Overloaded { retry_after_ms: self.shared.options.retry_after_ms }
    }

    fn stopped(&self) -> Refusal {
        self.shared.stats.refused_stopping.fetch_add(1, Ordering::Relaxed);
        Refusal::Stopping
    }
}

/// The answer to one batch, to be awaited; `Ok` once the batch is durable.
#[derive(Debug)]
pub struct Acknowledgement {
    receiver: oneshot::Receiver<Result<(), Refusal>>,
    shared: Arc<Shared>,
}

impl Future for Acknowledgement {
    type Output = Result<(), Refusal>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.receiver).poll(context));
        // No answer: the thread ended with the batch still in the queue, so it was not written.
        Poll::Ready(answer.unwrap_or_else(|_| {
            self.shared.stats.refused_stopping.fetch_add(1, Ordering::Relaxed);
            Err(Refusal::Stopping)
        }))
    }
}

/// Groups that are read before the core takes them: of 8192 spans, a megabyte, as a rule.
const READ_AHEAD: usize = 16;

/// Why what the journal holds cannot be given to the core.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The journal cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row has other bytes than this version reads.
    #[error("journal row {seq}: {source}")]
    Record {
        /// Its position.
        seq: Seq,
        /// What is wrong.
        source: RecordError,
    },
    /// There is no thread to read it.
    #[error("cannot start a thread that reads the journal: {0}")]
    Thread(std::io::Error),
}

/// Gives every group after a position to the core, in order; the position of the last one. A second thread
/// reads ahead: to read a group takes about as long as to apply it. Values of extra labels come in the order
/// of `labels`, whatever it was when they were written.
///
/// # Errors
/// At the first row that cannot be read: to go on without it would lose what was acknowledged.
pub fn replay(
    journal: &mut dyn Journal,
    after: Seq,
    labels: &[Arc<str>],
    mut visit: impl FnMut(CommitMessage),
) -> Result<Seq, ReplayError> {
    let mut last = after;
    std::thread::scope(|scope| {
        let (sender, messages) = sync_channel(READ_AHEAD);
        let reader = std::thread::Builder::new().name("replay".to_owned());
        let reader = reader.spawn_scoped(scope, move || read(journal, after, labels, &sender));
        let reader = reader.map_err(ReplayError::Thread)?;
        for message in messages {
            last = message.seq;
            visit(message);
        }
        reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    Ok(last)
}

/// Reads groups for who applies them meanwhile.
fn read(
    journal: &mut dyn Journal,
    after: Seq,
    labels: &[Arc<str>],
    sender: &SyncSender<CommitMessage>,
) -> Result<(), ReplayError> {
    let mut unreadable = None;
    journal.replay(after, &mut |seq, bytes| match record::decode_labelled(bytes, labels) {
        Ok(batches) => match sender.send(CommitMessage { seq, batches }) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        },
        Err(source) => {
            unreadable = Some(ReplayError::Record { seq, source });
            ControlFlow::Break(())
        }
    })?;
    unreadable.map_or(Ok(()), Err)
}
