//! `jobs` and `explain` ask a server whose port of metrics and API has TLS: the real binary on both ends.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

const BINARY: &str = env!("CARGO_BIN_EXE_spantally");

/// A server with a certificate for `127.0.0.1`, the files beside it, and what it wrote so far.
struct Server {
    child: Child,
    admin: SocketAddr,
    directory: tempfile::TempDir,
}

impl Server {
    fn start(asks_clients: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority");
        let key = KeyPair::generate().unwrap();
        std::fs::write(path("ca.crt"), params.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(params, key);
        for name in ["server", "client"] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &issuer).unwrap();
            std::fs::write(path(&format!("{name}.crt")), certificate.pem()).unwrap();
            std::fs::write(path(&format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        let mut command = Command::new(BINARY);
        command
            .arg("serve")
            .args(["--set", "receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0"])
            .args(["--set", "receivers.otlp.protocols.http.endpoint=127.0.0.1:0"])
            .args(["--set", "exporters.prometheus.endpoint=127.0.0.1:0"])
            .args(["--set", "service.telemetry.logs.encoding=json"])
            .args(["--set", &format!("exporters.prometheus.tls.cert_file={}", path("server.crt"))])
            .args(["--set", &format!("exporters.prometheus.tls.key_file={}", path("server.key"))])
            .args(["--set", &format!("storage.directory={}", path("data"))]);
        if asks_clients {
            command.args(["--set", &format!("exporters.prometheus.tls.client_ca_file={}", path("ca.crt"))]);
        }
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let admin = loop {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the server ended before it was ready");
            let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
            if entry["message"] == "metrics and API" {
                break entry["address"].as_str().unwrap().parse().unwrap();
            }
        };
        Self { child, admin, directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a command with `--server` and options whose values are names of files here.
    fn ask(&self, command: &[&str], scheme: &str, files: &[(&str, &str)]) -> Output {
        let mut asking = Command::new(BINARY);
        asking.args(command).arg("--server").arg(format!("{scheme}{}", self.admin)).env("NO_COLOR", "1");
        for (option, name) in files {
            asking.arg(option).arg(self.path(name));
        }
        asking.output().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[track_caller]
fn expect(output: &Output, code: i32, parts: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    // A long message is broken into lines with a bar before each.
    let text = said.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
    assert_eq!(output.status.code(), Some(code), "{text}");
    for part in parts {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

/// The scheme that is asked by, options, the exit code, and parts of what is said.
type Refusal<'a> = (&'a str, &'a [(&'a str, &'a str)], i32, &'a [&'a str]);

const CA: (&str, &str) = ("--ca-file", "ca.crt");
const OWN: [(&str, &str); 2] = [("--cert-file", "client.crt"), ("--key-file", "client.key")];

#[test]
fn a_server_with_tls_is_asked_for_its_jobs() {
    let server = Server::start(false);
    let output = server.ask(&["jobs"], "https://", &[CA]);
    expect(&output, 0, &[]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "no job passes");
    expect(&server.ask(&["explain", "1b362f1f"], "https://", &[CA]), 1, &["there is no job 1b362f1f"]);
}

#[test]
fn a_client_that_does_not_trust_the_server_says_what_to_do() {
    let server = Server::start(false);
    // Another server's certificate is no authority for this one's.
    let cases: [Refusal<'_>; 5] = [
        (
            "https://",
            &[("--ca-file", "client.crt")],
            1,
            &["UnknownIssuer", "signed the server's certificate by --ca-file"],
        ),
        ("https://", &[("--ca-file", "nowhere.crt")], 64, &["ca_file", "nowhere.crt"]),
        ("http://", &[], 1, &["does not answer in HTTP", "--server https://"]),
        ("http://", &[CA], 64, &["--ca-file", "asked without"]),
        ("https://", &[CA, OWN[0]], 64, &["--key-file"]),
    ];
    for (scheme, files, code, parts) in cases {
        expect(&server.ask(&["jobs"], scheme, files), code, parts);
    }
    let by_name = format!("https://localhost:{}", server.admin.port());
    let ca = server.path("ca.crt");
    let output =
        Command::new(BINARY).args(["jobs", "--server", &by_name, "--ca-file"]).arg(ca).output().unwrap();
    expect(&output, 1, &["not valid for name", "name the server by --server as its certificate does"]);
}

#[test]
fn a_server_that_asks_for_certificates_gets_one() {
    let server = Server::start(true);
    expect(&server.ask(&["jobs"], "https://", &[CA, OWN[0], OWN[1]]), 0, &[]);
    expect(&server.ask(&["jobs"], "https://", &[CA]), 1, &["give --cert-file and --key-file"]);
}

#[test]
fn a_server_without_tls_is_not_asked_by_tls() {
    let server = Server::start(false);
    let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap();
    let answering = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut stream, _) = plain.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").unwrap();
    });
    let url = format!("https://{address}");
    let ca = server.path("ca.crt");
    let output = Command::new(BINARY).args(["jobs", "--server", &url, "--ca-file"]).arg(ca).output().unwrap();
    expect(&output, 1, &["a server without TLS is asked by --server http://"]);
    answering.join().unwrap();
}

/// The ledger has no open jobs, so whoever gets it instead of the server is told.
#[test]
fn jobs_of_a_configured_server_that_is_not_trusted_come_from_its_ledger() {
    let server = Server::start(false);
    let output = Command::new(BINARY)
        .args(["jobs", "--set", &format!("exporters.prometheus.endpoint={}", server.admin)])
        .args([
            "--set",
            &format!("exporters.prometheus.tls.cert_file={}", server.path("server.crt").display()),
        ])
        .args([
            "--set",
            &format!("exporters.prometheus.tls.key_file={}", server.path("server.key").display()),
        ])
        .args(["--set", &format!("storage.directory={}", server.path("data").display())])
        .arg("--ca-file")
        .arg(server.path("client.crt"))
        .output()
        .unwrap();
    expect(&output, 0, &["by --ca-file", "open jobs are missing", "reading the ledger"]);
}
