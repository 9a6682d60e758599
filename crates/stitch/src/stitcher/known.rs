//! What is known of each job by its id: where its evidence is, and what was last told of it.

use crate::id::JobId;
use crate::stitcher::Published;
use crate::stitcher::item::NO_POCKET;
use crate::stitcher::keyed::Keyed;

/// Jobs that have a home, or were told, or both.
#[derive(Debug, Default)]
pub(super) struct KnownJobs(Keyed<JobId, KnownJob>);

/// One of them.
#[derive(Debug)]
pub(super) struct KnownJob {
    /// The pocket of its evidence, or [`NO_POCKET`].
    home: u32,
    published: Option<Published>,
}

impl KnownJob {
    const NONE: Self = Self { home: NO_POCKET, published: None };

    fn home(&self) -> Option<u32> {
        (self.home != NO_POCKET).then_some(self.home)
    }
}

impl KnownJobs {
    /// The pocket that has its evidence.
    pub(super) fn home(&self, id: JobId) -> Option<u32> {
        self.0.get(&id)?.home()
    }

    /// Notes which pocket has its evidence; tells which had.
    pub(super) fn set_home(&mut self, id: JobId, pocket: u32) -> Option<u32> {
        let (_, known) = self.0.or_insert_with(id, || KnownJob::NONE);
        let before = known.home();
        known.home = pocket;
        before
    }

    /// No pocket has its evidence any more.
    pub(super) fn leave_home(&mut self, id: JobId) {
        let Some(known) = self.0.get_mut(&id) else { return };
        known.home = NO_POCKET;
        if known.published.is_none() {
            self.0.remove(&id);
        }
    }

    /// What was last told of it.
    pub(super) fn published(&self, id: JobId) -> Option<Published> {
        self.0.get(&id)?.published
    }

    /// Notes what is told of it.
    pub(super) fn publish(&mut self, id: JobId, published: Published) {
        self.0.or_insert_with(id, || KnownJob::NONE).1.published = Some(published);
    }

    /// It counts as never told; tells what was.
    pub(super) fn take_back(&mut self, id: JobId) -> Option<Published> {
        let known = self.0.get_mut(&id)?;
        let published = known.published.take();
        if known.home().is_none() {
            self.0.remove(&id);
        }
        published
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_known_by_its_home_or_by_what_was_told() {
        let (mut jobs, id) = (KnownJobs::default(), JobId([7; 16]));
        assert_eq!((jobs.home(id), jobs.set_home(id, 3), jobs.set_home(id, 4)), (None, None, Some(3)));
        let told = Published { revision: 2, digest: 9, restored: false, decided: false };
        jobs.publish(id, told);
        jobs.leave_home(id);
        assert_eq!((jobs.home(id), jobs.published(id).map(|told| told.revision)), (None, Some(2)));
        jobs.set_home(id, 5);
        assert_eq!(jobs.take_back(id).map(|told| told.digest), Some(9));
        assert_eq!((jobs.home(id), jobs.published(id).is_none()), (Some(5), true));
        assert!(jobs.take_back(id).is_none());
        jobs.leave_home(id);
        jobs.leave_home(id);
        assert_eq!(jobs.0.values_mut().count(), 0);
    }
}
