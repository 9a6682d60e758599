//! A server that may have few files open, and senders that would take them all.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{PATIENCE, free_address, get, sum_of};

/// Files that the server may have open.
const FILES: usize = 200;

/// Ended with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; there is nobody to tell.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(directory: &std::path::Path, [grpc, http, admin]: [SocketAddr; 3]) -> Process {
    let limited = format!("ulimit -n {FILES} && exec \"$0\" \"$@\"");
    let child = Command::new("sh")
        .args(["-c", &limited, env!("CARGO_BIN_EXE_spantally"), "serve"])
        .args(["--set", &format!("receivers.otlp.protocols.grpc.endpoint={grpc}")])
        .args(["--set", &format!("receivers.otlp.protocols.http.endpoint={http}")])
        .args(["--set", &format!("exporters.prometheus.endpoint={admin}")])
        .args(["--set", &format!("storage.directory={}", directory.display())])
        .env_remove("SPANTALLY_CONFIG")
        .stderr(Stdio::null())
        .spawn();
    let process = Process(child.unwrap());
    let began = Instant::now();
    while get(admin, "/readyz").is_none_or(|(status, _)| status != 200) {
        assert!(began.elapsed() < PATIENCE, "it does not become ready");
        std::thread::sleep(Duration::from_millis(50));
    }
    process
}

#[test]
fn idle_connections_to_the_receivers_leave_files_for_scrapes_and_health() {
    let directory = tempfile::tempdir().unwrap();
    let [grpc, http, admin] = [free_address(), free_address(), free_address()];
    let _process = serve(directory.path(), [grpc, http, admin]);
    // More than there are files, at both ports together; most of them wait in the system's queue, until that
    // is full as well.
    let mut held = Vec::new();
    for port in [grpc, http] {
        let connect = |_| TcpStream::connect_timeout(&port, Duration::from_secs(1)).ok();
        held.extend((0..FILES + 50).map_while(connect));
    }
    assert!(held.len() > FILES, "the test is too small: {}", held.len());
    let began = Instant::now();
    let page = loop {
        let (status, _) = get(admin, "/healthz").expect("the admin port does not answer");
        assert_eq!(status, 200);
        let (status, page) = get(admin, "/metrics").expect("there is no page of metrics");
        assert_eq!(status, 200);
        if sum_of(&page, "spantally_otlp_connections_open", &[]) == 50.into() {
            break page;
        }
        assert!(began.elapsed() < PATIENCE, "{page}");
    };
    assert_eq!(sum_of(&page, "spantally_limit", &["limit=\"connections\""]), 25.into());
}
