//! What if: the same jobs with fewer attempts, a shorter patience, or polls further apart.
//!
//! - `--max-attempts N`: attempts after the N-th are not made. What they cost is saved, unless the same task
//!   is of an attempt that stays (an idempotency key). A job that only a later attempt delivered is lost.
//! - `--timeout T`: a task whose output was there later than T after its submit is given up. The provider
//!   bills it all the same, so nothing is saved but polls; a job that only such a task delivered is lost.
//!   What the client does after that stays as it was: the next submit, if there was one, is made.
//! - `--poll-every D`: the first poll stays where it was, the next ones are D apart, and the end is seen by
//!   the first that is not before the poll that saw it. The end then waits half an interval on average, so
//!   the delay that is added is half of what D is longer than the intervals were (less than nothing, if it is
//!   shorter).
//!
//! Together they are applied in this order. A job without evidence of success may have brought something all
//! the same, so it is not lost but may be. What the source does not tell (the times of calls, in a ledger) is
//! not judged, and counted. Voice sessions, whose attempts are their legs, stay as they are.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Serialize;
use spantally_stitch::Role;

use super::money::{self, Figures, Money};
use super::times::Times;
use crate::cli::job_doc::{AttemptDoc, JobDoc, unix_ms};

/// What is tried. Times are milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_every_ms: Option<i64>,
}

impl Limits {
    /// Each alone, then all together if there are several.
    pub(super) fn variants(self) -> Vec<Self> {
        let alone = [
            Self { max_attempts: self.max_attempts, ..Self::default() },
            Self { timeout_ms: self.timeout_ms, ..Self::default() },
            Self { poll_every_ms: self.poll_every_ms, ..Self::default() },
        ];
        let mut variants: Vec<_> = alone.into_iter().filter(|one| *one != Self::default()).collect();
        if variants.len() > 1 {
            variants.push(self);
        }
        variants
    }

    /// Whether the times of a job's calls are needed to judge it.
    pub(super) fn need_times(self, job: &JobDoc) -> bool {
        let is_polled = job.attempts.iter().any(|attempt| attempt.polls > 1);
        self.timeout_ms.is_some_and(|timeout| !ends_within(job, timeout))
            || self.poll_every_ms.is_some() && is_polled
    }
}

/// What would have come of it.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct WhatIf {
    #[serde(flatten)]
    pub limits: Limits,
    /// Jobs that cannot be judged, since the times of their calls are not known.
    pub not_judged: u64,
    pub attempts_not_made: u64,
    /// Less than nothing where polls would be closer together than they were.
    pub polls_saved: i64,
    /// Jobs that delivered, and would not have.
    pub lost: u64,
    /// Jobs of which the spans do not tell whether they delivered, or would have.
    pub may_be_lost: u64,
    pub saved: Money,
    /// What tasks that are given up cost all the same.
    pub spent_on_given_up: Money,
    /// Saved money by lost job, as expected; nothing without a lost job.
    pub saved_per_lost_job: BTreeMap<String, Decimal>,
    /// Tasks that delivered and were polled, and by how many seconds each is seen later on average.
    pub delayed: u64,
    pub delay_seconds: Option<Decimal>,
    #[serde(skip)]
    delay_twice_ms: Decimal,
}

/// What becomes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stays,
    NotMade,
    GivenUp,
    /// It may be given up: the spans do not tell when its end was there, or a poll would see it too late.
    Either,
    /// The times of its calls are not known.
    NotJudged,
}

impl WhatIf {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Judges a job.
    pub(super) fn add(&mut self, job: &JobDoc, times: Option<&[Times]>) {
        if is_session(job) {
            return;
        }
        let max = self.limits.max_attempts.unwrap_or(usize::MAX);
        let (kept, cut) = job.attempts.split_at(max.min(job.attempts.len()));
        self.cut(job, kept, cut);
        let mut fates = Vec::new();
        for (index, attempt) in kept.iter().enumerate() {
            let times = times.and_then(|times| times.get(index));
            let mut fate = fate(job, attempt, times, self.limits.timeout_ms);
            self.polls(job, index, times, &mut fate);
            if fate == Fate::GivenUp {
                money::add(&mut self.spent_on_given_up, money::part(job, |charge| charge.attempt == index));
            }
            fates.push(fate);
        }
        self.not_judged += u64::from(fates.contains(&Fate::NotJudged));
        fates.resize(job.attempts.len(), Fate::NotMade);
        self.loss(job, &fates);
    }

