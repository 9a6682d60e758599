//! Which submit made which task: one assignment of everything unbound.
//!
//! A submit's span does not show the id that its answer carried, so the id is first seen in a poll, a result
//! fetch or a delivery. What ties the two is lineage (the same parent or trace), a span link, the request's
//! family, and the client's rhythm: the gap from the submit's end to the first call is nearly constant per
//! client library. Gaps are scored by a mixture whose weights and densities are learned from the pool itself
//! (expectation-maximisation over a few rounds, each pair judged without its own gap), starting from what
//! needs no join: the poll intervals, and the waits that stand out among all gaps. All candidates are then
//! solved as a whole: nearest-first would lock a wrong pair and pass the error on.

mod candidates;
mod followers;
mod latency;
mod peak;
mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::call::{Accepted, Call};
use crate::evidence::{Client, Evidence};
use crate::frame::FrameKind;
use crate::id::{SpanKey, TaskId, TraceId, UnixNanos};
use crate::job::JoinRule;
use crate::solve::assign::{self, Edge, Pair};
use crate::solve::bind::candidates::Lanes;
use crate::solve::bind::followers::Followers;
use crate::solve::callers::Callers;
use crate::solve::habit::{Cadence, Habits, Sample};
use crate::solve::hint::{self, Kinship};
use crate::solve::hooks::HookGroup;
use crate::solve::pool::{Pool, Shot, call_of};

const ROUNDS: usize = 4;
/// Most tasks and deliveries from which habits are learned: more of them teach nothing new.
const MAX_LESSON: usize = 2048;

/// Something that a submit may have made: a task, deliveries, or both.
#[derive(Clone, Debug)]
pub(crate) struct Entity {
    pub(crate) task: Option<usize>,
    pub(crate) group: Option<usize>,
    first: UnixNanos,
    /// Which of the calls that ask for the task counts as the first: see [`Binder::lead`].
    lead: usize,
    hooked: bool,
    class: usize,
    cadence: Cadence,
}

/// A submit and what it made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding {
    pub(crate) shot: usize,
    pub(crate) entity: usize,
    pub(crate) margin: f64,
    /// The submit that comes nearest to its place.
    pub(crate) rival: Option<usize>,
    pub(crate) tie: Tie,
}

impl Binding {
    /// The rule that the job names.
    pub(crate) fn rule(&self) -> JoinRule {
        match self.tie {
            Tie::Link => JoinRule::SpanLink,
            Tie::Trace => JoinRule::TraceOrder,
            Tie::Rhythm => JoinRule::ClientRhythm,
            Tie::Delivery => JoinRule::WebhookTime,
        }
    }
}

/// The best reason for a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tie {
    Link,
    Trace,
    Rhythm,
    Delivery,
}

/// What may be bound: submits that wait for a task, and entities that wait for a submit.
pub(crate) struct Open {
    pub(crate) shots: Vec<usize>,
    pub(crate) tasks: Vec<usize>,
    pub(crate) groups: Vec<usize>,
    /// Of the submits, those that have their deliveries, which name no task.
    pub(crate) called_back: BTreeSet<usize>,
}

