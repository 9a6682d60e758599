//! The journal as an SQLite file; the reasons for each setting are in the module above.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::PathBuf;

use rusqlite::config::DbConfig;
use rusqlite::{OpenFlags, params};

use super::sync::SyncFailures;
use super::{Dropped, Durability, Journal, JournalOptions, JournalSync, Seq};
use crate::dir::DataDir;
use crate::error::StoreError;
use crate::files::log_of;
use crate::place::Place;
use crate::sqlite::{Database, Schema};

const PAGE_BYTES: u64 = 16_384;
/// A row is written once and read once, to be dropped: to keep more of the file in memory makes nothing
/// cheaper (64 MiB and 1 MiB cost the same), and priming a new file would fill it.
const CACHE_KIB: u64 = 4096;
/// The log is copied into the file when it holds this much.
const LOG_BYTES: u64 = 16 << 20;
/// A slice of `drop_to` ends at this many bytes or rows.
const SLICE_BYTES: u64 = 8 << 20;
const SLICE_ROWS: u64 = 256;
/// Rows that fill a new file.
const PRIMING_ROW_BYTES: u64 = 1 << 20;
/// How a row is to be read: the format of its bytes is the caller's, this covers the columns.
const ROW_VERSION: i64 = 1;

pub(crate) const SCHEMA: Schema = Schema {
    kind: "journal",
    application_id: 0x5350_414A, // "SPAJ"
    steps: &["CREATE TABLE journal(
        seq INTEGER PRIMARY KEY,
        version INTEGER NOT NULL,
        crc INTEGER NOT NULL,
        batch BLOB NOT NULL
    ) STRICT;"],
};

const INSERT: &str = "INSERT INTO journal(seq, version, crc, batch) VALUES (?1, ?2, ?3, ?4)";

/// A [`Journal`] in one SQLite file.
#[derive(Debug)]
pub struct SqliteJournal {
    database: Database,
    /// Keeps other processes out for as long as the file is open.
    _dir: DataDir,
    /// The newest row; also its number when it has been dropped by hand.
    last: Seq,
    /// Bytes of each row that is still there, oldest first; the newest is `last`.
    kept: VecDeque<u64>,
    /// Room that they take in the file.
    kept_bytes: u64,
    max_bytes: u64,
    /// About how much the write-ahead log holds.
    log_bytes: u64,
    place: Place,
    durability: Durability,
    /// Of who syncs a relaxed journal.
    sync_failures: SyncFailures,
}

