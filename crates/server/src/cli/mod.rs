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
mod replay;
mod reprice;
mod rules;
mod serve;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use config_args::ConfigArgs;
pub use exit::{Exit, Failure, Outcome};
pub use output::{Format, colors, csv_cell, sheet_cell, shell_word, stdout};

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

/// The runtime of commands that need one.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Failure::failed(miette::miette!("cannot start the runtime: {error}")))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does() {
        for command in super::Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{} has no description", command.get_name());
        }
    }
}
