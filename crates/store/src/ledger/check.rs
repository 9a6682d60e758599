//! Whether the ledger's rows fit together: what `spantally verify` asks of the file alone.
//!
//! What the rows mean (money, counters, evidence) is the server's to check; here it is about numbers, chains
//! of revisions, references and the index in runs.

use rusqlite::{Connection, Row};

use super::LedgerReader;
use super::days::bounds;
use super::runs;
use super::spend::first_since;
use super::write::read_number;
use crate::error::StoreError;

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What kind of thing it is, in one or two words, for example `revision`.
    pub kind: &'static str,
    /// Where: a row, a job, a series.
    pub at: String,
    /// What is there.
    pub found: String,
    /// What should be.
    pub expected: String,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerCounts {
    /// Rows of revisions.
    pub rows: u64,
    /// Forms.
    pub forms: u64,
    /// Counters.
    pub counters: u64,
}

/// Problems that SQLite lists of one file.
const PROBLEMS_MAX: u32 = 20;

impl LedgerReader {
    /// Looks at every row. Tells what differs, at most once a row and kind.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn check(&self, tell: &mut dyn FnMut(Difference)) -> Result<LedgerCounts, StoreError> {
        let connection = &self.database.connection;
        (|| {
            check_pages(connection, tell)?;
            check_chains(connection, tell)?;
            check_references(connection, tell)?;
            runs::check(connection, tell)?;
            let count = |table| {
                let sql = format!("SELECT count(*) FROM {table}");
                connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
            };
            Ok(LedgerCounts { rows: count("job_row")?, forms: count("form")?, counters: count("counter")? })
        })()
        .map_err(self.database.failed("check the ledger"))
    }

    /// Rows that a later revision replaces.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn replaced_rows(&self) -> Result<Vec<u64>, StoreError> {
        (|| {
            let connection = &self.database.connection;
            let mut select = connection.prepare("SELECT replaces FROM job_row WHERE replaces IS NOT NULL")?;
            select
                .query_map([], |row| row.get::<_, i64>(0).map(i64::cast_unsigned))?
                .collect::<rusqlite::Result<Vec<_>>>()
        })()
        .map_err(self.database.failed("read the revisions"))
    }

    /// The first row that was settled at a moment (in nanoseconds since 1970) or later, and the last of all;
    /// none when there is none.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn row_range(&self, since_unix_nanos: u64) -> Result<Option<(u64, u64)>, StoreError> {
        (|| {
            let connection = &self.database.connection;
            let Some((first, last)) = bounds(connection)? else { return Ok(None) };
            let first = first.max(first_since(connection, since_unix_nanos)?);
            Ok((first <= last).then(|| (first.cast_unsigned(), last.cast_unsigned())))
        })()
        .map_err(self.database.failed("read the rows' numbers"))
    }

    /// What the charges of removed rows added up to, by day, owner and kind; as one charge each, without an
    /// attempt.
    ///
    /// # Errors
    /// The file cannot be read, or a number in it is none.
    pub fn load_removed_charges(
        &self,
        mut visit: impl FnMut(super::ChargeRow, (&str, &str)),
    ) -> Result<(), StoreError> {
        (|| {
            let mut select = self.database.connection.prepare(
                "SELECT 0, 0, provider, model, operation, unit, quantity, unit_price, cost_min, cost_expected,
                    cost_max, currency, cause, basis, rule, service, tenant FROM removed_charges",
            )?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                let (service, tenant): (String, String) = (row.get("service")?, row.get("tenant")?);
                visit(super::read::read_charge(row)?.1, (&service, &tenant));
            }
            Ok(())
        })()
        .map_err(self.database.failed("read what was removed"))
    }

    /// How many settled jobs of each outcome were removed.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn load_removed_jobs(&self, mut visit: impl FnMut(String, u64)) -> Result<(), StoreError> {
        (|| {
            let mut select = self.database.connection.prepare(
                "SELECT outcome, sum(jobs) FROM removed_jobs WHERE state <> 'superseded' GROUP BY outcome",
            )?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                visit(row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs());
            }
            Ok(())
        })()
        .map_err(self.database.failed("read what was removed"))
    }

    /// Every counter, in the order of name and labels.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn load_counters(&self, visit: impl FnMut(super::CounterRow)) -> Result<(), StoreError> {
        super::write::load_counters(&self.database.connection, visit)
            .map_err(self.database.failed("read the counters"))
    }

    /// What each job that still has rows added to the counters, in the caller's own encoding: of every job
    /// its newest revision's.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn load_booked(&self, mut visit: impl FnMut(u64, &[u8])) -> Result<(), StoreError> {
        (|| {
            let mut select = self.database.connection.prepare(
                "SELECT job.id, ifnull(job.booked, form.booked) FROM job_row AS job
                 LEFT JOIN form ON form.id = job.form
                 WHERE NOT EXISTS (SELECT 1 FROM job_row AS newer WHERE newer.replaces = job.id)",
            )?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                let booked = row.get_ref(1)?.as_blob_or_null()?.unwrap_or_default();
                visit(row.get::<_, i64>(0)?.cast_unsigned(), booked);
            }
            Ok(())
        })()
        .map_err(self.database.failed("read what was booked"))
    }

    /// What jobs whose rows were removed had added to the counters, by the server's key of a series.
    ///
    /// # Errors
    /// The file cannot be read, or a number in it is none.
    pub fn load_removed_entries(
        &self,
        mut visit: impl FnMut(u64, rust_decimal::Decimal),
    ) -> Result<(), StoreError> {
        (|| {
            let connection = &self.database.connection;
            let mut select = connection.prepare("SELECT series, amount FROM removed_entry")?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                visit(row.get::<_, i64>(0)?.cast_unsigned(), super::decimal::read_decimal(row, 1)?);
            }
            Ok(())
        })()
        .map_err(self.database.failed("read what was removed"))
    }

    /// The live state that outlived its rows of the journal, in the order of creation.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn load_state(&self, visit: impl FnMut(u64, &[u8])) -> Result<(), StoreError> {
        super::write::load_state(&self.database.connection, visit)
            .map_err(self.database.failed("read the live state"))
    }

    /// The turns whose rows of the journal are still needed, in order.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn load_turns(&self) -> Result<Vec<super::TurnRow>, StoreError> {
        super::write::load_turns(&self.database.connection).map_err(self.database.failed("read the turns"))
    }
}

