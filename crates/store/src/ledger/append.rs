//! Appending to the ledger: forms, then the rows of jobs.

use std::fmt::Write as _;

use rusqlite::{CachedStatement, Connection, params};

use super::decimal::DecimalText;
use super::kinds::Kinds;
use super::rows::{ChargeRow, Checkpoint, Detail, FormRow, JobRow};
use super::runs::GrowingRun;
use crate::error::StoreError;
use crate::sqlite::Database;

/// What is known of the rows in the file.
#[derive(Debug)]
pub(super) struct Rows {
    /// The newest job row.
    last: i64,
    run: GrowingRun,
    job_kinds: Kinds<8>,
    charge_kinds: Kinds<9>,
}

impl Rows {
    pub(super) fn new(connection: &Connection, last: i64) -> rusqlite::Result<Self> {
        Ok(Self {
            last,
            run: GrowingRun::load(connection, last)?,
            job_kinds: Kinds::new(
                "job_kind",
                ["state", "tenant", "service", "provider", "model", "operation", "outcome", "failure_reason"],
            ),
            charge_kinds: Kinds::new(
                "charge_kind",
                [
                    "provider",
                    "model",
                    "operation",
                    "unit",
                    "unit_price",
                    "currency",
                    "cause",
                    "basis",
                    "rule",
                ],
            ),
        })
    }

    /// Appends the forms and the jobs of a checkpoint, in an open transaction.
    pub(super) fn append(
        &mut self,
        connection: &Connection,
        checkpoint: &Checkpoint,
    ) -> Result<(), WriteError> {
        for form in &checkpoint.forms {
            write_form(connection, form, self)?;
        }
        let mut insert = connection.prepare_cached(INSERT_JOB)?;
        for job in &checkpoint.jobs {
            write_job(connection, &mut insert, job, self)?;
        }
        Ok(())
    }
}

/// Why a transaction did not come about.
pub(super) enum WriteError {
    Sqlite(rusqlite::Error),
    Revision { job_id: [u8; 16], given: u32, newest: u32 },
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl WriteError {
    pub(super) fn describe(self, database: &Database) -> StoreError {
        match self {
            Self::Sqlite(error) => database.failed("write a checkpoint")(error),
            Self::Revision { job_id, given, newest } => StoreError::Revision {
                path: database.path.clone(),
                job_id: u128::from_be_bytes(job_id),
                given,
                newest,
            },
        }
    }
}

const INSERT_FORM: &str = "INSERT INTO form(id, key, pieces, charges, booked) VALUES (?1, ?2, ?3, ?4, ?5)";

fn write_form(connection: &Connection, form: &FormRow, rows: &mut Rows) -> rusqlite::Result<()> {
    let charges = charges_text(connection, &form.charges, rows)?;
    connection.prepare_cached(INSERT_FORM)?.execute(params![
        form.id.cast_signed(),
        form.key.as_slice(),
        form.pieces,
        charges,
        form.booked
    ])?;
    Ok(())
}

const INSERT_JOB: &str =
    "INSERT INTO job_row(id, job_id, revision, replaces, kind, attempts, started_at, ended_at,
    settled_at, digest, form, parts, charges, booked)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";

fn write_job(
    connection: &Connection,
    insert: &mut CachedStatement<'_>,
    job: &JobRow,
    rows: &mut Rows,
) -> Result<(), WriteError> {
    let replaces = row_before(connection, job, rows)?;
    let kind = job_kind(connection, job, rows)?;
    rows.last += 1;
    let (form, parts, charges, booked) = match &job.detail {
        Detail::Filled { form, parts } => (Some(form.cast_signed()), parts, None, None),
        Detail::Whole(document) => {
            let charges = charges_text(connection, &job.charges, rows)?;
            (None, document, Some(charges), Some(&job.booked))
        }
    };
    insert.execute(params![
        rows.last,
        job.job_id.as_slice(),
        job.revision,
        replaces,
        kind,
        job.attempts,
        job.started_at.cast_signed(),
        job.ended_at.cast_signed(),
        job.settled_at.cast_signed(),
        job.digest.cast_signed(),
        form,
        parts,
        charges,
        booked,
    ])?;
    rows.run.add(connection, job.job_id, (rows.last, job.revision))?;
    Ok(())
}

/// The row that a later revision replaces; an error when the revision is not the next one. A first revision
/// is known to be new by who keeps the open state: only the newest rows are looked through for it.
fn row_before(connection: &Connection, job: &JobRow, rows: &Rows) -> Result<Option<i64>, WriteError> {
    let newest = match job.revision {
        1 => rows.run.get(job.job_id),
        _ => rows.run.find(connection, job.job_id, rows.last)?,
    };
    let newest_revision = newest.map_or(0, |(_, revision)| revision);
    if newest_revision.checked_add(1) != Some(job.revision) {
        return Err(WriteError::Revision {
            job_id: job.job_id,
            given: job.revision,
            newest: newest_revision,
        });
    }
    Ok(newest.map(|(row, _)| row))
}

fn job_kind(connection: &Connection, job: &JobRow, rows: &mut Rows) -> rusqlite::Result<i64> {
    let words = [
        &*job.state,
        &*job.tenant,
        &*job.service,
        &*job.provider,
        &*job.model,
        &*job.operation,
        &*job.outcome,
        job.failure_reason.as_deref().unwrap_or_default(),
    ];
    rows.job_kinds.id_of(connection, words)
}

/// Charges as the array that the views take apart.
fn charges_text(connection: &Connection, charges: &[ChargeRow], rows: &mut Rows) -> rusqlite::Result<String> {
    let mut text = String::from("[");
    for charge in charges {
        let kind = charge_kind(connection, charge, rows)?;
        let separator = if text.len() > 1 { "," } else { "" };
        let ChargeRow { attempt, quantity, cost_expected, cost_min, cost_max, .. } = charge;
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}[{kind},{attempt},\"{quantity}\",\"{cost_expected}\"");
        for bound in [cost_min, cost_max] {
            // 1.0 and 1 are equal and not the same text.
            let is_same = bound == cost_expected && bound.scale() == cost_expected.scale();
            let _ = if is_same { write!(text, ",null") } else { write!(text, ",\"{bound}\"") };
        }
        text.push(']');
    }
    text.push(']');
    Ok(text)
}

fn charge_kind(connection: &Connection, charge: &ChargeRow, rows: &mut Rows) -> rusqlite::Result<i64> {
    let unit_price = charge.unit_price.map(DecimalText::new).transpose()?;
    let words = [
        &*charge.provider,
        &*charge.model,
        &*charge.operation,
        &*charge.unit,
        unit_price.as_ref().map(DecimalText::as_str).unwrap_or_default(),
        &*charge.currency,
        &*charge.cause,
        &*charge.basis,
        &*charge.rule,
    ];
    rows.charge_kinds.id_of(connection, words)
}
