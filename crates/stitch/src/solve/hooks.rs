//! Deliveries without a task id: which belong together, and which task they are about.
//!
//! A parameter of the callback URL groups deliveries exactly. Without one, a delivery that the application
//! refused is followed by its redelivery, each gap about twice the one before. A call that the handler makes
//! names the task: it is a child of the delivery's span.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::call::{Call, CorrelationKind, Role};
use crate::id::UnixNanos;
use crate::job::JoinRule;
use crate::solve::assign::{self, Edge};
use crate::solve::density::lognormal;
use crate::solve::pool::{Hook, Pool, call_of};

/// Most rounds of finding redeliveries.
const ROUNDS: usize = 8;

/// Tenant, provider and the callback parameter.
type CallbackKey<'a> = (&'a Arc<str>, &'a Arc<str>, &'a Arc<str>);

/// Deliveries of one event.
#[derive(Clone, Debug, Default)]
pub(crate) struct HookGroup {
    /// Indices of the hooks, by start.
    pub(crate) hooks: Vec<usize>,
    /// The task, and how it is known.
    pub(crate) task: Option<(usize, JoinRule)>,
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
    let mut found = call.correlations.iter().filter(|known| known.kind == CorrelationKind::Callback);
    found.next().map(|known| &known.value)
}

fn refused(call: &Call) -> bool {
    !call.answer.is_success()
}

/// Groups the hooks of a pool.
pub(crate) fn groups(pool: &Pool<'_>, limit: usize) -> Vec<HookGroup> {
    if pool.hooks.is_empty() {
        return Vec::new();
    }
    let mut keyed: BTreeMap<CallbackKey<'_>, HookGroup> = BTreeMap::new();
    let mut keyless = Vec::new();
    for (at, hook) in pool.hooks.iter().enumerate() {
        match callback_value(hook.call) {
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
    let mut previous_gap: BTreeMap<usize, f64> = BTreeMap::new();
    let mut next: BTreeMap<usize, assign::Pair> = BTreeMap::new();
    let mut stays = share_that_stays(pool, &[], &previous_gap);
    // How well a link fits depends on the link before it, so that a wrong one is undone only step by step.
    for _ in 0..ROUNDS {
        let edges = redelivery_edges(pool, keyless, &previous_gap, stays);
        let pairs = assign::assign(&edges, limit, true);
        let known = pairs.iter().all(|pair| next.get(&pair.left).is_some_and(|old| old.right == pair.right));
        let same = known && next.len() == pairs.len();
        next = pairs.iter().map(|pair| (pair.left, *pair)).collect();
        previous_gap = pairs.iter().map(|pair| (pair.right, gap(pool, pair.left, pair.right))).collect();
        stays = share_that_stays(pool, &pairs, &previous_gap);
        if same {
            break;
        }
    }
    let followed: Vec<usize> = next.values().map(|pair| pair.right).collect();
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

fn gap(pool: &Pool<'_>, from: usize, to: usize) -> f64 {
    pool.hooks[to].evidence.start.seconds_since(pool.hooks[from].evidence.end).max(1e-6)
}

fn redelivery_edges(
    pool: &Pool<'_>,
    keyless: &[usize],
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
    for (place, &from) in keyless.iter().enumerate() {
        let a = pool.hooks[from];
        if !refused(a.call) {
            continue;
        }
        for &to in &keyless[place + 1..] {
            let b = pool.hooks[to];
            let same = a.call.endpoint.provider == b.call.endpoint.provider
                && a.evidence.client == b.evidence.client
                && a.call.request == b.call.request;
            if !same || b.evidence.start < a.evidence.end {
                continue;
            }
            let gap = gap(pool, from, to);
            let density = match before.get(&from) {
                None => first_wait(gap),
                Some(&previous) => next_wait(gap, previous, stays),
            };
            edges.push(Edge { left: from, right: to, gain: (9.0 * density / rate).ln() });
        }
    }
    edges
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
            group_of.insert(pool.hooks[hook].evidence.span, at);
        }
    }
    if group_of.is_empty() {
        return;
    }
    for (task, calls) in pool.tasks.iter().enumerate() {
        for (evidence, _) in calls.followups() {
            let above = pool.lineage.ancestors(evidence).find_map(|above| group_of.get(&above.span));
            if let Some(&group) = above {
                groups[group].task.get_or_insert((task, JoinRule::HandlerFetch));
            }
        }
    }
}
