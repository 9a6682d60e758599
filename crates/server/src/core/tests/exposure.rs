//! Settled money that nobody has decided yet: shown after a restart as before it, gone when it is decided or
//! on an invoice.

use rust_decimal::Decimal;
use spantally_stitch::{TaskState, UnixNanos};
use spantally_store::{DAY_NANOS, DataDir, Ledger};

use super::fixture::*;
use crate::commit::CommitMessage;
use crate::core::{Core, Invoiced};
use crate::export::MetricId;

/// The least and the most that may still appear on an invoice.
fn exposed(core: &Core) -> [Decimal; 2] {
    ["min", "max"].map(|bound| net(core, MetricId::Exposure, &[&format!("bound=\"{bound}\"")]))
}

fn turn(core: &mut Core, ledger: &mut Ledger, second: u64) {
    core.resume(at(second));
    core.advance(at(second));
    core.refresh();
    ledger.checkpoint(&core.checkpoint()).unwrap();
}

/// A job of which no span tells the end: whether it is billed is not documented.
fn undecided() -> (tempfile::TempDir, Ledger, Core, Vec<CommitMessage>) {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&DataDir::open(dir.path()).unwrap()).unwrap();
    let mut core = core();
    let journal = vec![message(1, unfinished("task-001", 0))];
    core.apply(journal[0].clone());
    turn(&mut core, &mut ledger, 4000);
    assert_eq!(core.open_count(), 0, "settled");
    assert_eq!(exposed(&core), [Decimal::ZERO, Decimal::new(25, 3)]);
    (dir, ledger, core, journal)
}

#[test]
fn exposure_survives_a_restart_and_falls_when_it_is_decided() {
    let (_dir, mut ledger, core, mut journal) = undecided();
    let before = exposed(&core);
    drop(core);

    let mut second = restarted(&ledger, &journal);
    turn(&mut second, &mut ledger, 4002);
    assert_eq!(exposed(&second), before);

    journal.push(message(2, vec![result("task-001", 0, TaskState::Succeeded)]));
    second.apply(journal[1].clone());
    turn(&mut second, &mut ledger, 4060);
    assert_eq!(net(&second, MetricId::Cost, &[r#"cause="delivered""#]), Decimal::new(25, 3));
    assert_eq!(exposed(&second), [Decimal::ZERO; 2], "delivered: it is a charge now, no question");
    drop(second);

    let mut third = restarted(&ledger, &journal);
    turn(&mut third, &mut ledger, 4062);
    assert_eq!(exposed(&third), [Decimal::ZERO; 2], "and stays decided");
    assert_eq!(net(&third, MetricId::AmbiguousCost, &[]), Decimal::ZERO);
}

#[test]
fn exposure_falls_when_an_invoice_covers_its_day_and_only_then() {
    let (_dir, mut ledger, mut core, journal) = undecided();
    let day = at(4000).0 / DAY_NANOS;
    let invoice = |provider: &str, from: u64, until: u64| {
        let [from, until] = [from, until].map(|day| UnixNanos(day * DAY_NANOS));
        Invoiced { provider: provider.into(), from, until }
    };
    for (invoiced, most) in [
        (invoice("runway", day - 20, day + 10), Decimal::new(25, 3)),
        (invoice("fal", day - 20, day), Decimal::new(25, 3)),
        (invoice("fal", day - 20, day + 1), Decimal::ZERO),
    ] {
        core.set_invoiced(vec![invoiced.clone()]);
        core.refresh();
        assert_eq!(exposed(&core), [Decimal::ZERO, most], "{invoiced:?}");
        // The invoices are in the configuration, the money in the ledger.
        let mut again = restarted(&ledger, &journal);
        again.set_invoiced(vec![invoiced.clone()]);
        turn(&mut again, &mut ledger, 4002);
        assert_eq!(exposed(&again), [Decimal::ZERO, most], "after a restart: {invoiced:?}");
    }
    core.set_invoiced(Vec::new());
    core.refresh();
    assert_eq!(exposed(&core)[1], Decimal::new(25, 3), "an invoice that is taken out again");
}

#[test]
fn exposure_ends_when_the_invoice_must_have_come_also_after_a_restart() {
    let (_dir, mut ledger, core, journal) = undecided();
    drop(core);
    let mut again = restarted(&ledger, &journal);
    for (days, most) in [(44, Decimal::new(25, 3)), (46, Decimal::ZERO)] {
        turn(&mut again, &mut ledger, 4000 + days * 86_400);
        assert_eq!(exposed(&again)[1], most, "{days} days later");
    }
}

/// What is decided a day later leaves the day that it was added to: it does not hide what is undecided of the
/// later day. A restart in between changes nothing.
#[test]
fn a_decision_of_another_day_hides_nothing_of_its_own_day() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&DataDir::open(dir.path()).unwrap()).unwrap();
    let mut first = core();
    // Fourteen hours until midnight.
    let midnight = 14 * 3600;
    let mut journal = vec![message(1, unfinished("task-001", midnight - 3600))];
    first.apply(journal[0].clone());
    turn(&mut first, &mut ledger, midnight - 600);
    journal.push(message(2, unfinished("task-002", midnight - 1200)));
    first.apply(journal[1].clone());
    for second in (midnight - 590..midnight + 1200).step_by(30) {
        turn(&mut first, &mut ledger, second);
    }
    let one = Decimal::new(25, 3);
    assert_eq!(exposed(&first)[1], one + one);
    let mut again = restarted(&ledger, &journal);
    let day = at(midnight).0 / DAY_NANOS;
    let until = UnixNanos(day * DAY_NANOS);
    let invoiced = vec![Invoiced { provider: "fal".into(), from: UnixNanos(0), until }];
    for core in [&mut first, &mut again] {
        core.apply(message(3, vec![result("task-001", midnight - 3600, TaskState::Succeeded)]));
        core.advance(at(midnight + 1260));
        core.refresh();
        assert_eq!(exposed(core)[1], one, "one is decided");
        core.set_invoiced(invoiced.clone());
        core.refresh();
        assert_eq!(exposed(core)[1], one, "the other one is of the day after the invoice");
    }
}
