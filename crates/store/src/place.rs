//! Whether an open file is still where it was opened.
//!
//! A file that was moved or removed stays writable for whoever has it open, and nothing of what is written is
//! there at the next start. So its path is looked at before anything is acknowledged.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::error::StoreError;

/// A file as it was when it was opened.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Place {
    /// The file that is now at a path.
    pub(crate) fn of(path: &Path) -> Result<Self, StoreError> {
        let gone = |source| StoreError::Gone { path: path.to_owned(), detail: format!("{source}") };
        let found = fs::metadata(path).map_err(gone)?;
        Ok(Self { path: path.to_owned(), device: found.dev(), inode: found.ino() })
    }

    /// A failure that SQLite has no better word for, when its cause is that nothing can be written here any
    /// more: a file system that the kernel made read-only.
    pub(crate) fn explain(&self, error: StoreError) -> StoreError {
        let StoreError::Sqlite { path, source, .. } = &error else { return error };
        // Another file of the directory: SQLite's locks on this one would end with a second opening of it.
        let tried = fs::OpenOptions::new()
            .append(true)
            .open(self.path.with_file_name("lock"))
            .map_err(|found| found.kind());
        match tried {
            Err(io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied) => {
                StoreError::ReadOnly { path: path.clone(), detail: source.to_string() }
            }
            _ => error,
        }
    }

    /// Refuses when it is not there any more, or is another one.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let gone = |detail| StoreError::Gone { path: self.path.clone(), detail };
        match fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => Ok(()),
            Ok(_) => Err(gone("another file is in its place".to_owned())),
            Err(error) => Err(gone(error.to_string())),
        }
    }
}
