//! Joins by name: an id that a span above a submit carries, or that both ends show.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::call::{Accepted, Call, CorrelationKind};
use crate::evidence::{Evidence, What};
use crate::id::{SpanKey, TaskId, TraceId};
use crate::job::{Confidence, JoinRule};
use crate::solve::callback::Constants;
use crate::solve::pool::{Pool, call_of, order};
use crate::solve::{Solution, Tied};

/// Binds submits to tasks and delivery groups by name.
pub(crate) fn bind(pool: &Pool<'_>, constants: &Constants<'_>, solution: &mut Solution) {
    for (at, shot) in pool.shots.iter().enumerate() {
        if let Some(task) = shot.task {
            let rule = JoinRule::TaskIdAttribute;
            solution.task_shot[task].get_or_insert(exact(at, rule));
        }
    }
    if !pool.frames.is_empty() {
        by_ancestor(pool, solution);
    }
    by_link(pool, solution);
    by_job_of_task(pool, solution);
    by_callback(pool, constants, solution);
    if !solution.groups.is_empty() {
        by_job(pool, solution);
    }
}

fn exact(shot: usize, rule: JoinRule) -> Tied {
    Tied { shot, rule, confidence: Confidence::Exact, margin: None, instead: None }
}

/// Tasks of a provider by id; an id that two providers use names neither.
fn tasks_by_id<'a>(pool: &Pool<'a>) -> BTreeMap<(&'a Arc<str>, &'a TaskId), Option<usize>> {
    let mut found = BTreeMap::new();
    for (at, task) in pool.tasks.iter().enumerate() {
        let (Some(id), Some(first)) = (task.id, task.calls.first()) else { continue };
        found.entry((&first.client.tenant, id)).and_modify(|known| *known = None).or_insert(Some(at));
    }
    found
}

/// The nearest span above a submit that names a task. Of several submits below one such span, the last that
/// may have been accepted made it.
fn by_ancestor(pool: &Pool<'_>, solution: &mut Solution) {
    let tasks = LazyCell::new(|| tasks_by_id(pool));
    let mut claims: BTreeMap<usize, usize> = BTreeMap::new();
    for (at, shot) in pool.shots.iter().enumerate() {
        if shot.task.is_some() || !shot.is_async() || shot.call.accepted == Accepted::No {
            continue;
        }
        let Some(task) = named_above(pool, shot.evidence, &tasks) else { continue };
        let same = pool.tasks[task].calls.iter().find_map(|call| call_of(call));
        if same.is_none_or(|call| call.endpoint.provider != shot.call.endpoint.provider) {
            continue;
        }
        let better = |held: usize| {
            let held = &pool.shots[held];
            shot.call.accepted == Accepted::Yes || held.call.accepted != Accepted::Yes
        };
        if claims.get(&task).is_none_or(|&held| better(held)) {
            claims.insert(task, at);
        }
    }
    for (task, shot) in claims {
        solution.task_shot[task].get_or_insert(exact(shot, JoinRule::AncestorTaskId));
    }
}

fn named_above<'a>(
    pool: &Pool<'a>,
    evidence: &'a Evidence,
    tasks: &BTreeMap<(&Arc<str>, &TaskId), Option<usize>>,
) -> Option<usize> {
    let tenant = &evidence.client.tenant;
    for (_, frame) in pool.lineage.frames(evidence) {
        if let Some(id) = &frame.rare.task {
            return tasks.get(&(tenant, id)).copied().flatten();
        }
        for job in frame.rare.correlations.iter().filter(|known| known.kind == CorrelationKind::Job) {
            // An application that uses the provider's id as its own.
            let id = TaskId::new(&job.value);
            if let Some(&task) = tasks.get(&(tenant, &id)) {
                return task;
            }
        }
    }
    None
}

