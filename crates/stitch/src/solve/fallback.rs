//! Fallback polls: deliveries were refused to the last, so the client asks once itself.
//!
//! A dead group of deliveries without a task is matched with a task that was seen in one moment only and that
//! starts after it. A task whose normal gap already explains it well is left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::call::{Evidence, Role};
use crate::id::{TraceId, UnixNanos};
use crate::solve::assign::{self, Edge, Pair};
use crate::solve::bind::{Binder, Binding};
use crate::solve::density::lognormal;
use crate::solve::hooks::HookGroup;
use crate::solve::pool::{Hook, Pool, call_of};
use crate::solve::{Bound, Solution};

/// Longest wait after the last refused delivery, in seconds: four times the longer of the usual ones.
const WINDOW_SECONDS: f64 = 120.0;
/// Most tasks of a kind that are weighed for one group of deliveries: those asked for first. While an
/// endpoint is down thousands are asked for within the window, which a wait alone does not tell apart.
pub(super) const MAX_CANDIDATES: usize = 32;
/// Longest time from one call to the next of one moment, in seconds: a result is fetched right after a
/// status.
const ONE_MOMENT_SECONDS: f64 = 0.1;
/// A task whose gap to its submit is so much likelier than chance, in nats, needs no other explanation: the
/// margin from which a join is called likely.
const EXPLAINED: f64 = 3.0;

/// Whose deliveries a question may stand for: tenant, service and provider.
pub(super) type ClientKey<'a> = (&'a Arc<str>, &'a Arc<str>, &'a Arc<str>);

/// A task that was asked for in one moment.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    at: UnixNanos,
    task: usize,
    /// When the first submit of its trace started, if one did.
    submitted: Option<UnixNanos>,
}

/// Tasks by who asked for them and whether a submit is in the trace, by the moment in which they were asked
/// for.
pub(super) type Questions<'a> = BTreeMap<(ClientKey<'a>, bool), Vec<Asked>>;

/// Tasks of which no delivery is known by name: those without a submit, and those of which the submit named
/// the task and a callback URL.
pub(crate) fn silent(pool: &Pool<'_>, solution: &Solution, open_tasks: &[usize]) -> Vec<usize> {
    let called_back = |bound: &Bound| pool.shots[bound.shot].call.rare.callback.is_some();
    let bound = solution.task_shot.iter().enumerate();
    let named = bound.filter(|(_, bound)| bound.as_ref().is_some_and(called_back)).map(|(task, _)| task);
    let is_delivery = |evidence: &Evidence| call_of(evidence).is_some_and(|call| call.role == Role::Webhook);
    let named = named.filter(|&task| !pool.tasks[task].calls.iter().any(|call| is_delivery(call)));
    open_tasks.iter().copied().chain(named).collect()
}

/// Whether a task may be that of some deliveries, as far as its submit and theirs are known.
fn agrees(pool: &Pool<'_>, solution: &Solution, group: usize, task: usize) -> bool {
    let Some(bound) = solution.task_shot[task] else { return true };
    let came = solution.groups[group].first(pool).call;
    let asked = pool.shots[bound.shot].call;
    (asked.hides_callback() || asked.rare.callback == came.rare.callback)
        && solution.group_shot[group].is_none_or(|named| named.shot == bound.shot)
}

/// Pairs (group, task), given how a run without them bound the tasks.
pub(crate) fn polls(
    pool: &Pool<'_>,
    solution: &Solution,
    silent: &[usize],
    binder: &Binder<'_, '_>,
    bindings: &[Binding],
    limit: usize,
) -> Vec<Pair> {
    let groups = &solution.groups;
    let dead = |group: &HookGroup| group.task.is_none() && group.is_dead(pool);
    let is_open = |&(at, group): &(usize, &HookGroup)| solution.group_task[at].is_none() && dead(group);
    let dead: Vec<_> = groups.iter().enumerate().filter(is_open).collect();
    if dead.is_empty() {
        return Vec::new();
    }
    let explained: BTreeSet<usize> = bindings
        .iter()
        .filter(|binding| binder.explained(binding) >= EXPLAINED)
        .filter_map(|binding| binder.entities[binding.entity].task)
        .collect();
    let delivered: BTreeSet<usize> = groups.iter().filter_map(|group| Some(group.task?.0)).collect();
    let silent = silent.iter().copied();
    let silent = silent.filter(|task| !delivered.contains(task) && !explained.contains(task));
    let mut edges = edges(pool, &dead, &asked_once(pool, silent));
    edges.retain(|edge| agrees(pool, solution, edge.left, edge.right));
    assign::assign(&edges, limit, true)
}

