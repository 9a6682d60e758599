//! TLS towards a server: the authorities that its certificate is checked against, and our own certificate.

use std::path::Path;
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt;
use rustls::{ClientConfig, RootCertStore};
use smallvec::SmallVec;

use super::expiry::{earliest_end, latest_end};
use super::{CERTIFICATE, KEY, SERVER_AUTHORITY, TlsError, parse_identity, versions_from};
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

/// Reads what connections are made with, as [`ClientFiles::client_side`] does.
///
/// # Errors
/// A file cannot be used, or the system has no authorities.
pub(crate) fn client_side(tls: &ClientTls, is_tls: bool) -> Result<ClientSide, ClientTlsError> {
    ClientFiles::read(tls)?.client_side(tls, is_tls)
}

/// What was in the files of one end.
#[derive(PartialEq, Eq)]
pub(crate) struct ClientFiles {
    authorities: Option<Vec<u8>>,
    /// Certificate and key.
    own: Option<(Vec<u8>, Vec<u8>)>,
}

impl std::fmt::Debug for ClientFiles {
    /// Without what is in the files: one of them is a private key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientFiles").finish_non_exhaustive()
    }
}

impl ClientFiles {
    /// Reads the files that are named.
    ///
    /// # Errors
    /// One cannot be read.
    pub(crate) fn read(tls: &ClientTls) -> Result<Self, TlsError> {
        let own = match (&tls.cert_file, &tls.key_file) {
            (Some(cert), Some(key)) => Some((CERTIFICATE.read(cert)?, KEY.read(key)?)),
            _ => None,
        };
        let authorities = tls.ca_file.as_ref().map(|path| SERVER_AUTHORITY.read(path)).transpose()?;
        Ok(Self { authorities, own })
    }

    /// What connections are made with. The authorities of the system are read only where `is_tls` says that
    /// there will be such connections, and no file names others.
    ///
    /// # Errors
    /// A file cannot be used, or the system has no authorities.
    pub(crate) fn client_side(&self, tls: &ClientTls, is_tls: bool) -> Result<ClientSide, ClientTlsError> {
        let trust = |problem: &dyn std::fmt::Display| ClientTlsError::Trust(problem.to_string());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions_from(tls.min_version))
            .map_err(|error| trust(&error))?;
        let mut ends = Ends::new();
        let config = match (&tls.ca_file, &self.authorities) {
            (Some(path), Some(pem)) => {
                let authorities = SERVER_AUTHORITY.certificates(path, pem)?;
                ends.extend(latest_end(&authorities).map(|end| ("ca_file", end)));
                config.with_root_certificates(SERVER_AUTHORITY.authorities(path, pem)?)
            }
            _ if is_tls => config.with_native_roots().map_err(|error| trust(&error))?,
            _ => config.with_root_certificates(RootCertStore::empty()),
        };
        let (Some(cert), Some(key), Some(own)) = (&tls.cert_file, &tls.key_file, &self.own) else {
            return Ok(ClientSide { config: config.with_no_client_auth(), ends });
        };
        let (chain, key) = parse_identity((cert, &own.0), (key, &own.1))?;
        ends.extend(earliest_end(&chain).map(|end| ("cert_file", end)));
        let config = config.with_client_auth_cert(chain, key);
        Ok(ClientSide { config: config.map_err(|error| CERTIFICATE.error(cert, &error))?, ends })
    }
}
