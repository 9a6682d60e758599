//! What everything sent comes to, and whether the page and the ledger say so.

use std::collections::BTreeMap;
use std::time::Duration;

use rust_decimal::Decimal;

use crate::explain;
use crate::process::Process;
use crate::query::{self, FoundJobs, query};
use crate::retention::{Cut, Turns};
use crate::sent::{Sent, SentJob};
use crate::support::{get, sum_of};
use crate::traffic::Kind;

/// A megapixel of `fal-ai/flux/dev`, in US dollars.
const PRICE: Decimal = Decimal::from_parts(25, 0, 0, false, 3);
/// Everything settles within so many looks, of half a second and more.
const MAX_LOOKS: u32 = 100;

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
    unpriced: Decimal,
    open: Decimal,
}

impl Sums {
    /// Folds everything sent.
    fn fold(plan: &Plan<'_>) -> Self {
        let mut sums = Self::default();
        for truth in plan.jobs.iter().flat_map(|(_, job, cut)| job.truths(*cut, plan.is_idle_over())) {
            let Some(outcome) = truth.outcome else {
                sums.open += Decimal::ONE;
                continue;
            };
            *sums.outcomes.entry(outcome.to_owned()).or_default() += Decimal::ONE;
            for (call, count) in ["submit", "poll", "result"].into_iter().zip(truth.calls) {
                *sums.calls.entry(call.to_owned()).or_default() += Decimal::from(count);
            }
            sums.attempts += Decimal::from(truth.attempts);
            let Some((cause, tenths)) = truth.charged else { continue };
            let units = Decimal::new(tenths, 1);
            *sums.units.entry(cause.to_owned()).or_default() += units;
            if truth.is_priced {
                *sums.cost.entry(cause.to_owned()).or_default() += PRICE * units;
            } else {
                sums.unpriced += Decimal::ONE;
            }
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
            unpriced: net("spantally_unpriced_jobs", "reason").values().sum(),
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

/// What every job must be, as far as the ledger is now.
struct Plan<'s> {
    /// Task, job, and where it was cut.
    jobs: Vec<(&'s String, &'s SentJob, Cut)>,
    turns: Turns,
    found: FoundJobs,
    open: Open,
    /// Jobs of which either of two things may be.
    unsure: usize,
}

impl<'s> Plan<'s> {
    /// `is_up`: the server can be asked what is open.
    fn read(process: &Process, sent: &'s Sent, open: Open, is_up: bool) -> Self {
        let (turns, mut found) = (Turns::read(process), query::settled(process));
        if is_up {
            query::add_open(process, &mut found);
        }
        let mut plan = Self { jobs: Vec::new(), turns, found, open, unsure: 0 };
        for (task, job) in &sent.jobs {
            let cuts = plan.turns.cuts(job);
            let ends = |cut: &Cut| (job.truths(*cut, true), job.late_spans(*cut));
            plan.unsure += usize::from(cuts.iter().any(|cut| ends(cut) != ends(&cuts[0])));
            let is_so = |cut: &&Cut| explain::is_right(job, **cut, &plan.found, plan.is_idle_over());
            let cut = cuts.iter().find(is_so).or(cuts.last()).copied().unwrap_or(Cut::Whole);
            plan.jobs.push((task, job, cut));
        }
        plan
    }

    fn is_idle_over(&self) -> bool {
        self.open == Open::Settle
    }

    fn late_spans(&self) -> u64 {
        self.jobs.iter().map(|(_, job, cut)| job.late_spans(*cut)).sum()
    }

    fn strange(&self, process: &Process) -> String {
        let what = (&self.turns, &self.found);
        explain::strange(process, &self.jobs, what, self.is_idle_over()).unwrap_or_default()
    }

    /// How many jobs a part of which came when the rest was forgotten, and how many of these might have been
    /// in time.
    fn summary(&self) -> String {
        let cut = |(_, job, cut): &&(&String, &SentJob, Cut)| {
            job.late_spans(*cut) > 0 || job.truths(*cut, true).len() > 1
        };
        let cut = self.jobs.iter().filter(cut).count();
        let apart = |(_, job, cut): &&(&String, &SentJob, Cut)| job.truths(*cut, true).len() > 1;
        let apart = self.jobs.iter().filter(apart).count();
        format!(
            "{cut} jobs had a part after the retention, {apart} of them their submit; of {} of {} either \
             could be",
            self.unsure,
            self.jobs.len()
        )
    }
}

/// Waits until the page says what was sent, and fails if it does not come to that. Then compares the ledger.
pub(crate) fn check(process: &Process, sent: &Sent, open: Open) {
    let mut looks = 0;
    let plan = loop {
        looks += 1;
        let (status, page) = get(process.admin, "/metrics").unwrap();
        assert_eq!(status, 200, "{page}");
        let plan = Plan::read(process, sent, open, true);
        let (expected, found) = (Sums::fold(&plan), Sums::read(&page));
        if found == expected {
            check_spans(sent, &plan, &page);
            break plan;
        }
        assert!(
            looks < MAX_LOOKS,
            "sent: {expected:#?}\nfound: {found:#?}\n{}\n{}",
            plan.strange(process),
            process.log()
        );
        std::thread::sleep(Duration::from_millis(500));
    };
    println!("{open:?}: {}", plan.summary());
    check_rows(process, sent, &plan);
}

/// Every span is accounted for, and none was taken for new twice. (But the web request above the calls of a
/// forgotten job, which has no fingerprint: when it is sent again it is taken, and says nothing.)
fn check_spans(sent: &Sent, plan: &Plan<'_>, page: &str) {
    let of = |name: &str| sum_of(page, &format!("spantally_spans_{name}_total"), &[]);
    let parts: Decimal = ["accepted", "duplicate", "late", "ignored", "rejected"].into_iter().map(of).sum();
    assert_eq!(of("received"), parts, "every span is accounted for");
    assert_eq!((of("ignored"), of("rejected")), (Decimal::ZERO, Decimal::ZERO));
    let late = plan.late_spans();
    let in_time = Decimal::from(sent.spans() - late);
    let again: u64 = plan.jobs.iter().map(|(_, job, _)| plan.turns.requests_again(job)).sum();
    let accepted = of("accepted");
    assert!(
        accepted >= in_time && accepted <= in_time + Decimal::from(again),
        "{accepted} spans are new; {in_time} came in time, and {again} may be so twice"
    );
    assert!(
        of("late") >= Decimal::from(late),
        "{late} spans came for forgotten tasks, {} are late",
        of("late")
    );
    if plan.jobs.iter().all(|(_, job, _)| plan.turns.keeps(job)) {
        assert_eq!(of("late"), Decimal::ZERO, "nothing could be late");
    }
    assert!(of("received") >= Decimal::from(sent.acknowledged_spans), "an acknowledged request is lost");
}

/// The same of a server that has ended: of its ledger alone.
pub(crate) fn check_ledger(process: &Process, sent: &Sent, open: Open) {
    check_rows(process, sent, &Plan::read(process, sent, open, false));
}

/// The ledger's rows: every job with the calls that it must have and no others, revisions without gaps, money
/// by cause.
fn check_rows(process: &Process, sent: &Sent, plan: &Plan<'_>) {
    let (expected, open) = (Sums::fold(plan), plan.open);
    let strange = plan.strange(process);
    assert!(strange.is_empty(), "{strange}");
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
    for (task, SentJob { kind, .. }) in &sent.jobs {
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
