//! Fallback polls: deliveries were refused to the last, so the client asks once itself.
//!
//! # Why
//!
//! A client that waits for a webhook does not poll. When its endpoint is down the provider gives up after
//! some tries, and the client asks for status and result in one go. Nothing but time ties that question to
//! the deliveries; left apart they would be two jobs, one of them without an outcome.
//!
//! # What is matched with what
//!
//! A group of deliveries that is *dead* (refused to the last) and has no task, with a task that was first
//! asked for after the last of them: in one moment only, or again and again if no submit is found for it. All
//! of a pool is one assignment. Where the deliveries name
//! their submit, the task must be one that this submit can have made, and what else ties a submit and a poll
//! (trace, links, client) counts as it does elsewhere.
//!
//! # What is left alone
//!
//! A task whose usual gap to a submit already explains it well, and one whose own deliveries are known.
//! While an endpoint is down for thousands of tasks, only the first few questions after a group are weighed,
//! since a wait alone does not tell the others apart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::call::Role;
use crate::evidence::Evidence;
use crate::id::{TraceId, UnixNanos};
use crate::solve::assign::{self, Edge, Pair};
use crate::solve::bind::{Binder, Binding};
use crate::solve::callers::Callers;
use crate::solve::density::lognormal;
use crate::solve::hint;
use crate::solve::hooks::HookGroup;
use crate::solve::pool::{Hook, Pool, Shot, Task, call_of};
use crate::solve::{Solution, Tied};

/// Longest wait after the last refused delivery, in seconds: four times the longer of the usual ones.
const WINDOW_SECONDS: f64 = 120.0;
/// Most tasks of a kind that are weighed for one group of deliveries: those asked for first.
pub(super) const MAX_CANDIDATES: usize = 32;
/// Longest time from one call to the next of one moment, in seconds: a result is fetched right after a
/// status.
const ONE_MOMENT_SECONDS: f64 = 0.1;
/// A task whose gap to its submit is so much likelier than chance, in nats, needs no other explanation: the
/// margin from which a join is called likely.
const EXPLAINED: f64 = 3.0;
/// The share of tasks of which nobody saw the submit: what it costs to leave one without any.
const UNSEEN: f64 = 0.02;
/// What a request is worth, in nats, that submitted before the deliveries and asks after them.
const WAITS: f64 = 2.08;
/// Penalty for a question by another service than the one that submitted and the one that was called back.
const OTHER_SERVICE: f64 = -3.0;

/// Whose deliveries a question may stand for: tenant and provider. Another service may take deliveries than
/// the one that submits and asks.
type ClientKey<'a> = (&'a Arc<str>, &'a Arc<str>);

/// A task, and when it was first asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    at: UnixNanos,
    task: usize,
    /// When the first submit of its trace that can have made it started, if one did.
    submitted: Option<UnixNanos>,
}

/// Who asked, a service or any, and whether a submit is in the trace.
type AskerKey<'a> = (ClientKey<'a>, Option<&'a Arc<str>>, bool);

/// Tasks that may be the question, each list by when they were first asked for.
#[derive(Default)]
pub(super) struct Questions<'a> {
    of_client: BTreeMap<AskerKey<'a>, Vec<Asked>>,
    of_trace: HashMap<TraceId, Vec<Asked>, FixedState>,
}

/// Deliveries that were refused to the last.
#[derive(Clone, Copy)]
pub(super) struct Dead<'p, 'a> {
    /// Index of the group.
    pub(super) at: usize,
    pub(super) group: &'p HookGroup,
    /// The submit that they name.
    pub(super) submit: Option<&'p Shot<'a>>,
}

/// Tasks of which no delivery is known by name: those without a submit, and those of which the submit named
/// the task and a callback URL, or may have named one that nobody sees.
pub(crate) fn silent(pool: &Pool<'_>, solution: &Solution, open_tasks: &[usize]) -> Vec<usize> {
    let callers = Callers::new(pool);
    let called_back = |bound: &Tied| callers.may_call_back(pool.shots[bound.shot].call);
    let bound = solution.task_shot.iter().enumerate();
    let named = bound.filter(|(_, bound)| bound.as_ref().is_some_and(called_back)).map(|(task, _)| task);
    let is_delivery = |evidence: &Evidence| call_of(evidence).is_some_and(|call| call.role == Role::Webhook);
    let named = named.filter(|&task| !pool.tasks[task].calls.iter().any(|call| is_delivery(call)));
    open_tasks.iter().copied().chain(named).collect()
}

