//! Retry chains: a failed submit and the next submit of the same request.
//!
//! Solved before any task is assigned, as one assignment of failed submits to later ones. A candidate is
//! worth the log odds that the next equal request is this client's retry and not the next customer's: how
//! likely a retry follows such a failure, how well the gap fits this client's habit, against how often that
//! URL is submitted anyway. The habit is learned from the chains themselves, each pair judged without its
//! own gap.

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::call::Answer;
use crate::evidence::Client;
use crate::id::TraceId;
use crate::solve::STRONG_NATS;
use crate::solve::assign::{self, Edge, Pair};
use crate::solve::crossing::{self, Before, Links};
use crate::solve::density::{Kernels, exponential, lognormal};
use crate::solve::pool::{Pool, Shot};

/// Longest gap between an attempt and its resubmission, in seconds: the SDKs cap their own back-off at 30 s,
/// and timers of a busy process are late.
const WINDOW_SECONDS: f64 = 40.0;
/// The same where the client marked it: SDKs obey a `Retry-After` of up to 60 s.
const MARKED_SECONDS: f64 = 75.0;
/// Most rounds of learning habits from the chains of the round before: two choices may go back and forth.
const ROUNDS: usize = 5;
/// Most later submits of a kind that are weighed as the resubmission of one: the next. In a storm of refusals
/// more of them lie within the window, of which the wait tells no more than a few apart.
pub(super) const MAX_NEXT: usize = 64;
/// Most later submits gone through to find them, where most are of other pieces of work.
const MAX_LOOKED_AT: usize = 1024;

/// A failed shot and its resubmission.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) margin: f64,
    /// The failed shot that comes nearest to being the one that was tried again.
    pub(crate) rival: Option<usize>,
    /// The client marked it.
    pub(crate) marked: bool,
    /// The mark tells all: nothing else near carries it, or it fits nowhere else.
    pub(crate) exact: bool,
}

/// Finds the retry chains of a pool.
pub(crate) fn chains(pool: &Pool<'_>, limit: usize) -> Vec<Retry> {
    let candidates = candidates(pool);
    if candidates.is_empty() {
        return Vec::new();
    }
    let rates = Rates::new(pool);
    let mut pairs: Vec<Pair> = Vec::new();
    let mut edges: Vec<Edge> = Vec::new();
    for round in 0..ROUNDS {
        let habits = Habits::learn(pool, &pairs);
        edges = candidates
            .iter()
            .map(|&(from, to)| {
                let before = habits.before.get(&from).copied();
                Edge { left: from, right: to, gain: gain(pool, &rates, &habits, (from, to), before) }
            })
            .collect();
        let next = assign::assign(&edges, limit, round + 1 == ROUNDS);
        let settled = assign::same(&next, &pairs);
        pairs = next;
        if settled && round + 1 < ROUNDS {
            pairs = assign::assign(&edges, limit, true);
            break;
        }
    }
    let waits = Waits { pool, rates: &rates, habits: &Habits::learn(pool, &pairs) };
    let ends = pairs.iter().map(|pair| (pair.left, pair.right));
    for (from, (to, margin)) in crossing::untangle(&waits, &candidates, ends) {
        if let Some(pair) = pairs.iter_mut().find(|pair| pair.left == from) {
            *pair = Pair { left: from, right: to, margin, rival: None };
        }
    }
    let is_marked = |from: usize, to: usize| marks(&pool.shots[from], &pool.shots[to]) == Mark::Next;
    let (mut again, mut before) = (Counts::default(), Counts::default());
    for edge in edges.iter().filter(|edge| edge.gain > 0.0 && is_marked(edge.left, edge.right)) {
        *again.entry(edge.left).or_default() += 1;
        *before.entry(edge.right).or_default() += 1;
    }
    let retry = |pair: &Pair| {
        let Pair { left: from, right: to, margin, rival } = *pair;
        let marked = is_marked(from, to);
        let alone = [again.get(&from), before.get(&to)].into_iter().flatten().all(|&count| count == 1);
        Retry { from, to, margin, rival, marked, exact: marked && (alone || margin >= STRONG_NATS) }
    };
    pairs.iter().map(retry).collect()
}

/// By shot, how many others it may be tied to by a mark.
type Counts = HashMap<usize, u32, FixedState>;

/// What equal submits of one client library share, with the resend count that they are marked with (zero
/// where they are not) and, for those that a trace ties, the trace.
type QueueKey<'a> = (u64, u64, &'a Client, u16, Option<TraceId>);

fn queue_of<'a>(shot: &Shot<'a>, resend: u16, trace: Option<TraceId>) -> QueueKey<'a> {
    (shot.call.request, shot.call.agent, &shot.evidence.client, resend, trace)
}

/// The queues that a shot is in: that of all, and that of its trace, where this tells anything.
fn ties(pool: &Pool<'_>, shot: &Shot<'_>) -> impl Iterator<Item = Option<TraceId>> + use<> {
    let trace = pool.lineage.tells(shot.evidence).then_some(shot.evidence.span.trace);
    std::iter::once(None).chain(trace.map(Some))
}

