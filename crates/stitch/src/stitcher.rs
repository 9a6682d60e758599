//! The state machine: evidence in, settled jobs out.
//!
//! # Why it looks like this
//!
//! Which calls belong together can be said only when enough of them is known, and
//! must not depend on the order in which they came. So the machine keeps evidence as a set, solves a part
//! of it anew when something may be due ([`crate::solve`]), and says only what changed. Spans tied together
//! by a trace or a name form a *pocket* ([`pocket`]); a pocket is complete in itself or waits in a *lane*
//! with others of its tenant and provider.
//!
//! # States
//!
//! A job is *open*, *settled* (published with revision 1) or revised (published again with the
//! next revision); a job whose evidence turned out to belong to another one is *superseded*; a job past the
//! retention is *forgotten*. What is quiet, open or settled, is put aside as bytes ([`frozen`]), which
//! changes nothing that can be seen.
//!
//! # Start
//!
//! Empty, or restored: evidence by [`Stitcher::restore`], what was published by
//! [`Stitcher::restore_published`], what was matched by [`Stitcher::restore_tie`]; then
//! [`Stitcher::recall`].
//!
//! # Late, twice, never
//!
//! A span that was seen is a duplicate; the same span with another end or answer is
//! another call. Evidence of a settled job makes its pocket due again, and the job is published again if it
//! changed. Where a match changes, no call is in two jobs at any moment ([`told`]). Evidence of a forgotten
//! task is late: it is counted, and changes nothing. What never ends settles at the idle or the absolute
//! limit. At a bound on memory those who hold the most give up first ([`limits`]).

mod bytes;
mod crowd;
mod digest;
mod frames;
mod freeze;
mod frozen;
mod gather;
mod index;
mod item;
mod keyed;
mod kinds;
mod known;
mod limits;
mod members;
mod memory;
mod moved;
mod owned_trace;
mod pocket;
mod pools;
mod publish;
mod recall;
mod retire;
mod slab;
mod solved;
mod surplus;
#[cfg(test)]
mod tests;
mod ties;
mod told;
mod tombstones;
mod trace;
mod view;
mod waiting;
mod wheel;
mod woken;

use crate::evidence::{Evidence, What};
use crate::id::{JobId, UnixNanos};
use crate::job::Job;
use crate::outage::Outages;
use crate::settings::Settings;
use crate::stitcher::frozen::Frozen;
use crate::stitcher::index::Index;
use crate::stitcher::known::KnownJobs;
pub use crate::stitcher::limits::{LimitHits, Trimmed};
pub use crate::stitcher::memory::{MostBytes, TEXT_BYTES};
use crate::stitcher::pocket::Pockets;
use crate::stitcher::surplus::Surplus;
use crate::stitcher::ties::Ties;
pub use crate::stitcher::ties::{Tie, TiePin};
use crate::stitcher::told::ToldItems;
pub use crate::stitcher::view::{OpenCursor, Sought};
use crate::stitcher::woken::Woken;

type Fixed = foldhash::fast::FixedState;

/// What became of one span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// It is kept.
    New,
    /// It had been seen, with the same end and answer.
    Duplicate,
    /// Its task is forgotten: nothing changes.
    Late,
    /// Its task has as many spans as may be kept, and it tells nothing new: it is not kept.
    Surplus,
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A job settled or was revised; with state `Superseded`, everything published of it is to be reversed.
    Published {
        /// The job.
        job: Box<Job>,
        /// 1 for the first publication.
        revision: u32,
        /// Fingerprint of the job's content, for [`Stitcher::restore_published`].
        digest: u64,
    },
    /// Late evidence cannot revise this job any more.
    Forgotten(JobId),
}

/// When evidence under one number came: how long it is kept is counted from that, and no span says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Came {
    /// The first of it came, or began if that is later.
    pub first: UnixNanos,
    /// The last of it came, or ended if that is later.
    pub last: UnixNanos,
}

#[derive(Clone, Copy, Debug)]
struct Published {
    revision: u32,
    digest: u64,
    /// By an earlier process.
    restored: bool,
    /// Published so long before the last process ended that no later match could change it.
    decided: bool,
}

