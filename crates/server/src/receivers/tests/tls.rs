//! TLS over real sockets: certificates, clients' certificates, and new ones while the server runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::ServerName;
use spantally_stitch::UnixNanos;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::raw::{Answer, PROTOBUF, good, post, read};
use crate::config::{Auth, ServerTlsFiles, TlsVersion};
use crate::export::{Format, LabelSets, Pages, Registry};
use crate::receivers::testing::Server;
use crate::receivers::{Connections, GrpcSettings, HttpSettings};
use crate::tls::{Certificates, ServerTls, identity, server_authorities};

const PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1"];

/// An authority, and certificates of it in files.
pub(crate) struct Authority {
    directory: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        std::fs::write(directory.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { directory, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes `NAME.crt` and `NAME.key`, made anew.
    pub(crate) fn issue(&self, name: &str) {
        self.issue_until(name, 2090);
    }

    /// The same with a certificate that ends when that year begins.
    fn issue_until(&self, name: &str, year: i32) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.crt")), cert.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    fn files(&self) -> ServerTlsFiles {
        ServerTlsFiles {
            cert_file: self.path("server.crt"),
            key_file: self.path("server.key"),
            client_ca_file: None,
            min_version: TlsVersion::V1_2,
            reload_interval: None,
        }
    }

    /// A client that trusts this authority, with a certificate of `own` or none.
    async fn connect(
        &self,
        server: &Server,
        own: Option<(&Self, &str)>,
        version: TlsVersion,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[match version {
                TlsVersion::V1_2 => &rustls::version::TLS12,
                TlsVersion::V1_3 => &rustls::version::TLS13,
            }])
            .unwrap()
            .with_root_certificates(server_authorities(&self.path("ca.pem")).unwrap());
        let config = match own {
            Some((authority, name)) => {
                let file = |end: &str| authority.path(&format!("{name}.{end}"));
                let (chain, key) = identity(&file("crt"), &file("key")).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        let tcp = TcpStream::connect(server.http).await?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await
    }
}

async fn server(files: ServerTlsFiles) -> (Server, Arc<ServerTls>) {
    let tls = ServerTls::load(files, PROTOCOLS).unwrap();
    let (grpc, http) = (GrpcSettings::default(), HttpSettings::default());
    (Server::start_for(grpc, http, 1 << 20, &Auth::default(), Some(tls.clone())).await, tls)
}

async fn post_over(mut stream: TlsStream<TcpStream>) -> std::io::Result<Answer> {
    stream.write_all(&post(PROTOBUF, &good())).await?;
    // In TLS 1.3 a client learns only now that its certificate was refused.
    let mut first = [0];
    stream.get_ref().0.peek(&mut first).await?;
    Ok(read(&mut stream).await)
}

#[tokio::test]
async fn spans_come_by_tls_from_the_version_on_that_is_set() {
    let authority = Authority::new();
    authority.issue("server");
    let (both, _) = server(authority.files()).await;
    for version in TlsVersion::ALL {
        let stream = authority.connect(&both, None, version).await.unwrap();
        assert_eq!(post_over(stream).await.unwrap().code, 200);
        both.expect_committed((2, 2));
    }
    let (newer, _) = server(ServerTlsFiles { min_version: TlsVersion::V1_3, ..authority.files() }).await;
    authority.connect(&newer, None, TlsVersion::V1_2).await.unwrap_err();
    authority.connect(&newer, None, TlsVersion::V1_3).await.unwrap();
    let stranger = Authority::new();
    stranger.connect(&both, None, TlsVersion::V1_3).await.unwrap_err();
}

#[tokio::test]
async fn with_an_authority_of_clients_only_its_clients_are_served() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.issue("server");
    authority.issue("client");
    stranger.issue("client");
    let files = ServerTlsFiles { client_ca_file: Some(authority.path("ca.pem")), ..authority.files() };
    let (server, _) = server(files).await;
    let stream = authority.connect(&server, Some((&authority, "client")), TlsVersion::V1_3).await.unwrap();
    assert_eq!(post_over(stream).await.unwrap().code, 200);
    server.expect_committed((2, 2));
    for own in [None, Some((&stranger, "client"))] {
        authority.connect(&server, own, TlsVersion::V1_2).await.unwrap_err();
    }
    server.expect_committed((0, 0));
    assert_eq!(server.ends(), [("http_protobuf", "accepted", 1)]);
}

#[tokio::test]
async fn a_new_certificate_is_taken_by_the_next_connection_and_a_broken_one_is_not() {
    let authority = Authority::new();
    authority.issue("server");
    let (server, tls) = server(authority.files()).await;
    let seen = async || {
        let stream = authority.connect(&server, None, TlsVersion::V1_3).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let open = authority.connect(&server, None, TlsVersion::V1_3).await.unwrap();
    let first = seen().await;
    assert!(!tls.reload().unwrap(), "nothing has changed");
    authority.issue("server");
    assert!(tls.reload().unwrap());
    let second = seen().await;
    assert_ne!(first, second);
    std::fs::write(authority.path("server.crt"), "half a").unwrap();
    let error = tls.reload().unwrap_err().to_string();
    assert!(error.contains("tls.cert_file") && error.contains("server.crt"), "{error}");
    assert_eq!(seen().await, second, "the old one stays in use");
    assert_eq!(post_over(open).await.unwrap().code, 200, "open connections go on");
}

/// What the page of metrics says of a port's certificate.
fn shown(tls: &Arc<ServerTls>) -> Vec<String> {
    let mut registry = Registry::new(LabelSets::new(10, &[]));
    let certificates = Certificates::of([("grpc", None), ("http", Some(tls))]);
    certificates.show(&mut registry, UnixNanos(0));
    let mut pages = Pages::new();
    pages.look(&mut registry);
    let page = String::from_utf8(pages.write(Format::Text, &[]).to_vec()).unwrap();
    page.lines().filter(|line| line.starts_with("spantally_tls_")).map(str::to_owned).collect()
}

#[test]
fn the_metrics_say_when_a_certificate_ends_and_whether_it_is_still_read_again() {
    let of_port = "endpoint=\"http\",file=\"cert_file\"";
    let said = |ends: &str, taken: u64, failed: u64, good: u64| {
        [
            format!("spantally_tls_certificate_expiry_timestamp_seconds{{{of_port}}} {ends}"),
            format!("spantally_tls_reloads_total{{endpoint=\"http\",result=\"error\"}} {failed}"),
            format!("spantally_tls_reloads_total{{endpoint=\"http\",result=\"ok\"}} {taken}"),
            format!("spantally_tls_last_reload_successful{{endpoint=\"http\"}} {good}"),
        ]
    };
    let authority = Authority::new();
    authority.issue_until("server", 2030);
    let tls = ServerTls::load(authority.files(), PROTOCOLS).unwrap();
    assert_eq!(shown(&tls), said("1893456000", 0, 0, 1));
    authority.issue_until("server", 2031);
    tls.reload().unwrap();
    assert_eq!(shown(&tls), said("1924992000", 1, 0, 1));
    let good = std::fs::read(authority.path("server.crt")).unwrap();
    std::fs::write(authority.path("server.crt"), "half a").unwrap();
    for _ in 0..2 {
        tls.reload().unwrap_err();
    }
    assert_eq!(shown(&tls), said("1924992000", 1, 2, 0), "of the one in use");
    std::fs::write(authority.path("server.crt"), &good).unwrap();
    assert!(!tls.reload().unwrap());
    assert_eq!(shown(&tls), said("1924992000", 1, 2, 1), "the files are good again");
    // The chain ends with the first certificate of it, whichever that is.
    authority.issue_until("between", 2029);
    let chain = [good, std::fs::read(authority.path("between.crt")).unwrap()].concat();
    std::fs::write(authority.path("server.crt"), chain).unwrap();
    tls.reload().unwrap();
    assert_eq!(shown(&tls), said("1861920000", 2, 2, 1));
}

#[test]
fn files_that_do_not_belong_together_are_told_at_start() {
    let (authority, other) = (Authority::new(), Authority::new());
    authority.issue("server");
    other.issue("server");
    let load = |files: ServerTlsFiles| ServerTls::load(files, PROTOCOLS).unwrap_err().to_string();
    let error = load(ServerTlsFiles { key_file: other.path("server.key"), ..authority.files() });
    assert!(error.contains("tls.cert_file"), "{error}");
    let error = load(ServerTlsFiles { key_file: authority.path("none"), ..authority.files() });
    assert!(error.contains("tls.key_file") && error.contains("none"), "{error}");
    let error = load(ServerTlsFiles { cert_file: authority.path("server.key"), ..authority.files() });
    assert!(error.contains("BEGIN CERTIFICATE"), "{error}");
    assert!(!format!("{:?}", identity(Path::new("a"), Path::new("b"))).contains("PRIVATE"));
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let authority = Authority::new();
    authority.issue("server");
    let connections =
        Connections { read_header_timeout: Duration::from_millis(200), ..Connections::default() };
    let http = HttpSettings { connections, ..HttpSettings::default() };
    let tls = ServerTls::load(authority.files(), PROTOCOLS).unwrap();
    let auth = Auth::default();
    let server = Server::start_for(GrpcSettings::default(), http, 1 << 20, &auth, Some(tls)).await;
    for bytes in [&b""[..], b"\x16\x03\x01", &post(PROTOBUF, &good())] {
        let mut stream = TcpStream::connect(server.http).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut rest = Vec::new();
        let reading = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest);
        drop(tokio::time::timeout(Duration::from_secs(5), reading).await.expect("the connection is open"));
        assert!(!rest.starts_with(b"HTTP/1.1 200"));
    }
    server.expect_committed((0, 0));
}