/// The tasks that were asked for once: status and result right after one another, and never again.
pub(super) fn asked_once<'a>(pool: &Pool<'a>, tasks: impl Iterator<Item = usize>) -> Questions<'a> {
    let mut submitted: HashMap<TraceId, UnixNanos, FixedState> = HashMap::default();
    for shot in &pool.shots {
        submitted.entry(shot.evidence.span.trace).or_insert(shot.evidence.start);
    }
    let mut asked = Questions::new();
    for task in tasks {
        let Some((first, call)) = pool.tasks[task].followups().next() else { continue };
        let calls: Vec<_> = pool.tasks[task].followups().map(|(evidence, _)| evidence).collect();
        if calls.windows(2).all(|two| two[1].start.seconds_since(two[0].end) <= ONE_MOMENT_SECONDS) {
            let client = (&first.client.tenant, &first.client.service, &call.endpoint.provider);
            let submitted = submitted.get(&first.span.trace).copied();
            let known = asked.entry((client, submitted.is_some())).or_default();
            known.push(Asked { at: first.start, task, submitted });
        }
    }
    for known in asked.values_mut() {
        known.sort_unstable_by_key(|asked| (asked.at, asked.task));
    }
    asked
}

/// Each dead group with the tasks that may be its question.
pub(super) fn edges(pool: &Pool<'_>, dead: &[(usize, &HookGroup)], asked: &Questions<'_>) -> Vec<Edge> {
    let rate = reached(pool, dead, asked) as f64 / WINDOW_SECONDS;
    let mut edges = Vec::new();
    for &(left, group) in dead {
        let (start, last) = (group.start(pool), group.last(pool));
        let kinds = [false, true].into_iter().filter_map(|kind| asked.get(&(client_of(last), kind)));
        for asked in kinds.flat_map(|known| within(known, last.evidence.end).iter().take(MAX_CANDIDATES)) {
            let gap = asked.at.seconds_since(last.evidence.end);
            // A request that submitted before the delivery and polls after it speaks for the pair.
            let waits = asked.submitted.is_some_and(|submitted| submitted < start);
            let density = if waits { 8.0 } else { 1.0 } * wait(gap.max(1e-3));
            edges.push(Edge { left, right: asked.task, gain: (density / rate).ln() });
        }
    }
    edges
}

/// How many tasks were asked for within the window after some dead group, weighed or not.
pub(super) fn reached(pool: &Pool<'_>, dead: &[(usize, &HookGroup)], asked: &Questions<'_>) -> usize {
    let mut ends: BTreeMap<ClientKey<'_>, BTreeSet<UnixNanos>> = BTreeMap::new();
    for (_, group) in dead {
        let last = group.last(pool);
        ends.entry(client_of(last)).or_default().insert(last.evidence.end);
    }
    let follows = |ends: &BTreeSet<UnixNanos>, at: UnixNanos| {
        let last = ends.range(..=at).next_back();
        last.is_some_and(|&end| at.seconds_since(end) <= WINDOW_SECONDS)
    };
    let known = asked.iter().filter_map(|((client, _), known)| Some((ends.get(client)?, known)));
    known.map(|(ends, known)| known.iter().filter(|asked| follows(ends, asked.at)).count()).sum()
}

fn client_of(hook: Hook<'_>) -> ClientKey<'_> {
    (&hook.evidence.client.tenant, &hook.evidence.client.service, &hook.call.endpoint.provider)
}

/// Of tasks by the moment in which they were asked for, those within the window after a delivery.
fn within(known: &[Asked], after: UnixNanos) -> &[Asked] {
    let begin = known.partition_point(|asked| asked.at < after);
    let rest = &known[begin..];
    &rest[..rest.partition_point(|asked| asked.at.seconds_since(after) <= WINDOW_SECONDS)]
}

/// How long a client waits for one more delivery before it asks: seconds, in some applications a minute.
fn wait(gap: f64) -> f64 {
    0.8 * lognormal(gap, 5.0_f64.ln(), 1.0) + 0.2 * lognormal(gap, 30.0_f64.ln(), 1.0)
}
