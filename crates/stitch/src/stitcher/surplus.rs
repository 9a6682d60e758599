//! Who holds how much at a bound, and what of it goes first.
//!
//! Finding candidates scans all memory; the tenth to be evicted is then removed in parts. So the next part
//! goes on with the list that the last one left over. More spans may have come by then. A candidate that they
//! touched is passed over, since it is not among the oldest any more. One that waits in a lane with others
//! cannot be taken from an old list, because what it is matched with may have changed: at the first such
//! candidate everything is scanned anew.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::evidence::Client;
use crate::id::UnixNanos;
use crate::solve::union::Union;
use crate::stitcher::pocket::Pocket;
use crate::stitcher::{Fixed, Stitcher};

/// What is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limited {
    Spans,
    OpenJobs,
}

/// Tenant and service.
pub(super) type Owner = (Arc<str>, Arc<str>);

/// Pockets that are given up together: most are alone.
type Unit = SmallVec<[u32; 2]>;

/// What may be given up: a pocket, or the pockets of jobs that were matched across traces.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) owner: usize,
    pub(super) is_open: bool,
    last: UnixNanos,
    pub(super) pockets: Unit,
    /// It is a frozen pocket, in this slot, and `pockets` is empty.
    pub(super) frozen: Option<u32>,
    weight: u64,
    /// It waits or rests in a lane.
    in_lane: bool,
}

impl Candidate {
    /// Of two of one age the first by this goes first.
    fn place(&self) -> u32 {
        self.frozen.unwrap_or_else(|| self.pockets.first().copied().unwrap_or_default())
    }
}

/// What is to be given up, in that order.
#[derive(Debug)]
pub(super) struct Surplus {
    pub(super) bound: Limited,
    /// It was made for an earlier part.
    pub(super) is_old: bool,
    /// Who holds how much.
    owners: Vec<(Owner, u64)>,
    /// How much each may keep.
    cap: u64,
    /// What goes first is last.
    candidates: Vec<Candidate>,
}

impl Surplus {
    /// What is to go next.
    pub(super) fn next(&mut self) -> Option<Candidate> {
        while let Some(candidate) = self.candidates.pop() {
            if self.owners[candidate.owner].1 <= self.cap {
                continue;
            }
            if self.is_old && candidate.in_lane {
                self.candidates.clear();
                return None;
            }
            return Some(candidate);
        }
        None
    }

    /// It is given up.
    pub(super) fn note(&mut self, candidate: &Candidate) {
        self.owners[candidate.owner].1 -= candidate.weight;
    }

    /// Takes back what was next.
    pub(super) fn put_back(&mut self, candidate: Candidate) {
        self.candidates.push(candidate);
    }

    pub(super) fn owner(&self, owner: usize) -> Owner {
        self.owners[owner].0.clone()
    }

    /// The list for the next part, if anything is left of it.
    pub(super) fn rest(self) -> Option<Self> {
        (!self.candidates.is_empty()).then_some(Self { is_old: true, ..self })
    }
}

impl Stitcher {
    /// Lists what is to go so that nine tenths of what may be are left.
    pub(super) fn surplus(&self, bound: Limited) -> Surplus {
        let (owners, mut candidates) = self.candidates(bound);
        let room = match bound {
            // Frames go with their calls, so calls are cut in proportion.
            Limited::Spans => {
                let held: u64 = owners.iter().map(|owner| owner.1).sum();
                let kept = u128::from(held) * (self.settings.max_spans as u128 * 9 / 10);
                (kept / self.index.spans().max(1) as u128) as u64
            }
            Limited::OpenJobs => self.settings.max_open_jobs as u64 / 10 * 9,
        };
        let cap = fair_share(owners.iter().map(|owner| owner.1).collect(), room);
        candidates.sort_unstable_by_key(|known| Reverse((known.is_open, known.last, known.place())));
        Surplus { bound, is_old: false, owners, cap, candidates }
    }

