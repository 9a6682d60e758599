//! What many spans have in common, kept once.
//!
//! Of the spans of a client most differ in ids and times alone: who made it, to which endpoint, with which
//! answer is the same for thousands. Frozen evidence names that by a number.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::call::Call;
use crate::evidence::{Client, Evidence, What};
use crate::frame::Frame;
use crate::id::{SpanId, SpanKey, UnixNanos};
use crate::rare::Rare;
use crate::stitcher::slab::Slab;

/// Kinds of evidence by number, each for as long as it is in use.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    numbers: HashTable<u32>,
    kinds: Slab<Kind>,
}

/// One of them.
#[derive(Debug)]
struct Kind {
    /// Evidence without what is its own: ids, times, what is rare. Its request is that of the first.
    pattern: Evidence,
    uses: u32,
}

/// Evidence without what is its own.
fn pattern(evidence: &Evidence) -> Evidence {
    let what = match &evidence.what {
        What::Call(call) => What::Call(Call {
            role: call.role,
            endpoint: Arc::clone(&call.endpoint),
            task: None,
            answer: call.answer,
            accepted: call.accepted,
            verdict: call.verdict,
            request: call.request,
            agent: call.agent,
            rare: Rare::default(),
        }),
        What::Frame(frame) => {
            What::Frame(Frame { kind: frame.kind, verdict: frame.verdict, rare: Rare::default() })
        }
    };
    Evidence {
        span: SpanKey::default(),
        parent: SpanId::default(),
        start: UnixNanos(0),
        end: UnixNanos(0),
        client: Arc::clone(&evidence.client),
        what,
    }
}

/// Clients and endpoints that are equal and were made twice are two: to compare where they are is enough,
/// and a reader gives the same ones out again.
fn is_same(a: &Evidence, b: &Evidence) -> bool {
    let is_one_kind = match (&a.what, &b.what) {
        (What::Call(a), What::Call(b)) => {
            Arc::ptr_eq(&a.endpoint, &b.endpoint)
                && (a.role, a.answer, a.accepted) == (b.role, b.answer, b.accepted)
                && (a.verdict, a.agent) == (b.verdict, b.agent)
        }
        (What::Frame(a), What::Frame(b)) => (a.kind, a.verdict) == (b.kind, b.verdict),
        _ => false,
    };
    is_one_kind && Arc::ptr_eq(&a.client, &b.client)
}

fn hash_of(evidence: &Evidence) -> u64 {
    let hash = FixedState::default();
    let client = Arc::as_ptr(&evidence.client).addr();
    match &evidence.what {
        What::Call(call) => {
            let endpoint = Arc::as_ptr(&call.endpoint).addr();
            let own = (call.role, call.answer, call.accepted, call.verdict, call.agent);
            hash.hash_one((client, endpoint, own))
        }
        What::Frame(frame) => hash.hash_one((client, frame.kind, frame.verdict)),
    }
}

impl Kinds {
    /// The number of the kind of some evidence, which is in use once more.
    pub(super) fn number(&mut self, evidence: &Evidence) -> u32 {
        let Self { numbers, kinds } = self;
        let same = |&number: &u32| kinds.get(number).is_some_and(|kind| is_same(&kind.pattern, evidence));
        let hasher = |&number: &u32| kinds.get(number).map_or(0, |kind| hash_of(&kind.pattern));
        let number = match numbers.entry(hash_of(evidence), same, hasher) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                let kind = Kind { pattern: pattern(evidence), uses: 0 };
                *entry.insert(kinds.insert(kind)).get()
            }
        };
        if let Some(kind) = kinds.get_mut(number) {
            kind.uses += 1;
        }
        number
    }

    /// Evidence of a kind, without what is its own.
    pub(super) fn pattern(&self, number: u32) -> Option<&Evidence> {
        self.kinds.get(number).map(|kind| &kind.pattern)
    }

    /// The request that its pattern has; a frame's is 0.
    pub(super) fn request(&self, number: u32) -> Option<u64> {
        self.pattern(number).map(|pattern| match &pattern.what {
            What::Call(call) => call.request,
            What::Frame(_) => 0,
        })
    }

    /// Who made evidence of a kind.
    pub(super) fn client(&self, number: u32) -> Option<&Arc<Client>> {
        self.pattern(number).map(|pattern| &pattern.client)
    }

    /// It is in use once less.
    pub(super) fn release(&mut self, number: u32) {
        let Some(kind) = self.kinds.get_mut(number) else { return };
        kind.uses -= 1;
        if kind.uses > 0 {
            return;
        }
        let hash = hash_of(&kind.pattern);
        self.kinds.remove(number);
        if let Ok(entry) = self.numbers.find_entry(hash, |&held| held == number) {
            entry.remove();
        }
    }

    /// How many are in use.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.kinds.len()
    }
}