impl SqliteJournal {
    /// Opens or makes the journal of a directory whose ledger has applied everything up to `applied`, and can
    /// do without everything up to `done`.
    ///
    /// # Errors
    /// Besides what every file may meet, [`StoreError::Gap`] when rows after `done` are missing.
    pub fn open(
        dir: &DataDir,
        (applied, done): (Seq, Seq),
        options: JournalOptions,
    ) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let database = Database::open_exclusive(&dir.journal_path(), SCHEMA.kind, flags)?;
        // Before anything is written: a file of others is left as it is.
        database.version(&SCHEMA)?;
        let pages = options.max_bytes.max(options.primed_bytes).div_ceil(PAGE_BYTES) + 64;
        let synchronous = match options.durability {
            Durability::Strict => "FULL",
            Durability::Relaxed => "NORMAL",
        };
        database.execute(
            "set the file up",
            &format!(
                "PRAGMA page_size = {PAGE_BYTES}; PRAGMA journal_mode = WAL;
                 PRAGMA synchronous = {synchronous}; PRAGMA wal_autocheckpoint = 0;
                 PRAGMA cache_size = -{CACHE_KIB}; PRAGMA busy_timeout = 0; PRAGMA max_page_count = {pages};"
            ),
        )?;
        // Closing would remove the log, and with it the room that keeps commits going on a full disk.
        database
            .connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .map_err(database.failed("set the file up"))?;
        database.migrate(&SCHEMA)?;
        let mut journal = Self {
            place: Place::of(&database.path)?,
            database,
            _dir: dir.clone(),
            last: applied,
            kept: VecDeque::new(),
            kept_bytes: 0,
            max_bytes: options.max_bytes,
            log_bytes: LOG_BYTES,
            durability: options.durability,
            sync_failures: SyncFailures::default(),
        };
        // What the last process left in the log.
        journal.copy_log()?;
        journal.prime(options.primed_bytes)?;
        journal.find_rows(applied, done)?;
        Ok(journal)
    }

    /// The position of the newest group, or where the next one goes on from.
    pub fn last(&self) -> Seq {
        self.last
    }

    /// Syncs what was appended, if appends do not do it themselves.
    ///
    /// # Errors
    /// [`StoreError::Sync`] when the write-ahead log cannot be opened.
    pub fn syncer(&self) -> Result<Option<JournalSync>, StoreError> {
        match self.durability {
            Durability::Strict => Ok(None),
            Durability::Relaxed => {
                let failures = self.sync_failures.clone();
                JournalSync::open(log_of(&self.database.path), failures).map(Some)
            }
        }
    }

    /// Gives the room of dropped rows, and of the log, back to the file system if the two files have more
    /// than `over_bytes` and no row but the newest is left, and says whether it did. It costs what writing
    /// that row does, and after it the files grow anew: nothing for a journal whose commits must not wait for
    /// that, and that was primed.
    ///
    /// # Errors
    /// The files cannot be written; they stay as they are.
    pub fn give_back(&mut self, over_bytes: u64) -> Result<bool, StoreError> {
        if self.kept.len() > 1 {
            return Ok(false);
        }
        let files = [self.database.path.clone(), log_of(&self.database.path)];
        let bytes = |path: &PathBuf| std::fs::metadata(path).map_or(0, |file| file.len());
        if files.iter().map(bytes).sum::<u64>() <= over_bytes {
            return Ok(false);
        }
        // What is copied is one row; a directory for temporary files need not be there.
        self.database.execute("give room back", "PRAGMA temp_store = MEMORY; VACUUM")?;
        self.database.checkpoint("TRUNCATE")?;
        self.log_bytes = 0;
        Ok(true)
    }

    /// Fills the file to its usual size once; a start that was killed meanwhile goes on here. Filling rows
    /// have numbers below zero.
    fn prime(&mut self, bytes: u64) -> Result<(), StoreError> {
        let pages = self.database.pragma("page_count")?.unsigned_abs();
        let missing = bytes.saturating_sub(pages * PAGE_BYTES).div_ceil(PRIMING_ROW_BYTES);
        for _ in 0..missing {
            self.database
                .connection
                .prepare_cached(
                    "INSERT INTO journal(seq, version, crc, batch)
                     SELECT min(0, ifnull(min(seq), 0)) - 1, 0, 0, zeroblob(?1) FROM journal",
                )
                .and_then(|mut insert| insert.execute([PRIMING_ROW_BYTES.cast_signed()]))
                .map_err(self.database.failed("fill a new journal to its usual size"))?;
            self.note_written(PRIMING_ROW_BYTES);
            self.copy_log()?;
        }
        let emptied = self
            .database
            .connection
            .execute("DELETE FROM journal WHERE seq <= 0", [])
            .map_err(self.database.failed("empty a new journal"))?;
        if emptied > 0 {
            self.log_bytes = LOG_BYTES;
            self.copy_log()?;
        }
        Ok(())
    }

    /// Reads the numbers and sizes of the rows that are there, and refuses gaps.
    fn find_rows(&mut self, applied: Seq, done: Seq) -> Result<(), StoreError> {
        let read = self.database.failed("read the rows' numbers");
        let rows = (|| {
            let mut select =
                self.database.connection.prepare("SELECT seq, length(batch) FROM journal ORDER BY seq")?;
            select
                .query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?
                .collect::<Result<Vec<_>, _>>()
        })()
        .map_err(read)?;
        let seq_at = |row: Option<&(i64, i64)>| row.map(|(seq, _)| Seq(seq.unsigned_abs()));
        let (first, last) = (seq_at(rows.first()), seq_at(rows.last()));
        let begins_late = first.is_some_and(|first| first.0 > done.0 + 1);
        if begins_late || (done < applied && last.is_none_or(|last| last < applied)) {
            return Err(StoreError::Gap { path: self.database.path.clone(), first, last, applied, done });
        }
        let Some(first) = first else { return Ok(()) };
        for (expected, (seq, bytes)) in (first.0..).zip(rows) {
            if seq.unsigned_abs() != expected {
                return Err(self.corrupt(format!("row {expected} is missing before row {seq}")));
            }
            self.kept.push_back(bytes.unsigned_abs());
            self.kept_bytes += room(bytes.unsigned_abs());
            self.last = Seq(expected);
        }
        if self.last < applied {
            // The rows of another time: everything after them has been applied, so they are not needed.
            self.database.execute("empty an outdated journal", "DELETE FROM journal")?;
            self.kept.clear();
            self.kept_bytes = 0;
            self.last = applied;
        }
        Ok(())
    }

    fn corrupt(&self, detail: String) -> StoreError {
        StoreError::Corrupt { path: self.database.path.clone(), detail }
    }

    /// Adds what a row of some bytes takes in the write-ahead log: its own pages, the table's, the free
    /// list's.
    fn note_written(&mut self, bytes: u64) {
        self.log_bytes += (bytes.div_ceil(PAGE_BYTES) + 3) * PAGE_BYTES;
    }

    /// Copies the log into the file if it is large enough to be worth it.
    fn copy_log(&mut self) -> Result<(), StoreError> {
        if self.log_bytes >= LOG_BYTES {
            self.database.checkpoint("PASSIVE")?;
            self.log_bytes = 0;
        }
        Ok(())
    }

    /// After a sync of the log that failed nobody knows what of it is on the disk: all of it is copied into
    /// the file, which SQLite syncs. It is tried while the operating system still has what was written.
    fn write_again(&mut self) -> Result<(), StoreError> {
        let Some(failures) = self.sync_failures.pending() else { return Ok(()) };
        self.log_bytes = LOG_BYTES;
        self.copy_log()?;
        self.sync_failures.mended(failures);
        Ok(())
    }

    fn insert(&self, seq: Seq, batch: &[u8]) -> rusqlite::Result<usize> {
        let crc = i64::from(checksum(seq, batch));
        self.database.connection.prepare_cached(INSERT)?.execute(params![
            seq.0.cast_signed(),
            ROW_VERSION,
            crc,
            batch
        ])
    }

    fn check(&self, seq: Seq, version: i64, crc: i64, batch: &[u8]) -> Result<(), StoreError> {
        if version != ROW_VERSION {
            return Err(StoreError::Newer {
                path: self.database.path.clone(),
                found: version,
                supported: ROW_VERSION,
            });
        }
        check_row(seq, (version, crc), batch).map_err(|detail| self.corrupt(detail))
    }
}

