//! End to end with more clients that are not ours: the OpenTelemetry SDK for Node over all three protocols,
//! and the Python SDK with certificates and tokens.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rust_decimal::Decimal;
use support::{
    Server, assert_counted, assert_found, assert_ledger_equals_metrics, free_address, send_with, text,
};

#[test]
fn the_node_sdk_exports_over_grpc_protobuf_and_json() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let mut expected = 0;
    let mut all = Vec::new();
    for (protocol, transport, address) in [
        ("grpc", "grpc", server.grpc),
        ("proto", "http_protobuf", server.http),
        ("json", "http_json", server.http),
    ] {
        let endpoint = format!("http://{address}");
        let sent = send_with("node", protocol, &endpoint, 1000 * (all.len() as u32 + 1), &[])
            .unwrap_or_else(|said| panic!("{said}\n{}", server.log()));
        expected += sent.tasks.len();
        all.push((transport, sent));
    }
    let jobs = server.settled(expected);
    assert_eq!(jobs.len(), expected, "one job a task");
    for (transport, sent) in &all {
        assert_found(&server, sent, &jobs);
        assert_counted(&server, transport, sent);
    }
    assert_ledger_equals_metrics(&server, &jobs);
}

/// Writes an authority and certificates for `127.0.0.1` that it signed.
fn certificates(directory: &Path, names: &[&str]) {
    let write = |name: &str, text: String| std::fs::write(directory.join(name), text).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // An authority with the name of its certificates looks self-signed to OpenSSL.
    params.distinguished_name.push(DnType::CommonName, "authority");
    let key = KeyPair::generate().unwrap();
    write("ca.crt", params.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(params, key);
    for name in names {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        write(&format!("{name}.crt"), params.signed_by(&key, &issuer).unwrap().pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
}

#[test]
fn the_python_sdk_exports_by_tls_with_certificates_and_tokens_as_its_tenant() {
    let directory = tempfile::tempdir().unwrap();
    certificates(directory.path(), &["server", "client"]);
    let file = |name: &str| directory.path().join(name).display().to_string();
    let tls = format!(
        "{{cert_file: '{}', key_file: '{}', client_ca_file: '{}'}}",
        file("server.crt"),
        file("server.key"),
        file("ca.crt")
    );
    let config = format!(
        "receivers:\n  otlp:\n    protocols:\n      grpc: {{tls: {tls}}}\n      http: {{tls: {tls}}}\n    auth:\n      \
         tenants: [{{name: studio, token: '${{env:STUDIO_TOKEN}}'}}]\n"
    );
    let server = Server::start_with(
        directory.path(),
        free_address(),
        Some(&config),
        &[("STUDIO_TOKEN", "a-long-secret")],
    );
    let (ca, cert, key) = (file("ca.crt"), file("client.crt"), file("client.key"));
    let environment = [
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", ca.as_str()),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", cert.as_str()),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", key.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20a-long-secret"),
    ];
    let mut expected = 0;
    for (number, (protocol, address)) in [("grpc", server.grpc), ("http", server.http)].iter().enumerate() {
        let endpoint = format!("https://{address}");
        let first = 1000 * (number as u32 + 1);
        let sent = send_with("python", protocol, &endpoint, first, &environment)
            .unwrap_or_else(|said| panic!("{said}\n{}", server.log()));
        expected += sent.tasks.len();
        // Without the token nothing is taken, and the SDK does not try again.
        send_with("python", protocol, &endpoint, 9000, &environment[..3]).unwrap_err();
    }
    let jobs = server.settled(expected);
    assert_eq!(jobs.len(), expected);
    assert!(jobs.iter().all(|job| text(job, "tenant") == "studio"), "{jobs:?}");
    let refused = server.metric("spantally_otlp_requests_total", &["result=\"unauthenticated\""]);
    assert!(refused >= Decimal::from(2), "{refused}");
    assert!(!server.log().contains("a-long-secret"));
}
