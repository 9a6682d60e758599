//! One thing that solving places, and by what it is known.
//!
//! An item stands in a *slot* of the [`super::index`], by which everything else names it and which is given
//! out again when it goes. Its *number* no other item ever gets: by numbers it is known what came before
//! which turn.

mod packed;

use std::hash::{Hash, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use thin_vec::ThinVec;

use crate::call::{Answer, Call, Role};
use crate::evidence::{Client, Evidence, What};
use crate::id::{SpanKey, TaskId, UnixNanos};
use crate::kept::KeptHasher;
use crate::solve::pool::call_of;

/// Not yet in a pocket.
pub(crate) const NO_POCKET: u32 = u32::MAX;

/// Tenant, provider and the provider's id.
pub(super) type TaskKey<'a> = (&'a str, &'a str, &'a TaskId);

/// One thing that solving places: a task with its calls, or a lone call.
///
/// Of a million open jobs most memory is this. The first call stands in the item itself, and what few have
/// costs a pointer: most items are one call, and need no other memory.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) number: u64,
    /// The call that came first.
    first: Evidence,
    /// Further calls, in the order in which they came, but for those that are like another.
    more: ThinVec<Evidence>,
    /// Polls that are like one of the calls: most of what a long job has.
    again: ThinVec<Again>,
    /// Their fingerprints, once they are many.
    many: Option<Box<HashSet<u64, FixedState>>>,
    /// Names that this item claimed first.
    pub(super) names: ThinVec<u64>,
    /// The later of its newest call's end and arrival.
    pub(crate) last: UnixNanos,
    /// When it came to be known: the later of its first call's start and arrival.
    pub(crate) opened: UnixNanos,
    /// The pocket that it is in.
    pub(crate) pocket: u32,
    /// Where the trace stands that it joined last, if it joined any.
    pub(super) trace: u32,
    /// It is a task, which its calls name; else it is a lone call.
    pub(crate) is_task: bool,
    pub(super) carried: Carried,
    /// Its fingerprint is among those that were seen: its trace is not enough to find it.
    pub(super) marked: bool,
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

impl Item {
    pub(super) fn new(number: u64, carried: Carried, is_task: bool, first: Evidence) -> Self {
        Self {
            number,
            first,
            more: ThinVec::new(),
            again: ThinVec::new(),
            many: None,
            names: ThinVec::new(),
            last: UnixNanos(0),
            opened: UnixNanos(0),
            pocket: NO_POCKET,
            trace: 0,
            is_task,
            carried,
            marked: false,
        }
    }

    /// Whether it has a call already, with the same end and answer.
    pub(super) fn has(&self, evidence: &Evidence) -> bool {
        match &self.many {
            Some(many) => many.contains(&fingerprint(evidence)),
            None => {
                self.calls().rev().any(|held| is_same(held, evidence))
                    || self.again.iter().rev().any(|held| {
                        (held.span, held.start, held.end) == (evidence.span, evidence.start, evidence.end)
                            && answer(self.like(held)) == answer(evidence)
                    })
            }
        }
    }

    pub(super) fn push(&mut self, evidence: Evidence) {
        if let Some(many) = &mut self.many {
            many.insert(fingerprint(&evidence));
        } else if self.len() == FEW {
            let mut many = self.fingerprints();
            many.insert(fingerprint(&evidence));
            self.many = Some(Box::new(many));
        }
        if is_like(self.newest(), &evidence) {
            let Evidence { span, start, end, .. } = evidence;
            self.again.push(Again { span, start, end, like: self.more.len() as u32 });
        } else {
            // Most tasks have a call or two more: a poll with another answer, a result.
            if self.more.is_empty() {
                self.more.reserve_exact(1);
            }
            self.more.push(evidence);
        }
        self.carried.grow();
    }

    fn fingerprints(&self) -> HashSet<u64, FixedState> {
        let again = self.again.iter().map(|held| held.fingerprint(self.like(held)));
        self.calls().map(fingerprint).chain(again).collect()
    }

