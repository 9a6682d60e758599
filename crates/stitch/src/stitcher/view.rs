//! Jobs as they look at this moment, without telling or deciding anything.

use std::collections::BTreeMap;

use crate::job::{Job, State};
use crate::judge;
use crate::stitcher::pocket::{LaneKey, Pocket};
use crate::stitcher::publish::solved;
use crate::stitcher::{Pin, Stitcher};

impl Stitcher {
    /// Jobs as they look now, of the pockets that `wanted` picks and their lanes.
    pub(super) fn provisional(&self, wanted: impl Fn(&Pocket) -> bool) -> Vec<Job> {
        let mut jobs = Vec::new();
        let mut loose: BTreeMap<&LaneKey, Vec<u32>> = BTreeMap::new();
        for (at, pocket) in self.pockets.iter().filter(|(_, pocket)| wanted(pocket)) {
            match pocket.lanes.first() {
                Some(lane) => loose.entry(lane).or_default().push(at),
                None => jobs.extend(self.drafted(&[at])),
            }
        }
        for pockets in loose.values() {
            jobs.extend(self.drafted(pockets));
        }
        jobs.sort_unstable_by_key(|job| (job.started_at, job.id));
        jobs
    }

    /// Shows every job that is not settled, one by one, in no particular order of jobs but always the same.
    pub(super) fn show_open(&self, mut visit: impl FnMut(Job)) {
        let mut loose: BTreeMap<&LaneKey, Vec<u32>> = BTreeMap::new();
        let mut show = |jobs: Vec<Job>| {
            jobs.into_iter().filter(|job| job.state == State::Open).for_each(&mut visit);
        };
        for (at, pocket) in self.pockets.iter().filter(|(_, pocket)| !pocket.settled) {
            match pocket.lanes.first() {
                Some(lane) => loose.entry(lane).or_default().push(at),
                None => show(self.drafted(&[at])),
            }
        }
        for pockets in loose.values() {
            show(self.drafted(pockets));
        }
    }

    /// The jobs of a pocket, and of its lane if it is in one.
    pub(super) fn look_at(&self, at: u32) -> Vec<Job> {
        match self.pockets.get(at).and_then(|pocket| pocket.lanes.first()) {
            Some(lane) => self.drafted(&self.pockets.lane(lane).collect::<Vec<_>>()),
            None => self.drafted(&[at]),
        }
    }

    fn drafted(&self, pockets: &[u32]) -> Vec<Job> {
        let slots = self.members(pockets);
        let pins: Vec<Pin> = pockets
            .iter()
            .filter_map(|&at| self.pockets.get(at))
            .flat_map(|known| known.pins.clone())
            .collect();
        let pool = self.pool(&slots);
        let (solution, drafts) = solved(&pool, &self.settings, &pins);
        let mut jobs: Vec<Job> = drafts.iter().map(|draft| judge::job(&pool, &solution, draft)).collect();
        for job in jobs.iter_mut().filter(|job| self.published.contains_key(&job.id)) {
            job.state = State::Settled;
        }
        jobs
    }
}
