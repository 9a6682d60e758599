//! What the files of a data directory are called.

use std::path::{Path, PathBuf};

/// Name of the journal's file.
pub(crate) const JOURNAL_NAME: &str = "journal.db";

/// The journal's file in a data directory.
pub(crate) fn journal_path(dir: &Path) -> PathBuf {
    dir.join(JOURNAL_NAME)
}

/// The ledger's file in a data directory.
pub(crate) fn ledger_path(dir: &Path) -> PathBuf {
    dir.join("ledger.db")
}

/// The write-ahead log of a database, as SQLite names it.
pub(crate) fn log_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}
