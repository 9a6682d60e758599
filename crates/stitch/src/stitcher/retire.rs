//! What leaves memory: settled jobs past the retention. What leaves it at a bound: [`super::limits`].

use crate::id::UnixNanos;
use crate::stitcher::{Change, Stitcher};

impl Stitcher {
    /// A settled pocket past the retention goes.
    pub(super) fn retire(&mut self, at: u32, changes: &mut Vec<Change>) {
        let Some(pocket) = self.pockets.get(at) else { return };
        let end = self.outages.after(pocket.last, self.settings.retention_ms);
        if end > self.now {
            self.pockets.schedule(at, end);
            self.freeze(at);
        } else {
            self.forget(at, changes);
        }
    }

    pub(super) fn forget(&mut self, at: u32, changes: &mut Vec<Change>) {
        let Some(pocket) = self.pockets.remove(at) else { return };
        self.ties.drop(at);
        for slot in pocket.members {
            self.index.remove(slot);
        }
        for id in pocket.jobs {
            self.known.leave_home(id);
            self.told.drop(id);
            if self.known.take_back(id).is_some() {
                changes.push(Change::Forgotten(id));
            }
        }
    }

    /// Forgets pockets by their last activity, without telling.
    pub(super) fn forget_pockets(&mut self, is_old: impl Fn(UnixNanos) -> bool) {
        self.thaw_all();
        let old: Vec<u32> =
            self.pockets.iter().filter(|(_, pocket)| is_old(pocket.last)).map(|(at, _)| at).collect();
        for at in old {
            self.forget(at, &mut Vec::new());
        }
    }
}
