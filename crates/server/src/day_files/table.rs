//! What the files have in them: tables, columns, cells.
//!
//! The columns are those of the ledger's views (`docs/ledger.md`), of every revision and not only of the
//! newest: a file of a day that is over must not depend on what comes later.

use std::ops::ControlFlow;
use std::sync::Arc;

use rust_decimal::Decimal;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use spantally_store::{ChargeRow, JobRow, LedgerReader, StoreError};

use super::ExportError;
use super::labels::{LABELS, label_rows};
use crate::label_history::LabelHistory;

/// A table of the export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Table {
    /// One row a revision of a job.
    Jobs,
    /// One row a charge of each revision.
    Charges,
    /// One row an attempt of each revision.
    Attempts,
    /// One row a call of each revision.
    Calls,
    /// One row an extra label that a revision has a value of.
    Labels,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Whole,
    Decimal,
    Moment,
}

/// A column; it may be empty in any row where `is_optional`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) is_optional: bool,
}

/// What a row has in a column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    None,
    Text(Arc<str>),
    Whole(u64),
    Decimal(Decimal),
    /// Nanoseconds since 1970.
    Moment(u64),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<Option<&str>> for Cell {
    fn from(text: Option<&str>) -> Self {
        text.map_or(Self::None, Self::from)
    }
}

pub(super) const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, is_optional: false }
}

const fn optional(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, is_optional: true }
}

use Kind::{Moment, Text, Whole};

const JOBS: &[Column] = &[
    column("job_id", Text),
    column("revision", Whole),
    column("state", Text),
    column("tenant", Text),
    column("service", Text),
    column("provider", Text),
    column("model", Text),
    column("operation", Text),
    column("outcome", Text),
    optional("failure_reason", Text),
    column("attempts", Whole),
    column("started_at", Moment),
    column("ended_at", Moment),
    column("settled_at", Moment),
    column("detail", Text),
];

const CHARGES: &[Column] = &[
    column("job_id", Text),
    column("revision", Whole),
    column("attempt", Whole),
    column("tenant", Text),
    column("service", Text),
    column("provider", Text),
    column("model", Text),
    column("operation", Text),
    column("unit", Text),
    column("quantity", Kind::Decimal),
    optional("unit_price", Kind::Decimal),
    column("cost_min", Kind::Decimal),
    column("cost_expected", Kind::Decimal),
    column("cost_max", Kind::Decimal),
    column("currency", Text),
    column("cause", Text),
    column("basis", Text),
    column("rule", Text),
    column("started_at", Moment),
    column("settled_at", Moment),
];

const ATTEMPTS: &[Column] = &[
    column("job_id", Text),
    column("revision", Whole),
    column("attempt", Whole),
    column("tenant", Text),
    column("service", Text),
    column("provider", Text),
    column("model", Text),
    column("operation", Text),
    optional("task_id", Text),
    column("accepted", Text),
    column("outcome", Text),
    optional("failure_reason", Text),
    column("cause", Text),
    column("polls", Whole),
    column("settled_at", Moment),
];

const CALLS: &[Column] = &[
    column("job_id", Text),
    column("revision", Whole),
    column("attempt", Whole),
    column("call", Text),
    column("trace_id", Text),
    column("span_id", Text),
    column("settled_at", Moment),
];

/// The parts of a job's document that two of the tables need.
#[derive(Deserialize)]
struct Detail {
    attempts: Vec<Attempt>,
}

#[derive(Deserialize)]
struct Attempt {
    task_id: Option<String>,
    accepted: String,
    outcome: String,
    failure_reason: Option<String>,
    cause: String,
    polls: u64,
    spans: serde_json::Map<String, serde_json::Value>,
    provider: Option<String>,
    model: Option<String>,
    operation: Option<String>,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 5] = [Self::Jobs, Self::Charges, Self::Attempts, Self::Calls, Self::Labels];

    /// Its name, also that of its directory.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Charges => "charges",
            Self::Attempts => "attempts",
            Self::Calls => "calls",
            Self::Labels => "labels",
        }
    }

    pub(super) fn columns(self) -> &'static [Column] {
        match self {
            Self::Jobs => JOBS,
            Self::Charges => CHARGES,
            Self::Attempts => ATTEMPTS,
            Self::Calls => CALLS,
            Self::Labels => LABELS,
        }
    }

    /// Gives every row of some rows of the ledger to `take`; how many of the ledger there were.
    pub(super) fn read(
        self,
        ledger: &LedgerReader,
        rows: (u64, u64),
        take: &mut dyn FnMut(&[Cell]) -> Result<(), ExportError>,
    ) -> Result<u64, ExportError> {
        let mut failed = None;
        let mut go_on = |done: Result<(), ExportError>| match done {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        };
        let mut seen = 0;
        let mut visit =
            |read: &mut dyn FnMut(u64, JobRow) -> Result<(), ExportError>| -> Result<(), StoreError> {
                ledger.visit_jobs(rows, true, |row, job| {
                    seen += 1;
                    go_on(read(row, job))
                })
            };
        match self {
            Self::Jobs => visit(&mut |_, job| take(&job_cells(job)))?,
            Self::Charges => seen = read_charges(ledger, rows, take)?,
            Self::Attempts => visit(&mut |_, mut job| attempt_rows(&mut job, take))?,
            Self::Calls => visit(&mut |_, mut job| call_rows(&mut job, take))?,
            Self::Labels => {
                let names = LabelHistory::of(ledger)?;
                visit(&mut |row, mut job| label_rows(row, &mut job, &names, take))?;
            }
        }
        failed.map_or(Ok(seen), Err)
    }
}