/// A task whose first call, or else the nearest span above it with such a link, links to a submit: by its
/// span, or by its trace if that holds no other submit to that provider. However long ago it was: a queue may
/// lie between the two. A span that takes many messages at once links to the submits of all of them; then
/// which one it is has to be found.
fn by_link(pool: &Pool<'_>, solution: &mut Solution) {
    let mut submits: BTreeMap<(TraceId, &Arc<str>), Vec<usize>> = BTreeMap::new();
    let mut taken: BTreeSet<usize> = solution.task_shot.iter().flatten().map(|bound| bound.shot).collect();
    let mut linked: Vec<(usize, usize)> = Vec::new();
    for (at, task) in pool.tasks.iter().enumerate() {
        let Some((first, call)) = task.followups().next() else { continue };
        let linking = || {
            let above = std::iter::once(first).chain(pool.lineage.ancestors(first));
            above.filter(|evidence| !evidence.links().is_empty())
        };
        if task.named || solution.task_shot[at].is_some() || linking().next().is_none() {
            continue;
        }
        if submits.is_empty() {
            submits = submits_by_trace(pool);
        }
        let meant = |evidence: &Evidence| -> BTreeSet<usize> {
            let of_link = |link: &SpanKey| {
                let shots = submits.get(&(link.trace, &call.endpoint.provider))?;
                let by_span = shots.iter().find(|&&shot| pool.shots[shot].evidence.span == *link);
                by_span.or(shots.first().filter(|_| shots.len() == 1)).copied()
            };
            let fits = |&shot: &usize| {
                !taken.contains(&shot) && call.endpoint.fits_family(&pool.shots[shot].call.endpoint)
            };
            evidence.links().iter().filter_map(of_link).filter(fits).collect()
        };
        let nearest = linking().map(meant).find(|meant| !meant.is_empty()).unwrap_or_default();
        if nearest.len() == 1 {
            linked.extend(nearest.into_iter().map(|shot| (at, shot)));
        }
    }
    for (task, shot) in linked {
        if taken.insert(shot) {
            solution.task_shot[task] = Some(exact(shot, JoinRule::SpanLink));
        }
    }
}

/// Tasks and submits without a partner under one job id of the application: one of each are partners. Of
/// several tasks the first after the one accepted submit is its own; the others wait until it is known which
/// submits are left, for they were made by those that seemed to fail.
fn by_job_of_task(pool: &Pool<'_>, solution: &mut Solution) {
    let mut tasks: BTreeMap<CallName<'_>, Vec<usize>> = BTreeMap::new();
    for (at, task) in pool.tasks.iter().enumerate() {
        if !task.named
            && solution.task_shot[at].is_none()
            && let Some(first) = task.first()
            && let Some(name) = job_of(pool, first)
        {
            tasks.entry(name).or_default().push(at);
        }
    }
    if tasks.is_empty() {
        return;
    }
    let taken: BTreeSet<usize> = solution.task_shot.iter().flatten().map(|bound| bound.shot).collect();
    let mut submits: BTreeMap<CallName<'_>, Vec<usize>> = BTreeMap::new();
    for (at, shot) in pool.shots.iter().enumerate() {
        if shot.is_async()
            && shot.task.is_none()
            && shot.call.accepted != Accepted::No
            && !taken.contains(&at)
            && let Some(name) = job_of(pool, shot.evidence)
        {
            submits.entry(name).or_default().push(at);
        }
    }
    let started = |task: &usize| pool.tasks[*task].first().map(order);
    for (name, mut tasks) in tasks {
        let shots = submits.remove(&name).unwrap_or_default();
        let (accepted, unsure): (Vec<usize>, Vec<usize>) =
            shots.into_iter().partition(|&shot| pool.shots[shot].call.accepted == Accepted::Yes);
        let likeliest = if accepted.is_empty() && tasks.len() == 1 { &unsure } else { &accepted };
        let [shot] = **likeliest else { continue };
        let begun = order(pool.shots[shot].evidence);
        let after = tasks.iter().filter(|&task| tasks.len() == 1 || started(task) > Some(begun));
        let Some(own) = after.copied().min_by_key(started) else { continue };
        solution.task_shot[own] = Some(exact(shot, JoinRule::CorrelationId));
        tasks.retain(|&task| task != own);
        if tasks.len() <= unsure.len() {
            solution.left.add(tasks, unsure);
        }
    }
}

/// A tenant, a provider, and a name that the tenant's calls to it share.
type CallName<'a> = (&'a Arc<str>, &'a Arc<str>, &'a Arc<str>);

fn call_name<'a>(evidence: &'a Evidence, call: &'a Call, name: &'a Arc<str>) -> CallName<'a> {
    (&evidence.client.tenant, &call.endpoint.provider, name)
}

