//! A queue on disk: requests that wait for a destination.
//!
//! It is a journal of the store in a directory of its own, used by one thread. Appends that come together
//! are one row with one flush. How far sending has got is in the file `sent` beside it ([`Progress`]): the
//! next process goes on from there. A row stays, and its bytes count, until it and all before it are sent.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use spantally_store::{Seq, StoreError};
use tokio::sync::{Notify, oneshot};

use super::disk::Disk;
use super::item::Item;
use super::metrics::Counts;
use super::progress::Place;
use super::reopen;
use super::trouble::Trouble;
use crate::clock;

/// Appends that wait for the thread: more than receivers have under way in practice.
pub(super) const ASKS_MAX: usize = 4096;

/// Most bytes of one row.
pub(crate) const ROW_BYTES_MAX: usize = 8 << 20;

/// Rows with items left up to which progress is written whenever there is some; with more it is a large file,
/// and written every [`WRITE_EVERY`].
const ROWS_LEFT_FEW: usize = 1024;
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// What was read to be sent.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) items: Vec<(Place, Item<'static>)>,
    /// Rows that cannot be read.
    pub(super) left_out: u64,
    /// The last row that was read, from which the next load goes on.
    pub(super) to: Seq,
}

enum Ask {
    Append(Arc<[u8]>, oneshot::Sender<bool>),
    Load(Seq, usize, oneshot::Sender<Result<Loaded, StoreError>>),
    Read(Vec<Place>, oneshot::Sender<Result<Vec<(Place, Item<'static>)>, StoreError>>),
    Finish(Vec<Place>),
    Settle(oneshot::Sender<()>),
}

/// A handle on the queue. The thread ends, and the file is closed, with the last of them.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    asks: SyncSender<Ask>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    max_bytes: u64,
    /// Bytes that wait, those that are being appended among them.
    bytes: AtomicU64,
    /// Told when something is appended.
    appended: Notify,
}

impl Shared {
    /// Answers while the files are not open: nothing is taken, and nothing is there to be sent.
    fn refuse(&self, ask: Ask) {
        match ask {
            Ask::Append(row, done) => {
                self.bytes.fetch_sub(row.len() as u64, Ordering::Relaxed);
                let _: Result<(), bool> = done.send(false);
            }
            Ask::Load(to, _, done) => drop(done.send(Ok(Loaded { items: Vec::new(), left_out: 0, to }))),
            Ask::Read(_, done) => drop(done.send(Ok(Vec::new()))),
            Ask::Finish(_) => {}
            Ask::Settle(done) => _ = done.send(()),
        }
    }
}

/// The files, and what was found in them.
struct Found {
    disk: Disk,
    /// The bytes of every row that is not done with those before it.
    rows: VecDeque<u32>,
}

impl Found {
    fn open(directory: &Path, shared: &Shared) -> Result<Self, StoreError> {
        let mut disk = Disk::open(directory, shared.max_bytes)?;
        let rows = disk.row_bytes()?;
        shared.bytes.fetch_add(rows.iter().map(|bytes| u64::from(*bytes)).sum(), Ordering::Relaxed);
        shared.appended.notify_one();
        Ok(Self { disk, rows })
    }
}

impl Queue {
    /// Opens or makes the queue in a directory, and finds what waits in it. Where the disk has no room for
    /// that, or fails, the queue takes nothing until it can be opened, which is tried again and again.
    pub(super) fn open(
        directory: &Path,
        name: &str,
        max_bytes: u64,
        counts: &Arc<Counts>,
    ) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared { max_bytes, bytes: 0.into(), appended: Notify::new() });
        let meaning = "the queue cannot be opened, so nothing is forwarded; this is tried again";
        let mut opening = Trouble::new(name, meaning, counts);
        let found = reopen::now_or_later(Found::open(directory, &shared), &mut opening)?;
        let appending = Trouble::new(name, "requests cannot be queued and are not forwarded", counts);
        let forgetting = Trouble::new(name, "what was forwarded cannot be taken off its queue", counts);
        let (asks, asked) = sync_channel(ASKS_MAX);
        let (path, of_thread) = (directory.to_owned(), shared.clone());
        let run = move || {
            let shared = of_thread;
            let open = || opening.value_of(Found::open(&path, &shared));
            let found = found.or_else(|| reopen::later(&asked, open, |ask| shared.refuse(ask)));
            // Without it every handle is gone.
            let Some(Found { disk, rows }) = found else { return };
            Thread { disk, shared, rows, unwritten_since: None, appending, forgetting }.run(&asked);
        };
        std::thread::Builder::new().name(format!("forward {name}")).spawn(run).map_err(|source| {
            StoreError::Directory { path: directory.to_owned(), action: "start the thread of", source }
        })?;
        Ok(Self { asks, shared })
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Most bytes that may wait.
    pub(super) fn max_bytes(&self) -> u64 {
        self.shared.max_bytes
    }