    /// Attempts that are not made.
    fn cut(&mut self, job: &JobDoc, kept: &[AttemptDoc], cut: &[AttemptDoc]) {
        if cut.is_empty() {
            return;
        }
        self.attempts_not_made += cut.len() as u64;
        self.polls_saved += cut.iter().map(|attempt| attempt.polls.cast_signed() as i64).sum::<i64>();
        let stays = |task: &String| kept.iter().any(|attempt| attempt.task_id.as_ref() == Some(task));
        let is_saved = |index: usize| {
            let attempt = job.attempts.get(index).filter(|_| index >= kept.len());
            attempt.is_some_and(|attempt| !attempt.task_id.as_ref().is_some_and(stays))
        };
        money::add(&mut self.saved, money::part(job, |charge| is_saved(charge.attempt)));
    }

    /// Polls of an attempt that is made.
    fn polls(&mut self, job: &JobDoc, index: usize, times: Option<&Times>, fate: &mut Fate) {
        let Some(attempt) = job.attempts.get(index) else { return };
        let is_asked = *fate == Fate::GivenUp || self.limits.poll_every_ms.is_some() && attempt.polls > 1;
        if !is_asked || *fate == Fate::NotJudged {
            return;
        }
        let Some(times) = times else {
            *fate = Fate::NotJudged;
            return;
        };
        let all = times.polls();
        let until =
            self.limits.timeout_ms.and_then(|timeout| Some(times.submitted()?.saturating_add(timeout)));
        let until = until.filter(|_| *fate == Fate::GivenUp);
        let made: Vec<i64> =
            all.iter().copied().filter(|at| until.is_none_or(|until| *at <= until)).collect();
        let mut count = made.len();
        if let (Some(every), [first, .., last]) = (self.limits.poll_every_ms, made.as_slice()) {
            let length = until.unwrap_or(*last).saturating_sub(*first);
            let steps =
                if until.is_some() { length / every } else { length.saturating_add(every - 1) / every };
            count = 1 + steps.unsigned_abs() as usize;
            let seen = first.saturating_add(steps.saturating_mul(every));
            if *fate == Fate::Stays && is_delivered(&attempt.outcome) {
                self.delay(every, last.saturating_sub(*first), made.len());
                let patience =
                    self.limits.timeout_ms.and_then(|ms| Some(times.submitted()?.saturating_add(ms)));
                if patience.is_some_and(|patience| seen > patience) {
                    *fate = Fate::Either;
                }
            }
        }
        self.saved_polls(job, index, all.len(), count);
    }

    fn delay(&mut self, every: i64, length: i64, polls: usize) {
        let interval = Decimal::from(length).checked_div(Decimal::from(polls.saturating_sub(1)));
        let longer = Decimal::from(every).saturating_sub(interval.unwrap_or_default());
        self.delayed += 1;
        self.delay_twice_ms = self.delay_twice_ms.saturating_add(longer);
    }

    /// Polls, and what they cost where the provider bills them.
    fn saved_polls(&mut self, job: &JobDoc, index: usize, were: usize, are: usize) {
        let saved = (were.cast_signed() - are.cast_signed()) as i64;
        self.polls_saved += saved;
        let polls = money::part(job, |charge| charge.attempt == index && charge.cause == "poll");
        let share = Decimal::from(saved).checked_div(Decimal::from(were)).unwrap_or_default();
        let saved = polls.into_iter().map(|(currency, figures)| (currency, figures.scaled(share)));
        money::add(&mut self.saved, saved.filter(|(_, figures)| *figures != Figures::default()).collect());
    }

