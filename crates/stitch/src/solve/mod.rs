//! From a set of evidence to groups: which calls make an attempt, which attempts make a job.
//!
//! [`solve`] is a function of the set: nothing of the order of arrival reaches it, because the pool sorts.
//! Its steps go from what is certain to what must be inferred, and each later step sees what the earlier ones
//! settled:
//!
//! 1. calls that show one id are one task; spans that show what others show better are no calls: of two for
//!    one request ([`nested`]), and those that stand for requests which were seen ([`stand_in`]); what shows
//!    no id and has no submit beside it goes by the submit before it ([`nameless`]). All of this is done when
//!    the pool is made;
//! 2. names: a task id on a span above a submit, callback parameters, job ids, generation spans; then what
//!    was decided before ([`pin`]);
//! 3. retry chains, before any task is assigned ([`retry`]);
//! 4. deliveries into groups, and their tasks ([`hooks`], [`redelivery`], [`fallback`]);
//! 5. submits and tasks, as one assignment ([`bind`]); then tasks and deliveries that may share a submit
//!    ([`leftover`], [`fetched`]), and the tasks whose name several submits share;
//! 6. deliveries that came once more ([`again`]) and double submits ([`double`]) among what is left;
//! 7. attempts into jobs, with what was submitted again ([`resubmit`]), spans above, downloads ([`group`]).

mod again;
pub(crate) mod answers;
mod around;
pub(crate) mod assign;
pub(crate) mod attempts;
pub(crate) mod bind;
mod callback;
pub(crate) mod callers;
mod crossing;
pub(crate) mod density;
pub(crate) mod double;
pub(crate) mod download;
pub(crate) mod echo;
mod ending;
pub(crate) mod fallback;
mod fetched;
pub(crate) mod group;
pub(crate) mod habit;
pub(crate) mod hint;
pub(crate) mod hooks;
mod leftover;
pub(crate) mod lineage;
pub(crate) mod nameless;
pub(crate) mod names;
pub(crate) mod nested;
mod pin;
pub(crate) mod pool;
mod redelivery;
#[cfg(test)]
mod resent;
pub(crate) mod resubmit;
pub(crate) mod retry;
#[cfg(test)]
mod rhythms;
pub(crate) mod stand_in;
#[cfg(test)]
mod storm;
#[cfg(test)]
mod sure;
pub(crate) mod tries;
pub(crate) mod union;

use crate::call::Accepted;
use crate::job::{Confidence, JoinRule};
use crate::settings::Settings;
use crate::solve::bind::{Binder, Binding, Open};
use crate::solve::callback::Constants;
use crate::solve::hooks::HookGroup;
use crate::solve::names::Left;
pub(crate) use crate::solve::pin::Pin;
use crate::solve::pool::Pool;

/// One tie between a submit and what it made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tied {
    pub(crate) shot: usize,
    pub(crate) rule: JoinRule,
    pub(crate) confidence: Confidence,
    pub(crate) margin: Option<f64>,
    /// The submit that comes nearest to its place.
    pub(crate) instead: Option<crate::SpanKey>,
}

/// What solving found, by index into the pool.
#[derive(Debug, Default)]
pub(crate) struct Solution {
    /// For each task, its submit.
    pub(crate) task_shot: Vec<Option<Tied>>,
    /// For each delivery group, its task.
    pub(crate) group_task: Vec<Option<(usize, JoinRule, Option<f64>)>>,
    /// For each delivery group without a task, its submit.
    pub(crate) group_shot: Vec<Option<Tied>>,
    pub(crate) groups: Vec<HookGroup>,
    pub(crate) retries: Vec<retry::Retry>,
    pub(crate) doubles: Vec<double::Double>,
    /// While solving: tasks whose name several submits show.
    pub(crate) left: Left,
}

/// From this margin on, in nats, all joins that were measured were right.
pub(crate) const STRONG_NATS: f64 = 5.0;

/// The measured meaning of a margin (in nats): at 5 all were right, from 3 to 5 about 95 %, below about 60 %.
pub(crate) fn confidence(margin: f64) -> Confidence {
    match margin {
        margin if margin >= STRONG_NATS => Confidence::Strong,
        margin if margin >= 3.0 => Confidence::Likely,
        _ => Confidence::Guess,
    }
}

