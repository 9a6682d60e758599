//! Questions to the core, asked beside its thread.
//!
//! [`CoreHandle`] locks the core for as long as an answer takes; for a page of metrics, only while what
//! changed since the last one is copied ([`Pages`]), and for one job in parts ([`super::search`]). An async
//! caller should ask from a blocking thread.
//!
//! **Nothing is shown that is not durable.** While a checkpoint cannot be written the core is ahead of the
//! ledger, and a process that began anew would be behind what it shows. So pages then have of jobs, money and
//! spans what they had before, and only what the server tells of itself goes on; jobs are shown as they were
//! at the last look at all open ones, and as the ledger has them. The same goes for the moment in which a
//! listener is told what settled, before that is written.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::{Mutex, MutexGuard};
use spantally_price::Cards;
use spantally_stitch::{JobId, UnixNanos};
use spantally_store::{Seq, StoreError};
use tokio::sync::watch;

use super::search::{JobSearch, POCKETS_A_PART};
use super::server_metrics::ServerMetrics;
use super::{Core, CoreEndError, JobView, OpenJob};
use crate::commit::CommitHandle;
use crate::export::process::process_metrics;
use crate::export::{Format, Page, Pages, Registry, Scrape};

/// How far the core is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoreStatus {
    /// The last group that was applied.
    pub applied: Seq,
    /// The last group that the ledger includes.
    pub checkpointed: Seq,
    /// Why the ledger cannot be written or read, while it cannot.
    pub failure: Option<String>,
    /// Jobs that are open, as of the last time they were counted.
    pub open_jobs: usize,
}

/// What the thread and those who ask share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) core: Mutex<Locked>,
    /// Locked before the core, so that no page shows less than one before it.
    pub(super) pages: Mutex<Pages>,
    pub(super) commit: CommitHandle,
    /// Whether the first turns are over.
    pub(super) looked: watch::Sender<bool>,
}

/// The core and how it stands to the ledger.
#[derive(Debug)]
pub(super) struct Locked {
    pub(super) core: Core,
    pub(super) metrics: ServerMetrics,
    pub(super) checkpointed: Seq,
    /// Set while a checkpoint cannot be written.
    pub(super) unwritten: Option<Unwritten>,
    /// Jobs that were just booked, of which a listener is told before they are written.
    pub(super) telling: HashSet<[u8; 16]>,
}

impl Locked {
    /// Whether the core has booked what the ledger does not have yet.
    fn is_ahead(&self) -> bool {
        self.unwritten.is_some() || !self.telling.is_empty()
    }

    /// Whether all that was told is in the ledger, after the last turn.
    pub(super) fn ended(&self) -> Result<(), CoreEndError> {
        if let Some(Unwritten { reason, .. }) = &self.unwritten {
            return Err(CoreEndError::Unwritten { reason: reason.clone() });
        }
        let unread = |error: &StoreError| {
            Err(CoreEndError::Unread { changes: self.core.waiting.len(), reason: error.to_string() })
        };
        self.core.read_failure().map_or(Ok(()), unread)
    }

    /// Whether it has a revision of a job that the ledger does not have yet.
    fn is_ahead_of(&self, id: JobId) -> bool {
        let is_unwritten = |unwritten: &Unwritten| unwritten.jobs.contains(&id.0);
        self.telling.contains(&id.0) || self.unwritten.as_ref().is_some_and(is_unwritten)
    }
}

/// A checkpoint that waits for the ledger.
#[derive(Debug)]
pub(super) struct Unwritten {
    /// Why it cannot be written.
    pub(super) reason: String,
    /// The jobs of which it has a revision.
    pub(super) jobs: HashSet<[u8; 16]>,
}

/// Who reads a page of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Who compares it with the pages before, and so needs a zero of each new series.
    Scraper,
    /// Who takes it as it stands.
    Other,
}

/// Asks the core; cheap to clone.
#[derive(Clone, Debug)]
pub struct CoreHandle {
    pub(super) shared: Arc<Shared>,
}

impl CoreHandle {
    /// The page of metrics, without the series of other parts of the server.
    #[cfg(test)]
    pub(crate) fn metrics_page(&self, format: Format) -> Page {
        self.metrics_page_with(format, Reader::Other, |_, _| ())
    }

