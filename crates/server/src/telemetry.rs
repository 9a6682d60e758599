//! Our own telemetry: the log on standard error by `service.telemetry.logs`, and traces, logs and metrics to
//! an OTLP server by the standard `OTEL_*` variables ([`export`]).
//!
//! Spans of ours have the target [`TARGET`] and nothing else has; without an exporter for them they cost a
//! look at one word.

mod export;
mod metrics;
mod page;
mod transport;

use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

pub use self::export::Exporters;
use crate::config::{LogEncoding, LogLevel, Logs, Settings};
use crate::terminal::colors;

/// The target of our own spans.
pub(crate) const TARGET: &str = "spantally::trace";

/// The one crate whose events are exported: those of the exporters' own libraries would be about exports.
const OURS: &str = "spantally_server";

/// Installs the log for the whole process. A second call changes nothing.
pub(crate) fn init(logs: Logs) {
    // Only the first subscriber of a process counts; tests that build several servers share it.
    drop(tracing_subscriber::registry().with(lines(logs)).try_init());
}

/// Installs the log, and the exporters that the environment asks for. To be called in the runtime.
pub(crate) fn init_with_exporters(settings: &Settings) -> Exporters {
    let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let (exporters, problems) = Exporters::new(settings, &environment);
    let spans = exporters.tracer().map(|tracer| {
        let layer = tracing_opentelemetry::layer().with_location(false).with_threads(false);
        layer.with_tracer(tracer).with_filter(Targets::new().with_target(TARGET, LevelFilter::INFO))
    });
    let events = exporters
        .log_bridge()
        .map(|bridge| bridge.with_filter(Targets::new().with_target(OURS, level(settings.logs.level))));
    drop(tracing_subscriber::registry().with(lines(settings.logs)).with(spans).with(events).try_init());
    for problem in problems {
        tracing::warn!("{problem}");
    }
    exporters
}

/// The log: lines of ours at the level that is set, of the OpenTelemetry SDK when something is wrong.
fn lines<S>(logs: Logs) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'span> tracing_subscriber::registry::LookupSpan<'span>,
{
    let of_sdk = level(logs.level).min(LevelFilter::WARN);
    let filter = Targets::new()
        .with_default(level(logs.level))
        .with_target("opentelemetry", of_sdk)
        .with_target(TARGET, LevelFilter::OFF);
    // Left alone it would write colours into files and pipes as well.
    let color = colors(&std::io::stderr());
    let lines = tracing_subscriber::fmt::layer().with_ansi(color);
    let lines = lines.with_writer(std::io::stderr).with_target(false);
    match logs.encoding {
        LogEncoding::Console => lines.with_filter(filter).boxed(),
        LogEncoding::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    }
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    }
}
