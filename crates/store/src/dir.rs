//! The data directory and the lock on it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::StoreError;
use crate::files::{journal_path, ledger_path};

/// A data directory that this process alone may write, until the last clone is dropped.
///
/// The lock is the operating system's lock on the file `lock` in the directory: it ends with the process,
/// however that ends, and never has to be removed by hand.
#[derive(Clone, Debug)]
pub struct DataDir {
    path: Arc<Path>,
    _lock: Arc<File>,
}

impl DataDir {
    /// Makes the directory if there is none, and takes it.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it, [`StoreError::Directory`] when it cannot be made
    /// or written.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |action| move |source| StoreError::Directory { path: path.to_owned(), action, source };
        fs::create_dir_all(path).map_err(failed("make the directory"))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(failed("write the file `lock` in it"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.into(), _lock: Arc::new(lock) }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed("lock the file `lock` in it")(source)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The journal's file.
    pub(crate) fn journal_path(&self) -> PathBuf {
        journal_path(&self.path)
    }

    /// The ledger's file.
    pub(crate) fn ledger_path(&self) -> PathBuf {
        ledger_path(&self.path)
    }
}
