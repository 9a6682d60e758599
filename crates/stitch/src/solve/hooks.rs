//! Deliveries without a task id: which belong together, and which task they are about.
//!
//! A parameter of the callback URL groups deliveries exactly. Without one, a delivery that the application
//! refused is followed by its redelivery ([`redelivery`]). A call that the handler makes names the task: it
//! is a child of the delivery's span.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::call::{Call, CorrelationKind, Role};
use crate::id::UnixNanos;
use crate::job::JoinRule;
use crate::solve::assign;
use crate::solve::callback::{CallbackKey, Constants};
use crate::solve::pool::{Hook, Pool, call_of};
use crate::solve::redelivery::{self, refused};

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
    let mut names = call.rare.correlations.iter();
    names.find(|known| known.kind == CorrelationKind::Callback).map(|known| &known.value)
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
    groups.extend(redelivered(pool, &keyless, limit));
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

/// Chains of keyless deliveries: a refused one and those that came instead of it.
fn redelivered(pool: &Pool<'_>, keyless: &[usize], limit: usize) -> Vec<HookGroup> {
    let pairs = redelivery::pairs(pool, keyless, limit);
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
