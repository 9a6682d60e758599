//! A process that was killed again and again forgets what one that lives forgets, and when that one does.
//!
//! Parts of jobs come in any order, long after they ended, so that nothing but the time at which they came
//! says how long they are kept. Two processes take them and make turns at the same times; one of them is
//! killed before or after any turn. From outside nobody may tell which is which.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use rust_decimal::Decimal;
use spantally_stitch::{
    Client, Evidence, Frame, FrameKind, Rare, Settings, SpanId, TaskState, TraceId, What,
};
use spantally_store::{DataDir, Journal as _, Ledger};

use super::fixture::*;
use super::simulation::SimulatedJournal;
use crate::commit::CommitMessage;
use crate::core::{Core, CoreOptions, recover};
use crate::export::{INVENTORY, Kind};
use crate::record;

const JOBS: u8 = 4;

/// A process on its files.
struct Process {
    core: Core,
    ledger: Ledger,
    journal: SimulatedJournal,
    dir: tempfile::TempDir,
}

fn new_core() -> Core {
    let stitching = Settings {
        settle_delay_ms: 2_000,
        rematch_ms: 2_000,
        retention_ms: 30_000,
        idle_timeout_ms: 200_000,
        ..Settings::default()
    };
    Core::new(&CoreOptions { stitching, ..CoreOptions::default() }, cards(), at(0))
}

impl Process {
    fn start(second: u64) -> Self {
        // A file system in memory, where there is one: a sync takes no time there.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let (mut core, mut journal) = (new_core(), SimulatedJournal::default());
        let ledger = Ledger::open(&DataDir::open(dir.path()).unwrap()).unwrap();
        recover(&mut core, &ledger, &mut journal).unwrap();
        let mut process = Self { core, ledger, journal, dir };
        process.turn(second);
        process
    }

    fn take(&mut self, evidence: &[Evidence]) {
        let message = message(0, evidence.to_vec());
        let mut bytes = Vec::new();
        record::encode(&message.batches, &mut bytes);
        let seq = self.journal.append(&bytes).unwrap();
        self.core.apply(CommitMessage { seq, ..message });
    }

    /// What a start does last, and a turn besides.
    fn turn(&mut self, second: u64) {
        self.core.wake(at(second));
        let checkpoint = self.core.checkpoint();
        self.ledger.checkpoint(&checkpoint).unwrap();
        self.journal.drop_to(checkpoint.done).unwrap();
    }

    fn restart(self, second: u64) -> Self {
        let Self { core, ledger, mut journal, dir } = self;
        drop((core, ledger));
        let mut core = new_core();
        let ledger = Ledger::open(&DataDir::open(dir.path()).unwrap()).unwrap();
        recover(&mut core, &ledger, &mut journal).unwrap();
        let mut process = Self { core, ledger, journal, dir };
        process.turn(second);
        process
    }

    /// Every counter that is not zero. (Gauges may differ for a moment: spans above the calls of a forgotten
    /// job come back with the journal's rows, and a job that was told without its submit shows as open, with
    /// it, until its first look.)
    fn shown(&self) -> BTreeMap<String, Decimal> {
        let mut shown = BTreeMap::new();
        for metric in INVENTORY.iter().filter(|metric| metric.kind == Kind::Counter) {
            let values = self.core.registry().values(metric.id);
            let values = values.filter(|(_, value)| !value.is_zero());
            shown.extend(values.map(|(labels, value)| (format!("{}{labels}", metric.name), value)));
        }
        shown
    }
}

/// What one shows and the other does not.
fn differences(one: &Process, other: &Process) -> Vec<String> {
    let (one, other) = (one.shown(), other.shown());
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let differ = names.into_iter().filter(|&name| one.get(name) != other.get(name));
    differ.map(|name| format!("{name}: {:?}, {:?}", one.get(name), other.get(name))).collect()
}

/// The spans of jobs below a web request each, of which a submit names no task.
fn spans() -> Vec<Evidence> {
    let mut spans = Vec::new();
    for job in 0..JOBS {
        let (task, second) = (format!("task-{job:03}"), 20 * u64::from(job));
        let mut calls = unfinished(&task, second);
        if let What::Call(submit) = &mut calls[0].what {
            submit.task = None;
        }
        if job > 0 {
            calls.push(result(&task, second, TaskState::Succeeded));
        }
        let mut frame = calls[0].clone();
        frame.what = What::Frame(Frame { kind: FrameKind::Server, verdict: None, rare: Rare::default() });
        frame.span.span = SpanId([9; 8]);
        for call in &mut calls {
            call.parent = frame.span.span;
        }
        calls.push(frame);
        // A tenant each: none of them may be taken for a part of another one.
        let client = Arc::new(Client { tenant: format!("studio-{job}").into(), ..Client::default() });
        for call in &mut calls {
            call.span.trace = TraceId([job + 1; 16]);
            call.client = Arc::clone(&client);
        }
        spans.append(&mut calls);
    }
    spans
}

/// The places of all spans, and of calls once more: they are sent again.
fn twice(spans: &[Evidence]) -> Vec<usize> {
    let is_call = |&at: &usize| matches!(spans[at].what, What::Call(_));
    (0..spans.len()).chain((0..spans.len()).filter(is_call)).collect()
}

fn kind(span: &Evidence) -> String {
    match &span.what {
        What::Frame(_) => "request".to_owned(),
        What::Call(call) => format!("{:?}", call.role),
    }
}

/// What happens after a span has come.
#[derive(Clone, Copy, Debug)]
enum Then {
    Nothing,
    /// A turn is made.
    Turn,
    /// One of the two is killed before the turn, ...
    Kill,
    /// ... after it as well, ...
    KillTwice,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_kill_changes_nothing_of_what_is_forgotten_when(
        order in Just(twice(&spans())).prop_shuffle(),
        steps in prop::collection::vec(
            (
                prop_oneof![Just(Then::Nothing), Just(Then::Turn), Just(Then::Kill), Just(Then::KillTwice)],
                prop_oneof![0_u64..4, 4_u64..20, 20_u64..50, 61_u64..200],
            ),
            40,
        ),
    ) {
        let (spans, mut second) = (spans(), 1000);
        let (mut living, mut killed) = (Process::start(second), Process::start(second));
        let (count, mut story) = (steps.len(), Vec::new());
        for (step, (then, pause)) in steps.into_iter().enumerate() {
            if let Some(&span) = order.get(step) {
                living.take(&spans[span..=span]);
                killed.take(&spans[span..=span]);
                story.push(format!("{second} s: {} {}", spans[span].client.tenant, kind(&spans[span])));
            }
            second += pause;
            if matches!(then, Then::Nothing) && step + 1 < count {
                continue;
            }
            story.push(format!("{second} s: {then:?}"));
            living.turn(second);
            killed = match then {
                Then::Kill => killed.restart(second),
                Then::KillTwice => killed.restart(second).restart(second),
                Then::Turn | Then::Nothing => {
                    killed.turn(second);
                    killed
                }
            };
            let found = differences(&living, &killed);
            prop_assert!(found.is_empty(), "{:#?} after {:#?}", found, story);
        }
    }
}
