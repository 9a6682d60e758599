//! How a command ends: exit codes and the report of what went wrong.

use std::io::{self, Write};
use std::process::ExitCode;

use spantally_store::StoreError;

use crate::app::BuildError;
use crate::config::ConfigError;

/// The command did what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// And all is well: 0.
    Success,
    /// And found something that someone should look at (drift, a failed rule test): 2.
    Finding,
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    report: miette::Report,
}

/// What every command returns.
pub type Outcome = Result<Exit, Failure>;

/// The exit code of sysexits.h for a command that was used wrongly.
const EX_USAGE: u8 = 64;

impl Failure {
    /// The arguments, the configuration or a provider file are wrong: 64.
    pub fn usage(report: impl Into<miette::Report>) -> Self {
        Self { code: EX_USAGE, report: report.into() }
    }

    /// Something else stopped it: 1.
    pub fn failed(report: impl Into<miette::Report>) -> Self {
        Self { code: 1, report: report.into() }
    }
}

impl From<BuildError> for Failure {
    /// A full disk is nothing that the user wrote wrongly: once there is room, the same command runs.
    fn from(error: BuildError) -> Self {
        let is_full =
            matches!(&error, BuildError::Store(error) if matches!(**error, StoreError::Full { .. }));
        if is_full { Self::failed(error) } else { Self::usage(error) }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error)
    }
}

impl From<io::Error> for Failure {
    /// A reader that went away (`spantally jobs | head`) is no failure, so it says nothing and ends with 0.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self { code: 0, report: miette::miette!("{error}") },
            _ => Self::failed(miette::miette!("{error}")),
        }
    }
}

/// Turns a command's outcome into the process's.
pub(super) fn finish(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(Exit::Success) => ExitCode::SUCCESS,
        Ok(Exit::Finding) => ExitCode::from(2),
        Err(failure) => {
            if failure.code != 0 {
                say(&format!("{:?}", failure.report));
            }
            ExitCode::from(failure.code)
        }
    }
}

/// Prints clap's message. Help and version are no errors.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    // Nothing is left to tell anyone when the terminal itself is gone.
    drop(error.print());
    if error.use_stderr() { ExitCode::from(EX_USAGE) } else { ExitCode::SUCCESS }
}

fn say(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}
