//! What was published of a job while its joins could still change.
//!
//! # Why
//!
//! A job that has ended is published after the settle delay, and what is loose is still matched for a while
//! after that. When the match changes, its task may turn out to belong to another submit. If the job of that
//! submit were published before this one ends again, the same calls would be in two jobs, and their money
//! would count twice.
//!
//! # States
//!
//! While a published job is in lanes, or shares its pocket with others, the items that it was published with
//! are kept here. It is *torn* when a later look finds that it is not over and has lost one of these items.
//! Then it is taken back at once, in the same round in which the other job is published, and is open again.
//!
//! # Late, never
//!
//! More evidence alone tears nothing: what was published stays, as a part of the truth, until the job is over
//! again. After a restart it is not known with which items a job was published; it is torn then if it is not
//! over and differs.

use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

use crate::id::JobId;
use crate::stitcher::Fixed;

/// The items of each job that was told and may still change, sorted.
#[derive(Debug, Default)]
pub(super) struct ToldItems(HashMap<JobId, SmallVec<[u32; 4]>, Fixed>);

impl ToldItems {
    /// A job was told with these items.
    pub(super) fn note(&mut self, id: JobId, members: &[u32]) {
        self.0.insert(id, SmallVec::from_slice(members));
    }

    /// A job is firm, taken back or forgotten.
    pub(super) fn drop(&mut self, id: JobId) {
        self.0.remove(&id);
    }

    /// The same, and with which items it was told.
    pub(super) fn take(&mut self, id: JobId) -> Option<SmallVec<[u32; 4]>> {
        self.0.remove(&id)
    }

    /// Whether a job was told with no items but some of these.
    pub(super) fn is_within(&self, id: JobId, items: &[u32]) -> bool {
        self.0.get(&id).is_none_or(|told| told.iter().all(|slot| items.contains(slot)))
    }

    /// Whether a job was told with an item that is not among these, which are sorted.
    pub(super) fn lacks(&self, id: JobId, members: &[u32]) -> bool {
        self.0.get(&id).is_some_and(|told| told.iter().any(|slot| members.binary_search(slot).is_err()))
    }

    /// The items of all these jobs.
    pub(super) fn items(&self) -> HashSet<u32, Fixed> {
        self.0.values().flatten().copied().collect()
    }
}