    /// Appends a request if there is room; what is returned tells whether it is on disk.
    pub(super) fn append(&self, row: Arc<[u8]>) -> Option<oneshot::Receiver<bool>> {
        let len = row.len() as u64;
        let before = self.shared.bytes.fetch_add(len, Ordering::Relaxed);
        let (done, appended) = oneshot::channel();
        if before + len > self.shared.max_bytes {
            self.shared.bytes.fetch_sub(len, Ordering::Relaxed);
            return None;
        }
        match self.asks.try_send(Ask::Append(row, done)) {
            Ok(()) => Some(appended),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.shared.bytes.fetch_sub(len, Ordering::Relaxed);
                None
            }
        }
    }

    /// Waits until something is appended that was not there at the last call.
    pub(super) async fn appended(&self) {
        self.shared.appended.notified().await;
    }

    /// Reads what is to be sent of the rows after one, about `max_bytes` of it; nothing if nothing waits.
    pub(super) async fn load(&self, after: Seq, max_bytes: usize) -> Result<Loaded, StoreError> {
        self.ask(|done| Ask::Load(after, max_bytes, done)).await
    }

    /// Reads items again, those that are still there. Places are sorted.
    pub(super) async fn read(&self, places: Vec<Place>) -> Result<Vec<(Place, Item<'static>)>, StoreError> {
        self.ask(|done| Ask::Read(places, done)).await
    }

    /// Forgets what was sent, or given up.
    pub(super) fn finish(&self, places: Vec<Place>) {
        if let Err(TrySendError::Full(ask)) = self.asks.try_send(Ask::Finish(places)) {
            let asks = self.asks.clone();
            tokio::task::spawn_blocking(move || asks.send(ask));
        }
    }

    /// Waits until what was forgotten is so on disk.
    pub(super) async fn settled(&self) {
        self.ask(Ask::Settle).await;
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> T {
        let (done, answer) = oneshot::channel();
        let (asks, ask) = (self.asks.clone(), ask(done));
        let asked = tokio::task::spawn_blocking(move || asks.send(ask).is_ok()).await;
        match (asked, answer.await) {
            (Ok(true), Ok(answer)) => answer,
            // The thread is gone, which it is only when it panicked.
            _ => std::future::pending().await,
        }
    }
}

/// What one queue's thread has.
struct Thread {
    disk: Disk,
    shared: Arc<Shared>,
    /// The bytes of every row that is not done with those before it.
    rows: VecDeque<u32>,
    unwritten_since: Option<Instant>,
    appending: Trouble,
    forgetting: Trouble,
}

impl Thread {
    /// Answers until every handle is gone.
    fn run(mut self, asked: &Receiver<Ask>) {
        let mut next = asked.recv().ok();
        while let Some(ask) = next.take() {
            match ask {
                Ask::Append(row, done) => next = self.append(&row, done, asked),
                // Askers may be gone: the server stops.
                Ask::Load(after, max_bytes, done) => {
                    let loaded = self.disk.load(after, max_bytes);
                    if loaded.as_ref().is_ok_and(|loaded| loaded.left_out > 0) {
                        self.advance();
                    }
                    drop(done.send(loaded));
                }
                Ask::Read(places, done) => drop(done.send(self.disk.read(&places))),
                Ask::Finish(places) => {
                    for place in places {
                        self.disk.progress.finish(place);
                    }
                    self.advance();
                }
                Ask::Settle(done) => {
                    self.write();
                    let _: Result<(), ()> = done.send(());
                }
            }
            next = next.or_else(|| asked.recv().ok());
        }
        self.write();
    }

    /// Frees the rows that are done, and writes that they are.
    fn advance(&mut self) {
        let rows = self.disk.progress.advance();
        let freed = self.rows.drain(..(rows as usize).min(self.rows.len())).map(u64::from).sum();
        self.shared.bytes.fetch_sub(freed, Ordering::Relaxed);
        let since = *self.unwritten_since.get_or_insert_with(clock::instant);
        let is_small = self.disk.progress.rows_left() <= ROWS_LEFT_FEW;
        if is_small || clock::instant().saturating_duration_since(since) >= WRITE_EVERY {
            self.write();
        }
    }

    fn write(&mut self) {
        if self.unwritten_since.take().is_some() {
            self.forgetting.value_of(self.disk.write());
        }
    }

    /// Appends a request and those that wait with it, and returns what was asked after them.
    fn append(&mut self, first: &[u8], done: oneshot::Sender<bool>, asked: &Receiver<Ask>) -> Option<Ask> {
        let mut row = first.to_vec();
        let mut waiting = vec![done];
        let mut next = None;
        while row.len() < ROW_BYTES_MAX && next.is_none() {
            match asked.try_recv() {
                Ok(Ask::Append(more, done)) => {
                    row.extend_from_slice(&more);
                    waiting.push(done);
                }
                Ok(other) => next = Some(other),
                Err(_) => break,
            }
        }
        let appended = self.appending.value_of(self.disk.append_row(&row));
        match appended {
            Some(_) => self.rows.push_back(row.len() as u32),
            None => _ = self.shared.bytes.fetch_sub(row.len() as u64, Ordering::Relaxed),
        }
        for done in waiting {
            // The connection may be gone; the request is in the journal all the same.
            let _: Result<(), bool> = done.send(appended.is_some());
        }
        self.shared.appended.notify_one();
        next
    }
}
