//! Writing the ledger: one transaction a checkpoint.

use std::fmt::Write as _;
use std::path::Path;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, OpenFlags, OptionalExtension, ToSql, params};
use rust_decimal::Decimal;

use super::rows::{ChargeRow, Checkpoint, CounterRow, JobRow};
use super::{LedgerReader, SCHEMA};
use crate::dir::DataDir;
use crate::error::StoreError;
use crate::journal::Seq;
use crate::sqlite::Database;

/// The write-ahead log is shortened when it is larger than this, which takes a reader that holds it for long.
const LOG_BYTES: u64 = 256 << 20;

/// The ledger of a data directory, open for writing.
#[derive(Debug)]
pub struct Ledger {
    database: Database,
    _dir: DataDir,
    applied: Seq,
    /// The newest job row.
    last_row: i64,
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
            "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -65536; PRAGMA busy_timeout = 0;
             PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = OFF;",
        )?;
        database.migrate(&SCHEMA)?;
        let applied = read_applied(&database.connection).map_err(database.failed("read the position"))?;
        let last_row = database
            .connection
            .query_row("SELECT ifnull(max(id), 0) FROM job_row", [], |row| row.get(0))
            .map_err(database.failed("read the newest row"))?;
        Ok(Self { database, _dir: dir.clone(), applied, last_row })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.database.path
    }

    /// The journal position that the ledger includes.
    pub fn applied(&self) -> Seq {
        self.applied
    }

    /// Writes a checkpoint: all of it, durably, or nothing. The journal up to its position may be dropped afterwards.
    ///
    /// # Errors
    /// As [`Ledger::open`]; [`StoreError::Backwards`] when it is older than the last one. A revision that is already there
    /// is refused by the file itself.
    pub fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        if checkpoint.applied < self.applied {
            return Err(StoreError::Backwards {
                path: self.database.path.clone(),
                applied: self.applied,
                given: checkpoint.applied,
            });
        }
        match write(&self.database.connection, checkpoint, self.last_row) {
            Ok(last_row) => {
                self.last_row = last_row;
                self.applied = checkpoint.applied;
            }
            Err(error) => {
                self.database.roll_back();
                return Err(self.database.failed("write a checkpoint")(error));
            }
        }
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

    /// Copies the log into the file; shortens it when a reader has made it grow. A reader in the way is no error.
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

/// The transaction; returns the newest job row.
fn write(connection: &Connection, checkpoint: &Checkpoint, mut last_row: i64) -> rusqlite::Result<i64> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    write_open(connection, &checkpoint.open)?;
    write_counters(connection, &checkpoint.counters)?;
    let mut jobs: Vec<&JobRow> = checkpoint.jobs.iter().collect();
    jobs.sort_unstable_by_key(|job| (job.job_id, job.revision));
    let mut insert_job = connection.prepare_cached(INSERT_JOB)?;
    let mut insert_charge = connection.prepare_cached(INSERT_CHARGE)?;
    for job in jobs {
        last_row += 1;
        write_job(&mut insert_job, last_row, job)?;
        for (number, charge) in job.charges.iter().enumerate() {
            write_charge(&mut insert_charge, last_row, number as i64, charge)?;
        }
    }
    let mut upsert = connection.prepare_cached(
        "INSERT INTO meta(name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
    )?;
    for (name, value) in &checkpoint.meta {
        upsert.execute(params![name, value])?;
    }
    upsert.execute(params!["applied", checkpoint.applied.to_string().as_bytes()])?;
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(last_row)
}

/// Sorted, so that pages are written from left to right.
fn write_open(connection: &Connection, open: &[(u64, Option<Vec<u8>>)]) -> rusqlite::Result<()> {
    let mut upsert = connection.prepare_cached(
        "INSERT INTO open_state(number, state) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET state = excluded.state",
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
    "INSERT INTO job_row(id, job_id, revision, state, tenant, service, provider, model, operation,
    outcome, failure_reason, attempts, started_at, ended_at, settled_at, detail)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";

fn write_job(insert: &mut CachedStatement<'_>, id: i64, job: &JobRow) -> rusqlite::Result<()> {
    insert.execute(params![
        id,
        job.job_id.as_slice(),
        job.revision,
        &*job.state,
        &*job.tenant,
        &*job.service,
        &*job.provider,
        &*job.model,
        &*job.operation,
        &*job.outcome,
        job.failure_reason.as_deref(),
        job.attempts,
        job.started_at.cast_signed(),
        job.ended_at.cast_signed(),
        job.settled_at.cast_signed(),
        job.detail,
    ])?;
    Ok(())
}

const INSERT_CHARGE: &str =
    "INSERT INTO charge_row(job_row, number, attempt, provider, model, operation, unit, quantity,
    unit_price, cost_min, cost_expected, cost_max, currency, cause, basis, rule)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";

fn write_charge(
    insert: &mut CachedStatement<'_>,
    job_row: i64,
    number: i64,
    charge: &ChargeRow,
) -> rusqlite::Result<()> {
    insert.execute(params![
        job_row,
        number,
        charge.attempt,
        &*charge.provider,
        &*charge.model,
        &*charge.operation,
        &*charge.unit,
        DecimalText::new(charge.quantity),
        charge.unit_price.map(DecimalText::new),
        DecimalText::new(charge.cost_min),
        DecimalText::new(charge.cost_expected),
        DecimalText::new(charge.cost_max),
        &*charge.currency,
        &*charge.cause,
        &*charge.basis,
        &*charge.rule,
    ])?;
    Ok(())
}

/// A decimal as text, without an allocation: sign, 29 digits, point.
struct DecimalText {
    bytes: [u8; 32],
    len: usize,
}

impl DecimalText {
    fn new(value: Decimal) -> Self {
        let mut text = Self { bytes: [0; 32], len: 0 };
        // 32 bytes hold every decimal; were one longer, binding the cut text would fail below.
        let written = write!(text, "{value}");
        debug_assert!(written.is_ok(), "{value} is longer than 32 bytes");
        text
    }
}

impl std::fmt::Write for DecimalText {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + part.len()).ok_or(std::fmt::Error)?;
        room.copy_from_slice(part.as_bytes());
        self.len += part.len();
        Ok(())
    }
}

impl ToSql for DecimalText {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(&self.bytes[..self.len])))
    }
}
