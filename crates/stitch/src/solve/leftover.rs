//! Tasks and deliveries that found no submit for themselves.
//!
//! The assignment gives each submit one thing that it made: a task, or deliveries. What is left over would be
//! a job that nobody asked for.
//!
//! - A **task** that is left over may be that of a submit which seemed to fail, was sent again, and had made
//!   a task all the same. That is believed only below one trace: a client knows no id of a submit that gave
//!   it none, so that nobody but a program that looks for it asks for such a task.
//! - **Deliveries** that are left over may be those of a task that has its submit, where the client is called
//!   back and asks all the same: of the task that it was asking for when they came. What has ended is not
//!   asked for any more, so that they come near its last question.
//!
//! Only what is left over is looked at, so that nothing is taken from a job of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::call::{Accepted, Role};
use crate::id::UnixNanos;
use crate::job::JoinRule;
use crate::solve::assign::{self, Edge};
use crate::solve::bind::Binder;
use crate::solve::callback::Constants;
use crate::solve::callers::Callers;
use crate::solve::density::laplace;
use crate::solve::pool::{Pool, call_of};
use crate::solve::{Open, Solution, Tied, confidence};

/// How long a delivery is on its way, and what is asked right after it takes, in seconds.
const LATENCY_SECONDS: f64 = 2.0;
/// Longest wait between two questions that tells when the last one was due, in seconds.
const LONGEST_INTERVAL_SECONDS: f64 = 10.0;
/// Most tasks that are weighed for a delivery: those whose last question is nearest.
const MAX_CANDIDATES: usize = 32;

/// Gives tasks without a submit those that seemed to fail.
pub(crate) fn tasks(pool: &Pool<'_>, solution: &mut Solution, limit: usize) {
    let waits = |at: &usize| {
        let task = &pool.tasks[*at];
        !task.named
            && solution.task_shot[*at].is_none()
            && !solution.left.has(*at)
            && task.followups().next().is_some_and(|(first, _)| pool.lineage.tells(first))
    };
    let tasks: Vec<usize> = (0..pool.tasks.len()).filter(waits).collect();
    let shots = if tasks.is_empty() { Vec::new() } else { failed(pool, solution) };
    if shots.is_empty() {
        return;
    }
    let open = Open { shots, tasks, groups: Vec::new(), called_back: BTreeSet::new() };
    let mut binder = Binder::new(pool, &solution.groups, &open);
    for binding in binder.solve(limit) {
        let Some(task) = binder.entities[binding.entity].task else { continue };
        let trace = pool.tasks[task].first().map(|first| first.span.trace);
        if trace == Some(pool.shots[binding.shot].evidence.span.trace) {
            let margin = Some(binding.margin);
            let instead = binding.rival.map(|shot| pool.shots[shot].evidence.span);
            let confidence = confidence(binding.margin);
            let bound = Tied { shot: binding.shot, rule: binding.rule(), confidence, margin, instead };
            solution.task_shot[task] = Some(bound);
        }
    }
}

/// Submits that nobody knows to be refused, and after which the client tried again.
fn failed(pool: &Pool<'_>, solution: &Solution) -> Vec<usize> {
    let made = solution.task_shot.iter().chain(&solution.group_shot).flatten();
    let taken: BTreeSet<usize> = made.map(|bound| bound.shot).collect();
    let unsure = |&from: &usize| {
        let shot = &pool.shots[from];
        shot.call.accepted == Accepted::Ambiguous && shot.is_async() && shot.task.is_none()
    };
    let retried = solution.retries.iter().map(|retry| retry.from).filter(unsure);
    let mut found: Vec<usize> = retried.filter(|from| !taken.contains(from)).collect();
    found.sort_unstable();
    found
}

/// A task that has its submit, and whose last question may have been the one after its delivery.
struct Asked {
    task: usize,
    /// The start of the last question.
    last: UnixNanos,
    /// The usual wait between two, in seconds.
    interval: f64,
}

/// Tenant and provider.
type ClientKey<'a> = (&'a Arc<str>, &'a Arc<str>);

/// Gives deliveries without a submit and a task those tasks that were asked for when they came.
pub(crate) fn deliveries(pool: &Pool<'_>, constants: &Constants<'_>, solution: &mut Solution, limit: usize) {
    let is_left = |at: &usize| {
        let first = solution.groups[*at].first(pool);
        solution.group_task[*at].is_none()
            && solution.group_shot[*at].is_none()
            && constants.name(first.evidence, first.call).is_none()
    };
    let left: Vec<usize> = (0..solution.groups.len()).filter(is_left).collect();
    if left.is_empty() {
        return;
    }
    let asked = asked(pool, solution);
    let callers = Callers::new(pool);
    let mut edges = Vec::new();
    for &group in &left {
        let hook = solution.groups[group].first(pool);
        let key = (&hook.evidence.client.tenant, &hook.call.endpoint.provider);
        let Some((known, rate)) = asked.get(&key) else { continue };
        let place = known.partition_point(|asked| asked.last < hook.evidence.start);
        let near = &known[place.saturating_sub(MAX_CANDIDATES / 2)..];
        for one in near.iter().take(MAX_CANDIDATES) {
            let Some(bound) = solution.task_shot[one.task] else { continue };
            let shot = &pool.shots[bound.shot];
            let away = one.last.seconds_since(hook.evidence.start);
            let within = one.interval + LATENCY_SECONDS;
            if callers.fits(shot.call, hook.call)
                && away.abs() <= within
                && shot.evidence.start < hook.evidence.start
            {
                let gain = (laplace(away, within / 2.0) / rate).ln();
                edges.push(Edge { left: group, right: one.task, gain });
            }
        }
    }
    for pair in assign::assign(&edges, limit, true) {
        let (rule, margin) = (JoinRule::WebhookTime, Some(pair.margin));
        solution.groups[pair.left].task = Some((pair.right, rule));
        solution.group_task[pair.left] = Some((pair.right, rule, margin));
    }
}

/// Tasks with a submit and without deliveries, by their last question, and how many there are in a second.
fn asked<'a>(pool: &Pool<'a>, solution: &Solution) -> BTreeMap<ClientKey<'a>, (Vec<Asked>, f64)> {
    let delivered: BTreeSet<usize> = solution.group_task.iter().flatten().map(|(task, ..)| *task).collect();
    let mut found: BTreeMap<ClientKey<'a>, (Vec<Asked>, f64)> = BTreeMap::new();
    for (at, task) in pool.tasks.iter().enumerate() {
        let is_delivered =
            || task.calls.iter().filter_map(|call| call_of(call)).any(|call| call.role == Role::Webhook);
        let Some((last, call)) = task.followups().last() else { continue };
        if solution.task_shot[at].is_none() || delivered.contains(&at) || is_delivered() {
            continue;
        }
        let mut intervals = task.intervals();
        intervals.sort_unstable_by(f64::total_cmp);
        let usual = intervals.get(intervals.len() / 2).copied().unwrap_or_default();
        let interval = usual.clamp(0.0, LONGEST_INTERVAL_SECONDS);
        let key = (&last.client.tenant, &call.endpoint.provider);
        found.entry(key).or_default().0.push(Asked { task: at, last: last.start, interval });
    }
    for (known, rate) in found.values_mut() {
        known.sort_unstable_by_key(|asked| (asked.last, asked.task));
        let seconds = match (known.first(), known.last()) {
            (Some(first), Some(last)) => last.last.seconds_since(first.last),
            _ => 0.0,
        };
        *rate = known.len() as f64 / (seconds + 60.0);
    }
    found
}
