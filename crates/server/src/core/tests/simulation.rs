//! The core, a journal and a clock under one seed: thousands of lives with many deaths.
//!
//! Clients send what they have in any order, lose answers and send again. The process dies before a commit,
//! after it, before and after a checkpoint; of what was written and not acknowledged the tail may be there or
//! torn. The disk of the ledger is slow or refuses; groups wait for the core; the clock stands, jumps, and
//! goes back. In the end every counter must say what it says when the same spans come once, in order, to a
//! process that lives: and on the way nothing that anybody could see may fall. The core, [`recover`] and the
//! ledger's file are the real ones.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;

use rust_decimal::Decimal;
use spantally_stitch::{Evidence, Settings, TaskState};
use spantally_store::{Checkpoint, DataDir, Dropped, Journal, Ledger, Seq, StoreError};
use spantally_tests::oracle::Random;

use super::fixture::*;
use crate::commit::CommitMessage;
use crate::core::{Core, CoreOptions, recover};
use crate::export::{INVENTORY, Kind, MetricId};
use crate::record;

/// Seeds that once failed: they stay.
const FAILED_ONCE: [u64; 0] = [];
/// Schedules in a test run.
const SCHEDULES: u64 = 1200;
const JOBS: u64 = 6;

/// Rows on a disk, and rows that are written and not synced.
#[derive(Default)]
pub(super) struct SimulatedJournal {
    rows: VecDeque<(Seq, Vec<u8>)>,
    last: u64,
}

impl Journal for SimulatedJournal {
    fn append(&mut self, batch: &[u8]) -> Result<Seq, StoreError> {
        self.last += 1;
        self.rows.push_back((Seq(self.last), batch.to_vec()));
        Ok(Seq(self.last))
    }

