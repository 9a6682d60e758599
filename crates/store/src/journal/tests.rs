//! What is appended is there; what is dropped is gone; what cannot be is refused.

use std::fs;
use std::path::Path;

use super::*;
use crate::dir::DataDir;

mod copy;

const SMALL: JournalOptions =
    JournalOptions { primed_bytes: 256 << 10, max_bytes: 2 << 20, durability: Durability::Strict };

fn open(path: &Path, applied: Seq) -> Result<SqliteJournal, StoreError> {
    SqliteJournal::open(&DataDir::open(path)?, (applied, applied), SMALL)
}

fn rows(journal: &mut SqliteJournal, after: Seq) -> Vec<(u64, Vec<u8>)> {
    let mut rows = Vec::new();
    journal
        .replay(after, &mut |seq, batch| {
            rows.push((seq.0, batch.to_vec()));
            ControlFlow::Continue(())
        })
        .unwrap();
    rows
}

fn drop_all(journal: &mut SqliteJournal, applied: Seq) {
    while journal.drop_to(applied).unwrap() == Dropped::Some {}
}

#[test]
fn what_was_appended_is_there_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), Seq(0)).unwrap();
    assert_eq!(journal.append(b"one").unwrap(), Seq(1));
    assert_eq!(journal.append(&vec![7; 100_000]).unwrap(), Seq(2));
    assert_eq!(journal.append(b"").unwrap(), Seq(3));
    drop(journal);
    let mut journal = open(dir.path(), Seq(0)).unwrap();
    let found = rows(&mut journal, Seq(0));
    assert_eq!(found, [(1, b"one".to_vec()), (2, vec![7; 100_000]), (3, vec![])]);
    assert_eq!(rows(&mut journal, Seq(2)), [(3, vec![])]);
    assert_eq!(journal.append(b"four").unwrap(), Seq(4));
}

#[test]
fn a_visitor_may_stop() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), Seq(0)).unwrap();
    for _ in 0..3 {
        journal.append(b"row").unwrap();
    }
    let mut seen = 0;
    journal
        .replay(Seq(0), &mut |_, _| {
            seen += 1;
            ControlFlow::Break(())
        })
        .unwrap();
    assert_eq!(seen, 1);
}

#[test]
fn numbers_go_on_after_everything_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), Seq(0)).unwrap();
    for _ in 0..1000 {
        journal.append(b"row").unwrap();
    }
    assert_eq!(journal.drop_to(Seq(1000)).unwrap(), Dropped::Some);
    drop_all(&mut journal, Seq(1000));
    drop(journal);
    // The newest row stays, so the file knows where it was even if the ledger is behind by one checkpoint.
    let mut journal = open(dir.path(), Seq(999)).unwrap();
    assert_eq!(rows(&mut journal, Seq(999)).len(), 1);
    assert_eq!(journal.append(b"next").unwrap(), Seq(1001));
}

#[test]
fn room_is_given_back_when_no_row_but_the_newest_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), Seq(0)).unwrap();
    for _ in 0..15 {
        journal.append(&vec![7; 100_000]).unwrap();
    }
    let bytes = || -> u64 {
        let files = fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().metadata().unwrap());
        files.map(|file| file.len()).sum()
    };
    assert!(!journal.give_back(0).unwrap(), "rows are needed");
    drop_all(&mut journal, Seq(15));
    let grown = bytes();
    assert!(!journal.give_back(grown).unwrap(), "so much may stay");
    assert_eq!(bytes(), grown);
    assert!(journal.give_back(grown / 2).unwrap());
    assert!(bytes() < 300_000, "{} of {grown}", bytes());
    assert_eq!(rows(&mut journal, Seq(0)), [(15, vec![7; 100_000])]);
    assert_eq!(journal.append(b"next").unwrap(), Seq(16));
    drop(journal);
    let mut journal = open(dir.path(), Seq(15)).unwrap();
    assert_eq!(rows(&mut journal, Seq(15)), [(16, b"next".to_vec())]);
}

#[test]
fn a_lost_journal_goes_on_after_the_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), Seq(41)).unwrap();
    assert_eq!(journal.append(b"row").unwrap(), Seq(42));
    drop(journal);
    // An old copy of the journal beside a newer ledger: all of it is applied already.
    let mut journal = open(dir.path(), Seq(50)).unwrap();
    assert!(rows(&mut journal, Seq(0)).is_empty());
    assert_eq!(journal.append(b"row").unwrap(), Seq(51));
}

