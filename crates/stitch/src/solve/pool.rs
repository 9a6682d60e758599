//! Everything that is solved together, sorted, so that the order of arrival is forgotten here.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use crate::call::{Accepted, Answer, Call, Role};
use crate::evidence::{Evidence, What};
use crate::id::{SpanKey, TaskId, UnixNanos};
use crate::solve::answers::Answers;
use crate::solve::echo::{self, Echo, Echoes, Kept};
use crate::solve::lineage::Lineage;
use crate::solve::nameless;
use crate::solve::nested::{may_nest, nested};
use crate::solve::stand_in::{self, stands_in};
use crate::solve::union::Union;

/// A submit that takes longer than this, in seconds, waits for its result (`Prefer: wait`).
pub(crate) const BLOCKING_SECONDS: f64 = 1.0;

/// A submit, a sync call or a session: what starts an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shot<'a> {
    pub(crate) evidence: &'a Evidence,
    pub(crate) call: &'a Call,
    /// Its task, when the span itself names it.
    pub(crate) task: Option<usize>,
    /// Where the caller keeps it.
    pub(crate) slot: u32,
}

impl Shot<'_> {
    /// Whether it makes a task that lives on after the answer.
    pub(crate) fn is_async(&self) -> bool {
        self.call.role == Role::Submit
    }

    /// It did not get a good answer: the client may try again.
    pub(crate) fn failed(&self) -> bool {
        self.call.accepted != Accepted::Yes
    }

    /// How long the request took, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.evidence.end.seconds_since(self.evidence.start)
    }

    /// Whether the request was held until its result was there.
    pub(crate) fn is_blocking(&self) -> bool {
        self.seconds() > BLOCKING_SECONDS
    }
}

/// All calls that show one provider id.
#[derive(Clone, Debug)]
pub(crate) struct Task<'a> {
    /// None for polls that show no id: see [`nameless`].
    pub(crate) id: Option<&'a TaskId>,
    /// Sorted by start, then span.
    pub(crate) calls: Vec<&'a Evidence>,
    /// Has a submit among its calls.
    pub(crate) named: bool,
    /// Where the caller keeps it, and its strays.
    pub(crate) slots: SmallVec<[u32; 1]>,
}

impl<'a> Task<'a> {
    /// Calls that the client made after the submit: polls, results, cancels.
    pub(crate) fn followups(&self) -> impl Iterator<Item = (&'a Evidence, &'a Call)> {
        self.calls.iter().filter_map(|&evidence| {
            let call = call_of(evidence)?;
            matches!(call.role, Role::Poll | Role::Result | Role::Cancel).then_some((evidence, call))
        })
    }

    /// Gaps between polls, end to start, in seconds.
    pub(crate) fn intervals(&self) -> Vec<f64> {
        let polls: Vec<_> = self.followups().filter(|(_, call)| call.role == Role::Poll).collect();
        polls.windows(2).map(|pair| pair[1].0.start.seconds_since(pair[0].0.end)).collect()
    }

    /// The first call of any kind but a submit.
    pub(crate) fn first(&self) -> Option<&'a Evidence> {
        self.calls.iter().copied().find(|evidence| {
            call_of(evidence).is_some_and(|call| !matches!(call.role, Role::Submit | Role::Sync))
        })
    }
}

/// A delivery without a task id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hook<'a> {
    pub(crate) evidence: &'a Evidence,
    pub(crate) call: &'a Call,
    pub(crate) slot: u32,
}

/// An output fetched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Download<'a> {
    pub(crate) evidence: &'a Evidence,
    pub(crate) slot: u32,
}

/// What is solved together.
#[derive(Debug, Default)]
pub(crate) struct Pool<'a> {
    pub(crate) shots: Vec<Shot<'a>>,
    pub(crate) tasks: Vec<Task<'a>>,
    pub(crate) hooks: Vec<Hook<'a>>,
    pub(crate) downloads: Vec<Download<'a>>,
    pub(crate) frames: Vec<&'a Evidence>,
    pub(crate) lineage: Lineage<'a>,
    /// What realtime sessions used; empty where there are none.
    pub(crate) answers: Answers,
    /// Spans that show what others show better.
    pub(crate) echoes: Echoes,
    /// Hashes of the clients and providers where tasks are asked for by a library that submits as well.
    own_libraries: OnceCell<BTreeSet<u64>>,
}

/// The call of a span, if it is one.
pub(crate) fn call_of(evidence: &Evidence) -> Option<&Call> {
    match &evidence.what {
        What::Call(call) => Some(call),
        What::Frame(_) => None,
    }
}