pub(crate) struct Binder<'p, 'a> {
    pool: &'p Pool<'a>,
    groups: &'p [HookGroup],
    pub(crate) entities: Vec<Entity>,
    habits: Habits,
    /// By class: how long it usually waits, if that can be seen.
    waits: Vec<Option<RangeInclusive<f64>>>,
    shots: Vec<usize>,
    lanes: Lanes<'a>,
    /// Per open shot: it is one of two equal accepted submits within a second.
    doubled: Vec<bool>,
    /// Per open shot: it has its deliveries.
    called_back: Vec<bool>,
    /// Per open shot: what a span above it says of its task.
    named: Vec<Option<(SpanKey, &'a TaskId)>>,
    /// Which services follow their own tasks.
    followers: Followers<'a>,
    /// Providers of which submits show their callback URL.
    callers: Callers<'a>,
    /// Traces that links of some task's first call name.
    linked: BTreeSet<TraceId>,
    /// By entity: how often entities of its provider come, per second.
    rates: Vec<f64>,
}

type ClassKey<'a> = (&'a Arc<Client>, &'a Arc<str>, u64, Option<FrameKind>);

/// What habits are learned from: the candidates of all entities, or of those in the middle of a crowd.
fn lesson(candidates: &[(usize, usize)], entities: usize) -> &[(usize, usize)] {
    let from = entities.saturating_sub(MAX_LESSON) / 2;
    let begin = candidates.partition_point(|&(_, at)| at < from);
    let end = candidates.partition_point(|&(_, at)| at < from + MAX_LESSON);
    &candidates[begin..end]
}

impl<'p, 'a> Binder<'p, 'a> {
    /// Of what is open in a pool: the entities, their classes, and the habits learned from them.
    pub(crate) fn new(pool: &'p Pool<'a>, groups: &'p [HookGroup], open: &Open) -> Self {
        let mut binder = Self {
            pool,
            groups,
            entities: Vec::new(),
            habits: Habits::default(),
            waits: Vec::new(),
            shots: open.shots.clone(),
            lanes: Lanes::new(pool, &open.shots),
            doubled: Vec::new(),
            called_back: open.shots.iter().map(|shot| open.called_back.contains(shot)).collect(),
            named: open.shots.iter().map(|&shot| candidates::named_above(pool, shot)).collect(),
            followers: Followers::new(pool),
            callers: Callers::new(pool),
            linked: BTreeSet::new(),
            rates: Vec::new(),
        };
        binder.collect(open);
        let firsts = binder.entities.iter().filter_map(|entity| binder.first_call(entity));
        binder.linked = firsts.flat_map(|first| hint::linked(pool, first)).map(|link| link.trace).collect();
        binder.doubled = open.shots.iter().map(|&shot| binder.has_double(shot)).collect();
        let span = match (pool.shots.first(), pool.shots.last()) {
            (Some(first), Some(last)) => last.evidence.start.seconds_since(first.evidence.start),
            _ => 0.0,
        };
        let mut counts: BTreeMap<&Arc<str>, f64> = BTreeMap::new();
        let providers: Vec<Option<&Arc<str>>> = binder
            .entities
            .iter()
            .map(|entity| Some(&call_of(binder.first_call(entity)?)?.endpoint.provider))
            .collect();
        for provider in providers.iter().flatten() {
            *counts.entry(provider).or_default() += 1.0;
        }
        let rate = |provider: Option<&Arc<str>>| {
            let count = provider.and_then(|provider| counts.get(provider)).copied().unwrap_or(1.0);
            count / (span + 600.0 / count)
        };
        binder.rates = providers.into_iter().map(rate).collect();
        binder
    }

    fn collect(&mut self, open: &Open) {
        let mut keys: BTreeMap<ClassKey<'a>, usize> = BTreeMap::new();
        let mut of_task: BTreeMap<usize, usize> = BTreeMap::new();
        for &group in &open.groups {
            if let Some((task, _)) = self.groups[group].task {
                of_task.entry(task).or_insert(group);
            }
        }
        for &task in &open.tasks {
            let group = of_task.get(&task).copied();
            let known = &self.pool.tasks[task];
            let Some(first) = known.first() else { continue };
            let lead = self.lead(task);
            let followup = known.followups().nth(lead).map(|(evidence, _)| evidence);
            let delivered = group.map(|group| self.groups[group].start(self.pool));
            let hooked = match (followup, delivered) {
                (Some(followup), Some(delivered)) => delivered <= followup.start,
                (None, _) => true,
                (Some(_), None) => false,
            };
            let start = delivered.filter(|_| hooked).unwrap_or_else(|| followup.unwrap_or(first).start);
            let class = self.class_of(&mut keys, followup.unwrap_or(first));
            let cadence = Cadence::new(&known.intervals());
            self.entities.push(Entity {
                task: Some(task),
                group,
                first: start,
                lead,
                hooked,
                class,
                cadence,
            });
        }
        for &group in open.groups.iter().filter(|&&group| self.groups[group].task.is_none()) {
            let hook = self.groups[group].first(self.pool).evidence;
            let class = self.class_of(&mut keys, hook);
            self.entities.push(Entity {
                task: None,
                group: Some(group),
                first: hook.start,
                lead: 0,
                hooked: true,
                class,
                cadence: Cadence::default(),
            });
        }
        self.start_habits(&keys);
    }

