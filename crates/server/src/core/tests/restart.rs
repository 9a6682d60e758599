//! A process that was killed comes back to the page that was seen.

use proptest::prelude::*;
use spantally_stitch::{Evidence, TaskState};
use spantally_store::{DataDir, Ledger};

use super::fixture::*;
use crate::commit::CommitMessage;
use crate::core::Core;
use crate::export::{INVENTORY, Kind};

/// One turn, as the thread makes it.
fn turn(core: &mut Core, ledger: &mut Ledger, second: u64) {
    core.advance(at(second));
    core.refresh();
    ledger.checkpoint(&core.checkpoint()).unwrap();
}

/// A new process on the ledger, with the journal past it.
fn restarted(ledger: &Ledger, journal: &[CommitMessage]) -> Core {
    let mut core = core();
    core.restore(ledger).unwrap();
    for message in journal.iter().filter(|message| message.seq > ledger.applied()) {
        core.apply(message.clone());
    }
    core
}

/// Five jobs that end in different ways, the first late.
fn groups() -> Vec<Vec<Evidence>> {
    let end = |task: &str, second, state| {
        let mut evidence = unfinished(task, second);
        evidence.push(result(task, second, state));
        evidence
    };
    vec![
        unfinished("task-001", 0),
        end("task-002", 40, TaskState::Succeeded),
        end("task-003", 80, TaskState::Failed),
        unfinished("task-004", 120),
        vec![result("task-001", 0, TaskState::Succeeded)],
        end("task-005", 160, TaskState::Succeeded),
    ]
}

#[test]
fn the_page_after_a_restart_is_the_page_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&DataDir::open(dir.path()).unwrap()).unwrap();
    let mut core = core();
    core.apply(message(1, unfinished("task-001", 0)));
    core.apply(message(2, groups().remove(1)));
    turn(&mut core, &mut ledger, 4000);
    let before = page(&core);
    assert!(before.contains("cause=\"delivered\",basis=\"documented\"} 0.025\n"), "{before}");

    let mut again = restarted(&ledger, &[]);
    again.advance(at(4000));
    again.refresh();
    let without_exemplars = |page: &str| {
        page.lines().map(|line| line.split(" # {").next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    // Exemplars live as long as the process.
    assert_eq!(without_exemplars(&page(&again)), without_exemplars(&before));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Killed after any group, with turns at any places: what was seen at the last turn is not lost, not
    /// counted twice, and from then on both processes say the same.
    #[test]
    fn a_kill_at_any_moment_changes_nothing(
        killed in 0_usize..=6,
        turns in prop::collection::vec(any::<bool>(), 6),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(&DataDir::open(dir.path()).unwrap()).unwrap();
        let journal: Vec<_> =
            groups().into_iter().enumerate().map(|(seq, group)| message(seq as u64 + 1, group)).collect();
        let mut core = core();
        for (position, message) in journal[..killed].iter().enumerate() {
            core.apply(message.clone());
            if turns[position] {
                turn(&mut core, &mut ledger, 2000 * (position as u64 + 1));
            }
        }
        let mut again = restarted(&ledger, &journal[..killed]);

        // Nothing that anyone saw falls. Spans are seen at once, the rest at a turn.
        for metric in INVENTORY.iter().filter(|metric| metric.kind != Kind::Gauge) {
            for (labels, value) in core.registry().values(metric.id) {
                let now = again.registry().values(metric.id).find(|(other, _)| *other == labels);
                prop_assert_eq!(now, Some((labels, value)), "{}", metric.name);
            }
        }

        for message in &journal[killed..] {
            core.apply(message.clone());
            again.apply(message.clone());
        }
        for core in [&mut core, &mut again] {
            core.advance(at(20_000));
            core.finish();
        }
        for metric in INVENTORY.iter().filter(|metric| metric.kind == Kind::Counter) {
            prop_assert_eq!(nets(&core, metric.id), nets(&again, metric.id), "{}", metric.name);
        }
        let rows = |core: &mut Core| {
            let jobs = core.checkpoint().jobs.into_iter();
            jobs.map(|row| (row.job_id, row.revision, row.outcome)).collect::<Vec<_>>()
        };
        let (mut of_core, mut of_again) = (rows(&mut core), rows(&mut again));
        of_core.sort();
        of_again.sort();
        prop_assert_eq!(of_core, of_again);
    }
}

#[test]
fn a_damaged_ledger_is_refused_with_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&DataDir::open(dir.path()).unwrap()).unwrap();
    let mut core = core();
    core.apply(message(1, groups().remove(1)));
    core.advance(at(4000));
    let mut checkpoint = core.checkpoint();
    checkpoint.counters.retain(|row| &*row.name != "spantally_jobs");
    ledger.checkpoint(&checkpoint).unwrap();
    let error = super::fixture::core().restore(&ledger).unwrap_err().to_string();
    assert!(error.contains("which is not among the counters of the ledger"), "{error}");
}
