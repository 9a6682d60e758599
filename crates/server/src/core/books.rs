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
//! with the next number, because the ledger is append-only. That a job was published is remembered until the
//! stitcher forgets it; what was superseded, as long as the stitcher would have kept it. What it added is
//! asked of the ledger when it is revised ([`super::published`]).
//!
//! # Alike jobs
//! Most jobs are like many others but for their ids and times. What such a job adds to the counters and is
//! charged is worked out for the first two of them and then only looked up ([`super::forms`]).
//!
//! # Once forgotten
//! Spans that come again after their job was forgotten may make the same job anew. It must not be counted
//! twice, and the ledger would refuse it. So a job that began no later than the latest one that was forgotten
//! is looked up in the [`Archive`] before its first publication; what is found there is counted as late and
//! changes nothing. While the archive cannot be read a publication waits ([`super::waiting`]).
//!
//! Histograms count a job once, when it first settles: a bucket cannot be taken back.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use rust_decimal::Decimal;
use spantally_price::{Bill, Cards, bill};
use spantally_stitch::{Cause, Job, JobId, Outages, Role, State, UnixNanos};
use spantally_store::{
    ChargeRow, Checkpoint, CounterRow, Detail, JobRow, Published as LedgerJob, StoreError,
};

use super::archive::Archive;
use super::charges::{charge_deltas, charge_rows, is_priced, sum_of_rows};
use super::checkpoint::{EXPOSURE_ROW, WINDOW_ROW};
use super::entries::{difference, entries, exemplar, job_labels};
use super::exposure::Exposure;
use super::forgotten::Forgotten;
use super::forms::{Account, Form, Forms, Observations};
use super::options::CoreOptions;
use super::published::{Booked, Published, SeriesByKey, names_of, save_entries};
use super::row::{job_row, whole};
use super::row_labels::{RowLabels, labels_of};
use super::waiting::Unread;
use super::windows::CostWindows;
use crate::export::{MetricId, Registry};
use crate::job_json::form::parts;

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

/// Counters, ledger rows and windows of everything published.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) cards: Arc<Cards>,
    pub(super) registry: Registry,
    pub(super) windows: CostWindows,
    pub(super) exposure: Exposure,
    pub(super) forms: Forms,
    published: HashMap<JobId, Published, foldhash::fast::RandomState>,
    /// What jobs added that the ledger may not have yet.
    recent: HashMap<JobId, Booked, foldhash::fast::RandomState>,
    /// Whether `recent` was gathered for a checkpoint.
    gathered: bool,
    series: SeriesByKey,
    /// Jobs the stitcher may never report as forgotten, with the time to check each.
    watched: VecDeque<(UnixNanos, JobId)>,
    pub(super) forgotten: Forgotten,
    /// The latest settlement of all rows that the ledger's retention removed.
    pub(super) removed_until: UnixNanos,
    pub(super) archive: Option<Box<dyn Archive>>,
    retention_ms: u64,
    pub(super) outages: Outages,
    /// What the next checkpoint writes.
    pub(super) rows: Vec<JobRow>,
    pub(super) labels: RowLabels,
}

impl Books {
    pub(super) fn new(
        cards: Arc<Cards>,
        registry: Registry,
        windows: CostWindows,
        options: &CoreOptions,
    ) -> Self {
        Self {
            cards,
            registry,
            windows,
            exposure: Exposure::default(),
            forms: Forms::new(&options.extra_labels),
            published: HashMap::default(),
            recent: HashMap::default(),
            gathered: false,
            series: SeriesByKey::default(),
            watched: VecDeque::new(),
            forgotten: Forgotten::default(),
            removed_until: UnixNanos::default(),
            archive: None,
            retention_ms: options.stitching.retention_ms,
            outages: Outages::default(),
            rows: Vec::new(),
            labels: RowLabels::new(&options.extra_labels),
        }
    }

