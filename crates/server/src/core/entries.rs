//! What one published job adds to the counters.
//!
//! Every counter about jobs is a sum of *entries*: an amount on a series, made here from a job and its bill
//! and nowhere else. A revision makes the entries anew and books the [`difference`], so that a counter is
//! always the sum over the newest revisions of all jobs, whatever the way there was. Next: [`super::books`].

use rust_decimal::Decimal;
use spantally_price::{Bill, Measure, Posting, PostingKey, postings};
use spantally_stitch::{CallRef, Job, UnixNanos};

use crate::export::{CommonLabels, MetricId, Registry, SeriesId, SetId};

/// An amount on a series.
pub(super) type Entry = (SeriesId, Decimal);

/// Everything that a job adds to the counters: in the order of series, one of a series. Makes the series.
pub(super) fn entries(registry: &mut Registry, job: &Job, bill: &Bill, now: UnixNanos) -> Vec<Entry> {
    let mut book = Book { registry, now, entries: Vec::with_capacity(32) };
    let of_job = book.registry.intern(&CommonLabels {
        provider: &job.provider,
        model: &job.model,
        operation: &job.operation,
        service: &job.service,
        tenant: &job.tenant,
        extra: &job.labels,
    });
    book.one(MetricId::Jobs, of_job, &[job.outcome.as_str()]);
    for attempt in &job.attempts {
        let set = book.registry.intern(&CommonLabels {
            provider: &attempt.provider,
            model: &attempt.model,
            operation: &attempt.operation,
            service: &job.service,
            tenant: &job.tenant,
            extra: &job.labels,
        });
        book.one(MetricId::Attempts, set, &[attempt.cause.as_str(), attempt.accepted.as_str()]);
        if let Some(reason) = attempt.failure_reason {
            book.one(MetricId::Failures, set, &[reason.as_str()]);
        }
        for call in &attempt.calls {
            book.one(MetricId::Calls, set, &[call.role.as_str(), status_class(call)]);
            // A poll that came too early, a delivery that was not taken: apart from what the attempt failed
            // by.
            if let Some(reason) = call.failure.filter(|_| call.failure != attempt.failure_reason) {
                book.one(MetricId::Failures, set, &[reason.as_str()]);
            }
        }
        for join in &attempt.joins {
            let own = [join.rule.as_str(), join.confidence.as_str()];
            book.one(MetricId::Joins, SetId::NONE, &own);
        }
    }
    for posting in postings(job, bill) {
        book.posting(&posting);
    }
    merged(book.entries)
}

/// The class of an HTTP status as a label; `none` where there was no answer.
fn status_class(call: &CallRef) -> &'static str {
    const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
    let class = call.status.and_then(|status| usize::from(status / 100).checked_sub(1));
    class.and_then(|class| CLASSES.get(class)).copied().unwrap_or("none")
}

struct Book<'a> {
    registry: &'a mut Registry,
    now: UnixNanos,
    entries: Vec<Entry>,
}

impl Book<'_> {
    fn one(&mut self, metric: MetricId, set: SetId, own: &[&str]) {
        self.add(metric, set, own, Decimal::ONE);
    }

    fn add(&mut self, metric: MetricId, set: SetId, own: &[&str], amount: Decimal) {
        let series = self.registry.series(metric, set, own, self.now);
        self.entries.push((series, amount));
    }

    fn posting(&mut self, posting: &Posting) {
        let PostingKey { account, measure, cause, basis } = &posting.key;
        let set = self.registry.intern(&CommonLabels {
            provider: &account.provider,
            model: &account.model,
            operation: &account.operation,
            service: &account.service,
            tenant: &account.tenant,
            extra: &account.labels,
        });
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
