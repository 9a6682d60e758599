//! One server under one load: started, driven, waited for, asked, ended.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::certificate::Certificate;
use crate::drive::{self, Sending, Sent};
use crate::load::Batch;
use crate::page;
use crate::process::{Server, Subject};

/// What can go wrong with a run.
pub type Failure = Box<dyn std::error::Error>;

/// What is the same for many runs.
#[derive(Debug)]
pub struct Bench<'a> {
    /// Where clients run.
    pub runtime: &'a Runtime,
    /// The product's binary.
    pub product: &'a Path,
    /// Fields of its configuration.
    pub set: Vec<String>,
    /// How long a load lasts.
    pub duration: Duration,
    /// At most this long for the work that a server puts off.
    pub settle: Duration,
}

/// What a run cost.
#[derive(Debug)]
pub struct Measured {
    /// What was sent.
    pub sent: Sent,
    /// CPU seconds until the last answer.
    pub loaded_cpu: f64,
    /// CPU seconds until the server was quiet.
    pub cpu: f64,
    /// Whether it became quiet within the limit.
    pub quiet: bool,
    /// Largest resident set.
    pub peak_rss_bytes: u64,
    /// The product's page of metrics; none when it did not answer, which the report says.
    pub page: Option<String>,
}

impl Measured {
    /// CPU microseconds for a span, with all that was put off.
    pub fn cpu_us_a_span(&self) -> f64 {
        self.cpu * 1e6 / self.sent.spans.max(1) as f64
    }

    /// Spans a second that can go on: what is put off must be done as well, and one thread does it.
    pub fn sustained(&self) -> f64 {
        let put_off = (self.cpu - self.loaded_cpu).max(0.0);
        self.sent.spans as f64 / (self.sent.elapsed.as_secs_f64() + put_off)
    }

    /// Spans a second, from the first request to the last answer.
    pub fn spans_per_second(&self) -> f64 {
        self.sent.spans as f64 / self.sent.elapsed.as_secs_f64()
    }
}

impl Bench<'_> {
    /// Starts a server, with TLS if there is a certificate.
    pub fn start(&self, subject: Subject, certificate: Option<&Certificate>) -> Result<Server, Failure> {
        Ok(Server::start(subject, self.product, &self.set, certificate)?)
    }

    /// A server and a load.
    pub fn run(
        &self,
        subject: Subject,
        batches: &Arc<Vec<Batch>>,
        sending: &Sending,
        certificate: Option<&Certificate>,
    ) -> Result<Measured, Failure> {
        self.drive(&self.start(subject, certificate)?, batches, sending)
    }

    /// A load for a server that runs.
    pub fn drive(
        &self,
        server: &Server,
        batches: &Arc<Vec<Batch>>,
        sending: &Sending,
    ) -> Result<Measured, Failure> {
        let before = server.cpu_seconds()?;
        let sent = self.runtime.block_on(drive::run(server.grpc, batches.clone(), self.duration, sending))?;
        let loaded_cpu = server.cpu_seconds()? - before;
        let quiet = server.wait_until_quiet(self.settle)?;
        let cpu = server.cpu_seconds()? - before;
        let page = server.admin.and_then(|address| page::http_get(address, "/metrics").ok());
        Ok(Measured { sent, loaded_cpu, cpu, quiet, peak_rss_bytes: server.peak_rss_bytes()?, page })
    }
}
