//! Retention: the oldest rows go, what they added up to stays.
//!
//! Rows go in the order in which they came, a slice at a time, each slice in one transaction with what is
//! kept of it: the charges by day, owner and kind (`removed_charge`), the jobs by day and kind
//! (`removed_job`), and what the jobs had added to the counters (`removed_entry`). So the sum over the rows
//! that are left and the sums that were kept is what it always was, and `spantally verify` can still tell
//! where every counter comes from. `removed_to` is the newest row that is gone; rows keep their numbers.
//!
//! A job that may still be revised keeps all its rows. The file does not shrink: its free pages are used for
//! the rows that come.

use std::collections::BTreeMap;

use rusqlite::Error::FromSqlConversionFailure;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use rust_decimal::Decimal;

use super::days::{DAY_NANOS, bounds};
use super::decimal::{DecimalText, parse_decimal, read_decimal};
use super::runs;
use super::spend::first_since;
use super::write::{Ledger, read_number};
use crate::error::StoreError;

/// What a ledger may hold. Moments are in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionBound {
    /// Rows that were settled before go.
    pub before: Option<u64>,
    /// The oldest rows go while the file has more bytes in use.
    pub max_bytes: Option<u64>,
    /// What was settled at this moment or later stays, whatever else is said; so do older revisions of its
    /// jobs.
    pub hold_from: u64,
    /// At most so many rows go at once.
    pub max_rows: u64,
}

/// What a slice did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// How many rows went.
    pub rows: u64,
    /// Whether there is more to do now.
    pub is_more: bool,
    /// The latest settlement of all rows that ever went; 0 when none did.
    pub until_unix_nanos: u64,
}

/// How large a ledger is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerSize {
    /// Bytes of the pages that hold something.
    pub used_bytes: u64,
    /// Rows that were removed over the life of the file.
    pub removed_rows: u64,
    /// When the oldest row was settled, in nanoseconds since 1970; none when there is no row.
    pub oldest_unix_nanos: Option<u64>,
}

/// Reads what a row added to the counters: series by their keys. None when it is not readable; then the row
/// stays, since its sums could not.
pub type ReadEntries<'a> = &'a dyn Fn(&[u8]) -> Option<Vec<(u64, Decimal)>>;

impl Ledger {
    /// Removes a slice of the oldest rows that the bound wants gone.
    ///
    /// # Errors
    /// When the file cannot be read or written, as in [`Ledger::open`]; nothing is removed then.
    pub fn remove_old(
        &mut self,
        bound: &RetentionBound,
        entries: ReadEntries<'_>,
    ) -> Result<Removed, StoreError> {
        let removed = remove(&self.database.connection, bound, entries);
        if removed.is_err() {
            self.database.roll_back();
        }
        let removed = removed.map_err(self.database.failed("remove old rows"))?;
        if removed.rows > 0 {
            self.rows_have_changed();
            self.copy_log();
        }
        Ok(removed)
    }

    /// How large the ledger is.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn size(&self) -> Result<LedgerSize, StoreError> {
        let used_bytes = used_bytes(&self.database.connection);
        (|| {
            let connection = &self.database.connection;
            let oldest = connection
                .prepare_cached("SELECT settled_at FROM job_row ORDER BY id LIMIT 1")?
                .query_row([], |row| row.get::<_, i64>(0))
                .optional()?;
            Ok(LedgerSize {
                used_bytes: used_bytes?,
                removed_rows: read_number(connection, "removed_to")?,
                oldest_unix_nanos: oldest.map(i64::cast_unsigned),
            })
        })()
        .map_err(self.database.failed("read the size"))
    }
}

fn used_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let pages = number("page_count")? - number("freelist_count")?;
    Ok((pages * number("page_size")?).unsigned_abs())
}

