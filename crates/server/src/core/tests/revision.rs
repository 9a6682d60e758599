//! Later evidence moves money; it never edits a row.

use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_stitch::{Client, Endpoint, JobId, Role, State, TaskState, What};
use spantally_store::StoreError;

use super::fixture::*;
use crate::core::Archive;
use crate::export::MetricId;

#[test]
fn a_late_result_moves_money_from_one_cause_to_another() {
    let mut core = core();
    core.apply(message(1, unfinished("task-001", 0)));
    core.advance(at(4000));
    let mut rows = core.checkpoint().jobs;
    assert_eq!(rows.len(), 1);
    let unverified = net(&core, MetricId::Cost, &[r#"cause="unverified""#]);
    assert!(unverified > Decimal::ZERO, "{rows:?}");

    core.apply(message(2, vec![result("task-001", 0, TaskState::Succeeded)]));
    let settled = core.advance(at(8000));
    assert_eq!(settled.iter().map(|settled| settled.revision).collect::<Vec<_>>(), [2]);
    rows.extend(core.checkpoint().jobs);
    assert_counters_are_the_ledger(&core, &rows);
    assert_eq!(net(&core, MetricId::Cost, &[r#"cause="unverified""#]), Decimal::ZERO);
    assert_eq!(net(&core, MetricId::Cost, &[r#"cause="delivered""#]), Decimal::new(25, 3));
    // Both sides only ever rose.
    assert_eq!(net(&core, MetricId::CostReversed, &[r#"cause="unverified""#]), unverified);
    assert_eq!(net(&core, MetricId::JobsReversed, &[r#"outcome="unknown""#]), Decimal::ONE);
    assert_eq!(net(&core, MetricId::Jobs, &[]), Decimal::ONE);
    // What it cost to deliver is known now, and was not when it settled.
    let delivered = [
        net(&core, MetricId::DeliveredJobs, &[r#"currency="USD""#]),
        net(&core, MetricId::DeliveredJobs, &[]),
    ];
    assert_eq!(delivered, [Decimal::ONE; 2]);
    // A histogram counts a job once.
    let durations = page(&core).lines().filter(|line| line.contains("_job_duration_seconds_count")).count();
    assert_eq!(durations, 1);
}

#[test]
fn a_superseded_job_takes_everything_back_and_its_number_goes_on() {
    let mut core = core();
    let mut evidence = unfinished("task-001", 0);
    evidence.push(result("task-001", 0, TaskState::Succeeded));
    core.apply(message(1, evidence));
    let job = core.advance(at(120)).remove(0).job;
    let mut rows = core.checkpoint().jobs;

    // The stitcher tells nothing but the id: the books must know the rest.
    let gone = spantally_stitch::Job { id: job.id, state: State::Superseded, ..Default::default() };
    let settled = core.books.publish(Box::new(gone), 0, at(130)).unwrap().unwrap();
    assert_eq!((settled.revision, &*settled.job.service), (2, "clips"));
    rows.extend(core.checkpoint().jobs);
    assert_counters_are_the_ledger(&core, &rows);
    for metric in [
        MetricId::Cost,
        MetricId::Jobs,
        MetricId::DeliveredJobs,
        MetricId::Attempts,
        MetricId::Calls,
        MetricId::BilledUnits,
    ] {
        assert_eq!(net(&core, metric, &[]), Decimal::ZERO, "{metric:?}");
    }

    // It stands on its own again: the ledger must not see revision 1 twice.
    let settled = core.books.publish(job.clone(), 7, at(140)).unwrap().unwrap();
    assert_eq!(settled.revision, 3);
    rows.extend(core.checkpoint().jobs);
    assert_counters_are_the_ledger(&core, &rows);
    assert_eq!(net(&core, MetricId::Jobs, &[]), Decimal::ONE);
    assert_eq!(rows.iter().map(|row| row.revision).collect::<Vec<_>>(), [1, 2, 3]);
}

/// Nobody saw the submit; two services polled, and what the first of them saw comes last.
#[test]
fn an_earlier_call_of_another_service_moves_job_and_money_to_it() {
    let polled = |service: &str, second, state| {
        let mut evidence = call(Role::Poll, "task-001", second, Some(state));
        evidence.client = Arc::new(Client { service: service.into(), ..Client::default() });
        if let What::Call(call) = &mut evidence.what {
            let endpoint = Endpoint { model: "flux/dev".into(), ..(*call.endpoint).clone() };
            call.endpoint = Arc::new(endpoint);
        }
        vec![evidence]
    };
    let mut core = core();
    core.apply(message(1, polled("worker", 20, TaskState::Succeeded)));
    assert_eq!(core.advance(at(400)).len(), 1);
    core.apply(message(2, polled("web", 5, TaskState::Running)));
    let settled = core.advance(at(800));
    let [settled] = &settled[..] else { panic!("{settled:?}") };
    assert_eq!((settled.revision, &*settled.job.service), (3, "web"));
    let rows = core.checkpoint().jobs;
    let told: Vec<_> = rows.iter().map(|row| (row.revision, &*row.state, &*row.service)).collect();
    assert_eq!(told, [(1, "settled", "worker"), (2, "superseded", "worker"), (3, "settled", "web")]);
    assert_counters_are_the_ledger(&core, &rows);
    let cost = |service| net(&core, MetricId::Cost, &[service]);
    assert_eq!([cost("service=\"worker\""), cost("service=\"web\"")], [Decimal::ZERO, Decimal::new(25, 3)]);
    assert_eq!(net(&core, MetricId::Jobs, &[]), Decimal::ONE);
    // What moved stays.
    core.apply(message(3, polled("worker", 25, TaskState::Succeeded)));
    assert_eq!(core.advance(at(1200)).iter().map(|settled| settled.revision).collect::<Vec<_>>(), [4]);
}

#[test]
fn what_is_superseded_is_forgotten_after_the_retention() {
    let mut core = core();
    let mut evidence = unfinished("task-001", 0);
    evidence.push(result("task-001", 0, TaskState::Succeeded));
    core.apply(message(1, evidence));
    let job = core.advance(at(120)).remove(0).job;
    let gone = spantally_stitch::Job { id: job.id, state: State::Superseded, ..Default::default() };
    core.books.publish(Box::new(gone), 0, at(130)).unwrap();
    core.checkpoint();
    core.books.forget_old(at(140), |_| false);
    assert_eq!(core.books.revision(job.id), 2);
    core.books.forget_old(at(130 + 6 * 3600), |_| false);
    assert_eq!(core.books.revision(job.id), 0);
}

#[derive(Debug)]
struct Known(Vec<JobId>);

impl Archive for Known {
    fn has(&self, id: JobId) -> Result<bool, StoreError> {
        Ok(self.0.contains(&id))
    }
}

#[test]
fn a_job_that_comes_again_after_it_was_forgotten_is_not_counted_again() {
    let mut core = core();
    let mut evidence = unfinished("task-001", 0);
    evidence.push(result("task-001", 0, TaskState::Succeeded));
    core.apply(message(1, evidence));
    let job = core.advance(at(120)).remove(0).job;
    let rows = core.checkpoint().jobs;
    core.books.forget(job.id);
    core.set_archive(Box::new(Known(vec![job.id])));

    assert_eq!(core.books.publish(job.clone(), 7, at(90_000)).unwrap(), None);
    let gone = spantally_stitch::Job { id: job.id, state: State::Superseded, ..Default::default() };
    assert_eq!(core.books.publish(Box::new(gone), 0, at(90_001)).unwrap(), None);
    assert_eq!(core.checkpoint().jobs, []);
    assert_counters_are_the_ledger(&core, &rows);
    assert_eq!(net(&core, MetricId::LateJobs, &[]), Decimal::ONE);

    // One that is not in the ledger is only old.
    let other = spantally_stitch::Job { id: JobId([9; 16]), ..(*job).clone() };
    assert!(core.books.publish(Box::new(other), 7, at(90_002)).unwrap().is_some());
}