/// Stitches the calls of one shard into jobs.
#[derive(Debug)]
pub struct Stitcher {
    settings: Settings,
    now: UnixNanos,
    index: Index,
    pockets: Pockets,
    frozen: Frozen,
    known: KnownJobs,
    told: ToldItems,
    ties: Ties,
    woken: Woken,
    outages: Outages,
    /// How many spans were given to it.
    spans_seen: u64,
    /// How often what is open was shown.
    passes: u32,
    /// The most jobs that were open when they were last counted, and how many spans had come by then.
    open_at_most: (u64, u64),
    hits: LimitHits,
    trimmed: Vec<Trimmed>,
    /// What is to be given up at a bound, as far as it was found and not done.
    surplus: Option<Surplus>,
}

impl Stitcher {
    /// An empty machine.
    pub fn new(settings: Settings) -> Self {
        Self {
            index: Index::new(settings.max_idle_frames),
            settings,
            now: UnixNanos::default(),
            pockets: Pockets::default(),
            frozen: Frozen::default(),
            known: KnownJobs::default(),
            told: ToldItems::default(),
            ties: Ties::default(),
            woken: Woken::default(),
            outages: Outages::default(),
            spans_seen: 0,
            passes: 0,
            open_at_most: (0, 0),
            hits: LimitHits::default(),
            trimmed: Vec::new(),
            surplus: None,
        }
    }

    /// Takes one span.
    pub fn observe(&mut self, evidence: Evidence) -> Observed {
        match &evidence.what {
            What::Frame(frame) if frame.rare.call.is_some() => self.gather_stand_in(evidence),
            What::Frame(_) => self.gather_frame(evidence, None),
            What::Call(_) => self.gather_call(evidence, None),
        }
    }

    /// The next moment at which [`Self::advance`] may tell something.
    pub fn next_deadline(&self) -> Option<UnixNanos> {
        self.pockets.next().into_iter().chain(self.frozen.next()).min()
    }

    /// Time passes: tells what settled, was revised, superseded or forgotten by `now`. Time never goes back.
    pub fn advance(&mut self, now: UnixNanos) -> Vec<Change> {
        self.advance_some(now, usize::MAX).0
    }

    /// The same in parts, so that what is told fits in little memory: stops after about `limit` changes, and
    /// says whether more is due at this moment. What is told does not depend on the parts.
    pub fn advance_some(&mut self, now: UnixNanos, limit: usize) -> (Vec<Change>, bool) {
        self.now = self.now.max(now);
        self.wake_noted();
        let (mut changes, more) = self.publish_due(limit);
        let cut = self.keep_limits(limit, &mut changes);
        (changes, more || cut)
    }

    /// The end of a recording: settles everything as if all limits had passed.
    pub fn finish(&mut self) -> Vec<Change> {
        self.wake_noted();
        self.publish_all()
    }

    /// Shows the jobs that are not settled yet, as they look now, about `limit` at a time; says whether there
    /// are more, which the next call with the cursor shows. What comes or settles between two calls is shown
    /// or not.
    pub fn visit_open(&mut self, cursor: &mut OpenCursor, limit: usize, visit: impl FnMut(Job)) -> bool {
        self.show_open(cursor, limit, visit)
    }

    /// Jobs that are not settled yet, as they look now, by start.
    pub fn open_jobs(&mut self) -> Vec<Job> {
        self.wake_noted();
        self.thaw_all();
        let mut jobs = self.provisional(|pocket| !pocket.settled);
        jobs.retain(|job| self.known.published(job.id).is_none());
        jobs
    }

    /// Any job still in memory, by id.
    pub fn job(&self, id: JobId) -> Option<Job> {
        match self.seek_job(id, &mut OpenCursor::default(), usize::MAX) {
            Sought::Found(job) => Some(*job),
            Sought::Absent | Sought::More => None,
        }
    }

    /// The same in parts: an id that is unknown may be that of a job of what came since the last look, all of
    /// which is looked at, about `limit` pockets at a time. Evidence may come between two calls with one
    /// cursor: what was passed by is not looked at again.
    pub fn seek_job(&self, id: JobId, cursor: &mut OpenCursor, limit: usize) -> Sought {
        self.seek(id, cursor, limit)
    }

