//! What is not settled yet: how much of it, how old, and what it may still cost.
//!
//! Jobs in the open are billed as they look now. Nothing of that enters a counter; but the series that they
//! will count in are made, at zero, so that Prometheus has seen them before the money comes.
//!
//! *Exposure* is what may still appear on an invoice: the least and the most of open jobs, plus, on the side
//! of the most, what is undecided of settled ones ([`super::exposure`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_price::{Bill, Bound, Cards, Charge, bill};
use spantally_stitch::{Attempt, Cause, Job, JobId, Outcome, UnixNanos};

use super::Core;
use super::books::Books;
use super::entries::{entries, job_labels};
use super::windows::WINDOWS;
use crate::export::{MetricId, SetId};
use crate::job_json::Rfc3339;

/// A job that has not settled, as it looks now.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenJob {
    /// The job.
    pub job: Job,
    /// What it would cost if it stayed so.
    pub bill: Bill,
}

impl OpenJob {
    /// The job as it is shown. An attempt of which nothing has told the end is *abandoned* once nothing came
    /// within the limit; until then that is not decided. What it may cost stays as it is.
    pub(super) fn shown(mut job: Job, mut bill: Bill) -> Self {
        let abandoned = |attempt: &Attempt| attempt.outcome == Outcome::Abandoned;
        let undecided = |charge: &&mut Charge| job.attempts.get(charge.attempt).is_some_and(abandoned);
        let charges = bill.charges.iter_mut().filter(undecided);
        for charge in charges.filter(|charge| charge.cause == Cause::Abandoned) {
            charge.cause = Cause::Unverified;
        }
        for attempt in job.attempts.iter_mut().filter(|attempt| abandoned(attempt)) {
            attempt.outcome = Outcome::Unknown;
            if attempt.cause == Cause::Abandoned {
                attempt.cause = Cause::Unverified;
            }
        }
        if job.outcome == Outcome::Abandoned {
            job.outcome = Outcome::Unknown;
        }
        Self { job, bill }
    }
}

/// Most open jobs that are kept to be shown, those that started first; the rest is in the sums alone. One
/// takes the room of five that only wait.
pub(crate) const MAX_SHOWN: usize = 2000;

/// Open jobs as they are gone through.
#[derive(Debug, Default)]
pub(super) struct OpenTally {
    sums: BTreeMap<SetId, Sums>,
    shown: Oldest,
    pub(super) count: usize,
}

/// The jobs that started first, as far as they were gone through, and at times as many others.
#[derive(Debug, Default)]
struct Oldest {
    jobs: Vec<OpenJob>,
    /// There are enough that started before this one.
    before: Option<(UnixNanos, JobId)>,
}

impl Oldest {
    fn takes(&self, job: &Job) -> bool {
        self.before.is_none_or(|before| age(job) < before)
    }

    fn push(&mut self, open: OpenJob) {
        self.jobs.push(open);
        if self.jobs.len() >= 2 * MAX_SHOWN {
            let (_, next, _) = self.jobs.select_nth_unstable_by_key(MAX_SHOWN, |open| age(&open.job));
            self.before = Some(age(&next.job));
            self.jobs.truncate(MAX_SHOWN);
        }
    }

    /// By start.
    fn into_sorted(mut self) -> Vec<OpenJob> {
        self.jobs.sort_unstable_by_key(|open| age(&open.job));
        self.jobs.truncate(MAX_SHOWN);
        self.jobs.shrink_to_fit();
        self.jobs
    }
}

/// What started first comes first.
fn age(job: &Job) -> (UnixNanos, JobId) {
    (job.started_at, job.id)
}

#[derive(Debug, Default)]
struct Sums {
    /// One of them.
    first: Option<Box<OpenJob>>,
    jobs: u64,
    oldest: Option<UnixNanos>,
    exposure: BTreeMap<Arc<str>, Bound>,
}

impl Core {
    /// Prices by other cards from now on. What is booked stays; a job that is revised is priced anew as a
    /// whole, and the difference is booked.
    pub(crate) fn set_cards(&mut self, cards: Arc<Cards>) {
        self.books.set_cards(cards, self.now);
    }
}

