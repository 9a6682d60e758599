//! What can go wrong on disk, said so that a person can act on it.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::files::JOURNAL_NAME;
use crate::full::no_room;
use crate::seq::Seq;

/// Why the store refused.
///
/// Every message names the file, what was found there, and what to do. After any of them the data on disk
/// are as they were before the call: nothing is half written, and the same call may be made again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data directory cannot be made or written.
    #[error("{path}: cannot {action}: {source}; give the user that runs Spantally write access there, or \
             configure another directory", path = path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// Another process has the directory.
    #[error("{path}: another process is using this data directory; stop it, or configure another directory",
            path = path.display())]
    InUse {
        /// The directory, or the file in it that is locked.
        path: PathBuf,
    },
    /// There is no such file to read.
    #[error("{path}: there is no ledger here; check the data directory, or start the server once to make one",
            path = path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is not one of ours.
    #[error("{path}: not a Spantally {expected} ({found}); move it away, or configure another directory",
            path = path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was expected: `journal` or `ledger`.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// A newer Spantally wrote the file.
    #[error("{path}: schema version {found}, written by a newer Spantally; this one knows versions up to \
             {supported}: run the newer one, or configure another directory", path = path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version known here.
        supported: i64,
    },
    /// The file is damaged.
    #[error("{path}: damaged: {detail}; restore the data directory from a copy, or move it away and \
             start empty", path = path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// No space is left.
    #[error("{path}: no space left ({detail}); free space on that file system{other}",
            path = path.display(), other = other_way(path))]
    Full {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// There is no room for a copy, or it cannot be made for another reason.
    #[error("{path}: cannot be copied to {to}: {source}; name a directory with room for it in TMPDIR",
            path = path.display(), to = to.display())]
    Copy {
        /// The file.
        path: PathBuf,
        /// The directory for temporary files.
        to: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("{path}: cannot be written ({detail}); give the user that runs Spantally write access to the \
             file and its directory", path = path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// What was written could not be brought to the disk.
    #[error("{path}: cannot be synced: {source}; check the disk and the messages of its file system",
            path = path.display())]
    Sync {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file was moved or removed while it was open.
    #[error("{path}: not in its place any more ({detail}); put the data directory back, or restart the \
             server to begin with what is there", path = path.display())]
    Gone {
        /// The file.
        path: PathBuf,
        /// What is there instead.
        detail: String,
    },
    /// Rows that the ledger needs are not in the journal.
    #[error("{path}: the journal has {rows}, and of those that the ledger needs {missing} are missing: the \
             two files do not belong together; restore both from one copy, or move both away",
            path = path.display(), rows = rows_between(*first, *last),
            missing = missing(first.zip(*last), *applied, *done))]
    Gap {
        /// The journal's file.
        path: PathBuf,
        /// The first row there is.
        first: Option<Seq>,
        /// The last row there is.
        last: Option<Seq>,
        /// The position that the ledger has.
        applied: Seq,
        /// The position up to which it needs no rows.
        done: Seq,
    },
    /// One of the two files is not there, and the other one was used.
    #[error("{missing}: absent or empty, and {other} beside it was in use: the two belong together; restore \
             both from one copy, or move the other one away too and start empty",
            missing = missing.display(), other = other.display())]
    Alone {
        /// The file that is not there.
        missing: PathBuf,
        /// The file that is.
        other: PathBuf,
    },
    /// A checkpoint would step back.
    #[error("{path}: a checkpoint at journal position {given} came after one at {applied}; this is a bug, \
             please report it", path = path.display())]
    Backwards {
        /// The ledger's file.
        path: PathBuf,
        /// The position that the ledger has.
        applied: Seq,
        /// The position of the refused checkpoint.
        given: Seq,
    },
    /// A revision does not follow the newest one.
    #[error("{path}: revision {given} of job {job_id:032x} does not follow revision {newest}; this is a \
             bug, please report it", path = path.display())]
    Revision {
        /// The ledger's file.
        path: PathBuf,
        /// The job.
        job_id: u128,
        /// The refused revision.
        given: u32,
        /// The newest that there is; 0 when there is none.
        newest: u32,
    },
    /// Anything else that SQLite says.
    #[error("{path}: cannot {action}: {source}; check the disk and the messages of its file system",
            path = path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// What a failure of SQLite means for the person who runs this.
    pub(crate) fn from_sqlite(path: &Path, action: &'static str, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        let detail = format!("to {action}: {source}");
        if let Some(reason) = no_room(&path, &source) {
            return Self::Full { path, detail: format!("{detail}: {reason}") };
        }
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path, detail },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                Self::ReadOnly { path, detail }
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt { path, detail },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse { path },
            _ => Self::Sqlite { path, action, source },
        }
    }
}

/// What else helps where there is no room: the journal has a limit of its own. The queues of destinations,
/// under `forward`, are journals as well, with other limits.
fn other_way(path: &Path) -> &'static str {
    let is_queue = path.iter().any(|part| part == "forward");
    let is_journal = !is_queue && path.file_name().is_some_and(|name| name == JOURNAL_NAME);
    if is_journal { ", or raise `storage.journal.max_size` if the disk has room" } else { "" }
}

/// Which rows a journal has, in words.
fn rows_between(first: Option<Seq>, last: Option<Seq>) -> String {
    first.zip(last).map_or("no rows".to_owned(), |(first, last)| format!("rows {first} to {last}"))
}

/// Which rows are not there of those after `done`, in words.
fn missing(rows: Option<(Seq, Seq)>, applied: Seq, done: Seq) -> String {
    let (from, until) = (done.0 + 1, applied.0);
    let parts = match rows {
        None => vec![(from, until)],
        Some((first, last)) => vec![(from, first.0.saturating_sub(1)), (from.max(last.0 + 1), until)],
    };
    let parts = parts.into_iter().filter(|(from, until)| from <= until);
    parts.map(|(from, until)| format!("{from} to {until}")).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_journal_has_a_limit_to_raise() {
        for (name, is_raised) in
            [("data/journal.db", true), ("data/ledger.db", false), ("data/forward/otlp/journal.db", false)]
        {
            let full = StoreError::Full { path: name.into(), detail: "to write".to_owned() }.to_string();
            assert!(full.contains("free space"), "{full}");
            assert_eq!(full.contains("storage.journal.max_size"), is_raised, "{full}");
        }
    }

    #[test]
    fn a_gap_says_which_rows_are_missing() {
        for (rows, applied, done, expected) in [
            (
                Some((1, 4)),
                9,
                0,
                "the journal has rows 1 to 4, and of those that the ledger needs 5 to 9 are",
            ),
            (Some((10, 12)), 3, 3, "rows 10 to 12, and of those that the ledger needs 4 to 9 are missing"),
            (Some((5, 6)), 8, 2, "rows 5 to 6, and of those that the ledger needs 3 to 4 and 7 to 8 are"),
            (None, 8, 2, "no rows, and of those that the ledger needs 3 to 8 are missing"),
        ] {
            let (first, last) = (rows.map(|(first, _)| Seq(first)), rows.map(|(_, last)| Seq(last)));
            let path = PathBuf::from("journal.db");
            let said =
                StoreError::Gap { path, first, last, applied: Seq(applied), done: Seq(done) }.to_string();
            assert!(said.contains(expected), "{said}");
        }
    }
}