    /// Whether a job is still in memory.
    pub fn knows(&self, id: JobId) -> bool {
        self.known.home(id).is_some() || self.frozen_with(id).is_some()
    }

    /// Every job still in memory, settled ones too.
    pub fn jobs(&mut self) -> Vec<Job> {
        self.thaw_all();
        self.provisional(|_| true)
    }

    /// How many spans are in memory.
    pub fn span_count(&self) -> usize {
        self.index.spans()
    }

    /// The time that it was last told.
    pub fn now(&self) -> UnixNanos {
        self.now
    }

    /// Sets the time at which the evidence that follows is taken to arrive, without publishing anything. Time
    /// never goes back.
    pub fn set_time(&mut self, now: UnixNanos) {
        self.now = self.now.max(now);
    }

    /// The creation number that the next item will get.
    pub fn next_number(&self) -> u64 {
        self.index.next_number()
    }

    /// Shows, for the caller to keep, the evidence of which some came before [`Self::next_number`] was
    /// `before`. The caller has a record of arrivals, and wants to drop its older part. Together, what is
    /// shown here and the rest of the caller's record cover everything in memory. Shown by creation number;
    /// what is shown again under a number replaces what was shown before.
    pub fn carry(&mut self, before: u64, visit: impl FnMut(u64, Came, &[&Evidence])) {
        let thawed: Vec<u32> =
            self.frozen.uncarried(before).into_iter().filter_map(|slot| self.thaw(slot)).collect();
        self.index.carry(before, visit);
        for at in thawed {
            self.freeze(at);
        }
    }

    /// Numbers that were shown by [`Self::carry`] and whose evidence is forgotten since the last call.
    pub fn take_gone(&mut self) -> Vec<u64> {
        self.index.take_gone()
    }

    /// What was forgotten since the last call, by fingerprint: for [`Self::restore_tombstone`] of the next
    /// process.
    pub fn take_tombstones(&mut self) -> Vec<u64> {
        self.index.tombstones.take_fresh()
    }

    /// Takes back what [`Self::take_tombstones`] gave, oldest first: what still comes for it is late.
    pub fn restore_tombstone(&mut self, mark: u64) {
        self.index.tombstones.restore(mark);
    }

    /// No evidence could arrive between two past moments: limits on waiting do not count that time.
    pub fn note_outage(&mut self, from: UnixNanos, until: UnixNanos) {
        self.outages.note(from, until);
    }

    /// After a restart from a record of arrivals: forgets, untold, what had been forgotten by `now`. Whatever
    /// is older than the retention and the idle limit had been settled, and then forgotten; `waited_ms` is
    /// the larger of the two as they were then.
    pub fn forget_old(&mut self, now: UnixNanos, waited_ms: u64) {
        self.wake_noted();
        // The last call of any part of what was matched counts for all of it.
        self.tie_again();
        let age = self.settings.retention_ms.max(self.settings.idle_timeout_ms).max(waited_ms);
        let outages = self.outages.clone();
        self.forget_pockets(|last| outages.after(last, age) <= now);
    }

    /// Puts back what [`Self::carry`] showed, as if it came when it did.
    pub fn restore(&mut self, number: u64, came: Came, evidence: Vec<Evidence>) {
        let now = std::mem::replace(&mut self.now, came.first);
        for evidence in evidence {
            match &evidence.what {
                What::Frame(_) => self.gather_frame(evidence, Some(number)),
                What::Call(_) => self.gather_call(evidence, Some(number)),
            };
            self.now = came.last;
        }
        self.now = now;
    }

    /// Takes back [`Self::restore_published`], for a job whose evidence did not come back with it.
    pub fn forget_published(&mut self, id: JobId) {
        self.known.take_back(id);
    }

    /// Tells what had been published before a restart, so that it is told again only if it changed; and when,
    /// and when the last process made its last turn.
    pub fn restore_published(
        &mut self,
        id: JobId,
        (revision, digest): (u32, u64),
        (told, ended): (UnixNanos, UnixNanos),
    ) {
        let Settings { rematch_ms, settle_delay_ms, .. } = self.settings;
        let decided = told.plus_ms(rematch_ms + settle_delay_ms) <= ended;
        self.known.publish(id, Published { revision, digest, restored: true, decided });
    }
}
