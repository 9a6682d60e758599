//! Reading back what was charged since a moment: what budgets and prepaid accounts begin with.

use rusqlite::{Connection, OptionalExtension as _, Row};
use rust_decimal::Decimal;

use super::decimal::read_decimal;
use super::write::{Ledger, newest_row};
use crate::error::StoreError;

/// One charge row, or what a revision changed in one, with whose it is.
#[derive(Clone, Debug, PartialEq)]
pub struct SpendRow {
    /// When the revision was settled, in nanoseconds since 1970.
    pub settled_at: u64,
    /// Tenant of the job.
    pub tenant: String,
    /// Service of the job.
    pub service: String,
    /// Provider of the attempt.
    pub provider: String,
    /// Model of the attempt.
    pub model: String,
    /// Operation of the attempt.
    pub operation: String,
    /// Values of the job's extra labels in the order of the configuration that it was settled under, as a
    /// JSON array; none when there are none, or when they are not wanted.
    pub labels: Option<String>,
    /// The row whose document has these labels: the charge's own, or the one that a reversal takes back.
    pub labels_row: u64,
    /// Unit.
    pub unit: String,
    /// Quantity; negative where a revision took it back.
    pub quantity: Decimal,
    /// Currency; empty without a price.
    pub currency: String,
    /// Expected cost, in the currency; negative where a revision took it back.
    pub cost: Decimal,
}

impl Ledger {
    /// The newest row of a job; where all are removed, the newest there ever was.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn newest_row(&self) -> Result<u64, StoreError> {
        let newest = newest_row(&self.database.connection).map(i64::cast_unsigned);
        newest.map_err(self.database.failed("read the newest row"))
    }

    /// Every charge row that was settled at a moment (nanoseconds since 1970) or later, in the order in which
    /// they were appended. Extra labels are unpacked only if they are wanted: they are in the job's detail.
    ///
    /// # Errors
    /// When the file cannot be read, or a number in it is none.
    pub fn load_spend(
        &self,
        since: u64,
        with_labels: bool,
        visit: impl FnMut(SpendRow),
    ) -> Result<(), StoreError> {
        load(&self.database.connection, since, with_labels, visit)
            .map_err(self.database.failed("read what was spent"))
    }
}

/// A reversal shows no labels of its own: they are those of the revision that it takes back.
const LABELS_ROW: &str = "CASE WHEN owner.state = 'superseded' THEN job.replaces ELSE job.id END";

fn load(
    connection: &Connection,
    since: u64,
    with_labels: bool,
    mut visit: impl FnMut(SpendRow),
) -> rusqlite::Result<()> {
    let mut labels = connection.prepare("SELECT detail ->> '$.labels' FROM job_revision WHERE id = ?1")?;
    let mut labels_of = |row: u64| labels.query_row([row.cast_signed()], |row| row.get(0)).optional();
    let mut select = connection.prepare(&format!(
        "SELECT job.settled_at, owner.tenant, owner.service, kind.provider, kind.model, kind.operation,
            kind.unit, charge.value ->> 2, kind.currency, charge.value ->> 3,
            ifnull({LABELS_ROW}, 0)
         FROM job_row AS job
         LEFT JOIN form ON form.id = job.form
         JOIN json_each(ifnull(job.charges, form.charges)) AS charge
         JOIN charge_kind AS kind ON kind.id = charge.value ->> 0
         JOIN job_kind AS owner ON owner.id = job.kind
         WHERE job.id >= ?1 ORDER BY job.id, charge.key"
    ))?;
    let mut rows = select.query([first_since(connection, since)?])?;
    // The charges of a job follow one another, and its document is long.
    let mut last: (u64, Option<String>) = (0, None);
    while let Some(row) = rows.next()? {
        let mut spend = read(row)?;
        if with_labels && spend.labels_row != last.0 {
            last = (spend.labels_row, labels_of(spend.labels_row)?.flatten());
        }
        spend.labels.clone_from(&last.1);
        visit(spend);
    }
    Ok(())
}

/// The first job row that was settled at a moment or later. Rows are appended in the order of time, so this
/// halves the range instead of reading all of them.
pub(super) fn first_since(connection: &Connection, since: u64) -> rusqlite::Result<i64> {
    let last: i64 = connection.query_row("SELECT ifnull(max(id), 0) FROM job_row", [], |row| row.get(0))?;
    if last == 0 {
        return Ok(0);
    }
    let mut settled_at =
        connection.prepare("SELECT settled_at FROM job_row WHERE id >= ?1 ORDER BY id LIMIT 1")?;
    let (mut low, mut high) = (0, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let at: i64 = settled_at.query_row([middle], |row| row.get(0))?;
        if at.cast_unsigned() < since {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

fn read(row: &Row<'_>) -> rusqlite::Result<SpendRow> {
    Ok(SpendRow {
        settled_at: row.get::<_, i64>(0)?.cast_unsigned(),
        tenant: row.get(1)?,
        service: row.get(2)?,
        provider: row.get(3)?,
        model: row.get(4)?,
        operation: row.get(5)?,
        labels: None,
        labels_row: row.get::<_, i64>(10)?.cast_unsigned(),
        unit: row.get(6)?,
        quantity: read_decimal(row, 7)?,
        currency: row.get(8)?,
        cost: read_decimal(row, 9)?,
    })
}