fn check_pages(connection: &Connection, tell: &mut dyn FnMut(Difference)) -> rusqlite::Result<()> {
    let mut check = connection.prepare(&format!("PRAGMA integrity_check({PROBLEMS_MAX})"))?;
    let mut rows = check.query([])?;
    while let Some(row) = rows.next()? {
        let found: String = row.get(0)?;
        if found != "ok" {
            tell(Difference { kind: "file", at: "ledger.db".to_owned(), found, expected: "ok".to_owned() });
        }
    }
    Ok(())
}

/// Numbers without gaps, time that does not go back, revisions that follow one another.
fn check_chains(connection: &Connection, tell: &mut dyn FnMut(Difference)) -> rusqlite::Result<()> {
    let Some((first, _)) = bounds(connection)? else { return Ok(()) };
    let removed_to = read_number(connection, "removed_to")?.cast_signed();
    let mut select = connection.prepare(
        "SELECT job.id, job.job_id, job.revision, job.settled_at, job.replaces, before.job_id, before.revision
         FROM job_row AS job LEFT JOIN job_row AS before ON before.id = job.replaces ORDER BY job.id",
    )?;
    let mut rows = select.query([])?;
    let mut expected = removed_to + 1;
    if first != expected {
        tell(row_difference("row", first, "is the first", format!("row {expected}")));
        expected = first;
    }
    let mut time = 0_i64;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        if id != expected {
            tell(row_difference(
                "row",
                id,
                format!("follows row {}", expected - 1),
                format!("row {expected}"),
            ));
        }
        expected = id + 1;
        let settled_at: i64 = row.get(3)?;
        if settled_at < time {
            tell(row_difference("time", id, format!("settled at {settled_at}"), format!("{time} or later")));
        }
        time = time.max(settled_at);
        check_revision(row, removed_to, tell)?;
    }
    let mut twice = connection.prepare(
        "SELECT lower(hex(job_id)), count(*) FROM job_row WHERE revision = 1
         GROUP BY job_id HAVING count(*) > 1",
    )?;
    let mut rows = twice.query([])?;
    while let Some(row) = rows.next()? {
        let (job, count): (String, i64) = (row.get(0)?, row.get(1)?);
        let (at, found) = (format!("job {job}"), format!("{count} first revisions"));
        tell(Difference { kind: "revision", at, found, expected: "one".to_owned() });
    }
    Ok(())
}

