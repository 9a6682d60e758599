//! A submit and the polls of what it made, matched by time, in the next process.

use rust_decimal::Decimal;
use spantally_stitch::{Evidence, Role, TaskState, TraceId, What};
use spantally_store::{DataDir, Ledger};

use super::fixture::*;
use crate::export::MetricId;

/// A call in a trace of its own.
fn alone(mut call: Evidence) -> Evidence {
    call.span.trace = TraceId((u128::from(call.start.0) << 8 | 7).to_be_bytes());
    call
}

/// A submit that does not show the id that its answer carried.
fn submit(second: u64) -> Evidence {
    let mut submit = alone(call(Role::Submit, "task-001", second, None));
    if let What::Call(call) = &mut submit.what {
        call.task = None;
    }
    submit
}

/// Longer than evidence is kept without a sign of life: the submit is there as long as its task is polled, in
/// the process that made the match and in one that has it from the ledger.
#[test]
fn a_submit_is_kept_as_long_as_what_it_made() {
    const MINUTE: u64 = 60;
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&DataDir::open(dir.path()).unwrap()).unwrap();
    let (mut core, mut journal) = (core(), Vec::new());
    let first = vec![submit(0), alone(call(Role::Poll, "task-001", 3, Some(TaskState::Running)))];
    let polls = (1..50)
        .map(|poll| vec![alone(call(Role::Poll, "task-001", poll * 10 * MINUTE, Some(TaskState::Running)))]);
    let mut now = 0;
    for (group, seq) in std::iter::once(first).chain(polls).zip(1..) {
        now = (group[group.len() - 1].end.0 - at(0).0) / 1_000_000_000 + 1;
        let message = message(seq, group);
        core.apply(message.clone());
        journal.push(message);
        for second in [now, now + 2 * MINUTE] {
            turn(&mut core, &mut ledger, second);
        }
    }
    assert!(now > 8 * 60 * MINUTE);
    for process in 0..3 {
        assert_eq!((core.open_jobs().len(), core.open_jobs()[0].job.attempts.len()), (1, 1), "{process}");
        core = restarted(&ledger, &journal);
        now += 2 * MINUTE;
        turn(&mut core, &mut ledger, now);
    }
    let end = vec![alone(call(Role::Result, "task-001", now, Some(TaskState::Succeeded)))];
    core.apply(message(journal.len() as u64 + 1, end));
    turn(&mut core, &mut ledger, now + 5 * MINUTE);
    assert_eq!(net(&core, MetricId::Jobs, &[]), Decimal::ONE);
    assert_eq!(net(&core, MetricId::Cost, &["delivered"]), Decimal::new(25, 3));
    assert!(core.open_jobs().is_empty());
}