/// Solves a pool. `pins` are ties that were decided when more of their neighbours were known.
pub(crate) fn solve(pool: &Pool<'_>, settings: &Settings, pins: &[Pin]) -> Solution {
    let limit = settings.max_assignment;
    let constants = Constants::new(pool, settings.duplicate_window_ms);
    let mut solution = Solution {
        task_shot: vec![None; pool.tasks.len()],
        groups: hooks::groups(pool, &constants, limit),
        retries: retry::chains(pool, limit),
        ..Solution::default()
    };
    solution.group_task =
        solution.groups.iter().map(|group| group.task.map(|(task, rule)| (task, rule, None))).collect();
    solution.group_shot = vec![None; solution.groups.len()];
    names::bind(pool, &constants, &mut solution);
    pin::keep(pool, &mut solution, pins);
    rhythm(pool, &mut solution, limit);
    leftover::tasks(pool, &mut solution, limit);
    fetched::tasks(pool, &mut solution, limit);
    leftover::deliveries(pool, &constants, &mut solution, limit);
    again::delivered_again(pool, &mut solution);
    names::by_what_is_left(pool, &mut solution);
    let followed = followed(pool, &solution);
    solution.doubles = double::doubles(pool, &followed, settings);
    solution
}

/// Step 5, with the fallback polls of step 4 between a first and a second run.
fn rhythm(pool: &Pool<'_>, solution: &mut Solution, limit: usize) {
    let open = waiting(pool, solution, Refused::Taken);
    // Deliveries that were refused to the last may name their submit, and not the task that was then asked
    // for.
    let dead = || solution.groups.iter().any(|group| fallback::is_lost(pool, group));
    let pairs = !(open.shots.is_empty() || open.tasks.is_empty() && open.groups.is_empty());
    let silent = if dead() { fallback::silent(pool, solution, &open.tasks) } else { Vec::new() };
    if !pairs && silent.is_empty() {
        return;
    }
    if let ([shot], [task], []) = (&*open.shots, &*open.tasks, &*open.groups)
        && let Some(bound) = hint::only_pair(pool, *shot, *task)
    {
        solution.task_shot[*task] = Some(bound);
        return;
    }
    let lone = hint::lone_pairs(pool, &open);
    let open = if lone.is_empty() { open } else { bind_lone(pool, solution, &lone) };
    let mut binder = Binder::new(pool, &solution.groups, &open);
    let bindings = binder.solve(limit);
    let found = fallback::polls(pool, solution, &silent, &binder, &bindings, limit);
    let mut placed = placed(&binder, &bindings);
    take_polls(solution, JoinRule::FallbackPoll, &found);
    // Or the client asked later, or went on asking: then only time or lineage ties the task to that submit.
    let lost = |(at, group): (usize, &HookGroup)| {
        solution.group_shot[at].is_some() && fallback::is_lost(pool, group)
    };
    if !found.is_empty() || solution.groups.iter().enumerate().any(lost) {
        let open = self::open(pool, solution);
        let mut binder = Binder::new(pool, &solution.groups, &open);
        let bindings = binder.solve(limit);
        placed = self::placed(&binder, &bindings);
    }
    for (binding, entity) in placed {
        let rule = binding.rule();
        let margin = Some(binding.margin);
        let instead = binding.rival.map(|shot| pool.shots[shot].evidence.span);
        let confidence = confidence(binding.margin);
        let bound = Tied { shot: binding.shot, rule, confidence, margin, instead };
        match (entity.task, entity.group, pool.shots[bound.shot].task) {
            (Some(task), _, _) => {
                solution.task_shot[task] = Some(bound);
                give_deliveries(solution, bound.shot, task);
            }
            (None, Some(group), Some(task)) => solution.group_task[group] = Some((task, rule, margin)),
            (None, Some(group), None) => solution.group_shot[group] = Some(bound),
            (None, None, _) => {}
        }
    }
}

/// Binds what belongs together by its place alone, and tells what still waits.
fn bind_lone(pool: &Pool<'_>, solution: &mut Solution, lone: &[(usize, Tied)]) -> Open {
    for &(task, bound) in lone {
        solution.task_shot[task] = Some(bound);
        give_deliveries(solution, bound.shot, task);
    }
    waiting(pool, solution, Refused::Taken)
}

