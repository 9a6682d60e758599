//! Writing the ledger: one transaction a checkpoint.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::append::{Rows, WriteError};
use super::rows::{Checkpoint, CounterRow, TurnRow};
use super::{LedgerReader, SCHEMA, tombstones};
use crate::dir::DataDir;
use crate::error::StoreError;
use crate::place::Place;
use crate::seq::Seq;
use crate::sqlite::Database;

/// The write-ahead log is shortened when it is larger than this, which takes a reader that holds it for
/// long.
const LOG_BYTES: u64 = 256 << 20;

/// Jobs that settle together are near one another in tables and indexes. With four times as much a span of
/// generation calls alone costs the same.
const CACHE_KIB: u64 = 16_384;

/// The ledger of a data directory, open for writing.
#[derive(Debug)]
pub struct Ledger {
    pub(super) database: Database,
    _dir: DataDir,
    applied: Seq,
    done: Seq,
    rows: Rows,
    /// Whether the file may have other rows than `rows` says.
    rows_are_stale: bool,
    place: Place,
    /// Why the log was not copied last time.
    copy_failure: Option<StoreError>,
}

impl Ledger {
    /// Opens or makes the ledger of a directory; an older file is brought to this version's schema.
    ///
    /// # Errors
    /// What every file may meet: [`StoreError::Foreign`], `Newer`, `Corrupt`, `Full`, `ReadOnly`, `Sqlite`.
    pub fn open(dir: &DataDir) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let database = Database::open(&dir.ledger_path(), SCHEMA.kind, flags)?;
        // Before anything is written: a file of others is left as it is.
        database.version(&SCHEMA)?;
        database.execute(
            "set the file up",
            &format!(
                "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                 PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -{CACHE_KIB}; PRAGMA busy_timeout = 0;
                 PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = OFF;"
            ),
        )?;
        database.migrate(&SCHEMA)?;
        let position =
            |name| read_position(&database.connection, name).map_err(database.failed("read the position"));
        let (applied, done) = (position("applied")?, position("done")?);
        let last = newest_row(&database.connection).map_err(database.failed("read the newest row"))?;
        let rows = Rows::new(&database.connection, last).map_err(database.failed("read the newest rows"))?;
        let place = Place::of(&database.path)?;
        Ok(Self {
            database,
            _dir: dir.clone(),
            applied,
            done,
            rows,
            rows_are_stale: false,
            place,
            copy_failure: None,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.database.path
    }

    /// The journal position that the ledger includes.
    pub fn applied(&self) -> Seq {
        self.applied
    }

    /// The journal position up to which the ledger can do without the journal.
    pub fn done(&self) -> Seq {
        self.done
    }

    /// Writes a checkpoint: all of it, durably, or nothing. The journal may be dropped afterwards, up to what
    /// the checkpoint says is done. That its log is then copied into the file is no part of it: see
    /// [`Ledger::take_copy_failure`].
    ///
    /// # Errors
    /// As [`Ledger::open`], and then nothing of it is there. [`StoreError::Backwards`] when it is older than
    /// the last one; [`StoreError::Revision`] when a revision does not follow the newest one of its job;
    /// [`StoreError::Gone`] when the file is not in its place any more.
    pub fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        if checkpoint.applied < self.applied {
            return Err(StoreError::Backwards {
                path: self.database.path.clone(),
                applied: self.applied,
                given: checkpoint.applied,
            });
        }
        self.place.check()?;
        self.read_rows()?;
        if let Err(error) = write(&self.database.connection, checkpoint, &mut self.rows) {
            self.database.roll_back();
            self.rows_are_stale = true;
            return Err(self.place.explain(error.describe(&self.database)));
        }
        (self.applied, self.done) = (checkpoint.applied, checkpoint.done);
        self.copy_log();
        Ok(())
    }

    /// Why the log could not be copied into the file by the last checkpoint or removal, if so. What was
    /// written stands all the same, in the log, which grows until a later checkpoint can copy it.
    pub fn take_copy_failure(&mut self) -> Option<StoreError> {
        self.copy_failure.take()
    }

    /// Reads the live state, in the order of creation.
    pub fn load_state(&self, visit: impl FnMut(u64, &[u8])) -> Result<(), StoreError> {
        load_state(&self.database.connection, visit).map_err(self.database.failed("read the live state"))
    }

    /// Reads every counter, in the order of name and labels.
    pub fn load_counters(&self, visit: impl FnMut(CounterRow)) -> Result<(), StoreError> {
        load_counters(&self.database.connection, visit).map_err(self.database.failed("read the counters"))
    }

    /// Reads the turns that are still needed, in order.
    pub fn load_turns(&self) -> Result<Vec<TurnRow>, StoreError> {
        load_turns(&self.database.connection).map_err(self.database.failed("read the turns"))
    }

