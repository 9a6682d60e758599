//! Holding spans back until their job has settled, for a destination that wants to have the job on them
//! (`job_attributes`).
//!
//! What a span's job is, is known for sure when the job settles, and not before: it may still be found to be
//! another one. So the spans that a rule recognised ([`is_held`]) wait; all others are forwarded at once, as
//! they came. When the core tells of a job, its spans go into the destination's queue with what it has to
//! say of them ([`super::attributes`]). What waits for longer than `wait_duration`, or than there is room,
//! goes without, and is counted. After a start, of which nobody knows how long it took, waiting begins anew.
//!
//! One thread does it all, in order. What is held is in a log on disk before it is acknowledged, and so is
//! what was let go; after a crash those that wait are found again. A crash between the two writes of a
//! letting go, into the queue and into the log, sends spans twice, as sending does too. What the queue does
//! not take is tried again ([`Unqueued`]).

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use spantally_stitch::{Evidence, FrameKind, What};
use spantally_store::{Seq, StoreError};
use tokio::sync::oneshot;

use super::attributes::Told;
use super::disk::Disk;
use super::held::{self, Held, LET_GO_BYTES, owned};
use super::item::Item;
use super::keys::{read_keys, write_keys};
use super::metrics::{Counts, JobAttributes};
use super::queue::{ASKS_MAX, Queue, ROW_BYTES_MAX};
use super::rebuilt::{Going, Rebuilt, requests};
use super::reopen;
use super::split;
use super::trouble::Trouble;
use super::unqueued::{LetGo, Unqueued, append_all};
use crate::clock;
use crate::config::HoldSpans;

/// How often it is looked for what has waited too long.
const TICK: Duration = Duration::from_secs(1);

/// Ticks for which is remembered, once or twice as long, what was told of a span that is not here, or has
/// gone and may be sent again.
const MISSED_TICKS: u32 = 10;

/// Whether a span waits for its job. A request that was served, or work of the application around calls,
/// tells lineage and may be above many jobs.
pub(super) fn is_held(evidence: &Evidence) -> bool {
    match &evidence.what {
        What::Call(_) => true,
        What::Frame(frame) => {
            !matches!(frame.kind, FrameKind::Server | FrameKind::Consumer | FrameKind::Internal)
        }
    }
}

enum Ask {
    Hold(Item<'static>, oneshot::Sender<bool>),
    Tell(Arc<[Told]>, oneshot::Sender<()>),
}

/// A handle on the thread, which ends with the last of them. What waits then stays on disk.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    asks: SyncSender<Ask>,
}

impl Hold {
    /// Finds what waits in a directory, and starts the thread, which lets go into `queue`.
    pub(super) fn open(
        directory: &Path,
        name: &str,
        settings: HoldSpans,
        queue: Queue,
        counts: Arc<Counts>,
    ) -> Result<Self, StoreError> {
        let meaning = "the log of spans that are held cannot be opened, so none is held; this is tried again";
        let mut opening = Trouble::new(name, meaning, &counts);
        let max_bytes = settings.max_bytes;
        let found = reopen::now_or_later(find(directory, max_bytes, &counts), &mut opening)?;
        let appending = Trouble::new(name, "the log of spans that are held cannot be written", &counts);
        let meaning = "spans that were let go cannot be taken off the log of those held";
        let forgetting = Trouble::new(name, meaning, &counts);
        // What was held for a destination that does not want it any more is let go at once.
        let wait = if settings.enabled { settings.wait_duration } else { Duration::ZERO };
        let (asks, asked) = sync_channel(ASKS_MAX);
        let path = directory.to_owned();
        let run = move || {
            let open = || opening.value_of(find(&path, max_bytes, &counts));
            let found = found.or_else(|| reopen::later(&asked, open, refuse));
            // Without it every handle is gone.
            let Some((disk, held)) = found else { return };
            let unqueued = Unqueued::default();
            Thread { held, unqueued, disk, queue, counts, wait, appending, forgetting }.run(&asked);
        };
        std::thread::Builder::new().name(format!("hold {name}")).spawn(run).map_err(|source| {
            StoreError::Directory { path: directory.to_owned(), action: "start the thread of", source }
        })?;
        Ok(Self { asks })
    }

    /// Holds the spans of an item; what is returned tells whether they are on disk, and so are held. An item
    /// for which there would be no room were it the only one is not.
    pub(super) fn hold(&self, item: Item<'static>) -> Option<oneshot::Receiver<bool>> {
        let (done, held) = oneshot::channel();
        match self.asks.try_send(Ask::Hold(item, done)) {
            Ok(()) => Some(held),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => None,
        }
    }