#[test]
fn a_gap_between_ledger_and_journal_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), Seq(9)).unwrap();
    journal.append(b"row").unwrap();
    drop(journal);
    let error = open(dir.path(), Seq(3)).unwrap_err();
    assert!(matches!(error, StoreError::Gap { first: Some(Seq(10)), applied: Seq(3), .. }), "{error}");
}

#[test]
fn the_file_does_not_grow_while_checkpoints_keep_up() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(dir.path()).unwrap();
    let options =
        JournalOptions { primed_bytes: 4 << 20, max_bytes: 4 << 20, durability: Durability::Strict };
    let mut journal = SqliteJournal::open(&data, (Seq(0), Seq(0)), options).unwrap();
    let primed = fs::metadata(data.journal_path()).unwrap().len();
    assert!(primed >= 4 << 20, "{primed}");
    for _ in 0..60 {
        let seq = journal.append(&vec![1; 1 << 20]).unwrap();
        drop_all(&mut journal, Seq(seq.0.saturating_sub(1)));
    }
    assert_eq!(fs::metadata(data.journal_path()).unwrap().len(), primed);
    let log_len = || fs::metadata(dir.path().join("journal.db-wal")).unwrap().len();
    let log = log_len();
    assert!(log < 20 << 20, "the write-ahead log has grown to {log} bytes");
    // Nor does a start take or give back any of it.
    drop(journal);
    let mut journal = SqliteJournal::open(&data, (Seq(59), Seq(59)), options).unwrap();
    assert_eq!(journal.append(&vec![1; 1 << 20]).unwrap(), Seq(61));
    drop(journal);
    assert_eq!((fs::metadata(data.journal_path()).unwrap().len(), log_len()), (primed, log));
}

/// All would be in the log, and a start would need as much room again to copy it.
#[test]
fn the_log_does_not_grow_while_nothing_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(dir.path()).unwrap();
    let options = JournalOptions { primed_bytes: 0, max_bytes: 64 << 20, durability: Durability::Strict };
    let mut journal = SqliteJournal::open(&data, (Seq(0), Seq(0)), options).unwrap();
    for _ in 0..48 {
        journal.append(&vec![1; 1 << 20]).unwrap();
    }
    let log = fs::metadata(dir.path().join("journal.db-wal")).unwrap().len();
    assert!(log < 20 << 20, "the write-ahead log has grown to {log} bytes");
    assert_eq!(rows(&mut journal, Seq(0)).len(), 48);
}

#[test]
fn at_its_limit_it_refuses_and_then_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), Seq(0)).unwrap();
    let row = vec![3; 256 << 10];
    let error = loop {
        if let Err(error) = journal.append(&row) {
            break error;
        }
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    let last = journal.last();
    assert!(last.0 >= 6, "{last}");
    drop_all(&mut journal, last);
    assert_eq!(journal.append(&row).unwrap(), Seq(last.0 + 1));
    let kept = rows(&mut journal, Seq(0));
    assert_eq!(kept.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [last.0, last.0 + 1]);
}

#[test]
fn a_second_opener_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), Seq(0)).unwrap();
    let error = open(dir.path(), Seq(0)).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    drop(journal);
    open(dir.path(), Seq(0)).unwrap();
}

#[test]
fn a_damaged_row_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), Seq(0)).unwrap();
    journal.append(b"as it was written").unwrap();
    journal.append(b"another").unwrap();
    let path = dir.path().join("journal.db");
    drop(journal);
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute("UPDATE journal SET batch = CAST('as it was wr1tten' AS BLOB) WHERE seq = 1", []).unwrap();
    drop(other);
    let mut journal = open(dir.path(), Seq(0)).unwrap();
    let error = journal.replay(Seq(0), &mut |_, _| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().contains("row 1 does not have the checksum"), "{error}");
    assert_eq!(rows(&mut journal, Seq(1)).len(), 1);
}

#[test]
fn a_missing_row_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), Seq(0)).unwrap();
    for _ in 0..3 {
        journal.append(b"row").unwrap();
    }
    let path = dir.path().join("journal.db");
    drop(journal);
    rusqlite::Connection::open(&path).unwrap().execute("DELETE FROM journal WHERE seq = 2", []).unwrap();
    let error = open(dir.path(), Seq(0)).unwrap_err();
    assert!(error.to_string().contains("row 2 is missing before row 3"), "{error}");
}