/// The order of everything in a pool: a span id may come with several ends and answers.
pub(crate) fn order(evidence: &Evidence) -> (UnixNanos, SpanKey, UnixNanos, Option<Answer>) {
    (evidence.start, evidence.span, evidence.end, call_of(evidence).map(|call| call.answer))
}

/// Calls that share an id, and where the caller keeps them.
type Group<'a> = (u32, Vec<&'a Evidence>);

fn all<'s, 'a>(tasks: &'s [Group<'a>], lone: &'s [Kept<'a>]) -> impl Iterator<Item = Kept<'a>> + Clone + 's {
    let of_tasks = tasks.iter().flat_map(|(slot, calls)| calls.iter().map(|call| (*slot, *call)));
    of_tasks.chain(lone.iter().copied())
}

/// Calls of one task, and where the caller keeps them.
pub(crate) type Merged<'a> = (SmallVec<[u32; 1]>, Vec<&'a Evidence>);

/// Tasks of which one call shows two ids are one, whichever id the others show.
fn under_both_ids<'a>(tasks: impl Iterator<Item = (u32, Vec<&'a Evidence>)>) -> Vec<Merged<'a>> {
    let tasks: Vec<Merged<'a>> = tasks.map(|(slot, calls)| (SmallVec::from_elem(slot, 1), calls)).collect();
    let calls = || tasks.iter().enumerate().flat_map(|(at, (_, calls))| calls.iter().map(move |&c| (at, c)));
    if !calls().any(|(_, evidence)| call_of(evidence).is_some_and(|call| call.rare.alias.is_some())) {
        return tasks;
    }
    let mut union = Union::new(tasks.len());
    let mut first: BTreeMap<(&str, &str, &TaskId), usize> = BTreeMap::new();
    for (at, evidence) in calls() {
        let Some(call) = call_of(evidence) else { continue };
        for id in call.task.iter().chain(&call.rare.alias) {
            let key = (&*evidence.client.tenant, &*call.endpoint.provider, id);
            union.join(*first.entry(key).or_insert(at), at);
        }
    }
    let mut merged: BTreeMap<usize, Merged<'a>> = BTreeMap::new();
    for (at, (slots, calls)) in tasks.into_iter().enumerate() {
        let into = merged.entry(union.find(at)).or_default();
        into.0.extend(slots);
        into.1.extend(calls);
    }
    merged.into_values().collect()
}

/// Takes out what is among some echoes, which are sorted by span.
fn set_aside(found: &[Echo], tasks: &mut Vec<Group<'_>>, lone: &mut Vec<Kept<'_>>) {
    let stays = |call: &Evidence| !echo::has(found, call.span);
    lone.retain(|(_, call)| stays(call));
    for (_, calls) in tasks.iter_mut() {
        calls.retain(|call| stays(call));
    }
    tasks.retain(|(_, calls)| !calls.is_empty());
}

