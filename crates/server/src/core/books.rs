//! The books: what was published, added up.
//!
//! # One rule
//! A publication of a job is compared with the one before, and the *difference* goes to the counters (what is
//! negative to their twins), to the ledger as one more job row with charge deltas, and to the windows of the
//! ratio gauges. A first publication differs from nothing; a job that is taken back differs from itself by
//! everything. So a counter is always the sum of its ledger rows, whatever came in between.
//!
//! # Revisions
//! The books number revisions themselves: a job that was superseded and later stands on its own again goes on
//! with the next number, because the ledger is append-only. What was published is kept until the stitcher
//! forgets the job ([`super::published`]); what was superseded, as long as the stitcher would have kept it.
//!
//! # Once forgotten
//! Spans that come again after their job was forgotten may make the same job anew. It must not be counted
//! twice, and the ledger would refuse it. So a job that began no later than the latest one that was forgotten
//! is looked up in the [`Archive`] before its first publication; what is found there is counted as late and
//! changes nothing.
//!
//! # Histograms
//! They count a job once, when it first settles: a bucket cannot be taken back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hashbrown::HashMap;
use rust_decimal::Decimal;
use spantally_price::{Bill, Cards, bill};
use spantally_stitch::{Cause, FailureReason, Job, JobId, Role, State, UnixNanos};
use spantally_store::{ChargeRow, Checkpoint, CounterRow, JobRow};

use super::charges::{charge_deltas, charge_rows, is_priced};
use super::entries::{difference, entries, job_labels};
use super::published::Published;
use super::windows::CostWindows;
use super::{PUBLISHED, WINDOW_ROW};
use crate::export::{Exemplar, MetricId, Registry};
use crate::job_json::JobDocument;

/// A job that was just published, with its bill.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// The job; its state says whether it settled or was superseded.
    pub job: Box<Job>,
    /// What it cost; empty for a superseded one.
    pub bill: Bill,
    /// 1 for the first publication.
    pub revision: u32,
}

/// Knows which jobs the ledger has. Asked rarely: only of jobs that are as old as forgotten ones.
pub trait Archive: std::fmt::Debug + Send {
    /// Whether any revision of the job was ever written.
    fn has(&self, id: JobId) -> bool;
}

/// Counters, ledger rows and windows of everything published.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) cards: Arc<Cards>,
    pub(super) registry: Registry,
    pub(super) windows: CostWindows,
    published: HashMap<JobId, Published, foldhash::fast::RandomState>,
    superseded: VecDeque<(UnixNanos, JobId)>,
    /// The latest start of any job that was forgotten.
    pub(super) forgotten_until: UnixNanos,
    pub(super) archive: Option<Box<dyn Archive>>,
    retention_ms: u64,
    next_number: u64,
    /// What the next checkpoint writes.
    rows: Vec<JobRow>,
    changed: BTreeMap<u64, Option<JobId>>,
}

impl Books {
    pub(super) fn new(
        cards: Arc<Cards>,
        registry: Registry,
        windows: CostWindows,
        retention_ms: u64,
    ) -> Self {
        Self {
            cards,
            registry,
            windows,
            published: HashMap::default(),
            superseded: VecDeque::new(),
            forgotten_until: UnixNanos::default(),
            archive: None,
            retention_ms,
            next_number: 0,
            rows: Vec::new(),
            changed: BTreeMap::new(),
        }
    }

    /// Books a publication; none if the job was published before it was forgotten.
    pub(super) fn publish(&mut self, job: Box<Job>, digest: u64, now: UnixNanos) -> Option<Settled> {
        let before = self.published.remove(&job.id);
        if before.is_none() && self.is_archived(&job) {
            self.count_late(&job, now);
            return None;
        }
        let is_superseded = job.state == State::Superseded;
        let job = match &before {
            Some(before) if is_superseded => Box::new(before.superseded_job(job.id)),
            _ => job,
        };
        let (bill, new_entries, new_charges) = if is_superseded {
            (Bill::default(), Vec::new(), Vec::new())
        } else {
            let bill = bill(&job, &self.cards);
            let added = entries(&mut self.registry, &job, &bill, now);
            let charges = charge_rows(&job, &bill);
            (bill, added, charges)
        };
        let (old_entries, old_charges, revision, number) = match &before {
            Some(before) => (&*before.entries, &*before.charges, before.revision + 1, before.number),
            None => (&[][..], &[][..], 1, self.take_number()),
        };
        for (series, delta) in difference(old_entries, &new_entries) {
            self.registry.add(series, delta);
        }
        let deltas = charge_deltas(old_charges, &new_charges);
        self.book_windows(&deltas, now);
        if revision == 1 {
            self.observe(&job, &bill, now);
        }
        self.rows.push(job_row(&job, &bill, revision, deltas, now));
        if is_superseded {
            self.superseded.push_back((now, job.id));
        }
        self.changed.insert(number, Some(job.id));
        let published = Published {
            number,
            revision,
            digest,
            is_superseded,
            at: now,
            started_at: job.started_at,
            entries: new_entries.into(),
            charges: new_charges.into(),
            names: [&job.tenant, &job.service, &job.provider, &job.model, &job.operation].map(Arc::clone),
        };
        self.published.insert(job.id, published);
        Some(Settled { job, bill, revision })
    }

    /// A superseded job that the books do not know has been told as late already.
    fn is_archived(&self, job: &Job) -> bool {
        if job.state == State::Superseded {
            return true;
        }
        let is_old = job.started_at <= self.forgotten_until;
        is_old && self.archive.as_ref().is_some_and(|archive| archive.has(job.id))
    }