    /// Lets the spans go that were told of. What is returned tells when they are in the queue, on disk.
    pub(super) fn tell(&self, told: Arc<[Told]>) -> oneshot::Receiver<()> {
        let (done, let_go) = oneshot::channel();
        // The thread is gone only when it panicked; then nobody waits.
        drop(self.asks.send(Ask::Tell(told, done)));
        let_go
    }
}

/// Answers while the log is not open: nothing is held.
fn refuse(ask: Ask) {
    match ask {
        Ask::Hold(_, done) => _ = done.send(false),
        Ask::Tell(_, done) => _ = done.send(()),
    }
}

/// Opens the log in a directory, and takes back what it says.
fn find(directory: &Path, max_bytes: u64, counts: &Counts) -> Result<(Disk, Held), StoreError> {
    let mut disk = Disk::open(directory, Held::max_log_bytes(max_bytes))?;
    let mut held = Held::new(max_bytes);
    disk.replay(&mut |row, bytes| {
        restore(&mut held, row, bytes, counts);
        ControlFlow::Continue(())
    })?;
    Ok((disk, held))
}

/// Reads a row of the log: spans that are held, and keys of those that were let go.
fn restore(held: &mut Held, row: Seq, bytes: &[u8], counts: &Counts) {
    held.row(row, bytes.len() as u64);
    let Some(items) = Item::decode_all(bytes) else {
        tracing::warn!(%row, "a row of spans that are held is of another version and is left out");
        counts.left_out(1);
        return;
    };
    for item in items {
        match item.spans {
            0 => read_keys(&item.body).map(owned(&item)).for_each(|key| while held.take(&key).is_some() {}),
            _ => held.hold(&item, row),
        }
    }
}

struct Thread {
    held: Held,
    /// What was let go and is not in the queue.
    unqueued: Unqueued,
    disk: Disk,
    queue: Queue,
    counts: Arc<Counts>,
    wait: Duration,
    appending: Trouble,
    forgetting: Trouble,
}

