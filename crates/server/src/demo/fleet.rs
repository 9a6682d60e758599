//! The imagined company: its services, how each is instrumented, and the processes that run them.
//!
//! One service a kind of telemetry that is met in the field, from bare HTTP spans that share no trace to
//! spans that name the job. [`super::recorder`] writes each service's spans in its own dress.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::recorder::{number, text};
use super::rng::Rng;

/// What ties the spans of one job together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lineage {
    /// Nothing: every HTTP span is its own trace.
    Bare,
    /// A SERVER span above all of one web request.
    Parented,
    /// The same, with GenAI spans and `app.generation.*` attributes between.
    Rich,
    /// Submits under the web request, each poll in a later trace of a queue worker.
    Worker,
}

/// Language of the SDK and its instrumentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Python, httpx.
    Python,
    /// Node, undici.
    Node,
}

/// A service.
#[derive(Debug)]
pub struct Service {
    /// `service.name`.
    pub name: &'static str,
    /// `service.version`.
    pub version: &'static str,
    /// What ties its spans.
    pub lineage: Lineage,
    /// What it is written in.
    pub language: Language,
    /// The standard variables for header capture are set.
    pub captures_headers: bool,
    /// It holds voice conversations instead of making media.
    pub is_voice: bool,
    /// Processes that run it.
    pub instances: u8,
    /// Its share of the jobs, in parts of the sum.
    pub weight: u32,
}

/// Every service.
pub const SERVICES: &[Service] = &[
    Service {
        name: "studio-api",
        version: "1.4.2",
        lineage: Lineage::Rich,
        language: Language::Python,
        captures_headers: false,
        is_voice: false,
        instances: 2,
        weight: 28,
    },
    Service {
        name: "clips",
        version: "0.9.0",
        lineage: Lineage::Parented,
        language: Language::Python,
        captures_headers: true,
        is_voice: false,
        instances: 1,
        weight: 18,
    },
    Service {
        name: "media-worker",
        version: "2.11.0",
        lineage: Lineage::Bare,
        language: Language::Python,
        captures_headers: false,
        is_voice: false,
        instances: 2,
        weight: 18,
    },
    Service {
        name: "studio-web",
        version: "3.0.1",
        lineage: Lineage::Bare,
        language: Language::Node,
        captures_headers: false,
        is_voice: false,
        instances: 1,
        weight: 12,
    },
    Service {
        name: "storyboard",
        version: "0.3.7",
        lineage: Lineage::Worker,
        language: Language::Python,
        captures_headers: false,
        is_voice: false,
        instances: 1,
        weight: 12,
    },
    Service {
        name: "voice-agent",
        version: "1.0.5",
        lineage: Lineage::Rich,
        language: Language::Python,
        captures_headers: true,
        is_voice: true,
        instances: 1,
        weight: 12,
    },
];

/// One running process of a service.
#[derive(Debug)]
pub struct Process {
    /// Of which service.
    pub service: &'static Service,
    /// What its spans carry.
    pub resource: Resource,
    /// Port of its webhook receiver.
    pub webhook_port: u16,
}

/// Starts every process of every service.
pub fn start(rng: &mut Rng) -> Vec<Process> {
    let mut fleet = Vec::new();
    for service in SERVICES {
        for _ in 0..service.instances {
            let webhook_port = 28_480 + fleet.len() as u16;
            fleet.push(Process { service, resource: resource(service, rng), webhook_port });
        }
    }
    fleet
}

fn resource(service: &Service, rng: &mut Rng) -> Resource {
    let attributes: Vec<KeyValue> = match service.language {
        Language::Python => vec![
            text("telemetry.sdk.language", "python"),
            text("telemetry.sdk.name", "opentelemetry"),
            text("telemetry.sdk.version", "1.45.1"),
            text("service.instance.id", rng.uuid()),
            text("service.name", service.name),
            text("service.version", service.version),
            text("deployment.environment.name", "production"),
        ],
        Language::Node => vec![
            text("service.name", service.name),
            text("service.version", service.version),
            text("telemetry.sdk.language", "nodejs"),
            text("telemetry.sdk.name", "opentelemetry"),
            text("telemetry.sdk.version", "2.12.1"),
            text("host.name", "studio-web-0"),
            number("process.pid", 17),
        ],
    };
    Resource { attributes, ..Resource::default() }
}
