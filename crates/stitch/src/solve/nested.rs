//! One request that several spans show, one below the other.
//!
//! # Why
//!
//! A web framework writes a client span around each fetch, and the HTTP client below it another one. A mesh
//! or a gateway of the company's own that sends a request on writes a third. The provider got one request,
//! and bills it once.
//!
//! # What is one request
//!
//! A call and the nearest call above it, if both are of one provider, one rule of its file, one model and
//! one task, as far as they tell, and the one was under way while the other was. A context that leaks makes a
//! poll the child of the poll before it, which is over by then.
//!
//! # Which span stands for it
//!
//! The one that tells most: an answer, the task, its state, quantities. Of two that tell the same the outer
//! one does, whose process is the one that wanted it. Where several calls are directly below one, what is in
//! between sent the request again: each of these is a request, and those above are echoes of the first.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use crate::call::{Answer, Call};
use crate::evidence::Evidence;
use crate::id::SpanKey;
use crate::solve::echo::{Echo, Kept};
use crate::solve::lineage::{Lineage, MAX_DEPTH};
use crate::solve::pool::{call_of, order};
use crate::solve::stand_in::stands_in;

/// Whether some call may be above another one: most pools have none, and end here.
pub(crate) fn may_nest<'a>(
    calls: impl Iterator<Item = &'a Evidence> + Clone,
    frames: impl Iterator<Item = &'a Evidence>,
) -> bool {
    // The children of one span follow one another, as a rule.
    let mut parents: SmallVec<[SpanKey; 8]> = SmallVec::new();
    for evidence in calls.clone().chain(frames).filter(|evidence| evidence.parent.is_some()) {
        let parent = SpanKey { trace: evidence.span.trace, span: evidence.parent };
        if parents.last() != Some(&parent) {
            parents.push(parent);
        }
    }
    parents.sort_unstable();
    parents.dedup();
    !parents.is_empty() && calls.into_iter().any(|call| parents.binary_search(&call.span).is_ok())
}

/// The calls that others show as well, and better, by span. `lineage` knows all frames.
pub(crate) fn nested(calls: &[Kept<'_>], lineage: &Lineage<'_>) -> Vec<Echo> {
    let mut calls: Vec<Kept<'_>> = calls.iter().copied().filter(|(_, call)| !stands_in(call)).collect();
    calls.sort_unstable_by_key(|(_, evidence)| order(evidence));
    let tree = Tree::new(&calls, lineage);
    let mut is_echo = vec![false; calls.len()];
    let mut echoes = Vec::new();
    for leaf in (0..calls.len()).filter(|&at| tree.inner[at] == 0) {
        let chain = tree.chain(leaf);
        // The last of those that tell the same, which is the outermost.
        let Some(stands) = chain.iter().copied().max_by_key(|&at| tells(calls[at].1)) else { continue };
        let mut above = tree.outer[*chain.last().unwrap_or(&leaf)];
        let mut take = |at: usize| {
            let is_first = !std::mem::replace(&mut is_echo[at], true);
            if is_first {
                echoes.push(Echo::new(calls[at], calls[stands]));
            }
            is_first
        };
        for &at in chain.iter().filter(|&&at| at != stands) {
            take(at);
        }
        while let Some(at) = above.filter(|&at| take(at)) {
            above = tree.outer[at];
        }
    }
    echoes.sort_unstable_by_key(|echo| echo.span);
    echoes
}

/// Which call is around which.
struct Tree {
    /// By call, the one around it that shows the same request.
    outer: Vec<Option<usize>>,
    /// By call, how many it is around.
    inner: Vec<usize>,
}

impl Tree {
    /// Of calls in order.
    fn new(calls: &[Kept<'_>], lineage: &Lineage<'_>) -> Self {
        let mut by_span: BTreeMap<SpanKey, usize> = BTreeMap::new();
        for (at, (_, evidence)) in calls.iter().enumerate() {
            by_span.entry(evidence.span).or_insert(at);
        }
        let outer = |(_, inner): &Kept<'_>| {
            let mut parent = SpanKey { trace: inner.span.trace, span: inner.parent };
            for _ in 0..MAX_DEPTH {
                if let Some(&at) = by_span.get(&parent) {
                    return is_one_request(calls[at].1, inner).then_some(at);
                }
                parent.span = lineage.get(parent)?.parent;
            }
            None
        };
        let outer: Vec<Option<usize>> = calls.iter().map(outer).collect();
        let mut inner = vec![0; calls.len()];
        outer.iter().flatten().for_each(|&at| inner[at] += 1);
        Self { outer, inner }
    }

    /// A call, and those around it that are around nothing else.
    fn chain(&self, leaf: usize) -> Vec<usize> {
        let around = |&at: &usize| self.outer[at].filter(|&outer| self.inner[outer] == 1);
        std::iter::successors(Some(leaf), around).collect()
    }
}

fn is_one_request(outer: &Evidence, inner: &Evidence) -> bool {
    let (Some(a), Some(b)) = (call_of(outer), call_of(inner)) else { return false };
    let (here, there) = (&a.endpoint, &b.endpoint);
    let is_one_task = a.task == b.task || a.task.is_none() || b.task.is_none();
    outer.span != inner.span
        && outer.client.tenant == inner.client.tenant
        && (&here.provider, &here.rule) == (&there.provider, &there.rule)
        && here.fits(there)
        && is_one_task
        && outer.start <= inner.end
        && inner.start <= outer.end
}

/// How much a span tells of its call.
fn tells(evidence: &Evidence) -> impl Ord {
    let known = |call: &Call| {
        let answered = match call.answer {
            Answer::Status(_) => 2,
            Answer::NotSent | Answer::TimedOut | Answer::Reset => 1,
            Answer::Missing => 0,
        };
        (answered, call.task.is_some(), call.verdict.is_some(), call.rare.facts.len())
    };
    call_of(evidence).map(known)
}
