//! What one published job adds to the counters.
//!
//! Every counter about jobs is a sum of *entries*: an amount on a series, made here from a job and its bill
//! and nowhere else. A revision makes the entries anew and books the [`difference`], so that a counter is
//! always the sum over the newest revisions of all jobs, whatever the way there was. Next: [`super::books`].

use rust_decimal::Decimal;
use spantally_price::{Bill, Charge, Measure, Posting, PostingKey, postings};
use spantally_stitch::{Accepted, Attempt, CallRef, Job, Outcome, Role, UnixNanos};

use crate::export::{CommonLabels, Exemplar, MetricId, Registry, SeriesId, SetId};

/// An amount on a series.
pub(super) type Entry = (SeriesId, Decimal);

/// Everything that a job adds to the counters: in the order of series, one of a series. Makes the series.
pub(super) fn entries(registry: &mut Registry, job: &Job, bill: &Bill, now: UnixNanos) -> Vec<Entry> {
    let of_job = registry.intern(&job_labels(job));
    let is_session = job.is_voice_session();
    let mut book = Book { registry, job, of_job, is_session, now, entries: Vec::with_capacity(32) };
    book.one(MetricId::Jobs, of_job, &[job.outcome.as_str()]);
    for attempt in &job.attempts {
        let set = book.set(&attempt.provider, &attempt.model, &attempt.operation);
        book.one(MetricId::Attempts, set, &[attempt.cause.as_str(), attempt.accepted.as_str()]);
        if let Some(reason) = attempt.failure_reason {
            book.one(MetricId::Failures, set, &[reason.as_str()]);
        }
        book.calls(set, attempt);
        for join in &attempt.joins {
            let own = [join.rule.as_str(), join.confidence.as_str()];
            book.one(MetricId::Joins, SetId::NONE, &own);
        }
    }
    for posting in postings(job, bill) {
        book.posting(&posting);
    }
    book.delivered(bill);
    for charge in bill.charges.iter().filter(|charge| is_ambiguous(charge)) {
        book.ambiguous(charge);
    }
    merged(book.entries)
}

/// Whether nobody knows if a charge was billed at all.
fn is_ambiguous(charge: &Charge) -> bool {
    charge.unit_price.is_some() && charge.cost.min.is_zero() && charge.cost.max > Decimal::ZERO
}

/// The common labels of a job as a whole.
pub(super) fn job_labels(job: &Job) -> CommonLabels<'_> {
    CommonLabels {
        provider: &job.provider,
        model: &job.model,
        operation: &job.operation,
        service: &job.service,
        tenant: &job.tenant,
        extra: &job.labels,
    }
}

/// The class of an HTTP status as a label; `none` where there was no answer.
fn status_class(call: &CallRef) -> &'static str {
    const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
    let class = call.status.and_then(|status| usize::from(status / 100).checked_sub(1));
    class.and_then(|class| CLASSES.get(class)).copied().unwrap_or("none")
}

struct Book<'a> {
    registry: &'a mut Registry,
    job: &'a Job,
    of_job: SetId,
    /// Whether it is a voice session.
    is_session: bool,
    now: UnixNanos,
    entries: Vec<Entry>,
}

