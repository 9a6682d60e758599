//! Double submits: an accepted submit that nothing follows, beside an equal one.
//!
//! An impatient click or a client that forgot its first answer leaves two tasks at the provider, of which the
//! client follows one. Equal submits of a batch loop look the same but each is followed; an abandoned submit
//! has no equal beside it. Across traces, where nothing but time speaks, the gap must be short against how
//! often the request comes anyway, or be one that recurs to a few milliseconds: a habit of that client.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::call::Accepted;
use crate::id::TraceId;
use crate::settings::Settings;
use crate::solve::assign::{self, Edge};
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
    /// In one trace, soon after one another, and that trace has no other such submit that is followed: then
    /// it is no batch, of whose equal submits one was given up.
    pub(crate) sure: bool,
}

/// `followed[shot]` tells whether a task or a retry follows it.
pub(crate) fn doubles(pool: &Pool<'_>, followed: &[bool], settings: &Settings) -> Vec<Double> {
    let candidates = candidates(pool, followed, settings);
    if candidates.is_empty() {
        return Vec::new();
    }
    let rates = Rates::new(pool);
    let habits = recurring(&candidates);
    let edges: Vec<Edge> = candidates
        .iter()
        .filter_map(|near| {
            let gain = gain(&rates, &pool.shots[near.lost], near, &habits)?;
            Some(Edge { left: near.lost, right: near.kept, gain })
        })
        .collect();
    let pairs = assign::assign(&edges, settings.max_assignment, false);
    let equal = equal_and_followed(pool, followed);
    let alone = |near: &Near| equal.get(&wish(&pool.shots[near.kept])) == Some(&1);
    let is_sure = |near: &&Near| near.kin > 0 && near.gap <= AT_ONCE_SECONDS && alone(near);
    let sure = candidates.iter().filter(is_sure).map(|near| (near.lost, near.kept));
    let sure: BTreeSet<(usize, usize)> = sure.collect();
    let found = pairs.iter().map(|pair| (pair.left, pair.right));
    let mut found: BTreeMap<usize, usize> = found.collect();
    // Who clicks three times makes two that are lost for one that is followed. Below one parent that is sure
    // enough.
    let mut close: Vec<&Near> = candidates.iter().filter(|near| near.kin == 2).collect();
    close.sort_by(|a, b| a.gap.total_cmp(&b.gap));
    for near in close {
        found.entry(near.lost).or_insert(near.kept);
    }
    found.into_iter().map(|(lost, kept)| Double { lost, kept, sure: sure.contains(&(lost, kept)) }).collect()
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

/// From the end of the earlier to the start of the later: what a client's habit keeps constant.
fn between(a: &Shot<'_>, b: &Shot<'_>) -> f64 {
    b.evidence.start.seconds_since(a.evidence.end).max(a.evidence.start.seconds_since(b.evidence.end))
}

pub(super) struct Near {
    pub(super) lost: usize,
    pub(super) kept: usize,
    gap: f64,
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
                let gap = between(shot, other);
                found.push(Near { lost, kept, gap, kin: kin(shot, other) });
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

fn equal(pool: &Pool<'_>, a: &Shot<'_>, b: &Shot<'_>) -> bool {
    let overlap = a.evidence.start < b.evidence.end && b.evidence.start < a.evidence.end;
    b.call.accepted == Accepted::Yes
        && a.call.request == b.call.request
        && a.call.agent == b.call.agent
        && a.evidence.client == b.evidence.client
        && !overlap
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

/// Across traces, what follows sooner is a loop and no second try.
const SHORTEST_SECONDS: f64 = 0.05;
/// In one trace, what comes later may as well be the next of a batch.
const AT_ONCE_SECONDS: f64 = 1.0;
/// Longest gap that tells a habit by recurring: longer ones are the rhythm of the work.
const HABIT_SECONDS: f64 = 1.0;

/// Gaps across traces that occur again within 5 ms.
fn recurring(candidates: &[Near]) -> BTreeMap<i64, u32> {
    let mut buckets = BTreeMap::new();
    for near in candidates.iter().filter(|near| near.kin == 0 && near.gap >= SHORTEST_SECONDS) {
        *buckets.entry(bucket(near.gap)).or_insert(0) += 1;
    }
    buckets
}

fn bucket(gap: f64) -> i64 {
    (gap / 0.005).round() as i64
}

fn gain(rates: &Rates, shot: &Shot<'_>, near: &Near, habits: &BTreeMap<i64, u32>) -> Option<f64> {
    let closeness = 1.0 / (1.0 + near.gap);
    if near.kin > 0 {
        return Some(f64::from(near.kin) * 3.0 + closeness);
    }
    if near.gap < SHORTEST_SECONDS {
        return None;
    }
    let at = bucket(near.gap);
    let again: u32 = (at - 1..=at + 1).filter_map(|at| habits.get(&at)).sum();
    let again = if near.gap <= HABIT_SECONDS { again } else { 0 };
    let rare = rates.of(shot) * near.gap < 0.1;
    (rare || again >= 2).then(|| closeness + f64::from(again.min(8)) * 0.3)
}
