//! A queue on disk: requests that wait for a destination.
//!
//! It is a journal of the store in a directory of its own, used by one thread. Appends that come together
//! are one row with one flush. How far sending has got is in the file `sent` beside it: after a crash sending
//! goes on from there.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use spantally_store::{DataDir, Dropped, Journal, JournalOptions, Seq, SqliteJournal, StoreError};
use tokio::sync::{Notify, oneshot};

use super::item::Item;

/// Appends that wait for the thread: more than receivers have under way in practice.
pub(super) const ASKS_MAX: usize = 4096;

/// Most bytes of one row.
pub(crate) const ROW_BYTES_MAX: usize = 8 << 20;

/// Room of the file beyond the queue's own limit: rows that were sent and are not dropped yet.
const SLACK_BYTES: u64 = 256 << 20;

/// What was read to be sent.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) items: Vec<Item<'static>>,
    /// Rows that cannot be read.
    pub(super) left_out: u64,
    to: Seq,
    bytes: u64,
}

impl Loaded {
    /// Whether nothing waited, not even what cannot be read.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.left_out == 0
    }
}

enum Ask {
    Append(Arc<[u8]>, oneshot::Sender<bool>),
    Load(usize, oneshot::Sender<Result<Loaded, StoreError>>),
    Sent(Seq, u64),
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

impl Queue {
    /// Opens or makes the queue in a directory, and finds what waits in it.
    pub(super) fn open(directory: &Path, name: &str, max_bytes: u64) -> Result<Self, StoreError> {
        let mut disk = Disk::open(directory, max_bytes)?;
        let waiting = disk.waiting_bytes()?;
        let shared = Arc::new(Shared { max_bytes, bytes: waiting.into(), appended: Notify::new() });
        let (asks, asked) = sync_channel(ASKS_MAX);
        let (of_thread, path) = (shared.clone(), disk.directory.clone());
        std::thread::Builder::new()
            .name(format!("forward {name}"))
            .spawn(move || disk.run(&asked, &of_thread))
            .map_err(|source| StoreError::Directory { path, action: "start the thread of", source })?;
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

    /// Reads what is to be sent next, about `max_bytes` of it; nothing if nothing waits.
    pub(super) async fn load(&self, max_bytes: usize) -> Result<Loaded, StoreError> {
        let (done, loaded) = oneshot::channel();
        let asks = self.asks.clone();
        let asked = tokio::task::spawn_blocking(move || asks.send(Ask::Load(max_bytes, done)).is_ok()).await;
        match (asked, loaded.await) {
            (Ok(true), Ok(loaded)) => loaded,
            // The thread is gone, which it is only when it panicked.
            _ => std::future::pending().await,
        }
    }

    /// Forgets what was sent, or given up.
    pub(super) async fn sent(&self, to: &Loaded) {
        let (asks, ask) = (self.asks.clone(), Ask::Sent(to.to, to.bytes));
        drop(tokio::task::spawn_blocking(move || asks.send(ask)).await);
    }
}

/// The files, in the thread's hands.
pub(super) struct Disk {
    directory: PathBuf,
    journal: SqliteJournal,
    sent: Seq,
}

impl Disk {
    /// Opens or makes the files; they may have `max_bytes`, and some more.
    pub(super) fn open(directory: &Path, max_bytes: u64) -> Result<Self, StoreError> {
        let data = DataDir::open(directory)?;
        let text = std::fs::read_to_string(directory.join("sent")).unwrap_or_default();
        let sent = Seq(text.trim().parse().unwrap_or_default());
        let options = JournalOptions {
            primed_bytes: 0,
            max_bytes: max_bytes + SLACK_BYTES,
            ..JournalOptions::default()
        };
        // Without the file `sent` (it was lost, or never written) everything that is there is sent.
        let journal = match SqliteJournal::open(&data, (sent, sent), options) {
            Err(StoreError::Gap { first: Some(first), .. }) => {
                let before = Seq(first.0.saturating_sub(1));
                SqliteJournal::open(&data, (before, before), options)?
            }
            opened => opened?,
        };
        Ok(Self { directory: directory.to_owned(), journal, sent })
    }

    fn waiting_bytes(&mut self) -> Result<u64, StoreError> {
        let mut bytes = 0;
        self.replay(&mut |_, row| {
            bytes += row.len() as u64;
            ControlFlow::Continue(())
        })?;
        Ok(bytes)
    }

    /// Gives every row that waits to `visit`, in order, until it breaks.
    pub(super) fn replay(
        &mut self,
        visit: &mut dyn FnMut(Seq, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.journal.replay(self.sent, visit)
    }

    /// Writes a row; it is on disk when this returns.
    pub(super) fn append_row(&mut self, row: &[u8]) -> Result<Seq, StoreError> {
        self.journal.append(row)
    }

    /// Answers until every handle is gone.
    fn run(mut self, asked: &Receiver<Ask>, shared: &Shared) {
        let mut next = asked.recv().ok();
        while let Some(ask) = next.take() {
            match ask {
                Ask::Append(row, done) => next = self.append(&row, done, asked, shared),
                // The asker may be gone: the server stops.
                Ask::Load(max_bytes, done) => drop(done.send(self.load(max_bytes))),
                Ask::Sent(to, bytes) => {
                    shared.bytes.fetch_sub(bytes, Ordering::Relaxed);
                    if let Err(error) = self.forget(to) {
                        tracing::warn!(%error, "what was forwarded could not be taken off its queue");
                    }
                }
            }
            next = next.or_else(|| asked.recv().ok());
        }
    }

    /// Appends a request and those that wait with it, and returns what was asked after them.
    fn append(
        &mut self,
        first: &[u8],
        done: oneshot::Sender<bool>,
        asked: &Receiver<Ask>,
        shared: &Shared,
    ) -> Option<Ask> {
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
        let appended = self.append_row(&row);
        if let Err(error) = &appended {
            shared.bytes.fetch_sub(row.len() as u64, Ordering::Relaxed);
            tracing::warn!(%error, "a request could not be queued and is not forwarded");
        }
        for done in waiting {
            // The connection may be gone; the request is in the journal all the same.
            let _: Result<(), bool> = done.send(appended.is_ok());
        }
        shared.appended.notify_one();
        next
    }

    fn load(&mut self, max_bytes: usize) -> Result<Loaded, StoreError> {
        let mut loaded = Loaded { items: Vec::new(), left_out: 0, to: self.sent, bytes: 0 };
        self.replay(&mut |seq, row| {
            if loaded.bytes > 0 && loaded.bytes + row.len() as u64 > max_bytes as u64 {
                return ControlFlow::Break(());
            }
            loaded.bytes += row.len() as u64;
            loaded.to = seq;
            if let Some(items) = Item::decode_all(row) {
                loaded.items.extend(items);
            } else {
                loaded.left_out += 1;
                tracing::warn!(%seq, "a row of the queue is of another version and is left out");
            }
            ControlFlow::Continue(())
        })?;
        Ok(loaded)
    }

    /// Nothing up to here waits any more.
    pub(super) fn forget(&mut self, to: Seq) -> Result<(), StoreError> {
        if to <= self.sent {
            return Ok(());
        }
        self.sent = to;
        let (path, new) = (self.directory.join("sent"), self.directory.join("sent.new"));
        std::fs::write(&new, to.to_string())
            .and_then(|()| std::fs::rename(&new, &path))
            .map_err(|source| StoreError::Directory { path, action: "write", source })?;
        while self.journal.drop_to(to)? == Dropped::Some {}
        Ok(())
    }
}
