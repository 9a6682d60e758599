//! A GET to a server of our own, by HTTP or HTTPS.
//!
//! With TLS the server's certificate is checked against the authorities of `--ca-file` or of the system, for
//! the name or address that is asked. There is no switch to leave that out.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::Failure;
use crate::config::ClientTls;
use crate::tls::{ClientTlsError, TlsError, client_side};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an answer may stay away: a page of large jobs from a busy machine takes some seconds.
const READ_TIMEOUT: Duration = Duration::from_mins(1);

/// Status and body of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub status: u16,
    pub body: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(super) enum AskError {
    /// The address is none, or the options for TLS cannot be used with it.
    #[error("--server {0}: expected http://host:port or https://host:port, without a path")]
    Address(String),
    /// There is an option for TLS, and the address has none.
    #[error("--ca-file, --cert-file and --key-file are for TLS, and {0} is asked without")]
    #[diagnostic(help("write https:// before it if the server has it (`exporters.prometheus.tls`)"))]
    Plain(String),
    /// The files for TLS.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(TlsError),
    /// TLS cannot be set up here, or not to this host.
    #[error("no TLS with {host}: {problem}")]
    #[diagnostic(help("give the authorities of the server's certificate by --ca-file"))]
    Trust { host: String, problem: String },
    /// Nobody listens, or the connection broke.
    #[error("no server answers at {host}: {error}")]
    #[diagnostic(help(
        "start one with `spantally serve`, or name another source: --server, --ledger or --from"
    ))]
    Silent { host: String, error: io::Error },
    /// One of the two ends refused the other.
    #[error("no TLS with {host}: {problem}")]
    Tls {
        host: String,
        problem: String,
        #[help]
        help: Option<&'static str>,
    },
    /// Something else listens there.
    #[error("{0} does not answer in HTTP")]
    #[diagnostic(help("a server with TLS is asked by --server https://{0}"))]
    NotHttp(String),
}

impl AskError {
    /// Whether it is about what was given, and not about the server.
    pub(super) fn is_usage(&self) -> bool {
        matches!(self, Self::Address(_) | Self::Plain(_) | Self::File(_))
    }

    /// Whether there may be a server that was not asked as it wants to be.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Trust { .. } | Self::Tls { .. } | Self::NotHttp(_))
    }

    /// The end of the command.
    pub(super) fn into_failure(self) -> Failure {
        if self.is_usage() { Failure::usage(self) } else { Failure::failed(self) }
    }
}

/// A server that can be asked.
pub(super) struct Server {
    /// Host and port.
    host: String,
    /// With which TLS and for which name of the server, unless it is plain HTTP.
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.host)
    }
}

impl Server {
    /// The server at `http://host:port` or `https://host:port`; without a scheme it is the first.
    pub(super) fn new(url: &str, tls: &ClientTls) -> Result<Self, AskError> {
        let (is_tls, host, name) = address(url).ok_or_else(|| AskError::Address(url.to_owned()))?;
        if !is_tls {
            let has_files = tls.ca_file.is_some() || tls.cert_file.is_some() || tls.key_file.is_some();
            let plain = Self { host: host.to_owned(), tls: None };
            return if has_files { Err(AskError::Plain(plain.host)) } else { Ok(plain) };
        }
        let trust = |problem| AskError::Trust { host: host.to_owned(), problem };
        let side = client_side(tls, true).map_err(|error| match error {
            ClientTlsError::File(error) => AskError::File(error),
            ClientTlsError::Trust(problem) => trust(problem),
        })?;
        let name = ServerName::try_from(name.to_owned()).map_err(|error| trust(error.to_string()))?;
        Ok(Self { host: host.to_owned(), tls: Some((Arc::new(side.config), name)) })
    }

    /// Fetches a page.
    ///
    /// # Errors
    /// Nobody answers there, or not in HTTP, or one of the two does not trust the other.
    pub(super) fn get(&self, path: &str) -> Result<Answer, AskError> {
        let read = match &self.tls {
            None => connect(&self.host).and_then(|stream| self.exchange(stream, path)),
            Some((config, name)) => connect(&self.host).and_then(|stream| {
                let tls =
                    ClientConnection::new(Arc::clone(config), name.clone()).map_err(io::Error::other)?;
                self.exchange(StreamOwned::new(tls, stream), path)
            }),
        };
        let bytes = read.map_err(|error| self.failed(error))?;
        answer(bytes).ok_or_else(|| AskError::NotHttp(self.host.clone()))
    }

