//! Spans with figures that no job has: what was acknowledged can be settled, in this process and the next.

use rust_decimal::Decimal;
use spantally_price::COST_MAX;
use spantally_stitch::{CallRare, Evidence, Fact, FactSource, FactValue, Role, TaskState, TraceId, What};
use spantally_store::{DataDir, Ledger};

use super::fixture::*;
use crate::export::MetricId;

const JOBS: u64 = 1100;

/// A submit that says how many images were billed, and its result, in a trace of their own.
fn job_of(number: u64, units: Decimal) -> Vec<Evidence> {
    let task = format!("task-{number:04}");
    let mut submit = call(Role::Submit, &task, number, None);
    if let What::Call(call) = &mut submit.what {
        let value = FactValue::Number(units);
        let fact = Fact { name: "billable_units".into(), value, source: FactSource::Reported };
        call.rare = CallRare { facts: vec![fact], ..CallRare::default() }.into();
    }
    let mut evidence = vec![submit, result(&task, number, TaskState::Succeeded)];
    for part in &mut evidence {
        part.span.trace = TraceId(u128::from(number + 1).to_be_bytes());
    }
    evidence
}

/// Jobs of so many units each, settled, and a restart. What is priced, and how many jobs are out of range.
fn settled_and_restarted(units: Decimal) -> [Decimal; 2] {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&DataDir::open(dir.path()).unwrap()).unwrap();
    let mut core = core();
    let journal = [message(1, (0..JOBS).flat_map(|number| job_of(number, units)).collect())];
    core.apply(journal[0].clone());
    core.advance(at(4000));
    core.refresh();
    let checkpoint = core.checkpoint();
    assert_counters_are_the_ledger(&core, &checkpoint.jobs);
    ledger.checkpoint(&checkpoint).unwrap();
    let sums = |core: &crate::core::Core| {
        let out_of_range = net(core, MetricId::UnpricedJobs, &["reason=\"out_of_range\""]);
        [net(core, MetricId::Cost, &[]), out_of_range]
    };
    let before = sums(&core);
    // From the ledger, and by the journal alone, as where the first process ended before its checkpoint.
    let mut again = restarted(&ledger, &journal);
    let other = tempfile::tempdir().unwrap();
    let empty = Ledger::open(&DataDir::open(other.path()).unwrap()).unwrap();
    let mut anew = restarted(&empty, &journal);
    for core in [&mut again, &mut anew] {
        core.advance(at(4000));
        core.refresh();
        assert_eq!(sums(core), before);
        assert_eq!(net(core, MetricId::Jobs, &[]), Decimal::from(JOBS));
    }
    before
}

/// More than a decimal holds, added up: no money at all, and each job is counted as one that has no price.
#[test]
fn absurd_units_have_no_price_and_end_no_process() {
    let units = "3160000000000000000000000000".parse().unwrap();
    assert_eq!(settled_and_restarted(units), [Decimal::ZERO, Decimal::from(JOBS)]);
}

/// The dearest job that is in range, many times: exact.
#[test]
fn the_most_that_a_charge_may_cost_adds_up() {
    let units = COST_MAX / Decimal::new(25, 3);
    assert_eq!(settled_and_restarted(units), [COST_MAX * Decimal::from(JOBS), Decimal::ZERO]);
}
