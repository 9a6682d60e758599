//! Evidence that comes late: after an outage, after its job was forgotten, after a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rust_decimal::Decimal;
use spantally_stitch::{JobId, Role, SpanId, TaskState, TraceId, What};
use spantally_store::{DataDir, Ledger, Seq, StoreError};

use super::fixture::*;
use crate::commit::CommitMessage;
use crate::core::{Archive, Core, CoreOptions};
use crate::export::MetricId;

const HOUR: u64 = 3600;

fn ledger() -> (tempfile::TempDir, Ledger) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&DataDir::open(dir.path()).unwrap()).unwrap();
    (dir, ledger)
}

fn turn(core: &mut Core, ledger: &mut Ledger, second: u64) {
    core.resume(at(second));
    core.advance(at(second));
    ledger.checkpoint(&core.checkpoint()).unwrap();
}

/// Turns as they are made, but rarer: none of them is an outage.
fn turns(core: &mut Core, ledger: &mut Ledger, seconds: std::ops::Range<u64>) {
    for second in seconds.step_by(60) {
        turn(core, ledger, second);
    }
}

/// A process that starts at a moment.
fn started(ledger: &mut Ledger, journal: &[CommitMessage], second: u64) -> Core {
    let mut core = restarted(ledger, journal);
    turn(&mut core, ledger, second);
    core
}

fn late(core: &Core) -> [Decimal; 2] {
    [MetricId::SpansLate, MetricId::Jobs].map(|metric| net(core, metric, &[]))
}

/// What comes for a forgotten task is late, also in the process after the one that forgot it.
#[test]
fn evidence_after_the_tombstone_is_late_also_after_a_restart() {
    let (_dir, mut ledger) = ledger();
    let mut first = core();
    let mut evidence = unfinished("task-001", 0);
    evidence.push(result("task-001", 0, TaskState::Succeeded));
    let journal = [message(1, evidence)];
    first.apply(journal[0].clone());
    turns(&mut first, &mut ledger, 60..7 * HOUR);
    assert_eq!((first.stitched_spans(), ledger.done()), (0, Seq(1)), "forgotten, and not in the journal");

    let mut second = started(&mut ledger, &[], 7 * HOUR + 10);
    for core in [&mut first, &mut second] {
        core.apply(message(2, vec![call(Role::Poll, "task-001", 60, Some(TaskState::Succeeded))]));
        core.advance(at(9 * HOUR));
        core.finish();
        assert_eq!(late(core), [Decimal::ONE, Decimal::ONE]);
        assert_eq!(net(core, MetricId::LateJobs, &[]), Decimal::ZERO);
        assert_eq!(net(core, MetricId::Cost, &[]), Decimal::new(25, 3));
    }
}

/// A submit names no task. Sent again after its job was forgotten, it is late and no job of its own.
#[test]
fn a_submit_that_comes_again_after_its_job_was_forgotten_is_late() {
    let (_dir, mut ledger) = ledger();
    let mut first = core();
    let submit = || {
        let mut submit = call(Role::Submit, "task-001", 0, None);
        if let What::Call(call) = &mut submit.what {
            call.task = None;
        }
        submit
    };
    let mut evidence = unfinished("task-001", 0);
    evidence[0] = submit();
    evidence.push(result("task-001", 0, TaskState::Succeeded));
    let journal = [message(1, evidence)];
    first.apply(journal[0].clone());
    turns(&mut first, &mut ledger, 60..7 * HOUR);
    let mut second = started(&mut ledger, &[], 7 * HOUR + 10);
    for core in [&mut first, &mut second] {
        core.apply(message(2, vec![submit()]));
        core.finish();
        assert_eq!(late(core), [Decimal::ONE, Decimal::ONE]);
    }
}

/// A job that was open under a long idle limit is settled, not lost, by a process with a short one.
#[test]
fn a_shorter_idle_limit_settles_what_is_open() {
    let (_dir, mut ledger) = ledger();
    let with_limits = |seconds: u64| {
        let mut options = CoreOptions::default();
        options.stitching.idle_timeout_ms = seconds * 1000;
        options.stitching.retention_ms = 10_000;
        Core::new(&options, cards(), at(0))
    };
    let mut first = with_limits(HOUR);
    let group = message(1, unfinished("task-001", 0));
    first.apply(group.clone());
    turns(&mut first, &mut ledger, 20..1000);
    let mut second = with_limits(1);
    second.restore(&ledger).unwrap();
    second.rehydrate(group);
    second.finish_rehydration();
    second.advance(at(1010));
    assert_eq!(net(&second, MetricId::Jobs, &[]), Decimal::ONE);
}

/// Knows no job, and counts how often it was asked.
#[derive(Debug, Default)]
struct Asked(Arc<AtomicUsize>);

impl Archive for Asked {
    fn has(&self, _id: JobId) -> Result<bool, StoreError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(false)
    }
}

/// With a short retention the time of which only the ledger knows ends with the last turn, not minutes later.
#[test]
fn what_starts_after_a_restart_is_not_looked_up_in_the_ledger() {
    let (_dir, mut ledger) = ledger();
    let new_core = || {
        let mut options = CoreOptions::default();
        options.stitching.retention_ms = 3000;
        Core::new(&options, cards(), at(0))
    };
    let ended = |task, second| {
        let mut evidence = unfinished(task, second);
        evidence.push(result(task, second, TaskState::Succeeded));
        evidence
    };
    let mut first = new_core();
    turn(&mut first, &mut ledger, 1);
    first.apply(message(1, ended("task-001", 0)));
    turns(&mut first, &mut ledger, 60..200);
    let mut second = new_core();
    second.restore(&ledger).unwrap();
    second.finish_rehydration();
    let asked = Asked::default();
    let count = Arc::clone(&asked.0);
    second.set_archive(Box::new(asked));
    for (seq, task, start, times) in [(2, "task-002", 100, 1), (3, "task-003", 190, 1)] {
        second.apply(message(seq, ended(task, start)));
        second.advance(at(start + 120));
        assert_eq!(count.load(Ordering::Relaxed), times, "{task}");
    }
    assert_eq!(net(&second, MetricId::Jobs, &[]), Decimal::from(3));
}