/// The deliveries of a submit are those of the task that it made.
fn give_deliveries(solution: &mut Solution, shot: usize, task: usize) {
    for at in 0..solution.groups.len() {
        if let Some(named) = solution.group_shot[at].filter(|named| named.shot == shot) {
            solution.group_shot[at] = None;
            solution.groups[at].task = Some((task, named.rule));
            solution.group_task[at] = Some((task, named.rule, named.margin));
        }
    }
}

fn placed(binder: &Binder<'_, '_>, bindings: &[Binding]) -> Vec<(Binding, bind::Entity)> {
    bindings.iter().map(|binding| (*binding, binder.entities[binding.entity].clone())).collect()
}

/// Gives deliveries the tasks that were asked for in their place, or after them. Those that name their submit
/// name it for the task as well, as surely as the task is theirs.
fn take_polls(solution: &mut Solution, rule: JoinRule, found: &[assign::Pair]) {
    for pair in found {
        let margin = Some(pair.margin);
        solution.groups[pair.left].task = Some((pair.right, rule));
        solution.group_task[pair.left] = Some((pair.right, rule, margin));
        if let Some(bound) = solution.group_shot[pair.left].take() {
            let bound = Tied { rule, confidence: confidence(pair.margin), margin, ..bound };
            solution.task_shot[pair.right].get_or_insert(bound);
        }
    }
}

/// Whether a submit may still have a task whose deliveries name it, and were refused to the last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refused {
    Taken,
    Open,
}

/// What still waits: submits that may have a task and are not followed by a retry; tasks and delivery groups
/// without a submit.
pub(crate) fn open(pool: &Pool<'_>, solution: &Solution) -> Open {
    waiting(pool, solution, Refused::Open)
}

fn waiting(pool: &Pool<'_>, solution: &Solution, refused: Refused) -> Open {
    let mut taken = vec![false; pool.shots.len()];
    for retry in &solution.retries {
        taken[retry.from] = true;
    }
    let made = solution.task_shot.iter().enumerate().filter(|(task, _)| pool.tasks[*task].first().is_some());
    let is_lost = |at: usize| fallback::is_lost(pool, &solution.groups[at]);
    let delivered = solution.group_shot.iter().enumerate();
    // What was taken names no task, and the client may have asked for one all the same.
    let called_back = delivered.clone().filter(|(at, _)| solution.group_task[*at].is_none() && !is_lost(*at));
    let called_back = called_back.filter_map(|(_, bound)| Some(bound.as_ref()?.shot)).collect();
    let delivered = delivered.filter(|(at, _)| refused == Refused::Taken && is_lost(*at));
    for bound in made.chain(delivered).filter_map(|(_, bound)| bound.as_ref()) {
        taken[bound.shot] = true;
    }
    let waits = |at: &usize| {
        let shot = &pool.shots[*at];
        // A submit that names its task may still wait for deliveries that do not.
        let silent = shot.task.is_none_or(|task| pool.tasks[task].first().is_none());
        !taken[*at] && silent && shot.is_async() && shot.call.accepted != Accepted::No
    };
    let task_waits =
        |at: &usize| !pool.tasks[*at].named && solution.task_shot[*at].is_none() && !solution.left.has(*at);
    let group_waits = |at: &usize| {
        solution.group_shot[*at].is_none()
            && solution.group_task[*at].is_none_or(|(task, _, _)| task_waits(&task))
    };
    Open {
        shots: (0..pool.shots.len()).filter(waits).collect(),
        tasks: (0..pool.tasks.len()).filter(task_waits).collect(),
        groups: (0..solution.groups.len()).filter(group_waits).collect(),
        called_back,
    }
}

/// Which shots something follows: a call that asks for their task, a delivery, a retry. That a submit names
/// the task that it made is no follower: nobody may ever have asked for it.
fn followed(pool: &Pool<'_>, solution: &Solution) -> Vec<bool> {
    let asked = |task: usize| pool.tasks[task].first().is_some();
    let mut followed: Vec<bool> =
        pool.shots.iter().map(|shot| !shot.is_async() || shot.task.is_some_and(asked)).collect();
    let bound = solution.task_shot.iter().enumerate().filter(|(task, _)| asked(*task));
    for bound in bound.map(|(_, bound)| bound).chain(&solution.group_shot).flatten() {
        followed[bound.shot] = true;
    }
    for retry in &solution.retries {
        followed[retry.from] = true;
    }
    followed
}
