//! `cargo bench -p spantally-bench --bench stages`: what each stage of a span's way costs, without a network.
//!
//! The stages are the server's own, one after the other on one thread, with the same spans: the request is
//! read in place, its spans are recognised, written as a journal record, appended to the journal (with its
//! flush, in groups), stitched, and every four seconds of event time what has settled is judged, priced and
//! counted, and the ledger is written. CPU is the thread's own; elapsed time holds what the disk
//! takes. Transport is not here: it is what the discarding server of the comparison costs.
//!
//! Other loads and lengths: `... --bench stages -- mixed 4000000`.

#![allow(clippy::print_stdout, reason = "a benchmark answers on its standard output")]

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};
use spantally_bench::load::{self, Batch as Load, Mix};
use spantally_providers::{CorrelationConfig, Recogniser, ResourceView, SpanView};
use spantally_server::batch::{Batch, RejectReason, Transport};
use spantally_server::commit::CommitMessage;
use spantally_server::config::Pricing;
use spantally_server::core::{Core, CoreOptions};
use spantally_server::decode::{self, Visitor};
use spantally_server::intake::{ReadCache, read_batch};
use spantally_server::provider_files::ProviderFiles;
use spantally_server::record::encode;
use spantally_stitch::{Settings, UnixNanos};
use spantally_store::{DataDir, Dropped, Journal, JournalOptions, Ledger, SqliteJournal};

#[global_allocator]
static ALLOCATIONS: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn Error>;

const BEGIN: UnixNanos = UnixNanos(1_795_000_000_000_000_000);
/// Event time of a round of the load, and so between two turns.
const ROUND_MS: u64 = 4000;
/// Requests in one group of the journal: 8192 spans, as the server has them under load.
const GROUP: usize = 16;
/// As the comparison has it.
const SETTLE_DELAY_MS: u64 = 2000;

const STAGES: [&str; 8] = [
    "read in place",
    "recognise",
    "journal record",
    "journal append",
    "stitch",
    "settle, price, count",
    "gather a checkpoint",
    "write the ledger",
];

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let spans = words.iter().find_map(|word| word.parse().ok()).unwrap_or(2_000_000);
    let asked = |mix: &Mix| words.iter().any(|word| word == mix.as_str());
    let mut mixes = vec![Mix::Media, Mix::Mixed];
    if mixes.iter().any(asked) {
        mixes.retain(asked);
    }
    for mix in mixes {
        let mut stages = Stages::open()?;
        let spans = stages.run(&load::batches(mix), spans)?;
        println!("\n{} load, {spans} spans", mix.as_str());
        println!("{:<24} {:>14} {:>14} {:>8}", "stage", "CPU ns a span", "elapsed ns", "share");
        let total: u64 = stages.cost.iter().map(|cost| cost.cpu_ns).sum();
        for (name, cost) in STAGES.iter().zip(&stages.cost) {
            let each = |ns: u64| ns as f64 / spans as f64;
            let share = 100.0 * cost.cpu_ns as f64 / total as f64;
            println!("{name:<24} {:>14.0} {:>14.0} {share:>7.0}%", each(cost.cpu_ns), each(cost.elapsed_ns));
        }
        println!("{:<24} {:>14.0}", "together", total as f64 / spans as f64);
    }
    Ok(())
}

#[derive(Clone, Copy, Default)]
struct Cost {
    cpu_ns: u64,
    elapsed_ns: u64,
}

struct Stages {
    recogniser: Arc<Recogniser>,
    cache: ReadCache,
    core: Core,
    journal: SqliteJournal,
    ledger: Ledger,
    cost: [Cost; STAGES.len()],
    _directory: tempfile::TempDir,
}

impl Stages {
    fn open() -> Result<Self, Failure> {
        let providers = ProviderFiles::load(None, &CorrelationConfig::default())?;
        let directory = tempfile::tempdir()?;
        let data = DataDir::open(directory.path())?;
        let ledger = Ledger::open(&data)?;
        let positions = (ledger.applied(), ledger.done());
        let journal = SqliteJournal::open(&data, positions, JournalOptions::default())?;
        let stitching = Settings { settle_delay_ms: SETTLE_DELAY_MS, ..Settings::default() };
        let options = CoreOptions { stitching, ..CoreOptions::default() };
        let mut core = Core::new(&options, Arc::new(providers.cards(&Pricing::default())), BEGIN);
        core.set_archive(Box::new(ledger.reader()?));
        let recogniser = providers.recogniser;
        let cache = ReadCache::new(core.spares());
        Ok(Self { recogniser, cache, core, journal, ledger, cost: Default::default(), _directory: directory })
    }

