//! Destinations with TLS.

use super::*;
use crate::config::ServerTlsFiles;
use crate::receivers::tests::tls::Authority;
use crate::tls::{Certificates, ServerTls, Standing};

/// The TLS of a destination that wants certificates of this authority.
fn server_tls(authority: &Authority) -> Arc<ServerTls> {
    let files = ServerTlsFiles {
        cert_file: authority.path("server.crt"),
        key_file: authority.path("server.key"),
        client_ca_file: Some(authority.path("ca.pem")),
        min_version: crate::config::TlsVersion::V1_3,
        reload_interval: None,
    };
    ServerTls::load(files, &[b"h2", b"http/1.1"]).unwrap()
}

fn sealed(
    destination: &Destination,
    protocol: Protocol,
    authority: &Authority,
) -> crate::config::Destination {
    let mut settings = settings(destination, protocol, Compression::Gzip);
    settings.url = settings.url.to_string().replace("http:", "https:").parse().unwrap();
    settings.tls = ClientTls {
        ca_file: Some(authority.path("ca.pem")),
        cert_file: Some(authority.path("client.crt")),
        key_file: Some(authority.path("client.key")),
        reload_interval: Some(Duration::from_millis(20)),
        ..ClientTls::default()
    };
    settings
}

/// Waits until it stands so with the files of a destination.
async fn until_standing(client: &Client, is_it: impl Fn(&Standing) -> bool) {
    let (_, renewed) = client.certificates().unwrap();
    for _ in 0..500 {
        if is_it(&renewed.standing()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?}", renewed.standing());
}

/// The destination and its authority change while we run: nothing is taken until our files have changed too.
/// Half a file leaves the old ones in use.
#[tokio::test]
async fn changed_files_of_a_destination_are_taken_and_a_broken_one_is_not() {
    for protocol in [Protocol::Grpc, Protocol::Http] {
        let [authority, next] = [Authority::new(), Authority::new()];
        for one in [&authority, &next] {
            one.issue("server");
            one.issue("client");
        }
        let first = Destination::start_with(|_| 200, Some(server_tls(&authority))).await;
        let (directory, settings) = (tempfile::tempdir().unwrap(), sealed(&first, protocol, &authority));
        let forwarder = open(&settings, directory.path()).await;
        let client = forwarder.routes[0].client.clone();
        let (_stop, stops) = watch::channel(false);
        let _sending = forwarder.start(&stops);
        put(&forwarder, "", b"one").await;
        first.wait_for(1).await;
        until_empty(&forwarder).await;
        let address = first.address;
        drop(first);
        let second = Destination::start_at(address, |_| 200, Some(server_tls(&next))).await;
        put(&forwarder, "", b"two").await;
        std::fs::write(authority.path("ca.pem"), "half a").unwrap();
        until_standing(&client, |standing| standing.failed > 1 && !standing.is_last_good).await;
        assert_eq!(second.got().len(), 0, "it is no destination that we trust");
        for name in ["ca.pem", "client.crt", "client.key"] {
            std::fs::copy(next.path(name), authority.path(name)).unwrap();
        }
        until_standing(&client, |standing| standing.taken > 0 && standing.is_last_good).await;
        assert_eq!(&*second.wait_for(1).await[0].body, b"two");
    }
}

#[tokio::test]
async fn a_destination_is_reached_by_tls_with_our_certificate() {
    let authority = Authority::new();
    authority.issue("server");
    authority.issue("client");
    let destination = Destination::start_with(|_| 200, Some(server_tls(&authority))).await;
    for (count, protocol) in [Protocol::Grpc, Protocol::Http].into_iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let settings = sealed(&destination, protocol, &authority);
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
        Certificates::default().towards(certificates.into_iter()).show(&mut registry, clock::now());
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
