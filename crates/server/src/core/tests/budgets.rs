//! Budgets and prepaid accounts over turns, the end of a period, and restarts.

use std::sync::Arc;

use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use spantally_stitch::{Client, Evidence, TaskState};
use spantally_store::{DataDir, Ledger};

use super::fixture::*;
use crate::budgets::{AccountDefinition, BudgetDefinition, Budgets, Measure, PeriodKind, Scope};
use crate::core::{Core, CoreOptions};
use crate::export::MetricId;

/// Midnight after the tests' first second.
const MIDNIGHT: u64 = 14 * 3600;

fn budget(name: &str, period: PeriodKind, labels: &[(&str, &str)]) -> BudgetDefinition {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    BudgetDefinition {
        name: name.to_owned(),
        limit: Decimal::TWO,
        measure: Measure::Currency("USD".to_owned()),
        period,
        time_zone: TimeZone::UTC,
        scope: Scope { labels },
    }
}

fn budgets() -> Budgets {
    let account = AccountDefinition {
        name: "prepaid".to_owned(),
        measure: Measure::Unit("image".to_owned()),
        balance: Decimal::TEN,
        as_of: at(0),
        expires: None,
        top_ups: Vec::new(),
        scope: Scope::default(),
    };
    let budgets = vec![
        budget("day", PeriodKind::Day, &[]),
        budget("month", PeriodKind::Month, &[("provider", "fal"), ("service", "clips")]),
        budget("others", PeriodKind::Month, &[("service", "other")]),
    ];
    Budgets::new(budgets, vec![account], &[])
}

/// A budget of a month for everything.
pub(super) fn monthly() -> Budgets {
    Budgets::new(vec![budget("month", PeriodKind::Month, &[])], Vec::new(), &[])
}

fn watched() -> Core {
    let mut core = core();
    core.set_budgets(budgets());
    core
}

fn turn(core: &mut Core, ledger: &mut Ledger, second: u64) {
    core.advance(at(second));
    core.refresh();
    ledger.checkpoint(&core.checkpoint()).unwrap();
}

/// What is spent of the budgets `day`, `month` and `others`, and the balance of the account.
fn shown(core: &Core) -> [String; 4] {
    let value = |metric, own: &str| {
        let mut found = core.registry().values(metric).filter(|(labels, _)| labels.contains(own));
        found.next().unwrap_or_else(|| panic!("{own}")).1.normalize().to_string()
    };
    let spent = |name: &str| value(MetricId::BudgetSpent, &format!("budget=\"{name}\""));
    [spent("day"), spent("month"), spent("others"), value(MetricId::PrepaidBalance, "account=\"prepaid\"")]
}

/// A job that costs 0.025 for one image, at a second.
fn done(core: &mut Core, seq: u64, task: &str, second: u64) {
    let mut evidence = unfinished(task, second);
    evidence.push(result(task, second, TaskState::Succeeded));
    core.apply(message(seq, evidence));
}

fn ledger() -> (tempfile::TempDir, Ledger) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&DataDir::open(dir.path()).unwrap()).unwrap();
    (dir, ledger)
}

#[test]
fn a_period_counts_what_settles_in_it_also_over_restarts() {
    let (_dir, mut ledger) = ledger();
    let mut core = watched();
    core.restore(&ledger).unwrap();
    turn(&mut core, &mut ledger, 1);
    done(&mut core, 1, "task-001", 40);
    turn(&mut core, &mut ledger, 200);
    assert_eq!(shown(&core), ["0.025", "0.025", "0", "9"]);

    let mut again = watched();
    again.restore(&ledger).unwrap();
    again.refresh();
    assert_eq!(shown(&again), shown(&core), "a restart changes nothing");

    // Settled in the last turn before midnight and in the first one after it.
    done(&mut again, 2, "task-002", MIDNIGHT - 600);
    turn(&mut again, &mut ledger, MIDNIGHT - 1);
    assert_eq!(shown(&again), ["0.05", "0.05", "0", "8"]);
    done(&mut again, 3, "task-003", MIDNIGHT - 120);
    turn(&mut again, &mut ledger, MIDNIGHT + 100);
    assert_eq!(shown(&again), ["0.025", "0.075", "0", "7"], "a new day");

    let mut last = watched();
    last.restore(&ledger).unwrap();
    last.refresh();
    assert_eq!(shown(&last), shown(&again), "the new day is still the same");
}

