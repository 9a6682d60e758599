//! The core: what came becomes jobs, jobs become money, money becomes counters and ledger rows.
//!
//! # A state machine without IO
//! [`Core`] is told everything, also the time. It does three things:
//!
//! - [`Core::apply`] takes a group that is durable in the journal and gives each span to the stitcher of its
//!   shard. Nothing is published here; the counts of spans are all that moves.
//! - [`Core::advance`] lets time pass: what the stitchers publish is billed and booked (`books`), and every
//!   gauge is computed anew (`open`).
//! - [`Core::checkpoint`] gathers what changed since the last one, to be written in one transaction.
//!
//! # What is on disk, and where
//! Of every job that settled the ledger has rows; of what is not settled yet, and of what may still get late
//! evidence, the journal has the evidence, for as long as it is young ([`turns`]).
//!
//! # A turn, and why counters never fall
//! The server ([`thread`]) makes *turns*: advance, checkpoint, write, and only then is the page shown. In
//! between it applies groups, and nothing else. So whatever anyone has seen of jobs and money is in the
//! ledger file, and whatever was seen of spans is in the ledger or follows from the journal. A process that
//! is killed at any moment therefore comes back to the same page: it reads the last checkpoint, applies the
//! journal rows that follow it exactly as they were applied before, and makes its first turn. No publication
//! depends on when, between two checkpoints, a span arrived.
//!
//! # Accounting
//! `received = accepted + duplicate + late + surplus + ignored + rejected`, by transport, at any time between
//! two groups.
//!
//! # Shards
//! A tenant belongs to one shard by hash; each shard has a stitcher of its own. The books are one: what is
//! booked commutes.
//!
//! Read on in `options`, `spans`, `entries`, `charges`, `row`, `row_labels`, `books`, `waiting`, `forms`,
//! `form_key`, `published`, `archive`, `forgotten`, `exposure`, `bound_history`, `windows`, `open`,
//! `refresh`, `turns`, `checkpoint`, `restore`, `recover`, `removal`, `search`, `handle`, `limits`,
//! `server_metrics`, `spacing`, then [`thread`]. What an earlier process did is done again in `rebuild`, for
//! `verify`.

mod archive;
mod books;
mod bound_history;
mod charges;
pub(crate) mod checkpoint;
mod entries;
mod exposure;
pub(crate) mod forgotten;
mod form_key;
pub(crate) mod forms;
mod handle;
mod limits;
pub(crate) mod open;
mod options;
mod published;
pub(crate) mod rebuild;
mod recover;
mod refresh;
mod removal;
mod restore;
mod row;
mod row_labels;
mod search;
mod server_metrics;
mod spacing;
mod spans;
#[cfg(test)]
mod tests;
pub mod thread;
mod turns;
mod waiting;
pub(crate) mod windows;

use std::sync::Arc;

use spantally_price::{Bill, Cards};
use spantally_stitch::{Job, Observed, Outages, Settings, Stitcher, UnixNanos};
use spantally_store::{Seq, StoreError};

use self::books::Books;
use self::bound_history::BoundHistory;
use self::spans::SpanCounts;
use self::turns::Turns;
use self::waiting::Waiting;
use self::windows::CostWindows;
use crate::batch::Spares;
use crate::budgets::Budgets;
use crate::commit::CommitMessage;
use crate::export::{LabelSets, MetricId, Registry, SetId};

pub use archive::Archive;
pub use books::Settled;
pub use exposure::Invoiced;
pub(crate) use handle::Reader;
pub use handle::{CoreHandle, CoreStatus};
pub use open::OpenJob;
pub use options::{Clock, CoreOptions, TurnOptions};
pub use recover::{RecoverError, recover};
pub use removal::LedgerRetention;
pub use restore::CoreRestoreError;
pub use thread::{CoreEndError, CoreThread, Listener};

/// A job as it now stands in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct JobView {
    /// The job.
    pub job: Job,
    /// What it costs.
    pub bill: Bill,
    /// The newest revision in the ledger; 0 while it was never settled.
    pub revision: u32,
}

