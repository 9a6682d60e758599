//! A task that is asked for right after a delivery was taken, in a trace of its own.
//!
//! # Why
//!
//! A handler that takes a delivery often only puts a piece of work into a queue, and a worker fetches the
//! result a moment later. The submit goes with the delivery then, by the provider's latency, and the task
//! that was fetched would be a job that nobody asked for.
//!
//! # What is matched with what
//!
//! A delivery that was taken and names no task, with a task that found no submit and was asked for in one
//! moment only, at most a few seconds later. What the deliveries are known to be of, the task is of then.
//! Only what is left over is looked at, so that nothing is taken from a job of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::call::Role;
use crate::id::UnixNanos;
use crate::job::JoinRule;
use crate::solve::assign::{self, Edge};
use crate::solve::density::exponential;
use crate::solve::fallback::in_one_moment;
use crate::solve::pool::{Pool, call_of};
use crate::solve::redelivery::refused;
use crate::solve::{Solution, take_polls};

/// Longest wait between a delivery and the question for its task, in seconds.
const LONGEST_SECONDS: f64 = 5.0;
/// The usual one.
const USUAL_SECONDS: f64 = 0.5;
/// Most tasks that are weighed for a delivery: those asked for first.
const MAX_CANDIDATES: usize = 32;

/// Tenant and provider.
type ClientKey<'a> = (&'a Arc<str>, &'a Arc<str>);

/// Gives deliveries without a task those that were asked for right after them.
pub(crate) fn tasks(pool: &Pool<'_>, solution: &mut Solution, limit: usize) {
    let is_open = |at: &usize| {
        let group = &solution.groups[*at];
        group.task.is_none() && solution.group_task[*at].is_none() && !refused(group.last(pool).call)
    };
    let open: Vec<usize> = (0..solution.groups.len()).filter(is_open).collect();
    if open.is_empty() {
        return;
    }
    let asked = asked(pool, solution);
    let mut edges = Vec::new();
    for &at in &open {
        let hook = solution.groups[at].last(pool);
        let Some(known) = asked.get(&(&hook.evidence.client.tenant, &hook.call.endpoint.provider)) else {
            continue;
        };
        let submit = solution.group_shot[at].map(|bound| &pool.shots[bound.shot].call.endpoint);
        let rate = rate(known);
        let begin = known.partition_point(|&(asked, _)| asked < hook.evidence.start);
        for &(asked, task) in known[begin..].iter().take(MAX_CANDIDATES) {
            let gap = asked.seconds_since(hook.evidence.start);
            let fits =
                |(_, call): (_, &crate::Call)| submit.is_none_or(|submit| call.endpoint.fits_family(submit));
            if gap <= LONGEST_SECONDS && pool.tasks[task].followups().next().is_some_and(fits) {
                edges.push(Edge {
                    left: at,
                    right: task,
                    gain: (exponential(gap, USUAL_SECONDS) / rate).ln(),
                });
            }
        }
    }
    take_polls(solution, JoinRule::HandlerFetch, &assign::assign(&edges, limit, true));
}

/// Tasks without a submit or a delivery that were asked for in one moment, by that moment.
fn asked<'a>(pool: &Pool<'a>, solution: &Solution) -> BTreeMap<ClientKey<'a>, Vec<(UnixNanos, usize)>> {
    let delivered: BTreeSet<usize> = solution.group_task.iter().flatten().map(|(task, ..)| *task).collect();
    let mut found: BTreeMap<ClientKey<'a>, Vec<(UnixNanos, usize)>> = BTreeMap::new();
    for (at, task) in pool.tasks.iter().enumerate() {
        let known = task.named || solution.task_shot[at].is_some() || delivered.contains(&at);
        let by_name =
            task.calls.iter().filter_map(|call| call_of(call)).any(|call| call.role == Role::Webhook);
        if known || by_name || solution.left.has(at) || !in_one_moment(task) {
            continue;
        }
        let Some((first, call)) = task.followups().next() else { continue };
        found.entry((&first.client.tenant, &call.endpoint.provider)).or_default().push((first.start, at));
    }
    for known in found.values_mut() {
        known.sort_unstable();
    }
    found
}

/// How many of them there are in a second.
fn rate(known: &[(UnixNanos, usize)]) -> f64 {
    let seconds = match (known.first(), known.last()) {
        (Some(first), Some(last)) => last.0.seconds_since(first.0),
        _ => 0.0,
    };
    known.len() as f64 / (seconds + 60.0)
}
