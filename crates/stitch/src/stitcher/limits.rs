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
//! is open is settled as it then looks, and then forgotten: what still comes for it is late. Ten percent more
//! than necessary is evicted, so that eviction does not run again immediately (of very many, only as much as
//! is needed).
//!
//! # Order
//!
//! Below the bounds the order of arrival changes nothing. Past them it does: what was there when the bound
//! was met decides. For the same arrivals at the same times the same is given up.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::stitcher::surplus::{Candidate, Limited, Surplus, job_weight};
use crate::stitcher::{Change, Stitcher};

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

/// Finding out who gives up may mean scanning everything, so a part has at least this many changes.
const PART: usize = 4096;

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
        let bounds = [Limited::Spans, Limited::OpenJobs];
        bounds.into_iter().any(|bound| self.is_over(bound) && self.trim(bound, limit, changes))
    }

    fn is_over(&mut self, bound: Limited) -> bool {
        match bound {
            Limited::Spans => self.index.spans() > self.settings.max_spans,
            Limited::OpenJobs => self.may_have_too_many_open() && self.has_too_many_open(),
        }
    }

    /// Whether it is worth counting the open jobs, which means scanning everything. Each has at least one
    /// item; and since they were counted, a span opened one at most. (A span that ties several settled jobs
    /// reopens them all; the bound is then detected that many spans late.)
    fn may_have_too_many_open(&self) -> bool {
        let (most, seen) = self.open_at_most;
        let max = self.settings.max_open_jobs;
        self.index.items() + self.frozen.items() > max && most + (self.spans_seen - seen) > max as u64
    }

    fn has_too_many_open(&mut self) -> bool {
        let (mut open, mut at_most) = (0, 0);
        for (_, pocket) in self.pockets.iter() {
            let jobs = job_weight(pocket);
            if !pocket.settled {
                open += jobs;
                // Before it is looked at, each of its parts may be a job.
                at_most += if pocket.jobs.is_empty() { pocket.members.len() as u64 } else { jobs };
            } else if jobs > 1 {
                // One span makes all of them open.
                at_most += jobs;
            }
        }
        for (_, frozen) in self.frozen.iter_from(0) {
            let jobs = u64::from(frozen.jobs);
            open += if frozen.settled { 0 } else { jobs };
            at_most += if !frozen.settled || jobs > 1 { jobs } else { 0 };
        }
        self.open_at_most = (at_most, self.spans_seen);
        open > self.settings.max_open_jobs as u64
    }

    /// Gives up what weighs most, by service, until a tenth is free, or there are as many changes as may be;
    /// says whether that was so. What was listed and not given up goes first.
    fn trim(&mut self, bound: Limited, limit: usize, changes: &mut Vec<Change>) -> bool {
        if let Some(listed) = self.surplus.take().filter(|listed| listed.bound == bound) {
            let is_cut = self.give_up(listed, limit, changes);
            if is_cut || !self.is_over(bound) {
                return is_cut;
            }
        }
        changes.len() >= limit || {
            let listed = self.surplus(bound);
            self.give_up(listed, limit, changes)
        }
    }

    fn give_up(&mut self, mut listed: Surplus, limit: usize, changes: &mut Vec<Change>) -> bool {
        let mut given: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
        let mut is_cut = false;
        while let Some(candidate) = listed.next() {
            is_cut = changes.len() >= limit;
            if is_cut {
                listed.put_back(candidate);
                break;
            }
            if listed.is_old && !self.is_untouched(&candidate) {
                continue;
            }
            let jobs = self.jobs_of(&candidate);
            let given = given.entry(candidate.owner).or_default();
            let count = if candidate.is_open { &mut given.0 } else { &mut given.1 };
            *count += jobs;
            match listed.bound {
                Limited::Spans => self.hits.spans += jobs,
                Limited::OpenJobs => self.hits.open_jobs += jobs,
            }
            listed.note(&candidate);
            self.let_go(candidate, changes);
        }
        for (owner, (open, settled)) in given {
            let (tenant, service) = listed.owner(owner);
            self.trimmed.push(Trimmed { tenant, service, open, settled });
        }
        self.surplus = listed.rest();
        is_cut
    }

    /// Settles what is open as it looks now, and forgets it.
    fn let_go(&mut self, mut candidate: Candidate, changes: &mut Vec<Change>) {
        candidate.pockets.extend(candidate.frozen.and_then(|slot| self.thaw(slot)));
        if candidate.is_open {
            let (slots, pins) = self.contents(&candidate.pockets);
            let found = self.found(&slots, &pins, true).0;
            self.adopt(&candidate.pockets, found, changes);
        }
        for at in candidate.pockets {
            self.forget(at, changes);
        }
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
}

#[cfg(test)]
mod tests;