    /// Time goes on: what was gathered is in the ledger.
    pub(super) fn go_on(&mut self) {
        if std::mem::take(&mut self.gathered)
            && self.archive.as_ref().is_some_and(|archive| archive.is_ledger())
        {
            self.recent.clear();
        }
    }

    /// Books a publication; none if the job was published before it was forgotten, or if what it added is not
    /// in the archive: then nothing changes, and the counters stay what the ledger's rows add up to.
    ///
    /// # Errors
    /// The archive cannot be read. Nothing is booked then.
    pub(super) fn publish(
        &mut self,
        job: Box<Job>,
        digest: u64,
        now: UnixNanos,
    ) -> Result<Option<Settled>, Unread> {
        let published = self.published.get(&job.id).copied();
        let asked = match &published {
            Some(before) => self.booked(job.id).map(|old| old.map(|old| Some((*before, old)))),
            None => self.is_archived(&job).map(|is_archived| (!is_archived).then_some(None)),
        };
        match asked {
            Ok(Some(Some((before, old)))) => Ok(Some(self.revise(job, digest, (&before, &old), now))),
            Ok(Some(None)) => Ok(Some(self.publish_first(job, digest, now))),
            Ok(None) => {
                self.count_late(&job, now);
                Ok(None)
            }
            Err(source) => Err(Unread { job, source: source.into() }),
        }
    }

    fn publish_first(&mut self, job: Box<Job>, digest: u64, now: UnixNanos) -> Settled {
        let bill = bill(&job, &self.cards);
        let (Account { entries, charges, observations }, form) = self.account(&job, &bill, now);
        for &(series, amount) in entries.iter().filter(|(_, amount)| !amount.is_zero()) {
            self.registry.add(series, amount);
        }
        self.exposure.move_job((&[], now), (&entries, now), &self.registry);
        self.book_windows(&charges, now);
        self.observe(&job, &observations, now);
        let mut row = JobRow { charges: Arc::clone(&charges), ..job_row(&job, 1, digest, now) };
        // Some three texts of twenty bytes a call.
        let calls: usize = job.attempts.iter().map(|attempt| attempt.calls.len()).sum();
        let mut filled = Vec::with_capacity(64 * (calls + 1));
        if let Some(form) = form.filter(|form| parts(&job, &mut filled) == Some(form.parts)) {
            row.detail = Detail::Filled { form: form.id, parts: filled };
        } else {
            row.detail = whole(&job, &bill, 1);
            row.booked = save_entries(&entries, &self.registry);
        }
        self.rows.push(row);
        let (started_at, names, labels) = (job.started_at, names_of(&job), labels_of(&job));
        self.labels.push(Arc::clone(&labels));
        self.recent.insert(job.id, Booked { entries, charges, names, labels });
        let published = Published { revision: 1, is_superseded: false, at: now, started_at };
        self.published.insert(job.id, published);
        Settled { job, bill, revision: 1 }
    }

    /// What a job comes to, as its form says or worked out, and its form.
    fn account(&mut self, job: &Job, bill: &Bill, now: UnixNanos) -> (Account, Option<Form>) {
        let key = self.forms.key(job, bill);
        if let Some((account, form)) = self.forms.get(&key) {
            return (account.clone(), Some(form));
        }
        let account = Account {
            entries: entries(&mut self.registry, job, bill, now).into(),
            charges: charge_deltas(&[], &charge_rows(job, bill)).into(),
            observations: self.observations(job, bill, now),
        };
        let registry = &self.registry;
        let form = self.forms.offer(key, job, bill, &account, || save_entries(&account.entries, registry));
        (account, form)
    }

