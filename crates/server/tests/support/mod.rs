//! A real `spantally serve` for end-to-end tests: started on free ports, asked over HTTP, stopped or killed.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rust_decimal::Decimal;
use serde_json::Value;

/// The longest that a test waits for anything.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A running server. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// OTLP/gRPC.
    pub grpc: SocketAddr,
    /// OTLP/HTTP.
    pub http: SocketAddr,
    /// Metrics and API.
    pub admin: SocketAddr,
    log: PathBuf,
}

/// An address of loopback that nobody listens on.
pub fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

impl Server {
    /// Starts it on a data directory, with short delays, and waits until it is ready.
    pub fn start(directory: &Path) -> Self {
        Self::start_at(directory, free_address())
    }

    /// The same, with its metrics at a given address.
    pub fn start_at(directory: &Path, admin: SocketAddr) -> Self {
        Self::launch(directory, admin, None, &[])
    }

    /// The same with further settings, `key=value`.
    pub fn start_with(directory: &Path, settings: &[&str]) -> Self {
        Self::launch(directory, free_address(), None, settings)
    }

    /// The same, with its metrics at a given address and a configuration file.
    pub fn start_configured(directory: &Path, admin: SocketAddr, config: &Path) -> Self {
        Self::launch(directory, admin, Some(config), &[])
    }

    fn launch(directory: &Path, admin: SocketAddr, config: Option<&Path>, settings: &[&str]) -> Self {
        let (grpc, http) = (free_address(), free_address());
        let log = directory.join("serve.log");
        std::fs::create_dir_all(directory).unwrap();
        let output = File::options().append(true).create(true).open(&log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_spantally"))
            .arg("serve")
            .args(["--set", &format!("receivers.otlp.protocols.grpc.endpoint={grpc}")])
            .args(["--set", &format!("receivers.otlp.protocols.http.endpoint={http}")])
            .args(["--set", &format!("exporters.prometheus.endpoint={admin}")])
            .args(["--set", &format!("storage.directory={}", directory.join("data").display())])
            .args(["--set", "processors.spantally.settle_delay=1s"])
            .args(settings.iter().flat_map(|setting| ["--set", setting]))
            .args(config.iter().flat_map(|path| ["--config".to_owned(), path.display().to_string()]))
            .env_remove("SPANTALLY_CONFIG")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut server = Self { child, grpc, http, admin, log };
        server.wait_until_ready();
        server
    }

    fn wait_until_ready(&mut self) {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the server ended with {status}\n{}", self.log());
            }
            if get(self.admin, "/readyz").is_some_and(|(status, _)| status == 200) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "the server is not ready\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What it has written.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGKILL: no chance to write anything.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Body of a page.
    #[track_caller]
    pub fn page(&self, path: &str) -> String {
        match get(self.admin, path) {
            Some((200, body)) => body,
            other => panic!("GET {path}: {other:?}\n{}", self.log()),
        }
    }

    /// Sum of the samples of `/metrics` with this name whose labels contain all of `labels` (`name="value"`).
    #[track_caller]
    pub fn metric(&self, name: &str, labels: &[&str]) -> Decimal {
        sum_of(&self.page("/metrics"), name, labels)
    }

    /// Every job that the API lists, over all pages.
    pub fn jobs(&self, query: &str) -> Vec<Value> {
        let mut jobs = Vec::new();
        let mut cursor = String::new();
        loop {
            let page: Value =
                serde_json::from_str(&self.page(&format!("/api/v1/jobs?limit=1000{query}{cursor}"))).unwrap();
            jobs.extend(page["jobs"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return jobs,
            }
        }
    }

    /// Waits until `count` jobs have settled, and returns them.
    #[track_caller]
    pub fn settled(&self, count: usize) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let jobs = self.jobs("&state=settled");
            if jobs.len() >= count {
                return jobs;
            }
            let found = jobs.len();
            assert!(began.elapsed() < PATIENCE, "{found} of {count} jobs settled\n{}", self.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been killed already; there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sum of the samples of a text page with this name whose labels contain all of `labels`.
pub fn sum_of(page: &str, name: &str, labels: &[&str]) -> Decimal {
    let samples = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (set, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once("} ")?,
            None => ("", rest.strip_prefix(' ')?),
        };
        labels.iter().all(|label| set.contains(label)).then(|| value.parse::<Decimal>().unwrap())
    });
    samples.sum()
}

/// A plain HTTP GET; none when there is no answer.
pub fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// What `tests/python/send_jobs.py` says it sent.
#[derive(Debug, serde::Deserialize)]
pub struct Sent {
    /// Ids of the tasks, one a job.
    pub tasks: Vec<String>,
    /// Spans, all in all.
    pub spans: u64,
    /// Submits.
    pub attempts: usize,
    /// Status requests.
    pub polls: usize,
}

/// Sends a few jobs with the official Python SDK; `first` tells one sending from another.
#[track_caller]
pub fn send_with_python(server: &Server, protocol: &str, first: u32) -> Sent {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = root.join("target/python/bin/python");
    assert!(
        python.exists(),
        "target/python is missing: scripts/test makes it (python3 -m venv target/python, then pip install -r \
         tests/python/requirements.txt)"
    );
    let endpoint = match protocol {
        "grpc" => server.grpc.to_string(),
        _ => format!("http://{}", server.http),
    };
    let output = Command::new(python)
        .arg(root.join("tests/python/send_jobs.py"))
        .args([protocol, &endpoint, &first.to_string()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "send_jobs.py {protocol}: {said}\n{}", server.log());
    serde_json::from_slice(&output.stdout).unwrap()
}