/// Failed shots with the next shots of the same request by the same client: those that go on counting resends
/// and those that do not, those of the same trace and all, at most [`MAX_NEXT`] of each.
pub(super) fn candidates(pool: &Pool<'_>) -> Vec<(usize, usize)> {
    if !pool.shots.iter().any(Shot::failed) {
        return Vec::new();
    }
    let mut queues: HashMap<QueueKey<'_>, Vec<usize>, FixedState> = HashMap::default();
    for (at, shot) in pool.shots.iter().enumerate() {
        let resend = shot.call.rare.resend.unwrap_or(0);
        for trace in ties(pool, shot) {
            queues.entry(queue_of(shot, resend, trace)).or_default().push(at);
        }
    }
    let mut found = Vec::new();
    for (from, shot) in pool.shots.iter().enumerate().filter(|(_, shot)| shot.failed()) {
        let mut next = BTreeSet::new();
        let again = shot.call.rare.resend.unwrap_or(0).checked_add(1);
        for resend in std::iter::once(0).chain(again) {
            for trace in ties(pool, shot) {
                if let Some(queue) = queues.get(&queue_of(shot, resend, trace)) {
                    next.extend(following(pool, queue, from).take(MAX_NEXT));
                }
            }
        }
        found.extend(next.into_iter().map(|to| (from, to)));
    }
    found
}

/// The shots of a queue that may be the resubmission of one, by start.
fn following(pool: &Pool<'_>, queue: &[usize], from: usize) -> impl Iterator<Item = usize> {
    let shot = &pool.shots[from];
    let later = queue.partition_point(|&at| pool.shots[at].evidence.start < shot.evidence.end);
    let gap = move |to: usize| pool.shots[to].evidence.start.seconds_since(shot.evidence.end);
    let apart = move |to: usize| {
        let other = pool.shots[to].evidence;
        pool.lineage.apart(shot.evidence, other) || pool.lineage.of_two_wishes(shot.evidence, other)
    };
    let near = queue[later..].iter().copied().take(MAX_LOOKED_AT);
    let window =
        |to: usize| if marks(shot, &pool.shots[to]) == Mark::Next { MARKED_SECONDS } else { WINDOW_SECONDS };
    near.take_while(move |&to| gap(to) <= window(to)).filter(move |&to| to != from && !apart(to))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    None,
    /// The second is marked as the resend after the first.
    Next,
    /// The second is marked as something else.
    Contradicts,
}

/// A resend count that is one higher confirms; zero may be the application's own loop; anything else refutes.
fn marks(a: &Shot<'_>, b: &Shot<'_>) -> Mark {
    match (a.call.rare.resend, b.call.rare.resend) {
        (_, None | Some(0)) => Mark::None,
        (before, Some(count)) if before.unwrap_or(0).checked_add(1) == Some(count) => Mark::Next,
        _ => Mark::Contradicts,
    }
}

/// How often a client submits each request, per second, over the time that the pool spans.
pub(crate) struct Rates {
    counts: HashMap<u64, u32, FixedState>,
    seconds: f64,
}

impl Rates {
    pub(crate) fn new(pool: &Pool<'_>) -> Self {
        let mut counts = HashMap::<u64, u32, FixedState>::default();
        for shot in &pool.shots {
            *counts.entry(client_request(shot)).or_insert(0) += 1;
        }
        let (first, last) = (pool.shots.first(), pool.shots.last());
        let seconds = match (first, last) {
            (Some(first), Some(last)) => last.evidence.start.seconds_since(first.evidence.start),
            _ => 0.0,
        };
        Self { counts, seconds: seconds.max(1.0) }
    }

    pub(crate) fn of(&self, shot: &Shot<'_>) -> f64 {
        f64::from(self.counts.get(&client_request(shot)).copied().unwrap_or(1)) / self.seconds
    }
}

/// What a client asks: another service's traffic says nothing of this one's.
pub(crate) fn client_request(shot: &Shot<'_>) -> u64 {
    FixedState::default().hash_one((shot.call.request, &shot.evidence.client))
}

/// What a link is worth by habits that were learned.
struct Waits<'a, 'p> {
    pool: &'a Pool<'p>,
    rates: &'a Rates,
    habits: &'a Habits<'p>,
}

impl Links for Waits<'_, '_> {
    fn gain(&self, from: usize, to: usize, before: Before) -> f64 {
        gain(self.pool, self.rates, self.habits, (from, to), before)
    }

    fn gap(&self, from: usize, to: usize) -> f64 {
        gap(self.pool, from, to)
    }
}

fn gap(pool: &Pool<'_>, from: usize, to: usize) -> f64 {
    pool.shots[to].evidence.start.seconds_since(pool.shots[from].evidence.end).max(1e-6)
}