/// A call's provider and the application's job id: its own, else that of the nearest span above that has one.
fn job_of<'a>(pool: &Pool<'a>, evidence: &'a Evidence) -> Option<CallName<'a>> {
    let call = call_of(evidence)?;
    let above = pool.lineage.frames(evidence).flat_map(|(_, frame)| &frame.rare.correlations);
    let mut known = call.rare.correlations.iter().chain(above);
    let job = known.find(|known| known.kind == CorrelationKind::Job)?;
    Some(call_name(evidence, call, &job.value))
}

/// Submits that may have made a task and do not name it.
fn submits_by_trace<'a>(pool: &Pool<'a>) -> BTreeMap<(TraceId, &'a Arc<str>), Vec<usize>> {
    let mut found: BTreeMap<(TraceId, &Arc<str>), Vec<usize>> = BTreeMap::new();
    for (at, shot) in pool.shots.iter().enumerate() {
        if shot.task.is_none() && shot.is_async() && shot.call.accepted != Accepted::No {
            found.entry((shot.evidence.span.trace, &shot.call.endpoint.provider)).or_default().push(at);
        }
    }
    found
}

/// A delivery that carries the application's own job id, and the last submit under that id: an accepted one
/// if there is any.
fn by_job(pool: &Pool<'_>, solution: &mut Solution) {
    let mut shots: BTreeMap<CallName<'_>, usize> = BTreeMap::new();
    for (at, shot) in pool.shots.iter().enumerate() {
        if !shot.is_async() || shot.call.accepted == Accepted::No {
            continue;
        }
        let above = pool.lineage.frames(shot.evidence).flat_map(|(_, frame)| &frame.rare.correlations);
        for name in
            shot.call.rare.correlations.iter().chain(above).filter(|name| name.kind == CorrelationKind::Job)
        {
            likelier(pool, &mut shots, call_name(shot.evidence, shot.call, &name.value), at);
        }
    }
    // By submit, the first task that it made.
    let mut made: Vec<Option<usize>> = vec![None; pool.shots.len()];
    for (task, bound) in solution.task_shot.iter().enumerate() {
        if let Some(bound) = bound {
            made[bound.shot].get_or_insert(task);
        }
    }
    for at in 0..solution.groups.len() {
        let first = solution.groups[at].first(pool);
        let mut names = first.call.rare.correlations.iter().filter(|name| name.kind == CorrelationKind::Job);
        let found = names.find_map(|name| shots.get(&call_name(first.evidence, first.call, &name.value)));
        let Some(&shot) = found else { continue };
        match (made[shot], solution.group_task[at]) {
            (Some(task), None) => solution.group_task[at] = Some((task, JoinRule::CorrelationId, None)),
            (None, Some((task, _, _))) if solution.task_shot[task].is_none() => {
                solution.task_shot[task] = Some(exact(shot, JoinRule::CorrelationId));
                made[shot] = Some(task);
            }
            (None, None) => solution.group_shot[at] = Some(exact(shot, JoinRule::CorrelationId)),
            (_, Some(_)) => {}
        }
    }
}

/// Of the submits under one name, the last that was accepted is the likeliest, else the last.
fn likelier<'a>(pool: &Pool<'_>, shots: &mut BTreeMap<CallName<'a>, usize>, name: CallName<'a>, at: usize) {
    let accepted = |at: usize| pool.shots[at].call.accepted == Accepted::Yes;
    let held = shots.entry(name).or_insert(at);
    if accepted(at) || !accepted(*held) {
        *held = at;
    }
}