    /// The page of metrics, with the series of another part of the server: `show` is told when the process
    /// started.
    pub(crate) fn metrics_page_with(
        &self,
        format: Format,
        reader: Reader,
        show: impl FnOnce(&mut Registry, UnixNanos),
    ) -> Page {
        let process = process_metrics();
        let mut pages = self.shared.pages.lock();
        let mut locked = self.shared.core.lock();
        let is_ahead = locked.is_ahead();
        let Locked { core, metrics, checkpointed, unwritten, .. } = &mut *locked;
        let applied = core.applied();
        let scrape = Scrape { began: metrics.created(), at: core.now() };
        let is_failing = unwritten.is_some() || core.read_failure().is_some();
        metrics.positions(core.registry_mut(), applied, *checkpointed, is_failing);
        metrics.commit(core.registry_mut(), self.shared.commit.stats());
        core.show_limits(metrics.created(), &self.shared.commit);
        show(core.registry_mut(), metrics.created());
        if is_ahead {
            pages.look_at_server(core.registry_mut());
        } else {
            pages.look(core.registry_mut());
        }
        drop(locked);
        match reader {
            Reader::Scraper => pages.write_scraped(scrape, format, &process),
            Reader::Other => pages.write(format, &process),
        }
    }

    /// Waits until what the last process left was looked at. Before that no gauge of what is open is known,
    /// and what settled while no process ran is not told.
    pub(crate) async fn first_look(&self) {
        // An error says that the thread has ended: there is nothing to wait for.
        drop(self.shared.looked.subscribe().wait_for(|looked| *looked).await);
    }

    /// The jobs that were open at the last look, with what they would cost. One that has settled since is
    /// left out as soon as the ledger has it: it would be listed twice.
    pub fn open_jobs(&self, wanted: impl Fn(&OpenJob) -> bool) -> Vec<OpenJob> {
        let locked = &*self.shared.core.lock();
        let is_open = |open: &&OpenJob| {
            let id = open.job.id;
            !locked.core.books.is_settled(id) || locked.is_ahead_of(id)
        };
        locked.core.open_jobs().iter().filter(is_open).filter(|open| wanted(open)).cloned().collect()
    }

    /// Names of the extra labels, in the order of their values in the jobs that it gives out.
    pub(crate) fn label_names(&self) -> Arc<[Arc<str>]> {
        Arc::clone(self.shared.core.lock().core.label_names())
    }

    /// A job that is still in memory, open or settled; of older ones the ledger knows, and of one whose
    /// newest revision it could not be given yet.
    pub fn job(&self, id: JobId) -> Option<JobView> {
        let mut search = JobSearch::default();
        loop {
            let locked = self.shared.core.lock();
            if locked.is_ahead_of(id) {
                let open = locked.core.open_jobs().iter().find(|open| open.job.id == id)?.clone();
                return Some(JobView { job: open.job, bill: open.bill, revision: 0 });
            }
            if let ControlFlow::Break(found) = locked.core.seek_job(id, &mut search, POCKETS_A_PART) {
                return found;
            }
            // Else whoever lets go of it is the first to have it again.
            MutexGuard::unlock_fair(locked);
        }
    }

    /// Prices from now on by other cards: what settles next, and what is revised.
    pub(crate) fn set_cards(&self, cards: Arc<Cards>) {
        self.shared.core.lock().core.set_cards(cards);
    }

    /// Whether spans can be made durable.
    pub(crate) fn takes_spans(&self) -> bool {
        !self.shared.commit.stats().storage_failing.load(Ordering::Relaxed)
    }

    /// How far the core is, and whether it is well.
    pub fn status(&self) -> CoreStatus {
        let locked = self.shared.core.lock();
        CoreStatus {
            applied: locked.core.applied(),
            checkpointed: locked.checkpointed,
            failure: match &locked.unwritten {
                Some(unwritten) => Some(unwritten.reason.clone()),
                None => locked.core.read_failure().map(ToString::to_string),
            },
            open_jobs: locked.core.open_count(),
        }
    }

    /// Reads the core, for what the other questions do not cover (a live summary reads the registry).
    pub fn read<R>(&self, read: impl FnOnce(&Core) -> R) -> R {
        read(&self.shared.core.lock().core)
    }
}