fn check_revision(row: &Row<'_>, removed_to: i64, tell: &mut dyn FnMut(Difference)) -> rusqlite::Result<()> {
    let (id, job_id, revision): (i64, [u8; 16], i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let replaces: Option<i64> = row.get(4)?;
    let before: Option<[u8; 16]> = row.get(5)?;
    let follows = match (replaces, before) {
        (None, _) => revision == 1,
        (Some(_), Some(before)) => before == job_id && revision == row.get::<_, i64>(6)? + 1,
        // What it replaces may be removed.
        (Some(replaces), None) => replaces <= removed_to && revision > 1,
    };
    if !follows {
        let found = match replaces {
            None => format!("revision {revision} that replaces nothing"),
            Some(replaces) => format!("revision {revision} that replaces row {replaces}"),
        };
        tell(row_difference("revision", id, found, "the revision before, of the same job".to_owned()));
    }
    Ok(())
}

/// Everything that a row names must be there: a join would leave out what has it not.
fn check_references(connection: &Connection, tell: &mut dyn FnMut(Difference)) -> rusqlite::Result<()> {
    for (kind, sql) in [
        (
            "kind",
            "SELECT job.id, job.kind FROM job_row AS job LEFT JOIN job_kind AS kind ON kind.id = job.kind
             WHERE kind.id IS NULL",
        ),
        (
            "form",
            "SELECT job.id, job.form FROM job_row AS job LEFT JOIN form ON form.id = job.form
             WHERE job.form IS NOT NULL AND form.id IS NULL",
        ),
        (
            "charge kind",
            "SELECT job.id, charge.value ->> 0 FROM job_row AS job
             JOIN json_each(CASE WHEN json_valid(job.charges) THEN job.charges ELSE '[[null]]' END) AS charge
             LEFT JOIN charge_kind AS kind ON kind.id = charge.value ->> 0
             WHERE job.charges IS NOT NULL AND kind.id IS NULL",
        ),
        (
            "form's charge kind",
            "SELECT -form.id, charge.value ->> 0 FROM form
             JOIN json_each(
                 CASE WHEN json_valid(form.charges) THEN form.charges ELSE '[[null]]' END) AS charge
             LEFT JOIN charge_kind AS kind ON kind.id = charge.value ->> 0
             WHERE kind.id IS NULL",
        ),
    ] {
        let mut select = connection.prepare(sql)?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let (id, named): (i64, Option<i64>) = (row.get(0)?, row.get(1)?);
            let found = named.map_or("none".to_owned(), |number| number.to_string());
            tell(row_difference(kind, id, found, "one that is there".to_owned()));
        }
    }
    Ok(())
}

/// A row below zero is a form.
pub(super) fn row_difference(
    kind: &'static str,
    id: i64,
    found: impl Into<String>,
    expected: String,
) -> Difference {
    let at = if id < 0 { format!("form {}", -id) } else { format!("row {id}") };
    Difference { kind, at, found: found.into(), expected }
}
