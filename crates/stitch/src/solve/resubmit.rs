//! Submits that an application sends again after it had seen the one before end badly.
//!
//! # Why
//!
//! A retry of the SDK follows a refused request, and [`super::retry`] finds it. Here the request was taken
//! and its *task* failed, minutes later perhaps, or nothing more could be learned of it; the application
//! saw that and asked once more for the same thing. Two jobs would be counted where one result was wanted,
//! and the cost of the failure would not be seen.
//!
//! # What is a resubmission
//!
//! Equal requests of one client, the later one after the last call that showed the end of the earlier one's
//! task. All of a pool are one assignment, so that of parallel jobs each goes on with its own.
//!
//! - Below one parent (or one span, not counting those that hold one call each) it is one, unless that
//!   parent goes on so without a failure as well: a batch sends the next item whether or not the last one
//!   failed, and nothing tells the two apart.
//! - Without lineage it is one only if it comes at once, and if that is likelier than another wish: how often
//!   the client is seen to go on so, and how well the wait fits, against how often the request comes anyway.
//!   Who was told that a request is not valid rarely sends the same.
//!
//! # What is none
//!
//! Who cancels does not want it again, unless it is sent at once below the same parent. A submit that is
//! known as a retry or a double of another one is that and nothing else.

use std::cell::{LazyCell, OnceCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::evidence::Evidence;
use crate::id::{SpanKey, UnixNanos};
use crate::solve::Solution;
use crate::solve::assign::{self, Edge, Pair};
use crate::solve::attempts::{AttemptDraft, Drafts};
use crate::solve::density::{Kernels, lognormal};
use crate::solve::ending::{End, EndKind};
use crate::solve::pool::{Pool, Shot};
use crate::solve::retry::client_request;

/// Longest wait before an application resubmits what had failed at the provider, in seconds.
const RESUBMIT_SECONDS: f64 = 60.0;

/// Longest wait, in seconds, before it does so at once.
const AT_ONCE_SECONDS: f64 = 2.0;

/// So often must a parent have gone on without a failure to be a batch.
const BATCH: usize = 2;

/// Most later submits that are weighed for one: of those below its parent, and of the others.
const MAX_NEXT: usize = 8;
/// Most later submits gone through to find them.
const MAX_LOOKED_AT: usize = 1024;
/// What a common parent is worth, in nats: any wait will do.
const KIN: f64 = 12.0;
/// Penalty, in nats, if the failure was shown once more after the submit: whoever still asks for the old task
/// has not gone on to the next.
const STILL_ASKED: f64 = -4.0;
/// Most rounds of learning from the pairs of the round before.
const ROUNDS: usize = 5;

/// A submit whose task had ended badly for its client, and the equal one that came instead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resubmission {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// How much worse everything would fit without it, in nats.
    pub(crate) margin: f64,
    /// The other submit that comes nearest to being the one that was sent again.
    pub(crate) rival: Option<usize>,
}

/// What may be a resubmission.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    from: usize,
    to: usize,
    kind: EndKind,
    /// Seconds from the last call before the submit that showed the end.
    wait: f64,
    /// What speaks for it beside the wait, in nats.
    hint: f64,
    /// How often another such request comes, per second; none below one parent.
    rate: Option<f64>,
}

