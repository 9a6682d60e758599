//! Destinations with TLS.

use super::*;
use crate::config::ServerTlsFiles;
use crate::receivers::tests::tls::Authority;
use crate::tls::{Certificates, ServerTls};

#[tokio::test]
async fn a_destination_is_reached_by_tls_with_our_certificate() {
    let authority = Authority::new();
    authority.issue("server");
    authority.issue("client");
    let files = ServerTlsFiles {
        cert_file: authority.path("server.crt"),
        key_file: authority.path("server.key"),
        client_ca_file: Some(authority.path("ca.pem")),
        min_version: crate::config::TlsVersion::V1_3,
        reload_interval: None,
    };
    let tls = ServerTls::load(files, &[b"h2", b"http/1.1"]).unwrap();
    let destination = Destination::start_with(|_| 200, Some(tls)).await;
    for (count, protocol) in [Protocol::Grpc, Protocol::Http].into_iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = settings(&destination, protocol, Compression::Gzip);
        settings.url = settings.url.to_string().replace("http:", "https:").parse().unwrap();
        settings.tls = ClientTls {
            ca_file: Some(authority.path("ca.pem")),
            cert_file: Some(authority.path("client.crt")),
            key_file: Some(authority.path("client.key")),
            ..ClientTls::default()
        };
        let forwarder = open(&settings, directory.path()).await;
        put(&forwarder, "", b"sealed").await;
        let (_stop, stops) = watch::channel(false);
        let _sending = forwarder.start(&stops);
        assert_eq!(&*destination.wait_for(count + 1).await[count].body, b"sealed");
    }
    let mut settings = settings(&destination, Protocol::Grpc, Compression::None);
    settings.tls.ca_file = Some(authority.path("ca.pem"));
    settings.tls.cert_file = Some(authority.path("client.crt"));
    settings.tls.key_file = Some(authority.path("client.key"));
    let shown = |url: &str| {
        let settings = crate::config::Destination { url: url.parse().unwrap(), ..settings.clone() };
        let certificates = clients(&[settings]).unwrap()[0].certificates();
        let mut registry = Registry::new(LabelSets::new(9, &[]));
        Certificates::default().towards(std::iter::once(certificates)).show(&mut registry, clock::now());
        let values = registry.values(MetricId::TlsExpiry);
        values.map(|(own, value)| format!("{own} {value}")).collect::<Vec<_>>()
    };
    // The authority's, and our own: the year 4096 and 2090.
    let ends = [
        "endpoint=\"otlp/test\",file=\"ca_file\" 67090118400",
        "endpoint=\"otlp/test\",file=\"cert_file\" 3786912000",
    ];
    assert_eq!(shown("https://localhost:4317"), ends);
    assert_eq!(shown("http://localhost:4317"), Vec::<String>::new(), "nothing is checked there");
    settings.tls.ca_file = Some(authority.path("server.key"));
    let error = clients(&[settings]).unwrap_err().to_string();
    assert!(error.contains("exporters.otlp/test") && error.contains("tls.ca_file"), "{error}");
}
