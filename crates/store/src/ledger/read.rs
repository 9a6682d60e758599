//! Reading the ledger beside a server that writes it: the command line and the API.

use std::path::{Path, PathBuf};

use rusqlite::{OpenFlags, Row};

use super::decimal::{parse_decimal, read_decimal};
use super::rows::{ChargeRow, JobRow};
use super::{SCHEMA, write};
use crate::dir::ledger_path;
use crate::error::StoreError;
use crate::journal::Seq;
use crate::sqlite::Database;

/// The ledger of a data directory, open for reading only. Each call sees one moment of it.
#[derive(Debug)]
pub struct LedgerReader {
    pub(super) database: Database,
}

/// A job as the ledger now has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// Its newest revision, without charges.
    pub job: JobRow,
    /// Every charge row of every revision, in the order in which they were appended; their sum is what the
    /// job costs.
    pub charges: Vec<(u32, ChargeRow)>,
}

impl LedgerReader {
    /// Opens the ledger of a data directory.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is none; [`StoreError::Newer`] and `Foreign` when it is not for
    /// us.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_file(&ledger_path(dir))
    }

    pub(super) fn open_file(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing { path: PathBuf::from(path) });
        }
        let database = Database::open(path, SCHEMA.kind, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        database.execute("set the reader up", "PRAGMA busy_timeout = 1000; PRAGMA temp_store = MEMORY;")?;
        database.version(&SCHEMA)?;
        Ok(Self { database })
    }

    /// The journal position that the ledger includes.
    pub fn applied(&self) -> Result<Seq, StoreError> {
        write::read_applied(&self.database.connection).map_err(self.database.failed("read the position"))
    }

    /// The newest revision of a job and all its charges; none when no revision of it was ever settled.
    pub fn published(&self, job_id: [u8; 16]) -> Result<Option<Published>, StoreError> {
        self.find(job_id).map_err(self.database.failed("read a job"))
    }

    fn find(&self, job_id: [u8; 16]) -> rusqlite::Result<Option<Published>> {
        // One transaction, so that rows of a checkpoint that ends meanwhile are seen all or none.
        let moment = self.database.connection.unchecked_transaction()?;
        let last = moment.query_row("SELECT ifnull(max(id), 0) FROM job_row", [], |row| row.get(0))?;
        let Some((mut row, _)) = write::find_job(&moment, job_id, last)? else { return Ok(None) };
        let job =
            moment.prepare_cached(&format!("{SELECT_JOB} WHERE job.id = ?1"))?.query_row([row], read_job)?;
        let mut revisions = vec![row];
        let mut before = moment.prepare_cached("SELECT replaces FROM job_row WHERE id = ?1")?;
        while let Some(earlier) = before.query_row([row], |found| found.get(0))? {
            row = earlier;
            revisions.push(row);
        }
        let mut charges = Vec::new();
        let mut select = moment.prepare_cached(SELECT_CHARGES)?;
        for row in revisions.into_iter().rev() {
            for charge in select.query_map([row], read_charge)? {
                charges.push(charge?);
            }
        }
        Ok(Some(Published { job, charges }))
    }

    /// The newest revision of every job whose newest revision was settled at a moment or later, without its
    /// charges, the latest rows first; at most `limit`. Moments are in nanoseconds since 1970.
    pub fn load_published(
        &self,
        since_unix_nanos: u64,
        limit: usize,
        mut visit: impl FnMut(JobRow),
    ) -> Result<(), StoreError> {
        (|| {
            let mut select = self.database.connection.prepare_cached(&format!(
                "{SELECT_JOB}
                 WHERE settled_at >= ?1
                   AND NOT EXISTS (SELECT 1 FROM job_row AS newer WHERE newer.replaces = job.id)
                 ORDER BY job.id DESC LIMIT ?2"
            ))?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut rows = select.query([since_unix_nanos.cast_signed(), limit])?;
            while let Some(row) = rows.next()? {
                visit(read_job(row)?);
            }
            Ok(())
        })()
        .map_err(self.database.failed("read jobs"))
    }
}

/// What [`read_job`] reads, then the row's number.
pub(super) const SELECT_JOB: &str =
    "SELECT job_id, revision, state, tenant, service, provider, model, operation, outcome,
    nullif(failure_reason, ''), attempts, started_at, ended_at, settled_at, detail, job.id
    FROM job_row AS job JOIN job_kind AS kind ON kind.id = job.kind";

const SELECT_CHARGES: &str =
    "SELECT job.revision, charge.attempt, provider, model, operation, unit, quantity,
    nullif(unit_price, ''), ifnull(cost_min, cost_expected), cost_expected, ifnull(cost_max, cost_expected),
    currency, cause, basis, rule
    FROM charge_row AS charge
    JOIN job_row AS job ON job.id = charge.job_row
    JOIN charge_kind AS kind ON kind.id = charge.kind
    WHERE charge.job_row = ?1 ORDER BY charge.number";

pub(super) fn read_job(row: &Row<'_>) -> rusqlite::Result<JobRow> {
    let moment = |at| row.get::<_, i64>(at).map(i64::cast_unsigned);
    Ok(JobRow {
        job_id: row.get(0)?,
        revision: row.get(1)?,
        state: row.get::<_, String>(2)?.into(),
        tenant: row.get(3)?,
        service: row.get(4)?,
        provider: row.get(5)?,
        model: row.get(6)?,
        operation: row.get(7)?,
        outcome: row.get::<_, String>(8)?.into(),
        failure_reason: row.get::<_, Option<String>>(9)?.map(Into::into),
        attempts: row.get(10)?,
        started_at: moment(11)?,
        ended_at: moment(12)?,
        settled_at: moment(13)?,
        detail: row.get(14)?,
        charges: Vec::new(),
    })
}

fn read_charge(row: &Row<'_>) -> rusqlite::Result<(u32, ChargeRow)> {
    let charge = ChargeRow {
        attempt: row.get(1)?,
        provider: row.get(2)?,
        model: row.get(3)?,
        operation: row.get(4)?,
        unit: row.get(5)?,
        quantity: read_decimal(row, 6)?,
        unit_price: row.get::<_, Option<String>>(7)?.map(|text| parse_decimal(7, &text)).transpose()?,
        cost_min: read_decimal(row, 8)?,
        cost_expected: read_decimal(row, 9)?,
        cost_max: read_decimal(row, 10)?,
        currency: row.get(11)?,
        cause: row.get::<_, String>(12)?.into(),
        basis: row.get::<_, String>(13)?.into(),
        rule: row.get(14)?,
    };
    Ok((row.get(0)?, charge))
}