    fn replay(
        &mut self,
        after: Seq,
        visit: &mut dyn FnMut(Seq, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        for (seq, bytes) in self.rows.iter().filter(|(seq, _)| *seq > after) {
            if visit(*seq, bytes).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn drop_to(&mut self, done: Seq) -> Result<Dropped, StoreError> {
        while self.rows.len() > 1 && self.rows.front().is_some_and(|(seq, _)| *seq <= done) {
            self.rows.pop_front();
        }
        Ok(Dropped::All)
    }
}

/// One life after the other.
struct World {
    random: Random,
    core: Core,
    /// None only between two lives.
    ledger: Option<Ledger>,
    journal: SimulatedJournal,
    /// Durable groups that the core has not taken yet.
    waiting: VecDeque<CommitMessage>,
    /// A checkpoint that could not be written.
    pending: Option<Checkpoint>,
    /// The clock of the machine, in seconds.
    second: u64,
    seen: BTreeMap<(MetricId, String), Decimal>,
    deaths: u32,
    limits: Settings,
    dir: tempfile::TempDir,
}

fn new_core(limits: &Settings) -> Core {
    let options = CoreOptions { stitching: limits.clone(), ..CoreOptions::default() };
    Core::new(&options, cards(), at(0))
}

impl World {
    fn new(seed: u64, limits: Settings) -> Self {
        // A file system in memory, where there is one: a sync takes no time there.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let mut core = new_core(&limits);
        let mut ledger = Ledger::open(&DataDir::open(dir.path()).unwrap()).unwrap();
        recover(&mut core, &ledger, &mut SimulatedJournal::default()).unwrap();
        core.wake(at(0));
        ledger.checkpoint(&core.checkpoint()).unwrap();
        Self {
            random: Random::new(seed),
            core,
            ledger: Some(ledger),
            journal: SimulatedJournal::default(),
            waiting: VecDeque::new(),
            pending: None,
            second: 0,
            seen: BTreeMap::new(),
            deaths: 0,
            limits,
            dir,
        }
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.random.below(count) == 0
    }

    /// A request comes; says whether its sender knows that it was taken.
    fn send(&mut self, evidence: &[Evidence]) -> bool {
        if self.one_in(16) {
            self.die();
            return false;
        }
        let message = message(0, evidence.to_vec());
        let mut bytes = Vec::new();
        record::encode(&message.batches, &mut bytes);
        let seq = self.journal.append(&bytes).unwrap();
        if self.one_in(16) {
            // Written, and not acknowledged: after a crash it is there, or its torn tail is not.
            if self.one_in(2) {
                self.journal.rows.pop_back();
                self.journal.last -= 1;
            }
            self.die();
            return false;
        }
        self.waiting.push_back(CommitMessage { seq, ..message });
        !self.one_in(8)
    }

    fn apply(&mut self, groups: u64) {
        for _ in 0..groups {
            let Some(message) = self.waiting.pop_front() else { return };
            self.core.apply(message);
        }
        self.look();
    }

    /// As the thread does it, with a disk that may refuse.
    fn turn(&mut self) {
        let is_broken = self.one_in(8);
        if let Some(pending) = self.pending.take()
            && !self.write(pending, is_broken)
        {
            return;
        }
        self.core.resume(at(self.second));
        let limit = if self.one_in(2) { 1 } else { usize::MAX };
        loop {
            let (_, more) = self.core.advance_some(at(self.second), limit);
            if !more {
                self.core.refresh();
            }
            let checkpoint = self.core.checkpoint();
            if self.one_in(24) {
                self.die();
                return;
            }
            if !self.write(checkpoint, is_broken) || !more {
                break;
            }
        }
        self.look();
    }

    fn write(&mut self, checkpoint: Checkpoint, is_broken: bool) -> bool {
        if is_broken {
            self.pending = Some(checkpoint);
            return false;
        }
        self.ledger.as_mut().unwrap().checkpoint(&checkpoint).unwrap();
        if self.one_in(24) {
            self.die();
            return false;
        }
        if !self.one_in(3) {
            self.journal.drop_to(checkpoint.done).unwrap();
        }
        true
    }

    /// SIGKILL, and the next start, which may die as well.
    fn die(&mut self) {
        self.deaths += 1;
        (self.pending, self.waiting) = (None, VecDeque::new());
        if self.one_in(4) {
            self.second += self.random.below(2000);
        }
        self.core = new_core(&self.limits);
        // Opened anew, so that nothing but the file is known.
        self.ledger = None;
        let mut ledger = Ledger::open(&DataDir::open(self.dir.path()).unwrap()).unwrap();
        recover(&mut self.core, &ledger, &mut self.journal).unwrap();
        self.core.wake(at(self.second));
        ledger.checkpoint(&self.core.checkpoint()).unwrap();
        self.ledger = Some(ledger);
        self.look();
        if self.one_in(5) {
            self.die();
        }
    }

    /// What a scraper sees now. While the ledger cannot be written the page shows more than it has.
    fn look(&mut self) {
        if self.pending.is_some() {
            return;
        }
        let kept = |kind: Kind| matches!(kind, Kind::Counter);
        for metric in INVENTORY.iter().filter(|metric| kept(metric.kind)) {
            for (labels, value) in self.core.registry().values(metric.id) {
                let seen = self.seen.entry((metric.id, labels.to_owned())).or_default();
                assert!(value >= *seen, "{}{labels} fell from {seen} to {value}", metric.name);
                *seen = value;
            }
        }
    }

    fn time_passes(&mut self) {
        self.second = match self.random.below(12) {
            0..6 => self.second + 2,
            6..9 => self.second + self.random.below(60),
            9 => self.second + self.random.below(1800),
            10 => self.second.saturating_sub(self.random.below(100)),
            _ => self.second,
        };
    }
}

/// Jobs that end in different ways, as requests of some spans each. All name their task: which submit made
/// which task is a question that half an hour of silence closes, and here hours may lie between two requests.
fn requests(random: &mut Random) -> Vec<Vec<Evidence>> {
    let mut requests = Vec::new();
    for job in 0..JOBS {
        let (task, second) = (format!("task-{job:03}"), 100 * job);
        let mut spans = unfinished(&task, second);
        match random.below(4) {
            0 => {}
            1 => spans.push(result(&task, second, TaskState::Failed)),
            _ => spans.push(result(&task, second, TaskState::Succeeded)),
        }
        let size = 1 + random.below(spans.len() as u64) as usize;
        requests.extend(spans.chunks(size).map(<[Evidence]>::to_vec));
    }
    requests
}

fn all_nets(core: &Core) -> BTreeMap<(MetricId, String), Decimal> {
    let twins = INVENTORY.iter().filter(|metric| metric.twin.is_some() && metric.id != MetricId::Joins);
    let sums = twins.flat_map(|metric| {
        nets(core, metric.id).into_iter().map(|(labels, value)| ((metric.id, labels), value))
    });
    sums.collect()
}

/// The same spans once, in order, to a process that lives.
fn undisturbed(requests: &[Vec<Evidence>], limits: &Settings) -> Core {
    let mut core = new_core(limits);
    for (seq, request) in requests.iter().enumerate() {
        core.apply(message(seq as u64 + 1, request.clone()));
    }
    core.finish();
    core
}

fn play(seed: u64) -> u32 {
    let mut random = Random::new(seed);
    let requests = requests(&mut random);
    let spans: usize = requests.iter().map(Vec::len).sum();
    // No more spans than there are, so that repetitions make the journal too long, and rows are given back.
    let limits = Settings { idle_timeout_ms: 6 * 3_600_000, max_spans: spans, ..Settings::default() };
    let expected = undisturbed(&requests, &limits);
    let mut world = World::new(seed ^ 0x5eed, limits);
    let mut unsent: Vec<&Vec<Evidence>> = requests.iter().collect();
    random.shuffle(&mut unsent);
    while let Some(request) = unsent.pop() {
        if !world.send(request) {
            let place = world.random.below(unsent.len() as u64 + 1) as usize;
            unsent.insert(place, request);
        }
        if world.one_in(5) {
            let again = world.random.below(requests.len() as u64) as usize;
            // The sender had its answer: this one was lost on the way, or it was not and nobody listens. What
            // was never acknowledged stays in the queue.
            world.send(&requests[again]);
        }
        let groups = world.random.below(4);
        world.apply(groups);
        if world.one_in(3) {
            world.turn();
        }
        world.time_passes();
    }
    // Everything settles: in turns, over more than a day.
    for _ in 0..24 {
        world.apply(u64::MAX);
        world.turn();
        world.second += 50;
    }
    world.core.finish();
    let (found, wanted) = (all_nets(&world.core), all_nets(&expected));
    for key in found.keys().chain(wanted.keys()) {
        assert_eq!(found.get(key), wanted.get(key), "seed {seed}: {key:?}, of a life without faults");
    }
    world.deaths
}

/// A quarter of the schedules of a run; `SPANTALLY_SCHEDULES` says how many these are.
fn quarter(number: u64) {
    let schedules = std::env::var("SPANTALLY_SCHEDULES").map_or(SCHEDULES, |text| text.parse().unwrap());
    let first = 1_000_000 * number;
    let mut deaths = 0;
    for seed in FAILED_ONCE.into_iter().filter(|_| number == 0).chain(first..first + schedules / 4) {
        deaths += std::panic::catch_unwind(|| play(seed)).unwrap_or_else(|_| panic!("seed {seed} fails"));
    }
    assert!(u64::from(deaths) > schedules / 4, "{deaths} deaths in {} schedules", schedules / 4);
}

// They run side by side.

#[test]
fn faults_change_nothing_1() {
    quarter(0);
}

#[test]
fn faults_change_nothing_2() {
    quarter(1);
}

#[test]
fn faults_change_nothing_3() {
    quarter(2);
}

#[test]
fn faults_change_nothing_4() {
    quarter(3);
}