/// Whether a row has the version and the checksum that belong to it; else, what is wrong.
pub(super) fn check_row(seq: Seq, (version, crc): (i64, i64), batch: &[u8]) -> Result<(), String> {
    if version != ROW_VERSION {
        return Err(format!("row {seq} is of version {version}; this Spantally reads version {ROW_VERSION}"));
    }
    if crc != i64::from(checksum(seq, batch)) {
        return Err(format!("row {seq} does not have the checksum that was written with it"));
    }
    Ok(())
}

/// Room that a row takes in the file: a small one shares a page, a large one has pages of its own.
fn room(bytes: u64) -> u64 {
    if bytes < PAGE_BYTES / 4 { bytes + 32 } else { bytes.div_ceil(PAGE_BYTES) * PAGE_BYTES }
}

/// Covers the number too, so that a row cannot stand in another's place.
fn checksum(seq: Seq, batch: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&seq.0.to_le_bytes());
    hasher.update(batch);
    hasher.finalize()
}

impl Journal for SqliteJournal {
    fn append(&mut self, batch: &[u8]) -> Result<Seq, StoreError> {
        self.place.check()?;
        // Where nothing is dropped, as in the queue of a dead destination, nobody else does it.
        self.copy_log()?;
        self.write_again()?;
        let seq = Seq(self.last.0 + 1);
        if let Err(error) = self.insert(seq, batch) {
            self.database.roll_back();
            return Err(self.place.explain(self.database.failed("append to the journal")(error)));
        }
        self.last = seq;
        self.kept.push_back(batch.len() as u64);
        self.kept_bytes += room(batch.len() as u64);
        self.note_written(batch.len() as u64);
        Ok(seq)
    }

    fn bytes(&self) -> (u64, u64) {
        (self.kept_bytes, self.max_bytes)
    }

    fn replay(
        &mut self,
        after: Seq,
        visit: &mut dyn FnMut(Seq, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let failed = || self.database.failed("read the journal");
        let mut select = self
            .database
            .connection
            .prepare("SELECT seq, version, crc, batch FROM journal WHERE seq > ?1 ORDER BY seq")
            .map_err(failed())?;
        let mut rows = select.query([after.0.cast_signed()]).map_err(failed())?;
        while let Some(row) = rows.next().map_err(failed())? {
            let seq = Seq(row.get::<_, i64>(0).map_err(failed())?.unsigned_abs());
            let (version, crc) = (row.get(1).map_err(failed())?, row.get(2).map_err(failed())?);
            let batch = row.get_ref(3).map_err(failed())?.as_blob().unwrap_or_default();
            self.check(seq, version, crc, batch)?;
            if visit(seq, batch).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn drop_to(&mut self, applied: Seq) -> Result<Dropped, StoreError> {
        self.copy_log()?;
        let first = self.last.0 + 1 - self.kept.len() as u64;
        // The newest row always stays: its number is how the file remembers where to go on.
        let wanted = (applied.0.min(self.last.0.saturating_sub(1)) + 1).saturating_sub(first);
        if wanted == 0 {
            return Ok(Dropped::All);
        }
        let (mut rows, mut bytes) = (0_usize, 0);
        for size in self.kept.iter().take(wanted.min(SLICE_ROWS) as usize) {
            rows += 1;
            bytes += size;
            if bytes >= SLICE_BYTES {
                break;
            }
        }
        let deleted = self
            .database
            .connection
            .prepare_cached("DELETE FROM journal WHERE seq < ?1")
            .and_then(|mut delete| delete.execute([(first + rows as u64).cast_signed()]));
        if let Err(error) = deleted {
            self.database.roll_back();
            return Err(self.database.failed("drop what is applied")(error));
        }
        self.kept_bytes -= self.kept.drain(..rows).map(room).sum::<u64>();
        // A delete writes the table's pages and the free list's, one of which lists some 4,000 freed pages.
        self.note_written(rows as u64 * 64);
        Ok(if wanted > rows as u64 { Dropped::Some } else { Dropped::All })
    }
}
