//! Faults by class: what a person looks for, and what alerts tell apart.

use std::io::{self, ErrorKind};

use rusqlite::ffi;

use crate::error::StoreError;

/// What is wrong with a file or its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// No space is left, or a limit on size is reached.
    Full,
    /// It may not be written.
    ReadOnly,
    /// What was written could not be brought to the disk.
    Sync,
    /// It is damaged, another's, or a newer version's.
    Corrupt,
    /// It is not in its place any more.
    Gone,
    /// Somebody else uses it.
    InUse,
    /// Anything else: reading or writing failed.
    Io,
}

impl Fault {
    /// Every value; the position is the index of its counter.
    pub const ALL: [Self; 7] =
        [Self::Full, Self::ReadOnly, Self::Sync, Self::Corrupt, Self::Gone, Self::InUse, Self::Io];

    /// The word used in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::ReadOnly => "read_only",
            Self::Sync => "sync",
            Self::Corrupt => "corrupt",
            Self::Gone => "gone",
            Self::InUse => "in_use",
            Self::Io => "io",
        }
    }
}

impl StoreError {
    /// Its class.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Full { .. } => Fault::Full,
            Self::Directory { source, .. } if is_full(source) => Fault::Full,
            Self::ReadOnly { .. } | Self::Directory { .. } => Fault::ReadOnly,
            Self::Sync { .. } => Fault::Sync,
            Self::Corrupt { .. } | Self::Foreign { .. } | Self::Newer { .. } | Self::Gap { .. } => {
                Fault::Corrupt
            }
            Self::Gone { .. } | Self::Missing { .. } | Self::Alone { .. } => Fault::Gone,
            Self::InUse { .. } => Fault::InUse,
            Self::Sqlite { source, .. } if is_sync(source) => Fault::Sync,
            Self::Sqlite { .. } | Self::Copy { .. } | Self::Backwards { .. } | Self::Revision { .. } => {
                Fault::Io
            }
        }
    }
}

/// Whether a directory or a small file in it could not be made for want of room.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

fn is_sync(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC))
}