    /// Books a later revision, or takes a job back.
    fn revise(
        &mut self,
        job: Box<Job>,
        digest: u64,
        (before, old): (&Published, &Booked),
        now: UnixNanos,
    ) -> Settled {
        let is_superseded = job.state == State::Superseded;
        if !is_superseded && !before.is_superseded && names_of(&job)[..2] != old.names[..2] {
            return self.change_owner(job, digest, (before, old), now);
        }
        let job = if is_superseded { Box::new(old.superseded_job(job.id, before)) } else { job };
        let (bill, entries, charges) = if is_superseded {
            (Bill::default(), Vec::new(), Vec::new())
        } else {
            let bill = bill(&job, &self.cards);
            let added = entries(&mut self.registry, &job, &bill, now);
            let charges = charge_rows(&job, &bill);
            (bill, added, charges)
        };
        for (series, amount) in difference(&old.entries, &entries) {
            self.registry.add(series, amount);
        }
        self.exposure.move_job((&old.entries, before.at), (&entries, now), &self.registry);
        let deltas = charge_deltas(&old.charges, &charges);
        self.book_windows(&deltas, now);
        let revision = before.revision + 1;
        self.rows.push(JobRow {
            detail: whole(&job, &bill, revision),
            charges: deltas.into(),
            booked: save_entries(&entries, &self.registry),
            ..job_row(&job, revision, digest, now)
        });
        if is_superseded {
            self.watch(job.id, now);
        }
        let published = Published { revision, is_superseded, at: now, started_at: job.started_at };
        self.published.insert(job.id, published);
        let (entries, charges, names) = (entries.into(), charges.into(), names_of(&job));
        let labels = if is_superseded { Arc::clone(&old.labels) } else { labels_of(&job) };
        self.labels.push(Arc::clone(&labels));
        self.recent.insert(job.id, Booked { entries, charges, names, labels });
        Settled { job, bill, revision }
    }

    /// Takes a job back from the service that it was booked to, and books it to the one whose it turns out to
    /// be: an earlier call of its task came, from there. The charges of a row are its owner's.
    fn change_owner(
        &mut self,
        job: Box<Job>,
        digest: u64,
        (before, old): (&Published, &Booked),
        now: UnixNanos,
    ) -> Settled {
        let gone = Job { id: job.id, state: State::Superseded, ..Job::default() };
        let revision = self.revise(Box::new(gone), 0, (before, old), now).revision;
        let before = Published { revision, is_superseded: true, ..*before };
        let nothing = Booked { entries: Arc::new([]), charges: Arc::new([]), ..old.clone() };
        self.revise(job, digest, (&before, &nothing), now)
    }

    /// What a job added so far; none when nobody can tell.
    fn booked(&mut self, id: JobId) -> Result<Option<Booked>, StoreError> {
        if let Some(recent) = self.recent.get(&id) {
            return Ok(Some(recent.clone()));
        }
        let found = self.archive.as_ref().map_or(Ok(None), |archive| archive.read(id))?;
        Ok(found.filter(|found| !found.is_cut).and_then(|found| {
            let labels = self.labels.of(&found);
            let LedgerJob { job, charges, .. } = found;
            let entries = self.series.read(&job.booked, &self.registry)?.into();
            let charges = sum_of_rows(charges.into_iter().map(|(_, row)| row)).into();
            let names = [job.tenant, job.service, job.provider, job.model, job.operation];
            Some(Booked { entries, charges, names, labels })
        }))
    }

    /// A superseded job that the books do not know has been told as late already.
    fn is_archived(&self, job: &Job) -> Result<bool, StoreError> {
        if job.state == State::Superseded || job.started_at <= self.removed_until {
            return Ok(true);
        }
        let ask = || self.archive.as_ref().map_or(Ok(false), |archive| archive.has(job.id));
        self.forgotten.has(job.id, job.started_at).map_or_else(ask, Ok)
    }

    fn count_late(&mut self, job: &Job, now: UnixNanos) {
        if job.state != State::Superseded {
            let set = self.registry.intern(&job_labels(job));
            let series = self.registry.series(MetricId::LateJobs, set, &[], now);
            self.registry.add(series, Decimal::ONE);
        }
    }

    /// A job can be revised no more.
    pub(super) fn forget(&mut self, id: JobId) {
        if let Some(published) = self.published.remove(&id) {
            self.recent.remove(&id);
            self.forgotten.add(id, published.started_at);
        }
    }

