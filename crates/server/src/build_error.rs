//! Why a server cannot be built: what [`crate::app`] says before anything runs.

use spantally_store::StoreError;

use crate::forward::ForwardError;
use crate::listen::BindError;
use crate::provider_files::ProviderFilesError;
use crate::setting_error::SettingError;

/// Why a server cannot be built: something that the user can put right.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum BuildError {
    /// A provider file.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Providers(#[from] ProviderFilesError),
    /// An address.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Bind(#[from] BindError),
    /// The data directory; what the store said is in the text, hence not told as a source once more.
    #[error("storage.directory: {0}")]
    Store(Box<StoreError>),
    /// A certificate, key or authority, a tenant's token, a destination.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Setting(#[from] SettingError),
    /// The queue of a destination.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Forward(#[from] ForwardError),
}

impl From<StoreError> for BuildError {
    fn from(error: StoreError) -> Self {
        Self::Store(Box::new(error))
    }
}
