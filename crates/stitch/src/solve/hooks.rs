//! Deliveries without a task id: which belong together, and which task they are about.
//!
//! A parameter of the callback URL groups deliveries exactly. Without one, a delivery that the application
//! refused is followed by its redelivery, each gap about twice the one before. A call that the handler makes
//! names the task: it is a child of the delivery's span.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::call::{Call, CorrelationKind, Role};
use crate::id::UnixNanos;
use crate::job::JoinRule;
use crate::solve::assign::{self, Edge};
use crate::solve::callback::{CallbackKey, Constants};
use crate::solve::density::lognormal;
use crate::solve::pool::{Hook, Pool, call_of};

/// Most rounds of finding redeliveries.
const ROUNDS: usize = 8;
/// Longest wait before the first redelivery, in seconds: of the longer of the usual ones (20 s) two spreads
/// up. What comes later is as likely another event.
const FIRST_SECONDS: f64 = 300.0;
/// Longest wait between two deliveries, in seconds: ten of them within two hours, each twice as long as the
/// one before, end with a wait of an hour.
const LONGEST_SECONDS: f64 = 3600.0;
/// Longest further wait, in waits before it. A wait that doubles varies by a fifth either way, so that four
/// times the doubled one is seven such steps away.
const LONGEST_RATIO: f64 = 8.0;
/// Most later deliveries that are weighed as the one that follows: those nearest to when it is due. An
/// endpoint that is down refuses thousands, of which the wait tells no more than a few apart.
pub(super) const MAX_NEXT: usize = 32;

/// Whose deliveries may follow one another: provider, tenant and service that takes them (any of its
/// instances may be asked), at which path, and for which job of the application if the delivery says so.
pub(super) type LaneKey<'a> = (&'a Arc<str>, &'a Arc<str>, &'a Arc<str>, u64, Option<&'a Arc<str>>);

/// Deliveries of one event.
#[derive(Clone, Debug, Default)]
pub(crate) struct HookGroup {
    /// Indices of the hooks, by start.
    pub(crate) hooks: Vec<usize>,
    /// The task, and how it is known.
    pub(crate) task: Option<(usize, JoinRule)>,
    /// The delivery whose handler named the task.
    pub(crate) named_by: Option<usize>,
    /// How the deliveries were joined to one another, with the margin of each redelivery, and the
    /// delivery that it may follow instead.
    pub(crate) margins: Vec<(usize, f64, Option<usize>)>,
}

impl HookGroup {
    pub(crate) fn first<'a>(&self, pool: &Pool<'a>) -> Hook<'a> {
        pool.hooks[self.hooks[0]]
    }

    pub(crate) fn last<'a>(&self, pool: &Pool<'a>) -> Hook<'a> {
        pool.hooks[self.hooks[self.hooks.len() - 1]]
    }

    /// Delivered at least twice, and refused to the last.
    pub(crate) fn is_dead(&self, pool: &Pool<'_>) -> bool {
        self.hooks.len() >= 2 && refused(self.last(pool).call)
    }

    /// The first moment.
    pub(crate) fn start(&self, pool: &Pool<'_>) -> UnixNanos {
        self.first(pool).evidence.start
    }
}

/// The callback parameter of a call, if it shows one.
pub(crate) fn callback_value(call: &Call) -> Option<&Arc<str>> {
    correlation(call, CorrelationKind::Callback)
}

fn correlation(call: &Call, kind: CorrelationKind) -> Option<&Arc<str>> {
    let mut found = call.rare.correlations.iter().filter(|known| known.kind == kind);
    found.next().map(|known| &known.value)
}

pub(super) fn refused(call: &Call) -> bool {
    !call.answer.is_success()
}

