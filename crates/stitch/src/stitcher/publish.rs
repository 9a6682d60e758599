//! Solving what is active, and telling what changed.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, Hasher};

use crate::id::{JobId, UnixNanos};
use crate::job::{Job, State};
use crate::judge;
use crate::solve::group::JobDraft;
use crate::solve::pool::Pool;
use crate::solve::{self, Solution};
use crate::stitcher::index::{Item, Kept};
use crate::stitcher::{Change, Fixed, Group, Pin, Published, Stitcher};

/// A submit without a task stays a candidate this long: as long as the longest gap that is looked at.
const UNBOUND_MS: u64 = 1_800_000;

impl Stitcher {
    /// Solves the active items, publishes what is due (`all`: everything), parks what is decided.
    pub(super) fn publish_due(&mut self, all: bool) -> Vec<Change> {
        self.wake_groups();
        let active = self.index.active();
        self.stirred = false;
        if active.is_empty() {
            self.due = self.earliest_wake();
            return Vec::new();
        }
        let before = self.leave_groups(&active);
        let pins = self.pins_of(&before);
        let mut outcome = Vec::new();
        let mut made = BTreeMap::new();
        {
            let pool = self.pool(&active);
            let (solution, drafts) = solved(&pool, &self.settings, &pins);
            for draft in &drafts {
                let id = judge::job_id(&pool, &solution, draft);
                let mut group = self.group(&pool, &solution, draft);
                let job = self.due_job(&pool, &solution, draft, id, &mut group, all);
                outcome.extend(job);
                made.insert(id, group);
            }
        }
        let mut changes = self.superseded(&before, &made);
        for (id, group) in made {
            self.adopt(id, group);
        }
        self.drop_loose(&active);
        for job in outcome {
            changes.extend(self.publish(job));
        }
        self.due = self.earliest_wake();
        changes
    }

    /// Parked groups whose time has come take part again.
    fn wake_groups(&mut self) {
        for group in self.groups.values_mut().filter(|group| group.parked && group.wake <= self.now) {
            group.parked = false;
            for &member in &group.members {
                self.index.activate(member);
            }
        }
    }

    /// Takes the groups of active items apart, to be made anew.
    fn leave_groups(&mut self, active: &[u32]) -> BTreeMap<JobId, Group> {
        let mut left = BTreeMap::new();
        for &slot in active {
            let id = self.index.item_mut(slot).and_then(|item| item.job.take());
            if let Some((id, group)) = id.and_then(|id| self.groups.remove_entry(&id)) {
                left.insert(id, group);
            }
        }
        left
    }

    fn pins_of(&self, groups: &BTreeMap<JobId, Group>) -> Vec<Pin> {
        // Only what had been decided long ago stays as it is; the rest is matched anew.
        let old = groups.values().filter(|group| group.started.plus_ms(self.settings.rematch_ms) <= self.now);
        old.filter(|group| group.members.len() > 1).flat_map(|group| group.pins.iter().copied()).collect()
    }

