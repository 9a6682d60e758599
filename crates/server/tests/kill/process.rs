//! The server's process: always on the same ports and the same directory.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use spantally_stitch::UnixNanos;
use spantally_tests::oracle::Random;

use crate::support::{free_address, get};

/// The built-in rules of the provider whose jobs are sent.
const FAL: &str = include_str!("../../../../config/providers/fal.yaml");
/// Rules of a provider that nobody uses.
const ACME: &str = "provider: acme
title: Acme
hosts: [api.acme.example]
calls:
  - {name: create, role: submit, method: POST, paths: [/v1/tasks], model: m, operation: text_to_video}
rates:
  currency: USD
  sources:
    pricing: {url: 'https://acme.example/pricing', as_of: 2026-11-20}
  tariffs:
    - models: ['*', '']
      meters:
        - name: task
          unit: task
          quantity: [{constant: 1}]
          prices: [{price: PRICE, effective_from: 2020-01-01, source: pricing}]
  policy:
    - name: all
      when: {outcome: [succeeded, partial, failed, rejected, canceled]}
      charge: full
      source: pricing
";
/// What the log says then.
const RELOADED: &str = "the provider files are read again";

/// What differs between runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Profile {
    pub(crate) name: &'static str,
    /// How long a settled job may get more evidence.
    pub(crate) retention: Duration,
    /// Most spans in memory and in the journal; with it comes room for the jobs that stay open.
    max_spans: u64,
    /// Evidence comes this long after its job has ended, when it revises the job or is late itself.
    pub(crate) late_after: Duration,
}

impl Profile {
    pub(crate) const RETAINED: Self = Self {
        name: "retained",
        retention: Duration::from_hours(6),
        max_spans: 4_000_000,
        late_after: Duration::from_millis(2500),
    };
    pub(crate) const FORGETFUL: Self = Self {
        name: "forgetful",
        retention: Duration::from_secs(6),
        max_spans: 2_500,
        late_after: Duration::from_secs(18),
    };
}

pub(crate) struct Process {
    child: Option<Child>,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) profile: Profile,
    /// How often it was started.
    pub(crate) lives: Arc<AtomicU64>,
    /// When it was started, ready and ended.
    pub(crate) events: Vec<(UnixNanos, String)>,
    directory: PathBuf,
    idle_timeout: &'static str,
    started: Instant,
    /// How long the last start that came so far took until it was ready.
    pub(crate) start_took: Duration,
}

impl Process {
    pub(crate) fn new(directory: &Path, mut profile: Profile, kills: usize) -> Self {
        profile.max_spans += 100 * kills as u64;
        std::fs::create_dir_all(directory.join("providers")).unwrap();
        Self {
            child: None,
            grpc: free_address(),
            http: free_address(),
            admin: free_address(),
            profile,
            lives: Arc::default(),
            events: Vec::new(),
            directory: directory.to_owned(),
            idle_timeout: "6h",
            started: Instant::now(),
            start_took: Duration::from_millis(300),
        }
    }

    /// From the next start on, jobs that nothing came for are settled.
    pub(crate) fn settle_idle(&mut self) {
        self.idle_timeout = "1s";
    }

    pub(crate) fn start(&mut self) {
        let output = File::options().append(true).create(true).open(self.log_file()).unwrap();
        let Self { grpc, http, admin, idle_timeout, .. } = self;
        let Profile { retention, max_spans, .. } = self.profile;
        let data = self.directory.join("data");
        let set = [
            format!("receivers.otlp.protocols.grpc.endpoint={grpc}"),
            format!("receivers.otlp.protocols.http.endpoint={http}"),
            format!("exporters.prometheus.endpoint={admin}"),
            format!("storage.directory={}", data.display()),
            "processors.spantally.settle_delay=1s".to_owned(),
            "processors.spantally.rematch=1s".to_owned(),
            format!("processors.spantally.idle_timeout={idle_timeout}"),
            format!("processors.spantally.retention={}s", retention.as_secs()),
            format!("processors.spantally.limits.max_spans={max_spans}"),
            format!("providers.directory={}", self.directory.join("providers").display()),
            "providers.reload_interval=300ms".to_owned(),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_spantally"));
        command.arg("serve");
        for pair in set {
            command.args(["--set", &pair]);
        }
        let child = command
            .env_remove("SPANTALLY_CONFIG")
            .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn();
        self.child = Some(child.unwrap());
        self.started = Instant::now();
        let life = self.lives.fetch_add(1, Ordering::Relaxed) + 1;
        self.note(format!("start {life}"));
    }

    fn note(&mut self, what: String) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        self.events.push((UnixNanos(now.as_nanos() as u64), what));
    }

    fn log_file(&self) -> PathBuf {
        self.directory.join("serve.log")
    }

    /// The last lines that it has written.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read_to_string(self.log_file()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.directory.join("data/ledger.db")
    }

    pub(crate) fn wait_until_ready(&mut self) {
        for _ in 0..20_000 {
            let child = self.child.as_mut().unwrap();
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the server ended with {status}\n{}", self.log());
            }
            if get(self.admin, "/readyz").is_some_and(|(status, _)| status == 200) {
                self.start_took = self.started.elapsed();
                self.note("ready".to_owned());
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the server is not ready\n{}", self.log());
    }

    /// Until the ledger's file is written to. A turn is every two seconds.
    pub(crate) fn wait_for_checkpoint(&self) {
        let log = self.directory.join("data/ledger.db-wal");
        let stamp = || std::fs::metadata(&log).map(|found| (found.len(), found.modified().ok())).ok();
        let (before, began) = (stamp(), Instant::now());
        while stamp() == before && began.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Other provider files, of which those of the jobs that are sent say the same: fal's with a new remark,
    /// and one of a provider that comes and goes and changes its prices. Each is there whole or not at all.
    pub(crate) fn change_rules(&self, random: &mut Random) {
        let providers = self.directory.join("providers");
        let write = |name: &str, text: String| {
            let next = providers.join(format!("{name}.next"));
            std::fs::write(&next, text).unwrap();
            std::fs::rename(next, providers.join(name)).unwrap();
        };
        write("fal.yaml", format!("{FAL}\n# {}\n", random.draw()));
        if random.below(4) == 0 {
            // It may not be there.
            let _ = std::fs::remove_file(providers.join("acme.yaml"));
        } else {
            write("acme.yaml", ACME.replace("PRICE", &format!("0.{}", 1 + random.below(99))));
        }
    }

    /// How often provider files were read again, and found good.
    pub(crate) fn reloads(&self) -> usize {
        let log = std::fs::read_to_string(self.log_file()).unwrap_or_default();
        log.lines().filter(|line| line.contains(RELOADED)).count()
    }

    /// SIGHUP, which has the provider files read again.
    pub(crate) fn hang_up(&self) {
        self.signal("HUP");
    }

    /// SIGTERM, and nothing else.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        let status = child.wait().unwrap();
        self.note("killed".to_owned());
        assert!(
            status.code().is_none_or(|code| code == 0),
            "the server had ended by itself: {status}\n{}",
            self.log()
        );
    }

    /// Stops it in order.
    pub(crate) fn stop(&mut self) {
        self.terminate();
        let status = self.child.take().unwrap().wait().unwrap();
        assert!(status.success(), "{status}\n{}", self.log());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already; there is nobody to tell.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
