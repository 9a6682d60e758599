//! Solving what is due, and telling what changed.
//!
//! # A look
//!
//! Of a million jobs few have changed since they were last looked at, so only pockets whose moment has come
//! are solved ([`super::wheel`]): by themselves, or with all that is loose of their tenant. What is found of
//! a job says
//!
//! - whether it is *over*: quiet for the settle delay, and decided or at its limit. Then it is published;
//! - whether it is *firm*: its ties are so old that no later match may change them. Then its pockets become
//!   one, and its ties are pinned;
//! - when to look again.
//!
//! # Late, twice, never
//!
//! A span that comes later makes its pocket due. A job that is found as it was told is not told again; one
//! that differs is told with the next revision; one that is not found any more, or lost a part to another
//! ([`super::told`]), is superseded. What never ends is over at its idle or absolute limit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::evidence::Evidence;
use crate::id::{JobId, UnixNanos};
use crate::job::{Job, State};
use crate::judge;
use crate::settings::Settings;
use crate::solve::Pin;
use crate::solve::group::JobDraft;
use crate::solve::habit::WINDOW_MS;
use crate::solve::pool::Pool;
use crate::solve::{self, Solution};
use crate::stitcher::crowd::Times;
use crate::stitcher::digest::digest;
use crate::stitcher::item::Item;
use crate::stitcher::members::members_of;
use crate::stitcher::pocket::LaneKey;
use crate::stitcher::solved::{loose, solved};
use crate::stitcher::{Change, Published, Stitcher};

/// A submit without a task stays a candidate this long: as long as the longest gap that is looked at.
pub(super) const UNBOUND_MS: u64 = WINDOW_MS;

/// How many looks without effect cost as much as publishing one change.
const LOOKS_A_CHANGE: usize = 8;

/// One job as solved, with what is needed to go on with its pockets.
pub(super) struct Found {
    pub(super) id: JobId,
    /// Sorted.
    pub(super) members: Vec<u32>,
    /// The one of them that was known first.
    first: u32,
    pub(super) pins: Vec<Pin>,
    /// To be published now.
    job: Option<Job>,
    /// When to look again, if it is not finished.
    wake: UnixNanos,
    /// Its ties are old enough to be final.
    firm: bool,
    /// It was told, is not over any more, and lost a part: see [`crate::stitcher::told`].
    torn: bool,
}

impl Stitcher {
    /// Solves the pockets that are due, alone or with their lanes, and tells what changed. Stops after about
    /// `limit` changes, or as much work in looks without effect, and says whether more is due.
    pub(super) fn publish_due(&mut self, limit: usize) -> (Vec<Change>, bool) {
        let limit = limit.max(1);
        let mut changes = Vec::new();
        let mut lanes: BTreeMap<LaneKey, Vec<u32>> = BTreeMap::new();
        let mut looks = limit.saturating_mul(LOOKS_A_CHANGE);
        // First what an earlier part left over, then what is due by now.
        let mut turned = false;
        while looks > 0 && changes.len() < limit {
            let Some(at) = self.thaw_due().or_else(|| self.pockets.next_due()) else {
                if std::mem::replace(&mut turned, true) {
                    break;
                }
                self.pockets.turn_wheel(self.now);
                self.frozen.turn_wheel(self.now);
                continue;
            };
            looks -= 1;
            if !self.pockets.take_plan(at, self.now) {
                self.freeze(at);
                continue;
            }
            let Some(pocket) = self.pockets.get(at) else { continue };
            let look = self.look_at_moment(pocket);
            if look > self.now {
                self.pockets.schedule(at, look);
            } else if pocket.settled {
                self.retire(at, &mut changes);
            } else if pocket.lanes.is_empty() {
                for lane in self.solve_alone(at, &mut changes) {
                    lanes.entry(lane).or_default().push(at);
                }
                self.freeze(at);
            } else {
                for lane in pocket.lanes.clone() {
                    lanes.entry(lane).or_default().push(at);
                }
            }
        }
        let mut solved: BTreeSet<Arc<str>> = BTreeSet::new();
        for (lane, due) in lanes {
            if solved.contains(&lane.0) {
                continue;
            }
            if let Err(later) = self.pockets.turn(&lane, self.now) {
                for at in due {
                    self.pockets.schedule(at, later);
                }
                continue;
            }
            let pockets = self.pockets.lane_group(&lane);
            solved.insert(lane.0);
            self.solve_lane(&pockets, &mut changes);
        }
        (changes, self.pockets.has_due() || self.frozen.has_due() || !turned)
    }

    /// Everything of a tenant in one pool, nothing held, all limits passed.
    pub(super) fn publish_all(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        self.thaw_all();
        for pockets in self.by_tenant() {
            let slots = self.contents(&pockets).0;
            let found = self.found(&slots, &[], true).0;
            self.adopt(&pockets, found, &mut changes);
        }
        changes
    }