    fn pool(&self, slots: &[u32]) -> Pool<'_> {
        let items = || slots.iter().filter_map(|&slot| Some((slot, self.index.item(slot)?)));
        let tasks = items().filter(|(_, item)| item.is_task()).map(|(slot, item)| (slot, item.evidence()));
        let lone = items().filter_map(|(slot, item)| match &item.kept {
            Kept::Lone(evidence) => Some((slot, evidence)),
            Kept::Task(_) => None,
        });
        Pool::new(tasks, lone, self.index.frames_of(slots).into_iter())
    }

    fn group(&self, pool: &Pool<'_>, solution: &Solution, draft: &JobDraft) -> Group {
        let mut group = Group { started: UnixNanos(u64::MAX), ..Group::default() };
        for attempt in &draft.attempts {
            group.members.extend(attempt.shot.map(|shot| pool.shots[shot].slot));
            for &task in &attempt.tasks {
                group.members.extend(pool.tasks[task].slots.iter().copied());
                group.pins.extend(solution.task_shot[task].map(|bound| Pin {
                    shot: pool.shots[bound.shot].slot,
                    made: pool.tasks[task].slots[0],
                    rule: bound.rule,
                    confidence: bound.confidence,
                    margin: bound.margin,
                }));
            }
            for &known in &attempt.groups {
                let hooks = solution.groups[known].hooks.iter();
                group.members.extend(hooks.map(|&hook| pool.hooks[hook].slot));
            }
            group.members.extend(attempt.downloads.iter().map(|&at| pool.downloads[at].slot));
        }
        group.members.sort_unstable();
        group.members.dedup();
        for item in group.members.iter().filter_map(|&slot| self.index.item(slot)) {
            group.last = group.last.max(item.last);
            let start = item.evidence().iter().map(|evidence| evidence.start).min();
            group.started = group.started.min(start.unwrap_or(group.started));
        }
        group
    }

    /// The job, if it is time to tell it; sets when to look at the group again, and parks it if it is decided.
    fn due_job(
        &self,
        pool: &Pool<'_>,
        solution: &Solution,
        draft: &JobDraft,
        id: JobId,
        group: &mut Group,
        all: bool,
    ) -> Option<Job> {
        let settings = &self.settings;
        let settle = group.last.plus_ms(settings.settle_delay_ms);
        let idle = group.last.plus_ms(settings.idle_timeout_ms);
        let limit = idle.min(group.started.plus_ms(settings.absolute_timeout_ms)).max(settle);
        group.wake = settle;
        if !all && settle > self.now {
            return None;
        }
        let mut job = judge::job(pool, solution, draft);
        let done = all || judge::is_decided(&job) || limit <= self.now;
        let waits = !done && group.pins.is_empty() && job.attempts.len() == draft_shots(draft);
        let since = group.last.plus_ms(settings.rematch_ms.max(settings.settle_delay_ms));
        if done {
            job.state = State::Settled;
            group.parked = since <= self.now || all;
            group.wake = since;
        } else {
            let young = if waits { UNBOUND_MS } else { settings.rematch_ms };
            group.parked = group.started.plus_ms(young) <= self.now;
            group.wake = if group.parked { limit } else { since.max(self.now.plus_ms(1_000)).min(limit) };
        }
        if group.parked && done {
            group.wake = UnixNanos(u64::MAX);
        }
        debug_assert_eq!(job.id, id);
        done.then_some(job)
    }

    /// Published jobs whose evidence is now in other jobs.
    fn superseded(&mut self, before: &BTreeMap<JobId, Group>, made: &BTreeMap<JobId, Group>) -> Vec<Change> {
        let gone = before.keys().filter(|id| !made.contains_key(*id));
        let mut changes = Vec::new();
        for &id in gone {
            if let Some(known) = self.published.remove(&id) {
                let job = Box::new(Job { id, state: State::Superseded, ..Job::default() });
                changes.push(Change::Published { job, revision: known.revision + 1, digest: 0 });
            }
        }
        changes
    }

    fn adopt(&mut self, id: JobId, group: Group) {
        for &slot in &group.members {
            if let Some(item) = self.index.item_mut(slot) {
                item.job = Some(id);
                item.active = !group.parked;
            }
        }
        self.groups.insert(id, group);
    }

    /// Calls that found no job (a download of something unknown) wait as long as a submit does, then go.
    fn drop_loose(&mut self, active: &[u32]) {
        for &slot in active {
            let old = |item: &Item| item.job.is_none() && item.last.plus_ms(UNBOUND_MS) <= self.now;
            if self.index.item(slot).is_some_and(old) {
                self.index.remove(slot);
            }
        }
    }

    /// Tells a job, if it is new or differs from what was told.
    fn publish(&mut self, job: Job) -> Option<Change> {
        let digest = digest(&job);
        let known = self.published.get(&job.id).copied();
        if known.is_some_and(|known| known.digest == digest) {
            return None;
        }
        let revision = known.map_or(1, |known| known.revision + 1);
        self.published.insert(job.id, Published { revision, digest });
        Some(Change::Published { job: Box::new(job), revision, digest })
    }

    fn earliest_wake(&self) -> Option<UnixNanos> {
        let wakes = self.groups.values().map(|group| group.wake);
        let loose = self.stirred.then_some(self.now);
        wakes.chain(loose).min().filter(|wake| wake.0 != u64::MAX)
    }

    /// Settled jobs past the retention go.
    pub(super) fn forget_old(&mut self, changes: &mut Vec<Change>) {
        let retention = self.settings.retention_ms;
        let old = self.groups.iter().filter(|(id, group)| {
            group.parked && self.published.contains_key(*id) && group.last.plus_ms(retention) <= self.now
        });
        let mut old: Vec<JobId> = old.map(|(&id, _)| id).collect();
        old.sort_unstable();
        for id in old {
            self.forget(id, changes);
        }
    }

    pub(super) fn forget(&mut self, id: JobId, changes: &mut Vec<Change>) {
        let Some(group) = self.groups.remove(&id) else { return };
        for slot in group.members {
            self.index.remove(slot);
        }
        if self.published.remove(&id).is_some() {
            changes.push(Change::Forgotten(id));
        }
    }

    /// Settles one open job now, as it looks.
    pub(super) fn settle_early(&mut self, id: JobId) -> Option<Change> {
        let mut job = self.provisional(|_, known| known == id).into_iter().find(|job| job.id == id)?;
        job.state = State::Settled;
        self.publish(job)
    }

    /// Jobs as they look now, of the groups that `wanted` picks.
    pub(super) fn provisional(&self, wanted: impl Fn(&Self, JobId) -> bool) -> Vec<Job> {
        let mut slots = Vec::new();
        let mut pins = Vec::new();
        for (_, group) in self.groups.iter().filter(|(id, _)| wanted(self, **id)) {
            slots.extend(&group.members);
            pins.extend(&group.pins);
        }
        slots.sort_unstable();
        pins.sort_unstable_by_key(|pin: &Pin| (pin.shot, pin.made));
        let pool = self.pool(&slots);
        let (solution, drafts) = solved(&pool, &self.settings, &pins);
        let mut jobs: Vec<Job> = drafts.iter().map(|draft| judge::job(&pool, &solution, draft)).collect();
        for job in &mut jobs {
            if self.published.contains_key(&job.id) {
                job.state = State::Settled;
            }
        }
        jobs.sort_unstable_by_key(|job| (job.started_at, job.id));
        jobs
    }
}

