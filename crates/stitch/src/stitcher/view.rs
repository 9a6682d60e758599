//! Jobs as they look at this moment, without telling or deciding anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashSet;

use crate::id::JobId;
use crate::job::{Job, State};
use crate::judge;
use crate::solve::Pin;
use crate::solve::group::JobDraft;
use crate::solve::pool::Pool;
use crate::stitcher::frozen::{Parts, name_of_job};
use crate::stitcher::item::Item;
use crate::stitcher::members::members_of;
use crate::stitcher::pocket::{LaneKey, Pocket};
use crate::stitcher::solved::{loose, solved};
use crate::stitcher::{Fixed, Stitcher};

/// How far jobs were gone through: see [`Stitcher::visit_open`] and [`Stitcher::seek_job`].
#[derive(Debug, Default)]
pub struct OpenCursor {
    /// The pocket to go on with.
    next: u32,
    /// Those that are shown last, and their lanes.
    waiting: Vec<(u32, Vec<LaneKey>)>,
    /// The number of this pass over what is open, from 1 on: what has it was shown.
    pass: u32,
    phase: Phase,
}

/// What a pass over what is open goes through. Between two parts of it pockets freeze and thaw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Frozen,
    Whole,
    /// What has frozen meanwhile.
    FrozenSince,
}

/// What a part of a search for one job came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Sought {
    /// The job, as it looks now.
    Found(Box<Job>),
    /// There is no such job in memory.
    Absent,
    /// It was not found yet: the next call with the cursor goes on.
    More,
}

/// To look at a pocket takes as long as to pass so many by.
const PASSED_A_LOOK: usize = 64;

/// Slots of items.
type Slots = HashSet<u32, Fixed>;

impl Stitcher {
    /// Jobs as they look now, of the pockets that `wanted` picks and their lanes, by start.
    pub(super) fn provisional(&self, wanted: impl Fn(&Pocket) -> bool) -> Vec<Job> {
        let mut jobs = Vec::new();
        let (mut all, mut effort) = (OpenCursor::default(), usize::MAX);
        self.show(&mut all, &mut effort, wanted, |_| true, &HashSet::default(), |job| jobs.push(job));
        jobs.sort_unstable_by_key(|job| (job.started_at, job.id));
        jobs
    }

    /// Shows jobs that are not settled, one by one, and says whether there are more. What was told of another
    /// one is not shown a second time: it is still that one's until the next look decides.
    pub(super) fn show_open(
        &mut self,
        cursor: &mut OpenCursor,
        limit: usize,
        mut visit: impl FnMut(Job),
    ) -> bool {
        let mut open = |job: Job| {
            if job.state == State::Open {
                visit(job);
            }
        };
        if cursor.pass == 0 {
            self.passes = self.passes.wrapping_add(1).max(1);
            cursor.pass = self.passes;
        }
        let (pass, mut effort) = (cursor.pass, limit.saturating_mul(PASSED_A_LOOK));
        loop {
            let is_new = |pocket: &Pocket| pocket.shown.replace(pass) != pass;
            let is_more = match cursor.phase {
                Phase::Frozen | Phase::FrozenSince => self.show_frozen(cursor, &mut effort, &mut open),
                Phase::Whole => {
                    let told = self.told.items();
                    self.show(cursor, &mut effort, |pocket| !pocket.settled, is_new, &told, &mut open)
                }
            };
            if is_more {
                return true;
            }
            cursor.phase = match cursor.phase {
                Phase::Frozen => Phase::Whole,
                Phase::Whole => Phase::FrozenSince,
                Phase::FrozenSince => break,
            };
        }
        *cursor = OpenCursor::default();
        false
    }

    /// The same for those that are frozen. What may have to do with what waits in a lane thaws, and is shown
    /// with it when what is whole is.
    fn show_frozen(
        &mut self,
        cursor: &mut OpenCursor,
        effort: &mut usize,
        mut visit: impl FnMut(Job),
    ) -> bool {
        let (mut next, mut waits) = (None, Vec::new());
        for (slot, frozen) in self.frozen.iter_from(cursor.next) {
            if *effort == 0 {
                next = Some(slot);
                break;
            }
            if frozen.settled || frozen.shown.get() == cursor.pass {
                *effort -= 1;
                continue;
            }
            *effort = effort.saturating_sub(PASSED_A_LOOK);
            let Some(parts) = self.frozen.read(slot) else { continue };
            let (jobs, lanes) = self.jobs_in(&parts);
            let is_alone = || self.with_hooks(parts.items.iter().map(Item::first), lanes).is_empty();
            if cursor.phase == Phase::FrozenSince || is_alone() {
                frozen.shown.set(cursor.pass);
                jobs.into_iter().for_each(&mut visit);
            } else {
                waits.push(slot);
            }
        }
        for slot in waits {
            self.thaw(slot);
        }
        cursor.next = next.unwrap_or_default();
        next.is_some()
    }

    /// The frozen pocket in which a job was found.
    pub(super) fn frozen_with(&self, id: JobId) -> Option<Parts> {
        let pockets = self.frozen.named(name_of_job(id)).filter_map(|slot| self.frozen.read(slot));
        pockets.into_iter().find(|parts| parts.jobs.iter().any(|job| job.id == id))
    }