impl Books {
    /// Takes one open job into the sums.
    pub(super) fn tally_open(&mut self, tally: &mut OpenTally, job: Job) {
        let bill = bill(&job, &self.cards);
        let set = self.registry.intern(&job_labels(&job));
        let sum = tally.sums.entry(set).or_default();
        if sum.jobs == 0 {
            sum.first = Some(Box::new(OpenJob { job: job.clone(), bill: bill.clone() }));
        }
        sum.jobs += 1;
        sum.oldest = Some(sum.oldest.map_or(job.started_at, |oldest| oldest.min(job.started_at)));
        for (currency, cost) in bill.cost() {
            let bound = sum.exposure.entry(currency).or_default();
            *bound = *bound + cost;
        }
        tally.count += 1;
        if tally.shown.takes(&job) {
            tally.shown.push(OpenJob::shown(job, bill));
        }
    }

    /// Sets every gauge about open jobs; gives those that are shown, by start.
    pub(super) fn show_open(&mut self, tally: OpenTally, now: UnixNanos) -> Vec<OpenJob> {
        let OpenTally { sums, shown, .. } = tally;
        for metric in [MetricId::OpenJobs, MetricId::OpenJobAge, MetricId::Exposure] {
            self.registry.zero(metric);
        }
        for (labels, amount) in self.exposure.open(now) {
            self.registry.show_exposure(labels, amount, now);
        }
        // Nothing open is zero, and not nothing.
        for set in self.registry.sets().of_jobs() {
            for metric in [MetricId::OpenJobs, MetricId::OpenJobAge] {
                self.registry.series(metric, set, &[], now);
            }
        }
        for (set, sum) in sums {
            if let Some(first) = sum.first {
                // One job makes the series of all that are alike; not earlier, since what is shown is on
                // disk.
                entries(&mut self.registry, &first.job, &first.bill, now);
                self.expect_success(set, first.job.is_voice_session(), &first.bill, now);
            }
            let age = sum.oldest.map_or(0, |oldest| now.0.saturating_sub(oldest.0) / 1_000_000);
            let jobs = self.registry.series(MetricId::OpenJobs, set, &[], now);
            self.registry.set(jobs, Decimal::from(sum.jobs));
            let oldest = self.registry.series(MetricId::OpenJobAge, set, &[], now);
            self.registry.set(oldest, Decimal::from_i128_with_scale(i128::from(age), 3));
            for (currency, bound) in sum.exposure {
                for (word, amount) in [("min", bound.min), ("max", bound.max)] {
                    let series = self.registry.series(MetricId::Exposure, set, &[&currency, word], now);
                    self.registry.add(series, amount);
                }
            }
        }
        shown.into_sorted()
    }

    /// Makes the histograms in which a job counts if it succeeds. Those of other outcomes come into being
    /// with the first job of theirs.
    fn expect_success(&mut self, set: SetId, is_session: bool, bill: &Bill, now: UnixNanos) {
        let outcome = Outcome::Succeeded.as_str();
        let of_any = [MetricId::JobDuration, MetricId::JobPolls, MetricId::JobAttempts];
        let of_session = is_session.then_some(MetricId::VoiceSessionDuration);
        for metric in of_any.into_iter().chain(of_session) {
            self.registry.series(metric, set, &[outcome], now);
        }
        for (currency, _) in bill.cost() {
            self.registry.series(MetricId::JobCost, set, &[&currency, outcome], now);
        }
    }

    /// Other rate cards: their gauges are made anew.
    fn set_cards(&mut self, cards: Arc<Cards>, now: UnixNanos) {
        self.cards = cards;
        for metric in [MetricId::RateCardAge, MetricId::RateCardInfo] {
            self.registry.clear(metric);
        }
        self.show_time(now);
    }