impl<'a> Pool<'a> {
    /// Builds a pool from groups of calls that share a task id, lone calls, and frames. The result depends on
    /// the set alone.
    pub(crate) fn new(
        tasks: impl Iterator<Item = (u32, Vec<&'a Evidence>)>,
        lone: impl Iterator<Item = (u32, &'a Evidence)>,
        frames: impl Iterator<Item = &'a Evidence>,
    ) -> Self {
        let mut pool = Self { frames: frames.collect(), ..Self::default() };
        pool.frames.sort_unstable_by_key(|frame| order(frame));
        for frame in pool.frames.clone() {
            pool.lineage.add(frame);
            pool.lineage.count(frame);
        }
        let mut tasks: Vec<Group<'a>> = tasks.collect();
        let mut lone: Vec<Kept<'a>> = lone.collect();
        pool.take_echoes(&mut tasks, &mut lone);
        for (slots, mut calls) in under_both_ids(tasks.into_iter()) {
            calls.sort_unstable_by_key(|evidence| order(evidence));
            pool.push_task(calls, slots);
        }
        let mut strays = Vec::new();
        for (slot, evidence) in lone {
            pool.push_lone(slot, evidence, &mut strays);
        }
        for (slots, calls) in nameless::tasks(strays, &pool.shots, &pool.lineage) {
            pool.push_task(calls, slots);
        }
        pool.sort();
        if pool.shots.iter().any(|shot| shot.call.role == Role::Session) {
            pool.answers = Answers::new(&pool.frames, &pool.lineage);
        }
        pool
    }

    /// Sets aside the spans that show what others show better: first of two that show one request, then of
    /// those that would stand for requests which are here too.
    fn take_echoes(&mut self, tasks: &mut Vec<Group<'a>>, lone: &mut Vec<Kept<'a>>) {
        let mut echoes = Vec::new();
        let evidence = || all(tasks, lone).map(|(_, call)| call);
        if may_nest(evidence(), self.frames.iter().copied()) {
            let calls: Vec<Kept<'a>> = all(tasks, lone).collect();
            let found = nested(&calls, &self.lineage);
            let above = calls.iter().map(|(_, call)| *call).filter(|call| echo::has(&found, call.span));
            above.for_each(|call| self.lineage.add(call));
            set_aside(&found, tasks, lone);
            echoes.extend(found);
        }
        if all(tasks, lone).any(|(_, call)| stands_in(call)) {
            let calls: Vec<Kept<'a>> = all(tasks, lone).collect();
            let found = stand_in::echoes(&calls, &self.lineage);
            set_aside(&found, tasks, lone);
            echoes.extend(found);
        }
        if !echoes.is_empty() {
            let held: BTreeSet<u32> = all(tasks, lone).map(|(slot, _)| slot).collect();
            for echo in &mut echoes {
                echo.slot = echo.slot.filter(|slot| !held.contains(slot));
            }
            self.echoes = Echoes::new(echoes);
        }
    }

    fn push_task(&mut self, calls: Vec<&'a Evidence>, slots: SmallVec<[u32; 1]>) {
        let mut named = false;
        for &evidence in &calls {
            self.count(evidence);
            let Some(call) = call_of(evidence) else { continue };
            match call.role {
                Role::Submit | Role::Sync | Role::Session => named = true,
                Role::Webhook => self.lineage.add(evidence),
                _ => {}
            }
        }
        let known = || calls.iter().filter_map(|evidence| call_of(evidence));
        let id = known().find_map(|call| call.task.as_ref());
        let id = id.or_else(|| known().find_map(|call| call.rare.alias.as_ref()));
        self.tasks.push(Task { id, calls, named, slots });
    }

    fn push_lone(&mut self, slot: u32, evidence: &'a Evidence, strays: &mut Vec<(u32, &'a Evidence)>) {
        let Some(call) = call_of(evidence) else { return };
        match call.role {
            Role::Submit | Role::Sync | Role::Session => {
                self.shots.push(Shot { evidence, call, task: None, slot });
            }
            Role::Webhook => {
                self.lineage.add(evidence);
                self.hooks.push(Hook { evidence, call, slot });
            }
            Role::Download => self.downloads.push(Download { evidence, slot }),
            Role::Poll | Role::Result | Role::Cancel => {
                strays.push((slot, evidence));
                return; // counted with its group
            }
        }
        self.count(evidence);
    }

    /// Whether the client of a submit asks for tasks of this provider by a library that it submits by: then
    /// one that asks by another library asks for somebody else. A program may also submit by one library and
    /// ask by another one, always.
    pub(crate) fn asks_by_its_own_library(&self, shot: &Shot<'_>) -> bool {
        let asking = |evidence: &Evidence, call: &Call| {
            FixedState::default().hash_one((&*evidence.client, &*call.endpoint.provider))
        };
        let find = || {
            let submits =
                self.shots.iter().map(|shot| (asking(shot.evidence, shot.call), shot.call.library()));
            let submits: BTreeSet<(u64, u32)> = submits.collect();
            let asks = self.tasks.iter().filter_map(|task| task.followups().next());
            let asks = asks.map(|(first, call)| (asking(first, call), call.library()));
            asks.filter(|asks| submits.contains(asks)).map(|(asking, _)| asking).collect()
        };
        self.own_libraries.get_or_init(find).contains(&asking(shot.evidence, shot.call))
    }

    /// Counts a call in its trace. A span that stands for one is among the frames.
    fn count(&mut self, evidence: &Evidence) {
        if !stands_in(evidence) {
            self.lineage.count(evidence);
        }
    }

    fn sort(&mut self) {
        self.tasks.sort_unstable_by_key(|task| task.calls.first().map(|call| order(call)));
        for (at, task) in self.tasks.iter().enumerate().filter(|(_, task)| task.named) {
            for &evidence in &task.calls {
                let Some(call) = call_of(evidence) else { continue };
                if call.role.starts() {
                    self.shots.push(Shot { evidence, call, task: Some(at), slot: task.slots[0] });
                }
            }
        }
        self.shots.sort_unstable_by_key(|shot| order(shot.evidence));
        self.hooks.sort_unstable_by_key(|hook| order(hook.evidence));
        self.downloads.sort_unstable_by_key(|download| order(download.evidence));
    }
}