fn remove(
    connection: &Connection,
    bound: &RetentionBound,
    entries: ReadEntries<'_>,
) -> rusqlite::Result<Removed> {
    let until = read_number(connection, "removed_until")?;
    let nothing = Removed { until_unix_nanos: until, ..Removed::default() };
    let Some((first, last)) = bounds(connection)? else { return Ok(nothing) };
    let is_large = bound.max_bytes.map(|max| Ok::<_, rusqlite::Error>(used_bytes(connection)? > max));
    let is_large = is_large.transpose()?.unwrap_or(false);
    let limit = first.saturating_add(bound.max_rows.cast_signed()).min(last + 1);
    let by_age = bound.before.map(|before| first_since(connection, before)).transpose()?.unwrap_or(first);
    let wanted = if is_large { limit } else { by_age.min(limit) };
    let held = first_since(connection, bound.hold_from)?;
    let mut end = wanted.min(held);
    if let Some(row) = first_held(connection, (first, end), bound.hold_from)? {
        end = end.min(row);
    }
    if end <= first {
        return Ok(nothing);
    }
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    keep_sums(connection, (first, end), entries)?;
    let until = until.max(connection.query_row(
        "SELECT max(settled_at) FROM job_row WHERE id >= ?1 AND id < ?2",
        [first, end],
        |row| row.get::<_, i64>(0).map(i64::cast_unsigned),
    )?);
    let mut upsert = connection.prepare_cached(
        "INSERT INTO meta(name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
    )?;
    // First: only rows up to here may be deleted.
    for (name, number) in [("removed_to", (end - 1).cast_unsigned()), ("removed_until", until)] {
        upsert.execute(params![name, number.to_string().as_bytes()])?;
    }
    connection.prepare_cached("DELETE FROM job_row WHERE id < ?1")?.execute([end])?;
    runs::remove_before(connection, end)?;
    connection.prepare_cached("COMMIT")?.execute([])?;
    let is_more = end < held && end == limit && (is_large || end < by_age);
    Ok(Removed { rows: (end - first).unsigned_abs(), is_more, until_unix_nanos: until })
}

/// The first of some rows whose job has a revision that must stay.
fn first_held(
    connection: &Connection,
    (first, end): (i64, i64),
    hold_from: u64,
) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(
            "WITH RECURSIVE later(base, id, settled_at) AS (
                SELECT old.id, newer.id, newer.settled_at
                FROM job_row AS old JOIN job_row AS newer ON newer.replaces = old.id
                WHERE old.id >= ?1 AND old.id < ?2
                UNION ALL
                SELECT later.base, newer.id, newer.settled_at
                FROM later JOIN job_row AS newer ON newer.replaces = later.id)
             SELECT min(base) FROM later WHERE settled_at >= ?3",
        )?
        .query_row(params![first, end, i64::try_from(hold_from).unwrap_or(i64::MAX)], |row| row.get(0))
}

/// Day, tenant, service, kind of charge.
type ChargeKey = (i64, String, String, i64);

/// Rows, quantity, least, expected and most cost.
#[derive(Default)]
struct Sums {
    rows: i64,
    amounts: [Decimal; 4],
}

fn keep_sums(connection: &Connection, rows: (i64, i64), entries: ReadEntries<'_>) -> rusqlite::Result<()> {
    let mut charges = BTreeMap::<ChargeKey, Sums>::new();
    let mut select = connection.prepare_cached(&format!(
        "SELECT job.settled_at / {DAY_NANOS}, owner.tenant, owner.service, charge.value ->> 0,
            charge.value ->> 2, ifnull(charge.value ->> 4, charge.value ->> 3), charge.value ->> 3,
            ifnull(charge.value ->> 5, charge.value ->> 3)
         FROM job_row AS job
         LEFT JOIN form ON form.id = job.form
         JOIN job_kind AS owner ON owner.id = job.kind
         JOIN json_each(ifnull(job.charges, form.charges)) AS charge
         WHERE job.id >= ?1 AND job.id < ?2"
    ))?;
    let mut found = select.query([rows.0, rows.1])?;
    while let Some(row) = found.next()? {
        let sums = charges.entry((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)).or_default();
        sums.rows += 1;
        for (at, sum) in (4..).zip(&mut sums.amounts) {
            *sum = sum.saturating_add(read_decimal(row, at)?);
        }
    }
    charges.iter().try_for_each(|(key, sums)| add_charge(connection, key, sums))?;
    connection
        .prepare_cached(&format!(
            "INSERT INTO removed_job(day, kind, jobs)
             SELECT job.settled_at / {DAY_NANOS}, job.kind, count(*) FROM job_row AS job
             WHERE job.id >= ?1 AND job.id < ?2 AND {NEWEST} GROUP BY 1, 2
             ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs"
        ))?
        .execute([rows.0, rows.1])?;
    keep_entries(connection, rows, entries)
}

