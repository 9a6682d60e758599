//! What everything sent comes to, and whether the page and the ledger say so.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use rust_decimal::Decimal;
use serde_json::Value;

use crate::process::Process;
use crate::support::{get, sum_of};
use crate::traffic::{Kind, Sent};

/// A megapixel of `fal-ai/flux/dev`, in US dollars.
const PRICE: Decimal = Decimal::from_parts(25, 0, 0, false, 3);
/// Everything settles within so many looks, five a second.
const MAX_LOOKS: u32 = 300;

/// What the idle limit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Open {
    /// What never ended stays open.
    Stay,
    /// It settles, with an outcome that is unknown.
    Settle,
}

/// What can be counted.
#[derive(Debug, Default, PartialEq)]
struct Sums {
    outcomes: BTreeMap<String, Decimal>,
    calls: BTreeMap<String, Decimal>,
    attempts: Decimal,
    cost: BTreeMap<String, Decimal>,
    units: BTreeMap<String, Decimal>,
    open: Decimal,
}

impl Sums {
    /// Folds everything sent.
    fn fold(sent: &Sent, open: Open, late: bool) -> Self {
        let mut sums = Self::default();
        for &kind in sent.jobs.values() {
            if kind == Kind::Open && open == Open::Stay {
                sums.open += Decimal::ONE;
                continue;
            }
            let truth = kind.truth(late);
            *sums.outcomes.entry(truth.outcome.to_owned()).or_default() += Decimal::ONE;
            for (call, count) in ["submit", "poll", "result"].into_iter().zip(truth.calls) {
                *sums.calls.entry(call.to_owned()).or_default() += Decimal::from(count);
            }
            sums.attempts += Decimal::from(truth.calls[0]);
            let (cause, tenths) = truth.charged;
            let megapixels = Decimal::new(tenths, 1);
            *sums.cost.entry(cause.to_owned()).or_default() += PRICE * megapixels;
            *sums.units.entry(cause.to_owned()).or_default() += megapixels;
        }
        sums
    }

    /// Reads the page.
    fn read(page: &str) -> Self {
        let net = |name: &str, label: &str| {
            let mut net = BTreeMap::<String, Decimal>::new();
            for (line, sign) in [(format!("{name}_total"), 1), (format!("{name}_reversed_total"), -1)] {
                for value in values_of(page, &line, label) {
                    *net.entry(value.0).or_default() += value.1 * Decimal::from(sign);
                }
            }
            net.retain(|_, value| !value.is_zero());
            net
        };
        Self {
            outcomes: net("spantally_jobs", "outcome"),
            calls: net("spantally_calls", "call"),
            attempts: net("spantally_attempts", "service").values().sum(),
            cost: net("spantally_cost", "cause"),
            units: net("spantally_billed_units", "cause"),
            open: sum_of(page, "spantally_open_jobs", &[]),
        }
    }
}

/// Values of a label and of its samples.
fn values_of(page: &str, name: &str, label: &str) -> Vec<(String, Decimal)> {
    let samples = page.lines().filter_map(|line| {
        let (set, value) = line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} ")?;
        let (_, rest) = set.split_once(&format!("{label}=\""))?;
        Some((rest.split('"').next()?.to_owned(), value.parse().unwrap()))
    });
    samples.collect()
}

