//! Writing the ledger: one transaction a checkpoint.

use std::path::Path;

use rusqlite::{CachedStatement, Connection, OpenFlags, OptionalExtension, params};
use rust_decimal::Decimal;

use super::decimal::DecimalText;
use super::kinds::Kinds;
use super::rows::{ChargeRow, Checkpoint, CounterRow, JobRow};
use super::{LedgerReader, SCHEMA};
use crate::dir::DataDir;
use crate::error::StoreError;
use crate::journal::Seq;
use crate::sqlite::Database;

/// The write-ahead log is shortened when it is larger than this, which takes a reader that holds it for
/// long.
const LOG_BYTES: u64 = 256 << 20;

/// The ledger of a data directory, open for writing.
#[derive(Debug)]
pub struct Ledger {
    pub(super) database: Database,
    _dir: DataDir,
    applied: Seq,
    rows: Rows,
}

/// What is known of the rows in the file.
#[derive(Debug)]
struct Rows {
    /// The newest job row.
    last: i64,
    job_kinds: Kinds<8>,
    charge_kinds: Kinds<9>,
}

impl Ledger {
    /// Opens or makes the ledger of a directory; an older file is brought to this version's schema.
    ///
    /// # Errors
    /// What every file may meet: [`StoreError::Foreign`], `Newer`, `Corrupt`, `Full`, `ReadOnly`, `Sqlite`.
    pub fn open(dir: &DataDir) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let database = Database::open(&dir.ledger_path(), SCHEMA.kind, flags)?;
        database.execute(
            "set the file up",
            "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -65536; PRAGMA busy_timeout = 0;
             PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = OFF;",
        )?;
        database.migrate(&SCHEMA)?;
        let applied = read_applied(&database.connection).map_err(database.failed("read the position"))?;
        let last = database
            .connection
            .query_row("SELECT ifnull(max(id), 0) FROM job_row", [], |row| row.get(0))
            .map_err(database.failed("read the newest row"))?;
        Ok(Self { database, _dir: dir.clone(), applied, rows: Rows::new(last) })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.database.path
    }

    /// The journal position that the ledger includes.
    pub fn applied(&self) -> Seq {
        self.applied
    }

    /// Writes a checkpoint: all of it, durably, or nothing. The journal up to its position may be dropped
    /// afterwards.
    ///
    /// # Errors
    /// As [`Ledger::open`]; [`StoreError::Backwards`] when it is older than the last one. A revision that
    /// is already there is refused by the file itself.
    pub fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        if checkpoint.applied < self.applied {
            return Err(StoreError::Backwards {
                path: self.database.path.clone(),
                applied: self.applied,
                given: checkpoint.applied,
            });
        }
        let last = self.rows.last;
        if let Err(error) = write(&self.database.connection, checkpoint, &mut self.rows) {
            self.database.roll_back();
            self.rows.forget(last);
            return Err(error.describe(&self.database));
        }
        self.applied = checkpoint.applied;
        self.copy_log()
    }

    /// Reads the live state, in the order of creation.
    pub fn load_state(&self, mut visit: impl FnMut(u64, &[u8])) -> Result<(), StoreError> {
        (|| {
            let mut select =
                self.database.connection.prepare("SELECT number, state FROM open_state ORDER BY number")?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                let number: i64 = row.get(0)?;
                visit(number.cast_unsigned(), row.get_ref(1)?.as_blob()?);
            }
            Ok(())
        })()
        .map_err(self.database.failed("read the live state"))
    }

    /// Reads every counter, in the order of name and labels.
    pub fn load_counters(&self, mut visit: impl FnMut(CounterRow)) -> Result<(), StoreError> {
        (|| {
            let mut select = self
                .database
                .connection
                .prepare("SELECT name, labels, value, start_unix_nanos FROM counter ORDER BY name, labels")?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                visit(CounterRow {
                    name: row.get(0)?,
                    labels: row.get(1)?,
                    value: row.get(2)?,
                    start_unix_nanos: row.get::<_, i64>(3)?.cast_unsigned(),
                });
            }
            Ok(())
        })()
        .map_err(self.database.failed("read the counters"))
    }

    /// Reads the single value of a name.
    pub fn load_meta(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.database
            .connection
            .query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0))
            .optional()
            .map_err(self.database.failed("read a value"))
    }

    /// A second connection to the same file, for reading while this one writes.
    pub fn reader(&self) -> Result<LedgerReader, StoreError> {
        LedgerReader::open_file(&self.database.path)
    }

    /// Copies the log into the file; shortens it when a reader has made it grow. A reader in the way is no
    /// error.
    fn copy_log(&self) -> Result<(), StoreError> {
        if self.database.checkpoint("PASSIVE")? > LOG_BYTES {
            self.database.checkpoint("TRUNCATE")?;
        }
        Ok(())
    }
}

pub(super) fn read_applied(connection: &Connection) -> rusqlite::Result<Seq> {
    let value: Option<i64> = connection
        .query_row("SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'applied'", [], |row| row.get(0))
        .optional()?;
    Ok(Seq(value.unwrap_or(0).cast_unsigned()))
}

impl Rows {
    fn new(last: i64) -> Self {
        Self {
            last,
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
        }
    }

    /// Back to what the file has after a transaction that did not come about.
    fn forget(&mut self, last: i64) {
        self.last = last;
        self.job_kinds.forget();
        self.charge_kinds.forget();
    }
}

