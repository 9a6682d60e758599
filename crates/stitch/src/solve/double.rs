//! Double submits: an accepted submit that nothing follows, beside an equal one.
//!
//! An impatient click or a client that forgot its first answer leaves two tasks at the provider, of which the
//! client follows one. Equal submits of a batch loop look the same but each is followed; an abandoned submit
//! has no equal beside it. Across traces nothing but time speaks: how well the gap fits what this client does
//! else when it submits twice, against how often an equal request comes anyway. What the client does is
//! learned from the pairs themselves, each judged without its own gap.

use std::cell::LazyCell;
use std::collections::BTreeMap;

use crate::call::Accepted;
use crate::evidence::Client;
use crate::id::TraceId;
use crate::job::Confidence;
use crate::settings::Settings;
use crate::solve::assign::{self, Edge, Pair};
use crate::solve::confidence;
use crate::solve::density::{Kernels, lognormal};
use crate::solve::pool::{Pool, Shot};
use crate::solve::retry::Rates;

/// Most submits before and after one that are compared with it: the nearest, and as many of its own trace. A
/// storm has thousands within the window, and time tells nothing there.
pub(super) const MAX_NEAR: usize = 128;

/// A submit that nothing follows, and the equal one that its intent is followed by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Double {
    pub(crate) lost: usize,
    pub(crate) kept: usize,
    /// Strong in one trace, soon after one another, if that trace has no other such submit that is followed:
    /// then it is no batch, of whose equal submits one was given up. A guess if several of the trace may be
    /// meant, as in a batch. Across traces by margin, likely at best.
    pub(crate) confidence: Confidence,
}

/// `followed[shot]` tells whether a task or a retry follows it.
pub(crate) fn doubles(pool: &Pool<'_>, followed: &[bool], settings: &Settings) -> Vec<Double> {
    let mut candidates = candidates(pool, followed, settings);
    if candidates.is_empty() {
        return Vec::new();
    }
    let equal = equal_and_followed(pool, followed);
    let alone = |near: &Near| equal.get(&wish(&pool.shots[near.kept])) == Some(&1);
    // What is submitted while an equal one is under way may be a batch.
    candidates.retain(|near| !near.overlaps || near.kin > 0 && alone(near));
    let words = words(&candidates, alone);
    let word = |pair: &Pair| match words.get(&(pair.left, pair.right)) {
        Some(&word) => word,
        None => confidence(pair.margin).max(Confidence::Likely),
    };
    let pairs = assigned(pool, &candidates, settings.max_assignment);
    let mut found: BTreeMap<usize, (usize, Confidence)> =
        pairs.iter().map(|pair| (pair.left, (pair.right, word(pair)))).collect();
    // Who clicks three times makes two that are lost for one that is followed. Below one parent that is sure
    // enough.
    let mut close: Vec<&Near> = candidates.iter().filter(|near| near.kin == 2).collect();
    close.sort_by(|a, b| a.gap.total_cmp(&b.gap));
    for near in close {
        let word = words.get(&(near.lost, near.kept)).copied().unwrap_or(Confidence::Guess);
        found.entry(near.lost).or_insert((near.kept, word));
    }
    found.into_iter().map(|(lost, (kept, confidence))| Double { lost, kept, confidence }).collect()
}

/// How sure each candidate of one trace is: what it says by itself.
fn words(candidates: &[Near], alone: impl Fn(&Near) -> bool) -> BTreeMap<(usize, usize), Confidence> {
    let kin = || candidates.iter().filter(|near| near.kin > 0);
    let mut meant: BTreeMap<usize, u32> = BTreeMap::new();
    for near in kin() {
        *meant.entry(near.lost).or_default() += 1;
    }
    let word = |near: &Near| match meant.get(&near.lost) {
        _ if near.gap <= AT_ONCE_SECONDS && alone(near) => Confidence::Strong,
        Some(1) => Confidence::Likely,
        _ => Confidence::Guess,
    };
    kin().map(|near| ((near.lost, near.kept), word(near))).collect()
}