/// A row whose job no later row changed; what the job added to the counters is what this row says.
const NEWEST: &str = "NOT EXISTS (SELECT 1 FROM job_row AS newer WHERE newer.replaces = job.id)";

fn add_charge(connection: &Connection, key: &ChargeKey, sums: &Sums) -> rusqlite::Result<()> {
    let (day, tenant, service, kind) = key;
    let before = connection
        .prepare_cached(
            "SELECT quantity, cost_min, cost_expected, cost_max FROM removed_charge
             WHERE day = ?1 AND tenant = ?2 AND service = ?3 AND kind = ?4",
        )?
        .query_row(params![day, tenant, service, kind], |row: &Row<'_>| {
            Ok([read_decimal(row, 0)?, read_decimal(row, 1)?, read_decimal(row, 2)?, read_decimal(row, 3)?])
        })
        .optional()?
        .unwrap_or_default();
    let mut amounts = before.into_iter().zip(sums.amounts).map(|(one, other)| one.saturating_add(other));
    let mut next = || DecimalText::new(amounts.next().unwrap_or_default());
    let [quantity, least, expected, most] = [next()?, next()?, next()?, next()?];
    connection
        .prepare_cached(
            "INSERT INTO removed_charge(day, tenant, service, kind, rows, quantity, cost_min, cost_expected,
                cost_max) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT DO UPDATE SET rows = rows + excluded.rows, quantity = excluded.quantity,
                cost_min = excluded.cost_min, cost_expected = excluded.cost_expected,
                cost_max = excluded.cost_max",
        )?
        .execute(params![
            day,
            tenant,
            service,
            kind,
            sums.rows,
            quantity.as_str(),
            least.as_str(),
            expected.as_str(),
            most.as_str()
        ])?;
    Ok(())
}

fn keep_entries(connection: &Connection, rows: (i64, i64), entries: ReadEntries<'_>) -> rusqlite::Result<()> {
    let mut sums = BTreeMap::<u64, Decimal>::new();
    let mut select = connection.prepare_cached(&format!(
        "SELECT ifnull(job.booked, form.booked) FROM job_row AS job LEFT JOIN form ON form.id = job.form
         WHERE job.id >= ?1 AND job.id < ?2 AND {NEWEST}"
    ))?;
    let mut found = select.query([rows.0, rows.1])?;
    while let Some(row) = found.next()? {
        let booked = row.get_ref(0)?.as_blob_or_null()?.unwrap_or_default();
        let unreadable =
            || FromSqlConversionFailure(0, Type::Blob, "what a row added to the counters".into());
        let read = if booked.is_empty() { Vec::new() } else { entries(booked).ok_or_else(unreadable)? };
        for (key, amount) in read {
            let sum = sums.entry(key).or_default();
            *sum = sum.saturating_add(amount);
        }
    }
    let mut before = connection.prepare_cached("SELECT amount FROM removed_entry WHERE series = ?1")?;
    let mut upsert = connection.prepare_cached(
        "INSERT INTO removed_entry(series, amount) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET amount = excluded.amount",
    )?;
    for (key, amount) in sums {
        let known: Option<String> = before.query_row([key.cast_signed()], |row| row.get(0)).optional()?;
        let known = known.map(|text| parse_decimal(0, &text)).transpose()?.unwrap_or_default();
        let sum = DecimalText::new(known.saturating_add(amount))?;
        upsert.execute(params![key.cast_signed(), sum.as_str()])?;
    }
    Ok(())
}
