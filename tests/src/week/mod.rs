//! A seeded week: the demo's traffic through the real core, journal and ledger with a clock that is driven,
//! and what a Prometheus would have scraped meanwhile.
//!
//! [`record`] leaves a data directory on which `spantally serve` goes on as after a restart, and the
//! [`history`] of the page, from which `promtool tsdb create-blocks-from openmetrics` makes blocks. So a
//! dashboard has a week to show a minute after it began.

pub mod history;

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use prost::Message;
use spantally_server::app::new_core;
use spantally_server::batch::{Batch, Transport};
use spantally_server::commit::CommitMessage;
use spantally_server::config::Config;
use spantally_server::core::{Core, recover};
use spantally_server::demo::play::Pace;
use spantally_server::demo::traffic::{Settings as TrafficSettings, Traffic};
use spantally_server::intake::{ReadCache, read_batch};
use spantally_server::provider_files::ProviderFiles;
use spantally_server::record::encode;
use spantally_stitch::UnixNanos;
use spantally_store::{DataDir, Journal, JournalOptions, Ledger, SqliteJournal};

use history::History;

/// Anything that stops a recording: a file, a configuration, a request that cannot be read.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// How often spans arrive and the core makes a turn. The settle delay of the configuration should be
/// longer, so that series are seen at zero while their first job is open.
const STEP_MS: u64 = 60_000;
/// How often the ledger is written.
const CHECKPOINT_STEPS: u64 = 120;

/// What to record.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Same seed, same jobs.
    pub seed: u64,
    /// The last moment.
    pub end: UnixNanos,
    /// How long before it the first job begins.
    pub days: u64,
    /// Jobs begun in an hour, on average.
    pub jobs_per_hour: f64,
    /// Time between two scrapes that are kept.
    pub scrape_ms: u64,
    /// How long before the end each minute is kept.
    pub fine_ms: u64,
}

/// Where a recording is.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Data directory of a server.
    pub data: PathBuf,
    /// The page's history, OpenMetrics with times.
    pub history: PathBuf,
    /// Samples in it.
    pub samples: u64,
}

/// Records into a directory, with the configuration of a file.
///
/// # Errors
/// When a file cannot be read or written.
pub fn record(directory: &Path, config: &Path, plan: &Plan) -> Result<Recording, Error> {
    let settings = Config::load(Some(config), &[])?.settings;
    let providers = ProviderFiles::load(None, &settings.correlation)?;
    let recording =
        Recording { data: directory.join("data"), history: directory.join("history.om"), samples: 0 };
    let dir = DataDir::open(&recording.data)?;
    let mut ledger = Ledger::open(&dir)?;
    let sizes = JournalOptions { primed_bytes: 1 << 20, ..JournalOptions::default() };
    let mut journal = SqliteJournal::open(&dir, (ledger.applied(), ledger.done()), sizes)?;
    let start = plan.end.minus_ms(plan.days * 86_400_000);
    let mut core = new_core(&settings, &providers, start);
    recover(&mut core, &ledger, &mut journal)?;
    core.wake(start);
    ledger.checkpoint(&core.checkpoint())?;
    let mut history = History::new(BufWriter::new(File::create(&recording.history)?));
    let mut source = Source {
        traffic: Traffic::new(TrafficSettings {
            seed: plan.seed,
            start,
            jobs_per_second: plan.jobs_per_hour / 3600.0,
            pace: Pace { compress: 2 },
            noise_per_job: 1.0,
            resend_share: 0.01,
        }),
        cache: ReadCache::default(),
        providers,
    };
    let steps = plan.days * 86_400_000 / STEP_MS;
    for step in 0..=steps {
        let now = start.plus_ms(step * STEP_MS);
        let batches = source.batches(now)?;
        let is_new = !batches.is_empty();
        if is_new {
            append(&mut core, &mut journal, batches)?;
        }
        let is_kept = plan.keeps(step, steps);
        if is_new || is_kept || core.next_deadline().is_some_and(|due| due <= now) {
            core.advance(now);
            core.refresh();
            history.note(core.registry(), now, is_kept)?;
        }
        if step % CHECKPOINT_STEPS == 0 || step == steps {
            ledger.checkpoint(&core.checkpoint())?;
            journal.drop_to(core.done())?;
        }
    }
    let samples = history.finish()?;
    Ok(Recording { samples, ..recording })
}

impl Plan {
    fn keeps(&self, step: u64, steps: u64) -> bool {
        let left_ms = (steps - step) * STEP_MS;
        let every_ms = if left_ms <= self.fine_ms { 60_000 } else { self.scrape_ms };
        left_ms.is_multiple_of(every_ms) || step == 0
    }
}

struct Source {
    traffic: Traffic,
    cache: ReadCache,
    providers: ProviderFiles,
}

impl Source {
    fn batches(&mut self, now: UnixNanos) -> Result<Vec<Batch>, Error> {
        let recogniser = &self.providers.recogniser;
        let mut batches = Vec::new();
        for request in self.traffic.advance(now) {
            let body = request.encode_to_vec();
            batches.push(read_batch(recogniser, &mut self.cache, "", Transport::Grpc, &body)?);
        }
        Ok(batches)
    }
}

/// As the commit does: durable, then applied.
fn append(core: &mut Core, journal: &mut SqliteJournal, batches: Vec<Batch>) -> Result<(), Error> {
    let mut bytes = Vec::new();
    encode(&batches, &mut bytes);
    let seq = journal.append(&bytes)?;
    core.apply(CommitMessage { seq, batches });
    Ok(())
}
