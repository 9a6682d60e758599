//! Spans that wait for their job to settle, in memory: by key, by age, and by the row of the log that has
//! them.
//!
//! Two limits hold: bytes in memory, and bytes of the log, whose oldest row stays as long as one span of it
//! waits. Past either the oldest spans go.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use spantally_stitch::{SpanKey, UnixNanos};
use spantally_store::Seq;

use super::attributes::Told;
use super::item::Item;
use super::split::{Envelope, visit_spans};

/// What a span takes beside its bytes: its places in the maps, with their slack.
const SPAN_OVERHEAD_BYTES: u64 = 250;

/// Bytes of the log for each byte that may be in memory.
const LOG_FACTOR: u64 = 4;

/// Most spans that are remembered as told although they were not held, in one generation.
pub(crate) const MISSED_MAX: usize = 1 << 16;

/// A span that waits.
#[derive(Clone, Debug)]
pub(super) struct HeldSpan {
    pub(super) key: SpanKey,
    pub(super) tenant: Arc<str>,
    pub(super) envelope: Arc<Envelope>,
    pub(super) bytes: Box<[u8]>,
    received_at: UnixNanos,
    row: Seq,
}

/// All that wait for one destination.
#[derive(Debug)]
pub(super) struct Held {
    max_bytes: u64,
    /// By the order in which they came. One key may come more than once: a span that is sent again.
    spans: BTreeMap<u64, HeldSpan>,
    by_key: BTreeSet<(SpanKey, u64)>,
    next: u64,
    bytes: u64,
    envelopes: HashSet<Arc<Envelope>>,
    rows: BTreeMap<Seq, Row>,
    log_bytes: u64,
    /// The newest row of the log.
    newest: Seq,
    missed: [HashMap<SpanKey, Arc<[KeyValue]>>; 2],
}

/// A row of the log.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    waiting: u32,
    bytes: u64,
}

impl Held {
    /// Nothing; in memory it may come to `max_bytes`.
    pub(super) fn new(max_bytes: u64) -> Self {
        Self {
            max_bytes,
            spans: BTreeMap::new(),
            by_key: BTreeSet::new(),
            next: 0,
            bytes: 0,
            envelopes: HashSet::new(),
            rows: BTreeMap::new(),
            log_bytes: 0,
            newest: Seq::default(),
            missed: Default::default(),
        }
    }

    /// Most bytes of the log.
    pub(super) fn max_log_bytes(max_bytes: u64) -> u64 {
        max_bytes * LOG_FACTOR
    }

    /// Spans that wait.
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Bytes that they take in memory.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Notes a row of the log.
    pub(super) fn row(&mut self, row: Seq, bytes: u64) {
        self.newest = self.newest.max(row);
        self.rows.entry(row).or_default().bytes += bytes;
        self.log_bytes += bytes;
    }

    /// Holds the spans of an item of a row that was noted.
    pub(super) fn hold(&mut self, item: &Item<'_>, row: Seq) {
        let tenant: Arc<str> = (&*item.tenant).into();
        let received_at = item.received_at;
        let mut count = 0;
        visit_spans(&item.body, |key, envelope, bytes| {
            count += 1;
            let envelope = if let Some(known) = self.envelopes.get(envelope) {
                known.clone()
            } else {
                self.bytes += envelope.len() as u64;
                self.envelopes.insert(envelope.clone());
                envelope.clone()
            };
            let (number, tenant, bytes) = (self.next, tenant.clone(), bytes.into());
            self.next += 1;
            self.by_key.insert((key, number));
            let span = HeldSpan { key, tenant, envelope, bytes, received_at, row };
            self.bytes += cost(&span);
            self.spans.insert(number, span);
        });
        self.rows.entry(row).or_default().waiting += count;
    }

    /// Takes what waits under a key.
    pub(super) fn take(&mut self, key: SpanKey) -> Vec<HeldSpan> {
        let numbers = self.by_key.range((key, 0)..=(key, u64::MAX)).map(|&(_, number)| number);
        let numbers: Vec<u64> = numbers.collect();
        numbers.into_iter().filter_map(|number| self.remove(number)).collect()
    }

    /// Remembers for a while what a span is to have that is not here: its request may still be on its way
    /// from the journal.
    pub(super) fn miss(&mut self, (key, attributes): &Told) {
        if self.missed[0].len() < MISSED_MAX {
            self.missed[0].insert(*key, attributes.clone());
        }
    }

    /// What a span is to have that was told of before it came.
    pub(super) fn missed(&self, key: SpanKey) -> Option<Arc<[KeyValue]>> {
        self.missed.iter().find_map(|generation| generation.get(&key)).cloned()
    }

    /// Forgets the older half of what was missed, and resources that no span has any more.
    pub(super) fn forget_old(&mut self) {
        self.missed.swap(0, 1);
        self.missed[0] = HashMap::new();
        let mut gone = 0;
        self.envelopes.retain(|envelope| {
            let is_used = Arc::strong_count(envelope) > 1;
            gone += if is_used { 0 } else { envelope.len() as u64 };
            is_used
        });
        self.bytes -= gone;
    }

    /// Takes the oldest span if it came at `before` or earlier.
    pub(super) fn expired(&mut self, before: UnixNanos) -> Option<HeldSpan> {
        let (&number, oldest) = self.spans.first_key_value()?;
        if oldest.received_at > before {
            return None;
        }
        self.remove(number)
    }

    /// Takes the oldest span if there are more bytes than may be.
    pub(super) fn evicted(&mut self) -> Option<HeldSpan> {
        let (&number, _) = self.spans.first_key_value()?;
        self.settle_rows();
        let is_over = self.bytes > self.max_bytes || self.log_bytes > Self::max_log_bytes(self.max_bytes);
        if is_over { self.remove(number) } else { None }
    }

    /// The last row of the log of which, and before which, nothing waits.
    pub(super) fn done(&mut self) -> Seq {
        self.settle_rows();
        self.rows.first_key_value().map_or(self.newest, |(first, _)| Seq(first.0.saturating_sub(1)))
    }

    fn settle_rows(&mut self) {
        while let Some(first) = self.rows.first_entry()
            && first.get().waiting == 0
        {
            self.log_bytes -= first.remove().bytes;
        }
    }

    fn remove(&mut self, number: u64) -> Option<HeldSpan> {
        let span = self.spans.remove(&number)?;
        self.by_key.remove(&(span.key, number));
        self.bytes -= cost(&span);
        if let Some(row) = self.rows.get_mut(&span.row) {
            row.waiting -= 1;
        }
        Some(span)
    }
}

fn cost(span: &HeldSpan) -> u64 {
    span.bytes.len() as u64 + SPAN_OVERHEAD_BYTES
}
