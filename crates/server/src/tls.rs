//! TLS of our own ports: certificates from files, read again when they change.
//!
//! A certificate that is renewed on disk is taken by the next connection; open ones keep theirs. Files that
//! cannot be used (half written, of another key) leave the old certificate in place, with a warning at each
//! look and in the metrics ([`certificates`]). With `client_ca_file` only clients with a certificate of that
//! authority get past the handshake. The other end, connections that we make, is [`client`].

mod certificates;
mod client;
mod expiry;
mod renewed;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

pub(crate) use self::certificates::Certificates;
pub(crate) use self::client::{
    ClientFiles, ClientSide, ClientTlsError, Ends, client_side, server_authorities,
};
use self::expiry::earliest_end;
pub(crate) use self::renewed::{Renewed, Standing, look_again};
use crate::config::{ServerTlsFiles, TlsVersion};

/// A certificate, key or authority that cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{key} {}: {problem}", path.display())]
pub struct TlsError {
    key: &'static str,
    path: PathBuf,
    problem: String,
    #[help]
    help: &'static str,
}

impl TlsError {
    /// The key of the file, under the section that has the `tls`.
    pub(crate) fn key(&self) -> &'static str {
        self.key
    }
}

/// The files of one kind: what they are for in messages.
struct Kind {
    key: &'static str,
    help: &'static str,
}

const CERTIFICATE: Kind = Kind {
    key: "tls.cert_file",
    help: "give a PEM file with the server's certificate first, then those between it and the authority",
};
const KEY: Kind = Kind {
    key: "tls.key_file",
    help: "give the PEM file of the private key that the certificate was made for",
};
const AUTHORITY: Kind = Kind {
    key: "tls.client_ca_file",
    help: "give a PEM file with the certificates of the authorities that sign the clients' certificates",
};
const SERVER_AUTHORITY: Kind = Kind {
    key: "tls.ca_file",
    help: "give a PEM file with the certificates of the authorities that sign the server's certificate",
};

impl Kind {
    fn error(&self, path: &Path, problem: &dyn std::fmt::Display) -> TlsError {
        TlsError { key: self.key, path: path.to_owned(), problem: problem.to_string(), help: self.help }
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, TlsError> {
        std::fs::read(path).map_err(|error| self.error(path, &error))
    }

    fn certificates(&self, path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let read = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let certificates = read.map_err(|error| self.error(path, &error))?;
        if certificates.is_empty() {
            return Err(self.error(path, &"there is no `BEGIN CERTIFICATE` in it"));
        }
        Ok(certificates)
    }

    fn authorities(&self, path: &Path, pem: &[u8]) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates(path, pem)? {
            roots.add(certificate).map_err(|error| self.error(path, &error))?;
        }
        Ok(roots)
    }
}

/// A certificate chain and its key.
pub(crate) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Reads a client's certificate and key.
#[cfg(test)]
pub(crate) fn identity(cert_file: &Path, key_file: &Path) -> Result<Identity, TlsError> {
    parse_identity((cert_file, &CERTIFICATE.read(cert_file)?), (key_file, &KEY.read(key_file)?))
}

fn parse_identity(cert: (&Path, &[u8]), key: (&Path, &[u8])) -> Result<Identity, TlsError> {
    let chain = CERTIFICATE.certificates(cert.0, cert.1)?;
    let key = PrivateKeyDer::from_pem_slice(key.1).map_err(|error| KEY.error(key.0, &error))?;
    Ok((chain, key))
}

/// The versions of TLS from `min` on.
pub(crate) fn versions_from(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
    match min {
        TlsVersion::V1_2 => &BOTH,
        TlsVersion::V1_3 => &BOTH[..1],
    }
}

/// What was in the files.
#[derive(PartialEq, Eq)]
struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Contents {
    fn read(files: &ServerTlsFiles) -> Result<Self, TlsError> {
        Ok(Self {
            cert: CERTIFICATE.read(&files.cert_file)?,
            key: KEY.read(&files.key_file)?,
            client_ca: files.client_ca_file.as_ref().map(|path| AUTHORITY.read(path)).transpose()?,
        })
    }

    /// What connections are accepted with, and when its certificates end.
    fn config(&self, files: &ServerTlsFiles, protocols: &[&[u8]]) -> Result<(ServerConfig, Ends), TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let of_cert = |error: rustls::Error| CERTIFICATE.error(&files.cert_file, &error);
        let (chain, key) = parse_identity((&files.cert_file, &self.cert), (&files.key_file, &self.key))?;
        let ends = earliest_end(&chain).map(|end| ("cert_file", end)).into_iter().collect();
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions_from(files.min_version))
            .map_err(of_cert)?;
        let builder = match (&files.client_ca_file, &self.client_ca) {
            (Some(path), Some(pem)) => {
                let roots = Arc::new(AUTHORITY.authorities(path, pem)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| AUTHORITY.error(path, &error))?)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(of_cert)?;
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok((config, ends))
    }
}

/// The TLS of one port.
pub(crate) struct ServerTls {
    files: ServerTlsFiles,
    protocols: &'static [&'static [u8]],
    loaded: Mutex<Contents>,
    current: ArcSwap<ServerConfig>,
    standing: Mutex<Standing>,
}

impl Renewed for ServerTls {
    /// The end is that of the first certificate of the chain to end.
    fn standing(&self) -> Standing {
        self.standing.lock().clone()
    }
}

impl std::fmt::Debug for ServerTls {
    /// Without what is in the files: one of them is a private key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl ServerTls {
    /// Reads the files. `protocols` is what the port offers by ALPN.
    ///
    /// # Errors
    /// A file cannot be read, or certificate and key do not belong together.
    pub(crate) fn load(
        files: ServerTlsFiles,
        protocols: &'static [&'static [u8]],
    ) -> Result<Arc<Self>, TlsError> {
        let contents = Contents::read(&files)?;
        let (config, ends) = contents.config(&files, protocols)?;
        Ok(Arc::new(Self {
            files,
            protocols,
            loaded: Mutex::new(contents),
            current: ArcSwap::from_pointee(config),
            standing: Mutex::new(Standing::new(ends)),
        }))
    }

    /// What the next connection is accepted with.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// Reads the files again, and whether they had changed.
    ///
    /// # Errors
    /// The files cannot be used; the certificate in use stays.
    pub(crate) fn reload(&self) -> Result<bool, TlsError> {
        let looked = self.read_again();
        self.standing.lock().note(looked)
    }

    /// Takes the files if they have changed, and says when they end.
    fn read_again(&self) -> Result<Option<Ends>, TlsError> {
        let contents = Contents::read(&self.files)?;
        let mut loaded = self.loaded.lock();
        if *loaded == contents {
            return Ok(None);
        }
        let (config, ends) = contents.config(&self.files, self.protocols)?;
        self.current.store(Arc::new(config));
        *loaded = contents;
        Ok(Some(ends))
    }

    /// Looks at the files every `reload_interval` until `stop` is true.
    pub(crate) async fn watch(self: Arc<Self>, stop: watch::Receiver<bool>) {
        let Some(interval) = self.files.reload_interval else { return };
        let of = self.files.cert_file.display().to_string();
        look_again(interval, stop, &of, move || self.reload()).await;
    }
}