    /// Of the calls that ask for a task the first in a trace that holds an open submit to its provider, if
    /// there is one: what another process asked before tells less, and its clock may be another one.
    fn lead(&self, task: usize) -> usize {
        let in_trace =
            |(first, call): (&Evidence, &Call)| self.lanes.has(first.span.trace, &call.endpoint.provider);
        self.pool.tasks[task].followups().position(in_trace).unwrap_or_default()
    }

    fn class_of(&self, keys: &mut BTreeMap<ClassKey<'a>, usize>, first: &'a Evidence) -> usize {
        let Some(call) = call_of(first) else { return 0 };
        let frame = self.pool.lineage.frames(first).next().map(|(_, frame)| frame.kind);
        let frame = frame.filter(|&kind| kind != FrameKind::Server);
        let next = keys.len();
        *keys.entry((&first.client, &call.endpoint.provider, call.agent, frame)).or_insert(next)
    }

    fn start_habits(&mut self, keys: &BTreeMap<ClassKey<'a>, usize>) {
        let mut names: Vec<&Arc<str>> = keys.keys().map(|key| key.1).collect();
        names.sort_unstable();
        names.dedup();
        let mut providers = vec![0; keys.len()];
        for (key, &class) in keys {
            providers[class] = names.binary_search(&key.1).unwrap_or_default();
        }
        let mut intervals = vec![Vec::new(); keys.len()];
        for entity in &self.entities {
            intervals[entity.class].extend(entity.cadence.usual);
        }
        let usual = self.usual_gaps(keys.len());
        self.waits = usual.iter().map(|gaps| candidates::wait(gaps)).collect();
        self.habits = Habits::new(intervals, usual, &providers).with_latency(self.usual_latency());
    }

    /// Solves, learning as it goes.
    pub(crate) fn solve(&mut self, limit: usize) -> Vec<Binding> {
        let candidates = self.candidates();
        let mut pairs: Vec<Pair> = Vec::new();
        for _ in 1..ROUNDS {
            let edges = self.edges(lesson(&candidates, self.entities.len()), &pairs);
            pairs = assign::assign(&edges, limit, false);
            self.learn(&pairs);
        }
        pairs = assign::assign(&self.edges(&candidates, &pairs), limit, true);
        let (ended, began) = (|at| self.shot(at).evidence.end, |at: usize| self.entities[at].first);
        turns::keep(&mut pairs, ended, began, |a, b| self.entities[a].class == self.entities[b].class);
        pairs
            .iter()
            .map(|pair| {
                let (shot, entity) = (self.shots[pair.left], pair.right);
                let rival = pair.rival.map(|place| self.shots[place]);
                Binding { shot, entity, margin: pair.margin, rival, tie: self.tie(shot, entity) }
            })
            .collect()
    }

    fn first_call(&self, entity: &Entity) -> Option<&'a Evidence> {
        match (entity.task, entity.group) {
            (Some(task), _) => {
                let task = &self.pool.tasks[task];
                task.followups().nth(entity.lead).map(|(evidence, _)| evidence).or_else(|| task.first())
            }
            (None, Some(group)) => Some(self.groups[group].first(self.pool).evidence),
            (None, None) => None,
        }
    }

    fn edges(&self, candidates: &[(usize, usize)], pairs: &[Pair]) -> Vec<Edge> {
        let own: BTreeMap<(usize, usize), f64> =
            pairs.iter().map(|pair| ((pair.left, pair.right), self.gap(pair.left, pair.right))).collect();
        candidates
            .iter()
            .map(|&(place, entity)| {
                let own = own.get(&(place, entity)).copied();
                Edge { left: place, right: entity, gain: self.gain(place, entity, own) }
            })
            .collect()
    }

    fn gap(&self, place: usize, entity: usize) -> f64 {
        self.entities[entity].first.seconds_since(self.shot(place).evidence.end)
    }