/// The pipeline from spans to money.
#[derive(Debug)]
pub struct Core {
    shards: Vec<Stitcher>,
    books: Books,
    spans: SpanCounts,
    /// The open jobs that started first, and how many there are.
    open: Vec<OpenJob>,
    open_count: usize,
    /// Both as they were before the last look, until what it saw is durable.
    open_before: Option<(Vec<OpenJob>, usize)>,
    budgets: Budgets,
    applied: Seq,
    now: UnixNanos,
    /// How many label sets the ledger has, and how many overflows are counted.
    saved_sets: usize,
    counted_overflows: u64,
    turns: Turns,
    /// Names of the extra labels, in the order of their values.
    labels: Arc<[Arc<str>]>,
    /// The bounds under which the journal's rows were taken.
    bounds: BoundHistory,
    /// What the ledger does not have yet of the history of both.
    unsaved_history: Vec<(&'static str, String)>,
    stitching: Settings,
    outages: Outages,
    /// The longest that evidence of any process of this ledger waited for more.
    waited_ms: u64,
    spares: Spares,
    /// How many jobs were given up at a limit, and when the last of them.
    trims: (u64, UnixNanos),
    given_up: limits::GivenUp,
    waiting: Waiting,
    /// Whether the last turn has more to tell.
    is_cut: bool,
}

impl Core {
    /// A core that has seen nothing; counters that it has from the start begin at `started_at`.
    pub fn new(options: &CoreOptions, cards: Arc<Cards>, started_at: UnixNanos) -> Self {
        let sets = LabelSets::new(options.max_label_sets, &options.extra_labels);
        let mut registry = Registry::new(sets);
        registry.show_native_histograms(options.native_histograms);
        registry.hold_new_series(options.new_series_at_zero);
        let spans = SpanCounts::new(&mut registry, started_at);
        registry.series(MetricId::LedgerRemoved, SetId::NONE, &[], started_at);
        let windows = CostWindows::new(options.max_label_sets);
        let shards = options.shards.clamp(1, MAX_SHARDS);
        Self {
            shards: (0..shards).map(|_| Stitcher::new(options.stitching.clone())).collect(),
            books: Books::new(cards, registry, windows, options),
            spans,
            open: Vec::new(),
            open_count: 0,
            open_before: None,
            budgets: Budgets::default(),
            applied: Seq::default(),
            now: UnixNanos::default(),
            saved_sets: 0,
            counted_overflows: 0,
            turns: Turns::default(),
            labels: options.extra_labels.as_slice().into(),
            bounds: BoundHistory::default(),
            unsaved_history: Vec::new(),
            outages: Outages::default(),
            waited_ms: options.stitching.retention_ms.max(options.stitching.idle_timeout_ms),
            spares: Spares::default(),
            trims: (0, UnixNanos::default()),
            given_up: limits::GivenUp::default(),
            waiting: Waiting::default(),
            is_cut: false,
            stitching: options.stitching.clone(),
        }
    }

    /// Names who knows which jobs the ledger has. Without one, a job whose spans come again long after it was
    /// forgotten is counted again.
    pub fn set_archive(&mut self, archive: Box<dyn Archive>) {
        self.books.archive = Some(archive);
    }

    /// Names of the extra labels, in the order of their values.
    pub(crate) fn labels(&self) -> &[Arc<str>] {
        &self.labels
    }

    /// Where the core gives back the room of evidence that it applied.
    pub(crate) fn spares(&self) -> Spares {
        self.spares.clone()
    }

    /// Watches budgets and prepaid accounts. To be called before the ledger is taken back.
    pub(crate) fn set_budgets(&mut self, budgets: Budgets) {
        self.budgets = budgets;
    }

    /// Names the times whose invoices are known: what is undecided of them is not open any more.
    pub(crate) fn set_invoiced(&mut self, invoiced: Vec<Invoiced>) {
        self.books.exposure.invoiced = invoiced;
    }

    /// Takes a group that is durable. Groups come in the order of the journal.
    pub fn apply(&mut self, message: CommitMessage) {
        self.applied = message.seq;
        for mut batch in message.batches {
            self.turns.note(batch.evidence.len());
            let mut observed = [0_u64; 4];
            for evidence in batch.evidence.drain(..) {
                let shard = shard_of(&evidence.client.tenant, self.shards.len());
                let slot = match self.shards[shard].observe(evidence) {
                    Observed::New => 0,
                    Observed::Duplicate => 1,
                    Observed::Late => 2,
                    Observed::Surplus => 3,
                };
                observed[slot] += 1;
            }
            self.spans.add(&mut self.books.registry, batch.transport, &batch.tally, observed);
            self.spares.give(batch.evidence);
        }
    }

    /// Says that it is some time, before that time is let pass: when no turn was made for longer than any
    /// turn takes, nothing could come meanwhile, and limits on waiting do not count it.
    pub(crate) fn resume(&mut self, now: UnixNanos) {
        if self.read_failure().is_none()
            && self.now != UnixNanos::default()
            && self.now.plus_ms(OUTAGE_MS) < now
        {
            self.note_outage(self.now, now);
        }
    }

    fn note_outage(&mut self, from: UnixNanos, until: UnixNanos) {
        self.outages.note(from, until);
        self.books.outages.note(from, until);
        self.shards.iter_mut().for_each(|shard| shard.note_outage(from, until));
    }

