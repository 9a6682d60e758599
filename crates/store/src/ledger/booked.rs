//! Reading back what the ledger has for jobs of a time: what an invoice is laid beside.

use rusqlite::Row;
use rust_decimal::Decimal;

use super::decimal::read_decimal;
use super::read::LedgerReader;
use super::spend::first_since;
use crate::error::StoreError;

/// A job begins before it settles, unless its client's clock is ahead of ours: by no more than this, in
/// nanoseconds.
pub const CLOCK_SKEW_NANOS: u64 = 600_000_000_000;

/// A charge row of one revision's attempt, or what a revision changed in it.
#[derive(Clone, Debug, PartialEq)]
pub struct BookedRow {
    /// When the job began, in nanoseconds since 1970.
    pub started_at: u64,
    /// Provider of the attempt.
    pub provider: String,
    /// Currency; empty without a price.
    pub currency: String,
    /// How many units have no price; zero of a charge that has one. Negative where a revision took them back,
    /// as the others.
    pub unpriced: Decimal,
    /// Least cost.
    pub min: Decimal,
    /// Expected cost.
    pub expected: Decimal,
    /// Most cost.
    pub max: Decimal,
}

impl LedgerReader {
    /// Every charge that has a price, or needs one and has none, of jobs that began at `from` or later and
    /// before `until` (nanoseconds since 1970), of all revisions: their sum is what the jobs cost.
    ///
    /// # Errors
    /// When the file cannot be read, or a number in it is none.
    pub fn load_charges_between(
        &self,
        from: u64,
        until: u64,
        visit: impl FnMut(BookedRow),
    ) -> Result<(), StoreError> {
        self.load(from, until, visit).map_err(self.database.failed("read what was booked"))
    }

    /// The latest settlement of all rows that the retention ever removed, in nanoseconds since 1970; 0 when
    /// it removed none.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn removed_until(&self) -> Result<u64, StoreError> {
        self.number("removed_until")
    }

    fn load(&self, from: u64, until: u64, mut visit: impl FnMut(BookedRow)) -> rusqlite::Result<()> {
        let connection = &self.database.connection;
        // Rows lie in the order in which they settled, which is after they began, by one clock or the other.
        let first = first_since(connection, from.saturating_sub(CLOCK_SKEW_NANOS))?;
        let mut select = connection.prepare(
            "SELECT job.started_at, kind.provider, kind.currency, charge.value ->> 3,
                ifnull(charge.value ->> 4, charge.value ->> 3),
                ifnull(charge.value ->> 5, charge.value ->> 3),
                iif(kind.basis = 'unpriced', charge.value ->> 2, '0')
             FROM job_row AS job
             LEFT JOIN form ON form.id = job.form
             JOIN json_each(ifnull(job.charges, form.charges)) AS charge
             JOIN charge_kind AS kind ON kind.id = charge.value ->> 0
             WHERE job.id >= ?1 AND job.started_at >= ?2 AND job.started_at < ?3
                AND (kind.unit_price <> '' OR kind.basis = 'unpriced')",
        )?;
        let mut rows = select.query([first, from.cast_signed(), until.cast_signed()])?;
        while let Some(row) = rows.next()? {
            visit(read(row)?);
        }
        Ok(())
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<BookedRow> {
    Ok(BookedRow {
        started_at: row.get::<_, i64>(0)?.cast_unsigned(),
        provider: row.get(1)?,
        currency: row.get(2)?,
        expected: read_decimal(row, 3)?,
        min: read_decimal(row, 4)?,
        max: read_decimal(row, 5)?,
        unpriced: read_decimal(row, 6)?,
    })
}