/// A turn with more to tell is written in parts. Killed between two of them, it has told only the first.
#[test]
fn a_kill_between_the_parts_of_a_turn_loses_no_job_that_was_to_be_settled() {
    let (_dir, mut ledger) = ledger();
    let new_core = || {
        let mut options = CoreOptions::default();
        options.stitching.idle_timeout_ms = 10_000;
        options.stitching.retention_ms = 10_000;
        Core::new(&options, cards(), at(0))
    };
    let mut first = new_core();
    let mut journal = Vec::new();
    for job in 1..=3 {
        let mut evidence = unfinished(&format!("task-{job:03}"), 1000 * job);
        for call in &mut evidence {
            // Below a request each: they wait for nobody, and are looked at one by one.
            (call.span.trace, call.parent) = (TraceId([job as u8; 16]), SpanId([9; 8]));
        }
        journal.push(message(job, evidence));
        first.apply(journal[job as usize - 1].clone());
    }
    turn(&mut first, &mut ledger, 3008);
    assert_eq!(net(&first, MetricId::Jobs, &[]), Decimal::TWO);
    let (settled, more) = first.advance_some(at(3050), 1);
    assert!(more && settled.is_empty(), "the first is forgotten, the third not yet settled");
    ledger.checkpoint(&first.checkpoint()).unwrap();

    let mut second = new_core();
    second.restore(&ledger).unwrap();
    let done = ledger.done();
    journal.into_iter().filter(|message| message.seq > done).for_each(|message| second.rehydrate(message));
    second.finish_rehydration();
    turn(&mut second, &mut ledger, 3052);
    assert_eq!(net(&second, MetricId::Jobs, &[]), Decimal::from(3));
}

/// While the server is down its clients keep their spans: the job is not idle, and its polls find it.
#[test]
fn an_outage_does_not_expire_jobs_whose_polls_wait_unread() {
    let (_dir, mut ledger) = ledger();
    let mut first = core();
    let journal = [message(1, unfinished("task-001", 0))];
    first.apply(journal[0].clone());
    turn(&mut first, &mut ledger, 20);
    drop(first);

    // Down for seven hours: beyond the idle limit and the retention.
    let up = 7 * HOUR;
    let mut core = started(&mut ledger, &journal, up);
    assert_eq!(net(&core, MetricId::Jobs, &[]), Decimal::ZERO, "it is still open");
    turns(&mut core, &mut ledger, up..up + 20 * 60);
    assert_eq!(net(&core, MetricId::Jobs, &[]), Decimal::ZERO);
    // Killed once more: the outage is remembered.
    let mut core = started(&mut ledger, &journal, up + 20 * 60);
    assert_eq!(net(&core, MetricId::Jobs, &[]), Decimal::ZERO);
    core.apply(message(2, vec![result("task-001", 0, TaskState::Succeeded)]));
    turns(&mut core, &mut ledger, up + 20 * 60..up + 22 * 60);
    assert_eq!(net(&core, MetricId::Jobs, &[r#"outcome="succeeded""#]), Decimal::ONE);
    assert_eq!(net(&core, MetricId::JobsReversed, &[]), Decimal::ZERO, "it settled once");
}

/// Without polls it is idle when it has waited as long as others, outage not counted.
#[test]
fn after_an_outage_a_job_is_idle_when_its_time_is_up() {
    let (_dir, mut ledger) = ledger();
    let mut first = core();
    let journal = [message(1, unfinished("task-001", 0))];
    first.apply(journal[0].clone());
    turns(&mut first, &mut ledger, 20..1020);
    let up = 10 * HOUR;
    let mut core = started(&mut ledger, &journal, up);
    // 16 to 17 of 30 minutes had passed.
    turns(&mut core, &mut ledger, up..up + 12 * 60);
    assert_eq!(net(&core, MetricId::Jobs, &[]), Decimal::ZERO);
    turns(&mut core, &mut ledger, up + 12 * 60..up + 16 * 60);
    assert_eq!(net(&core, MetricId::Jobs, &[]), Decimal::ONE);
}

/// A process that was about to forget a job, and the next one that was: the ledger's word on the job comes
/// back with its evidence.
#[test]
fn a_job_that_was_about_to_be_forgotten_is_not_published_again() {
    let (_dir, mut ledger) = ledger();
    let mut first = core();
    let mut evidence = unfinished("task-001", 0);
    evidence.push(result("task-001", 0, TaskState::Succeeded));
    let journal = [message(1, evidence)];
    first.apply(journal[0].clone());
    turn(&mut first, &mut ledger, 50);
    let settled = net(&first, MetricId::Jobs, &[]);
    assert_eq!(settled, Decimal::ONE);
    // Six hours later, in steps that are no outages, but never twice in one process.
    for second in (100..6 * HOUR + 300).step_by(50) {
        let core = started(&mut ledger, &journal, second);
        assert_eq!(net(&core, MetricId::Jobs, &[]), Decimal::ONE);
        assert_eq!(net(&core, MetricId::LateJobs, &[]), Decimal::ZERO);
    }
}
