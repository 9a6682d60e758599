//! Server processes: started on free ports of loopback, measured by `/proc`, ended by their own handle.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::certificate::Certificate;

/// Clock ticks a second in `/proc/PID/stat`: fixed at 100 in the interface of Linux, whatever the kernel runs
/// at.
const TICKS_PER_SECOND: f64 = 100.0;
/// A server that takes no connection within this has failed to start.
const START_LIMIT: Duration = Duration::from_secs(20);
/// A server is quiet when it used no more than this share of a core ...
const QUIET_SHARE: f64 = 0.03;
/// ... for this long.
const QUIET_FOR: Duration = Duration::from_secs(1);
/// A decided job waits this long for late spans before it is booked. Short, so that booking is in the
/// measurement.
const SETTLE_DELAY: Duration = Duration::from_secs(2);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// tonic, request thrown away.
    Discard,
    /// tonic, request decoded by prost and thrown away.
    Prost,
    /// `spantally serve`.
    Spantally,
}

impl Subject {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Discard => "tonic discard",
            Self::Prost => "tonic + prost",
            Self::Spantally => "spantally serve",
        }
    }
}

/// What went wrong with a server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The program cannot be run.
    #[error("cannot run {program}: {source}; build it with `cargo build --release -p spantally-server`")]
    Run {
        /// Which.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It does not listen.
    #[error("{subject} took no connection at {address} within 20 s; its output is above")]
    Start {
        /// Which server.
        subject: &'static str,
        /// Where.
        address: SocketAddr,
    },
    /// No port, no directory, no `/proc`.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
}

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    /// OTLP/gRPC.
    pub grpc: SocketAddr,
    /// `/metrics`, of the product.
    pub admin: Option<SocketAddr>,
    _data: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts a server with everything on and an empty data directory; by TLS if there is a certificate.
    pub fn start(
        subject: Subject,
        product: &Path,
        extra: &[String],
        certificate: Option<&Certificate>,
    ) -> Result<Self, ServerError> {
        let system = |what| move |source| ServerError::System { what, source };
        let data = tempfile::tempdir().map_err(system("a temporary directory"))?;
        let grpc = free_port().map_err(system("a free port"))?;
        let mut admin = None;
        let program = match subject {
            Subject::Spantally => product.to_owned(),
            Subject::Discard | Subject::Prost => {
                std::env::current_exe().map_err(system("the path of this program"))?
            }
        };
        let mut command = Command::new(&program);
        let reference = |command: &mut Command, work: &str| {
            command.args(["server", work, "--listen", &grpc.to_string()]);
            if let Some(certificate) = certificate {
                command.arg("--cert-file").arg(&certificate.cert_file);
                command.arg("--key-file").arg(&certificate.key_file);
            }
        };
        match subject {
            Subject::Discard => reference(&mut command, "discard"),
            Subject::Prost => reference(&mut command, "prost"),
            Subject::Spantally => {
                let address = free_port().map_err(system("a free port"))?;
                let http = free_port().map_err(system("a free port"))?;
                admin = Some(address);
                let fields = [
                    format!("receivers.otlp.protocols.grpc.endpoint={grpc}"),
                    format!("receivers.otlp.protocols.http.endpoint={http}"),
                    format!("exporters.prometheus.endpoint={address}"),
                    format!("storage.directory={}", data.path().display()),
                    format!("processors.spantally.settle_delay={}s", SETTLE_DELAY.as_secs()),
                    "service.telemetry.logs.level=warn".to_owned(),
                ];
                command.arg("serve");
                let tls = certificate.map(|certificate| {
                    let of = |key: &str, file: &Path| {
                        format!("receivers.otlp.protocols.grpc.tls.{key}={}", file.display())
                    };
                    [of("cert_file", &certificate.cert_file), of("key_file", &certificate.key_file)]
                });
                for field in fields.iter().chain(tls.iter().flatten()).chain(extra) {
                    command.args(["--set", field]);
                }
            }
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|source| ServerError::Run { program, source })?;
        let mut server = Self { child, grpc, admin, _data: data };
        server.wait_until_it_listens(subject)?;
        Ok(server)
    }

    fn wait_until_it_listens(&mut self, subject: Subject) -> Result<(), ServerError> {
        let begun = Instant::now();
        while begun.elapsed() < START_LIMIT {
            if TcpStream::connect(self.grpc).is_ok() {
                return Ok(());
            }
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(ServerError::Start { subject: subject.as_str(), address: self.grpc })
    }

    /// CPU time used so far, user and system, in seconds.
    pub fn cpu_seconds(&self) -> Result<f64, ServerError> {
        cpu_seconds(&self.proc("stat")?).ok_or_else(|| unreadable("the server's CPU time in /proc"))
    }

    /// Largest resident set so far, in bytes.
    pub fn peak_rss_bytes(&self) -> Result<u64, ServerError> {
        self.status_bytes("VmHWM:")
    }

    /// Resident set, in bytes.
    pub fn rss_bytes(&self) -> Result<u64, ServerError> {
        self.status_bytes("VmRSS:")
    }

    fn status_bytes(&self, field: &str) -> Result<u64, ServerError> {
        let bytes = status_bytes(&self.proc("status")?, field);
        bytes.ok_or_else(|| unreadable("the server's memory in /proc"))
    }

    /// Waits until the server has done what it put off, at most `limit`. Whether it became quiet.
    pub fn wait_until_quiet(&self, limit: Duration) -> Result<bool, ServerError> {
        let begun = Instant::now();
        if self.admin.is_some() {
            // Booking begins this long after the last span; before that, quiet means nothing.
            std::thread::sleep(SETTLE_DELAY + QUIET_FOR);
        }
        while begun.elapsed() < limit {
            let before = self.cpu_seconds()?;
            std::thread::sleep(QUIET_FOR);
            if self.cpu_seconds()? - before <= QUIET_SHARE * QUIET_FOR.as_secs_f64() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn proc(&self, file: &str) -> Result<String, ServerError> {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))
            .map_err(|source| ServerError::System { what: "the server's entry in /proc", source })
    }
}

/// User and system time of a `/proc/PID/stat`.
fn cpu_seconds(stat: &str) -> Option<f64> {
    // The second field is the program's name in parentheses and may hold spaces: count from its end.
    let (_, rest) = stat.rsplit_once(')')?;
    let ticks = |nth: usize| rest.split_whitespace().nth(nth)?.parse::<f64>().ok();
    // Fields 14 and 15 of the line; the third is the first after the name.
    Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

/// A field of `/proc/PID/status`, which is in KiB.
fn status_bytes(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// What cannot be read is no zero.
fn unreadable(what: &'static str) -> ServerError {
    ServerError::System { what, source: std::io::ErrorKind::InvalidData.into() }
}

/// A port that is free now. Another process may take it before the server does; then the run says so.
fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_does_not_say_is_no_zero() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 9 0 1 1 1";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        for stat in ["", "7 (a) S 1 7", "7 (a) S 1 7 7 0 -1 4194560 1 0 0 0 x 50 0"] {
            assert_eq!(cpu_seconds(stat), None, "{stat}");
        }
        let status = "Name:\ta\nVmHWM:\t    64 kB\nVmRSS:\tmany kB\n";
        assert_eq!(status_bytes(status, "VmHWM:"), Some(65_536));
        assert_eq!(status_bytes(status, "VmRSS:"), None);
        assert_eq!(status_bytes("Name:\ta\nState:\tZ (zombie)\n", "VmHWM:"), None);
    }
}
