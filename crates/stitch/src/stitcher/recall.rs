//! After a restart: what was matched, which pocket a published job is in, and what is decided.
//!
//! What was matched is tied first ([`super::ties`]), so that a job is in one pocket.
//!
//! A published job is found again when its pocket is solved. By then evidence may have come that gives the
//! job another id (its submit after its result), and nobody would know that the job with the old id has to be
//! taken back. So once everything is in memory again, every call that may have named a job is looked at.
//!
//! Then what was decided rests. Otherwise it would wait in its lane as if it had just come.

use crate::call::Role;
use crate::id::{JobId, UnixNanos};
use crate::judge;
use crate::solve::pool::call_of;
use crate::stitcher::Stitcher;
use crate::stitcher::item::Item;
use crate::stitcher::pocket::Pocket;
use crate::stitcher::publish::UNBOUND_MS;

impl Stitcher {
    /// Everything is restored: ties what was matched, finds the pockets of the jobs that were published, and
    /// lets rest what was decided.
    pub fn recall(&mut self) {
        self.wake_noted();
        self.tie_again();
        self.find_published();
        self.let_rest();
    }

    fn find_published(&mut self) {
        let mut found: Vec<(u32, JobId)> = Vec::new();
        for (at, pocket) in self.pockets.iter() {
            let items = pocket.members.iter().filter_map(|&slot| self.index.item(slot));
            let names = items.flat_map(names_of).filter(|id| self.known.published(*id).is_some());
            found.extend(names.map(|id| (at, id)));
        }
        for (at, id) in found {
            if self.known.set_home(id, at).is_none()
                && let Some(pocket) = self.pockets.get_mut(at)
            {
                pocket.jobs.push(id);
            }
        }
    }

    /// What could not be tied to anything any more when the last process ended is not matched with everything
    /// once again: it rests in its lanes, or joins none.
    fn let_rest(&mut self) {
        let is_firm =
            |pocket: &Pocket| pocket.opened.plus_ms(UNBOUND_MS) <= self.now || self.is_decided(pocket);
        let firm = self.pockets.iter().filter(|(_, pocket)| is_firm(pocket));
        let mut firm: Vec<_> = firm.map(|(at, pocket)| (pocket.last, at)).collect();
        firm.sort_unstable();
        for (_, at) in firm {
            self.pockets.rest(at);
            if let Some(pocket) = self.pockets.get_mut(at) {
                pocket.opened = UnixNanos::default();
            }
        }
    }

    /// A pocket is one job, and that is decided. Where it may be several, one may not be over.
    fn is_decided(&self, pocket: &Pocket) -> bool {
        let is_decided = |&id: &JobId| self.known.published(id).is_some_and(|known| known.decided);
        pocket.members.len() <= pocket.pins.len() + 1
            && !pocket.jobs.is_empty()
            && pocket.jobs.iter().all(is_decided)
    }
}

/// Ids that a job may have from an item: from the spans of what asked for it or was delivered, from its task.
fn names_of(item: &Item) -> Vec<JobId> {
    let follows = |role: Role| matches!(role, Role::Poll | Role::Result | Role::Cancel | Role::Download);
    let (mut names, mut named) = (Vec::new(), None);
    for evidence in item.calls() {
        let Some(call) = call_of(evidence) else { continue };
        if !item.is_task || call.task.is_none() || !follows(call.role) {
            let tenant = &evidence.client.tenant;
            names.push(judge::id_of_span(tenant, evidence.span));
            // In older ledgers a job of a tenant may stand under the id that one without a tenant would have.
            names.extend((!tenant.is_empty()).then(|| judge::id_of_span("", evidence.span)));
        }
        for task in call.task.iter().chain(call.rare.alias.iter()) {
            if named.replace(task) != Some(task) {
                names.push(judge::id_of_task(&evidence.client.tenant, &call.endpoint.provider, task));
            }
        }
    }
    names
}
