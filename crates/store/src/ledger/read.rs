//! Reading the ledger beside a server that writes it: the command line and the API.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{OpenFlags, Row, Transaction};

use super::decimal::{parse_decimal, read_decimal};
use super::rows::{ChargeRow, Detail, JobRow};
use super::runs::FollowedRun;
use super::{SCHEMA, write};
use crate::error::StoreError;
use crate::files::ledger_path;
use crate::seq::Seq;
use crate::sqlite::Database;

/// The ledger of a data directory, open for reading only. Each call sees one moment of it.
#[derive(Debug)]
pub struct LedgerReader {
    pub(super) database: Database,
    /// Where the newest jobs are.
    run: RefCell<FollowedRun>,
}

/// A job as the ledger now has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// The row of its newest revision.
    pub row: u64,
    /// Its newest revision, without charges.
    pub job: JobRow,
    /// Every charge row of every revision, in the order in which they were appended; their sum is what the
    /// job costs.
    pub charges: Vec<(u32, ChargeRow)>,
    /// Whether older revisions were removed, so that their charges are missing.
    pub is_cut: bool,
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
        Ok(Self { database, run: RefCell::default() })
    }

    /// The journal position that the ledger includes.
    pub fn applied(&self) -> Result<Seq, StoreError> {
        write::read_position(&self.database.connection, "applied")
            .map_err(self.database.failed("read the position"))
    }

    /// The newest revision of a job and all its charges; none when no revision of it was ever settled.
    pub fn published(&self, job_id: [u8; 16]) -> Result<Option<Published>, StoreError> {
        self.find(job_id).map_err(self.database.failed("read a job"))
    }

    /// Lets everything that is read while it lives be of one moment: rows of a checkpoint that ends meanwhile
    /// are seen all or none. The file's write-ahead log grows for as long.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn hold(&self) -> Result<impl Sized + '_, StoreError> {
        let failed = || self.database.failed("begin to read");
        let moment = self.moment().map_err(failed())?;
        // A transaction begins with the first read.
        self.applied()?;
        Ok(moment)
    }

    /// A transaction, unless there is one.
    pub(super) fn moment(&self) -> rusqlite::Result<Option<Transaction<'_>>> {
        let connection = &self.database.connection;
        connection.is_autocommit().then(|| connection.unchecked_transaction()).transpose()
    }

    /// The single value of a name.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn load_meta(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        write::read_meta(&self.database.connection, name).map_err(self.database.failed("read a value"))
    }

    /// A single value that is a number: the server keeps `turn_unix_nanos`, the moment up to which it settled
    /// what there was to settle. 0 when there is none.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn number(&self, name: &str) -> Result<u64, StoreError> {
        write::read_number(&self.database.connection, name).map_err(self.database.failed("read a value"))
    }

    fn find(&self, job_id: [u8; 16]) -> rusqlite::Result<Option<Published>> {
        let _moment = self.moment()?;
        let moment = &self.database.connection;
        let last = write::newest_row(moment)?;
        let removed_to = write::read_number(moment, "removed_to")?.cast_signed();
        let found = self.run.borrow_mut().find(moment, job_id, (last, removed_to))?;
        let Some((mut row, _)) = found else { return Ok(None) };
        let job =
            moment.prepare_cached(&format!("{SELECT_JOB} WHERE job.id = ?1"))?.query_row([row], read_job)?;
        let newest = row.cast_unsigned();
        let mut revisions = vec![row];
        let mut before = moment.prepare_cached("SELECT replaces FROM job_row WHERE id = ?1")?;
        let mut is_cut = false;
        while let Some(earlier) = before.query_row([row], |found| found.get::<_, Option<i64>>(0))? {
            is_cut = earlier <= removed_to;
            if is_cut {
                break;
            }
            row = earlier;
            revisions.push(row);
        }
        let mut charges = Vec::new();
        let mut select =
            moment.prepare_cached(&format!("SELECT {CHARGES_OF} WHERE job.id = ?1 ORDER BY charge.key"))?;
        for row in revisions.into_iter().rev() {
            for charge in select.query_map([row], read_charge)? {
                charges.push(charge?);
            }
        }
        Ok(Some(Published { row: newest, job, charges, is_cut }))
    }

    /// Tells of every row that was settled at a moment (in nanoseconds since 1970) or later, the latest
    /// first: of several revisions of a job the newest comes first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn load_settled(
        &self,
        since_unix_nanos: u64,
        mut visit: impl FnMut(SettledRow),
    ) -> Result<(), StoreError> {
        (|| {
            let mut select = self.database.connection.prepare_cached(
                "SELECT job_id, revision, digest, started_at, settled_at, kind.state, kind.tenant, ended_at
                 FROM job_row AS job JOIN job_kind AS kind ON kind.id = job.kind ORDER BY job.id DESC",
            )?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                let moment = |at| row.get::<_, i64>(at).map(i64::cast_unsigned);
                let settled = SettledRow {
                    job_id: row.get(0)?,
                    revision: row.get(1)?,
                    digest: moment(2)?,
                    started_at: moment(3)?,
                    settled_at: moment(4)?,
                    state: row.get(5)?,
                    tenant: row.get(6)?,
                    ended_at: moment(7)?,
                };
                // Rows are in the order of time.
                if settled.settled_at < since_unix_nanos {
                    break;
                }
                visit(settled);
            }
            Ok(())
        })()
        .map_err(self.database.failed("read jobs"))
    }
}

/// What tells whether a job that is stitched again is the one that was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledRow {
    /// The job.
    pub job_id: [u8; 16],
    /// The revision.
    pub revision: u32,
    /// Fingerprint of what its spans said.
    pub digest: u64,
    /// Start of its earliest call, in nanoseconds since 1970.
    pub started_at: u64,
    /// End of its latest call, in nanoseconds since 1970.
    pub ended_at: u64,
    /// When the revision was made, in nanoseconds since 1970.
    pub settled_at: u64,
    /// Where the job stands.
    pub state: String,
    /// Tenant.
    pub tenant: String,
}

macro_rules! select_job {
    ($detail:literal) => {
        concat!(
            "SELECT job_id, revision, state, tenant, service, provider, model, operation, outcome,
            failure_reason, attempts, started_at, ended_at, settled_at, digest, ",
            $detail,
            ", job.id, booked FROM job_revision AS job"
        )
    };
}

/// What [`read_job`] reads, with the row's number.
pub(super) const SELECT_JOB: &str = select_job!("detail");
/// The same with an empty document, which costs nothing to put together.
pub(super) const SELECT_JOB_WITHOUT_DETAIL: &str = select_job!("''");

/// What [`read_charge`] reads, with the row's number.
pub(super) const CHARGES_OF: &str =
    "job.revision, charge.value ->> 1, provider, model, operation, unit, charge.value ->> 2,
    nullif(unit_price, ''), ifnull(charge.value ->> 4, charge.value ->> 3), charge.value ->> 3,
    ifnull(charge.value ->> 5, charge.value ->> 3), currency, cause, basis, rule,
    job.id
    FROM job_row AS job
    LEFT JOIN form ON form.id = job.form
    JOIN json_each(ifnull(job.charges, form.charges)) AS charge
    JOIN charge_kind AS kind ON kind.id = charge.value ->> 0";

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
        digest: moment(14)?,
        detail: Detail::Whole(row.get::<_, String>(15)?.into_bytes()),
        charges: Arc::default(),
        booked: row.get(17)?,
    })
}

pub(super) fn read_charge(row: &Row<'_>) -> rusqlite::Result<(u32, ChargeRow)> {
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
