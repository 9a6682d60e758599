//! Jobs that were settled early at a limit, in this process and the next one.

use rust_decimal::Decimal;
use spantally_stitch::{Role, TaskState};
use spantally_store::{DataDir, Ledger};

use super::fixture::*;
use crate::commit::CommitMessage;
use crate::core::{Core, CoreOptions};
use crate::export::MetricId;

fn bounded() -> Core {
    let mut options = CoreOptions::default();
    options.stitching.max_open_jobs = 20;
    Core::new(&options, cards(), at(0))
}

fn turn(core: &mut Core, ledger: &mut Ledger, second: u64) {
    core.resume(at(second));
    core.advance(at(second));
    core.refresh();
    ledger.checkpoint(&core.checkpoint()).unwrap();
}

fn counts(core: &Core) -> [Decimal; 4] {
    [MetricId::Jobs, MetricId::LateJobs, MetricId::SpansLate, MetricId::Cost]
        .map(|metric| net(core, metric, &[]))
}

/// They are booked once, stay forgotten after a restart, and what comes for them is late.
#[test]
fn jobs_given_up_at_a_limit_stay_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&DataDir::open(dir.path()).unwrap()).unwrap();
    let mut first = bounded();
    let task = |number: u64| format!("task-{number:03}");
    let groups =
        |range: std::ops::Range<u64>| range.map(|job| message(job + 1, unfinished(&task(job), 10 * job)));
    let journal: Vec<CommitMessage> = groups(0..25).collect();
    for group in &journal[..20] {
        first.apply(group.clone());
    }
    turn(&mut first, &mut ledger, 200);
    assert_eq!((counts(&first)[0], first.open_count()), (Decimal::ZERO, 20), "at the limit");
    for group in &journal[20..] {
        first.apply(group.clone());
    }
    turn(&mut first, &mut ledger, 260);
    let given = Decimal::from(25 - 18);
    assert_eq!((counts(&first)[0], first.open_count()), (given, 18), "a tenth more than needed");
    assert_eq!(first.limit_hits().open_jobs, 7);
    assert_eq!(net(&first, MetricId::Jobs, &["unknown"]), given);

    let mut second = bounded();
    second.restore(&ledger).unwrap();
    for message in journal.iter().filter(|message| message.seq > ledger.done()) {
        second.rehydrate(message.clone());
    }
    second.finish_rehydration();
    turn(&mut second, &mut ledger, 262);
    assert_eq!(counts(&second), counts(&first), "nothing is given up again");
    assert_eq!(second.open_count(), 18);
    // The end of one that was given up, and of one that was not.
    second.apply(message(26, vec![result(&task(0), 300, TaskState::Succeeded)]));
    second.apply(message(27, vec![call(Role::Result, &task(24), 300, Some(TaskState::Succeeded))]));
    turn(&mut second, &mut ledger, 400);
    let [jobs, late_jobs, late_spans, _] = counts(&second);
    assert_eq!([jobs, late_jobs, late_spans], [given + Decimal::ONE, Decimal::ZERO, Decimal::ONE]);
    assert_eq!(net(&second, MetricId::Jobs, &["succeeded"]), Decimal::ONE);
}
