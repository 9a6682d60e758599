//! One job by its id, in parts.
//!
//! What came since the last look has no ids yet: to find one among it, all of it has to be looked at. Any id
//! may be asked for, also one that never was, so that is done some pockets at a time. Between two parts spans
//! are applied and others get their answers.

use std::ops::ControlFlow;

use spantally_price::bill;
use spantally_stitch::{JobId, OpenCursor, Sought, State};

use super::open::OpenJob;
use super::{Core, JobView};

/// How many pockets are looked at in one go: some milliseconds.
pub(super) const POCKETS_A_PART: usize = 500;

/// How far a search got.
#[derive(Debug, Default)]
pub(super) struct JobSearch {
    shard: usize,
    cursor: OpenCursor,
}

impl Core {
    /// A job as it now stands, open or settled, while it is in memory.
    pub fn job(&self, id: JobId) -> Option<JobView> {
        match self.seek_job(id, &mut JobSearch::default(), usize::MAX) {
            ControlFlow::Break(found) => found,
            ControlFlow::Continue(()) => None,
        }
    }

    /// The same in parts of about `limit` pockets; goes on where the search left off.
    pub(super) fn seek_job(
        &self,
        id: JobId,
        search: &mut JobSearch,
        limit: usize,
    ) -> ControlFlow<Option<JobView>> {
        while let Some(stitcher) = self.shards.get(search.shard) {
            let job = match stitcher.seek_job(id, &mut search.cursor, limit) {
                Sought::Found(job) => *job,
                Sought::More => return ControlFlow::Continue(()),
                Sought::Absent => {
                    search.shard += 1;
                    continue;
                }
            };
            let bill = bill(&job, &self.books.cards);
            let revision = self.books.revision(id);
            let OpenJob { job, bill } =
                if job.state == State::Open { OpenJob::shown(job, bill) } else { OpenJob { job, bill } };
            return ControlFlow::Break(Some(JobView { job, bill, revision }));
        }
        ControlFlow::Break(None)
    }
}