    /// Whether the job is lost.
    fn loss(&mut self, job: &JobDoc, fates: &[Fate]) {
        let with = |fate: Fate, is_in: fn(&AttemptDoc) -> bool| {
            let mut attempts = job.attempts.iter().zip(fates);
            attempts.any(|(attempt, of)| *of == fate && is_in(attempt))
        };
        let delivers: fn(&AttemptDoc) -> bool = |attempt| is_delivered(&attempt.outcome);
        let may_deliver: fn(&AttemptDoc) -> bool =
            |attempt| attempt.outcome == "unknown" && attempt.accepted != "no";
        if with(Fate::Stays, delivers) {
            return;
        }
        let is_touched = fates.iter().any(|fate| !matches!(fate, Fate::Stays | Fate::NotJudged));
        if is_delivered(&job.outcome) {
            match () {
                () if with(Fate::NotJudged, delivers) => {}
                () if with(Fate::Either, delivers) => self.may_be_lost += 1,
                // What says that the job delivered says of no attempt that it did.
                () if !job.attempts.iter().any(delivers) && is_touched => self.may_be_lost += 1,
                () if with(Fate::Stays, may_deliver) && is_touched => self.may_be_lost += 1,
                () if is_touched => self.lost += 1,
                () => {}
            }
        } else if job.outcome == "unknown" && is_touched {
            let is_left = with(Fate::Stays, may_deliver) || with(Fate::NotJudged, may_deliver);
            self.may_be_lost += u64::from(!is_left);
        }
    }

    /// Works out the means.
    pub(super) fn finish(&mut self) {
        let lost = Decimal::from(self.lost);
        let each = |(currency, saved): (&String, &Figures)| {
            let each = saved.expected.checked_div(lost)?;
            Some((currency.clone(), each.round_dp(6).normalize()))
        };
        self.saved_per_lost_job = self.saved.iter().filter_map(each).collect();
        let seconds = self.delay_twice_ms.checked_div(Decimal::from(self.delayed));
        let seconds = seconds.and_then(|twice| twice.checked_div(Decimal::from(2_000)));
        self.delay_seconds = seconds.map(|seconds| seconds.round_dp(3).normalize());
    }
}

/// What a time-out makes of an attempt.
fn fate(job: &JobDoc, attempt: &AttemptDoc, times: Option<&Times>, timeout: Option<i64>) -> Fate {
    let Some(timeout) = timeout.filter(|timeout| !ends_within(job, *timeout)) else { return Fate::Stays };
    let times = times.and_then(|times| Some((times, times.submitted()?.saturating_add(timeout))));
    let Some((times, until)) = times else { return Fate::NotJudged };
    let end =
        if is_delivered(&attempt.outcome) { times.delivered() } else { times.ended().map(|end| (end, end)) };
    match end {
        None => Fate::NotJudged,
        Some((_, late)) if late <= until => Fate::Stays,
        Some((early, _)) if early > until => Fate::GivenUp,
        Some(_) => Fate::Either,
    }
}

fn is_delivered(outcome: &str) -> bool {
    matches!(outcome, "succeeded" | "partial")
}

/// Whether the whole job took no longer than that, so that no task of it did.
fn ends_within(job: &JobDoc, ms: i64) -> bool {
    let length = unix_ms(&job.ended_at).and_then(|end| Some(end.saturating_sub(unix_ms(&job.started_at)?)));
    length.is_some_and(|length| length <= ms)
}

/// Whether it is a voice session: legs of several kinds, speech put together by its session, or a connection
/// that stays open.
pub(super) fn is_session(job: &JobDoc) -> bool {
    let legs = || job.attempts.iter().filter_map(|attempt| attempt.leg.as_deref());
    let by_session = |attempt: &AttemptDoc| attempt.joins.iter().any(|join| join.rule == "session");
    let first = legs().next();
    legs().any(|leg| Some(leg) != first)
        || legs().any(|leg| leg != "language_model") && job.attempts.iter().any(by_session)
        || job.attempts.iter().any(|attempt| !attempt.spans.of(Role::Session).is_empty())
}
