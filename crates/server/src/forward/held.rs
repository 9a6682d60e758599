//! Spans that wait for their job to settle, in memory: by key, by age, and by the row of the log that has
//! them. What stands around spans, their resource and scope, is there once for all that share it ([`Parts`]).
//!
//! Two limits hold: bytes in memory, and bytes of the log, whose oldest row stays as long as one span of it
//! waits. Before more comes than there is room for, the oldest spans go.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use spantally_stitch::SpanKey;
use spantally_store::Seq;

use super::attributes::Told;
use super::item::Item;
use super::parts::{self, Parts};
use super::split;
use crate::clock;

/// What a span takes beside its bytes: its places in the maps, with their slack.
const SPAN_OVERHEAD_BYTES: u64 = 250;

/// Bytes of the log for each byte that may be in memory.
const LOG_FACTOR: u64 = 4;

/// What is let go at once: about so much is in memory a second time.
pub(crate) const LET_GO_BYTES: usize = 4 << 20;

/// Most spans that are remembered as told, in one generation.
pub(crate) const MISSED_MAX: usize = 1 << 16;

/// A span and its tenant: another one may send a span of the same ids, and is not told of this one's job.
pub(super) type OwnedKey = (SpanKey, Arc<str>);

/// What the spans of an item are known by.
pub(super) fn owned(item: &Item<'_>) -> impl Fn(SpanKey) -> OwnedKey + use<> {
    let tenant: Arc<str> = (&*item.tenant).into();
    move |key| (key, tenant.clone())
}

/// A span that waits.
#[derive(Clone, Debug)]
pub(super) struct HeldSpan {
    pub(super) key: SpanKey,
    pub(super) tenant: Arc<str>,
    /// What stands around its scope. Of spans that are held equal ones are the same.
    pub(super) resource: Arc<[u8]>,
    /// What stands around it in its scope.
    pub(super) scope: Arc<[u8]>,
    pub(super) bytes: Box<[u8]>,
    /// When it began to wait here: in this process, whatever the wall clock says meanwhile.
    since: Instant,
    /// The row of the log that has it.
    pub(super) row: Seq,
}

impl HeldSpan {
    /// Its bytes, with those of its resource and scope where the span before it has others.
    pub(super) fn bytes_beside(&self, before: Option<&Self>) -> usize {
        let part = |of: fn(&Self) -> &Arc<[u8]>| {
            let is_same = before.is_some_and(|before| Arc::ptr_eq(of(before), of(self)));
            if is_same { 0 } else { of(self).len() }
        };
        self.bytes.len() + part(|span| &span.resource) + part(|span| &span.scope)
    }
}