    /// Who holds how much, and what may be given up of it.
    fn candidates(&self, bound: Limited) -> (Vec<(Owner, u64)>, Vec<Candidate>) {
        let mut owners = Owners::default();
        let mut candidates = Vec::new();
        for pockets in self.units() {
            let known = || pockets.iter().filter_map(|&at| self.pockets.get(at));
            let is_open = known().any(|pocket| !pocket.settled);
            if bound == Limited::OpenJobs && !is_open {
                continue;
            }
            let Some(client) = known().find_map(|pocket| self.client(pocket)) else { continue };
            let owner = owners.number(client);
            let weights = known().map(|pocket| match bound {
                Limited::Spans => self.span_weight(pocket),
                Limited::OpenJobs => job_weight(pocket),
            });
            let weight = weights.sum();
            let last = known().map(|pocket| pocket.last).max().unwrap_or_default();
            let in_lane = known().any(|pocket| !pocket.lanes.is_empty());
            owners.held[owner].1 += weight;
            candidates.push(Candidate { owner, is_open, last, pockets, frozen: None, weight, in_lane });
        }
        for (slot, pocket) in self.frozen.iter_from(0) {
            let is_open = !pocket.settled;
            if bound == Limited::OpenJobs && !is_open {
                continue;
            }
            let Some(client) = self.frozen.client(pocket) else { continue };
            let owner = owners.number(client);
            let weight = match bound {
                Limited::Spans => u64::from(pocket.calls),
                Limited::OpenJobs => u64::from(pocket.jobs),
            };
            owners.held[owner].1 += weight;
            let (pockets, frozen) = (Unit::new(), Some(slot));
            let last = pocket.last;
            candidates.push(Candidate { owner, is_open, last, pockets, frozen, weight, in_lane: false });
        }
        (owners.held, candidates)
    }

    /// Pockets, those together whose jobs are matched across them as they now look: to settle a submit
    /// without its task would charge for both.
    fn units(&self) -> Vec<Unit> {
        let mut units = Vec::with_capacity(self.pockets.len());
        let mut seen: BTreeSet<u32> = BTreeSet::new();
        for (at, pocket) in self.pockets.iter() {
            let Some(lane) = pocket.lanes.first() else {
                units.push(SmallVec::from_slice(&[at]));
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
    fn matched(&self, group: &[u32]) -> Vec<Unit> {
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
        let mut parts: BTreeMap<usize, Unit> = BTreeMap::new();
        for (place, &at) in group.iter().enumerate() {
            parts.entry(union.find(place)).or_default().push(at);
        }
        parts.into_values().collect()
    }

    /// Whether a candidate in no lane is as it was when it was listed.
    pub(super) fn is_untouched(&self, candidate: &Candidate) -> bool {
        if let Some(slot) = candidate.frozen {
            let frozen = self.frozen.get(slot);
            return frozen
                .is_some_and(|pocket| pocket.last == candidate.last && pocket.settled != candidate.is_open);
        }
        candidate.pockets.iter().all(|&at| {
            self.pockets.get(at).is_some_and(|pocket| {
                pocket.last == candidate.last
                    && pocket.settled != candidate.is_open
                    && pocket.lanes.is_empty()
            })
        })
    }

    /// Jobs of a candidate.
    pub(super) fn jobs_of(&self, candidate: &Candidate) -> u64 {
        if let Some(frozen) = candidate.frozen.and_then(|slot| self.frozen.get(slot)) {
            return u64::from(frozen.jobs);
        }
        candidate.pockets.iter().filter_map(|&at| self.pockets.get(at)).map(job_weight).sum()
    }

    fn client(&self, pocket: &Pocket) -> Option<&Arc<Client>> {
        let item = pocket.members.iter().find_map(|&slot| self.index.item(slot))?;
        let evidence = item.first();
        Some(&evidence.client)
    }

    fn span_weight(&self, pocket: &Pocket) -> u64 {
        let items = pocket.members.iter().filter_map(|&slot| self.index.item(slot));
        items.map(|item| item.len() as u64).sum()
    }
}

/// Tenants and services by number. A resource's spans share their client, which is looked up by where it is.
#[derive(Default)]
struct Owners {
    held: Vec<(Owner, u64)>,
    by_name: BTreeMap<Owner, usize>,
    by_client: HashMap<*const Client, usize, Fixed>,
}

impl Owners {
    fn number(&mut self, client: &Arc<Client>) -> usize {
        *self.by_client.entry(Arc::as_ptr(client)).or_insert_with(|| {
            let owner = (client.tenant.clone(), client.service.clone());
            *self.by_name.entry(owner).or_insert_with_key(|owner| {
                self.held.push((owner.clone(), 0));
                self.held.len() - 1
            })
        })
    }
}

/// Jobs of a pocket, as last looked at; one while it was not.
pub(super) fn job_weight(pocket: &Pocket) -> u64 {
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
mod tests {
    use super::*;

    #[test]
    fn shares_are_fair() {
        for (weights, room, share) in [
            (vec![10, 20, 30], 60, u64::MAX),
            (vec![10, 20, 30], 59, 29),
            (vec![5, 100, 200], 105, 50),
            (vec![100], 90, 90),
            (vec![1, 1, 1], 2, 0),
            (vec![], 0, u64::MAX),
        ] {
            assert_eq!(fair_share(weights.clone(), room), share, "{weights:?} in {room}");
        }
    }
}
