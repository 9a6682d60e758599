//! Jobs as they look at this moment, without telling or deciding anything.

use std::collections::BTreeMap;

use crate::job::{Job, State};
use crate::judge;
use crate::stitcher::pocket::{LaneKey, Pocket};
use crate::stitcher::publish::{loose, solved};
use crate::stitcher::{Pin, Stitcher};

impl Stitcher {
    /// Jobs as they look now, of the pockets that `wanted` picks and their lanes, by start.
    pub(super) fn provisional(&self, wanted: impl Fn(&Pocket) -> bool) -> Vec<Job> {
        let mut jobs = Vec::new();
        self.show(wanted, |job| jobs.push(job));
        jobs.sort_unstable_by_key(|job| (job.started_at, job.id));
        jobs
    }

    /// Shows every job that is not settled, one by one.
    pub(super) fn show_open(&self, mut visit: impl FnMut(Job)) {
        self.show(
            |pocket| !pocket.settled,
            |job| {
                if job.state == State::Open {
                    visit(job);
                }
            },
        );
    }

    /// A pocket that is complete in itself is shown at once; what waits for something outside is shown with
    /// all that waits in the same lane, whether it has joined it yet or not.
    fn show(&self, wanted: impl Fn(&Pocket) -> bool, mut visit: impl FnMut(Job)) {
        let mut waiting: BTreeMap<LaneKey, Vec<u32>> = BTreeMap::new();
        for (at, pocket) in self.pockets.iter().filter(|(_, pocket)| wanted(pocket)) {
            if let Some(lane) = pocket.lanes.first() {
                waiting.entry(lane.clone()).or_default().push(at);
                continue;
            }
            let (jobs, lane) = self.drafted(&[at]);
            match lane.filter(|_| pocket.pins.is_empty()) {
                Some(lane) => waiting.entry(lane).or_default().push(at),
                None => jobs.into_iter().for_each(&mut visit),
            }
        }
        for pockets in waiting.values() {
            self.drafted(pockets).0.into_iter().for_each(&mut visit);
        }
    }

    /// The jobs of a pocket, and of its lane if it is in one.
    pub(super) fn look_at(&self, at: u32) -> Vec<Job> {
        match self.pockets.get(at).and_then(|pocket| pocket.lanes.first()) {
            Some(lane) => self.drafted(&self.pockets.lane(lane).collect::<Vec<_>>()).0,
            None => self.drafted(&[at]).0,
        }
    }

    /// The jobs of some pockets, and a lane in which something of them waits.
    fn drafted(&self, pockets: &[u32]) -> (Vec<Job>, Option<LaneKey>) {
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
        (jobs, loose(&pool, &solution).into_iter().next())
    }
}
