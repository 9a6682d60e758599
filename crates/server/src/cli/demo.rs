//! `spantally demo`: the server beside a generator of realistic traffic, and what it makes of it.

use std::io::{IsTerminal, Stdout};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use spantally_store::{LedgerReader, StoreError};

use super::{Exit, Failure, Outcome, block_on, colors, shell_word};
use crate::app::{Addresses, App};
use crate::clock;
use crate::config::Config;
use crate::demo::play::Pace;
use crate::demo::show::{self, Plan, ShowError};
use crate::demo::summary::Screen;
use crate::demo::traffic::Settings;
use crate::signals::Signals;
use crate::telemetry;

/// Start the server and send it realistic traffic: jobs with retries, time-outs, duplicates and failures.
///
/// The traffic goes over real OTLP/gRPC; the summary shows what the server says, not what the generator
/// knows. Ctrl-c ends it; with --seconds it ends by itself and prints the truth beside what was found.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// End by itself: begin no new job after this long, let the others end and settle, compare.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Same seed, same jobs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Jobs begun in a second, on average.
    #[arg(long, value_name = "JOBS_PER_SECOND", default_value_t = 4.0, value_parser = rate)]
    rate: f64,
    /// Keep journal and ledger here, where there are none yet; without it they are in a temporary directory
    /// and go with the demo.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Listen on free ports of the system's choice instead of 4317, 4318 and 9464.
    #[arg(long)]
    any_port: bool,
    /// Configuration file, for budgets and whatever else the demo does not set itself.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Override one field of the configuration, as for `spantally serve`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// The demo is life thirty times as fast: videos take seconds, patience runs out after two.
const PACE: Pace = Pace { compress: 30 };
/// Of a job that never ends the server waits this long for more: longer than the longest gap between polls.
const IDLE_TIMEOUT: Duration = Duration::from_secs(12);
/// And of a decided one this long for late spans. Exports come four times a second.
const SETTLE_DELAY: Duration = Duration::from_secs(2);

pub(super) fn run(args: &Args) -> Outcome {
    let temporary = match args.data_dir {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("spantally-demo-").tempdir()?),
    };
    let temporary = temporary.as_ref().map(tempfile::TempDir::path);
    let config = Config::load(args.config.as_deref(), &fields(args, args.data_dir.as_deref().or(temporary)))?;
    // `--set` wins over `--data-dir`, so what counts is what came of both.
    let directory = &config.settings.storage.directory;
    if is_used(directory) {
        return Err(Failure::usage(miette::miette!(
            help = "name a directory that is empty or not there yet",
            "{}: there is a ledger in it already, and the demo would take what it has for its own",
            directory.display()
        )));
    }
    let kept = Some(directory.as_path()).filter(|directory| Some(*directory) != temporary);
    telemetry::init(config.settings.logs);
    block_on(async {
        let signals = Signals::catch()?;
        let app = App::build(&config).await?;
        let running = app.start().await?;
        let shown = present(args, kept, running.addresses, signals).await;
        running.stop().await?;
        shown?;
        Ok(Exit::Success)
    })
}

/// Whether there is a ledger, of whatever kind.
fn is_used(directory: &Path) -> bool {
    !matches!(LedgerReader::open(directory), Err(StoreError::Missing { .. }))
}

/// Fields that the demo sets and that decide which jobs there are.
fn delays() -> [String; 2] {
    [
        format!("processors.spantally.settle_delay={}s", SETTLE_DELAY.as_secs()),
        format!("processors.spantally.idle_timeout={}s", IDLE_TIMEOUT.as_secs()),
    ]
}

/// How what the demo leaves behind is verified: by the configuration that it had.
fn verification(args: &Args, directory: &Path) -> String {
    let ledger = [("--ledger", directory.display().to_string())];
    let config = args.config.iter().map(|path| ("--config", path.display().to_string()));
    let set = delays().into_iter().chain(args.set.iter().cloned()).map(|field| ("--set", field));
    let options = ledger.into_iter().chain(config).chain(set);
    options.fold("spantally verify".to_owned(), |command, (name, value)| {
        format!("{command} {name} {}", shell_word(&value))
    })
}

/// The demo's configuration: short delays, so that one need not wait, and what the arguments say.
fn fields(args: &Args, directory: Option<&Path>) -> Vec<String> {
    let mut fields = Vec::from(delays());
    fields.push("service.telemetry.logs.level=warn".to_owned());
    fields.extend(directory.map(|directory| format!("storage.directory={}", directory.display())));
    if args.any_port {
        let keys = ["receivers.otlp.protocols.grpc", "receivers.otlp.protocols.http", "exporters.prometheus"];
        fields.extend(keys.map(|key| format!("{key}.endpoint=127.0.0.1:0")));
    }
    fields.extend(args.set.iter().cloned());
    fields
}

async fn present(
    args: &Args,
    kept: Option<&Path>,
    addresses: Addresses,
    signals: Signals,
) -> Result<(), Failure> {
    let Some(grpc) = addresses.grpc else {
        return Err(Failure::usage(miette::miette!(
            "the demo needs OTLP/gRPC, and the configuration has none"
        )));
    };
    let mut screen = screen();
    screen.say(&greeting(args, kept, addresses))?;
    let plan = Plan {
        traffic: Settings {
            seed: args.seed,
            start: clock::now(),
            jobs_per_second: args.rate,
            pace: PACE,
            noise_per_job: 1.0,
            resend_share: 0.01,
        },
        duration: args.seconds.map(Duration::from_secs),
        settle_limit: IDLE_TIMEOUT + 4 * SETTLE_DELAY,
    };
    let to = show::Addresses { grpc: reachable(grpc), admin: reachable(addresses.admin) };
    show::run(to, plan, &mut screen, signals.first()).await?;
    Ok(())
}

