//! Bounds on a task and on a trace that are others in the next process: what was taken is as it was.

use spantally_stitch::{Accepted, Answer, Evidence, Role, Settings, SpanId, TaskState, TraceId, What};
use spantally_store::{DataDir, Journal as _, JournalOptions, Ledger, Seq, SqliteJournal};

use super::fixture::*;
use crate::core::{Core, CoreOptions, recover};
use crate::export::MetricId;
use crate::record;

/// A job with its end, and with ten polls before it, in a trace that it shares with others.
fn polled(task: &str, second: u64) -> Vec<Evidence> {
    let mut evidence = vec![call(Role::Submit, task, second, None)];
    evidence.extend((1..=10).map(|at| call(Role::Poll, task, second + at, Some(TaskState::Running))));
    evidence.push(result(task, second + 10, TaskState::Succeeded));
    for call in &mut evidence {
        (call.span.trace, call.parent) = (TraceId([1; 16]), SpanId([9; 8]));
    }
    evidence
}

/// A data directory, and the processes on it, one after the other.
struct Lives {
    dir: tempfile::TempDir,
    ledger: Ledger,
    journal: SqliteJournal,
}

impl Lives {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let ledger = Ledger::open(&data).unwrap();
        let options = JournalOptions { primed_bytes: 1 << 20, ..JournalOptions::default() };
        let journal = SqliteJournal::open(&data, (Seq(0), Seq(0)), options).unwrap();
        Self { dir, ledger, journal }
    }

    fn start(&mut self, settings: &Settings) -> Core {
        let options = CoreOptions { stitching: settings.clone(), ..CoreOptions::default() };
        let mut core = Core::new(&options, cards(), at(0));
        recover(&mut core, &self.ledger, &mut self.journal).unwrap();
        core
    }

    fn take(&mut self, core: &mut Core, evidence: Vec<Evidence>) {
        let mut taken = message(0, evidence);
        let mut bytes = Vec::new();
        record::encode(&taken.batches, &mut bytes);
        taken.seq = self.journal.append(&bytes).unwrap();
        core.apply(taken);
    }

    fn turn(&mut self, core: &mut Core, second: u64, settings: &Settings) {
        turn(core, &mut self.ledger, second);
        let report = crate::verify::verify(self.dir.path(), settings, &cards()).unwrap();
        assert_eq!((report.count, report.differences), (0, Vec::new()), "at {second}");
    }
}

fn spans(core: &Core) -> [String; 2] {
    [MetricId::SpansAccepted, MetricId::SpansSurplus].map(|metric| net(core, metric, &[]).to_string())
}

/// Lives under the first settings, the second, and the first again; only the first one tells anything.
fn assert_stays(settings: [&Settings; 2], evidence: Vec<Evidence>) {
    let mut lives = Lives::new();
    let mut first = lives.start(settings[0]);
    lives.take(&mut first, evidence);
    lives.turn(&mut first, 4000, settings[0]);
    assert_eq!(net(&first, MetricId::Jobs, &["succeeded"]).to_string(), "1");
    for (second, settings) in [(4100, settings[1]), (4200, settings[0])] {
        let mut core = lives.start(settings);
        assert_eq!(core.stitched_spans(), first.stitched_spans(), "at {second}");
        assert_eq!(core.advance(at(second)), [], "at {second}");
        lives.take(&mut core, polled("task-900", second));
        lives.turn(&mut core, second + 50, settings);
        assert_eq!(net(&core, MetricId::JobsReversed, &[]).to_string(), "0");
        first = core;
    }
}

#[test]
fn a_task_keeps_what_it_kept() {
    let (many, few) = (Settings::default(), Settings { max_task_spans: 4, ..Settings::default() });
    for settings in [[&many, &few], [&few, &many]] {
        assert_stays(settings, polled("task-001", 0));
    }
}

#[test]
fn a_trace_ties_what_it_tied() {
    let (many, few) = (Settings::default(), Settings { max_trace_tasks: 1, ..Settings::default() });
    let mut refused = polled("task-001", 0).remove(0);
    if let What::Call(call) = &mut refused.what {
        (call.task, call.answer, call.accepted) = (None, Answer::Status(429), Accepted::No);
        call.request = 7;
    }
    let mut job = polled("task-001", 3);
    if let What::Call(call) = &mut job[0].what {
        call.request = 7;
    }
    job.push(refused);
    let mut lives = Lives::new();
    let mut core = lives.start(&many);
    lives.take(&mut core, job.clone());
    assert_eq!(core.advance(at(4000))[0].job.attempts.len(), 2, "it needs its trace to be one");
    assert_stays([&many, &few], job);
}

/// Without it the next process would take a poll that came again otherwise than this one did.
#[test]
fn a_request_that_comes_again_at_the_bound_changes_no_job() {
    let settings = Settings { max_task_spans: 4, ..Settings::default() };
    let mut lives = Lives::new();
    let mut core = lives.start(&settings);
    for second in [4000, 4100] {
        lives.take(&mut core, polled("task-001", 0));
        lives.turn(&mut core, second, &settings);
    }
    assert_eq!(spans(&core), ["5", "14"]);
    let mut again = lives.start(&settings);
    assert_eq!((again.advance(at(4200)), spans(&again)), (Vec::new(), spans(&core)));
}

/// The last turn of a process that was killed may not be in the ledger; what came then was on its page.
#[test]
fn what_a_killed_process_had_counted_is_counted_alike_under_other_bounds() {
    let (few, many) = (Settings { max_task_spans: 4, ..Settings::default() }, Settings::default());
    for [one, other] in [[&few, &many], [&many, &few]] {
        let mut lives = Lives::new();
        let mut first = lives.start(one);
        lives.turn(&mut first, 100, one);
        lives.take(&mut first, polled("task-001", 0));
        let mut second = lives.start(other);
        assert_eq!(spans(&second), spans(&first));
        lives.turn(&mut second, 4000, other);
        lives.take(&mut second, polled("task-002", 4100));
        lives.turn(&mut second, 8000, other);
        let of_other = spans(&lives.start(other));
        assert_eq!(of_other, spans(&second));
        assert_eq!(of_other, [(12 + 5).to_string(), 7.to_string()], "one under each");
    }
}