    fn shot(&self, place: usize) -> &'p Shot<'a> {
        &self.pool.shots[self.shots[place]]
    }

    /// Gain over leaving both alone.
    fn gain(&self, place: usize, at: usize, own: Option<f64>) -> f64 {
        let shot = self.shot(place);
        let entity = &self.entities[at];
        let gap = self.gap(place, at);
        let density = self.density(entity, gap, own);
        let alone = (0.02 * self.rates[at]).ln() + if self.doubled[place] { 0.45_f64 } else { 0.12 }.ln();
        let unanswered = shot.call.accepted == Accepted::Ambiguous;
        let answered =
            if unanswered { hint::unanswered(shot, entity.hooked, self.first_call(entity)) } else { 0.0 };
        density.max(1e-12).ln() + self.hints(place, entity) + answered - alone - 1e-4 * gap * gap.min(100.0)
    }

    fn density(&self, entity: &Entity, gap: f64, own: Option<f64>) -> f64 {
        if gap < 0.0 {
            // The answer was held back: polls may begin before it ends.
            0.05
        } else if entity.hooked {
            self.habits.delivery(gap)
        } else {
            self.habits.density(entity.class, entity.cadence, gap, own)
        }
    }

    /// Everything but the gap.
    fn hints(&self, place: usize, entity: &Entity) -> f64 {
        let shot = self.shot(place);
        let Some(first) = self.first_call(entity) else { return 0.0 };
        let delivered = entity.hooked.then(|| match entity.group {
            Some(group) => self.groups[group].last(self.pool).evidence,
            None => first,
        });
        let away = self.followers.away(shot, first, entity.hooked);
        let unlinked = !entity.hooked
            && self.linked.contains(&shot.evidence.span.trace)
            && hint::links(self.pool, shot, first).is_none();
        let unlinked = if unlinked { hint::UNLINKED } else { 0.0 };
        let called_back = self.called_back[place];
        let both = if called_back { hint::CALLED_BACK } else { 0.0 };
        let has_group = entity.group.is_some() || called_back;
        away + unlinked + both + hint::worth(self.pool, shot, first, delivered, has_group)
    }

    fn has_double(&self, at: usize) -> bool {
        let shot = &self.pool.shots[at];
        let near = |other: &Shot<'_>| {
            other.call.request == shot.call.request
                && other.evidence.span != shot.evidence.span
                && other.call.accepted == Accepted::Yes
                && other.evidence.client == shot.evidence.client
        };
        let start = shot.evidence.start;
        let from = self.pool.shots.partition_point(|other| other.evidence.start < start.minus_ms(1000));
        let until = self.pool.shots.partition_point(|other| other.evidence.start <= start.plus_ms(1000));
        shot.call.accepted == Accepted::Yes && self.pool.shots[from..until].iter().any(near)
    }

    fn learn(&mut self, pairs: &[Pair]) {
        let mut samples = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let gap = self.gap(pair.left, pair.right);
            let Entity { class, hooked, cadence, .. } = self.entities[pair.right];
            if gap >= 0.0 {
                samples.push(Sample { class, cadence, gap, hooked });
            }
        }
        self.habits.learn(&samples);
    }

    fn tie(&self, shot: usize, entity: usize) -> Tie {
        let (shot, entity) = (&self.pool.shots[shot], &self.entities[entity]);
        let Some(first) = self.first_call(entity) else { return Tie::Rhythm };
        if hint::links(self.pool, shot, first) == Some(true) {
            Tie::Link
        } else if hint::kinship(shot, first) != Kinship::None {
            Tie::Trace
        } else if entity.hooked {
            Tie::Delivery
        } else {
            Tie::Rhythm
        }
    }

    /// How well a normal gap alone explains a binding, in nats over chance.
    pub(crate) fn explained(&self, binding: &Binding) -> f64 {
        let entity = &self.entities[binding.entity];
        let gap = entity.first.seconds_since(self.pool.shots[binding.shot].evidence.end);
        (self.density(entity, gap, Some(gap)).max(1e-12) / self.rates[binding.entity]).ln()
    }
}
