//! What happens at a bound: who holds the most gives up first.
//!
//! # Why it looks like this
//!
//! Memory is one for all, and a service that storms would fill it with jobs of its own. To let the oldest go,
//! whosever it is, would then settle the jobs of those who do no harm, with outcomes that nobody knows. So
//! room is shared fairly: each service (of a tenant) may hold as much as it likes while there is room, and
//! past the bound the largest ones are cut to an equal size, and whoever has less keeps all of it.
//!
//! # What is given up
//!
//! Of a service that holds too much: what is settled first, then what is open; the oldest of each first. What
//! is open is settled as it then looks, and then forgotten: what still comes for it is late. A tenth more
//! than needed goes, so that it is not done again at once (of very many, only as much as is needed).
//!
//! # Order
//!
//! Below the bounds the order of arrival changes nothing. Past them it does: what was there when the bound
//! was met decides. For the same arrivals at the same times the same is given up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::call::Evidence;
use crate::id::UnixNanos;
use crate::solve::union::Union;
use crate::stitcher::pocket::Pocket;
use crate::stitcher::{Change, Observed, Pin, Stitcher};

/// How often bounds were met since the machine was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitHits {
    /// Jobs that were forgotten before their time for [`Settings::max_spans`](crate::Settings::max_spans),
    /// the open ones settled early.
    pub spans: u64,
    /// Jobs that were settled early for [`Settings::max_open_jobs`](crate::Settings::max_open_jobs).
    pub open_jobs: u64,
    /// Ties that were not made for [`Settings::max_trace_tasks`](crate::Settings::max_trace_tasks).
    pub trace_tasks: u64,
    /// Spans that were not kept for [`Settings::max_task_spans`](crate::Settings::max_task_spans).
    pub task_spans: u64,
    /// Frames dropped for [`Settings::max_idle_frames`](crate::Settings::max_idle_frames).
    pub idle_frames: u64,
}

/// Who gave something up at a bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trimmed {
    /// Tenant.
    pub tenant: Arc<str>,
    /// `service.name`.
    pub service: Arc<str>,
    /// Jobs that were settled early.
    pub open: u64,
    /// Settled jobs that late evidence cannot revise any more.
    pub settled: u64,
}

/// Tenant and service.
type Owner = (Arc<str>, Arc<str>);

/// To find out who gives up costs a look at everything, so it is done for so many changes at least.
const PART: usize = 16_384;

/// What is bounded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    Spans,
    OpenJobs,
}

/// What may be given up: a pocket, or the pockets of jobs that were matched across traces.
struct Candidate {
    owner: usize,
    is_open: bool,
    last: UnixNanos,
    pockets: Vec<u32>,
    weight: u64,
}

impl Stitcher {
    /// How often bounds were met.
    pub fn limit_hits(&self) -> LimitHits {
        LimitHits { idle_frames: self.index.frames_dropped(), ..self.hits }
    }

    /// Who gave something up since the last call, by tenant and service.
    pub fn take_trimmed(&mut self) -> Vec<Trimmed> {
        std::mem::take(&mut self.trimmed)
    }

    /// Keeps the bounds on what is in memory, in parts of about `limit` changes but no small ones; says
    /// whether there is more to give up.
    pub(super) fn keep_limits(&mut self, limit: usize, changes: &mut Vec<Change>) -> bool {
        let limit = limit.max(PART);
        let spans = self.index.spans();
        if spans > self.settings.max_spans {
            // Frames go with their calls, so calls are cut in proportion.
            let weight: u64 = self.pockets.iter().map(|(_, pocket)| self.span_weight(pocket)).sum();
            let kept = u128::from(weight) * (self.settings.max_spans as u128 * 9 / 10) / spans as u128;
            if self.trim(Bound::Spans, kept as u64, limit, changes) {
                return true;
            }
        }
        // A job has at least one item, and to count those is nothing.
        if self.index.items() > self.settings.max_open_jobs {
            let open = self.pockets.iter().filter(|(_, pocket)| !pocket.settled);
            let open: u64 = open.map(|(_, pocket)| job_weight(pocket)).sum();
            if open > self.settings.max_open_jobs as u64 {
                let room = self.settings.max_open_jobs as u64 / 10 * 9;
                return self.trim(Bound::OpenJobs, room, limit, changes);
            }
        }
        false
    }

    /// Gives up what weighs most, by service, until no more than `room` is left, or there are as many changes
    /// as may be.
    fn trim(&mut self, bound: Bound, room: u64, limit: usize, changes: &mut Vec<Change>) -> bool {
        let (mut owners, mut candidates) = self.candidates(bound);
        let weights: Vec<u64> = owners.iter().map(|owner| owner.1).collect();
        let cap = fair_share(weights, room);
        candidates.sort_unstable_by_key(|known| (known.is_open, known.last, known.pockets[0]));
        let mut given: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
        let mut is_cut = false;
        for Candidate { owner, is_open, pockets, weight, .. } in candidates {
            let held = &mut owners[owner].1;
            if *held <= cap {
                continue;
            }
            is_cut = changes.len() >= limit;
            if is_cut {
                break;
            }
            *held -= weight;
            let known = pockets.iter().filter_map(|&at| self.pockets.get(at));
            let jobs: u64 = known.map(job_weight).sum();
            let given = given.entry(owner).or_default();
            if is_open {
                given.0 += jobs;
                let (slots, pins) = self.contents(&pockets);
                let found = self.found(&slots, &pins, true).0;
                self.adopt(&pockets, found, changes);
            } else {
                given.1 += jobs;
            }
            match bound {
                Bound::Spans => self.hits.spans += jobs,
                Bound::OpenJobs => self.hits.open_jobs += jobs,
            }
            for at in pockets {
                self.forget(at, changes);
            }
        }
        for (owner, (open, settled)) in given {
            let (tenant, service) = owners[owner].0.clone();
            self.trimmed.push(Trimmed { tenant, service, open, settled });
        }
        is_cut
    }