/// All of a pool, by the first of the two. `limit` bounds how many failures are weighed at once.
pub(crate) fn resubmissions(
    pool: &Pool<'_>,
    solution: &Solution,
    drafts: &Drafts<'_>,
    limit: usize,
) -> Vec<Resubmission> {
    let ends: BTreeMap<usize, (&AttemptDraft<'_>, End)> =
        drafts.values().filter_map(|draft| Some((draft.shot?, (draft, End::of(draft)?)))).collect();
    if ends.is_empty() {
        return Vec::new();
    }
    let candidates = candidates(pool, solution, drafts, &ends);
    let mut pairs: Vec<Pair> = Vec::new();
    let mut habits = Habits::default();
    for round in 1..=ROUNDS {
        let edges: Vec<Edge> = candidates.iter().map(|one| habits.edge(pool, one)).collect();
        let found = assign::assign(&edges, limit, false);
        if assign::same(&found, &pairs) || round == ROUNDS {
            pairs = assign::assign(&edges, limit, true);
            break;
        }
        pairs = found;
        habits = Habits::learn(pool, &ends, &candidates, &pairs);
    }
    let known =
        |pair: Pair| Resubmission { from: pair.left, to: pair.right, margin: pair.margin, rival: pair.rival };
    pairs.into_iter().map(known).collect()
}

fn candidates<'a>(
    pool: &Pool<'a>,
    solution: &Solution,
    drafts: &Drafts<'a>,
    ends: &BTreeMap<usize, (&AttemptDraft<'a>, End)>,
) -> Vec<Candidate> {
    let retried = solution.retries.iter().map(|retry| retry.to);
    let mut known: Vec<usize> = retried.chain(solution.doubles.iter().map(|double| double.lost)).collect();
    known.sort_unstable();
    let others = Others::new(pool, ends);
    let homes = Homes::new(pool);
    let batches = LazyCell::new(|| Batches::new(pool, drafts, &homes));
    let mut found = Vec::new();
    for (&from, (draft, end)) in ends {
        let shot = &pool.shots[from];
        let (Some(&first), Some(&last)) = (end.shown.first(), end.shown.last()) else { continue };
        let later = pool.shots.partition_point(|other| other.evidence.start < first);
        let mut counts = [0; 2];
        for (to, other) in pool.shots.iter().enumerate().skip(later).take(MAX_LOOKED_AT) {
            let start = other.evidence.start;
            if start.seconds_since(last) > RESUBMIT_SECONDS {
                break;
            }
            if from == to || !is_equal(shot, other) || known.binary_search(&to).is_ok() {
                continue;
            }
            let shown = end.shown[..end.shown.partition_point(|&end| end <= start)].last();
            let wait = start.seconds_since(*shown.unwrap_or(&first));
            let goes_on = || batches.go_on(&homes, shot, wait);
            let Some(kin) = tie(&homes, goes_on, draft, (shot, other), wait) else { continue };
            let count = &mut counts[usize::from(kin)];
            *count += 1;
            if *count <= MAX_NEXT {
                let hint = if kin { KIN } else { 0.0 } + if start < last { STILL_ASKED } else { 0.0 };
                let rate = (!kin).then(|| others.per_second(shot));
                found.push(Candidate { from, to, kind: end.kind, wait, hint, rate });
            }
        }
    }
    found
}

/// Whether a submit may be the resubmission of another one, and if so, whether both are below one parent.
fn tie<'a>(
    homes: &Homes<'_, 'a>,
    goes_on: impl Fn() -> bool,
    draft: &AttemptDraft<'a>,
    (shot, other): (&Shot<'a>, &Shot<'a>),
    wait: f64,
) -> Option<bool> {
    let pool = homes.pool;
    let at_once = wait < AT_ONCE_SECONDS;
    let tells = pool.lineage.tells(shot.evidence) && pool.lineage.tells(other.evidence);
    let kin = tells
        && homes.are_one(shot.evidence, other.evidence)
        && (at_once || !draft.was_canceled())
        && !goes_on();
    let same_trace = shot.evidence.span.trace == other.evidence.span.trace;
    let silent = if same_trace { !tells } else { !pool.lineage.apart(shot.evidence, other.evidence) };
    // Who cancels does not want it again; a program that sees a failure may.
    (kin || silent && at_once && !draft.was_canceled()).then_some(kin)
}

/// How a service goes on after a bad end, as found in the last round.
#[derive(Default)]
struct Habits<'a> {
    waits: BTreeMap<&'a Arc<str>, Kernels>,
    /// How many ends of each kind a resubmission followed, and how many none did.
    counts: BTreeMap<(&'a Arc<str>, EndKind), (f64, f64)>,
    /// The resubmission of each, and its wait.
    own: BTreeMap<usize, (usize, f64)>,
}