    fn watch(&mut self, id: JobId, at: UnixNanos) {
        self.watched.push_back((self.outages.after(at, self.retention_ms), id));
    }

    /// Forgets jobs past the retention of which the stitcher knows nothing any more: superseded ones, and
    /// those of an earlier process that was forgetting them when it ended. Tells which.
    pub(super) fn forget_old(&mut self, now: UnixNanos, is_alive: impl Fn(JobId) -> bool) -> Vec<JobId> {
        let mut forgotten = Vec::new();
        while let Some(&(due, id)) = self.watched.front()
            && due <= now
        {
            self.watched.pop_front();
            let Some(known) = self.published.get(&id) else { continue };
            let end = self.outages.after(known.at, self.retention_ms);
            if end > now {
                // Published again meanwhile: in its turn.
                self.watched.push_back((end, id));
            } else if !is_alive(id) {
                self.forget(id);
                forgotten.push(id);
            } else if known.is_superseded {
                self.watch(id, now);
            }
        }
        forgotten
    }

    /// Whether a job was published and not taken back since.
    pub(super) fn is_settled(&self, id: JobId) -> bool {
        self.published.get(&id).is_some_and(|published| !published.is_superseded)
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

    /// What the histograms count of a job, and what is the same for all that are alike.
    fn observations(&mut self, job: &Job, bill: &Bill, now: UnixNanos) -> Observations {
        let set = self.registry.intern(&job_labels(job));
        let outcome = job.outcome.as_str();
        let polls: usize = job.attempts.iter().map(|attempt| attempt.count(Role::Poll)).sum();
        let mut series = |metric, own: &[&str]| self.registry.series(metric, set, own, now);
        let duration = series(MetricId::JobDuration, &[outcome]);
        let mut values = vec![
            (series(MetricId::JobPolls, &[outcome]), Decimal::from(polls)),
            (series(MetricId::JobAttempts, &[outcome]), Decimal::from(job.attempts.len())),
        ];
        for (currency, cost) in bill.cost() {
            values.push((series(MetricId::JobCost, &[&currency, outcome]), cost.expected));
        }
        let session = job.is_voice_session().then(|| series(MetricId::VoiceSessionDuration, &[outcome]));
        Observations { duration, session, values: values.into() }
    }

    fn observe(&mut self, job: &Job, observations: &Observations, now: UnixNanos) {
        let nanos = job.ended_at.0.saturating_sub(job.started_at.0);
        let duration = Decimal::from_i128_with_scale(i128::from(nanos / 1_000_000), 3);
        let values = observations.values.iter().copied();
        let durations = std::iter::once(observations.duration).chain(observations.session);
        for (series, value) in durations.map(|series| (series, duration)).chain(values) {
            self.registry.observe(series, value, exemplar(job, value, now));
        }
    }

    /// Adds what changed since the last time to a checkpoint.
    pub(super) fn gather(&mut self, checkpoint: &mut Checkpoint) {
        checkpoint.jobs.append(&mut self.rows);
        self.labels.clear();
        checkpoint.forms.append(&mut self.forms.take_new());
        self.gathered = true;
        checkpoint.counters.append(&mut self.registry.take_changed());
        let windows =
            self.windows.take_changed().into_iter().map(|(key, value)| (WINDOW_ROW, key.into(), value));
        let exposure = self.exposure.take_changed().into_iter();
        let rows = windows.chain(exposure.map(|(labels, value)| (EXPOSURE_ROW, labels, value)));
        checkpoint.counters.extend(rows.map(|(name, labels, value)| CounterRow {
            name: name.into(),
            labels,
            value,
            start_unix_nanos: 0,
        }));
    }

    /// Takes a publication of an earlier process back; they come the newest first.
    pub(super) fn restore(&mut self, id: JobId, published: Published) {
        self.published.insert(id, published);
        self.watched.push_front((self.outages.after(published.at, self.retention_ms), id));
    }
}
