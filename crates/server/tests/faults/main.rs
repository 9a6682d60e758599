//! Faults of disks and directories in a real server: refused, said, counted, and over when the fault is.
//!
//! What a disk does is done by a small library that is loaded before the C library (`shim.c`, built here):
//! writes, opens and syncs of the data directory's files fail as the kernel would have them fail, for as long
//! as a file says so.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod ledger;
mod start;
#[path = "../support/mod.rs"]
mod support;
#[path = "../kill/traffic.rs"]
#[allow(dead_code, reason = "it is the kill test's")]
mod traffic;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use rust_decimal::Decimal;
use spantally_tests::oracle::Random;
use tonic::codegen::http::uri::PathAndQuery;

use self::support::{Server, free_address, get, sum_of};
use self::traffic::{Job, request};

/// Builds the library with the faults; it, and the file that says which there are.
fn shim(directory: &Path) -> (PathBuf, PathBuf) {
    let (library, words) = (directory.join("shim.so"), directory.join("words"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/shim.c");
    let mut compiler = Command::new("cc");
    let built = compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl").status();
    assert!(built.expect("cc is missing: scripts/test installs it").success(), "the shim cannot be built");
    (library, words)
}

/// A server whose disk fails on demand.
struct Faulty {
    server: Server,
    words: PathBuf,
    random: Random,
    /// Jobs that were acknowledged.
    sent: u64,
    directory: tempfile::TempDir,
}

impl Faulty {
    fn start(config: Option<&str>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (library, words) = shim(directory.path());
        let environment =
            [("LD_PRELOAD", library.to_str().unwrap()), ("FAULT_FILE", words.to_str().unwrap())];
        let server = Server::start_with(directory.path(), free_address(), config, &environment);
        let mut faulty = Self { server, words, random: Random::new(7), sent: 0, directory };
        assert!(faulty.send_http().is_ok());
        faulty
    }

    /// From now on: a kind of fault, and the part of a path that it concerns.
    fn fail(&self, fault: &str) {
        fs::write(&self.words, fault).unwrap();
    }

    fn heal(&self) {
        fs::remove_file(&self.words).unwrap();
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn jobs(&mut self) -> ExportTraceServiceRequest {
        request(0, self.spans())
    }

    fn spans(&mut self) -> Vec<Span> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let job = std::iter::repeat_with(|| Job::draw(&mut self.random, now, Duration::ZERO))
            .find(|job| job.kind == traffic::Kind::Delivered);
        job.unwrap().parts.into_iter().flat_map(|(_, part)| part).collect()
    }

    /// Sends a job; the whole answer when it was refused.
    fn send_http(&mut self) -> Result<(), String> {
        let request = self.jobs();
        let answer = post(self.server.http, &request.encode_to_vec());
        let taken = answer.starts_with("HTTP/1.1 200");
        self.sent += u64::from(taken);
        if taken { Ok(()) } else { Err(answer) }
    }

    /// Many jobs in one request; whether it was taken.
    fn send_many(&mut self, count: u64) -> bool {
        let spans: Vec<_> = (0..count).flat_map(|_| self.spans()).collect();
        let taken = post(self.server.http, &request(0, spans).encode_to_vec()).starts_with("HTTP/1.1 200");
        self.sent += if taken { count } else { 0 };
        taken
    }

    fn send_grpc(&mut self) -> Result<(), tonic::Status> {
        let request = self.jobs();
        let answer = export(self.server.grpc, request);
        self.sent += u64::from(answer.is_ok());
        answer
    }

    fn metric(&self, name: &str, labels: &[&str]) -> Decimal {
        sum_of(&get(self.server.admin, "/metrics").unwrap().1, name, labels)
    }

    fn faults(&self, file: &str, fault: &str) -> Decimal {
        let labels = [format!("file=\"{file}\""), format!("fault=\"{fault}\"")];
        self.metric("spantally_storage_faults_total", &labels.each_ref().map(String::as_str))
    }

    /// Requests are refused such that their senders come again, and nothing else is said than what is so.
    #[track_caller]
    fn assert_refused(&mut self, fault: &str, advice: &str) {
        let answer = self.send_http().unwrap_err();
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.to_lowercase().contains("\r\nretry-after: 1\r\n"), "{answer}");
        assert!(answer.contains("nothing was taken, send the batch again"), "{answer}");
        let status = self.send_grpc().unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
        assert!(!status.details().is_empty(), "no RetryInfo: {status}");
        assert!(self.faults("journal", fault) > Decimal::ZERO, "{fault} is not counted");
        assert_eq!(self.metric("spantally_journal_failing", &[]), Decimal::ONE);
        assert_eq!(get(self.server.admin, "/readyz").unwrap().0, 503);
        let log = self.server.log();
        assert!(log.contains(advice), "the log does not say {advice:?}:\n{log}");
    }

    /// It is well again by itself, before anybody sends; what was acknowledged is there, once.
    #[track_caller]
    fn assert_recovered(&mut self) {
        wait_until("it is ready", || {
            get(self.server.admin, "/readyz").is_some_and(|(status, _)| status == 200)
        });
        assert_eq!(self.metric("spantally_journal_failing", &[]), Decimal::ZERO);
        self.send_http().unwrap();
        self.send_grpc().unwrap();
        self.assert_settled();
    }

    #[track_caller]
    fn assert_settled(&self) {
        let sent = Decimal::from(self.sent);
        wait_until("everything has settled", || self.metric("spantally_jobs_total", &[]) == sent);
        assert_eq!(self.metric("spantally_cost_total", &["delivered"]), sent * Decimal::new(25, 3));
    }
}

/// Half a minute in steps of a tenth of a second.
#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..300 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("it does not come to this: {what}");
}