    /// Reads the number, the key and the booked amounts of every form, the oldest first.
    pub fn load_forms(&self, mut visit: impl FnMut(u64, [u8; 16], &[u8])) -> Result<(), StoreError> {
        (|| {
            let mut select =
                self.database.connection.prepare("SELECT id, key, booked FROM form ORDER BY id")?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                let booked = row.get_ref(2)?.as_blob()?;
                visit(row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?, booked);
            }
            Ok(())
        })()
        .map_err(self.database.failed("read the forms"))
    }

    /// Reads the single value of a name.
    pub fn load_meta(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        read_meta(&self.database.connection, name).map_err(self.database.failed("read a value"))
    }

    /// A second connection to the same file, for reading while this one writes.
    pub fn reader(&self) -> Result<LedgerReader, StoreError> {
        LedgerReader::open_file(&self.database.path)
    }

    /// The file may have other rows than are known: they are read before the next are written.
    pub(super) fn rows_have_changed(&mut self) {
        self.rows_are_stale = true;
    }

    /// What the file has, after rows were removed or a transaction did not come about.
    fn read_rows(&mut self) -> Result<(), StoreError> {
        if self.rows_are_stale {
            let connection = &self.database.connection;
            self.rows = newest_row(connection)
                .and_then(|last| Rows::new(connection, last))
                .map_err(self.database.failed("read the newest rows"))?;
            self.rows_are_stale = false;
        }
        Ok(())
    }

    /// Copies the log into the file; shortens it when a reader has made it grow. A reader in the way is no
    /// failure. Nor is a file that cannot grow one of what was written before, which is durable in the log.
    pub(super) fn copy_log(&mut self) {
        let copied = self.database.checkpoint("PASSIVE").and_then(|bytes| match bytes {
            0..=LOG_BYTES => Ok(bytes),
            _ => self.database.checkpoint("TRUNCATE"),
        });
        self.copy_failure = copied.err();
    }
}

pub(super) fn load_state(connection: &Connection, mut visit: impl FnMut(u64, &[u8])) -> rusqlite::Result<()> {
    let mut select = connection.prepare("SELECT number, state FROM open_state ORDER BY number")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        visit(number.cast_unsigned(), row.get_ref(1)?.as_blob()?);
    }
    Ok(())
}

pub(super) fn load_counters(
    connection: &Connection,
    mut visit: impl FnMut(CounterRow),
) -> rusqlite::Result<()> {
    let mut select = connection
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
}

pub(super) fn load_turns(connection: &Connection) -> rusqlite::Result<Vec<TurnRow>> {
    let turn = |row: &rusqlite::Row<'_>| {
        Ok(TurnRow {
            applied: Seq(row.get::<_, i64>(0)?.cast_unsigned()),
            unix_nanos: row.get::<_, i64>(1)?.cast_unsigned(),
            mark: row.get(2)?,
        })
    };
    let mut select = connection.prepare("SELECT applied, unix_nanos, mark FROM turn ORDER BY applied")?;
    select.query_map([], turn)?.collect()
}

pub(super) fn read_position(connection: &Connection, name: &str) -> rusqlite::Result<Seq> {
    read_number(connection, name).map(Seq)
}

/// The single value of a name.
pub(super) fn read_meta(connection: &Connection, name: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()
}

/// A single value that is a number; 0 when there is none.
pub(super) fn read_number(connection: &Connection, name: &str) -> rusqlite::Result<u64> {
    let value: Option<i64> = connection
        .query_row("SELECT CAST(value AS INTEGER) FROM meta WHERE name = ?1", [name], |row| row.get(0))
        .optional()?;
    Ok(value.unwrap_or(0).cast_unsigned())
}

/// The newest row; where all are removed, the newest there ever was, so that no number is given twice.
pub(super) fn newest_row(connection: &Connection) -> rusqlite::Result<i64> {
    let newest: i64 = connection.query_row("SELECT ifnull(max(id), 0) FROM job_row", [], |row| row.get(0))?;
    Ok(newest.max(read_number(connection, "removed_to")?.cast_signed()))
}

/// The transaction.
fn write(connection: &Connection, checkpoint: &Checkpoint, rows: &mut Rows) -> Result<(), WriteError> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    write_open(connection, &checkpoint.open)?;
    write_turn(connection, checkpoint)?;
    tombstones::write(connection, &checkpoint.tombstones)?;
    write_counters(connection, &checkpoint.counters)?;
    rows.append(connection, checkpoint)?;
    let mut upsert = connection.prepare_cached(
        "INSERT INTO meta(name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
    )?;
    for (name, value) in &checkpoint.meta {
        upsert.execute(params![name, value])?;
    }
    upsert.execute(params!["applied", checkpoint.applied.to_string().as_bytes()])?;
    upsert.execute(params!["done", checkpoint.done.to_string().as_bytes()])?;
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(())
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

fn write_turn(connection: &Connection, checkpoint: &Checkpoint) -> rusqlite::Result<()> {
    if let Some(turn) = &checkpoint.turn {
        connection
            .prepare_cached("INSERT OR REPLACE INTO turn(applied, unix_nanos, mark) VALUES (?1, ?2, ?3)")?
            .execute(params![turn.applied.0.cast_signed(), turn.unix_nanos.cast_signed(), turn.mark])?;
    }
    connection
        .prepare_cached("DELETE FROM turn WHERE applied <= ?1")?
        .execute([checkpoint.done.0.cast_signed()])?;
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
