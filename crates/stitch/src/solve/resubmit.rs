//! Submits that an application sends again after the task of the one before had visibly failed.
//!
//! # Why
//!
//! A retry of the SDK follows a refused request, and [`super::retry`] finds it. Here the request was taken
//! and its *task* failed, minutes later perhaps; the application saw that and asked once more for the same
//! thing. Two jobs would be counted where one result was wanted, and the cost of the failure would not be
//! seen.
//!
//! # What is a resubmission
//!
//! Equal requests of one client, the later one after the end of the earlier one's task.
//!
//! - Below one parent (or one span, not counting those that hold one call each) it is one, unless that
//!   parent goes on so without a failure as well: a batch sends the next item whether or not the last one
//!   failed, and nothing tells the two apart.
//! - Without lineage it is one only if it comes at once, and such requests are so rare that chance does not
//!   explain it.
//!
//! # What is none
//!
//! Who cancels does not want it again, unless it is sent at once below the same parent. A submit that is
//! known as a retry or a double of another one is that and nothing else.

use std::collections::BTreeMap;

use crate::evidence::Evidence;
use crate::id::{SpanKey, TraceId, UnixNanos};
use crate::solve::Solution;
use crate::solve::group::AttemptDraft;
use crate::solve::pool::{Pool, Shot};
use crate::solve::retry::client_request;

/// Longest wait before an application resubmits what had failed at the provider, in seconds.
const RESUBMIT_SECONDS: f64 = 60.0;

/// Longest wait, in seconds, before it does so at once.
const AT_ONCE_SECONDS: f64 = 2.0;

/// So often must a parent have gone on without a failure to be a batch.
const BATCH: usize = 2;

/// Without lineage an equal request is no chance if fewer than so many are to be expected in the pause.
const EXPECTED_BY_CHANCE: f64 = 0.02;

/// A submit whose task had visibly ended without success, and the equal one that came instead.
pub(crate) struct Resubmission {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// Below one parent, which says more than time.
    pub(crate) kin: bool,
}

/// All of a pool, by the end of the first of the two.
pub(crate) fn resubmissions(
    pool: &Pool<'_>,
    solution: &Solution,
    drafts: &BTreeMap<usize, AttemptDraft<'_>>,
) -> Vec<Resubmission> {
    let retried = solution.retries.iter().map(|retry| retry.to);
    let mut known: Vec<usize> = retried.chain(solution.doubles.iter().map(|double| double.lost)).collect();
    known.sort_unstable();
    let mut others = None;
    let mut homes = Homes::new(pool);
    let mut found = Vec::new();
    for draft in drafts.values() {
        let Some(from) = draft.shot else { continue };
        let Some(failed_at) = draft.failed_at() else { continue };
        let shot = &pool.shots[from];
        let later = pool.shots.partition_point(|other| other.evidence.start < failed_at);
        let next = pool.shots[later..].iter().position(|other| is_equal(shot, other));
        let Some(to) = next.map(|at| at + later) else { continue };
        let other = &pool.shots[to];
        let gap = other.evidence.start.seconds_since(failed_at);
        if from == to || gap > RESUBMIT_SECONDS || known.binary_search(&to).is_ok() {
            continue;
        }
        let at_once = gap < AT_ONCE_SECONDS;
        let tells = pool.lineage.tells(shot.evidence) && pool.lineage.tells(other.evidence);
        let kin = tells
            && homes.are_one(shot.evidence, other.evidence)
            && (at_once || !draft.was_canceled())
            && !goes_on(pool, drafts, &mut homes, shot, gap);
        let same_trace = shot.evidence.span.trace == other.evidence.span.trace;
        let silent = if same_trace { !tells } else { !pool.lineage.apart(shot.evidence, other.evidence) };
        // Who cancels does not want it again; a program that sees a failure may.
        let rare = silent
            && at_once
            && !draft.was_canceled()
            && others.get_or_insert_with(|| Others::new(pool, drafts)).per_second(shot) * gap
                < EXPECTED_BY_CHANCE;
        if kin || rare {
            found.push(Resubmission { from, to, kin });
        }
    }
    found
}

fn is_equal(a: &Shot<'_>, b: &Shot<'_>) -> bool {
    a.call.request == b.call.request && a.call.agent == b.call.agent && a.evidence.client == b.evidence.client
}

/// How often a client submits each request, per second, but for what it sent at once after such a request had
/// failed and for the first: what else there is for an equal request to be.
struct Others {
    counts: BTreeMap<u64, f64>,
    seconds: f64,
}

