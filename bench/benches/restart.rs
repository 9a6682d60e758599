//! `cargo bench -p spantally-bench --bench restart`: how long a start takes, against reading the same bytes.
//!
//! Each case is a data directory with so many live jobs (submitted and polled, not ended, all their spans in
//! the journal) and so many rows of jobs in the ledger that settled before, made by the core itself. Both the
//! start and the reading begin with the files out of the page cache. Ready is a server that takes spans: it
//! has opened both files, taken counters, forms, turns and what was settled lately back, and put the spans of
//! the journal in their places. The first look is what it does then, in parts between which spans are
//! applied: it solves what is open, prices it, and shows the gauges.
//!
//! Other cases: `... --bench restart -- LIVE:ROWS LIVE:ROWS`, for example `-- 0:10000000`.

#![allow(clippy::print_stdout, reason = "a benchmark answers on its standard output")]

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use spantally_providers::CorrelationConfig;
use spantally_server::batch::{Batch, Tally};
use spantally_server::commit::CommitMessage;
use spantally_server::config::Pricing;
use spantally_server::core::{Core, CoreOptions, recover};
use spantally_server::provider_files::ProviderFiles;
use spantally_server::record::encode;
use spantally_stitch::{
    Accepted, Answer, Call, Client, Endpoint, Evidence, Rare, Role, Settings, SpanId, SpanKey, TaskId,
    TaskState, TraceId, UnixNanos, Verdict, What,
};
use spantally_store::{DataDir, Dropped, Journal, JournalOptions, Ledger, SqliteJournal};

#[global_allocator]
static ALLOCATIONS: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn Error>;

const BEGIN: UnixNanos = UnixNanos(1_795_000_000_000_000_000);
/// Jobs of one group of the journal.
const GROUP: u64 = 2000;
const CASES: [(u64, u64); 4] = [(100_000, 0), (1_000_000, 0), (0, 1_000_000), (100_000, 1_000_000)];

fn main() -> Result<(), Failure> {
    let asked: Vec<_> = std::env::args().skip(1).filter_map(|text| case(&text)).collect();
    let cases = if asked.is_empty() { CASES.to_vec() } else { asked };
    println!("live jobs  ledger rows      MiB   sequential s   ready s   ratio   first look");
    for (live, rows) in cases {
        let directory = tempfile::tempdir()?;
        let made = make(directory.path(), live, rows)?;
        let (bytes, reading) = read_all(directory.path())?;
        let (ready, looking) = start(directory.path(), made)?;
        let mib = bytes as f64 / f64::from(1 << 20);
        let ratio = ready / reading;
        println!("{live:>9} {rows:>12} {mib:>8.0} {reading:>14.2} {ready:>9.2} {ratio:>7.1} {looking:>12.2}");
    }
    Ok(())
}

fn case(text: &str) -> Option<(u64, u64)> {
    let (live, rows) = text.split_once(':')?;
    Some((live.parse().ok()?, rows.parse().ok()?))
}

fn new_core() -> Result<Core, Failure> {
    let providers = ProviderFiles::load(None, &CorrelationConfig::default())?;
    let stitching = Settings { max_spans: 20_000_000, max_open_jobs: 20_000_000, ..Settings::default() };
    let options = CoreOptions { stitching, ..CoreOptions::default() };
    Ok(Core::new(&options, Arc::new(providers.cards(&Pricing::default())), BEGIN))
}

/// Makes the directory; the moment at which its server ended.
fn make(path: &Path, live: u64, rows: u64) -> Result<UnixNanos, Failure> {
    let mut server = Server::open(path)?;
    // Long ago: each group settles, and is forgotten six hours later.
    for group in 0..rows.div_ceil(GROUP) {
        let first = group * GROUP;
        let now = server.now;
        let jobs = first..rows.min(first + GROUP);
        server.take(jobs.flat_map(|job| ended(job, now)).collect())?;
        server.turn(40_000)?;
    }
    if rows > 0 {
        server.turn(8 * 3_600_000)?;
        server.turn(600_000)?;
    }
    for group in 0..live.div_ceil(GROUP) {
        let first = group * GROUP;
        let now = server.now;
        let jobs = first..live.min(first + GROUP);
        server.take(jobs.flat_map(|job| begun((1 << 40) + job, now)).collect())?;
        server.turn(1000)?;
    }
    server.turn(2000)?;
    Ok(server.now)
}

/// What the server's threads do, one after the other.
struct Server {
    core: Core,
    ledger: Ledger,
    journal: SqliteJournal,
    now: UnixNanos,
    bytes: Vec<u8>,
}

impl Server {
    fn open(path: &Path) -> Result<Self, Failure> {
        let directory = DataDir::open(path)?;
        let ledger = Ledger::open(&directory)?;
        let positions = (ledger.applied(), ledger.done());
        let journal = SqliteJournal::open(&directory, positions, JournalOptions::default())?;
        let mut core = new_core()?;
        core.set_archive(Box::new(ledger.reader()?));
        Ok(Self { core, ledger, journal, now: BEGIN, bytes: Vec::new() })
    }