fn screen() -> Screen<Stdout> {
    let out = std::io::stdout();
    let is_terminal = out.is_terminal();
    let color = colors(&out);
    Screen::new(out, is_terminal, color)
}

fn greeting(args: &Args, kept: Option<&Path>, addresses: Addresses) -> String {
    let admin = addresses.admin;
    let mut lines = vec![format!("Spantally demo, seed {}, {} jobs a second.\n", args.seed, args.rate)];
    lines.extend(addresses.grpc.map(|address| format!("  OTLP/gRPC  http://{address}")));
    lines.extend(addresses.http.map(|address| format!("  OTLP/HTTP  http://{address}/v1/traces")));
    lines.push(format!("  metrics    http://{admin}/metrics"));
    lines.push(format!("  jobs       http://{admin}/api/v1/jobs"));
    lines.push(format!("  page       http://{admin}/"));
    if let Some(directory) = kept {
        lines.push(format!("  data       {}", directory.display()));
        lines.push(format!("  afterwards {}", verification(args, directory)));
    }
    lines.push(match args.seconds {
        Some(seconds) => {
            format!("\nNew jobs begin for {seconds} s; then the truth is laid beside what was found.\n")
        }
        None => "\nCtrl-c ends it.\n".to_owned(),
    });
    lines.join("\n")
}

/// Where a client reaches a server that listens on every address.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() { (Ipv4Addr::LOCALHOST, address.port()).into() } else { address }
}

/// A rate of jobs: positive, and small enough for the generator to keep up.
fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.01..=1_000.0).contains(&rate) => Ok(rate),
        _ => Err("expected a number of jobs a second from 0.01 to 1000".to_owned()),
    }
}

impl From<ShowError> for Failure {
    fn from(error: ShowError) -> Self {
        match error {
            ShowError::Io(error) => error.into(),
            ShowError::Send(error) => Self::failed(miette::miette!("{error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn args(words: &[&str]) -> Result<Args, clap::Error> {
        Cli::try_parse_from([&["demo"], words].concat()).map(|cli| cli.args)
    }

    #[test]
    fn the_demo_has_a_valid_configuration() {
        let args = args(&["--any-port", "--set", "processors.spantally.settle_delay=3s"]).unwrap();
        let config = Config::load(None, &fields(&args, Some("data".as_ref()))).unwrap();
        assert_eq!(config.settings.storage.directory, PathBuf::from("data"));
        assert_eq!(config.settings.receivers.grpc.unwrap().endpoint.port, 0);
        assert_eq!(config.settings.stitching.settle_delay_ms, 3_000, "--set comes last and wins");
        assert_eq!(config.settings.stitching.idle_timeout_ms, 12_000);
    }

    #[test]
    fn what_the_demo_leaves_is_verified_by_what_it_set() {
        let args = args(&["--config", "budgets.yaml", "--set", "a.b=3"]).unwrap();
        assert_eq!(
            verification(&args, Path::new("data")),
            "spantally verify --ledger data --config budgets.yaml --set processors.spantally.settle_delay=2s \
             --set processors.spantally.idle_timeout=12s --set a.b=3"
        );
    }

    #[test]
    fn what_the_demo_prints_can_be_pasted() {
        let args = args(&["--config", "it's.yaml", "--set", "storage.directory=my data"]).unwrap();
        let command = verification(&args, Path::new("my data"));
        let words =
            std::process::Command::new("sh").args(["-c", &format!("printf '%s\n' {command}")]).output();
        let words = String::from_utf8(words.unwrap().stdout).unwrap();
        let words: Vec<_> = words.lines().collect();
        assert_eq!(words[..6], ["spantally", "verify", "--ledger", "my data", "--config", "it's.yaml"]);
        assert_eq!(words.last(), Some(&"storage.directory=my data"));
    }

    #[test]
    fn a_directory_with_a_ledger_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!is_used(directory.path()) && !is_used(&directory.path().join("new")));
        let data = spantally_store::DataDir::open(directory.path()).unwrap();
        drop(spantally_store::Ledger::open(&data).unwrap());
        assert!(is_used(directory.path()));
        let used = directory.path().to_str().unwrap();
        let new = directory.path().join("new");
        let set = format!("storage.directory={used}");
        for words in [
            &["--any-port", "--data-dir", used][..],
            &["--any-port", "--set", set.as_str()],
            &["--any-port", "--data-dir", new.to_str().unwrap(), "--set", set.as_str()],
        ] {
            let Err(refused) = run(&args(words).unwrap()) else {
                panic!("the demo began in a used directory: {words:?}")
            };
            assert!(format!("{refused:?}").contains("there is a ledger in it already"), "{refused:?}");
        }
        assert!(!new.exists(), "nothing is built before");
    }

    #[test]
    fn a_rate_that_makes_no_sense_is_refused() {
        for text in ["0", "-1", "nan", "inf", "1e9", "many"] {
            let error = args(&[&format!("--rate={text}")]).unwrap_err().to_string();
            assert!(error.contains("jobs a second"), "{text}: {error}");
        }
        assert!(args(&["--rate=0.5"]).is_ok());
    }
}