fn gain(
    pool: &Pool<'_>,
    rates: &Rates,
    habits: &Habits<'_>,
    (from, to): (usize, usize),
    before: Before,
) -> f64 {
    let (a, b) = (&pool.shots[from], &pool.shots[to]);
    let gap = gap(pool, from, to);
    let retried = match a.call.answer {
        // Nothing speaks of a failure, and so of no need to ask again.
        Answer::Missing if a.call.verdict.is_none() => 0.03,
        Answer::Status(408 | 409 | 429 | 500..=599)
        | Answer::TimedOut
        | Answer::Reset
        | Answer::Missing
        | Answer::NotSent => 0.9,
        Answer::Status(_) => 0.03,
    };
    let goes_on = !a.is_async() && gap < GOES_ON_SECONDS;
    let retried: f64 = if goes_on { 0.03 } else { retried };
    let same_trace = a.evidence.span.trace == b.evidence.span.trace && pool.lineage.tells(a.evidence);
    let odds = retried * habits.density(a, (from, to), gap, before) / (rates.of(a) * (1.0 - retried));
    let mark = if marks(a, b) == Mark::Next { 5.0 } else { 0.0 };
    odds.ln() + if same_trace { 3.0 } else { 0.0 } + mark
}

/// A loop over calls that give their results at once goes on to the next one as soon as this, also after one
/// that failed: an SDK that sends such a call again waits longer.
const GOES_ON_SECONDS: f64 = 0.04;

/// The wait before a first retry: an SDK's own back-off is a part of a second; an application's, or one that
/// the provider asked for (`Retry-After`), is of seconds.
fn first_wait(gap: f64) -> f64 {
    let backs_off = 0.8 * lognormal(gap, 0.4_f64.ln(), 0.8) + 0.2 * lognormal(gap, 5.0_f64.ln(), 1.2);
    0.9 * backs_off + 0.1 * no_wait(gap)
}

/// The wait before a further retry: most back-offs grow, some stay.
fn next_wait(gap: f64, previous: f64) -> f64 {
    0.85 * lognormal(gap, (1.7 * previous).ln(), 0.45) + 0.1 * first_wait(gap) + 0.05 * no_wait(gap)
}

/// Some clients send again at once, and take but the time that the process needs for it: Replicate's for
/// Node does.
fn no_wait(gap: f64) -> f64 {
    exponential(gap, 0.01)
}

/// Whose waits: client library, provider (or all of them) and retry index (first, second, any further). A
/// library waits in the same way at all endpoints of a provider. Several SDKs may be one library as far as
/// spans tell, which name the HTTP client below: of these each has its provider.
type HabitKey<'a> = (u64, Option<&'a Arc<str>>, u8);

/// The gaps of each client library by retry index, learned from the chains of the round before.
struct Habits<'a> {
    kernels: HashMap<HabitKey<'a>, Kernels, FixedState>,
    /// Gap and index of the chain link that leads *to* a shot.
    before: HashMap<usize, (f64, u8), FixedState>,
    own: HashMap<(usize, usize), f64, FixedState>,
}

impl<'a> Habits<'a> {
    fn learn(pool: &Pool<'a>, pairs: &[Pair]) -> Self {
        let mut before: HashMap<usize, (f64, u8), FixedState> = HashMap::default();
        let mut own = HashMap::default();
        let mut gaps: HashMap<HabitKey<'_>, Vec<f64>, FixedState> = HashMap::default();
        let mut order: Vec<&Pair> = pairs.iter().collect();
        order.sort_unstable_by_key(|pair| pair.right);
        for pair in order {
            let gap = gap(pool, pair.left, pair.right);
            let index = before.get(&pair.left).map_or(0, |&(_, index)| index + 1).min(2);
            before.insert(pair.right, (gap, index));
            own.insert((pair.left, pair.right), gap);
            for key in keys(&pool.shots[pair.left], index) {
                gaps.entry(key).or_default().push(gap);
            }
        }
        let kernels = gaps.into_iter().map(|(key, gaps)| (key, Kernels::new(gaps))).collect();
        Self { kernels, before, own }
    }

    fn density(&self, a: &Shot<'_>, link: (usize, usize), gap: f64, before: Before) -> f64 {
        let (prior, index) = match before {
            None => (first_wait(gap), 0),
            Some((previous, index)) => (next_wait(gap, previous), (index + 1).min(2)),
        };
        let own = self.own.get(&link).copied();
        let learn = |prior: f64, key: HabitKey<'_>| {
            let kernels = self.kernels.get(&key);
            let (learned, count) = kernels.map_or((0.0, 0.0), |kernels| kernels.density(gap, own));
            let weight = count / (count + 2.0);
            weight * learned + (1.0 - weight) * prior
        };
        0.97 * keys(a, index).into_iter().fold(prior, learn) + 0.03 / WINDOW_SECONDS
    }
}

/// Where the wait after a submit is learned: the widest first.
fn keys<'a>(shot: &Shot<'a>, index: u8) -> [HabitKey<'a>; 2] {
    [None, Some(&shot.call.endpoint.provider)].map(|provider| (shot.call.agent, provider, index))
}
