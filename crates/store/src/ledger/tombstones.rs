//! Fingerprints of what was forgotten: a row a checkpoint, the oldest dropped at a limit.

use rusqlite::{Connection, params};

use super::{Ledger, LedgerReader};
use crate::error::StoreError;

/// Most bytes of fingerprints in the file: a million.
const MAX_BYTES: i64 = 8_000_000;

/// Writes those of a checkpoint, in an open transaction.
pub(super) fn write(connection: &Connection, marks: &[u64]) -> rusqlite::Result<()> {
    if marks.is_empty() {
        return Ok(());
    }
    let bytes: Vec<u8> = marks.iter().flat_map(|mark| mark.to_le_bytes()).collect();
    connection.prepare_cached("INSERT INTO tombstone(marks) VALUES (?1)")?.execute([bytes])?;
    // Once in a while: it reads the length of every row.
    if connection.last_insert_rowid() % 256 == 0 {
        prune(connection, MAX_BYTES)?;
    }
    Ok(())
}

fn prune(connection: &Connection, max_bytes: i64) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM tombstone WHERE id <= (
                SELECT max(id) FROM (
                    SELECT id, sum(length(marks)) OVER (ORDER BY id DESC) AS bytes FROM tombstone
                ) WHERE bytes > ?1)",
        )?
        .execute(params![max_bytes])
}

impl Ledger {
    /// Reads the fingerprints of what was forgotten, oldest first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn load_tombstones(&self, visit: impl FnMut(u64)) -> Result<(), StoreError> {
        load(&self.database.connection, visit).map_err(self.database.failed("read what was forgotten"))
    }
}

impl LedgerReader {
    /// The same, for who only reads.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn load_tombstones(&self, visit: impl FnMut(u64)) -> Result<(), StoreError> {
        load(&self.database.connection, visit).map_err(self.database.failed("read what was forgotten"))
    }
}

fn load(connection: &Connection, mut visit: impl FnMut(u64)) -> rusqlite::Result<()> {
    let mut select = connection.prepare("SELECT marks FROM tombstone ORDER BY id")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (marks, _) = row.get_ref(0)?.as_blob()?.as_chunks::<8>();
        for mark in marks {
            visit(u64::from_le_bytes(*mark));
        }
    }
    Ok(())
}