impl Others {
    fn new(pool: &Pool<'_>, drafts: &BTreeMap<usize, AttemptDraft<'_>>) -> Self {
        let mut failed: BTreeMap<u64, Vec<UnixNanos>> = BTreeMap::new();
        for draft in drafts.values() {
            if let (Some(shot), Some(failed_at)) = (draft.shot, draft.failed_at()) {
                failed.entry(client_request(&pool.shots[shot])).or_default().push(failed_at);
            }
        }
        for failed in failed.values_mut() {
            failed.sort_unstable();
        }
        let mut counts = BTreeMap::new();
        for shot in &pool.shots {
            let (request, start) = (client_request(shot), shot.evidence.start);
            let before = failed
                .get(&request)
                .and_then(|failed| failed[..failed.partition_point(|&failed_at| failed_at <= start)].last());
            let follows = before.is_some_and(|&failed_at| start.seconds_since(failed_at) < AT_ONCE_SECONDS);
            // The first of them is the one that failed.
            let count = counts.entry(request).or_insert(-1.0);
            *count += f64::from(u8::from(!follows));
        }
        let seconds = match (pool.shots.first(), pool.shots.last()) {
            (Some(first), Some(last)) => last.evidence.start.seconds_since(first.evidence.start),
            _ => 0.0,
        };
        Self { counts, seconds: seconds.max(1.0) }
    }

    fn per_second(&self, shot: &Shot<'_>) -> f64 {
        self.counts.get(&client_request(shot)).copied().unwrap_or_default().max(0.0) / self.seconds
    }
}

/// From where a program sends its submits: the span below which it does, without those that hold one call
/// alone. An SDK or a GenAI instrumentation puts such a span around each call.
struct Homes<'p, 'a> {
    pool: &'p Pool<'a>,
    /// How many calls there are below each span, by trace; counted when they are asked for.
    calls: BTreeMap<TraceId, BTreeMap<SpanKey, u32>>,
}

impl<'p, 'a> Homes<'p, 'a> {
    fn new(pool: &'p Pool<'a>) -> Self {
        Self { pool, calls: BTreeMap::new() }
    }

    fn are_one(&mut self, a: &'a Evidence, b: &'a Evidence) -> bool {
        a.span.trace == b.span.trace && (a.parent == b.parent || self.of(a) == self.of(b))
    }

    fn of(&mut self, submit: &'a Evidence) -> SpanKey {
        let pool = self.pool;
        let trace = submit.span.trace;
        let calls = self.calls.entry(trace).or_insert_with(|| {
            let tasks = pool.tasks.iter().filter(|task| !task.named).flat_map(|task| &task.calls).copied();
            let all = pool.shots.iter().map(|shot| shot.evidence).chain(tasks);
            let mut counts = BTreeMap::new();
            for call in all.filter(|call| call.span.trace == trace) {
                pool.lineage.ancestors(call).for_each(|above| *counts.entry(above.span).or_insert(0) += 1);
            }
            counts
        });
        let mut home = submit.parent;
        for above in pool.lineage.ancestors(submit) {
            home = above.span.span;
            if calls.get(&above.span).is_some_and(|&count| count > 1) {
                break;
            }
            home = above.parent;
        }
        SpanKey { trace, span: home }
    }
}

/// Whether the parent of a submit sends equal ones after such a pause, whatever became of the one before.
fn goes_on<'a>(
    pool: &Pool<'a>,
    drafts: &BTreeMap<usize, AttemptDraft<'_>>,
    homes: &mut Homes<'_, 'a>,
    shot: &Shot<'a>,
    pause: f64,
) -> bool {
    let mut siblings: Vec<(UnixNanos, UnixNanos, bool)> = drafts
        .values()
        .filter_map(|draft| {
            let other = &pool.shots[draft.shot?];
            if !is_equal(shot, other) || !homes.are_one(shot.evidence, other.evidence) {
                return None;
            }
            let end = draft.parts.iter().map(|part| part.end).max()?;
            Some((other.evidence.start, end, !other.failed() && draft.failed_at().is_none()))
        })
        .collect();
    siblings.sort_unstable();
    let after = siblings.windows(2).filter(|pair| pair[0].2);
    let mut pauses: Vec<f64> = after.map(|pair| pair[1].0.seconds_since(pair[0].1)).collect();
    pauses.sort_unstable_by(f64::total_cmp);
    pauses.len() >= BATCH && 2.0 * pause >= pauses[0]
}