/// Whether a task may be that of some deliveries, as far as its submit and theirs are known.
fn agrees(pool: &Pool<'_>, solution: &Solution, callers: &Callers<'_>, group: usize, task: usize) -> bool {
    let Some(bound) = solution.task_shot[task] else { return true };
    let came = solution.groups[group].first(pool).call;
    let asked = pool.shots[bound.shot].call;
    pool.shots[bound.shot].evidence.start < solution.groups[group].start(pool)
        && callers.fits(asked, came)
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
    let named = |at: usize| solution.group_shot[at].map(|bound| &pool.shots[bound.shot]);
    let groups = solution.groups.iter().enumerate();
    let open = groups.filter(|&(at, group)| solution.group_task[at].is_none() && is_lost(pool, group));
    let dead: Vec<_> = open.map(|(at, group)| Dead { at, group, submit: named(at) }).collect();
    if dead.is_empty() {
        return Vec::new();
    }
    let explained: BTreeSet<usize> = bindings
        .iter()
        .filter(|binding| binder.explained(binding) >= EXPLAINED)
        .filter_map(|binding| binder.entities[binding.entity].task)
        .collect();
    let held = bindings.iter();
    let held = held.filter_map(|binding| Some((binder.entities[binding.entity].task?, binding.margin)));
    let delivered: BTreeSet<usize> = solution.groups.iter().filter_map(|group| Some(group.task?.0)).collect();
    let silent = silent.iter().copied();
    let silent = silent.filter(|task| !delivered.contains(task) && !explained.contains(task));
    let held: BTreeMap<usize, f64> = held.collect();
    // What found no submit may be asked for as often as it likes: nothing else explains it.
    let asked = asked(pool, silent, |task| !held.contains_key(&task) && solution.task_shot[task].is_none());
    let mut edges = edges(pool, &dead, &asked, &held);
    let callers = Callers::new(pool);
    edges.retain(|edge| agrees(pool, solution, &callers, edge.left, edge.right));
    // What has its submit needs no deliveries to explain it.
    for edge in edges.iter_mut().filter(|edge| solution.task_shot[edge.right].is_some()) {
        edge.gain += UNSEEN.ln();
    }
    assign::assign(&edges, limit, true)
}

/// Whether deliveries were refused to the last, and no task is known to be theirs.
pub(crate) fn is_lost(pool: &Pool<'_>, group: &HookGroup) -> bool {
    group.task.is_none() && group.is_dead(pool)
}

/// The tasks that were asked for once, status and result right after one another and never again; and of
/// those that are `free`, any.
pub(super) fn asked<'a>(
    pool: &Pool<'a>,
    tasks: impl Iterator<Item = usize>,
    free: impl Fn(usize) -> bool,
) -> Questions<'a> {
    let submitted = first_submits(pool);
    let mut asked = Questions::default();
    for task in tasks {
        let Some((first, call)) = pool.tasks[task].followups().next() else { continue };
        if free(task) || in_one_moment(&pool.tasks[task]) {
            let (trace, endpoint) = (first.span.trace, &call.endpoint);
            let of_family = |family| submitted.get(&(trace, &endpoint.provider, family)).copied();
            let submitted = if endpoint.family.is_empty() {
                of_family(None)
            } else {
                [&*endpoint.family, ""].into_iter().filter_map(|family| of_family(Some(family))).min()
            };
            let known = Asked { at: first.start, task, submitted };
            let client = (&first.client.tenant, &endpoint.provider);
            for service in [Some(&first.client.service), None] {
                asked.of_client.entry((client, service, submitted.is_some())).or_default().push(known);
            }
            asked.of_trace.entry(trace).or_default().push(known);
        }
    }
    for known in asked.of_client.values_mut().chain(asked.of_trace.values_mut()) {
        known.sort_unstable_by_key(|asked| (asked.at, asked.task));
    }
    asked
}

/// Whether a task was asked for once: status and result right after one another, and never again.
pub(super) fn in_one_moment(task: &Task<'_>) -> bool {
    let calls: Vec<_> = task.followups().map(|(evidence, _)| evidence).collect();
    calls.windows(2).all(|two| two[1].start.seconds_since(two[0].end) <= ONE_MOMENT_SECONDS)
}

/// A trace, a provider, and a family, or any.
type SubmitKey<'a> = (TraceId, &'a Arc<str>, Option<&'a str>);

/// When the first submit of each trace started.
fn first_submits<'a>(pool: &Pool<'a>) -> HashMap<SubmitKey<'a>, UnixNanos, FixedState> {
    let mut found = HashMap::default();
    for shot in &pool.shots {
        let endpoint = &shot.call.endpoint;
        for family in [Some(&*endpoint.family), None] {
            let key = (shot.evidence.span.trace, &endpoint.provider, family);
            found.entry(key).or_insert(shot.evidence.start);
        }
    }
    found
}