    /// Rounds of the load until there were so many spans, and what it takes to settle the last of them.
    fn run(&mut self, load: &[Load], spans: u64) -> Result<u64, Failure> {
        let (mut done, mut now, mut round) = (0, BEGIN, 0);
        while done < spans {
            for group in load.chunks(GROUP) {
                let bodies: Vec<Vec<u8>> =
                    group.iter().map(|batch| batch.request.stamped(round, now.0)).collect();
                self.group(&bodies)?;
                done += group.iter().map(|batch| batch.spans).sum::<u64>();
            }
            round += 1;
            now = now.plus_ms(ROUND_MS);
            self.turn(now)?;
        }
        self.turn(now.plus_ms(2 * ROUND_MS))?;
        Ok(done)
    }

    fn group(&mut self, bodies: &[Vec<u8>]) -> Result<(), Failure> {
        let mut count = Count(0);
        let mark = Mark::now();
        for body in bodies {
            decode::read(black_box(body), self.recogniser.keys(), &mut count)?;
        }
        let read = mark.cost();
        black_box(count.0);
        // Reading and recognising are one walk; the second stage is what it costs beyond the first.
        let mark = Mark::now();
        let read_and_recognised = |body: &Vec<u8>| {
            read_batch(&self.recogniser, &mut self.cache, "", Transport::Grpc, black_box(body))
        };
        let batches: Vec<Batch> = bodies.iter().map(read_and_recognised).collect::<Result<_, _>>()?;
        let both = mark.cost();
        self.add(0, read);
        self.add(1, both.less(read));
        let mut row = Vec::new();
        let mark = Mark::now();
        encode(&batches, &mut row);
        self.add(2, mark.cost());
        let mark = Mark::now();
        let seq = self.journal.append(&row)?;
        self.add(3, mark.cost());
        let mark = Mark::now();
        self.core.apply(CommitMessage { seq, batches });
        self.add(4, mark.cost());
        Ok(())
    }

    fn turn(&mut self, now: UnixNanos) -> Result<(), Failure> {
        loop {
            let mark = Mark::now();
            let (_, more) = self.core.advance_some(now, 4000);
            if !more {
                self.core.refresh();
            }
            self.add(5, mark.cost());
            let mark = Mark::now();
            let checkpoint = self.core.checkpoint();
            self.add(6, mark.cost());
            let mark = Mark::now();
            self.ledger.checkpoint(&checkpoint)?;
            self.add(7, mark.cost());
            if !more {
                break;
            }
        }
        while self.journal.drop_to(self.core.done())? == Dropped::Some {}
        Ok(())
    }

    fn add(&mut self, stage: usize, cost: Cost) {
        self.cost[stage].cpu_ns += cost.cpu_ns;
        self.cost[stage].elapsed_ns += cost.elapsed_ns;
    }
}

struct Count(u64);

impl Visitor for Count {
    fn resource(&mut self, resource: &ResourceView<'_>, _: Option<&[u8]>) {
        black_box(resource);
    }

    fn span(&mut self, span: &SpanView<'_>) {
        black_box(span);
        self.0 += 1;
    }

    fn rejected(&mut self, _: RejectReason) {}
}

/// A moment, by this thread's CPU and by the clock.
struct Mark {
    cpu_ns: u64,
    at: Instant,
}

impl Mark {
    fn now() -> Self {
        Self { cpu_ns: thread_cpu_ns(), at: Instant::now() }
    }

    fn cost(&self) -> Cost {
        let elapsed_ns = self.at.elapsed().as_nanos() as u64;
        Cost { cpu_ns: thread_cpu_ns() - self.cpu_ns, elapsed_ns }
    }
}

impl Cost {
    fn less(self, other: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(other.cpu_ns),
            elapsed_ns: self.elapsed_ns.saturating_sub(other.elapsed_ns),
        }
    }
}

/// CPU time of this thread.
fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}
