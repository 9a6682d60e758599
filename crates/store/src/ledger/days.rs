//! The ledger by day: what `spantally export` writes out, one file a day.
//!
//! A row belongs to the UTC day on which its revision was settled. Rows are appended in the order of time, so
//! a day is a range of rows; and since none is ever changed, a day that is over stays as it is, whatever late
//! evidence does: a later revision is a row of a later day.

use std::ops::ControlFlow;

use rusqlite::Connection;

use super::read::{CHARGES_OF, LedgerReader, SELECT_JOB, SELECT_JOB_WITHOUT_DETAIL, read_charge, read_job};
use super::rows::{ChargeRow, JobRow};
use super::spend::first_since;
use super::write::read_number;
use crate::error::StoreError;

/// Nanoseconds of a UTC day.
pub const DAY_NANOS: u64 = 86_400_000_000_000;

/// The rows of one UTC day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayRows {
    /// Days since 1970.
    pub day: u64,
    /// Its first and its last row; there is no gap between them.
    pub rows: (u64, u64),
    /// The jobs of these two rows, which tell one ledger from another.
    pub jobs: ([u8; 16], [u8; 16]),
    /// Whether rows of this day were removed before ([`Ledger::remove_old`](super::Ledger::remove_old)).
    pub is_cut: bool,
    /// Whether no row can come any more: the server's time is past the end of the day.
    pub is_over: bool,
}

impl LedgerReader {
    /// Every day that has rows, the oldest first. `told_until` is the moment up to which the server has
    /// settled what there was to settle, in nanoseconds since 1970.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn days(&self, told_until: u64) -> Result<Vec<DayRows>, StoreError> {
        (|| {
            let _moment = self.moment()?;
            days(&self.database.connection, told_until)
        })()
        .map_err(self.database.failed("find the days of the ledger"))
    }

    /// One day as it now is; none when it has no rows (any more). `told_until` as in [`Self::days`].
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn day(&self, day: u64, told_until: u64) -> Result<Option<DayRows>, StoreError> {
        (|| {
            let _moment = self.moment()?;
            let connection = &self.database.connection;
            let Some((oldest, last)) = bounds(connection)? else { return Ok(None) };
            let first = first_since(connection, day.saturating_mul(DAY_NANOS))?.max(oldest);
            if first > last {
                return Ok(None);
            }
            let found = day_from(connection, first, told_until)?;
            Ok((found.day == day).then_some(found))
        })()
        .map_err(self.database.failed("find a day of the ledger"))
    }

    /// Every revision of some rows, in their order, without charges. Documents are put together only if they
    /// are wanted; without, they are empty.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn visit_jobs(
        &self,
        (first, last): (u64, u64),
        with_detail: bool,
        mut visit: impl FnMut(u64, JobRow) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let columns = if with_detail { SELECT_JOB } else { SELECT_JOB_WITHOUT_DETAIL };
        (|| {
            let mut select = self
                .database
                .connection
                .prepare_cached(&format!("{columns} WHERE job.id BETWEEN ?1 AND ?2 ORDER BY job.id"))?;
            let mut rows = select.query([first.cast_signed(), last.cast_signed()])?;
            while let Some(row) = rows.next()? {
                if visit(row.get::<_, i64>(16)?.cast_unsigned(), read_job(row)?).is_break() {
                    break;
                }
            }
            Ok(())
        })()
        .map_err(self.database.failed("read jobs"))
    }

    /// Every charge of some rows, each with its row, in their order.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn visit_charges(
        &self,
        (first, last): (u64, u64),
        mut visit: impl FnMut(u64, ChargeRow) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        (|| {
            let mut select = self.database.connection.prepare_cached(&format!(
                "SELECT {CHARGES_OF} WHERE job.id BETWEEN ?1 AND ?2 ORDER BY job.id, charge.key"
            ))?;
            let mut rows = select.query([first.cast_signed(), last.cast_signed()])?;
            while let Some(row) = rows.next()? {
                let number = row.get::<_, i64>(15)?.cast_unsigned();
                if visit(number, read_charge(row)?.1).is_break() {
                    break;
                }
            }
            Ok(())
        })()
        .map_err(self.database.failed("read charges"))
    }
}

/// The first and the last row; none when there is none.
pub(super) fn bounds(connection: &Connection) -> rusqlite::Result<Option<(i64, i64)>> {
    // Each by itself is looked up; both at once would be a scan.
    let range: (Option<i64>, Option<i64>) = connection
        .prepare_cached("SELECT (SELECT min(id) FROM job_row), (SELECT max(id) FROM job_row)")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(range.0.zip(range.1))
}

fn days(connection: &Connection, told_until: u64) -> rusqlite::Result<Vec<DayRows>> {
    let Some((mut first, last)) = bounds(connection)? else { return Ok(Vec::new()) };
    let mut days = Vec::new();
    while first <= last {
        let day = day_from(connection, first, told_until)?;
        first = day.rows.1.cast_signed() + 1;
        days.push(day);
    }
    Ok(days)
}

/// The day that begins with a row.
fn day_from(connection: &Connection, first: i64, told_until: u64) -> rusqlite::Result<DayRows> {
    let mut row = connection
        .prepare_cached("SELECT job_id, settled_at FROM job_row WHERE id >= ?1 ORDER BY id LIMIT 1")?;
    let mut row = |id: i64| {
        row.query_row([id], |row| Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, i64>(1)?.cast_unsigned())))
    };
    let (first_job, settled_at) = row(first)?;
    let day = settled_at / DAY_NANOS;
    let next = first_since(connection, (day + 1) * DAY_NANOS)?.max(first + 1);
    let (last_job, _) = row(next - 1)?;
    let removed_to = read_number(connection, "removed_to")?;
    let removed_day = read_number(connection, "removed_until")? / DAY_NANOS;
    Ok(DayRows {
        day,
        rows: (first.cast_unsigned(), (next - 1).cast_unsigned()),
        jobs: (first_job, last_job),
        is_cut: removed_to > 0 && removed_to + 1 == first.cast_unsigned() && removed_day == day,
        is_over: told_until >= (day + 1) * DAY_NANOS,
    })
}
