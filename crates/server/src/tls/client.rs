//! TLS towards a server: the authorities that its certificate is checked against, and our own certificate.

use std::path::Path;
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt;
use rustls::{ClientConfig, RootCertStore};
use smallvec::SmallVec;

use super::expiry::{earliest_end, latest_end};
use super::{CERTIFICATE, SERVER_AUTHORITY, TlsError, identity, versions_from};
use crate::config::ClientTls;

/// Why no connection can be made with such settings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientTlsError {
    /// One of the files.
    #[error(transparent)]
    File(#[from] TlsError),
    /// The authorities of the system cannot be read, or the versions are not supported.
    #[error("{0}")]
    Trust(String),
}

/// Reads the authorities that a server's certificate is checked against.
pub(crate) fn server_authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    SERVER_AUTHORITY.authorities(path, &SERVER_AUTHORITY.read(path)?)
}

/// What connections are made with.
#[derive(Debug)]
pub(crate) struct ClientSide {
    pub(crate) config: ClientConfig,
    /// When the files end, as far as there are any and that can be read.
    pub(crate) ends: Ends,
}

/// When the certificates of each file end, in seconds since 1970, by its key under `tls`.
pub(crate) type Ends = SmallVec<[(&'static str, i64); 2]>;

/// Reads what connections are made with. The authorities of the system are read only where `is_tls` says that
/// there will be such connections, and no file names others.
///
/// # Errors
/// A file cannot be used, or the system has no authorities.
pub(crate) fn client_side(tls: &ClientTls, is_tls: bool) -> Result<ClientSide, ClientTlsError> {
    let trust = |problem: &dyn std::fmt::Display| ClientTlsError::Trust(problem.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions_from(tls.min_version))
        .map_err(|error| trust(&error))?;
    let mut ends = Ends::new();
    let config = match &tls.ca_file {
        Some(path) => {
            let pem = SERVER_AUTHORITY.read(path)?;
            ends.extend(latest_end(&SERVER_AUTHORITY.certificates(path, &pem)?).map(|end| ("ca_file", end)));
            config.with_root_certificates(SERVER_AUTHORITY.authorities(path, &pem)?)
        }
        None if is_tls => config.with_native_roots().map_err(|error| trust(&error))?,
        None => config.with_root_certificates(RootCertStore::empty()),
    };
    let (Some(cert), Some(key)) = (&tls.cert_file, &tls.key_file) else {
        return Ok(ClientSide { config: config.with_no_client_auth(), ends });
    };
    let (chain, key) = identity(cert, key)?;
    ends.extend(earliest_end(&chain).map(|end| ("cert_file", end)));
    let config = config.with_client_auth_cert(chain, key);
    Ok(ClientSide { config: config.map_err(|error| CERTIFICATE.error(cert, &error))?, ends })
}
