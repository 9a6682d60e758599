//! Which submits are looked at for one task, and the usual waits that they show.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::latency::Before;
use super::{Binder, Entity, latency, peak};
use crate::call::Call;
use crate::evidence::Evidence;
use crate::id::{SpanKey, TaskId, TraceId};
use crate::solve::habit::{LATENCY, WAIT, WINDOW_SECONDS};
use crate::solve::hint;
use crate::solve::pool::{BLOCKING_SECONDS, Pool, call_of};

/// Most submits looked at for one task: the nearest, and as many of those that lie a usual wait before it.
const MAX_CANDIDATES: usize = 64;
/// Most submits gone through to find them.
const MAX_LOOKED_AT: usize = 4096;
/// Most first questions of a class whose gaps are looked at for its usual wait; and most of them, or of
/// deliveries, where it varies: more of them tell more, and fewer submits lie between.
const MAX_QUESTIONS: usize = 64;
const MAX_VARYING: usize = 256;
/// Most gaps of a class that are looked at, and of all classes together.
const MAX_GAPS: usize = 1 << 15;
const MAX_GAPS_OF_ALL: usize = 1 << 18;

/// How far from the middle of a wait that varies its gaps are taken for usual, in spreads.
const MIDDLE: f64 = 1.5;

/// How far one clock may be off, in seconds.
const TICK_SECONDS: f64 = 0.001;
/// How far the clocks of two processes may be apart, in seconds, where nothing but time ties a submit to a
/// first call that seems to come before it: what machines that are kept in time show.
const APART_MS: u64 = 100;
/// The same where lineage ties them.
const SKEW_SECONDS: f64 = 2.0;

/// Places of open submits, by start.
#[derive(Default)]
pub(super) struct Lanes<'a> {
    /// Of each tenant and provider.
    of_provider: BTreeMap<(&'a Arc<str>, &'a Arc<str>), Vec<usize>>,
    of_trace: BTreeMap<TraceId, Vec<usize>>,
    /// The traces that hold an open submit to a provider.
    traces: BTreeSet<(TraceId, &'a Arc<str>)>,
}

impl<'a> Lanes<'a> {
    pub(super) fn new(pool: &Pool<'a>, shots: &[usize]) -> Self {
        let mut lanes = Self::default();
        for (place, &shot) in shots.iter().enumerate() {
            let shot = &pool.shots[shot];
            let key = (&shot.evidence.client.tenant, &shot.call.endpoint.provider);
            lanes.of_provider.entry(key).or_default().push(place);
            lanes.of_trace.entry(shot.evidence.span.trace).or_default().push(place);
            lanes.traces.insert((shot.evidence.span.trace, &shot.call.endpoint.provider));
        }
        lanes
    }

    /// Whether a trace holds an open submit to a provider.
    pub(super) fn has(&self, trace: TraceId, provider: &Arc<str>) -> bool {
        self.traces.contains(&(trace, provider))
    }

    /// Of a trace, whatever the provider.
    pub(super) fn of_trace(&self, trace: TraceId) -> &[usize] {
        self.of_trace.get(&trace).map_or(&[], Vec::as_slice)
    }
}

