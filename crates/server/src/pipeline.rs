//! The two threads between the receivers and the files: the commit and the core.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use spantally_stitch::UnixNanos;
use spantally_store::{Journal, JournalSync, Ledger};

use crate::budgets::Budgets;
use crate::clock;
use crate::commit::{CommitMessage, CommitOptions, Committer};
use crate::config::Settings;
use crate::core::{Clock, Core, CoreOptions, CoreThread, LedgerRetention, Listener, TurnOptions, recover};
use crate::provider_files::ProviderFiles;
use crate::run_error::RunError;

/// The clocks of the process.
pub(crate) const CLOCK: Clock = Clock { now: clock::now, instant: clock::instant };

/// Groups that are durable and wait for the core: in the journal already, so a short queue loses nothing.
pub(crate) const CORE_QUEUE: usize = 64;

/// A core as the configuration wants it, that has seen nothing.
pub fn new_core(settings: &Settings, providers: &ProviderFiles, now: UnixNanos) -> Core {
    let cards = Arc::new(providers.cards(&settings.pricing));
    let mut core = Core::new(&core_options(settings), cards, now);
    core.set_budgets(budgets(settings));
    core
}

fn core_options(settings: &Settings) -> CoreOptions {
    CoreOptions {
        stitching: settings.stitching.clone(),
        max_label_sets: settings.prometheus.max_label_sets,
        native_histograms: settings.prometheus.native_histograms,
        new_series_at_zero: settings.prometheus.new_series_at_zero,
        extra_labels: settings.correlation.labels.iter().map(|label| label.as_str().into()).collect(),
        ..CoreOptions::default()
    }
}

fn budgets(settings: &Settings) -> Budgets {
    let Settings { budgets, prepaid, correlation, .. } = settings;
    Budgets::new(budgets.clone(), prepaid.clone(), &correlation.labels)
}

/// What the core does beside its turns, and asks.
pub(crate) struct After {
    pub(crate) listener: Option<Listener>,
    pub(crate) retention: LedgerRetention,
    pub(crate) syncer: Option<JournalSync>,
}

/// The two threads between the receivers and the files.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) committer: Committer,
    pub(crate) core: CoreThread,
}

impl Pipeline {
    pub(crate) fn start(
        mut core: Core,
        ledger: Ledger,
        mut journal: Box<dyn Journal>,
        options: CommitOptions,
        After { listener, retention, syncer }: After,
    ) -> Result<Self, RunError> {
        let started = clock::instant();
        recover(&mut core, &ledger, journal.as_mut())?;
        let took_ms = (clock::instant() - started).as_millis() as u64;
        tracing::info!(applied = %core.applied(), took_ms, "the state of the last run is taken back");
        let (messages, committed): (SyncSender<CommitMessage>, Receiver<_>) = sync_channel(CORE_QUEUE);
        let committer = Committer::start_with(journal, syncer.clone(), core.labels(), options, messages)
            .map_err(RunError::system("cannot start the commit"))?;
        let turns = TurnOptions { retention, syncer, ..TurnOptions::new(CLOCK) };
        let core = CoreThread::start(core, ledger, committed, committer.handle(), turns, listener)
            .map_err(RunError::system("cannot start the core"))?;
        Ok(Self { committer, core })
    }

    /// Commits what waits, applies it, writes the last checkpoint; an error when that cannot be written.
    pub(crate) fn stop(self) -> Result<(), RunError> {
        self.committer.stop().map_err(|_| RunError::panicked("the commit"))?;
        self.core
            .join()
            .inspect_err(|error| tracing::error!(%error, "the server did not end as it should"))?;
        Ok(())
    }
}