    fn count_late(&mut self, job: &Job, now: UnixNanos) {
        if job.state != State::Superseded {
            let set = self.registry.intern(&job_labels(job));
            let series = self.registry.series(MetricId::LateJobs, set, &[], now);
            self.registry.add(series, Decimal::ONE);
        }
    }

    fn take_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    /// A job can be revised no more.
    pub(super) fn forget(&mut self, id: JobId) {
        if let Some(published) = self.published.remove(&id) {
            self.forgotten_until = self.forgotten_until.max(published.started_at);
            self.changed.insert(published.number, None);
        }
    }

    /// Superseded jobs, of which the stitcher knows nothing any more, go after the retention.
    pub(super) fn forget_superseded(&mut self, now: UnixNanos) {
        while let Some(&(at, id)) = self.superseded.front()
            && at.plus_ms(self.retention_ms) <= now
        {
            self.superseded.pop_front();
            // Published again meanwhile, or superseded again later: then another entry decides.
            if self.published.get(&id).is_some_and(|known| known.is_superseded && known.at == at) {
                self.forget(id);
            }
        }
    }

    /// The newest revision of a job; 0 if it was never published, or is forgotten.
    pub(super) fn revision(&self, id: JobId) -> u32 {
        self.published.get(&id).map_or(0, |published| published.revision)
    }

    fn book_windows(&mut self, deltas: &[ChargeRow], now: UnixNanos) {
        for row in deltas.iter().filter(|row| is_priced(row) && !row.cost_expected.is_zero()) {
            let key = [&row.provider, &row.model, &row.currency].map(Arc::clone);
            self.windows.add(key, Cause::parse(&row.cause), row.cost_expected, now);
        }
    }

    fn observe(&mut self, job: &Job, bill: &Bill, now: UnixNanos) {
        let set = self.registry.intern(&job_labels(job));
        let outcome = job.outcome.as_str();
        let nanos = job.ended_at.0.saturating_sub(job.started_at.0);
        let polls: usize = job.attempts.iter().map(|attempt| attempt.count(Role::Poll)).sum();
        let observed = [
            (MetricId::JobDuration, Decimal::from_i128_with_scale(i128::from(nanos / 1_000_000), 3)),
            (MetricId::JobPolls, Decimal::from(polls)),
            (MetricId::JobAttempts, Decimal::from(job.attempts.len())),
        ];
        for (metric, value) in observed {
            let series = self.registry.series(metric, set, &[outcome], now);
            self.registry.observe(series, value, exemplar(job, value, now));
        }
        for (currency, cost) in bill.cost() {
            let series = self.registry.series(MetricId::JobCost, set, &[&currency, outcome], now);
            self.registry.observe(series, cost.expected, exemplar(job, cost.expected, now));
        }
    }

    /// Adds what changed since the last time to a checkpoint.
    pub(super) fn gather(&mut self, checkpoint: &mut Checkpoint) {
        checkpoint.jobs.append(&mut self.rows);
        let changed = std::mem::take(&mut self.changed);
        checkpoint.open.extend(changed.into_iter().map(|(number, id)| {
            let published = id.and_then(|id| Some((id, self.published.get(&id)?)));
            // Serialising to memory what has only text keys cannot fail.
            let bytes = published.and_then(|(id, published)| published.save(id, &self.registry).ok());
            (number | PUBLISHED, bytes)
        }));
        checkpoint.counters.append(&mut self.registry.take_changed());
        let windows = self.windows.take_changed().into_iter();
        checkpoint.counters.extend(windows.map(|(key, value)| CounterRow {
            name: WINDOW_ROW.into(),
            labels: key.into(),
            value,
            start_unix_nanos: 0,
        }));
    }

    /// Takes a publication of an earlier process back.
    pub(super) fn restore(&mut self, id: JobId, published: Published) {
        self.next_number = self.next_number.max(published.number + 1);
        if published.is_superseded {
            // In order of time, so that the front goes first.
            let place = self.superseded.partition_point(|&(at, _)| at <= published.at);
            self.superseded.insert(place, (published.at, id));
        }
        self.published.insert(id, published);
    }
}

/// The trace of the first call, so that a bucket leads to a job and to its spans.
fn exemplar(job: &Job, value: Decimal, at: UnixNanos) -> Option<Exemplar> {
    let first_call = job.attempts.iter().flat_map(|attempt| &attempt.calls).map(|call| call.span).next();
    let span = first_call.or_else(|| job.spans.first().copied())?;
    Some(Exemplar { trace_id: span.trace, span_id: span.span, job_id: job.id, value, at })
}

fn job_row(job: &Job, bill: &Bill, revision: u32, charges: Vec<ChargeRow>, now: UnixNanos) -> JobRow {
    JobRow {
        job_id: job.id.0,
        revision,
        state: job.state.as_str().into(),
        tenant: job.tenant.clone(),
        service: job.service.clone(),
        provider: job.provider.clone(),
        model: job.model.clone(),
        operation: job.operation.clone(),
        outcome: job.outcome.as_str().into(),
        failure_reason: job.failure_reason.map(|reason: FailureReason| reason.as_str().into()),
        attempts: job.attempts.len() as u32,
        started_at: job.started_at.0,
        ended_at: job.ended_at.0,
        settled_at: now.0,
        // Serialising to memory what has only text keys cannot fail.
        detail: JobDocument { job, bill, revision }.to_json().unwrap_or_default().into(),
        charges,
    }
}