/// Groups the hooks of a pool; by a callback parameter unless that is one of the constants.
pub(crate) fn groups(pool: &Pool<'_>, constants: &Constants<'_>, limit: usize) -> Vec<HookGroup> {
    if pool.hooks.is_empty() {
        return Vec::new();
    }
    let mut keyed: BTreeMap<CallbackKey<'_>, HookGroup> = BTreeMap::new();
    let mut keyless = Vec::new();
    for (at, hook) in pool.hooks.iter().enumerate() {
        match constants.name(hook.evidence, hook.call) {
            Some(value) => {
                let key = (&hook.evidence.client.tenant, &hook.call.endpoint.provider, value);
                keyed.entry(key).or_default().hooks.push(at);
            }
            None => keyless.push(at),
        }
    }
    let tasks = tasks_by_callback(pool);
    for (key, group) in &mut keyed {
        group.task = tasks.get(key).map(|&task| (task, JoinRule::CorrelationId));
    }
    let mut groups: Vec<HookGroup> = keyed.into_values().collect();
    groups.extend(redeliveries(pool, &keyless, limit));
    groups.sort_unstable_by_key(|group| group.hooks[0]);
    name_by_handler(pool, &mut groups);
    groups
}

/// Tasks whose own deliveries (with a task id) show a callback parameter.
fn tasks_by_callback<'a>(pool: &Pool<'a>) -> BTreeMap<CallbackKey<'a>, usize> {
    let mut found = BTreeMap::new();
    for (at, task) in pool.tasks.iter().enumerate() {
        for evidence in &task.calls {
            let Some(call) = call_of(evidence).filter(|call| call.role == Role::Webhook) else { continue };
            if let Some(value) = callback_value(call) {
                found.insert((&evidence.client.tenant, &call.endpoint.provider, value), at);
            }
        }
    }
    found
}

/// Chains of keyless deliveries: a refused one and the next of the same provider at the same path.
fn redeliveries(pool: &Pool<'_>, keyless: &[usize], limit: usize) -> Vec<HookGroup> {
    let lanes = lanes(pool, keyless);
    let mut previous_gap: BTreeMap<usize, f64> = BTreeMap::new();
    let mut pairs: Vec<assign::Pair> = Vec::new();
    let mut stays = share_that_stays(pool, &[], &previous_gap);
    // How well a link fits depends on the link before it, so that a wrong one is undone only step by step.
    for round in 1..=ROUNDS {
        let edges = redelivery_edges(pool, keyless, &lanes, &previous_gap, stays);
        let found = assign::assign(&edges, limit, false);
        let same = assign::same(&found, &pairs);
        if same || round == ROUNDS {
            pairs = assign::assign(&edges, limit, true);
            break;
        }
        previous_gap = found.iter().map(|pair| (pair.right, gap(pool, pair.left, pair.right))).collect();
        stays = share_that_stays(pool, &found, &previous_gap);
        pairs = found;
    }
    let next: BTreeMap<usize, assign::Pair> = pairs.iter().map(|pair| (pair.left, *pair)).collect();
    let followed: BTreeSet<usize> = pairs.iter().map(|pair| pair.right).collect();
    let mut groups = Vec::new();
    for &start in keyless.iter().filter(|at| !followed.contains(at)) {
        let mut group = HookGroup { hooks: vec![start], ..HookGroup::default() };
        let mut at = start;
        while let Some(pair) = next.get(&at) {
            group.hooks.push(pair.right);
            group.margins.push((pair.right, pair.margin, pair.rival));
            at = pair.right;
        }
        groups.push(group);
    }
    groups
}

/// Deliveries that may follow one another, by start.
pub(super) fn lanes<'a>(pool: &Pool<'a>, keyless: &[usize]) -> BTreeMap<LaneKey<'a>, Vec<usize>> {
    let mut lanes: BTreeMap<LaneKey<'a>, Vec<usize>> = BTreeMap::new();
    for &at in keyless {
        lanes.entry(lane_of(pool.hooks[at])).or_default().push(at);
    }
    lanes
}

