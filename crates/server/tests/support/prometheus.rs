//! A real Prometheus for end-to-end tests, and an Alertmanager: Debian's packages, on free ports.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use spantally_tests::fixtures::repository;

use crate::support::{PATIENCE, free_address, get};

/// A program that is killed when dropped.
#[derive(Debug)]
pub struct Daemon(Child);

impl Daemon {
    /// Starts a program of a Debian package in silence.
    pub fn start(program: &str, arguments: &[String]) -> Self {
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(
            child.unwrap_or_else(|error| {
                panic!("{program} cannot be started ({error}); it is a Debian package")
            }),
        )
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already; there is nobody to tell.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How a Prometheus is set up.
#[derive(Debug, Default)]
pub struct Setup<'a> {
    /// Features that are off by default.
    pub features: &'a str,
    /// Rule files; none for no rules.
    pub rules: Option<PathBuf>,
    /// Where alerts go.
    pub alertmanager: Option<SocketAddr>,
    /// The label `instance`, when it is not the target's address.
    pub instance: Option<&'a str>,
    /// Further arguments.
    pub arguments: &'a [&'a str],
}

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    _daemon: Daemon,
    /// Its API.
    pub address: SocketAddr,
}

/// The rules that we ship.
pub fn shipped_rules() -> PathBuf {
    repository().canonicalize().unwrap().join("grafana/prometheus/rules/*.yaml")
}

impl Prometheus {
    /// Scrapes `target` each second; keeps its files below `directory`.
    pub fn start(directory: &Path, target: SocketAddr, setup: &Setup<'_>) -> Self {
        let address = free_address();
        let labels =
            setup.instance.map(|name| format!(", labels: {{instance: '{name}'}}")).unwrap_or_default();
        let mut config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             scrape_configs:\n\
             - {{job_name: spantally, static_configs: [{{targets: ['{target}']{labels}}}]}}\n",
        );
        if let Some(rules) = &setup.rules {
            let _ = writeln!(config, "rule_files: ['{}']", rules.display());
        }
        if let Some(alertmanager) = setup.alertmanager {
            let _ = writeln!(
                config,
                "alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}"
            );
        }
        std::fs::create_dir_all(directory).unwrap();
        let file = directory.join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        let mut arguments = vec![
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", directory.join("tsdb").display()),
            format!("--web.listen-address={address}"),
            "--log.level=error".to_owned(),
        ];
        arguments.extend(setup.arguments.iter().map(|&argument| argument.to_owned()));
        if !setup.features.is_empty() {
            arguments.push(format!("--enable-feature={}", setup.features));
        }
        let prometheus = Self { _daemon: Daemon::start("prometheus", &arguments), address };
        wait_until_ready("Prometheus", address);
        prometheus
    }

    /// What the API says.
    #[track_caller]
    pub fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let mut query = String::new();
        for (name, value) in parameters {
            let _ = write!(query, "&{name}=");
            for byte in value.bytes() {
                let _ = write!(query, "%{byte:02x}");
            }
        }
        let (status, body) = get(self.address, &format!("{path}?{}", query.trim_start_matches('&'))).unwrap();
        assert_eq!(status, 200, "{parameters:?}: {body}");
        serde_json::from_str::<Value>(&body).unwrap()["data"].take()
    }

    /// Every series of an instant query.
    #[track_caller]
    pub fn series(&self, query: &str) -> Vec<Value> {
        self.ask("/api/v1/query", &[("query", query)])["result"].as_array().unwrap().clone()
    }

    /// The only value of an instant query.
    #[track_caller]
    pub fn number(&self, query: &str) -> f64 {
        let series = self.series(query);
        assert_eq!(series.len(), 1, "{query}: {series:?}");
        value_of(&series[0])
    }
}

/// The value of a series of an instant query.
pub fn value_of(series: &Value) -> f64 {
    series["value"][1].as_str().unwrap().parse().unwrap()
}

/// Waits until a program of the Prometheus family says that it is ready.
pub fn wait_until_ready(name: &str, address: SocketAddr) {
    let began = Instant::now();
    while get(address, "/-/ready").is_none_or(|(status, _)| status != 200) {
        assert!(began.elapsed() < PATIENCE, "{name} is not ready");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Plays the demo to its end, with its metrics at an address, and returns what it printed.
pub fn demo(directory: &Path, admin: SocketAddr, seconds: u32, config: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_spantally"))
        .args(["demo", "--seconds", &seconds.to_string(), "--rate", "12", "--any-port"])
        .args(["--data-dir", &directory.join("data").display().to_string()])
        .args(["--config", &config.display().to_string()])
        .args(["--set", &format!("exporters.prometheus.endpoint={admin}")])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "spantally demo: {}\n{said}", output.status);
    said
}
