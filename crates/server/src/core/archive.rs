//! What was booked before this process knew of it, or before it forgot: asked of the ledger.

use spantally_stitch::JobId;
use spantally_store::{LedgerReader, Published, StoreError};

/// What was published before. Asked rarely: of jobs that are as old as forgotten ones, and of jobs that are
/// revised.
pub trait Archive: std::fmt::Debug + Send {
    /// Whether any revision of the job was ever written.
    ///
    /// # Errors
    /// It cannot be read now. The same question is asked again later.
    fn has(&self, id: JobId) -> Result<bool, StoreError>;

    /// The newest revision of a job with all its charges; none when there is none.
    ///
    /// # Errors
    /// As [`Archive::has`].
    fn read(&self, _id: JobId) -> Result<Option<Published>, StoreError> {
        Ok(None)
    }

    /// Whether [`Self::read`] has every job of the checkpoints that were gathered before time went on: then
    /// the books need not keep what those jobs added.
    fn is_ledger(&self) -> bool {
        false
    }
}

impl Archive for LedgerReader {
    fn has(&self, id: JobId) -> Result<bool, StoreError> {
        self.published(id.0).map(|found| found.is_some())
    }

    fn read(&self, id: JobId) -> Result<Option<Published>, StoreError> {
        self.published(id.0)
    }

    fn is_ledger(&self) -> bool {
        true
    }
}