/// The best pairs, by habits that are learned from the pairs of the round before.
fn assigned(pool: &Pool<'_>, candidates: &[Near], limit: usize) -> Vec<Pair> {
    let rates = Rates::new(pool);
    let mut pairs: Vec<Pair> = Vec::new();
    for round in 1..=ROUNDS {
        let habits = Habits::learn(pool, &pairs);
        let edges = candidates.iter().filter_map(|near| {
            let gain = gain(pool, &rates, near, &habits)?;
            Some(Edge { left: near.lost, right: near.kept, gain })
        });
        pairs = assign::assign(&edges.collect::<Vec<_>>(), limit, round == ROUNDS);
    }
    pairs
}

/// What is asked for, and in which trace.
fn wish(shot: &Shot<'_>) -> (TraceId, u64) {
    (shot.evidence.span.trace, shot.call.request)
}

/// How many equal submits of each trace are followed.
fn equal_and_followed(pool: &Pool<'_>, followed: &[bool]) -> BTreeMap<(TraceId, u64), u32> {
    let mut counts = BTreeMap::new();
    let shots = pool.shots.iter().zip(followed).filter(|(shot, followed)| **followed && may_be_lost(shot));
    for (shot, _) in shots {
        *counts.entry(wish(shot)).or_insert(0) += 1;
    }
    counts
}

/// Seconds from the end of the earlier to the start of the later: what a client's habit keeps constant that
/// waits for the answer. Nothing if they overlap.
fn between(a: &Shot<'_>, b: &Shot<'_>) -> f64 {
    let gap = b.evidence.start.seconds_since(a.evidence.end);
    gap.max(a.evidence.start.seconds_since(b.evidence.end)).max(0.0)
}

/// Seconds from start to start: what is constant where nobody waits.
fn from_start(a: &Shot<'_>, b: &Shot<'_>) -> f64 {
    b.evidence.start.seconds_since(a.evidence.start).abs()
}

pub(super) struct Near {
    pub(super) lost: usize,
    pub(super) kept: usize,
    gap: f64,
    /// The later was sent before the earlier was answered.
    overlaps: bool,
    /// 2 same parent, 1 same trace, 0 neither.
    kin: u8,
}

pub(super) fn candidates(pool: &Pool<'_>, followed: &[bool], settings: &Settings) -> Vec<Near> {
    let mut found = Vec::new();
    let by_trace = LazyCell::new(|| {
        let mut shots: BTreeMap<TraceId, Vec<usize>> = BTreeMap::new();
        for (at, shot) in pool.shots.iter().enumerate() {
            shots.entry(shot.evidence.span.trace).or_default().push(at);
        }
        shots
    });
    for (lost, shot) in pool.shots.iter().enumerate() {
        if followed[lost] || !may_be_lost(shot) {
            continue;
        }
        let start = shot.evidence.start;
        let window = settings.duplicate_window_ms;
        let from = pool.shots.partition_point(|other| other.evidence.start < start.minus_ms(window));
        let until = pool.shots.partition_point(|other| other.evidence.start <= start.plus_ms(window));
        let near = from.max(lost.saturating_sub(MAX_NEAR))..until.min(lost + 1 + MAX_NEAR);
        let of_trace = (near.len() < until - from).then(|| {
            let shots = by_trace.get(&shot.evidence.span.trace).map_or(&[][..], Vec::as_slice);
            let place = shots.partition_point(|&at| at < lost);
            &shots[place.saturating_sub(MAX_NEAR)..shots.len().min(place + 1 + MAX_NEAR)]
        });
        let farther = of_trace.into_iter().flatten().copied();
        let farther = farther.filter(|at| (from..until).contains(at) && !near.contains(at));
        for kept in near.clone().chain(farther) {
            let other = &pool.shots[kept];
            if kept != lost && followed[kept] && equal(pool, shot, other) {
                let overlaps = overlap(shot, other);
                if !overlaps || from_start(shot, other) >= SHORTEST_SECONDS {
                    let gap = between(shot, other);
                    found.push(Near { lost, kept, gap, overlaps, kin: kin(shot, other) });
                }
            }
        }
    }
    found
}

fn may_be_lost(shot: &Shot<'_>) -> bool {
    shot.is_async() && shot.call.accepted == Accepted::Yes
}

/// Whether the answer of one may have held its result, so that nothing had to follow it. Not if the other
/// took as long, and was asked for afterwards all the same.
fn may_have_waited(shot: &Shot<'_>, other: &Shot<'_>) -> bool {
    shot.is_blocking() && shot.seconds() > 2.0 * other.seconds()
}