impl Binder<'_, '_> {
    /// Pairs of the place of a submit and an entity that it may have made, by entity.
    pub(super) fn candidates(&self) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        for (at, entity) in self.entities.iter().enumerate() {
            let mut near = self.near(entity);
            found.extend(near.by_ref().take(MAX_CANDIDATES).map(|place| (place, at)));
            let wait = self.waits.get(entity.class).cloned().flatten().filter(|_| !entity.hooked);
            if let Some(wait) = wait {
                let slack = BLOCKING_SECONDS;
                let far = near.take_while(|&place| self.gap(place, at) <= wait.end() + slack);
                let far = far.filter(|&place| wait.contains(&self.gap(place, at)));
                found.extend(far.take(MAX_CANDIDATES).map(|place| (place, at)));
            }
            let begin = found.partition_point(|&(_, known)| known < at);
            let known: BTreeSet<usize> = found[begin..].iter().map(|&(place, _)| place).collect();
            let tied = self.tied(entity).filter(|place| !known.contains(place));
            let tied: BTreeSet<usize> = tied.take(MAX_CANDIDATES).collect();
            found.extend(tied.into_iter().map(|place| (place, at)));
        }
        found
    }

    /// Places of the submits in the traces of an entity's first call and of its links: however many others
    /// lie between, and with clocks that do not agree.
    fn tied(&self, entity: &Entity) -> impl Iterator<Item = usize> {
        let first = self.first_call(entity).and_then(|first| Some((first, call_of(first)?)));
        first.into_iter().flat_map(move |(first, call)| {
            let links = hint::linked(self.pool, first).map(|link| link.trace);
            let traces = std::iter::once(first.span.trace).chain(links);
            let places = traces.flat_map(|trace| self.lanes.of_trace(trace)).copied();
            places.take(MAX_LOOKED_AT).filter(move |&place| {
                let shot = self.shot(place);
                let is_other = shot.evidence.client != first.client;
                shot.evidence.client.tenant == first.client.tenant
                    && shot.call.endpoint.provider == call.endpoint.provider
                    && self.possible(place, entity, call, if is_other { SKEW_SECONDS } else { TICK_SECONDS })
            })
        })
    }

    /// The gaps of each class that stand out as its usual wait.
    pub(super) fn usual_gaps(&self, classes: usize) -> Vec<Vec<f64>> {
        let mut asked: Vec<Vec<usize>> = vec![Vec::new(); classes];
        for (at, entity) in self.entities.iter().enumerate().filter(|(_, entity)| !entity.hooked) {
            asked[entity.class].push(at);
        }
        let most = MAX_GAPS.min(MAX_GAPS_OF_ALL / classes.max(1));
        asked.iter().map(|asked| self.usual_gaps_of(asked, most)).collect()
    }

    fn usual_gaps_of(&self, asked: &[usize], most: usize) -> Vec<f64> {
        if asked.len() < peak::MIN_GAPS {
            return Vec::new();
        }
        let before = self.before(asked, MAX_QUESTIONS, most);
        let gaps = all_gaps(&before);
        let steady = peak::usual(&gaps, before.len());
        if !steady.is_empty() {
            return steady.to_vec();
        }
        let before = self.before(asked, MAX_VARYING, most);
        let Some((log, spread)) = latency::usual(&before, self.rate(), WAIT) else { return Vec::new() };
        let mut gaps = all_gaps(&before);
        gaps.retain(|gap| (gap.ln() - log).abs() <= MIDDLE * spread);
        gaps
    }

    /// The latency of deliveries that stands out among all gaps between them and submits before.
    pub(super) fn usual_latency(&self) -> Option<(f64, f64)> {
        let delivered: Vec<usize> = (0..self.entities.len()).filter(|&at| self.entities[at].hooked).collect();
        if delivered.len() < latency::MIN_DELIVERIES {
            return None;
        }
        latency::usual(&self.before(&delivered, MAX_VARYING, MAX_GAPS), self.rate(), LATENCY)
    }

    /// How many submits come per second, from the first to the last that may have been made by one.
    fn rate(&self) -> f64 {
        let begin = self.shots.iter().map(|&shot| self.pool.shots[shot].evidence.end).min();
        let end = self.entities.iter().map(|entity| entity.first).max();
        let seconds = begin.zip(end).map_or(0.0, |(begin, end)| end.seconds_since(begin));
        self.shots.len() as f64 / seconds.max(TICK_SECONDS)
    }

    /// The submits before some entities: before so many in the middle, with so many gaps of all together.
    fn before(&self, entities: &[usize], most: usize, most_gaps: usize) -> Vec<Before> {
        let from = entities.len().saturating_sub(most) / 2;
        let entities = &entities[from..entities.len().min(from + most)];
        let each = most_gaps / entities.len().max(1);
        let before = |&at: &usize| {
            let mut near = self.near(&self.entities[at]);
            let gaps = near.by_ref().take(each).map(|place| self.gap(place, at));
            let gaps: Vec<f64> = gaps.filter(|&gap| gap >= 0.0).collect();
            let next = near.next().map(|place| self.gap(place, at));
            Before { gaps, until: next.unwrap_or(f64::INFINITY) }
        };
        entities.iter().map(before).collect()
    }

    /// Places of the submits that may have made an entity, the nearest first.
    fn near(&self, entity: &Entity) -> impl Iterator<Item = usize> {
        let call = self.first_call(entity).and_then(|first| Some((first, call_of(first)?)));
        let lane = call.and_then(|(first, call)| {
            let lane = self.lanes.of_provider.get(&(&first.client.tenant, &call.endpoint.provider))?;
            Some((first, call, lane))
        });
        lane.into_iter().flat_map(move |(first, call, lane)| {
            let latest = entity.first.plus_ms(APART_MS);
            let started = |&place: &usize| self.shot(place).evidence.start <= latest;
            let before = &lane[..lane.partition_point(started)];
            let looked_at = before.iter().rev().take(MAX_LOOKED_AT).copied();
            looked_at.filter(move |&place| {
                let shot = self.shot(place).evidence;
                let (early, latest) = if shot.client == first.client {
                    (TICK_SECONDS, entity.first)
                } else {
                    (APART_MS as f64 / 1e3, latest)
                };
                shot.start <= latest && self.possible(place, entity, call, early)
            })
        })
    }

    /// `early` is by how much, in seconds, the first call may seem to come before the answer.
    fn possible(&self, place: usize, entity: &Entity, call: &Call, early: f64) -> bool {
        let shot = self.shot(place);
        let gap = entity.first.seconds_since(shot.evidence.end);
        call.endpoint.fits_family(&shot.call.endpoint)
            && (shot.task.is_none() || entity.task.is_none())
            && (entity.task.is_some() || !self.called_back[place])
            && gap <= WINDOW_SECONDS
            && (gap >= -early || shot.is_blocking())
            && entity
                .group
                .is_none_or(|group| self.callers.fits(shot.call, self.groups[group].first(self.pool).call))
            && !self.is_another(place, entity)
    }

    /// Whether a span above a submit names another task, which is not below that span.
    fn is_another(&self, place: usize, entity: &Entity) -> bool {
        let Some((above, named)) = self.named[place] else { return false };
        let Some(task) = entity.task.map(|task| &self.pool.tasks[task]) else { return false };
        let ids = || task.calls.iter().filter_map(|call| call_of(call));
        let goes_by =
            |call: &Call| [&call.task, &call.rare.alias].into_iter().flatten().any(|id| id == named);
        let is_below = |call: &&Evidence| self.pool.lineage.ancestors(call).any(|span| span.span == above);
        task.id.is_some() && !ids().any(goes_by) && !task.calls.iter().any(is_below)
    }
}

/// The nearest span above a submit that names a task, and that task.
pub(super) fn named_above<'a>(pool: &Pool<'a>, shot: usize) -> Option<(SpanKey, &'a TaskId)> {
    let mut frames = pool.lineage.frames(pool.shots[shot].evidence);
    frames.find_map(|(above, frame)| Some((above.span, frame.rare.task.as_ref()?)))
}

/// The gaps to all submits before some entities, the shortest first.
fn all_gaps(before: &[Before]) -> Vec<f64> {
    let mut gaps: Vec<f64> = before.iter().flat_map(|before| &before.gaps).copied().collect();
    gaps.sort_unstable_by(f64::total_cmp);
    gaps
}

/// From the shortest to the longest of such gaps (sorted), and as much again on both sides.
pub(super) fn wait(gaps: &[f64]) -> Option<RangeInclusive<f64>> {
    let (first, last) = (gaps.first()?, gaps.last()?);
    let length = last - first;
    Some(first - length..=last + length)
}