/// All that wait for one destination.
#[derive(Debug)]
pub(super) struct Held {
    max_bytes: u64,
    /// By the order in which they came. One key may come more than once: a span that is sent again.
    spans: BTreeMap<u64, HeldSpan>,
    by_key: BTreeSet<(OwnedKey, u64)>,
    next: u64,
    /// Of spans, without their parts.
    bytes: u64,
    parts: Parts,
    rows: BTreeMap<Seq, Row>,
    log_bytes: u64,
    /// The newest row of the log.
    newest: Seq,
    missed: [HashMap<OwnedKey, Arc<[KeyValue]>>; 2],
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
            parts: Parts::default(),
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
        self.bytes + self.parts.bytes()
    }

    /// Most bytes that they may take.
    pub(super) fn max_bytes(&self) -> u64 {
        self.max_bytes
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
        let since = clock::instant();
        let mut count = 0;
        for of_resource in split::resources(&item.body) {
            let resource = self.parts.share(of_resource.around());
            for of_scope in of_resource.scopes() {
                let scope = self.parts.share(of_scope.around());
                for (key, bytes) in of_scope.spans() {
                    count += 1;
                    let (resource, scope) = (self.parts.again(&resource), self.parts.again(&scope));
                    let (tenant, bytes) = (tenant.clone(), bytes.into());
                    self.put(HeldSpan { key, tenant, resource, scope, bytes, since, row });
                }
                self.parts.release(&scope);
            }
            self.parts.release(&resource);
        }
        self.rows.entry(row).or_default().waiting += count;
    }

    fn put(&mut self, span: HeldSpan) {
        let number = self.next;
        self.next += 1;
        self.by_key.insert(((span.key, span.tenant.clone()), number));
        self.bytes += span_cost(span.bytes.len());
        self.spans.insert(number, span);
    }

    /// Takes the oldest that waits under a key.
    pub(super) fn take(&mut self, key: &OwnedKey) -> Option<HeldSpan> {
        let &(_, number) = self.by_key.range((key.clone(), 0)..=(key.clone(), u64::MAX)).next()?;
        self.remove(number)
    }

    /// Remembers for a while what was told of a span: its request may still be on its way from the journal,
    /// or, if it was found, its client may send it again. Those take no more than half of the room.
    pub(super) fn remember(&mut self, (key, attributes): &Told, is_found: bool) {
        let room = if is_found { MISSED_MAX / 2 } else { MISSED_MAX };
        if self.missed[0].len() < room {
            self.missed[0].insert(key.clone(), attributes.clone());
        }
    }

    /// What a span is to have that was told of before it came, or before it came again.
    pub(super) fn missed(&self, key: &OwnedKey) -> Option<Arc<[KeyValue]>> {
        self.missed.iter().find_map(|generation| generation.get(key)).cloned()
    }

    /// Forgets the older half of what is remembered.
    pub(super) fn forget_old(&mut self) {
        self.missed.swap(0, 1);
        self.missed[0] = HashMap::new();
    }

    /// Takes the oldest span if it has waited since `before` or longer.
    pub(super) fn expired(&mut self, before: Instant) -> Option<HeldSpan> {
        let (&number, oldest) = self.spans.first_key_value()?;
        if oldest.since > before {
            return None;
        }
        self.remove(number)
    }

    /// Takes the oldest span if there is no room for so many more bytes in memory and in the log.
    pub(super) fn evicted(&mut self, bytes: u64, log_bytes: u64) -> Option<HeldSpan> {
        let (&number, _) = self.spans.first_key_value()?;
        if self.is_over(bytes, log_bytes) { self.remove(number) } else { None }
    }

    /// Whether there is no room for so many more bytes in memory and in the log.
    pub(super) fn is_over(&mut self, bytes: u64, log_bytes: u64) -> bool {
        self.settle_rows();
        self.bytes() + bytes > self.max_bytes
            || self.log_bytes + log_bytes > Self::max_log_bytes(self.max_bytes)
    }

    /// Spans that were just taken have not gone yet: their rows of the log are still needed.
    pub(super) fn keep_rows(&mut self, spans: &[(SpanKey, Seq)]) {
        for (_, row) in spans {
            self.rows.entry(*row).or_default().waiting += 1;
        }
    }

    /// Such spans have gone.
    pub(super) fn release_rows(&mut self, spans: &[(SpanKey, Seq)]) {
        for (_, row) in spans {
            self.release_row(*row);
        }
    }

    fn release_row(&mut self, row: Seq) {
        if let Some(row) = self.rows.get_mut(&row) {
            row.waiting -= 1;
        }
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
        self.by_key.remove(&((span.key, span.tenant.clone()), number));
        self.bytes -= span_cost(span.bytes.len());
        self.parts.release(&span.resource);
        self.parts.release(&span.scope);
        self.release_row(span.row);
        Some(span)
    }
}

/// What the spans of a request take when they are held, and nothing of it is there yet.
pub(super) fn cost(request: &[u8]) -> u64 {
    let of_scope = |scope: split::Scope<'_>| {
        let spans: u64 = scope.spans().map(|(_, span)| span_cost(span.len())).sum();
        spans + parts::cost(scope.around_len())
    };
    let resources = split::resources(request);
    resources.map(|one| parts::cost(one.around_len()) + one.scopes().map(of_scope).sum::<u64>()).sum()
}

fn span_cost(len: usize) -> u64 {
    len as u64 + SPAN_OVERHEAD_BYTES
}
