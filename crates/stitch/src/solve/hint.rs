//! What else than the gap speaks for a submit and a first call: lineage, links, library, callback.

use std::collections::BTreeMap;

use crate::call::Accepted;
use crate::evidence::Evidence;
use crate::frame::FrameKind;
use crate::id::SpanKey;
use crate::job::JoinRule;
use crate::solve::bind::Open;
use crate::solve::pool::{Pool, Shot, call_of};
use crate::solve::{Tied, confidence};

/// What a common parent, or a common trace, is worth in nats.
const PARENT: f64 = 7.0;
const TRACE: f64 = 5.0;
/// Penalty when the first call carries no link although another task links to the submit's trace: a client
/// that links one task usually links all.
pub(crate) const UNLINKED: f64 = -0.7;

/// Penalty for a submit that had its deliveries: one client in twenty asks all the same.
pub(crate) const CALLED_BACK: f64 = -3.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kinship {
    Parent,
    Trace,
    None,
}

pub(crate) fn kinship(shot: &Shot<'_>, first: &Evidence) -> Kinship {
    if shot.evidence.span.trace != first.span.trace {
        Kinship::None
    } else if shot.evidence.parent.is_some() && shot.evidence.parent == first.parent {
        Kinship::Parent
    } else {
        Kinship::Trace
    }
}

/// The sum of all hints, in nats. `delivered` is the last delivery, if deliveries were the first sign of the
/// task; `has_group` tells whether deliveries came at all.
pub(crate) fn worth<'a>(
    pool: &Pool<'a>,
    shot: &Shot<'a>,
    first: &'a Evidence,
    delivered: Option<&Evidence>,
    has_group: bool,
) -> f64 {
    let kin = match kinship(shot, first) {
        Kinship::Parent => PARENT,
        Kinship::Trace => TRACE,
        Kinship::None => 0.0,
    };
    let linked = match links(pool, shot, first) {
        Some(true) => 7.0,
        Some(false) => -7.0,
        None => 0.0,
    };
    let Some(delivered) = delivered else {
        let stranger = first.client == shot.evidence.client
            && call_of(first).is_some_and(|call| call.library() != shot.call.library())
            && pool.asks_by_its_own_library(shot);
        let polled_though_called_back = shot.call.rare.callback.is_some() && !has_group;
        return kin
            + linked
            + if stranger { -6.0 } else { 0.0 }
            + if polled_though_called_back { -2.0 } else { 0.0 };
    };
    let blocking = if shot.is_blocking() { -2.0 } else { 0.0 };
    kin + linked + blocking + enclosing(pool, shot, delivered)
}

/// What speaks against a submit whose client had no answer. Its task may run, and be delivered; but who was
/// told no id asks for none, unless the answer was lost on the way to the span alone.
pub(crate) fn unanswered(shot: &Shot<'_>, delivered: bool, first: Option<&Evidence>) -> f64 {
    let is_kin = || first.is_some_and(|first| kinship(shot, first) != Kinship::None);
    if delivered || is_kin() { -3.0 } else { -10.0 }
}

/// Whether links of the first call or of a span above it name the submit's trace; none without links.
pub(crate) fn links<'a>(pool: &Pool<'a>, shot: &Shot<'_>, first: &'a Evidence) -> Option<bool> {
    let mut links = linked(pool, first).peekable();
    links.peek()?;
    Some(links.any(|link| link.trace == shot.evidence.span.trace))
}

/// Links of a first call and of the spans above it.
pub(crate) fn linked<'a>(pool: &Pool<'a>, first: &'a Evidence) -> impl Iterator<Item = &'a SpanKey> {
    std::iter::once(first).chain(pool.lineage.ancestors(first)).flat_map(Evidence::links)
}

/// A request that waited for its job ends right after the delivery that was taken, or while that is answered;
/// one that ended before did not wait.
fn enclosing<'a>(pool: &Pool<'a>, shot: &Shot<'a>, delivered: &Evidence) -> f64 {
    let Some(request) = pool.lineage.topmost(shot.evidence, FrameKind::Server) else { return 0.0 };
    if request.end < delivered.start {
        -1.5
    } else if request.end.seconds_since(delivered.end) <= 0.1 {
        2.5
    } else {
        0.0
    }
}

/// A submit and a task that have nobody else, in one trace: no assignment is needed.
pub(crate) fn only_pair(pool: &Pool<'_>, shot: usize, task: usize) -> Option<Tied> {
    let submit = &pool.shots[shot];
    let (first, call) = pool.tasks[task].followups().next()?;
    let (asked, polled) = (&submit.call.endpoint, &call.endpoint);
    let fits = asked.provider == polled.provider
        && polled.fits_family(asked)
        && submit.evidence.span.trace == first.span.trace
        && submit.evidence.end <= first.start
        && submit.call.accepted == Accepted::Yes
        && submit.task.is_none()
        && first.links().is_empty();
    let kin = submit.evidence.parent.is_some() && submit.evidence.parent == first.parent;
    // What lineage alone is worth in the assignment.
    let margin = if kin { PARENT } else { TRACE };
    let confidence = confidence(margin);
    fits.then_some(Tied { shot, rule: JoinRule::TraceOrder, confidence, margin: Some(margin), instead: None })
}

/// Submits and tasks that have nobody else below their parent, and are asked for nowhere else: no rhythm of
/// other traces says more than that.
pub(crate) fn lone_pairs(pool: &Pool<'_>, open: &Open) -> Vec<(usize, Tied)> {
    let mut below: BTreeMap<SpanKey, (Lone, Lone)> = BTreeMap::new();
    for &shot in &open.shots {
        if let Some(parent) = parent_of(pool.shots[shot].evidence) {
            below.entry(parent).or_default().0.add(shot);
        }
    }
    if below.is_empty() {
        return Vec::new();
    }
    for &task in &open.tasks {
        let calls = pool.tasks[task].followups();
        for parent in calls.filter_map(|(call, _)| parent_of(call)) {
            if let Some((_, tasks)) = below.get_mut(&parent) {
                tasks.add(task);
            }
        }
    }
    let in_one_place = |task: usize| {
        let mut parents = pool.tasks[task].followups().map(|(call, _)| parent_of(call));
        let first = parents.next();
        parents.all(|parent| Some(parent) == first)
    };
    let pairs = below.into_values().filter_map(|pair| match pair {
        (Lone::One(shot), Lone::One(task)) if in_one_place(task) => {
            Some((task, only_pair(pool, shot, task)?))
        }
        _ => None,
    });
    pairs.collect()
}

/// What there is of a kind below a span.
#[derive(Clone, Copy, Default)]
enum Lone {
    #[default]
    None,
    One(usize),
    Several,
}

impl Lone {
    fn add(&mut self, at: usize) {
        *self = match *self {
            Self::None => Self::One(at),
            Self::One(held) if held == at => Self::One(at),
            _ => Self::Several,
        };
    }
}

fn parent_of(evidence: &Evidence) -> Option<SpanKey> {
    let known = evidence.parent.is_some();
    known.then_some(SpanKey { trace: evidence.span.trace, span: evidence.parent })
}
