//! One thing that solving places, and by what it is known.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use crate::call::{Answer, Evidence, Role, What};
use crate::id::TaskId;
use crate::solve::pool::call_of;

/// Not yet in a pocket.
pub(crate) const NO_POCKET: u32 = u32::MAX;

/// Tenant, provider and the provider's id.
pub(super) type TaskKey<'a> = (&'a str, &'a str, &'a TaskId);

/// One thing that solving places: a task with its calls, or a lone call.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) number: u64,
    pub(crate) kept: Kept,
    /// The pocket that it is in.
    pub(crate) pocket: u32,
    /// Names that it was the first to go by.
    pub(super) names: SmallVec<[u64; 2]>,
    pub(super) carried: Carried,
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

#[derive(Debug)]
pub(crate) enum Kept {
    Task(Vec<Evidence>),
    Lone(Evidence),
}

impl Item {
    /// Whether one of its calls shows an id. All do, as a rule, so that the first one answers.
    pub(super) fn goes_by(&self, key: &TaskKey<'_>) -> bool {
        let shows = |evidence: &Evidence| {
            task_key(evidence).as_ref() == Some(key) || alias_key(evidence).as_ref() == Some(key)
        };
        self.evidence().iter().any(shows)
    }

    pub(crate) fn evidence(&self) -> &[Evidence] {
        match &self.kept {
            Kept::Task(calls) => calls,
            Kept::Lone(call) => std::slice::from_ref(call),
        }
    }
}

/// Whether other spans of its trace can say something about a call.
pub(crate) fn has_neighbours(evidence: &Evidence) -> bool {
    evidence.parent.is_some()
        || !evidence.links.is_empty()
        || call_of(evidence).is_some_and(|call| call.role == Role::Webhook || !call.correlations.is_empty())
}

pub(crate) fn hash<T: Hash>(value: &T) -> u64 {
    FixedState::default().hash_one(value)
}

/// Identity of a span in 64 bits: trace, span, start, end, answer.
pub(super) fn fingerprint(evidence: &Evidence) -> u64 {
    let answer = match &evidence.what {
        What::Call(call) => match call.answer {
            Answer::Status(code) => u64::from(code),
            Answer::NotSent => 1,
            Answer::TimedOut => 2,
            Answer::Reset => 3,
            Answer::Missing => 4,
        },
        What::Frame(_) => 0,
    };
    let trace = u128::from_le_bytes(evidence.span.trace.0);
    let span = u64::from_le_bytes(evidence.span.span.0);
    hash(&(trace, span, evidence.start.0, evidence.end.0, answer))
}

/// A task is seldom seen once.
pub(super) fn one(evidence: Evidence) -> Vec<Evidence> {
    let mut calls = Vec::with_capacity(4);
    calls.push(evidence);
    calls
}

pub(super) fn task_key(evidence: &Evidence) -> Option<TaskKey<'_>> {
    let call = call_of(evidence)?;
    Some((&evidence.client.tenant, &call.endpoint.provider, call.task.as_ref()?))
}

pub(super) fn alias_key(evidence: &Evidence) -> Option<TaskKey<'_>> {
    let call = call_of(evidence)?;
    Some((&evidence.client.tenant, &call.endpoint.provider, call.alias.as_ref()?))
}