/// Each dead group with the tasks that may be its question. `held` has the margins of the tasks that were
/// bound without them.
pub(super) fn edges(
    pool: &Pool<'_>,
    dead: &[Dead<'_, '_>],
    asked: &Questions<'_>,
    held: &BTreeMap<usize, f64>,
) -> Vec<Edge> {
    let rates = rates(pool, dead, asked);
    let mut edges = Vec::new();
    for one in dead {
        let last = one.group.last(pool);
        let rate = rates.get(&client_of(last)).copied().unwrap_or(1.0 / WINDOW_SECONDS);
        for (task, asked) in candidates(one, last, asked) {
            let Some((first, call)) = pool.tasks[task].followups().next() else { continue };
            if one.submit.is_some_and(|submit| !call.endpoint.fits_family(&submit.call.endpoint)) {
                continue;
            }
            let gap = asked.at.seconds_since(last.evidence.end);
            let chance = (wait(gap.max(1e-3)) / rate).ln();
            // What the task is without these deliveries: of another submit, or of none.
            let otherwise = match (held.get(&task), one.submit) {
                (None, _) => UNSEEN.ln(),
                (Some(margin), Some(_)) => UNSEEN.ln() + margin,
                // The deliveries may go to the same submit.
                (Some(_), None) => 0.0,
            };
            edges.push(Edge {
                left: one.at,
                right: task,
                gain: chance + tie(pool, one, &asked, first) - otherwise,
            });
        }
    }
    edges
}

/// What else than time speaks for a group and a task, in nats.
fn tie<'a>(pool: &Pool<'a>, dead: &Dead<'_, 'a>, asked: &Asked, first: &'a Evidence) -> f64 {
    let called = &dead.group.last(pool).evidence.client.service;
    let submits = dead.submit.is_some_and(|submit| submit.evidence.client.service == first.client.service);
    let service = if submits || *called == first.client.service { 0.0 } else { OTHER_SERVICE };
    let waits = asked.submitted.is_some_and(|submitted| submitted < dead.group.start(pool));
    let lineage = match dead.submit {
        Some(submit) => hint::worth(pool, submit, first, None, true),
        None if waits => WAITS,
        None => 0.0,
    };
    service + lineage
}

/// The tasks that are weighed for a group: the first that its services asked for, the first that anybody did,
/// and those of the trace of its submit.
fn candidates(dead: &Dead<'_, '_>, last: Hook<'_>, asked: &Questions<'_>) -> BTreeMap<usize, Asked> {
    let client = client_of(last);
    let submitting = dead.submit.map(|submit| &submit.evidence.client.service);
    let services = [Some(&last.evidence.client.service), submitting, None];
    let keys = services.into_iter().flat_map(|service| [(client, service, false), (client, service, true)]);
    let of_client = keys.filter_map(|key| asked.of_client.get(&key));
    let of_trace = dead.submit.and_then(|submit| asked.of_trace.get(&submit.evidence.span.trace));
    let known = of_client.chain(of_trace);
    let near = known.flat_map(|known| within(known, last.evidence.end).iter().take(MAX_CANDIDATES));
    near.map(|asked| (asked.task, *asked)).collect()
}

/// How often a task is asked for, per second, within the window after some dead group: all of them, weighed
/// or not.
pub(super) fn rates<'a>(
    pool: &Pool<'a>,
    dead: &[Dead<'_, 'a>],
    asked: &Questions<'a>,
) -> BTreeMap<ClientKey<'a>, f64> {
    let mut ends: BTreeMap<ClientKey<'a>, BTreeSet<UnixNanos>> = BTreeMap::new();
    for one in dead {
        let last = one.group.last(pool);
        ends.entry(client_of(last)).or_default().insert(last.evidence.end);
    }
    let rate = |(client, ends): (ClientKey<'a>, BTreeSet<UnixNanos>)| {
        let follows = |asked: &&Asked| {
            let last = ends.range(..=asked.at).next_back();
            last.is_some_and(|&end| asked.at.seconds_since(end) <= WINDOW_SECONDS)
        };
        let kinds = [false, true].into_iter().filter_map(|kind| asked.of_client.get(&(client, None, kind)));
        let count = kinds.flatten().filter(follows).count();
        let later = ends.iter().zip(ends.iter().skip(1));
        let covered: f64 = later.map(|(one, next)| next.seconds_since(*one).min(WINDOW_SECONDS)).sum();
        (client, count as f64 / (covered + WINDOW_SECONDS))
    };
    ends.into_iter().map(rate).collect()
}

fn client_of(hook: Hook<'_>) -> ClientKey<'_> {
    (&hook.evidence.client.tenant, &hook.call.endpoint.provider)
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
