//! One pass over the jobs; then each table from its own map.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, reason = "a decimal's operators panic"))]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_price::{Bound, add};
use spantally_stitch::{Accepted, Attempt, Cause, Confidence, FailureReason, Job, JoinRule, Outcome, Role};

use super::{
    CauseRow, FailureRow, Finding, GroupRow, JoinRow, Money, PartRow, PollRow, Summary, UnpricedRow,
    UnverifiedRow, WastefulRow,
};
use crate::core::Settled;
use crate::job_json::Rfc3339;

/// The share of jobs, in percent, that the second figure about polls is of.
const PERCENTILE: usize = 95;

/// Most jobs in the list of wasteful ones.
const WASTEFUL_MAX: usize = 20;

type Costs = BTreeMap<Arc<str>, Bound>;
/// Jobs by provider, model and reason.
type Unpriced = BTreeMap<(Arc<str>, Arc<str>, &'static str), BTreeSet<usize>>;

/// Attempts, their jobs and their money.
#[derive(Default)]
struct Tally {
    attempts: u64,
    jobs: BTreeSet<usize>,
    costs: Costs,
}

impl Tally {
    fn add(&mut self, job: usize, costs: &Costs) {
        self.attempts += 1;
        self.jobs.insert(job);
        add_costs(&mut self.costs, costs);
    }

    fn finding(self) -> Finding {
        Finding { attempts: self.attempts, jobs: self.jobs.len() as u64, cost: money(self.costs) }
    }
}

/// A provider's or a model's jobs and money.
#[derive(Default)]
struct Group {
    jobs: u64,
    delivered: u64,
    unverified: u64,
    costs: Costs,
    /// By currency, what is to be divided among the jobs that delivered.
    each: BTreeMap<Arc<str>, Each>,
}

/// Money of jobs whose end is known, and how many of those with money delivered.
#[derive(Clone, Copy, Default)]
struct Each {
    cost: Decimal,
    delivered: u64,
}

#[derive(Default)]
struct Counts {
    costs: Costs,
    causes: BTreeMap<(Arc<str>, Cause), (Decimal, BTreeSet<usize>)>,
    providers: BTreeMap<Arc<str>, Group>,
    models: BTreeMap<(Arc<str>, Arc<str>), Group>,
    duplicates: Tally,
    failed_but_billed: Tally,
    ambiguous: Tally,
    polls: BTreeMap<Arc<str>, Vec<u64>>,
    failures: BTreeMap<FailureReason, Tally>,
    unpriced: Unpriced,
    unverified: BTreeMap<Arc<str>, Tally>,
    wasteful: Vec<WastefulRow>,
    joins: BTreeMap<(Confidence, JoinRule), u64>,
}

/// Everything about jobs; what is about the recording is left at its default.
pub(super) fn count(jobs: &[Settled]) -> Summary {
    let mut counts = Counts::default();
    for (number, settled) in jobs.iter().enumerate() {
        counts.job(number, settled);
    }
    let mut outcomes = BTreeMap::new();
    for settled in jobs {
        *outcomes.entry(settled.job.outcome.as_str()).or_default() += 1;
    }
    let attempts = || jobs.iter().flat_map(|settled| &settled.job.attempts);
    let moment = |at| Rfc3339(at).to_string();
    Summary {
        from: jobs.iter().map(|settled| settled.job.started_at).min().map(moment),
        until: jobs.iter().map(|settled| settled.job.ended_at).max().map(moment),
        jobs: jobs.len() as u64,
        outcomes,
        attempts: attempts().count() as u64,
        calls: attempts().map(|attempt| attempt.calls.len() as u64).sum::<u64>(),
        ..counts.into_summary()
    }
}

impl Counts {
    fn job(&mut self, number: usize, settled: &Settled) {
        let Settled { job, bill, .. } = settled;
        add_costs(&mut self.costs, &bill.cost());
        for charge in bill.charges.iter().filter(|charge| charge.unit_price.is_some()) {
            let key = (Arc::clone(&charge.currency), charge.cause);
            let (cost, jobs) = self.causes.entry(key).or_default();
            add(cost, charge.cost.expected);
            jobs.insert(number);
        }
        let of_attempts = costs_of_attempts(settled);
        for (attempt, costs) in job.attempts.iter().zip(&of_attempts) {
            self.attempt(number, attempt, costs);
        }
        self.groups(job, &of_attempts);
        self.polls_of(job);
        for unpriced in &bill.unpriced {
            let Some(attempt) = job.attempts.get(unpriced.attempt) else { continue };
            let key = (Arc::clone(&attempt.provider), Arc::clone(&attempt.model), unpriced.reason.as_str());
            self.unpriced.entry(key).or_default().insert(number);
        }
        self.waste_of(settled);
    }

    fn attempt(&mut self, number: usize, attempt: &Attempt, costs: &Costs) {
        if attempt.cause == Cause::Duplicate {
            self.duplicates.add(number, costs);
        }
        let is_ambiguous = attempt.accepted == Accepted::Ambiguous;
        let failed = matches!(attempt.outcome, Outcome::Failed | Outcome::Rejected) && !is_ambiguous;
        if failed && costs.values().any(|cost| cost.expected > Decimal::ZERO) {
            self.failed_but_billed.add(number, costs);
        }
        if is_ambiguous {
            self.ambiguous.add(number, costs);
        }
        if attempt.cause == Cause::Unverified {
            self.unverified.entry(Arc::clone(&attempt.provider)).or_default().add(number, costs);
        }
        if let Some(reason) = attempt.failure_reason {
            self.failures.entry(reason).or_default().add(number, costs);
        }
        for join in &attempt.joins {
            *self.joins.entry((join.confidence, join.rule)).or_default() += 1;
        }
    }

    /// A job counts once in each group that one of its attempts is of; each charge counts where its attempt
    /// does.
    fn groups(&mut self, job: &Job, of_attempts: &[Costs]) {
        let (mut seen, mut paid) = (BTreeSet::new(), BTreeSet::new());
        let has_delivered = matches!(job.outcome, Outcome::Succeeded | Outcome::Partial);
        for (attempt, costs) in job.attempts.iter().zip(of_attempts) {
            let (provider, model) = (&attempt.provider, &attempt.model);
            let groups = [
                (None, self.providers.entry(Arc::clone(provider)).or_default()),
                (Some(model), self.models.entry((Arc::clone(provider), Arc::clone(model))).or_default()),
            ];
            for (model, group) in groups {
                add_costs(&mut group.costs, costs);
                if seen.insert((provider, model)) {
                    group.jobs += 1;
                    group.delivered += u64::from(has_delivered);
                    group.unverified += u64::from(job.outcome == Outcome::Unknown);
                }
                for (currency, cost) in costs {
                    let each = group.each.entry(Arc::clone(currency)).or_default();
                    if attempt.cause != Cause::Unverified {
                        add(&mut each.cost, cost.expected);
                    }
                    each.delivered += u64::from(has_delivered && paid.insert((provider, model, currency)));
                }
            }
        }
    }

    fn polls_of(&mut self, job: &Job) {
        let mut polls = BTreeMap::<&Arc<str>, u64>::new();
        for attempt in &job.attempts {
            *polls.entry(&attempt.provider).or_default() += attempt.count(Role::Poll) as u64;
        }
        for (provider, count) in polls.into_iter().filter(|&(_, count)| count > 0) {
            self.polls.entry(Arc::clone(provider)).or_default().push(count);
        }
    }

    fn waste_of(&mut self, settled: &Settled) {
        let Settled { job, bill, .. } = settled;
        let mut wasted = BTreeMap::<&Arc<str>, (Decimal, BTreeSet<Cause>)>::new();
        let charges = bill.charges.iter().filter(|charge| charge.unit_price.is_some());
        for charge in charges.filter(|charge| charge.cause.is_waste()) {
            let (waste, causes) = wasted.entry(&charge.currency).or_default();
            add(waste, charge.cost.expected);
            causes.insert(charge.cause);
        }
        for (currency, (waste, causes)) in wasted {
            if waste > Decimal::ZERO {
                self.wasteful.push(WastefulRow {
                    job_id: job.id.to_string(),
                    provider: Arc::clone(&job.provider),
                    model: Arc::clone(&job.model),
                    outcome: job.outcome.as_str(),
                    currency: Arc::clone(currency),
                    waste: waste.normalize(),
                    causes: causes.into_iter().map(Cause::as_str).collect(),
                });
            }
        }
    }

    fn into_summary(mut self) -> Summary {
        self.wasteful.sort_by(|a, b| (Reverse(a.waste), &a.job_id).cmp(&(Reverse(b.waste), &b.job_id)));
        self.wasteful.truncate(WASTEFUL_MAX);
        Summary {
            retry_driven: self.part(Cause::is_retry_driven),
            waste: self.part(Cause::is_waste),
            causes: self.causes(),
            providers: groups(self.providers.into_iter().map(|(provider, group)| (provider, None, group))),
            models: groups(
                self.models.into_iter().map(|((provider, model), group)| (provider, Some(model), group)),
            ),
            duplicates: self.duplicates.finding(),
            failed_but_billed: self.failed_but_billed.finding(),
            ambiguous_submits: self.ambiguous.finding(),
            polls: self.polls.into_iter().map(|(provider, polls)| poll_row(provider, polls)).collect(),
            failures: failures(self.failures),
            unpriced: unpriced(self.unpriced),
            unverified: unverified(self.unverified),
            wasteful: self.wasteful,
            joins: joins(&self.joins),
            cost: money(self.costs),
            ..Summary::default()
        }
    }

    fn causes(&self) -> Vec<CauseRow> {
        let rows = self.causes.iter().map(|((currency, cause), (cost, jobs))| CauseRow {
            currency: Arc::clone(currency),
            cause: cause.as_str(),
            cost: cost.normalize(),
            share: self.share(currency, *cost),
            jobs: jobs.len() as u64,
            is_waste: cause.is_waste(),
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by(|a, b| (&a.currency, Reverse(a.cost)).cmp(&(&b.currency, Reverse(b.cost))));
        rows
    }

    fn part(&self, is_in: impl Fn(Cause) -> bool) -> Vec<PartRow> {
        let of = |currency: &Arc<str>| {
            let (mut cost, mut jobs) = (Decimal::ZERO, BTreeSet::<usize>::new());
            for ((_, cause), (part, of)) in self.causes.iter().filter(|((own, _), _)| own == currency) {
                if is_in(*cause) {
                    add(&mut cost, *part);
                    jobs.extend(of);
                }
            }
            PartRow {
                currency: Arc::clone(currency),
                cost: cost.normalize(),
                share: self.share(currency, cost),
                jobs: jobs.len() as u64,
            }
        };
        self.costs.keys().map(of).collect()
    }

    fn share(&self, currency: &Arc<str>, part: Decimal) -> Decimal {
        let whole = self.costs.get(currency).map_or(Decimal::ZERO, |cost| cost.expected);
        part.checked_div(whole).unwrap_or_default().round_dp(6).normalize()
    }
}

/// What each attempt of a job cost, by currency; what has no price is not in it.
fn costs_of_attempts(settled: &Settled) -> Vec<Costs> {
    let mut costs = vec![Costs::new(); settled.job.attempts.len()];
    for charge in settled.bill.charges.iter().filter(|charge| charge.unit_price.is_some()) {
        let Some(costs) = costs.get_mut(charge.attempt) else { continue };
        let cost = costs.entry(Arc::clone(&charge.currency)).or_default();
        *cost = *cost + charge.cost;
    }
    costs
}

fn add_costs(sums: &mut Costs, costs: &Costs) {
    for (currency, cost) in costs {
        let sum = sums.entry(Arc::clone(currency)).or_default();
        *sum = *sum + *cost;
    }
}

fn money(costs: Costs) -> BTreeMap<Arc<str>, Money> {
    costs.into_iter().map(|(currency, bound)| (currency, bound.into())).collect()
}

/// The dearest first; without one exchange rate the largest figure of any currency decides.
fn dearest(cost: &BTreeMap<Arc<str>, Money>) -> Reverse<Option<Decimal>> {
    Reverse(cost.values().map(|money| money.expected).max())
}

fn groups(groups: impl Iterator<Item = (Arc<str>, Option<Arc<str>>, Group)>) -> Vec<GroupRow> {
    let row = |(provider, model, group): (Arc<str>, Option<Arc<str>>, Group)| {
        let per_delivered = |(currency, each): (&Arc<str>, &Each)| {
            let cost = each.cost.checked_div(Decimal::from(each.delivered))?;
            Some((Arc::clone(currency), cost.round_dp(6).normalize()))
        };
        GroupRow {
            provider,
            model,
            jobs: group.jobs,
            delivered: group.delivered,
            unverified: group.unverified,
            cost_per_delivered: group.each.iter().filter_map(per_delivered).collect(),
            cost: money(group.costs),
        }
    };
    let mut rows: Vec<_> = groups.map(row).collect();
    rows.sort_by_key(|row| (dearest(&row.cost), Reverse(row.jobs)));
    rows
}

/// Nearest rank: the least figure that so many percent of all do not exceed.
fn poll_row(provider: Arc<str>, mut polls: Vec<u64>) -> PollRow {
    polls.sort_unstable();
    let at = |percent: usize| {
        let rank = (polls.len() * percent).div_ceil(100).max(1);
        polls.get(rank - 1).copied().unwrap_or_default()
    };
    PollRow { provider, jobs: polls.len() as u64, median: at(50), p95: at(PERCENTILE), max: at(100) }
}

fn failures(failures: BTreeMap<FailureReason, Tally>) -> Vec<FailureRow> {
    let rows = failures.into_iter().map(|(reason, tally)| FailureRow {
        reason: reason.as_str(),
        attempts: tally.attempts,
        jobs: tally.jobs.len() as u64,
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|row| Reverse(row.attempts));
    rows
}

fn unpriced(unpriced: Unpriced) -> Vec<UnpricedRow> {
    let rows = unpriced.into_iter().map(|((provider, model, reason), jobs)| UnpricedRow {
        provider,
        model,
        reason,
        jobs: jobs.len() as u64,
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|row| Reverse(row.jobs));
    rows
}

fn unverified(unverified: BTreeMap<Arc<str>, Tally>) -> Vec<UnverifiedRow> {
    let rows = unverified.into_iter().map(|(provider, tally)| UnverifiedRow {
        provider,
        jobs: tally.jobs.len() as u64,
        cost: money(tally.costs),
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|row| (dearest(&row.cost), Reverse(row.jobs)));
    rows
}

fn joins(joins: &BTreeMap<(Confidence, JoinRule), u64>) -> Vec<JoinRow> {
    let row = |(&(confidence, rule), &joins): (&(Confidence, JoinRule), &u64)| JoinRow {
        confidence: confidence.as_str(),
        rule: rule.as_str(),
        joins,
    };
    joins.iter().map(row).collect()
}