fn overlap(a: &Shot<'_>, b: &Shot<'_>) -> bool {
    a.evidence.start < b.evidence.end && b.evidence.start < a.evidence.end
}

fn equal(pool: &Pool<'_>, a: &Shot<'_>, b: &Shot<'_>) -> bool {
    b.call.accepted == Accepted::Yes
        && a.call.request == b.call.request
        && a.call.agent == b.call.agent
        && a.evidence.client == b.evidence.client
        && !may_have_waited(a, b)
        && !pool.lineage.apart(a.evidence, b.evidence)
        && !pool.lineage.name_two_tasks(a.evidence, b.evidence)
}

fn kin(a: &Shot<'_>, b: &Shot<'_>) -> u8 {
    if a.evidence.span.trace != b.evidence.span.trace {
        0
    } else if a.evidence.parent.is_some() && a.evidence.parent == b.evidence.parent {
        2
    } else {
        1
    }
}

/// Across traces, and before the first is answered, what follows sooner is a loop and no second try.
const SHORTEST_SECONDS: f64 = 0.05;
/// In one trace, what comes later may as well be the next of a batch.
const AT_ONCE_SECONDS: f64 = 1.0;
/// The gap that people and programs leave who submit once more, in seconds, and the spread of its logarithm.
const USUAL_SECONDS: f64 = 0.4;
const SPREAD: f64 = 0.8;
/// Rounds of learning habits.
const ROUNDS: usize = 3;
/// Of accepted submits that nothing follows, the share that was submitted twice; the others were abandoned.
const SHARE: f64 = 0.5;
/// Of what was submitted twice, the share of which the later is followed: the first answer was lost or
/// forgotten.
const LATER: f64 = 0.8;
/// Least that time alone must be worth, in nats: what is hardly likelier than two strangers is left apart.
const LEAST: f64 = 1.0;
/// Most that time alone is worth, in nats: a common trace is worth more.
const MOST: f64 = 6.0;

/// The gaps that each client leaves between two equal submits of one wish.
struct Habits<'a>(BTreeMap<&'a Client, [Kernels; 2]>);

impl<'a> Habits<'a> {
    fn learn(pool: &Pool<'a>, pairs: &[Pair]) -> Self {
        let mut gaps: BTreeMap<&Client, [Vec<f64>; 2]> = BTreeMap::new();
        for pair in pairs {
            let (lost, kept) = (&pool.shots[pair.left], &pool.shots[pair.right]);
            let [between_gaps, start_gaps] = gaps.entry(&*lost.evidence.client).or_default();
            between_gaps.push(between(lost, kept));
            start_gaps.push(from_start(lost, kept));
        }
        Self(gaps.into_iter().map(|(client, gaps)| (client, gaps.map(Kernels::new))).collect())
    }

    /// Density of the time between two submits, per second, without what they themselves taught.
    fn density(&self, lost: &Shot<'_>, kept: &Shot<'_>) -> f64 {
        let gaps = [between(lost, kept), from_start(lost, kept)];
        let unknown = lognormal(gaps[0], USUAL_SECONDS.ln(), SPREAD);
        let Some(kernels) = self.0.get(&*lost.evidence.client) else { return unknown };
        let known = kernels.iter().zip(gaps).map(|(kernels, gap)| kernels.density(gap, Some(gap)));
        let (learned, count) = known.fold((0.0, 0.0), |(sum, _), (density, count)| (sum + density, count));
        let weight = count / (count + 2.0);
        weight * 0.5 * learned + (1.0 - weight) * unknown
    }
}

/// What a pair is worth, in nats, over a submit that was abandoned beside a stranger's.
fn gain(pool: &Pool<'_>, rates: &Rates, near: &Near, habits: &Habits<'_>) -> Option<f64> {
    let (lost, kept) = (&pool.shots[near.lost], &pool.shots[near.kept]);
    if near.kin > 0 {
        return Some(2.0 * MOST * f64::from(near.kin) + 1.0 / (1.0 + near.gap));
    }
    if near.gap < SHORTEST_SECONDS {
        return None;
    }
    let is_first = lost.evidence.start < kept.evidence.start;
    let share = SHARE * if is_first { LATER } else { 1.0 - LATER };
    let by_chance = rates.of(lost) * (1.0 - SHARE);
    let odds = (share * habits.density(lost, kept) / by_chance).ln();
    (odds >= LEAST).then(|| odds.min(MOST))
}