pub(super) fn lane_of(hook: Hook<'_>) -> LaneKey<'_> {
    let client = &hook.evidence.client;
    let job = correlation(hook.call, CorrelationKind::Job);
    (&hook.call.endpoint.provider, &client.tenant, &client.service, hook.call.request, job)
}

fn gap(pool: &Pool<'_>, from: usize, to: usize) -> f64 {
    pool.hooks[to].evidence.start.seconds_since(pool.hooks[from].evidence.end).max(1e-6)
}

/// Each refused delivery with those that may follow it, given the wait before it where one is known.
pub(super) fn redelivery_edges(
    pool: &Pool<'_>,
    keyless: &[usize],
    lanes: &BTreeMap<LaneKey<'_>, Vec<usize>>,
    before: &BTreeMap<usize, f64>,
    stays: f64,
) -> Vec<Edge> {
    let span = match (keyless.first(), keyless.last()) {
        (Some(&first), Some(&last)) => {
            pool.hooks[last].evidence.start.seconds_since(pool.hooks[first].evidence.start)
        }
        _ => return Vec::new(),
    };
    let rate = keyless.len() as f64 / span.max(60.0);
    let mut edges = Vec::new();
    for &from in keyless.iter().filter(|&&at| refused(pool.hooks[at].call)) {
        let Some(lane) = lanes.get(&lane_of(pool.hooks[from])) else { continue };
        let previous = before.get(&from).copied();
        for to in due(pool, lane, from, previous) {
            let gap = gap(pool, from, to);
            let density = previous.map_or_else(|| first_wait(gap), |wait| next_wait(gap, wait, stays));
            edges.push(Edge { left: from, right: to, gain: (9.0 * density / rate).ln() });
        }
    }
    edges
}

/// The deliveries of its lane that may follow one, given the wait before it: at most [`MAX_NEXT`]. First
/// waits are the likelier the shorter they are; further ones are near the one before, or near twice that.
fn due(pool: &Pool<'_>, lane: &[usize], from: usize, previous: Option<f64>) -> Vec<usize> {
    let end = pool.hooks[from].evidence.end;
    let place =
        |wait: f64| lane.partition_point(|&at| pool.hooks[at].evidence.start.seconds_since(end) < wait);
    let longest = previous.map_or(FIRST_SECONDS, |wait| (LONGEST_RATIO * wait).min(LONGEST_SECONDS));
    let (begin, until) = (place(0.0), place(longest));
    let near = |wait: f64, most: usize| {
        let at = place(wait);
        let low = at.saturating_sub(most / 2).max(begin);
        low..(low + most).min(until)
    };
    let places: BTreeSet<usize> = match previous {
        None => (begin..until).take(MAX_NEXT).collect(),
        Some(wait) => near(wait, MAX_NEXT / 2).chain(near(2.0 * wait, MAX_NEXT / 2)).collect(),
    };
    places.into_iter().map(|place| lane[place]).filter(|&to| to > from).collect()
}

/// The wait before a delivery is made again: about a second at some providers, minutes at others.
fn first_wait(gap: f64) -> f64 {
    0.7 * lognormal(gap, 0.0, 1.3) + 0.3 * lognormal(gap, 20.0_f64.ln(), 1.3)
}

/// The waits after it: they double, or stay as they are at providers that do so.
fn next_wait(gap: f64, previous: f64, stays: f64) -> f64 {
    let double = lognormal(gap, (2.0 * previous).ln(), 0.2);
    (1.0 - stays) * double + stays * lognormal(gap, previous.ln(), 0.2)
}

/// The share of further waits that are as long as the one before, as found in the last round: rare until
/// seen.
fn share_that_stays(pool: &Pool<'_>, pairs: &[assign::Pair], before: &BTreeMap<usize, f64>) -> f64 {
    let (mut stays, mut doubles) = (0.05, 2.0);
    for pair in pairs {
        let Some(&previous) = before.get(&pair.left) else { continue };
        let ratio = gap(pool, pair.left, pair.right) / previous;
        if (0.8..1.25).contains(&ratio) {
            stays += 1.0;
        } else if (1.6..2.5).contains(&ratio) {
            doubles += 1.0;
        }
    }
    stays / (stays + doubles)
}

/// A call below a delivery's span names the task.
fn name_by_handler(pool: &Pool<'_>, groups: &mut [HookGroup]) {
    let mut group_of = BTreeMap::new();
    for (at, group) in groups.iter().enumerate() {
        for &hook in &group.hooks {
            group_of.insert(pool.hooks[hook].evidence.span, (at, hook));
        }
    }
    if group_of.is_empty() {
        return;
    }
    for (task, calls) in pool.tasks.iter().enumerate() {
        for (evidence, _) in calls.followups() {
            let above = pool.lineage.ancestors(evidence).find_map(|above| group_of.get(&above.span));
            if let Some(&(group, hook)) = above
                && groups[group].task.is_none()
            {
                groups[group].task = Some((task, JoinRule::HandlerFetch));
                groups[group].named_by = Some(hook);
            }
        }
    }
}