/// The transaction.
fn write(connection: &Connection, checkpoint: &Checkpoint, rows: &mut Rows) -> Result<(), WriteError> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    write_open(connection, &checkpoint.open)?;
    write_counters(connection, &checkpoint.counters)?;
    write_jobs(connection, &checkpoint.jobs, rows)?;
    let mut upsert = connection.prepare_cached(
        "INSERT INTO meta(name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
    )?;
    for (name, value) in &checkpoint.meta {
        upsert.execute(params![name, value])?;
    }
    upsert.execute(params!["applied", checkpoint.applied.to_string().as_bytes()])?;
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(())
}

/// Why a transaction did not come about.
enum WriteError {
    Sqlite(rusqlite::Error),
    Revision { job_id: [u8; 16], given: u32, newest: u32 },
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl WriteError {
    fn describe(self, database: &Database) -> StoreError {
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

/// Sorted, so that pages are written from left to right.
fn write_open(connection: &Connection, open: &[(u64, Option<Vec<u8>>)]) -> rusqlite::Result<()> {
    let mut upsert = connection.prepare_cached(
        "INSERT INTO open_state(number, state) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET state = excluded.state",
    )?;
    let mut delete = connection.prepare_cached("DELETE FROM open_state WHERE number = ?1")?;
    let mut sorted: Vec<_> = open.iter().collect();
    sorted.sort_by_key(|(number, _)| *number);
    for (number, state) in sorted {
        match state {
            Some(state) => upsert.execute(params![number.cast_signed(), state])?,
            None => delete.execute([number.cast_signed()])?,
        };
    }
    Ok(())
}

fn write_counters(connection: &Connection, counters: &[CounterRow]) -> rusqlite::Result<()> {
    let mut upsert = connection.prepare_cached(
        "INSERT INTO counter(name, labels, value, start_unix_nanos) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET value = excluded.value, start_unix_nanos = excluded.start_unix_nanos",
    )?;
    for counter in counters {
        upsert.execute(params![
            &*counter.name,
            &*counter.labels,
            counter.value,
            counter.start_unix_nanos.cast_signed()
        ])?;
    }
    Ok(())
}

const INSERT_JOB: &str =
    "INSERT INTO job_row(id, job_id, revision, replaces, kind, attempts, started_at, ended_at,
    settled_at, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

const INSERT_CHARGE: &str =
    "INSERT INTO charge_row(job_row, number, kind, attempt, quantity, cost_expected, cost_min,
    cost_max) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

/// In the order of ids, so that the index by job is walked once from left to right.
fn write_jobs(connection: &Connection, jobs: &[JobRow], rows: &mut Rows) -> Result<(), WriteError> {
    let mut sorted: Vec<_> = jobs.iter().map(|job| (u128::from_be_bytes(job.job_id), job)).collect();
    sorted.sort_unstable_by_key(|&(id, job)| (id, job.revision));
    let mut insert_job = connection.prepare_cached(INSERT_JOB)?;
    let mut insert_charge = connection.prepare_cached(INSERT_CHARGE)?;
    for (_, job) in sorted {
        let replaces = match job.revision {
            1 => None,
            _ => Some(row_before(connection, job, rows.last)?),
        };
        let kind = job_kind(connection, job, rows)?;
        rows.last += 1;
        insert_job.execute(params![
            rows.last,
            job.job_id.as_slice(),
            job.revision,
            replaces,
            kind,
            job.attempts,
            job.started_at.cast_signed(),
            job.ended_at.cast_signed(),
            job.settled_at.cast_signed(),
            job.detail,
        ])?;
        for (number, charge) in (0_u32..).zip(&job.charges) {
            write_charge(connection, &mut insert_charge, rows, number, charge)?;
        }
    }
    Ok(())
}

/// The row that a later revision replaces; an error when it is not the revision right before.
fn row_before(connection: &Connection, job: &JobRow, last: i64) -> Result<i64, WriteError> {
    let newest = find_job(connection, job.job_id, last)?;
    match newest {
        Some((row, revision)) if revision.checked_add(1) == Some(job.revision) => Ok(row),
        _ => Err(WriteError::Revision {
            job_id: job.job_id,
            given: job.revision,
            newest: newest.map_or(0, |(_, revision)| revision),
        }),
    }
}

/// Row and number of a job's newest revision. `last` is the newest row of all; runs are asked from the
/// newest back.
pub(super) fn find_job(
    connection: &Connection,
    job_id: [u8; 16],
    last: i64,
) -> rusqlite::Result<Option<(i64, u32)>> {
    let mut select = connection.prepare_cached(
        "SELECT id, revision FROM job_row WHERE id >> 16 = ?1 AND job_id = ?2 ORDER BY revision DESC LIMIT 1",
    )?;
    for run in (0..=last >> 16).rev() {
        let found = select
            .query_row(params![run, job_id.as_slice()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
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

/// A charge of the newest job row.
fn write_charge(
    connection: &Connection,
    insert: &mut CachedStatement<'_>,
    rows: &mut Rows,
    number: u32,
    charge: &ChargeRow,
) -> rusqlite::Result<()> {
    let unit_price = charge.unit_price.map(DecimalText::new);
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
    let kind = rows.charge_kinds.id_of(connection, words)?;
    let unless_expected = |cost: Decimal| (cost != charge.cost_expected).then(|| DecimalText::new(cost));
    insert.execute(params![
        rows.last,
        number,
        kind,
        charge.attempt,
        DecimalText::new(charge.quantity),
        DecimalText::new(charge.cost_expected),
        unless_expected(charge.cost_min),
        unless_expected(charge.cost_max),
    ])?;
    Ok(())
}