/// A submit that shows the callback parameter which a delivery came with. A client that tries again shows the
/// same one, so that several submits may be meant: the last that was accepted is the likeliest.
fn by_callback(pool: &Pool<'_>, constants: &Constants<'_>, solution: &mut Solution) {
    let mut shots: BTreeMap<CallName<'_>, usize> = BTreeMap::new();
    let mut shared: BTreeMap<CallName<'_>, Shared> = BTreeMap::new();
    for (at, shot) in pool.shots.iter().enumerate() {
        if shot.is_async()
            && shot.call.accepted != Accepted::No
            && let Some(value) = constants.name(shot.evidence, shot.call)
        {
            let name = call_name(shot.evidence, shot.call, value);
            shared.entry(name).or_default().shots.push(at);
            likelier(pool, &mut shots, name, at);
        }
    }
    if shots.is_empty() {
        return;
    }
    for at in 0..solution.groups.len() {
        let first = solution.groups[at].first(pool);
        let Some(value) = constants.name(first.evidence, first.call) else { continue };
        let Some(&shot) = shots.get(&call_name(first.evidence, first.call, value)) else { continue };
        let bound = exact(shot, JoinRule::CorrelationId);
        match solution.group_task[at] {
            Some((task, _, _)) => {
                solution.task_shot[task].get_or_insert(bound);
            }
            None => solution.group_shot[at] = Some(bound),
        }
    }
    shared.retain(|_, known| known.shots.len() > 1);
    deliveries_with_id(pool, constants, solution, &shots, &mut shared);
    for Shared { shots, tasks } in shared.into_values() {
        solution.left.add(tasks, shots);
    }
}

/// The submits that show one name, and the tasks that wait for one of them.
#[derive(Default)]
struct Shared {
    shots: Vec<usize>,
    tasks: Vec<usize>,
}

/// The same for deliveries that carry the task id. A task that nobody asked for, of which several submits may
/// be meant, waits until it is known which of them the client followed: see [`by_what_is_left`].
fn deliveries_with_id<'a>(
    pool: &Pool<'a>,
    constants: &Constants<'_>,
    solution: &mut Solution,
    shots: &BTreeMap<CallName<'a>, usize>,
    shared: &mut BTreeMap<CallName<'a>, Shared>,
) {
    for (at, task) in pool.tasks.iter().enumerate() {
        for &evidence in &task.calls {
            let What::Call(call) = &evidence.what else { continue };
            let Some(value) = constants.name(evidence, call) else { continue };
            let name = call_name(evidence, call, value);
            let unasked = solution.task_shot[at].is_none() && task.followups().next().is_none();
            if let Some(known) = shared.get_mut(&name).filter(|_| unasked) {
                known.tasks.push(at);
            } else if let Some(&shot) = shots.get(&name) {
                solution.task_shot[at].get_or_insert(exact(shot, JoinRule::CorrelationId));
            }
        }
    }
}

/// Tasks that wait until it is known which submits of their name something else followed.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// Of each name, its submits by start.
    names: Vec<Vec<usize>>,
    /// By task, the index of its name.
    tasks: BTreeMap<usize, usize>,
}

impl Left {
    /// Lets tasks wait for the submits of their name. A task of two names waits for the later one.
    fn add(&mut self, tasks: Vec<usize>, shots: Vec<usize>) {
        self.tasks.extend(tasks.into_iter().map(|task| (task, self.names.len())));
        self.names.push(shots);
    }

    /// Whether a task waits.
    pub(crate) fn has(&self, task: usize) -> bool {
        self.tasks.contains_key(&task)
    }
}

/// Tasks that only deliveries show, and the submits of their callback parameter that nothing else followed:
/// the last accepted one first, then the last that may have been.
pub(crate) fn by_what_is_left(pool: &Pool<'_>, solution: &mut Solution) {
    let Left { names, tasks } = std::mem::take(&mut solution.left);
    if tasks.is_empty() {
        return;
    }
    let mut taken = vec![false; pool.shots.len()];
    for bound in solution.task_shot.iter().flatten() {
        taken[bound.shot] = true;
    }
    let is_accepted = |shot: &usize| pool.shots[*shot].call.accepted == Accepted::Yes;
    // The likeliest comes last. What is taken stays so: each submit is looked at once, and put away.
    let mut free = names.clone();
    for shots in &mut free {
        shots.sort_by_key(is_accepted);
    }
    for (task, name) in tasks {
        if solution.task_shot[task].is_some() {
            continue;
        }
        let (all, free) = (&names[name], &mut free[name]);
        while free.pop_if(|shot| taken[*shot]).is_some() {}
        let last = || all.iter().rfind(|shot| is_accepted(shot)).or(all.last());
        if let Some(&shot) = free.last().or_else(last) {
            taken[shot] = true;
            solution.task_shot[task] = Some(exact(shot, JoinRule::CorrelationId));
        }
    }
}