/// Waits until the page says what was sent, and fails if it does not come to that. Then compares the ledger.
pub(crate) fn check(process: &Process, sent: &Sent, open: Open) {
    let expected = Sums::fold(sent, open, process.profile.late);
    let mut looks = 0;
    loop {
        looks += 1;
        let (status, page) = get(process.admin, "/metrics").unwrap();
        assert_eq!(status, 200, "{page}");
        let found = Sums::read(&page);
        if found == expected {
            check_spans(process, sent, &page);
            break;
        }
        assert!(
            looks < MAX_LOOKS,
            "sent: {expected:#?}\nfound: {found:#?}\n{}\n{}",
            strange_jobs(process, sent),
            process.log()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    check_ledger(process, sent, open);
}

/// Every span is accounted for, and none was taken for new twice.
fn check_spans(process: &Process, sent: &Sent, page: &str) {
    let of = |name: &str| sum_of(page, &format!("spantally_spans_{name}_total"), &[]);
    let parts: Decimal = ["accepted", "duplicate", "late", "ignored", "rejected"].into_iter().map(of).sum();
    assert_eq!(of("received"), parts, "every span is accounted for");
    assert_eq!((of("ignored"), of("rejected")), (Decimal::ZERO, Decimal::ZERO));
    let (new, late) = (Decimal::from(sent.spans), Decimal::from(sent.late_spans));
    if process.profile.late {
        assert_eq!((of("accepted"), of("late")), (new, Decimal::ZERO), "distinct spans");
    } else {
        assert_eq!(of("accepted"), new - late, "distinct spans that came in time");
        assert!(of("late") >= late, "{late} spans came for forgotten tasks, {} are late", of("late"));
    }
    assert!(of("received") >= Decimal::from(sent.acknowledged_spans), "an acknowledged request is lost");
}

/// Rows of a query on the ledger, by the system's own tool, while the server writes.
fn query(process: &Process, sql: &str) -> Vec<Value> {
    let output =
        Command::new("sqlite3").arg("-readonly").arg("-json").arg(process.ledger()).arg(sql).output();
    let output = output.expect("sqlite3 is missing: scripts/test installs it");
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    if output.stdout.is_empty() { Vec::new() } else { serde_json::from_slice(&output.stdout).unwrap() }
}

/// The ledger's rows: one job a task, revisions without gaps, money by cause.
pub(crate) fn check_ledger(process: &Process, sent: &Sent, open: Open) {
    let expected = Sums::fold(sent, open, process.profile.late);
    let gaps = query(
        process,
        "SELECT hex(job_id) AS job, count(*) AS rows, max(revision) AS newest FROM job_revision
         GROUP BY job_id HAVING count(*) <> max(revision) OR min(revision) <> 1",
    );
    assert!(gaps.is_empty(), "revisions are not 1, 2, 3...: {gaps:?}");

    let mut tasks = BTreeMap::<String, u64>::new();
    for row in query(process, "SELECT task_id FROM attempts WHERE task_id IS NOT NULL") {
        *tasks.entry(row["task_id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    for (task, kind) in &sent.jobs {
        let wanted = match kind {
            Kind::Invalid => 0,
            Kind::Open => u64::from(open == Open::Settle),
            _ => 1,
        };
        let found = tasks.remove(task).unwrap_or_default();
        assert_eq!(found, wanted, "jobs of task {task}, {kind:?}");
    }
    assert!(tasks.is_empty(), "nobody sent {tasks:?}");

    let mut cost = BTreeMap::<String, Decimal>::new();
    for row in query(process, "SELECT cause, currency, cost_expected FROM charges") {
        let amount: Decimal = row["cost_expected"].as_str().unwrap().parse().unwrap();
        // A job that was seen without its submit at first had no price then.
        assert!(row["currency"] == "USD" || amount.is_zero(), "{row}");
        *cost.entry(row["cause"].as_str().unwrap().to_owned()).or_default() += amount;
    }
    cost.retain(|_, amount| !amount.is_zero());
    assert_eq!(cost, expected.cost, "money by cause");
    let jobs =
        query(process, "SELECT outcome, count(*) AS jobs FROM jobs WHERE state = 'settled' GROUP BY outcome");
    let jobs: BTreeMap<String, Decimal> = jobs
        .iter()
        .map(|row| (row["outcome"].as_str().unwrap().to_owned(), row["jobs"].as_u64().unwrap().into()))
        .collect();
    assert_eq!(jobs, expected.outcomes, "jobs by outcome");
    assert_eq!(query(process, "PRAGMA integrity_check")[0]["integrity_check"], "ok");
}

/// For the message: tasks whose jobs are not what they should be.
fn strange_jobs(process: &Process, sent: &Sent) -> String {
    let rows = query(
        process,
        "SELECT jobs.job_id, jobs.state, jobs.outcome, jobs.revision, jobs.attempts AS count, task_id
         FROM jobs LEFT JOIN attempts USING (job_id)",
    );
    let late = process.profile.late;
    let is_strange = |row: &&Value| {
        let kind = row["task_id"].as_str().and_then(|task| sent.jobs.get(task));
        kind.is_some_and(|kind| row["outcome"] != kind.truth(late).outcome)
            || row["count"] == 1 && row["task_id"].is_null() && row["outcome"] != "rejected"
    };
    let rows: Vec<String> = rows.iter().filter(is_strange).take(20).map(Value::to_string).collect();
    rows.join("\n")
}