    /// Who holds how much, and what may be given up of it.
    fn candidates(&self, bound: Bound) -> (Vec<(Owner, u64)>, Vec<Candidate>) {
        let mut numbers: BTreeMap<Owner, usize> = BTreeMap::new();
        let mut owners = Vec::new();
        let mut candidates = Vec::new();
        for pockets in self.units() {
            let known: Vec<&Pocket> = pockets.iter().filter_map(|&at| self.pockets.get(at)).collect();
            let is_open = known.iter().any(|pocket| !pocket.settled);
            if bound == Bound::OpenJobs && !is_open {
                continue;
            }
            let Some(evidence) = known.iter().find_map(|pocket| self.first_evidence(pocket)) else {
                continue;
            };
            let name = (evidence.client.tenant.clone(), evidence.client.service.clone());
            let owner = *numbers.entry(name).or_insert_with_key(|name| {
                owners.push((name.clone(), 0));
                owners.len() - 1
            });
            let weights = known.iter().map(|pocket| match bound {
                Bound::Spans => self.span_weight(pocket),
                Bound::OpenJobs => job_weight(pocket),
            });
            let weight = weights.sum();
            let last = known.iter().map(|pocket| pocket.last).max().unwrap_or_default();
            owners[owner].1 += weight;
            candidates.push(Candidate { owner, is_open, last, pockets, weight });
        }
        (owners, candidates)
    }

    /// Pockets, those together whose jobs are matched across them as they now look: to settle a submit
    /// without its task would charge for both.
    fn units(&self) -> Vec<Vec<u32>> {
        let mut units = Vec::new();
        let mut seen: BTreeSet<u32> = BTreeSet::new();
        for (at, pocket) in self.pockets.iter() {
            let Some(lane) = pocket.lanes.first() else {
                units.push(vec![at]);
                continue;
            };
            if seen.contains(&at) {
                continue;
            }
            let mut group = self.pockets.lane_group(lane);
            group.retain(|&other| self.pockets.get(other).is_some_and(|pocket| !pocket.lanes.is_empty()));
            seen.extend(&group);
            units.extend(self.matched(&group));
        }
        units
    }

    /// The pockets of a lane in parts that have jobs in common.
    fn matched(&self, group: &[u32]) -> Vec<Vec<u32>> {
        let (slots, pins) = self.contents(group);
        let mut union = Union::new(group.len());
        for found in self.found(&slots, &pins, false).0 {
            let homes = found.members.iter().filter_map(|&slot| self.pocket_of(slot));
            let mut places = homes.filter_map(|home| group.binary_search(&home).ok());
            let Some(first) = places.next() else { continue };
            for place in places {
                union.join(first, place);
            }
        }
        let mut parts: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for (place, &at) in group.iter().enumerate() {
            parts.entry(union.find(place)).or_default().push(at);
        }
        parts.into_values().collect()
    }

    /// Slots and ties of some pockets, in order.
    fn contents(&self, pockets: &[u32]) -> (Vec<u32>, Vec<Pin>) {
        let known = pockets.iter().filter_map(|&at| self.pockets.get(at));
        let mut pins: Vec<Pin> = known.flat_map(|pocket| pocket.pins.clone()).collect();
        pins.sort_unstable_by_key(|pin| (pin.shot, pin.made));
        (self.members(pockets), pins)
    }

    fn first_evidence(&self, pocket: &Pocket) -> Option<&Evidence> {
        pocket.members.iter().find_map(|&slot| self.index.item(slot)?.evidence().first())
    }

    fn span_weight(&self, pocket: &Pocket) -> u64 {
        let items = pocket.members.iter().filter_map(|&slot| self.index.item(slot));
        items.map(|item| item.evidence().len() as u64).sum()
    }

    /// Ties two items, unless their pocket would then have more than it may.
    pub(super) fn tie_to(&mut self, slot: u32, other: u32) {
        let (Some(a), Some(b)) = (self.pocket_of(slot), self.pocket_of(other)) else { return };
        let size = |at: u32| self.pockets.get(at).map_or(0, |pocket| pocket.members.len());
        if a != b && size(a) + size(b) > self.settings.max_trace_tasks {
            self.hits.trace_tasks += 1;
        } else {
            self.merge(slot, other);
        }
    }

    /// A poll that told nothing new was added to a task: it is kept if there is room.
    pub(super) fn keep_or_drop(&mut self, slot: u32) -> Observed {
        if self.index.take_surplus(slot, self.settings.max_task_spans).is_none() {
            return Observed::New;
        }
        self.hits.task_spans += 1;
        Observed::Surplus
    }
}

/// Jobs of a pocket, as last looked at; one while it was not.
fn job_weight(pocket: &Pocket) -> u64 {
    pocket.jobs.len().max(1) as u64
}

/// The size to which the largest are cut so that all together fit: whoever has less keeps all.
fn fair_share(mut weights: Vec<u64>, room: u64) -> u64 {
    weights.sort_unstable();
    let (mut left, mut sharers) = (room, weights.len() as u64);
    for weight in weights {
        let share = left / sharers;
        if weight > share {
            return share;
        }
        left -= weight;
        sharers -= 1;
    }
    u64::MAX
}

#[cfg(test)]
mod tests;
