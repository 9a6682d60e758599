//! Fallback polls: deliveries were refused to the last, so the client asks once itself.
//!
//! A dead group of deliveries without a task is matched with a task that was seen in one moment only and that
//! starts after it. A task whose normal gap already explains it well is left alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::solve::assign::{self, Edge, Pair};
use crate::solve::bind::{Binder, Binding};
use crate::solve::density::lognormal;
use crate::solve::hooks::HookGroup;
use crate::solve::pool::{Pool, call_of};

/// Longest wait after the last refused delivery, in seconds.
const WINDOW_SECONDS: f64 = 120.0;

/// Pairs (group, task), given how a run without them bound the tasks.
pub(crate) fn polls(
    pool: &Pool<'_>,
    groups: &[HookGroup],
    open_tasks: &[usize],
    binder: &Binder<'_, '_>,
    bindings: &[Binding],
    limit: usize,
) -> Vec<Pair> {
    let explained: BTreeMap<usize, f64> = bindings
        .iter()
        .filter_map(|binding| {
            let task = binder.entities[binding.entity].task?;
            Some((task, binder.explained(binding)))
        })
        .collect();
    let delivered: BTreeSet<usize> = groups.iter().filter_map(|group| Some(group.task?.0)).collect();
    let open_tasks: Vec<usize> =
        open_tasks.iter().copied().filter(|task| !delivered.contains(task)).collect();
    let mut candidates = Vec::new();
    for (at, group) in groups.iter().enumerate() {
        if group.task.is_some() || !group.is_dead(pool) {
            continue;
        }
        for &task in &open_tasks {
            if explained.get(&task).is_none_or(|&gain| gain < 3.0)
                && let Some(density) = density(pool, group, task)
            {
                candidates.push((at, task, density));
            }
        }
    }
    let mut tasks: Vec<usize> = candidates.iter().map(|&(_, task, _)| task).collect();
    tasks.sort_unstable();
    tasks.dedup();
    let rate = tasks.len() as f64 / WINDOW_SECONDS;
    let edges: Vec<Edge> = candidates
        .into_iter()
        .map(|(left, right, density)| Edge { left, right, gain: (density / rate).ln() })
        .collect();
    assign::assign(&edges, limit, true)
}

/// How well a task's first call fits as the client's own question after the last refused delivery.
fn density(pool: &Pool<'_>, group: &HookGroup, task: usize) -> Option<f64> {
    let last = group.last(pool);
    let known = &pool.tasks[task];
    let (first, call) = known.followups().next()?;
    // Asked once: status and result right after one another, and never again.
    let asked: Vec<_> = known.followups().map(|(evidence, _)| evidence).collect();
    let one_shot = asked.windows(2).all(|two| two[1].start.seconds_since(two[0].end) <= 0.1);
    let gap = first.start.seconds_since(last.evidence.end);
    let same = call.endpoint.provider == last.call.endpoint.provider
        && first.client.tenant == last.evidence.client.tenant
        && first.client.service == last.evidence.client.service;
    if !one_shot || !same || !(0.0..=WINDOW_SECONDS).contains(&gap) {
        return None;
    }
    // A request that submitted before the delivery and polls after it speaks for the pair.
    let waits = pool.shots.iter().any(|shot| {
        shot.evidence.span.trace == first.span.trace
            && shot.evidence.start < group.start(pool)
            && call_of(first).is_some()
    });
    let weight = if waits { 8.0 } else { 1.0 };
    Some(weight * wait(gap.max(1e-3)))
}

/// How long a client waits for one more delivery before it asks: seconds, in some applications a minute.
fn wait(gap: f64) -> f64 {
    0.8 * lognormal(gap, 5.0_f64.ln(), 1.0) + 0.2 * lognormal(gap, 30.0_f64.ln(), 1.0)
}