    /// Sends the question, and reads until the end.
    fn exchange(&self, mut stream: impl Read + Write, path: &str) -> io::Result<Vec<u8>> {
        let host = &self.host;
        // HTTP/1.0: the answer ends with the connection, and is not sent in chunks.
        let question = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: application/json\r\n\r\n");
        stream.write_all(question.as_bytes())?;
        stream.flush()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }

    fn failed(&self, error: io::Error) -> AskError {
        let host = self.host.clone();
        let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let is_cut = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe, ErrorKind::UnexpectedEof];
        match of_tls {
            Some(of_tls) => AskError::Tls { host, problem: of_tls.to_string(), help: tls_help(of_tls) },
            // Whoever misses a certificate closes, and what it said of that may be lost with the connection.
            None if self.tls.is_some() && is_cut.contains(&error.kind()) => {
                AskError::Tls { host, problem: error.to_string(), help: Some(OWN_CERTIFICATE) }
            }
            None if is_cut.contains(&error.kind()) => AskError::NotHttp(host),
            None => AskError::Silent { host, error },
        }
    }
}

/// Whether it is asked by TLS, host and port, and the host alone without the brackets of an address.
fn address(url: &str) -> Option<(bool, &str, &str)> {
    let (is_tls, rest) = match url.strip_prefix("https://") {
        Some(rest) => (true, rest),
        None => (false, url.strip_prefix("http://").unwrap_or(url)),
    };
    let rest = rest.trim_end_matches('/');
    let (host, port) = rest.rsplit_once(':')?;
    let is_one = !host.is_empty() && !rest.contains('/') && port.parse::<u16>().is_ok();
    is_one.then_some((is_tls, rest, host.trim_start_matches('[').trim_end_matches(']')))
}

fn answer(bytes: Vec<u8>) -> Option<Answer> {
    let text = String::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok())?;
    Some(Answer { status, body: body.to_owned() })
}

/// What to do where a certificate of ours is missing.
const OWN_CERTIFICATE: &str =
    "if the server asks for a certificate of yours, give --cert-file and --key-file";

/// What to do about a handshake that failed.
fn tls_help(error: &rustls::Error) -> Option<&'static str> {
    use rustls::{AlertDescription as Alert, CertificateError as Certificate, Error};
    Some(match error {
        Error::InvalidCertificate(Certificate::UnknownIssuer | Certificate::BadSignature) => {
            "give the authority that signed the server's certificate by --ca-file"
        }
        Error::InvalidCertificate(
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. },
        ) => "name the server by --server as its certificate does",
        Error::InvalidCertificate(Certificate::Expired | Certificate::ExpiredContext { .. }) => {
            "the server's certificate is to be renewed"
        }
        Error::AlertReceived(Alert::CertificateRequired | Alert::HandshakeFailure) => OWN_CERTIFICATE,
        Error::AlertReceived(
            Alert::UnknownCA | Alert::BadCertificate | Alert::DecryptError | Alert::CertificateExpired,
        ) => "the server does not take the certificate of --cert-file: see its `client_ca_file`",
        Error::InvalidMessage(_) => "a server without TLS is asked by --server http://",
        _ => return None,
    })
}

fn connect(authority: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::from(ErrorKind::NotFound);
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(READ_TIMEOUT))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A value of a query, with everything but unreserved characters (RFC 3986) percent-encoded.
pub(super) fn query_value(text: &str) -> String {
    let digit = |nibble: u8| char::from(b"0123456789ABCDEF"[usize::from(nibble)]);
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_host_and_port_and_no_path() {
        for (url, expected) in [
            ("http://127.0.0.1:9464", Some((false, "127.0.0.1:9464", "127.0.0.1"))),
            ("http://127.0.0.1:9464/", Some((false, "127.0.0.1:9464", "127.0.0.1"))),
            ("[::1]:9464", Some((false, "[::1]:9464", "::1"))),
            ("https://[::1]:9464/", Some((true, "[::1]:9464", "::1"))),
            ("https://spend.example.com:443", Some((true, "spend.example.com:443", "spend.example.com"))),
            ("http://127.0.0.1", None),
            ("https://127.0.0.1:9464/metrics", None),
            ("ftp://127.0.0.1:9464", None),
            (":9464", None),
        ] {
            assert_eq!(address(url), expected, "{url}");
        }
    }

    #[test]
    fn values_of_a_query_are_encoded() {
        assert_eq!(query_value("a b&c=ü/~"), "a%20b%26c%3D%C3%BC%2F~");
    }
}