    /// Lets time pass: books what settles, is revised, is superseded or forgotten by `now`, in a fixed order.
    /// A clock that goes back is taken to stand still.
    pub fn advance(&mut self, now: UnixNanos) -> Vec<Settled> {
        let mut all = Vec::new();
        loop {
            let (settled, more) = self.advance_some(now, usize::MAX);
            all.extend(settled);
            if !more {
                return all;
            }
        }
    }

    /// The same in parts of about `limit` jobs, each of which can be written by itself; says whether more is
    /// due at this moment. While the archive cannot be read ([`Self::read_failure`]) no time passes.
    pub fn advance_some(&mut self, now: UnixNanos, limit: usize) -> (Vec<Settled>, bool) {
        let before = self.books.rows.len();
        let settled = self.book_some(now, limit);
        let rows = self.books.rows[before..].iter().zip(self.books.labels.from(before));
        self.budgets.book_rows(rows, self.now);
        settled
    }

    fn book_some(&mut self, now: UnixNanos, limit: usize) -> (Vec<Settled>, bool) {
        self.books.go_on();
        let mut settled = Vec::new();
        if self.read_failure().is_some() {
            let is_booked = self.waiting.book(&mut self.books, Vec::new(), self.now, &mut settled);
            return (settled, is_booked);
        }
        self.now = self.now.max(now);
        self.budgets.turn(self.now);
        self.is_cut = false;
        for shard in &mut self.shards {
            let (changes, more) = shard.advance_some(self.now, limit);
            self.is_cut |= more;
            if !self.waiting.book(&mut self.books, changes, self.now, &mut settled) {
                self.is_cut = true;
                return (settled, false);
            }
        }
        let shards = &self.shards;
        let forgotten = self.books.forget_old(self.now, |id| shards.iter().any(|shard| shard.knows(id)));
        for id in forgotten {
            self.shards.iter_mut().for_each(|shard| shard.forget_published(id));
        }
        (settled, self.is_cut)
    }

    /// Why what was told is not booked, while the archive cannot be read.
    pub(crate) fn read_failure(&self) -> Option<&StoreError> {
        self.waiting.failure()
    }

    /// The end of a recording: settles everything as if all limits had passed.
    pub fn finish(&mut self) -> Vec<Settled> {
        let mut settled = Vec::new();
        for shard in &mut self.shards {
            self.waiting.book(&mut self.books, shard.finish(), self.now, &mut settled);
        }
        settled
    }

    /// The earliest moment at which [`Self::advance`] may have something to do.
    pub fn next_deadline(&self) -> Option<UnixNanos> {
        self.shards.iter().filter_map(Stitcher::next_deadline).min()
    }

    /// Everything of the journal up to here is not needed any more once the last checkpoint is written.
    pub fn done(&self) -> Seq {
        self.turns.done()
    }

    /// The position of the last group that was applied.
    pub fn applied(&self) -> Seq {
        self.applied
    }

    /// How many spans were applied by this process.
    pub(crate) fn applied_spans(&self) -> u64 {
        self.turns.total_spans()
    }

    /// How many spans are in memory.
    pub(crate) fn stitched_spans(&self) -> usize {
        self.shards.iter().map(Stitcher::span_count).sum()
    }

    /// The time that it has been told.
    pub fn now(&self) -> UnixNanos {
        self.now
    }

    /// Every series.
    pub fn registry(&self) -> &Registry {
        &self.books.registry
    }

    /// For metrics of the server itself, which is the one that knows them.
    pub(crate) fn registry_mut(&mut self) -> &mut Registry {
        &mut self.books.registry
    }

    /// How many jobs were open at the last [`Self::refresh`].
    pub(crate) fn open_count(&self) -> usize {
        self.open_count
    }

    /// Names of the extra labels, in the order of their values in jobs.
    pub(crate) fn label_names(&self) -> &Arc<[Arc<str>]> {
        &self.labels
    }

    /// Jobs that were open at the last [`Self::refresh`]: at most ten thousand, by start.
    pub fn open_jobs(&self) -> &[OpenJob] {
        &self.open
    }
}

/// A longer time without a turn is an outage; turns are some seconds apart.
const OUTAGE_MS: u64 = 60_000;

/// Most shards: the number of one has 15 bits on disk.
const MAX_SHARDS: u16 = 0x7FFF;

/// The shard of a tenant: FNV-1a, since it must be the same in every process that reads the ledger.
fn shard_of(tenant: &str, shards: usize) -> usize {
    if shards == 1 {
        return 0;
    }
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let hash = tenant.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    (hash % shards as u64) as usize
}
