//! The state machine: evidence in, settled jobs out.
//!
//! # Why it looks like this
//! Which calls belong together can be said only when enough of them is known, and must not depend on the order
//! in which they came. So the machine keeps evidence as a set, solves it anew when something may be due
//! ([`crate::solve`]), and says only what changed.
//!
//! # States
//! A span is *active* (it takes part in solving), *parked* (its place is decided: the ties are pinned, further
//! calls of the same task are simply added) or *gone*. A job is *open*, *settled* (published with revision 1) or
//! revised (published again with the next revision); a job whose evidence turned out to belong to another one
//! is *superseded*.
//!
//! # Start
//! Empty, or restored: evidence by [`Stitcher::restore`], what was published by [`Stitcher::restore_published`].
//!
//! # Late, twice, never
//! A span that was seen is a duplicate; the same span with another end or answer is another call. Evidence of a
//! settled job wakes it up, and it is published again if it changed. Evidence of a forgotten task is late: it is
//! counted, and changes nothing. What never ends settles at the idle or the absolute limit.

mod index;
mod publish;

use hashbrown::HashMap;

use crate::call::{Evidence, What};
use crate::id::{JobId, TraceId, UnixNanos};
use crate::job::Job;
use crate::settings::Settings;
use crate::stitcher::index::{Index, Item, Kept};

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

/// A decided tie between two items, kept for when they are solved again without their neighbours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pin {
    pub(crate) shot: u32,
    pub(crate) made: u32,
    pub(crate) rule: crate::JoinRule,
    pub(crate) confidence: crate::Confidence,
    pub(crate) margin: Option<f64>,
}

/// The items of one job as last solved.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    pub(crate) members: Vec<u32>,
    pub(crate) pins: Vec<Pin>,
    /// Latest activity: the later of the last call's end and the time it came.
    pub(crate) last: UnixNanos,
    /// Start of the first call.
    pub(crate) started: UnixNanos,
    /// When to look at it again.
    pub(crate) wake: UnixNanos,
    pub(crate) parked: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Published {
    pub(crate) revision: u32,
    pub(crate) digest: u64,
}

/// Stitches the calls of one shard into jobs.
#[derive(Debug)]
pub struct Stitcher {
    settings: Settings,
    now: UnixNanos,
    index: Index,
    groups: HashMap<JobId, Group, Fixed>,
    published: HashMap<JobId, Published, Fixed>,
    /// Earliest moment at which solving may tell something new.
    due: Option<UnixNanos>,
    /// Something came since the last solve.
    stirred: bool,
}

impl Stitcher {
    /// An empty machine.
    pub fn new(settings: Settings) -> Self {
        Self {
            index: Index::new(settings.max_idle_frames),
            settings,
            now: UnixNanos::default(),
            groups: HashMap::default(),
            published: HashMap::default(),
            due: None,
            stirred: false,
        }
    }

    /// Takes one span.
    pub fn observe(&mut self, evidence: Evidence) -> Observed {
        if !self.index.remember(&evidence) {
            return Observed::Duplicate;
        }
        if self.index.is_tombstone(&evidence) {
            self.index.forget_span(&evidence);
            return Observed::Late;
        }
        let last = evidence.end.max(self.now);
        let trace = evidence.span.trace;
        let lineage = evidence.parent.is_some();
        if let What::Frame(_) = &evidence.what {
            self.index.add_frame(evidence, last);
            self.wake_trace(trace, last);
            return Observed::New;
        }
        let quiet = is_quiet(&evidence);
        let (slot, created) = self.index.add_call(evidence, last);
        self.touch(slot, last, quiet && !created);
        if lineage && created {
            self.wake_trace(trace, last);
        }
        Observed::New
    }

    /// Something happened to an item: note it, and wake its job up if its place may change.
    fn touch(&mut self, slot: u32, last: UnixNanos, quiet: bool) {
        self.stirred = true;
        let wake = last.plus_ms(self.settings.settle_delay_ms);
        let Some(item) = self.index.item(slot) else { return };
        let Some(id) = item.job else {
            self.due = Some(self.due.map_or(wake, |due| due.min(wake)));
            return;
        };
        let Some(group) = self.groups.get_mut(&id) else { return };
        group.last = group.last.max(last);
        if group.parked && !(quiet && !self.published.contains_key(&id)) {
            group.parked = false;
            for &member in &group.members {
                self.index.activate(member);
            }
        }
        if !group.parked {
            group.wake = wake;
            self.due = Some(self.due.map_or(wake, |due| due.min(wake)));
        }
    }