impl Book<'_> {
    /// The label set of an attempt, which is nearly always that of its job.
    fn set(&mut self, provider: &str, model: &str, operation: &str) -> SetId {
        let of_job = job_labels(self.job);
        if (provider, model, operation) == (of_job.provider, of_job.model, of_job.operation) {
            return self.of_job;
        }
        self.registry.intern(&CommonLabels { provider, model, operation, ..of_job })
    }

    /// Calls are many and alike: a run of equal ones is one entry.
    fn calls(&mut self, set: SetId, attempt: &Attempt) {
        let own = |call: &CallRef| [call.role.as_str(), status_class(call)];
        for run in attempt.calls.chunk_by(|one, next| own(one) == own(next)) {
            self.add(MetricId::Calls, set, &own(&run[0]), Decimal::from(run.len()));
        }
        // A poll that came too early, a delivery that was not taken: apart from what the attempt failed by. A
        // refused request is one failure, also where a span above it tells the reason better.
        let is_refusal = |call: &CallRef| {
            attempt.accepted == Accepted::No
                && attempt.failure_reason.is_some()
                && matches!(call.role, Role::Submit | Role::Sync)
        };
        let others = attempt.calls.iter().filter(|&call| !is_refusal(call));
        let failures = others.filter_map(|call| call.failure);
        for reason in failures.filter(|&reason| Some(reason) != attempt.failure_reason) {
            self.one(MetricId::Failures, set, &[reason.as_str()]);
        }
    }

    fn one(&mut self, metric: MetricId, set: SetId, own: &[&str]) {
        self.add(metric, set, own, Decimal::ONE);
    }

    fn add(&mut self, metric: MetricId, set: SetId, own: &[&str], amount: Decimal) {
        let series = self.registry.series(metric, set, own, self.now);
        self.entries.push((series, amount));
    }

    /// Beside the counter of outcomes, which does not know by what money a job was paid, and unlike the
    /// histogram of costs, which counts a job once and never moves it.
    fn delivered(&mut self, bill: &Bill) {
        let is_delivered = matches!(self.job.outcome, Outcome::Succeeded | Outcome::Partial);
        for (currency, _) in bill.cost() {
            // There at zero before the first one delivers.
            let series = self.registry.series(MetricId::DeliveredJobs, self.of_job, &[&currency], self.now);
            if is_delivered {
                self.entries.push((series, Decimal::ONE));
            }
        }
    }

    fn ambiguous(&mut self, charge: &Charge) {
        let job = self.job;
        let set = match job.attempts.get(charge.attempt) {
            Some(attempt) => self.set(&attempt.provider, &attempt.model, &attempt.operation),
            None => self.of_job,
        };
        self.add(MetricId::AmbiguousCost, set, &[&charge.currency], charge.cost.max);
    }

    fn posting(&mut self, posting: &Posting) {
        let PostingKey { account, measure, cause, basis } = &posting.key;
        let set = self.set(&account.provider, &account.model, &account.operation);
        let amount = posting.amount;
        match measure {
            Measure::Unit(unit) => {
                let own = [&**unit, cause.as_str(), basis.as_str()];
                self.add(MetricId::BilledUnits, set, &own, amount.expected);
            }
            Measure::Currency(currency) => {
                let own = [&**currency, cause.as_str(), basis.as_str()];
                self.add(MetricId::Cost, set, &own, amount.expected);
                self.add(MetricId::CostBound, set, &[currency, "min"], amount.min);
                self.add(MetricId::CostBound, set, &[currency, "max"], amount.max);
                if self.is_session {
                    let own = [&**currency, cause.as_str()];
                    self.add(MetricId::VoiceSessionCost, set, &own, amount.expected);
                }
                // There at zero before the first one comes.
                self.registry.series(MetricId::AmbiguousCost, set, &[currency], self.now);
            }
            Measure::Unpriced(reason) => {
                self.add(MetricId::UnpricedJobs, set, &[reason.as_str()], amount.expected);
            }
        }
    }
}

fn merged(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_unstable_by_key(|&(series, _)| series);
    entries.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 = kept.1.saturating_add(next.1);
        }
        same
    });
    entries
}

/// What must be added so that `old` becomes `new`. Both are in the order of series.
pub(super) fn difference(old: &[Entry], new: &[Entry]) -> Vec<Entry> {
    let negated = old.iter().map(|&(series, amount)| (series, -amount));
    let mut entries = merged(new.iter().copied().chain(negated).collect());
    entries.retain(|(_, amount)| !amount.is_zero());
    entries
}

/// The trace of the first call, so that a bucket leads to a job and to its spans.
pub(super) fn exemplar(job: &Job, value: Decimal, at: UnixNanos) -> Option<Exemplar> {
    let first_call = job.attempts.iter().flat_map(|attempt| &attempt.calls).map(|call| call.span).next();
    let span = first_call.or_else(|| job.spans.first().copied())?;
    Some(Exemplar { trace_id: span.trace, span_id: span.span, job_id: job.id, value, at })
}