/// The whole answer.
fn post(address: SocketAddr, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-protobuf\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn export(address: SocketAddr, request: ExportTraceServiceRequest) -> Result<(), tonic::Status> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
        let mut client = tonic::client::Grpc::new(channel.connect().await.unwrap());
        client.ready().await.unwrap();
        let path = PathAndQuery::from_static("/opentelemetry.proto.collector.trace.v1.TraceService/Export");
        let codec =
            tonic_prost::ProstCodec::<ExportTraceServiceRequest, ExportTraceServiceResponse>::default();
        client.unary(tonic::Request::new(request), path, codec).await.map(drop)
    })
}

#[test]
fn a_full_disk() {
    let mut faulty = Faulty::start(None);
    faulty.fail("full journal.db");
    faulty.assert_refused("full", "no space left");
    faulty.heal();
    faulty.assert_recovered();
}

/// The ledger is stuck, so that no room can be given back; the disk has room, the journal may not have more.
#[test]
fn a_journal_at_its_limit() {
    let mut faulty = Faulty::start(Some("storage: {journal: {max_size: 1048576}}"));
    faulty.fail("full ledger.db");
    wait_until("the ledger fails", || faulty.metric("spantally_ledger_failing", &[]) == Decimal::ONE);
    let limit = |faulty: &Faulty, metric: &str| faulty.metric(metric, &["limit=\"journal_bytes\""]);
    assert_eq!(limit(&faulty, "spantally_limit_reached_total"), Decimal::ZERO);
    while faulty.send_many(100) {
        assert!(faulty.sent < 100_000, "it takes more than it may");
    }
    while faulty.send_many(1) {}
    faulty.assert_refused("full", "raise `storage.journal.max_size`");
    assert!(limit(&faulty, "spantally_limit_reached_total") > Decimal::ZERO);
    assert!(limit(&faulty, "spantally_limit_used") >= Decimal::from(1 << 20));
    faulty.heal();
    let max = Decimal::from(1 << 20);
    wait_until("there is room", || limit(&faulty, "spantally_limit_used") < max);
    faulty.assert_recovered();
}

#[test]
fn a_failed_sync() {
    let mut faulty = Faulty::start(None);
    faulty.fail("sync journal.db");
    faulty.assert_refused("sync", "check the disk and the messages of its file system");
    faulty.heal();
    faulty.assert_recovered();
}

/// Relaxed, a batch is acknowledged before its sync; when that fails nothing more is until it is written
/// again, though the next sync of the log would succeed.
#[test]
fn a_failed_sync_of_a_relaxed_journal() {
    let mut faulty = Faulty::start(Some("storage: {durability: relaxed, sync_interval: 50ms}"));
    faulty.fail("sync journal.db");
    faulty.send_http().unwrap();
    wait_until("the sync has failed", || faulty.faults("journal", "sync") > Decimal::ZERO);
    faulty.assert_refused("sync", "cannot be synced");
    faulty.heal();
    faulty.assert_recovered();
}

#[test]
fn a_file_system_that_turns_read_only() {
    let mut faulty = Faulty::start(None);
    faulty.fail("read_only data/");
    faulty.assert_refused("read_only", "give the user that runs Spantally write access");
    faulty.heal();
    faulty.assert_recovered();
}

#[test]
fn a_disk_that_does_not_write() {
    let mut faulty = Faulty::start(None);
    faulty.fail("io journal.db");
    faulty.assert_refused("io", "check the disk and the messages of its file system");
    faulty.heal();
    faulty.assert_recovered();
}

#[test]
fn a_directory_that_vanishes_and_comes_back() {
    let mut faulty = Faulty::start(None);
    let moved = faulty.directory.path().join("moved");
    fs::rename(faulty.data(), &moved).unwrap();
    faulty.assert_refused("gone", "put the data directory back");
    assert!(!faulty.data().exists(), "nothing is made in its place");
    fs::rename(&moved, faulty.data()).unwrap();
    faulty.assert_recovered();
}

/// Spans are taken for as long as the journal can be written; the page stands still, and goes on when the
/// ledger does.
#[test]
fn a_ledger_that_cannot_be_written() {
    let mut faulty = Faulty::start(None);
    for (fault, word) in [("full", "no space left"), ("sync", "check the disk"), ("io", "check the disk")] {
        faulty.fail(&format!("{fault} ledger.db"));
        wait_until("the ledger fails", || faulty.metric("spantally_ledger_failing", &[]) == Decimal::ONE);
        faulty.send_http().unwrap();
        faulty.send_grpc().unwrap();
        assert!(faulty.faults("ledger", fault) > Decimal::ZERO);
        assert!(faulty.server.log().contains(word), "{}", faulty.server.log());
        assert_eq!(get(faulty.server.admin, "/readyz").unwrap().0, 200);
        faulty.heal();
        wait_until("the ledger is well", || faulty.metric("spantally_ledger_failing", &[]).is_zero());
        faulty.assert_settled();
    }
}