    /// A span above calls came: the jobs that have calls in its trace may look different.
    fn wake_trace(&mut self, trace: TraceId, last: UnixNanos) {
        for slot in self.index.in_trace(trace) {
            self.touch(slot, last, false);
        }
    }

    /// The next moment at which [`Self::advance`] may tell something.
    pub fn next_deadline(&self) -> Option<UnixNanos> {
        self.due
    }

    /// Time passes: tells what settled, was revised, superseded or forgotten by `now`. Time never goes back.
    pub fn advance(&mut self, now: UnixNanos) -> Vec<Change> {
        self.now = self.now.max(now);
        if self.index.spans() > self.settings.max_spans {
            return self.shed();
        }
        if self.due.is_none_or(|due| due > self.now) {
            return Vec::new();
        }
        let mut changes = self.publish_due(false);
        self.forget_old(&mut changes);
        changes
    }

    /// The end of a recording: settles everything as if all limits had passed.
    pub fn finish(&mut self) -> Vec<Change> {
        for group in self.groups.values_mut().filter(|group| group.parked) {
            group.parked = false;
            for &member in &group.members {
                self.index.activate(member);
            }
        }
        self.publish_due(true)
    }

    /// At the bound on spans what is settled goes first, then the oldest, settled early.
    fn shed(&mut self) -> Vec<Change> {
        let mut changes = self.publish_due(false);
        let keep = self.settings.max_spans / 10 * 9;
        let mut old: Vec<(bool, UnixNanos, JobId)> = self
            .groups
            .iter()
            .map(|(&id, group)| (!self.published.contains_key(&id), group.last, id))
            .collect();
        old.sort_unstable();
        for (open, _, id) in old {
            if self.index.spans() <= keep {
                break;
            }
            if open {
                changes.extend(self.settle_early(id));
            }
            self.forget(id, &mut changes);
        }
        changes
    }

    /// Jobs that are not settled yet, as they look now.
    pub fn open_jobs(&mut self) -> Vec<Job> {
        self.provisional(|this, id| !this.published.contains_key(&id))
    }

    /// Any job still in memory, by id.
    pub fn job(&mut self, id: JobId) -> Option<Job> {
        if !self.groups.contains_key(&id) {
            self.publish_due(false);
        }
        self.provisional(|_, known| known == id).into_iter().find(|job| job.id == id)
    }

    /// Every job still in memory, settled ones too.
    pub fn jobs(&mut self) -> Vec<Job> {
        self.provisional(|_, _| true)
    }

    /// How many jobs are open.
    pub fn open_count(&self) -> usize {
        self.groups.keys().filter(|id| !self.published.contains_key(*id)).count()
    }

    /// How many spans are in memory.
    pub fn span_count(&self) -> usize {
        self.index.spans()
    }

    /// How many frames were dropped because no call of their trace came.
    pub fn idle_frames_dropped(&self) -> u64 {
        self.index.frames_dropped()
    }

    /// Open state that changed since the last call, by creation number; `None` means gone.
    pub fn take_changed(&mut self) -> Vec<(u64, Option<Vec<Evidence>>)> {
        self.index.take_changed()
    }

    /// Puts back what [`Self::take_changed`] gave.
    pub fn restore(&mut self, number: u64, evidence: Vec<Evidence>) {
        for evidence in evidence {
            if !self.index.remember(&evidence) {
                continue;
            }
            let last = evidence.end;
            match &evidence.what {
                What::Frame(_) => self.index.restore_frame(number, evidence, last),
                What::Call(_) => {
                    let slot = self.index.restore_call(number, evidence, last);
                    self.touch(slot, last, false);
                }
            }
        }
    }

    /// Tells what had been published before a restart, so that it is told again only if it changed.
    pub fn restore_published(&mut self, id: JobId, revision: u32, digest: u64) {
        self.published.insert(id, Published { revision, digest });
    }
}

/// A call that says nothing new of its task: one more poll.
fn is_quiet(evidence: &Evidence) -> bool {
    match &evidence.what {
        What::Call(call) => {
            call.role == crate::Role::Poll
                && call.verdict.is_none_or(|verdict| {
                    matches!(verdict.state, crate::TaskState::Running | crate::TaskState::NotReady)
                })
        }
        What::Frame(_) => false,
    }
}

impl Item {
    fn is_task(&self) -> bool {
        matches!(self.kept, Kept::Task(_))
    }
}