/// A job's id as all tables have it.
pub(super) fn id(job: &JobRow) -> Cell {
    Cell::Text(format!("{:032x}", u128::from_be_bytes(job.job_id)).into())
}

fn job_cells(job: JobRow) -> Vec<Cell> {
    vec![
        id(&job),
        Cell::Whole(job.revision.into()),
        Cell::from(&*job.state),
        Cell::Text(job.tenant),
        Cell::Text(job.service),
        Cell::Text(job.provider),
        Cell::Text(job.model),
        Cell::Text(job.operation),
        Cell::from(&*job.outcome),
        Cell::from(job.failure_reason.as_deref()),
        Cell::Whole(job.attempts.into()),
        Cell::Moment(job.started_at),
        Cell::Moment(job.ended_at),
        Cell::Moment(job.settled_at),
        Cell::Text(job.detail.into_text().into()),
    ]
}

/// Rows whose jobs are in memory at once.
const SLICE: u64 = 4096;

/// Charges and the jobs that they are of, side by side.
fn read_charges(
    ledger: &LedgerReader,
    (first, last): (u64, u64),
    take: &mut dyn FnMut(&[Cell]) -> Result<(), ExportError>,
) -> Result<u64, ExportError> {
    let (mut from, mut seen) = (first, 0);
    while from <= last {
        let slice = (from, last.min(from + SLICE - 1));
        let mut jobs = Vec::new();
        ledger.visit_jobs(slice, false, |row, job| {
            jobs.push((row, job));
            ControlFlow::Continue(())
        })?;
        seen += jobs.len() as u64;
        let mut written = Ok(());
        ledger.visit_charges(slice, |row, charge| {
            if let Ok(at) = jobs.binary_search_by_key(&row, |(row, _)| *row) {
                written = take(&charge_cells(&jobs[at].1, charge));
            }
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        written?;
        from = slice.1 + 1;
    }
    Ok(seen)
}

fn charge_cells(job: &JobRow, charge: ChargeRow) -> [Cell; CHARGES.len()] {
    [
        id(job),
        Cell::Whole(job.revision.into()),
        Cell::Whole(charge.attempt.into()),
        Cell::Text(job.tenant.clone()),
        Cell::Text(job.service.clone()),
        Cell::Text(charge.provider),
        Cell::Text(charge.model),
        Cell::Text(charge.operation),
        Cell::Text(charge.unit),
        Cell::Decimal(charge.quantity),
        charge.unit_price.map_or(Cell::None, Cell::Decimal),
        Cell::Decimal(charge.cost_min),
        Cell::Decimal(charge.cost_expected),
        Cell::Decimal(charge.cost_max),
        Cell::Text(charge.currency),
        Cell::from(&*charge.cause),
        Cell::from(&*charge.basis),
        Cell::Text(charge.rule),
        Cell::Moment(job.started_at),
        Cell::Moment(job.settled_at),
    ]
}

/// A part of a job's document, which goes.
pub(super) fn part_of<P: DeserializeOwned>(job: &mut JobRow) -> Result<P, ExportError> {
    let text = std::mem::take(&mut job.detail).into_text();
    let failed = |source| ExportError::Document { job: u128::from_be_bytes(job.job_id), source };
    serde_json::from_str(&text).map_err(failed)
}

fn attempts_of(job: &mut JobRow) -> Result<Vec<Attempt>, ExportError> {
    part_of::<Detail>(job).map(|detail| detail.attempts)
}

fn attempt_rows(
    job: &mut JobRow,
    take: &mut dyn FnMut(&[Cell]) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    for (number, attempt) in (0..).zip(attempts_of(job)?) {
        let own = |own: Option<String>, of_job: &Arc<str>| {
            own.map_or_else(|| Cell::Text(of_job.clone()), |own| Cell::Text(own.into()))
        };
        take(&[
            id(job),
            Cell::Whole(job.revision.into()),
            Cell::Whole(number),
            Cell::Text(job.tenant.clone()),
            Cell::Text(job.service.clone()),
            own(attempt.provider, &job.provider),
            own(attempt.model, &job.model),
            own(attempt.operation, &job.operation),
            Cell::from(attempt.task_id.as_deref()),
            Cell::from(&*attempt.accepted),
            Cell::from(&*attempt.outcome),
            Cell::from(attempt.failure_reason.as_deref()),
            Cell::from(&*attempt.cause),
            Cell::Whole(attempt.polls),
            Cell::Moment(job.settled_at),
        ])?;
    }
    Ok(())
}

fn call_rows(
    job: &mut JobRow,
    take: &mut dyn FnMut(&[Cell]) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    for (number, attempt) in (0..).zip(attempts_of(job)?) {
        for (role, spans) in &attempt.spans {
            for span in spans.as_array().into_iter().flatten().filter_map(serde_json::Value::as_str) {
                let (trace, span) = span.split_once(':').unwrap_or((span, ""));
                take(&[
                    id(job),
                    Cell::Whole(job.revision.into()),
                    Cell::Whole(number),
                    Cell::from(role.as_str()),
                    Cell::from(trace),
                    Cell::from(span),
                    Cell::Moment(job.settled_at),
                ])?;
            }
        }
    }
    Ok(())
}
