//! Whether an open file is still where it was opened.
//!
//! A file that was moved or removed stays writable for whoever has it open, and nothing of what is written is there
//! at the next start. So its path is looked at before anything is acknowledged.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

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
