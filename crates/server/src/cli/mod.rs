//! The command line. Each subcommand is one file with its `Args` and its `run`; [`Command`] is the list.
//!
//! To add one: a file here, a `mod` line, a variant of [`Command`] and its line in [`run`]. What several
//! commands share is in [`config_args`] (which configuration), [`job_source`] (where jobs are read from),
//! [`output`] (formats, standard output) and [`exit`] (exit codes, errors).
//!
//! Next in the flow: [`serve`], and from there [`crate::app`].

mod check;
mod config_args;
mod demo;
mod estimate;
mod exit;
mod explain;
mod export;
mod http;
mod job_doc;
mod job_source;
mod job_table;
mod jobs;
mod output;
mod policy_table;
mod reconcile;
mod replay;
mod reprice;
mod rules;
mod serve;
mod verify;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

pub(crate) use crate::csv::csv_cell;
pub(crate) use crate::terminal::colors;
pub use config_args::ConfigArgs;
pub use exit::{Exit, Failure, Outcome};
pub use output::{Format, stdout};
pub(crate) use output::{sheet_cell, shell_word};

/// Tells a team what its media-generation jobs really cost, and how much of that is retries, duplicates,
/// timeouts and failures, from the OpenTelemetry spans of its clients.
#[derive(Debug, Parser)]
#[command(name = "spantally", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 done with a finding, 64 bad usage or configuration.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Demo(demo::Args),
    Check(check::Args),
    Replay(replay::Args),
    Reprice(reprice::Args),
    Estimate(estimate::Args),
    Reconcile(reconcile::Args),
    Rules(rules::Args),
    Jobs(jobs::Args),
    Explain(explain::Args),
    Export(export::Args),
    Verify(verify::Args),
}

fn run(command: Command) -> Outcome {
    match command {
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Reprice(args) => reprice::run(&args),
        Command::Estimate(args) => estimate::run(&args),
        Command::Reconcile(args) => reconcile::run(&args),
        Command::Rules(args) => rules::run(&args),
        Command::Jobs(args) => jobs::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Verify(args) => verify::run(&args),
    }
}

/// Reads the arguments of this process, runs the command, reports what went wrong.
pub fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => exit::finish(run(cli.command)),
        Err(usage) => exit::usage(&usage),
    }
}

/// How long the end of a command waits for threads that are still at work. What must be done is done before:
/// these read files that do not answer.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs a command to its end on a runtime, which ends with it.
pub(crate) fn block_on(command: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::failed(miette::miette!("cannot start the runtime: {error}")))?;
    let outcome = runtime.block_on(command);
    runtime.shutdown_timeout(END_TIMEOUT);
    outcome
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    /// A thread that waits for a file, as of a disk over the network, must not keep the process.
    #[test]
    fn a_command_ends_although_a_thread_does_not() {
        let (_never, told) = std::sync::mpsc::channel::<()>();
        let (tell, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let outcome = super::block_on(async {
                drop(tokio::task::spawn_blocking(move || told.recv()));
                Ok(super::Exit::Success)
            });
            tell.send(outcome.is_ok()).unwrap();
        });
        assert_eq!(ended.recv_timeout(super::END_TIMEOUT * 10), Ok(true));
    }

    #[test]
    fn every_command_says_what_it_does() {
        for command in super::Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{} has no description", command.get_name());
        }
    }
}