    /// The jobs of a frozen pocket, and the lanes in which something of it would wait.
    fn jobs_in(&self, parts: &Parts) -> (Vec<Job>, Vec<LaneKey>) {
        let again: Vec<_> = parts.items.iter().map(Item::again).collect();
        let items = || (0..).zip(&parts.items).zip(&again);
        let tasks = items().filter(|((_, item), _)| item.is_task);
        let tasks = tasks.map(|((at, item), again)| (at, item.calls().chain(again).collect()));
        let lone = items().filter(|((_, item), _)| !item.is_task).map(|((at, item), _)| (at, item.first()));
        let pool = Pool::new(tasks, lone, parts.frames.iter().map(|frame| &frame.evidence));
        let told = parts.jobs.iter().filter_map(|job| job.told.as_ref()).flatten().copied().collect();
        let is_published = |id: JobId| parts.jobs.iter().any(|job| job.id == id && job.published.is_some());
        self.drafted_of(&pool, &parts.pocket.pins, &told, is_published)
    }

    /// Looks for a job where its evidence is known to be, else among what came since the last look.
    pub(super) fn seek(&self, id: JobId, cursor: &mut OpenCursor, limit: usize) -> Sought {
        let mut found = None;
        let mut check = |job: Job| {
            if job.id == id {
                found = Some(Box::new(job));
            }
        };
        let more = if let Some(home) = self.known.home(id) {
            self.look_at(home).into_iter().for_each(check);
            false
        } else if let Some(parts) = self.frozen_with(id) {
            self.jobs_in(&parts).0.into_iter().for_each(check);
            false
        } else {
            let is_new = |pocket: &Pocket| pocket.jobs.is_empty() || pocket.last >= pocket.looked;
            let mut effort = limit.saturating_mul(PASSED_A_LOOK);
            self.show(cursor, &mut effort, is_new, |_| true, &HashSet::default(), &mut check)
        };
        match found {
            Some(job) => Sought::Found(job),
            None if more => Sought::More,
            None => Sought::Absent,
        }
    }

    /// A pocket that is complete in itself is shown at once; what waits for something outside is shown with
    /// all that waits in the same lanes, whether it has joined them yet or not.
    /// Ends when the effort is spent, and says whether there are more; what waits is shown
    /// last.
    fn show(
        &self,
        cursor: &mut OpenCursor,
        effort: &mut usize,
        wanted: impl Fn(&Pocket) -> bool,
        is_new: impl Fn(&Pocket) -> bool,
        told: &Slots,
        mut visit: impl FnMut(Job),
    ) -> bool {
        for (at, pocket) in self.pockets.iter_from(cursor.next) {
            if *effort == 0 {
                cursor.next = at;
                return true;
            }
            if !wanted(pocket) || !is_new(pocket) {
                *effort -= 1;
                continue;
            }
            *effort = effort.saturating_sub(PASSED_A_LOOK);
            if !pocket.lanes.is_empty() {
                cursor.waiting.push((at, pocket.lanes.to_vec()));
                continue;
            }
            let (jobs, lanes) = self.drafted(&[at], told);
            if lanes.is_empty() {
                jobs.into_iter().for_each(&mut visit);
            } else {
                cursor.waiting.push((at, lanes));
            }
        }
        // With what they will be solved with: what waits or rests in the lanes of their tenants.
        let mut tenants: BTreeMap<Arc<str>, BTreeSet<u32>> = BTreeMap::new();
        for (at, lanes) in std::mem::take(&mut cursor.waiting) {
            if !self.pockets.get(at).is_some_and(&wanted) {
                continue; // settled, or one with another by now
            }
            for lane in lanes {
                let group = || self.pockets.lane_group(&lane).into_iter().collect();
                tenants.entry(Arc::clone(&lane.0)).or_insert_with(group).insert(at);
            }
        }
        for pockets in tenants.into_values() {
            let pockets: Vec<u32> = pockets.into_iter().collect();
            self.drafted(&pockets, told).0.into_iter().for_each(&mut visit);
        }
        cursor.next = 0;
        false
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
        let (slots, pins) = self.contents(pockets);
        let again = self.again(&slots);
        let pool = self.pool(&slots, &again);
        let is_published = |id: JobId| self.known.published(id).is_some();
        let (jobs, lanes) = self.drafted_of(&pool, &pins, told, is_published);
        (jobs, self.with_hooks(self.firsts(&slots), lanes))
    }

    fn drafted_of(
        &self,
        pool: &Pool<'_>,
        pins: &[Pin],
        told: &Slots,
        is_published: impl Fn(JobId) -> bool,
    ) -> (Vec<Job>, Vec<LaneKey>) {
        let (solution, drafts) = solved(pool, &self.settings, pins);
        let taken = |draft: &JobDraft<'_>| {
            !told.is_empty() && members_of(pool, &solution, draft).0.iter().any(|slot| told.contains(slot))
        };
        let mut jobs = Vec::with_capacity(drafts.len());
        for draft in &drafts {
            let mut job = judge::job(pool, &solution, draft);
            if is_published(job.id) {
                job.state = State::Settled;
            } else if taken(draft) {
                continue;
            }
            jobs.push(job);
        }
        (jobs, loose(pool, &solution, pins))
    }
}