impl<'a> Habits<'a> {
    fn learn(
        pool: &Pool<'a>,
        ends: &BTreeMap<usize, (&AttemptDraft<'a>, End)>,
        candidates: &[Candidate],
        pairs: &[Pair],
    ) -> Self {
        let service = |from: usize| &pool.shots[from].evidence.client.service;
        let mut own = BTreeMap::new();
        let mut waits: BTreeMap<_, Vec<f64>> = BTreeMap::new();
        let is_pair = |one: &&Candidate| {
            pairs.binary_search_by_key(&(one.from, one.to), |pair| (pair.left, pair.right)).is_ok()
        };
        for one in candidates.iter().filter(is_pair) {
            own.insert(one.from, (one.to, one.wait));
            waits.entry(service(one.from)).or_default().push(one.wait);
        }
        let mut counts: BTreeMap<_, (f64, f64)> = BTreeMap::new();
        for (from, (_, end)) in ends {
            let (again, left) = counts.entry((service(*from), end.kind)).or_default();
            *if own.contains_key(from) { again } else { left } += 1.0;
        }
        let waits = waits.into_iter().map(|(service, waits)| (service, Kernels::new(waits))).collect();
        Self { waits, counts, own }
    }

    fn edge(&self, pool: &Pool<'a>, one: &Candidate) -> Edge {
        let service = &pool.shots[one.from].evidence.client.service;
        let own = self.own.get(&one.from);
        let own_wait = own.filter(|(to, _)| *to == one.to).map(|&(_, wait)| wait);
        let waits = self.waits.get(service);
        let (learned, count) = waits.map_or((0.0, 0.0), |waits| waits.density(one.wait, own_wait));
        let weight = count / (count + 2.0);
        let density = weight * learned + (1.0 - weight) * wait(one.wait);
        let chance = one.rate.map_or(0.0, |rate| {
            let (mut again, mut left) = self.counts.get(&(service, one.kind)).copied().unwrap_or_default();
            // What became of this one must not speak for itself.
            *if own.is_some() { &mut again } else { &mut left } -= 1.0;
            let (prior_again, prior_left) = prior(one.kind);
            ((again.max(0.0) + prior_again) / (left.max(0.0) + prior_left) / rate).ln()
        });
        Edge { left: one.from, right: one.to, gain: one.hint + chance + density.ln() }
    }
}

/// How many ends of a kind to think of before any is seen: those that the client goes on after, and those
/// that it leaves at that.
fn prior(kind: EndKind) -> (f64, f64) {
    match kind {
        EndKind::Failed | EndKind::Unanswered => (1.0, 1.0),
        EndKind::Refused => (0.6, 20.0),
    }
}

/// The wait of an application that sends again: a part of a second, or what its author thought right.
fn wait(seconds: f64) -> f64 {
    0.8 * lognormal(seconds.max(1e-6), 0.5_f64.ln(), 1.2) + 0.2 / RESUBMIT_SECONDS
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
    fn new(pool: &Pool<'_>, ends: &BTreeMap<usize, (&AttemptDraft<'_>, End)>) -> Self {
        let mut failed: BTreeMap<u64, Vec<UnixNanos>> = BTreeMap::new();
        for (&from, (_, end)) in ends {
            failed.entry(client_request(&pool.shots[from])).or_default().extend(&end.shown);
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

    /// Half a request more than were seen: there may be one at any time.
    fn per_second(&self, shot: &Shot<'_>) -> f64 {
        (self.counts.get(&client_request(shot)).copied().unwrap_or_default().max(0.0) + 0.5) / self.seconds
    }
}

/// From where a program sends its submits: the span below which it does, without those that hold one call
/// alone. An SDK or a GenAI instrumentation puts such a span around each call.
struct Homes<'p, 'a> {
    pool: &'p Pool<'a>,
    /// How many calls there are below each span; counted when one is asked for.
    calls: OnceCell<BTreeMap<SpanKey, u32>>,
}

impl<'p, 'a> Homes<'p, 'a> {
    fn new(pool: &'p Pool<'a>) -> Self {
        Self { pool, calls: OnceCell::new() }
    }

    fn are_one(&self, a: &'a Evidence, b: &'a Evidence) -> bool {
        a.span.trace == b.span.trace && (a.parent == b.parent || self.of(a) == self.of(b))
    }

    fn of(&self, submit: &'a Evidence) -> SpanKey {
        let calls = self.calls.get_or_init(|| self.count());
        let mut home = submit.parent;
        for above in self.pool.lineage.ancestors(submit) {
            home = above.span.span;
            if calls.get(&above.span).is_some_and(|&count| count > 1) {
                break;
            }
            home = above.parent;
        }
        SpanKey { trace: submit.span.trace, span: home }
    }

    fn count(&self) -> BTreeMap<SpanKey, u32> {
        let tasks = self.pool.tasks.iter().filter(|task| !task.named).flat_map(|task| &task.calls).copied();
        let all = self.pool.shots.iter().map(|shot| shot.evidence).chain(tasks);
        let mut counts = BTreeMap::new();
        for above in all.flat_map(|call| self.pool.lineage.ancestors(call)) {
            *counts.entry(above.span).or_insert(0) += 1;
        }
        counts
    }
}

/// Which equal requests from one home follow one another without a failure: home, request and client library,
/// with the shortest pause in seconds.
struct Batches(BTreeMap<(SpanKey, u64, u64), f64>);

impl Batches {
    fn new<'a>(pool: &Pool<'a>, drafts: &Drafts<'a>, homes: &Homes<'_, 'a>) -> Self {
        let mut siblings: BTreeMap<_, Vec<(UnixNanos, UnixNanos, bool)>> = BTreeMap::new();
        for draft in drafts.values() {
            let Some(shot) = draft.shot.map(|shot| &pool.shots[shot]) else { continue };
            let Some(end) = draft.parts.iter().map(|part| part.end).max() else { continue };
            let went_well = !shot.failed() && End::of(draft).is_none();
            let key = Self::key(homes, shot);
            siblings.entry(key).or_default().push((shot.evidence.start, end, went_well));
        }
        let shortest = siblings.into_iter().filter_map(|(key, mut siblings)| {
            siblings.sort_unstable();
            let after = siblings.windows(2).filter(|pair| pair[0].2);
            let pauses: Vec<f64> = after.map(|pair| pair[1].0.seconds_since(pair[0].1)).collect();
            let shortest = pauses.iter().copied().min_by(f64::total_cmp)?;
            (pauses.len() >= BATCH).then_some((key, shortest))
        });
        Self(shortest.collect())
    }

    fn key<'a>(homes: &Homes<'_, 'a>, shot: &Shot<'a>) -> (SpanKey, u64, u64) {
        (homes.of(shot.evidence), client_request(shot), shot.call.agent)
    }

    /// Whether the parent of a submit sends equal ones after such a pause, whatever became of the one before.
    fn go_on<'a>(&self, homes: &Homes<'_, 'a>, shot: &Shot<'a>, pause: f64) -> bool {
        self.0.get(&Self::key(homes, shot)).is_some_and(|&shortest| 2.0 * pause >= shortest)
    }
}
