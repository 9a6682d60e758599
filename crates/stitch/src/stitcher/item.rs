//! One thing that solving places, and by what it is known.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use smallvec::SmallVec;

use crate::call::{Answer, Evidence, Role, What};
use crate::id::{TaskId, TraceId, UnixNanos};
use crate::solve::pool::call_of;

/// Not yet in a pocket.
pub(crate) const NO_POCKET: u32 = u32::MAX;

/// Tenant, provider and the provider's id.
pub(super) type TaskKey<'a> = (&'a str, &'a str, &'a TaskId);

/// One thing that solving places: a task with its calls, or a lone call.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) number: u64,
    /// It is a task, which its calls name; else it is a lone call.
    pub(crate) is_task: bool,
    /// Its calls, in the order in which they came.
    calls: Vec<Evidence>,
    /// Their fingerprints, once they are many.
    many: Option<Box<HashSet<u64, FixedState>>>,
    /// The pocket that it is in.
    pub(crate) pocket: u32,
    /// Names that it was the first to go by.
    pub(super) names: SmallVec<[u64; 2]>,
    pub(super) carried: Carried,
    /// Its fingerprint is among those that were seen: its trace is not enough to find it.
    pub(super) marked: bool,
    /// The later of its newest call's end and arrival.
    pub(crate) last: UnixNanos,
    /// When it came to be known: the later of its first call's start and arrival.
    pub(crate) opened: UnixNanos,
}

/// Whether the caller has what is in memory beyond its record of arrivals: see
/// [`Stitcher::carry`](crate::Stitcher::carry).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carried {
    /// It was never carried.
    No,
    /// It was, and more came since.
    Partly,
    /// It was.
    Whole,
}

impl Carried {
    /// More came.
    pub(super) fn grow(&mut self) {
        if *self == Self::Whole {
            *self = Self::Partly;
        }
    }
}

/// Up to so many calls are gone through to find one.
const FEW: usize = 32;
/// What a task is given room for at once, more as it comes: of a million open jobs most memory is this.
pub(super) const TASK_CALLS: usize = 2;

impl Item {
    pub(super) fn new(number: u64, carried: Carried, is_task: bool, first: Evidence) -> Self {
        let mut calls = Vec::with_capacity(if is_task { TASK_CALLS } else { 1 });
        calls.push(first);
        Self {
            number,
            is_task,
            calls,
            many: None,
            pocket: NO_POCKET,
            names: SmallVec::new(),
            carried,
            marked: false,
            last: UnixNanos(0),
            opened: UnixNanos(0),
        }
    }

    /// The same, for a call whose fingerprint is among those that were seen.
    pub(super) fn marked(self) -> Self {
        Self { marked: true, ..self }
    }

    /// Whether it has a call already, with the same end and answer.
    pub(super) fn has(&self, evidence: &Evidence) -> bool {
        match &self.many {
            Some(many) => many.contains(&fingerprint(evidence)),
            None => self.calls.iter().rev().any(|held| is_same(held, evidence)),
        }
    }

    pub(super) fn push(&mut self, evidence: Evidence) {
        if let Some(many) = &mut self.many {
            many.insert(fingerprint(&evidence));
        } else if self.calls.len() == FEW {
            self.many = Some(Box::new(self.calls.iter().chain([&evidence]).map(fingerprint).collect()));
        }
        self.calls.push(evidence);
        self.carried.grow();
    }

    /// Takes the newest call back.
    pub(super) fn pop(&mut self) -> Option<Evidence> {
        let newest = self.calls.pop()?;
        if let Some(many) = &mut self.many {
            many.remove(&fingerprint(&newest));
        }
        Some(newest)
    }

    /// Whether one of its calls shows an id. All do, as a rule, so that the first one answers.
    pub(super) fn goes_by(&self, key: &TaskKey<'_>) -> bool {
        let shows = |evidence: &Evidence| {
            task_key(evidence).as_ref() == Some(key) || alias_key(evidence).as_ref() == Some(key)
        };
        self.evidence().iter().any(shows)
    }

    pub(crate) fn evidence(&self) -> &[Evidence] {
        &self.calls
    }
}

/// Whether other spans of its trace can say something about a call.
pub(crate) fn has_neighbours(evidence: &Evidence) -> bool {
    evidence.parent.is_some()
        || !evidence.links().is_empty()
        || call_of(evidence)
            .is_some_and(|call| call.role == Role::Webhook || !call.rare.correlations.is_empty())
}

pub(crate) fn hash<T: Hash>(value: &T) -> u64 {
    FixedState::default().hash_one(value)
}

/// Whether two are the same span. The end and the answer belong to the identity: some instrumentations send a
/// retry under the same span id.
pub(super) fn is_same(a: &Evidence, b: &Evidence) -> bool {
    a.span.span == b.span.span
        && a.span.trace == b.span.trace
        && (a.start, a.end) == (b.start, b.end)
        && answer(a) == answer(b)
}

fn answer(evidence: &Evidence) -> u64 {
    match &evidence.what {
        What::Call(call) => match call.answer {
            Answer::Status(code) => u64::from(code),
            Answer::NotSent => 1,
            Answer::TimedOut => 2,
            Answer::Reset => 3,
            Answer::Missing => 4,
        },
        What::Frame(_) => 0,
    }
}

/// What [`is_same`] compares, in 64 bits.
pub(super) fn fingerprint(evidence: &Evidence) -> u64 {
    let trace = u128::from_le_bytes(evidence.span.trace.0);
    let span = u64::from_le_bytes(evidence.span.span.0);
    hash(&(trace, span, evidence.start.0, evidence.end.0, answer(evidence)))
}

/// The name of a task: spans that tell it in an attribute do not know the provider.
pub(super) fn task_name(tenant: &str, task: &TaskId) -> u64 {
    hash(&(tenant, task))
}

/// The name of what links to a trace of which nothing is known yet.
pub(super) fn link_name(trace: TraceId) -> u64 {
    hash(&("trace", trace))
}

pub(super) fn task_key(evidence: &Evidence) -> Option<TaskKey<'_>> {
    let call = call_of(evidence)?;
    Some((&evidence.client.tenant, &call.endpoint.provider, call.task.as_ref()?))
}

pub(super) fn alias_key(evidence: &Evidence) -> Option<TaskKey<'_>> {
    let call = call_of(evidence)?;
    Some((&evidence.client.tenant, &call.endpoint.provider, call.rare.alias.as_ref()?))
}
