//! Our own log: to standard error, by `service.telemetry.logs`.

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;

use crate::config::{LogEncoding, LogLevel, Logs};

/// Installs the log for the whole process. A second call changes nothing.
pub fn init(logs: Logs) {
    let registry = tracing_subscriber::registry().with(level(logs.level));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    // Only the first subscriber of a process counts; tests that build several servers share it.
    drop(match logs.encoding {
        LogEncoding::Console => registry.with(lines).try_init(),
        LogEncoding::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    });
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    }
}
