//! Whether the journal and the ledger of a directory are both there.
//!
//! What is not there is made at a start, and so is what is empty. Where only one of the two is there, that
//! would begin half of the data anew in silence: a new ledger counts everything again that the journal still
//! has, and a new journal hides that spans were lost. A start that was killed before it took anything leaves
//! one file too, but one that holds nothing.

use std::path::Path;

use rusqlite::OpenFlags;
use rusqlite::config::DbConfig;

use crate::dir::DataDir;
use crate::error::StoreError;
use crate::journal::SCHEMA as JOURNAL;
use crate::ledger::LedgerReader;
use crate::sqlite::Database;

/// Refuses a directory in which one of the two files is absent or empty while the other one was used. To be
/// asked before either is opened.
///
/// # Errors
/// [`StoreError::Alone`].
pub fn check_pair(dir: &DataDir) -> Result<(), StoreError> {
    let (journal, ledger) = (dir.journal_path(), dir.ledger_path());
    let (missing, other) = match (is_empty(&journal), is_empty(&ledger)) {
        (true, false) if is_used_ledger(dir) => (journal, ledger),
        (false, true) if is_used_journal(&journal) => (ledger, journal),
        _ => return Ok(()),
    };
    Err(StoreError::Alone { missing, other })
}

fn is_empty(path: &Path) -> bool {
    std::fs::metadata(path).map_or(true, |file| file.len() == 0)
}

/// Of a file that cannot be read, who opens it says what is wrong with it.
fn is_used_ledger(dir: &DataDir) -> bool {
    LedgerReader::open(dir.path()).and_then(|ledger| ledger.applied()).is_ok_and(|applied| applied.0 > 0)
}

/// A journal that was used has at least its newest row. It cannot be opened as the ledger can: see
/// [`crate::journal`].
fn is_used_journal(path: &Path) -> bool {
    let newest = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let database = Database::open_exclusive(path, JOURNAL.kind, flags)?;
        database.version(&JOURNAL)?;
        // Closing it must not remove the log.
        database
            .connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .map_err(database.failed("read the journal"))?;
        database
            .connection
            .query_row("SELECT ifnull(max(seq), 0) FROM journal", [], |row| row.get::<_, i64>(0))
            .map_err(database.failed("read the journal"))
    };
    newest().is_ok_and(|newest: i64| newest > 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::journal::{Journal as _, JournalOptions, SqliteJournal};
    use crate::ledger::{Checkpoint, Ledger};
    use crate::seq::Seq;

    fn open(dir: &DataDir) -> Result<(Ledger, SqliteJournal), StoreError> {
        check_pair(dir)?;
        let ledger = Ledger::open(dir)?;
        let options = JournalOptions { primed_bytes: 1 << 20, ..JournalOptions::default() };
        let journal = SqliteJournal::open(dir, (ledger.applied(), ledger.done()), options)?;
        Ok((ledger, journal))
    }

    /// Moves a file with what belongs to it.
    fn move_aside(dir: &DataDir, from: &str, to: &str) {
        for end in ["", "-wal", "-shm"] {
            let path = |name: &str| dir.path().join(format!("{name}{end}"));
            if path(from).exists() {
                fs::rename(path(from), path(to)).unwrap();
            }
        }
    }

    #[test]
    fn one_file_without_the_other_is_refused_once_it_was_used() {
        let path = tempfile::tempdir().unwrap();
        let dir = DataDir::open(path.path()).unwrap();
        // A start that was killed before it took anything.
        for name in ["ledger.db", "journal.db", "ledger.db"] {
            drop(open(&dir).unwrap());
            fs::remove_file(dir.path().join(name)).unwrap();
        }
        let (mut ledger, mut journal) = open(&dir).unwrap();
        let applied = journal.append(b"row").unwrap();
        ledger.checkpoint(&Checkpoint { applied, done: applied, ..Checkpoint::default() }).unwrap();
        drop((ledger, journal));
        for name in ["ledger.db", "journal.db"] {
            for is_there in [false, true] {
                move_aside(&dir, name, "kept");
                if is_there {
                    fs::write(dir.path().join(name), "").unwrap();
                }
                for _ in 0..2 {
                    let error = open(&dir).unwrap_err();
                    let said = error.to_string();
                    assert!(matches!(error, StoreError::Alone { .. }) && said.contains(name), "{said}");
                }
                assert_eq!(dir.path().join(name).exists(), is_there, "nothing is made");
                move_aside(&dir, "kept", name);
            }
        }
        assert_eq!(open(&dir).unwrap().1.last(), Seq(1));
        for name in ["ledger.db", "journal.db"] {
            move_aside(&dir, name, "away");
        }
        assert_eq!(open(&dir).unwrap().1.last(), Seq(0), "both are begun anew");
    }
}