impl Thread {
    fn run(mut self, asked: &Receiver<Ask>) {
        let mut next = None;
        let (mut tick_at, mut ticks) = (clock::instant(), 0_u32);
        loop {
            let ask = match next.take() {
                Some(ask) => Ok(ask),
                None => asked.recv_timeout(until(tick_at)),
            };
            match ask {
                Ok(Ask::Hold(item, done)) => next = self.hold(item, done, asked),
                Ok(Ask::Tell(told, done)) => {
                    self.tell(&told);
                    // The core may be gone: the server stops.
                    let _: Result<(), ()> = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if clock::instant() >= tick_at {
                ticks = ticks.wrapping_add(1);
                self.tick(ticks.is_multiple_of(MISSED_TICKS));
                tick_at = clock::instant() + TICK;
            }
        }
    }

    /// Holds an item and those that wait with it, and returns what was asked after them. There is room for
    /// all of them before the first is in memory.
    fn hold(
        &mut self,
        first: Item<'static>,
        done: oneshot::Sender<bool>,
        asked: &Receiver<Ask>,
    ) -> Option<Ask> {
        let (mut row, mut cost) = (Vec::new(), 0);
        let (mut items, mut waiting, mut next) = (Vec::new(), Vec::new(), Some(Ask::Hold(first, done)));
        while row.len() < ROW_BYTES_MAX
            && let Some(Ask::Hold(item, done)) = next.take_if(|next| matches!(next, Ask::Hold(..)))
        {
            let own = held::cost(&item.body);
            if own > self.held.max_bytes() {
                let _: Result<(), bool> = done.send(false);
            } else if cost + own > self.held.max_bytes() {
                next = Some(Ask::Hold(item, done));
                break;
            } else {
                cost += own;
                row.extend_from_slice(&item.encode());
                items.push(item);
                waiting.push(done);
            }
            next = asked.try_recv().ok();
        }
        if items.is_empty() {
            return next;
        }
        self.make_room(cost, row.len() as u64);
        let appended = self.append(&row);
        for item in appended.iter().flat_map(|_| &items) {
            self.held.hold(item, appended.unwrap_or_default());
        }
        for done in waiting {
            // The connection may be gone; the spans are held all the same.
            let _: Result<(), bool> = done.send(appended.is_some());
        }
        if appended.is_some() {
            self.let_go_of_missed(&items);
        }
        self.show();
        next
    }

    /// Lets the oldest go until there is room for so many bytes in memory and in the log. What the queue did
    /// not take before is given up first.
    fn make_room(&mut self, bytes: u64, log_bytes: u64) {
        let mut given_up = Vec::new();
        while self.held.is_over(self.unqueued.bytes() + bytes, log_bytes)
            && let Some(oldest) = self.unqueued.take_oldest()
        {
            self.held.release_rows(&oldest.spans);
            given_up.push(oldest);
        }
        self.leave(&given_up, false);
        let bytes = self.unqueued.bytes() + bytes;
        self.let_go_all(JobAttributes::Evicted, |held| Some((held.evicted(bytes, log_bytes)?, None)));
    }

    /// Spans whose job was told of while their request was on its way here.
    fn let_go_of_missed(&mut self, items: &[Item<'_>]) {
        let mut keys = items.iter().flat_map(|item| split::keys(&item.body).map(owned(item))).peekable();
        self.let_go_all(JobAttributes::Added, |held| {
            while let Some(key) = keys.peek() {
                let found = held.missed(key).and_then(|told| Some((held.take(key)?, Some(told))));
                if found.is_some() {
                    return found;
                }
                keys.next();
            }
            None
        });
    }

    fn tell(&mut self, told: &[Told]) {
        let mut told = told.iter().map(|one| (one, false)).peekable();
        self.let_go_all(JobAttributes::Added, |held| {
            while let Some((one, is_found)) = told.peek_mut() {
                if let Some(span) = held.take(&one.0) {
                    *is_found = true;
                    return Some((span, Some(one.1.clone())));
                }
                held.remember(one, *is_found);
                told.next();
            }
            None
        });
    }

    fn tick(&mut self, is_to_forget: bool) {
        self.try_again();
        // The clock may have begun later than that: then nothing has waited so long.
        if let Some(before) = clock::instant().checked_sub(self.wait) {
            self.let_go_all(JobAttributes::Expired, |held| Some((held.expired(before)?, None)));
        }
        self.make_room(0, 0);
        if is_to_forget {
            self.held.forget_old();
        }
        self.forgetting.value_of(self.disk.forget(self.held.done()));
        self.show();
    }

    fn show(&self) {
        let spans = self.held.len() as u64 + self.unqueued.spans();
        self.counts.held(spans, self.held.bytes() + self.unqueued.bytes());
    }

    /// Lets all go that `next` finds, some at a time: what is written is in memory a second time.
    fn let_go_all(&mut self, how: JobAttributes, mut next: impl FnMut(&mut Held) -> Option<Going>) {
        loop {
            let (mut spans, mut bytes): (Vec<Going>, usize) = (Vec::new(), 0);
            while bytes < LET_GO_BYTES
                && let Some(going) = next(&mut self.held)
            {
                bytes += going.0.bytes_beside(spans.last().map(|(span, _)| span));
                spans.push(going);
            }
            if spans.is_empty() {
                return;
            }
            self.let_go(spans, how);
        }
    }

    /// Into the queue, with or without what their job has to say; then into the log that they went. What the
    /// queue does not take waits, unless it went for want of room.
    fn let_go(&mut self, spans: Vec<Going>, how: JobAttributes) {
        self.show();
        let received_at = clock::now();
        let request = |Rebuilt { tenant, spans, body }| {
            let count = spans.len() as u64;
            let item = Item { tenant: Cow::Borrowed(&tenant), spans: count, received_at, body: body.into() };
            let row = item.encode().into();
            LetGo { tenant, row, spans, how }
        };
        let (queued, refused) = append_all(requests(spans).into_iter().map(request).collect(), &self.queue);
        self.leave(&queued, true);
        if how == JobAttributes::Evicted {
            return self.leave(&refused, false);
        }
        for one in refused {
            self.held.keep_rows(&one.spans);
            self.unqueued.keep(one);
        }
        self.show();
    }

    /// Tries to queue what was not before, until it is refused again.
    fn try_again(&mut self) {
        loop {
            let some = self.unqueued.take_some();
            let is_last = some.is_empty();
            let (queued, refused) = append_all(some, &self.queue);
            for one in &queued {
                self.held.release_rows(&one.spans);
            }
            self.leave(&queued, true);
            if is_last || !refused.is_empty() {
                return self.unqueued.put_back(refused);
            }
        }
    }

    /// Their spans are held no more, queued or given up: counted, and in the log.
    fn leave(&mut self, requests: &[LetGo], is_queued: bool) {
        if requests.is_empty() {
            return;
        }
        let (received_at, mut row) = (clock::now(), Vec::new());
        for LetGo { tenant, how, spans, .. } in requests {
            match spans.len() as u64 {
                count if is_queued => self.counts.let_go(*how, count),
                count => self.counts.not_queued(count),
            }
            let body = write_keys(spans.iter().map(|(key, _)| *key)).into();
            let tenant = Cow::Borrowed(&**tenant);
            row.extend_from_slice(&Item { tenant, spans: 0, received_at, body }.encode());
        }
        self.append(&row);
    }

    fn append(&mut self, row: &[u8]) -> Option<Seq> {
        let seq = self.appending.value_of(self.disk.append_row(row))?;
        self.held.row(seq, row.len() as u64);
        Some(seq)
    }
}

fn until(at: Instant) -> Duration {
    at.saturating_duration_since(clock::instant())
}

#[cfg(test)]
mod tests;
