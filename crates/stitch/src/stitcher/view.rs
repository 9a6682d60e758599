//! Jobs as they look at this moment, without telling or deciding anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashSet;

use crate::job::{Job, State};
use crate::judge;
use crate::solve::group::JobDraft;
use crate::stitcher::members::members_of;
use crate::stitcher::pocket::{LaneKey, Pocket};
use crate::stitcher::publish::{loose, solved};
use crate::stitcher::{Fixed, Pin, Stitcher};

/// Slots of items.
type Slots = HashSet<u32, Fixed>;

impl Stitcher {
    /// Jobs as they look now, of the pockets that `wanted` picks and their lanes, by start.
    pub(super) fn provisional(&self, wanted: impl Fn(&Pocket) -> bool) -> Vec<Job> {
        let mut jobs = Vec::new();
        self.show(wanted, &HashSet::default(), |job| jobs.push(job));
        jobs.sort_unstable_by_key(|job| (job.started_at, job.id));
        jobs
    }

    /// Shows every job that is not settled, one by one. What was told of another one is not shown a second
    /// time: it is still that one's until the next look decides.
    pub(super) fn show_open(&self, mut visit: impl FnMut(Job)) {
        let open = |job: Job| {
            if job.state == State::Open {
                visit(job);
            }
        };
        self.show(|pocket| !pocket.settled, &self.told.items(), open);
    }

    /// A pocket that is complete in itself is shown at once; what waits for something outside is shown with
    /// all that waits in the same lanes, whether it has joined them yet or not.
    fn show(&self, wanted: impl Fn(&Pocket) -> bool, told: &Slots, mut visit: impl FnMut(Job)) {
        let mut waiting: Vec<(u32, Vec<LaneKey>)> = Vec::new();
        for (at, pocket) in self.pockets.iter().filter(|(_, pocket)| wanted(pocket)) {
            if !pocket.lanes.is_empty() {
                waiting.push((at, pocket.lanes.to_vec()));
                continue;
            }
            let (jobs, lanes) = self.drafted(&[at], told);
            if lanes.is_empty() {
                jobs.into_iter().for_each(&mut visit);
            } else {
                waiting.push((at, lanes));
            }
        }
        // With what they will be solved with: what waits or rests in the lanes of their tenants.
        let mut tenants: BTreeMap<Arc<str>, BTreeSet<u32>> = BTreeMap::new();
        for (at, lanes) in &waiting {
            for lane in lanes {
                let group = || self.pockets.lane_group(lane).into_iter().collect();
                tenants.entry(Arc::clone(&lane.0)).or_insert_with(group).insert(*at);
            }
        }
        for pockets in tenants.into_values() {
            let pockets: Vec<u32> = pockets.into_iter().collect();
            self.drafted(&pockets, told).0.into_iter().for_each(&mut visit);
        }
    }

    /// The jobs of a pocket, and of its lanes if it is in some.
    pub(super) fn look_at(&self, at: u32) -> Vec<Job> {
        let group = self.pockets.get(at).and_then(|pocket| pocket.lanes.first());
        let group = group.map_or(vec![at], |lane| self.pockets.lane_group(lane));
        self.drafted(&group, &HashSet::default()).0
    }

    /// The jobs of some pockets, and the lanes in which something of them waits. Without jobs that were not
    /// told and have an item that was.
    fn drafted(&self, pockets: &[u32], told: &Slots) -> (Vec<Job>, Vec<LaneKey>) {
        let slots = self.members(pockets);
        let pins: Vec<Pin> = pockets
            .iter()
            .filter_map(|&at| self.pockets.get(at))
            .flat_map(|known| known.pins.clone())
            .collect();
        let again = self.again(&slots);
        let pool = self.pool(&slots, &again);
        let (solution, drafts) = solved(&pool, &self.settings, &pins);
        let taken = |draft: &JobDraft<'_>| {
            !told.is_empty() && members_of(&pool, &solution, draft).0.iter().any(|slot| told.contains(slot))
        };
        let mut jobs = Vec::with_capacity(drafts.len());
        for draft in &drafts {
            let mut job = judge::job(&pool, &solution, draft);
            if self.known.published(job.id).is_some() {
                job.state = State::Settled;
            } else if taken(draft) {
                continue;
            }
            jobs.push(job);
        }
        (jobs, self.with_hooks(&slots, loose(&pool, &solution, &pins)))
    }
}
