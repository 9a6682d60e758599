//! Changes that wait until the ledger can be read.
//!
//! Whether a job was booked before, and what it added then, may stand only in the ledger. While that cannot
//! be read a change can be neither booked nor dropped, since the stitcher tells it once. So it waits, and
//! with it all that was told after it; it is tried again each turn, and until it is booked no time passes for
//! the core. So no more waits than one part of a turn tells, and a process that is killed meanwhile is told
//! the same by its own stitchers: checkpoints leave them what they need for it ([`Core::checkpoint`]).
//!
//! [`Core::checkpoint`]: super::Core::checkpoint

use std::collections::VecDeque;

use spantally_stitch::{Change, Job, UnixNanos};
use spantally_store::StoreError;

use super::Settled;
use super::books::Books;

/// A publication that cannot be booked yet, since the archive cannot be read.
#[derive(Debug)]
pub(super) struct Unread {
    /// The job, unchanged.
    pub(super) job: Box<Job>,
    /// What the archive said.
    pub(super) source: Box<StoreError>,
}

/// Changes that are not booked yet, in their order.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    changes: VecDeque<Change>,
    /// Why the first of them could not be booked.
    failure: Option<StoreError>,
}

impl Waiting {
    /// Books what waits, then what is new; whether nothing is left.
    pub(super) fn book(
        &mut self,
        books: &mut Books,
        changes: Vec<Change>,
        now: UnixNanos,
        settled: &mut Vec<Settled>,
    ) -> bool {
        self.changes.extend(changes);
        self.failure = None;
        while let Some(change) = self.changes.pop_front() {
            match change {
                Change::Forgotten(id) => books.forget(id),
                Change::Published { job, digest, revision } => match books.publish(job, digest, now) {
                    Ok(published) => settled.extend(published),
                    Err(Unread { job, source }) => {
                        self.changes.push_front(Change::Published { job, digest, revision });
                        self.failure = Some(*source);
                        return false;
                    }
                },
            }
        }
        true
    }

    /// How many changes wait.
    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    /// Why something waits, while it does.
    pub(super) fn failure(&self) -> Option<&StoreError> {
        self.failure.as_ref()
    }
}