    /// Computes the gauges that depend on the time alone: shares of the windows, age of the rate cards.
    pub(super) fn show_time(&mut self, now: UnixNanos) {
        for metric in [MetricId::RetryCostRatio, MetricId::WasteCostRatio] {
            self.registry.clear(metric);
        }
        for (window, minutes) in WINDOWS {
            for ([provider, model, currency], shares) in self.windows.shares(minutes, now) {
                let own = [&**provider, &**model, &**currency, window];
                for (metric, share) in
                    [(MetricId::RetryCostRatio, shares.retry), (MetricId::WasteCostRatio, shares.waste)]
                {
                    let series = self.registry.series(metric, SetId::NONE, &own, now);
                    self.registry.set(series, share);
                }
            }
        }
        for card in self.cards.iter() {
            let Some(as_of) = card.as_of() else { continue };
            let age = Decimal::from(now.0.saturating_sub(as_of.0) / 1_000_000_000);
            let series = self.registry.series(MetricId::RateCardAge, SetId::NONE, &[&card.provider], now);
            self.registry.set(series, age);
            let moment = Rfc3339(as_of).to_string();
            let day = moment.split('T').next().unwrap_or_default();
            let series =
                self.registry.series(MetricId::RateCardInfo, SetId::NONE, &[&card.provider, day], now);
            self.registry.set(series, Decimal::ONE);
        }
    }
}

#[cfg(test)]
mod tests {
    use spantally_price::Basis;
    use spantally_stitch::Accepted;

    use super::*;

    fn attempt(outcome: Outcome, cause: Cause) -> Attempt {
        Attempt {
            task_id: None,
            provider: "fal".into(),
            model: "".into(),
            operation: "".into(),
            rule: "".into(),
            leg: None,
            accepted: Accepted::Yes,
            outcome,
            failure_reason: None,
            canceled_before_start: false,
            cause,
            started_at: UnixNanos(1),
            ended_at: UnixNanos(2),
            calls: Vec::new(),
            joins: Vec::new(),
            facts: Vec::new(),
        }
    }

    fn charge(cause: Cause) -> Charge {
        Charge {
            attempt: 0,
            unit: "image".into(),
            quantity: Bound::default(),
            unit_price: None,
            cost: Bound::default(),
            currency: "USD".into(),
            cause,
            basis: Basis::Assumed,
            rule: "fal/image".into(),
            policy: "fal/made".into(),
            consumed: None,
        }
    }

    #[test]
    fn of_more_than_can_be_shown_those_that_started_first_are() {
        let job = |start: u64| Job {
            id: JobId(u128::from(start).to_be_bytes()),
            started_at: UnixNanos(start / 2),
            ..Job::default()
        };
        // In no order, and two started at each moment.
        let all = 5 * MAX_SHOWN as u64 + 3;
        let mut oldest = Oldest::default();
        let mut taken = 0;
        for number in 0..all {
            let job = job(number * 7919 % all);
            if oldest.takes(&job) {
                taken += 1;
                oldest.push(OpenJob { job, bill: Bill::default() });
            }
            assert!(oldest.jobs.len() < 2 * MAX_SHOWN);
        }
        let shown: Vec<JobId> = oldest.into_sorted().iter().map(|open| open.job.id).collect();
        assert_eq!(shown, (0..MAX_SHOWN as u64).map(|start| job(start).id).collect::<Vec<_>>());
        assert!(taken < all, "what is too late is not copied");
        let mut few = Oldest::default();
        for start in [9, 3, 5] {
            few.push(OpenJob { job: job(start), bill: Bill::default() });
        }
        assert_eq!(few.into_sorted().iter().map(|open| open.job.started_at.0).collect::<Vec<_>>(), [1, 2, 4]);
    }

    #[test]
    fn an_end_that_is_not_decided_is_not_shown_as_abandoned() {
        for (outcome, cause, shown) in [
            (Outcome::Abandoned, Cause::Abandoned, (Outcome::Unknown, Cause::Unverified)),
            (Outcome::Abandoned, Cause::Duplicate, (Outcome::Unknown, Cause::Duplicate)),
            (Outcome::Failed, Cause::Failed, (Outcome::Failed, Cause::Failed)),
        ] {
            let job = Job { outcome, attempts: vec![attempt(outcome, cause)], ..Job::default() };
            let bill = Bill { charges: vec![charge(cause)], ..Bill::default() };
            let open = OpenJob::shown(job, bill);
            assert_eq!((open.job.outcome, open.bill.charges[0].cause), shown);
            assert_eq!((open.job.attempts[0].outcome, open.job.attempts[0].cause), shown);
        }
    }
}
