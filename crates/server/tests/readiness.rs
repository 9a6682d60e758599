//! While a server takes its state back it says so, and takes nothing; then it has everything.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use rust_decimal::Decimal;
use spantally_server::batch::{Batch, Tally};
use spantally_server::clock;
use spantally_server::record::encode;
use spantally_stitch::{
    Accepted, Answer, Call, Client, Endpoint, Evidence, Rare, Role, SpanId, SpanKey, TaskId, TraceId,
    UnixNanos, What,
};
use spantally_store::{DataDir, Journal, JournalOptions, Ledger, Seq, SqliteJournal};
use support::{PATIENCE, free_address, get, sum_of};

const GROUPS: u64 = 100;
const SPANS_A_GROUP: u64 = 1000;

fn poll(number: u64, at: UnixNanos, client: &Arc<Client>, endpoint: &Arc<Endpoint>) -> Evidence {
    let id = u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes();
    Evidence {
        span: SpanKey { trace: TraceId(id), span: SpanId((number + 1).to_be_bytes()) },
        parent: SpanId::default(),
        start: at,
        end: at.plus_ms(20),
        client: Arc::clone(client),
        what: What::Call(Call {
            role: Role::Poll,
            endpoint: Arc::clone(endpoint),
            task: Some(TaskId::from_uuid(id)),
            answer: Answer::Status(200),
            accepted: Accepted::Yes,
            verdict: None,
            request: number,
            agent: 7,
            rare: Rare::default(),
        }),
    }
}

/// A journal of a process that was killed before its first checkpoint.
fn journal(directory: &std::path::Path) {
    let client = Arc::new(Client { service: "clips".into(), ..Client::default() });
    let endpoint =
        Arc::new(Endpoint { provider: "fal".into(), rule: "queue_status".into(), ..Endpoint::default() });
    let data = DataDir::open(directory).unwrap();
    // A process makes both files before it takes anything.
    let _ledger = Ledger::open(&data).unwrap();
    let mut journal = SqliteJournal::open(&data, (Seq(0), Seq(0)), JournalOptions::default()).unwrap();
    let (at, mut bytes) = (clock::now(), Vec::new());
    for group in 0..GROUPS {
        let numbers = group * SPANS_A_GROUP..(group + 1) * SPANS_A_GROUP;
        let evidence: Vec<_> = numbers.map(|number| poll(number, at, &client, &endpoint)).collect();
        let tally = Tally { received: SPANS_A_GROUP, ..Tally::default() };
        bytes.clear();
        encode(&[Batch { evidence, tally, ..Batch::default() }], &mut bytes);
        journal.append(&bytes).unwrap();
    }
}

#[test]
fn a_server_is_not_ready_before_it_has_everything_back() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    journal(&data);
    let (otlp, admin) = (free_address(), free_address());
    let mut child = Command::new(env!("CARGO_BIN_EXE_spantally"))
        .arg("serve")
        .args(["--set", &format!("receivers.otlp.protocols.grpc.endpoint={}", free_address())])
        .args(["--set", &format!("receivers.otlp.protocols.http.endpoint={otlp}")])
        .args(["--set", &format!("exporters.prometheus.endpoint={admin}")])
        .args(["--set", &format!("storage.directory={}", data.display())])
        .env_remove("SPANTALLY_CONFIG")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (began, mut waited) = (Instant::now(), 0);
    let page = loop {
        assert!(began.elapsed() < PATIENCE, "it does not become ready");
        match get(admin, "/readyz") {
            Some((200, _)) => break get(admin, "/metrics").unwrap(),
            Some((503, said)) => {
                assert_eq!(said, "starting\n");
                waited += 1;
                // Alive, and honest about what it does not know yet. It may become ready in between.
                assert_eq!(get(admin, "/healthz").unwrap().0, 200);
                let (status, _) = get(admin, "/metrics").unwrap();
                let is_ready = get(admin, "/readyz").unwrap().0 == 200;
                assert!(status == 503 || is_ready, "numbers before they are there: {status}");
            }
            Some(other) => panic!("{other:?}"),
            None => {}
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(waited > 0, "it was ready at once: the test is too small");
    assert_eq!(page.0, 200);
    let spans = Decimal::from(GROUPS * SPANS_A_GROUP);
    assert_eq!(sum_of(&page.1, "spantally_spans_received_total", &[]), spans);
    assert_eq!(sum_of(&page.1, "spantally_open_jobs", &[]), spans);
}

/// A supervisor may send a signal as soon as the process is there. This one still reads its configuration,
/// from a pipe into which nothing was written yet.
#[test]
fn a_signal_that_comes_while_the_configuration_is_read_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("spantally.yaml");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut child = Command::new(env!("CARGO_BIN_EXE_spantally"))
        .arg("serve")
        .arg("--config")
        .arg(&pipe)
        .args(["--set", &format!("receivers.otlp.protocols.grpc.endpoint={}", free_address())])
        .args(["--set", &format!("receivers.otlp.protocols.http.endpoint={}", free_address())])
        .args(["--set", &format!("exporters.prometheus.endpoint={}", free_address())])
        .args(["--set", &format!("storage.directory={}", directory.path().join("data").display())])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Opens once the other side does.
    let mut writer = std::fs::File::options().write(true).open(&pipe).unwrap();
    for signal in ["-HUP", "-TERM"] {
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    }
    // The process may be gone, which its end tells.
    let _ = writer.write_all(b"service: {telemetry: {logs: {level: info}}}\n");
    drop(writer);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
