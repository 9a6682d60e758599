//! A real `spantally serve` for end-to-end tests: started on free ports, asked over HTTP, stopped or killed.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
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

/// An address of loopback that nobody listens on. Its port is not one of those that the system gives to
/// outgoing connections: between now and when a server has it, one of another test could take it.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let place = (std::process::id().wrapping_mul(7919) + step) % 20_000;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 10_000 + place as u16));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

impl Server {
    /// Starts it on a data directory, with short delays, and waits until it is ready.
    pub fn start(directory: &Path) -> Self {
        Self::start_at(directory, free_address())
    }

    /// The same, with its metrics at a given address.
    pub fn start_at(directory: &Path, admin: SocketAddr) -> Self {
        Self::start_with(directory, admin, None, &[])
    }

    /// The same, with a configuration file's text and environment variables.
    pub fn start_with(
        directory: &Path,
        admin: SocketAddr,
        config: Option<&str>,
        environment: &[(&str, &str)],
    ) -> Self {
        Self::start_on(directory, [free_address(), free_address(), admin], config, environment)
    }

    /// The same, with all its addresses: OTLP/gRPC, OTLP/HTTP, metrics.
    pub fn start_on(
        directory: &Path,
        [grpc, http, admin]: [SocketAddr; 3],
        config: Option<&str>,
        environment: &[(&str, &str)],
    ) -> Self {
        let log = directory.join("serve.log");
        std::fs::create_dir_all(directory).unwrap();
        let output = File::options().append(true).create(true).open(&log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_spantally"));
        command.arg("serve");
        if let Some(text) = config {
            let file = directory.join("spantally.yaml");
            std::fs::write(&file, text).unwrap();
            command.arg("--config").arg(file);
        }
        let child = command
            .args(["--set", &format!("receivers.otlp.protocols.grpc.endpoint={grpc}")])
            .args(["--set", &format!("receivers.otlp.protocols.http.endpoint={http}")])
            .args(["--set", &format!("exporters.prometheus.endpoint={admin}")])
            .args(["--set", &format!("storage.directory={}", directory.join("data").display())])
            .args(["--set", "processors.spantally.settle_delay=1s"])
            .env_remove("SPANTALLY_CONFIG")
            .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
            .envs(environment.iter().copied())
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

    /// Its process, for signals.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: no chance to write anything.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub fn terminate(&mut self) -> std::process::ExitStatus {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.child.wait().unwrap()
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
    get_with(address, path, "")
}

/// The same with further header lines, each with its end of line.
pub fn get_with(address: SocketAddr, path: &str, headers: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n{headers}\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// A plain HTTP POST of JSON; the status of the answer.
pub fn post_json(address: SocketAddr, path: &str, body: &Value) -> u16 {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap();
    let body = body.to_string();
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
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
    let endpoint = match protocol {
        "grpc" => server.grpc.to_string(),
        _ => format!("http://{}", server.http),
    };
    send_with("python", protocol, &endpoint, first, &[])
        .unwrap_or_else(|said| panic!("{said}\n{}", server.log()))
}

/// Sends the same jobs with the official SDK of a language, and tells what its script said.
///
/// # Errors
/// Not everything was accepted: what the SDK wrote.
pub fn send_with(
    language: &str,
    protocol: &str,
    endpoint: &str,
    first: u32,
    environment: &[(&str, &str)],
) -> Result<Sent, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (program, script, needed) = match language {
        "python" => ("target/python/bin/python", "tests/python/send_jobs.py", "target/python/bin/python"),
        _ => ("node", "tests/node/send_jobs.cjs", "target/node/node_modules"),
    };
    assert!(root.join(needed).exists(), "{needed} is missing: scripts/test makes it");
    let program = if program.contains('/') { root.join(program) } else { program.into() };
    let output = Command::new(program)
        .arg(root.join(script))
        .args([protocol, endpoint, &first.to_string()])
        .env("NODE_PATH", root.join("target/node/node_modules"))
        // Python's HTTP client prefers these to what the SDK tells it.
        .env_remove("REQUESTS_CA_BUNDLE")
        .env_remove("CURL_CA_BUNDLE")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(format!("{script} {protocol}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(serde_json::from_slice(&output.stdout).unwrap())
}

/// A program of `tests/python`, with the packages that `scripts/test` installs.
pub fn python(script: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = root.join("target/python/bin/python");
    assert!(python.exists(), "target/python is missing: scripts/test makes it");
    let mut command = Command::new(python);
    command.arg(root.join("tests/python").join(script));
    command
}

/// A text of a job document.
#[track_caller]
pub fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} is no text: {value}"))
}

/// Every task that was sent is one settled job with its submits and polls, delivered and priced.
#[track_caller]
pub fn assert_found(server: &Server, sent: &Sent, jobs: &[Value]) {
    let (mut submits, mut polls) = (0, 0);
    for task in &sent.tasks {
        let of_task: Vec<&Value> =
            jobs.iter().filter(|job| job.to_string().contains(task.as_str())).collect();
        let [job] = of_task[..] else { panic!("task {task} is in {} jobs\n{}", of_task.len(), server.log()) };
        assert_eq!(text(job, "outcome"), "succeeded", "{job}");
        assert_eq!((text(job, "provider"), text(job, "model")), ("fal", "fal-ai/flux/dev"), "{job}");
        assert_eq!(text(job, "service"), "clips", "{job}");
        let cost: Decimal = text(&job["cost"]["USD"], "expected").parse().unwrap();
        assert!(cost > Decimal::ZERO, "{job}");
        for attempt in job["attempts"].as_array().unwrap() {
            submits += attempt["spans"]["submit"].as_array().unwrap().len();
            polls += attempt["spans"]["poll"].as_array().unwrap().len();
        }
    }
    assert_eq!((submits, polls), (sent.attempts, sent.polls));
}

/// Every span that was sent is counted once.
#[track_caller]
pub fn assert_counted(server: &Server, transport: &str, sent: &Sent) {
    let transport = format!("transport=\"{transport}\"");
    let of = |name: &str| server.metric(&format!("spantally_spans_{name}_total"), &[&transport]);
    assert_eq!(of("received"), Decimal::from(sent.spans));
    let accounted: Decimal =
        ["accepted", "duplicate", "late", "surplus", "ignored", "rejected"].into_iter().map(of).sum();
    assert_eq!(accounted, of("received"), "every span is accounted for");
}

/// The cost counter is the sum of the jobs' charges.
#[track_caller]
pub fn assert_ledger_equals_metrics(server: &Server, jobs: &[Value]) {
    let charges = jobs.iter().flat_map(|job| job["charges"].as_array().unwrap());
    let charged: Decimal = charges.map(|charge| text(charge, "cost").parse::<Decimal>().unwrap()).sum();
    let counted = server.metric("spantally_cost_total", &["currency=\"USD\""])
        - server.metric("spantally_cost_reversed_total", &["currency=\"USD\""]);
    assert_eq!(counted, charged, "the counter is the sum of the charges, to the last unit");
    assert!(counted > Decimal::ZERO);
}