    /// Solves a pocket by itself. If something in it waits for something outside, it joins the lanes that are
    /// returned instead.
    fn solve_alone(&mut self, at: u32, changes: &mut Vec<Change>) -> Vec<LaneKey> {
        let Some(pocket) = self.pockets.get(at) else { return Vec::new() };
        let young = pocket.opened.plus_ms(UNBOUND_MS) > self.now;
        let (slots, pins) = self.contents(&[at]);
        let (found, loose) = self.found(&slots, &pins, false);
        let loose = if young { self.with_hooks(self.firsts(&slots), loose) } else { loose };
        if young && !loose.is_empty() {
            for lane in &loose {
                self.pockets.join_lane(at, lane.clone());
            }
            return loose;
        }
        self.adopt(&[at], found, changes);
        Vec::new()
    }

    /// The lanes of some items in which deliveries without a name wait are theirs as well.
    pub(super) fn with_hooks<'a>(
        &self,
        firsts: impl Iterator<Item = &'a Evidence>,
        mut lanes: Vec<LaneKey>,
    ) -> Vec<LaneKey> {
        for evidence in firsts {
            let Some(call) = solve::pool::call_of(evidence) else { continue };
            let key = (evidence.client.tenant.clone(), call.endpoint.provider.clone());
            if !lanes.contains(&key) && self.pockets.has_hooks(&key) {
                lanes.push(key);
            }
        }
        lanes
    }

    /// The first call of each of some items.
    pub(super) fn firsts(&self, slots: &[u32]) -> impl Iterator<Item = &Evidence> {
        slots.iter().filter_map(|&slot| self.index.item(slot).map(Item::first))
    }

    fn solve_lane(&mut self, pockets: &[u32], changes: &mut Vec<Change>) {
        let (slots, pins) = self.contents(pockets);
        let found = self.found(&slots, &pins, false).0;
        self.adopt(pockets, found, changes);
    }

    /// Solves some items: the jobs found, and the lanes in which something of them waits.
    pub(super) fn found(&self, slots: &[u32], pins: &[Pin], all: bool) -> (Vec<Found>, Vec<LaneKey>) {
        let again = self.again(slots);
        let pool = self.pool(slots, &again);
        let (solution, drafts) = solved(&pool, &self.settings, pins);
        let loose = loose(&pool, &solution, pins);
        let found = drafts.iter().map(|draft| self.examine(&pool, &solution, draft, all)).collect();
        (found, loose)
    }

    /// Says of one draft whether it is time to tell it, and when to look at it again.
    fn examine(&self, pool: &Pool<'_>, solution: &Solution, draft: &JobDraft<'_>, all: bool) -> Found {
        let settings = &self.settings;
        let (members, pins) = members_of(pool, solution, draft);
        let Times { last, opened, started } = self.times(&members);
        let id = judge::job_id(pool, solution, draft);
        let settle = last.plus_ms(settings.settle_delay_ms);
        let mut firm_at = opened.plus_ms(if pins.is_empty() { UNBOUND_MS } else { settings.rematch_ms });
        let torn = self.told.lacks(id, &members);
        let first = members.iter().copied().min_by_key(|&slot| self.index.item(slot).map(|item| item.number));
        let mut found = Found {
            id,
            first: first.unwrap_or_default(),
            members,
            pins,
            job: None,
            wake: settle,
            firm: firm_at <= self.now,
            torn,
        };
        if !all && settle > self.now {
            return found;
        }
        let job = judge::job(pool, solution, draft);
        let idle = self.outages.after(last, settings.idle_timeout_ms);
        let limit = idle.min(self.outages.after(started, settings.absolute_timeout_ms)).max(settle);
        let done = all || limit <= self.now || judge::is_decided(&job);
        if done {
            // What has ended waits for a resubmission or a delivery, not for its task.
            firm_at = firm_at.min(last.plus_ms(settings.rematch_ms.max(settings.settle_delay_ms)));
            found.firm = firm_at <= self.now;
        }
        found.wake = if done { firm_at.max(settle) } else { limit.min(firm_at.max(settle.plus_ms(1_000))) };
        if found.wake <= self.now {
            found.wake = limit;
        }
        let before = self.known.published(id).filter(|before| before.restored && !done);
        found.torn |= before.is_some_and(|before| before.digest != digest(&job));
        found.job = done.then_some(Job { state: State::Settled, ..job });
        found
    }

    /// Takes over what was found for some pockets: merges what is firm, publishes what is due.
    pub(super) fn adopt(&mut self, pockets: &[u32], found: Vec<Found>, changes: &mut Vec<Change>) {
        let mut before: BTreeSet<JobId> = BTreeSet::new();
        for pocket in pockets.iter().filter_map(|&at| self.pockets.get(at)) {
            before.extend(pocket.jobs.iter().copied());
        }
        for &at in pockets {
            if let Some(pocket) = self.pockets.get_mut(at) {
                pocket.jobs.clear();
                pocket.looked = self.now;
            }
        }
        let mut unsure: Vec<u32> = Vec::new();
        let mut wakes: Vec<(u32, UnixNanos)> = Vec::new();
        for found in found {
            before.remove(&found.id);
            let Some(home) = self.settle_in(&found) else { continue };
            if !found.firm {
                unsure.extend_from_slice(&found.members);
            }
            if found.job.is_none()
                || self.pockets.get(home).is_none_or(|pocket| pocket.holds_more(found.firm))
            {
                wakes.push((found.first, found.wake));
            }
            self.tell(found, changes);
        }
        for id in before {
            self.known.leave_home(id);
            changes.extend(self.supersede(id));
        }
        let unsure: BTreeSet<u32> = unsure.into_iter().filter_map(|slot| self.pocket_of(slot)).collect();
        let mut unfinished: BTreeMap<u32, UnixNanos> = BTreeMap::new();
        for (slot, wake) in wakes {
            let Some(at) = self.pocket_of(slot) else { continue };
            let first = unfinished.entry(at).or_insert(wake);
            *first = (*first).min(wake);
        }
        for &at in pockets {
            // What a pocket holds waits together: as long as one of its jobs may find a part elsewhere.
            if unsure.contains(&at) {
                self.pockets.wait(at);
            } else {
                self.pockets.rest(at);
            }
            self.close_ranks(at);
            self.plan(at, unfinished.get(&at).copied());
        }
    }

    /// Whether a job may lose a part to another one: it has to do with lanes, or shares its pocket.
    fn may_change(&self, id: JobId) -> bool {
        let pocket = self.known.home(id).and_then(|home| self.pockets.get(home));
        pocket.is_none_or(|pocket| !pocket.lanes.is_empty() || pocket.jobs.len() > 1)
    }

    /// Publishes a job that is over; takes back one that is not any more and lost a part.
    fn tell(&mut self, found: Found, changes: &mut Vec<Change>) {
        match found.job {
            Some(job) => {
                if self.may_change(found.id) {
                    self.told.note(found.id, &found.members);
                } else {
                    self.told.drop(found.id);
                }
                changes.extend(self.publish(job));
            }
            None if found.torn => changes.extend(self.supersede(found.id)),
            None => {}
        }
    }

    /// Gives a found job a home: one pocket if it is firm, else the pocket of its first part. In a crowd it
    /// gets one of its own once it is over.
    fn settle_in(&mut self, found: &Found) -> Option<u32> {
        found.members.first()?;
        let first = found.first;
        let crowded = found.members.iter().any(|&slot| self.in_crowd(slot));
        if crowded && found.firm && found.job.is_some() {
            return self.move_out(found);
        }
        let firm = found.firm && !crowded;
        let mut matched = false;
        if firm {
            for &other in &found.members {
                matched |= self.merge(first, other);
            }
        }
        let home = self.pocket_of(first)?;
        let pocket = self.pockets.get_mut(home)?;
        pocket.jobs.push(found.id);
        if firm {
            let is_own = |pin: &&Pin| found.members.contains(&pin.shot);
            // Also without a match, where the neighbours may have decided.
            let is_tied = self.ties.has(home) || found.pins.iter().any(Pin::is_close);
            if matched || is_tied && !pocket.pins.iter().filter(is_own).eq(&found.pins) {
                self.ties.note(home);
            }
            pocket.pins.retain(|pin| !is_own(&pin));
            pocket.pin(&found.pins);
        }
        self.known.set_home(found.id, home);
        Some(home)
    }

    /// When a pocket is looked at next: what is unfinished at its time, what is settled when it is forgotten.
    pub(super) fn plan(&mut self, at: u32, wake: Option<UnixNanos>) {
        let (Settings { retention_ms, freeze_after_ms, .. }, outages) = (&self.settings, &self.outages);
        let Some(pocket) = self.pockets.get_mut(at) else { return };
        let old = outages.after(pocket.last, UNBOUND_MS.max(self.settings.idle_timeout_ms)) <= self.now;
        let jobless = pocket.jobs.is_empty() && !old;
        pocket.settled = wake.is_none() && !jobless && !pocket.waits();
        let next = match wake {
            Some(wake) => wake,
            None if pocket.settled => outages.after(pocket.last, *retention_ms),
            None => self.now.plus_ms(60_000),
        };
        let freezes = pocket.last.plus_ms(*freeze_after_ms);
        let may_freeze = pocket.lanes.is_empty() && freezes > self.now;
        self.pockets.schedule(at, next);
        if may_freeze {
            self.pockets.visit(at, freezes);
        }
    }

    /// Tells a job, if it is new or differs from what was told.
    fn publish(&mut self, job: Job) -> Option<Change> {
        let digest = digest(&job);
        let known = self.known.published(job.id);
        if known.is_some_and(|known| known.digest == digest) {
            return None;
        }
        let revision = known.map_or(1, |known| known.revision + 1);
        self.known.publish(job.id, Published { revision, digest, restored: false, decided: false });
        Some(Change::Published { job: Box::new(job), revision, digest })
    }

    fn supersede(&mut self, id: JobId) -> Option<Change> {
        self.told.drop(id);
        let known = self.known.take_back(id)?;
        let job = Box::new(Job { id, state: State::Superseded, ..Job::default() });
        Some(Change::Published { job, revision: known.revision + 1, digest: 0 })
    }
}