#[test]
fn files_of_others_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    fs::write(&path, b"a text that has nothing to do with it\n".repeat(100)).unwrap();
    let error = open(dir.path(), Seq(0)).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    assert!(fs::read(&path).unwrap().starts_with(b"a text"));

    fs::remove_file(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE mine(x); INSERT INTO mine VALUES (1);").unwrap();
    let error = open(dir.path(), Seq(0)).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    let count: i64 = other.query_row("SELECT count(*) FROM mine", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 1);
}

#[test]
fn a_newer_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), Seq(0)).unwrap());
    let other = rusqlite::Connection::open(dir.path().join("journal.db")).unwrap();
    other.pragma_update(None, "user_version", 99).unwrap();
    drop(other);
    let error = open(dir.path(), Seq(0)).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, supported: 1, .. }), "{error}");
}

#[test]
fn a_directory_that_cannot_be_written_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, b"").unwrap();
    let error = open(&path, Seq(0)).unwrap_err();
    assert!(matches!(error, StoreError::Directory { .. }), "{error}");
    assert!(error.to_string().contains("configure another directory"), "{error}");
}

fn relaxed(path: &Path) -> SqliteJournal {
    let options = JournalOptions { durability: Durability::Relaxed, ..SMALL };
    SqliteJournal::open(&DataDir::open(path).unwrap(), (Seq(0), Seq(0)), options).unwrap()
}

/// A loss of power leaves of the write-ahead log what was synced.
#[test]
fn relaxed_a_loss_of_power_takes_what_was_not_synced() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("journal.db-wal");
    let mut journal = relaxed(dir.path());
    assert!(open(dir.path(), Seq(0)).is_err(), "it is exclusive all the same");
    let syncer = journal.syncer().unwrap().unwrap();
    for _ in 0..5 {
        journal.append(b"synced").unwrap();
    }
    syncer.sync().unwrap();
    let synced = fs::read(&log).unwrap();
    for _ in 0..5 {
        journal.append(b"written").unwrap();
    }
    drop(journal);
    // The process alone has ended: everything is there.
    assert_eq!(rows(&mut relaxed(dir.path()), Seq(0)).len(), 10);
    fs::write(&log, synced).unwrap();
    assert_eq!(rows(&mut open(dir.path(), Seq(5)).unwrap(), Seq(0)).len(), 5);
}

/// A sync that succeeds after one that failed says nothing of what came before: it is believed only when all
/// of that was written to the file. Then a loss of power may take the whole log.
#[test]
fn relaxed_no_sync_is_believed_after_one_that_failed_until_all_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = relaxed(dir.path());
    let (syncer, other) = (journal.syncer().unwrap().unwrap(), journal.syncer().unwrap().unwrap());
    for _ in 0..5 {
        journal.append(b"not synced").unwrap();
    }
    other.fail();
    for _ in 0..2 {
        let error = syncer.sync().unwrap_err();
        assert!(matches!(error, StoreError::Sync { .. }) && syncer.has_failed(), "{error}");
    }
    journal.append(b"after it was written again").unwrap();
    assert!(!other.has_failed());
    let written = fs::read(dir.path().join("journal.db")).unwrap();
    syncer.sync().unwrap();
    drop(journal);
    fs::write(dir.path().join("journal.db"), written).unwrap();
    fs::remove_file(dir.path().join("journal.db-wal")).unwrap();
    assert_eq!(rows(&mut open(dir.path(), Seq(5)).unwrap(), Seq(0)).len(), 5);
}

#[test]
fn strict_appends_need_no_syncer() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), Seq(0)).unwrap();
    assert!(journal.syncer().unwrap().is_none());
}

/// What is written to a file that was moved away would be gone at the next start.
#[test]
fn a_directory_that_vanishes_is_noticed_and_one_that_comes_back_is_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (dir.path().join("data"), dir.path().join("moved"));
    let mut journal = open(&here, Seq(0)).unwrap();
    journal.append(b"one").unwrap();
    fs::rename(&here, &there).unwrap();
    let error = journal.append(b"two").unwrap_err();
    assert!(matches!(error, StoreError::Gone { .. }), "{error}");
    assert!(error.to_string().contains("put the data directory back"), "{error}");
    fs::create_dir(&here).unwrap();
    fs::write(here.join("journal.db"), b"").unwrap();
    assert!(journal.append(b"two").unwrap_err().to_string().contains("another file is in its place"));
    fs::remove_dir_all(&here).unwrap();
    fs::rename(&there, &here).unwrap();
    assert_eq!(journal.append(b"two").unwrap(), Seq(2));
}