/// The overflow set of the labels tells no provider and no service.
#[test]
fn what_is_beyond_the_limit_of_label_sets_is_spent_where_it_belongs() {
    let (_dir, mut ledger) = ledger();
    let start = |ledger: &Ledger| {
        let mut core =
            Core::new(&CoreOptions { max_label_sets: 1, ..CoreOptions::default() }, cards(), at(0));
        core.set_budgets(budgets());
        core.restore(ledger).unwrap();
        core
    };
    let mut core = start(&ledger);
    turn(&mut core, &mut ledger, 1);
    done(&mut core, 1, "task-001", 40);
    turn(&mut core, &mut ledger, 200);
    // Another service comes too late for a set of its own.
    let client = Arc::new(Client { service: "other".into(), ..Client::default() });
    let mut evidence = unfinished("task-002", 240);
    evidence.push(result("task-002", 240, TaskState::Succeeded));
    let evidence = evidence.into_iter().map(|span| Evidence { client: Arc::clone(&client), ..span });
    core.apply(message(2, evidence.collect()));
    turn(&mut core, &mut ledger, 400);
    assert_eq!(
        net(&core, MetricId::Cost, &["service=\"other\""]),
        Decimal::ZERO,
        "it is in the overflow set"
    );
    assert_eq!(shown(&core), ["0.05", "0.025", "0.025", "8"]);
    let mut again = start(&ledger);
    again.refresh();
    assert_eq!(shown(&again), shown(&core));
}

/// So it is by an extra label, also what a revision takes back and after a restart.
#[test]
fn what_is_beyond_the_limit_is_spent_where_its_extra_label_says() {
    let (_dir, mut ledger) = ledger();
    let start = |ledger: &Ledger| {
        let options =
            CoreOptions { max_label_sets: 1, extra_labels: vec!["team".into()], ..CoreOptions::default() };
        let mut core = Core::new(&options, cards(), at(0));
        let teams = ["red", "blue"].map(|team| budget(team, PeriodKind::Month, &[("team", team)]));
        core.set_budgets(Budgets::new(teams.into(), Vec::new(), &["team".to_owned()]));
        core.restore(ledger).unwrap();
        core
    };
    let spent = |core: &Core| {
        ["red", "blue"].map(|team| {
            let own = format!("budget=\"{team}\"");
            let mut values = core.registry().values(MetricId::BudgetSpent);
            let (_, value) = values.find(|(labels, _)| labels.contains(&own)).unwrap();
            value.normalize().to_string()
        })
    };
    let of = |team: &str, evidence: Vec<Evidence>| {
        let client = Client { service: "clips".into(), labels: vec![team.into()], ..Client::default() };
        let client = Arc::new(client);
        evidence.into_iter().map(|span| Evidence { client: Arc::clone(&client), ..span }).collect::<Vec<_>>()
    };
    let mut core = start(&ledger);
    turn(&mut core, &mut ledger, 1);
    for (seq, team, task) in [(1, "red", "task-001"), (2, "blue", "task-002"), (3, "blue", "task-003")] {
        let mut evidence = unfinished(task, 40 * seq);
        evidence.push(result(task, 40 * seq, TaskState::Succeeded));
        core.apply(message(seq, of(team, evidence)));
        turn(&mut core, &mut ledger, 200 * seq);
    }
    assert_eq!(net(&core, MetricId::Cost, &["team=\"blue\""]), Decimal::ZERO, "it is in the overflow set");
    assert_eq!(spent(&core), ["0.025", "0.05"]);
    // What comes late says that it failed, which is free.
    core.apply(message(4, of("blue", vec![result("task-003", 300, TaskState::Failed)])));
    turn(&mut core, &mut ledger, 900);
    assert_eq!(spent(&core), ["0.025", "0.025"]);
    let mut again = start(&ledger);
    again.refresh();
    assert_eq!(spent(&again), spent(&core));
}

#[test]
fn a_budget_that_is_added_later_knows_what_was_spent() {
    let (_dir, mut ledger) = ledger();
    let mut core = core();
    done(&mut core, 1, "task-001", 40);
    turn(&mut core, &mut ledger, 200);

    let mut watched = watched();
    watched.restore(&ledger).unwrap();
    watched.refresh();
    assert_eq!(shown(&watched), ["0.025", "0.025", "0", "9"]);
}

#[test]
fn what_a_revision_takes_back_was_not_spent() {
    let (_dir, mut ledger) = ledger();
    let mut core = watched();
    core.restore(&ledger).unwrap();
    done(&mut core, 1, "task-001", 40);
    turn(&mut core, &mut ledger, 200);
    // A later result says that it failed, which is free.
    let failed = result("task-001", 100, TaskState::Failed);
    core.apply(message(2, vec![failed]));
    turn(&mut core, &mut ledger, 400);
    let counted = net(&core, MetricId::Cost, &["currency=\"USD\""]).normalize().to_string();
    assert_eq!(shown(&core)[0], counted, "budget and counter agree");

    let mut again = watched();
    again.restore(&ledger).unwrap();
    again.refresh();
    assert_eq!(shown(&again), shown(&core));
}
