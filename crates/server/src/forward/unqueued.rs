//! Requests of spans that were let go and that the queue did not take: it is full, or its disk is.
//!
//! They wait here, with what their job had to say, and are tried again; in the log their spans are still
//! held, so that a crash takes none. They have no more room than what is held leaves them.

use std::collections::VecDeque;
use std::sync::Arc;

use spantally_stitch::SpanKey;
use spantally_store::Seq;
use tokio::sync::oneshot;

use super::held::LET_GO_BYTES;
use super::metrics::JobAttributes;
use super::queue::Queue;

/// What a request takes beside its bytes, and what each of its spans does.
const REQUEST_OVERHEAD_BYTES: u64 = 100;
const SPAN_BYTES: u64 = size_of::<(SpanKey, Seq)>() as u64;

/// A request on its way into the queue.
#[derive(Debug)]
pub(super) struct LetGo {
    /// Whose spans they are.
    pub(super) tenant: Arc<str>,
    /// The item, as the queue has it.
    pub(super) row: Arc<[u8]>,
    /// Its spans, each with the row of the log that has it.
    pub(super) spans: Vec<(SpanKey, Seq)>,
    /// How they go.
    pub(super) how: JobAttributes,
}

impl LetGo {
    fn cost(&self) -> u64 {
        self.row.len() as u64 + self.spans.len() as u64 * SPAN_BYTES + REQUEST_OVERHEAD_BYTES
    }

    /// Asks the queue to have it on disk.
    fn append(self, queue: &Queue) -> (Self, Option<oneshot::Receiver<bool>>) {
        let appended = queue.append(self.row.clone());
        (self, appended)
    }
}

/// Puts requests into the queue; those that are on disk then, and those that are not.
pub(super) fn append_all(requests: Vec<LetGo>, queue: &Queue) -> (Vec<LetGo>, Vec<LetGo>) {
    let asked: Vec<_> = requests.into_iter().map(|one| one.append(queue)).collect();
    let (mut queued, mut refused) = (Vec::new(), Vec::new());
    for (one, appended) in asked {
        let is_queued = appended.is_some_and(|appended| appended.blocking_recv().unwrap_or(false));
        if is_queued { &mut queued } else { &mut refused }.push(one);
    }
    (queued, refused)
}

/// Those that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct Unqueued {
    waiting: VecDeque<LetGo>,
    bytes: u64,
    spans: u64,
}

impl Unqueued {
    /// Bytes that they take in memory.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Spans in them.
    pub(super) fn spans(&self) -> u64 {
        self.spans
    }

    /// Keeps one to be tried again.
    pub(super) fn keep(&mut self, one: LetGo) {
        self.bytes += one.cost();
        self.spans += one.spans.len() as u64;
        self.waiting.push_back(one);
    }

    /// Takes the oldest one.
    pub(super) fn take_oldest(&mut self) -> Option<LetGo> {
        let one = self.waiting.pop_front()?;
        self.bytes -= one.cost();
        self.spans -= one.spans.len() as u64;
        Some(one)
    }

    /// Takes the oldest, about as much as is let go at once.
    pub(super) fn take_some(&mut self) -> Vec<LetGo> {
        let (mut some, mut bytes) = (Vec::new(), 0);
        while bytes < LET_GO_BYTES
            && let Some(one) = self.take_oldest()
        {
            bytes += one.row.len();
            some.push(one);
        }
        some
    }

    /// Puts back what was taken last, in its order.
    pub(super) fn put_back(&mut self, some: Vec<LetGo>) {
        for one in some.into_iter().rev() {
            self.bytes += one.cost();
            self.spans += one.spans.len() as u64;
            self.waiting.push_front(one);
        }
    }
}