fn draft_shots(draft: &JobDraft) -> usize {
    draft.attempts.iter().filter(|attempt| attempt.shot.is_some()).count()
}

fn solved(pool: &Pool<'_>, settings: &crate::Settings, pins: &[Pin]) -> (Solution, Vec<JobDraft>) {
    let solution = solve::solve(pool, settings, pins);
    let drafts = solve::group::jobs(pool, &solution);
    (solution, drafts)
}

/// Fingerprint of a job's content.
fn digest(job: &Job) -> u64 {
    let mut hasher = Fixed::default().build_hasher();
    for attempt in &job.attempts {
        (attempt.accepted, attempt.outcome, attempt.failure_reason, attempt.cause).hash(&mut hasher);
        (&attempt.task_id, &attempt.model, &attempt.operation).hash(&mut hasher);
        for call in &attempt.calls {
            (call.span, call.role, call.end, call.status).hash(&mut hasher);
        }
        for fact in &attempt.facts {
            fact.name.hash(&mut hasher);
            match &fact.value {
                crate::FactValue::Number(number) => number.hash(&mut hasher),
                crate::FactValue::Text(text) => text.hash(&mut hasher),
            }
        }
    }
    (job.id, job.outcome, job.failure_reason, &job.spans, &job.provider, &job.model).hash(&mut hasher);
    hasher.finish()
}
