//! A process that was killed comes back to the page that was seen.

use proptest::prelude::*;
use rust_decimal::Decimal;
use spantally_stitch::{Evidence, Role, State, TaskState};
use spantally_store::{DataDir, Ledger, Seq};

use super::fixture::*;
use crate::core::{Core, CoreOptions, Settled};
use crate::export::{INVENTORY, Kind, MetricId};
use crate::job_json::JobDocument;

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
    let journal = [message(1, unfinished("task-001", 0)), message(2, groups().remove(1))];
    journal.iter().cloned().for_each(|message| core.apply(message));
    turn(&mut core, &mut ledger, 4000);
    let before = page(&core);
    assert!(before.contains("cause=\"delivered\",basis=\"documented\"} 0.025\n"), "{before}");

    let mut again = restarted(&ledger, &journal);
    again.advance(at(4000));
    again.refresh();
    let without_exemplars = |page: &str| {
        page.lines().map(|line| line.split(" # {").next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    // Exemplars live as long as the process.
    assert_eq!(without_exemplars(&page(&again)), without_exemplars(&before));
}

/// Rows of the journal go when they are old. What they brought and is still in memory is in the ledger then.
#[test]
fn what_outlives_the_journal_is_carried_into_the_ledger() {
    const HOUR: u64 = 3600;
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&DataDir::open(dir.path()).unwrap()).unwrap();
    let mut core = core();
    let mut journal = vec![message(1, groups().remove(1)), message(2, unfinished("task-001", 100))];
    journal.iter().cloned().for_each(|message| core.apply(message));
    turn(&mut core, &mut ledger, 200);
    assert_eq!(ledger.done(), Seq(0));
    // The first job is polled again and again, and is therefore not forgotten with the other one.
    for hour in 1..8 {
        let poll = call(Role::Poll, "task-001", hour * HOUR, Some(TaskState::Running));
        journal.push(message(2 + hour, vec![poll]));
        core.apply(journal[journal.len() - 1].clone());
        turn(&mut core, &mut ledger, hour * HOUR + 10);
    }
    assert_eq!(ledger.done(), Seq(2), "the poll of the first hour stays for some minutes more");
    turn(&mut core, &mut ledger, 7 * HOUR + 600);
    assert_eq!(ledger.done(), Seq(3), "two jobs and the poll of the first hour are past the retention");
    let mut again = restarted(&ledger, &journal[3..]);
    for core in [&mut core, &mut again] {
        core.apply(message(10, vec![result("task-001", 8 * HOUR, TaskState::Succeeded)]));
        core.advance(at(9 * HOUR));
    }
    let delivered = |core: &Core| net(core, MetricId::Cost, &[r#"cause="delivered""#]);
    assert_eq!((delivered(&again), delivered(&core)), (Decimal::new(50, 3), Decimal::new(50, 3)));
    assert_eq!(net(&again, MetricId::Calls, &[r#"call="poll""#]), Decimal::from(2 + 2 + 7));
    assert_eq!(again.stitched_spans(), core.stitched_spans());
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
    let row = checkpoint.counters.iter_mut().find(|row| &*row.name == "spantally_jobs").unwrap();
    row.value = "many".into();
    ledger.checkpoint(&checkpoint).unwrap();
    let error = super::fixture::core().restore(&ledger).unwrap_err().to_string();
    assert!(error.contains("\"many\"; expected a decimal number"), "{error}");
}

/// Jobs that are alike, settled by two processes: one form, made for the second of them, and the documents of
/// all are as they would be without one.
#[test]
fn alike_jobs_share_a_form_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&DataDir::open(dir.path()).unwrap()).unwrap();
    let delivered = |task: &str, second| {
        let mut evidence = unfinished(task, second);
        evidence.push(result(task, second, TaskState::Succeeded));
        evidence
    };
    let mut settled = Vec::new();
    let mut run = |core: &mut Core, ledger: &mut Ledger, seq: u64| {
        for number in 0..3 {
            let task = format!("task-{}", 100 * seq + number);
            core.apply(message(3 * seq + number, delivered(&task, 40 * (3 * seq + number))));
        }
        settled.extend(core.advance(at(1000 * seq)));
        let checkpoint = core.checkpoint();
        ledger.checkpoint(&checkpoint).unwrap();
        checkpoint.forms.len()
    };
    let mut core = core();
    assert_eq!(run(&mut core, &mut ledger, 1), 1);
    let mut again = restarted(&ledger, &[]);
    assert_eq!(run(&mut again, &mut ledger, 2), 0);
    assert_eq!(settled.len(), 6);
    let reader = ledger.reader().unwrap();
    for Settled { job, bill, revision } in &settled {
        let found = reader.published(job.id.0).unwrap().unwrap();
        let document = JobDocument { job, bill, revision: *revision }.to_json().unwrap();
        assert_eq!(found.job.detail.into_text(), document);
        assert_eq!(found.charges.len(), 1);
    }
    assert_eq!(net(&again, MetricId::Cost, &[]), Decimal::new(6 * 25, 3));

    // The third process takes one of them back: what it added is read from the form.
    let mut last = restarted(&ledger, &[]);
    let id = settled[5].job.id;
    let gone = spantally_stitch::Job { id, state: State::Superseded, ..Default::default() };
    assert_eq!(last.books.publish(Box::new(gone), 0, at(3000)).unwrap().unwrap().revision, 2);
    assert_eq!(net(&last, MetricId::Cost, &[]), Decimal::new(5 * 25, 3));
    assert_eq!(net(&last, MetricId::Jobs, &[]), Decimal::from(5));
}

/// With another bound on label sets jobs count in other series: a form of before says nothing of them.
#[test]
fn another_bound_on_label_sets_makes_other_forms() {
    for bounds in [[1, 2000], [2000, 1]] {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(&DataDir::open(dir.path()).unwrap()).unwrap();
        for (at_start, bound) in bounds.into_iter().enumerate() {
            let first = 1000 * at_start as u64;
            let options = CoreOptions { max_label_sets: bound, ..CoreOptions::default() };
            let mut core = Core::new(&options, cards(), at(0));
            core.restore(&ledger).unwrap();
            for number in 0..3 {
                let second = first + 40 * number;
                let task = format!("task-{}", 100 + second);
                let mut evidence = unfinished(&task, second);
                evidence.push(result(&task, second, TaskState::Succeeded));
                core.apply(message(first + number + 1, evidence));
            }
            turn(&mut core, &mut ledger, first + 900);
            // Later evidence of the last of them: what it added is taken back where it was added.
            core.apply(message(
                first + 10,
                vec![call(Role::Poll, &format!("task-{}", 180 + first), first + 95, None)],
            ));
            turn(&mut core, &mut ledger, first + 990);
            assert_eq!(net(&core, MetricId::Jobs, &[]), Decimal::from(3 * (at_start as u64 + 1)));
        }
        let mut report = crate::verify::Report::default();
        crate::verify::verify_ledger(&ledger.reader().unwrap(), &mut report).unwrap();
        assert_eq!(report.differences, [], "{bounds:?}");
    }
}