    fn take(&mut self, evidence: Vec<Evidence>) -> Result<(), Failure> {
        let tally = Tally { received: evidence.len() as u64, ..Tally::default() };
        let batches = vec![Batch { evidence, tally, ..Batch::default() }];
        self.bytes.clear();
        encode(&batches, &mut self.bytes);
        let seq = self.journal.append(&self.bytes)?;
        self.core.apply(CommitMessage { seq, batches });
        Ok(())
    }

    fn turn(&mut self, after_ms: u64) -> Result<(), Failure> {
        self.now = self.now.plus_ms(after_ms);
        loop {
            let (_, more) = self.core.advance_some(self.now, 4000);
            self.ledger.checkpoint(&self.core.checkpoint())?;
            if !more {
                break;
            }
        }
        while self.journal.drop_to(self.core.done())? == Dropped::Some {}
        Ok(())
    }
}

fn begun(job: u64, at: UnixNanos) -> [Evidence; 2] {
    [call(job, Role::Submit, at, None), call(job, Role::Poll, at.plus_ms(400), Some(TaskState::Running))]
}

fn ended(job: u64, at: UnixNanos) -> [Evidence; 4] {
    let [submit, poll] = begun(job, at);
    let last = call(job, Role::Poll, at.plus_ms(900), Some(TaskState::Ended));
    [submit, poll, last, call(job, Role::Result, at.plus_ms(1300), Some(TaskState::Succeeded))]
}

fn call(job: u64, role: Role, at: UnixNanos, state: Option<TaskState>) -> Evidence {
    let number = |number: u64| u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let is_submit = role == Role::Submit;
    Evidence {
        span: SpanKey {
            trace: TraceId(number(job + 1).to_be_bytes()),
            span: SpanId((at.0 ^ job << 20).to_be_bytes()),
        },
        parent: SpanId((job + 1).to_be_bytes()),
        start: at,
        end: at.plus_ms(20),
        client: CLIENT.with(Arc::clone),
        what: What::Call(Call {
            role,
            endpoint: ENDS.with(|ends| Arc::clone(&ends[usize::from(!is_submit)])),
            task: (!is_submit).then(|| TaskId::from_uuid(number(job + 7).to_be_bytes())),
            answer: Answer::Status(200),
            accepted: Accepted::Yes,
            verdict: state.map(|state| Verdict { state, reason: None }),
            request: job,
            agent: 7,
            rare: Rare::default(),
        }),
    }
}

/// Names of rules, and the model that they tell.
const RULES: [(&str, &str); 2] = [("queue_submit", "fal-ai/flux/dev"), ("queue_status", "")];

thread_local! {
    static CLIENT: Arc<Client> = Arc::new(Client { service: "clips".into(), ..Client::default() });
    static ENDS: [Arc<Endpoint>; 2] = RULES.map(|(rule, model)| {
        Arc::new(Endpoint {
            provider: "fal".into(),
            rule: rule.into(),
            family: "fal-ai/flux".into(),
            model: model.into(),
            operation: if model.is_empty() { "" } else { "text_to_image" }.into(),
            ..Endpoint::default()
        })
    });
}

/// The files of a data directory.
fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
    Ok(entries.collect::<Result<_, _>>()?)
}

/// Drops what the page cache has of the files; `dd` is the tool that can do it for one file.
fn drop_cached(path: &Path) -> Result<(), Failure> {
    for file in files(path)? {
        File::open(&file)?.sync_all()?;
        let done = Command::new("dd")
            .arg(format!("if={}", file.display()))
            .args(["iflag=nocache", "count=0", "status=none"])
            .status()?;
        if !done.success() {
            return Err("dd cannot drop the files from the page cache".into());
        }
    }
    Ok(())
}

/// Bytes, and seconds to read them from first to last.
fn read_all(path: &Path) -> Result<(u64, f64), Failure> {
    drop_cached(path)?;
    let began = Instant::now();
    let (mut bytes, mut buffer) = (0, vec![0; 1 << 20]);
    for file in files(path)? {
        let mut file = File::open(file)?;
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            bytes += read as u64;
        }
    }
    Ok((bytes, began.elapsed().as_secs_f64()))
}

/// Seconds until spans are taken, and more until what is open was looked at.
fn start(path: &Path, now: UnixNanos) -> Result<(f64, f64), Failure> {
    drop_cached(path)?;
    let mut core = new_core()?;
    let began = Instant::now();
    let directory = DataDir::open(path)?;
    let mut ledger = Ledger::open(&directory)?;
    let positions = (ledger.applied(), ledger.done());
    let mut journal = SqliteJournal::open(&directory, positions, JournalOptions::default())?;
    recover(&mut core, &ledger, &mut journal)?;
    let (ready, looking) = (began.elapsed(), Instant::now());
    core.wake(now.plus_ms(2000));
    ledger.checkpoint(&core.checkpoint())?;
    Ok((ready.as_secs_f64(), looking.elapsed().as_secs_f64()))
}