    /// Whether one of its calls shows an id. All do, as a rule, so that the first one answers.
    pub(super) fn goes_by(&self, key: &TaskKey<'_>) -> bool {
        let shows = |evidence: &Evidence| {
            task_key(evidence).as_ref() == Some(key) || alias_key(evidence).as_ref() == Some(key)
        };
        self.calls().any(shows)
    }

    /// Whether it is a delivery that names no task.
    pub(crate) fn is_hook(&self) -> bool {
        !self.is_task && call_of(&self.first).is_some_and(|call| call.role == Role::Webhook)
    }

    /// How many calls it has.
    pub(crate) fn len(&self) -> usize {
        1 + self.more.len() + self.again.len()
    }

    /// The call that came first.
    pub(crate) fn first(&self) -> &Evidence {
        &self.first
    }

    /// The one of [`Self::calls`] that came last.
    pub(crate) fn newest(&self) -> &Evidence {
        self.more.last().unwrap_or(&self.first)
    }

    /// Its calls, but for polls that are like one of them: what is asked of these has the same answer.
    pub(crate) fn calls(&self) -> impl DoubleEndedIterator<Item = &Evidence> + Clone {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// The polls that [`Self::calls`] leaves out.
    pub(crate) fn again(&self) -> Vec<Evidence> {
        let whole = |held: &Again| {
            let Again { span, start, end, .. } = *held;
            Evidence { span, start, end, ..self.like(held).clone() }
        };
        self.again.iter().map(whole).collect()
    }

    /// When the first of its calls began.
    pub(crate) fn started(&self) -> Option<UnixNanos> {
        let calls = self.calls().map(|call| call.start);
        calls.chain(self.again.iter().map(|held| held.start)).min()
    }

    fn like(&self, held: &Again) -> &Evidence {
        match held.like {
            0 => &self.first,
            further => &self.more[further as usize - 1],
        }
    }
}

/// A poll that differs from a call in nothing but its own id and times, and maybe a trace of which it is all.
#[derive(Clone, Copy, Debug)]
struct Again {
    span: SpanKey,
    start: UnixNanos,
    end: UnixNanos,
    /// The place of that call.
    like: u32,
}

impl Again {
    fn fingerprint(&self, like: &Evidence) -> u64 {
        identity(&like.client, (self.span, self.start, self.end), answer(like))
    }
}

/// Whether a call can be folded into a stored one because trace, parent and links say the same of both.
fn is_like(held: &Evidence, evidence: &Evidence) -> bool {
    let is_plain = |call: &Call| call.role == Role::Poll && call.rare.is_vacant();
    call_of(evidence).is_some_and(is_plain)
        && held.parent == evidence.parent
        && (held.span.trace == evidence.span.trace || !evidence.parent.is_some())
        && held.client == evidence.client
        && held.what == evidence.what
}

/// Whether other spans of its trace can say something about a call.
pub(crate) fn has_neighbours(evidence: &Evidence) -> bool {
    evidence.parent.is_some()
        || !evidence.links().is_empty()
        || call_of(evidence).is_some_and(|call| {
            call.role == Role::Webhook || call.rare.stands_in || !call.rare.correlations.is_empty()
        })
}

/// What is kept by it outlives the process.
pub(crate) fn hash<T: Hash>(value: &T) -> u64 {
    let mut hasher = KeptHasher::default();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Whether two of one tenant are the same span. The end and the answer belong to the identity: some
/// instrumentations send a retry under the same span id.
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

/// What [`is_same`] compares, and the tenant, in 64 bits.
pub(super) fn fingerprint(evidence: &Evidence) -> u64 {
    identity(&evidence.client, (evidence.span, evidence.start, evidence.end), answer(evidence))
}

fn identity(client: &Client, (span, start, end): (SpanKey, UnixNanos, UnixNanos), answer: u64) -> u64 {
    let (trace, span) = (u128::from_le_bytes(span.trace.0), u64::from_le_bytes(span.span.0));
    let of_span = (trace, span, start.0, end.0, answer);
    if client.tenant.is_empty() { hash(&of_span) } else { hash(&(&client.tenant, of_span)) }
}

/// The name of a task: spans that tell it in an attribute do not know the provider.
pub(super) fn task_name(tenant: &str, task: &TaskId) -> u64 {
    hash(&(tenant, task))
}

pub(super) fn task_key(evidence: &Evidence) -> Option<TaskKey<'_>> {
    let call = call_of(evidence)?;
    Some((&evidence.client.tenant, &call.endpoint.provider, call.task.as_ref()?))
}

pub(super) fn alias_key(evidence: &Evidence) -> Option<TaskKey<'_>> {
    let call = call_of(evidence)?;
    Some((&evidence.client.tenant, &call.endpoint.provider, call.rare.alias.as_ref()?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::call::{Accepted, Endpoint};
    use crate::id::{SpanId, TraceId};

    /// Calls of one task, told apart by the number of their span.
    fn call(role: Role, trace: u8, parent: u8, span: u8) -> Evidence {
        let start = UnixNanos(1_795_168_800_000_000_000).plus_ms(u64::from(span) * 500);
        Evidence {
            span: SpanKey { trace: TraceId([trace; 16]), span: SpanId([span; 8]) },
            parent: SpanId([parent; 8]),
            start,
            end: start.plus_ms(80),
            client: Arc::new(Client::default()),
            what: What::Call(Call {
                role,
                endpoint: Arc::new(Endpoint { provider: "clips".into(), ..Endpoint::default() }),
                task: Some(TaskId::new("task")),
                answer: Answer::Status(200),
                accepted: Accepted::Yes,
                verdict: None,
                request: 7,
                agent: 7,
                rare: crate::rare::Rare::default(),
            }),
        }
    }

    fn with_status(mut evidence: Evidence, status: u16) -> Evidence {
        if let What::Call(call) = &mut evidence.what {
            call.answer = Answer::Status(status);
        }
        evidence
    }

    fn item(calls: &[Evidence]) -> Item {
        let mut item = Item::new(1, Carried::No, true, calls[0].clone());
        calls[1..].iter().for_each(|call| item.push(call.clone()));
        item
    }

    #[test]
    fn polls_that_are_alike_are_kept_as_one_and_come_out_as_they_went_in() {
        let polls = (2..=60).map(|span| match span {
            30 => with_status(call(Role::Poll, 1, 9, span), 202),
            _ => call(Role::Poll, 1, 9, span),
        });
        let calls: Vec<Evidence> = std::iter::once(call(Role::Submit, 1, 9, 1))
            .chain(polls)
            .chain([call(Role::Result, 1, 9, 61)])
            .collect();
        // Below and above the number from which on fingerprints are kept.
        for count in [10, calls.len()] {
            let item = item(&calls[..count]);
            assert_eq!((item.len(), item.started()), (count, Some(calls[0].start)));
            let mut held: Vec<Evidence> = item.calls().cloned().chain(item.again()).collect();
            held.sort_by_key(|held| held.start);
            assert_eq!(held, calls[..count]);
            assert!(calls[..count].iter().all(|call| item.has(call)));
            assert!(calls[count..].iter().all(|call| !item.has(call)));
            assert!(!item.has(&with_status(calls[5].clone(), 500)), "with another answer it is another call");
        }
        assert_eq!(item(&calls).calls().count(), 5, "submit, poll, the other answer, poll, result");
    }

    #[test]
    fn only_what_no_trace_or_parent_tells_apart_is_alike() {
        let first = call(Role::Poll, 1, 9, 2);
        let mut linked = call(Role::Poll, 1, 9, 3);
        if let What::Call(call) = &mut linked.what {
            let rare = crate::CallRare { links: vec![first.span], ..Default::default() };
            call.rare = crate::rare::Rare::new(rare);
        }
        for (held, other, alike) in [
            (&first, call(Role::Poll, 1, 9, 3), true),
            (&first, call(Role::Poll, 1, 8, 3), false),
            (&first, call(Role::Poll, 2, 9, 3), false),
            (&first, linked, false),
            (&call(Role::Poll, 1, 0, 2), call(Role::Poll, 2, 0, 3), true),
            (&call(Role::Result, 1, 9, 2), call(Role::Result, 1, 9, 3), false),
        ] {
            assert_eq!(is_like(held, &other), alike, "{other:?}");
        }
    }
}
