//! Why a server ends otherwise than it was told to.

use crate::core::{CoreEndError, RecoverError};

/// Why a server stopped by itself, or did not stop as it should.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The state of the last process cannot be taken back.
    #[error(transparent)]
    Recover(Box<RecoverError>),
    /// It was told to stop, and what it had last is not in the ledger.
    #[error(transparent)]
    Core(#[from] CoreEndError),
    /// No signal handler, no thread, or a thread that panicked.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl From<RecoverError> for RunError {
    fn from(error: RecoverError) -> Self {
        Self::Recover(Box::new(error))
    }
}

impl RunError {
    pub(crate) fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::System { what, source }
    }

    pub(crate) fn panicked(what: &'static str) -> Self {
        Self::System { what, source: std::io::Error::other("its thread panicked; the log says where") }
    }
}
