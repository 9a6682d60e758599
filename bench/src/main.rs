//! The command: `cargo run --release -p spantally-bench`. The library beside it says how it measures.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use spantally_bench::drive::Sending;
use spantally_bench::load::{Batch, Mix};
use spantally_bench::measure::{Bench, Failure};
use spantally_bench::process::Subject;
use spantally_bench::report::Run;
use spantally_bench::soak::Soak;
use spantally_bench::{growth, load, matrix, page, reference, report, soak};

/// Measures what a span costs the server, as a multiple of two reference servers under the same load.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Task>,
    /// How often each server runs with each load.
    #[arg(long, global = true, default_value_t = 5)]
    repeats: usize,
    /// How long each load lasts.
    #[arg(long, global = true, default_value_t = 3.0, value_name = "SECONDS")]
    seconds: f64,
    /// At most this long for the work that a server puts off.
    #[arg(long, global = true, default_value_t = 60.0, value_name = "SECONDS")]
    settle_seconds: f64,
    /// Loads.
    #[arg(
        long,
        global = true,
        value_enum,
        value_delimiter = ',',
        default_values_t = [Mix::Media, Mix::Mixed]
    )]
    mix: Vec<Mix>,
    /// Servers.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_values_t = [Subject::Discard, Subject::Prost, Subject::Spantally]
    )]
    servers: Vec<Subject>,
    /// The `spantally` binary; by default the one beside this program, brought up to date by cargo first.
    #[arg(long, global = true, value_name = "PATH")]
    product: Option<PathBuf>,
    /// A field of the product's configuration, as for `spantally serve --set`.
    #[arg(long = "set", global = true, value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// Prints every run and every ratio as JSON.
    #[arg(long)]
    json: bool,
    /// Exits with 2 unless every load was measured against every reference, each ratio is within its bound,
    /// and all runs became quiet and lost nothing.
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Other ways of sending: batch sizes, gzip, connections, TLS. Takes --repeats, --seconds, --mix, --set.
    Matrix,
    /// How the cost grows with open jobs and with series. Takes --seconds, --mix, --set.
    Growth,
    /// A long run at a part of the peak: memory, losses, latencies. Exits with 2 if something is not well.
    Soak {
        /// How long.
        #[arg(long, default_value_t = 10.0)]
        minutes: f64,
        /// Share of the peak.
        #[arg(long, default_value_t = 0.8)]
        share: f64,
        /// The peak; measured for half a minute if it is left out.
        #[arg(long, value_name = "SPANS_PER_SECOND")]
        peak: Option<f64>,
        /// When settled evidence may be forgotten, and jobs without an outcome settle: it must pass within
        /// the run for memory to be flat.
        #[arg(long, default_value = "4s", value_name = "DURATION")]
        retention: String,
    },
    /// Runs a reference server (the benchmark starts them itself).
    Server {
        /// Which.
        work: reference::Work,
        /// Where.
        #[arg(long)]
        listen: SocketAddr,
        /// Its certificate, PEM.
        #[arg(long, requires = "key_file")]
        cert_file: Option<PathBuf>,
        /// The certificate's key, PEM.
        #[arg(long, requires = "cert_file")]
        key_file: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = run(&arguments);
    outcome.unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "spantally-bench: {error}");
        ExitCode::FAILURE
    })
}

fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let Some(Task::Server { work, listen, cert_file, key_file }) = &arguments.command {
        let identity = match (cert_file, key_file) {
            (Some(certificate), Some(key)) => Some((std::fs::read(certificate)?, std::fs::read(key)?)),
            _ => None,
        };
        runtime.block_on(reference::serve(*work, *listen, identity))?;
        return Ok(ExitCode::SUCCESS);
    }
    let bench = Bench {
        runtime: &runtime,
        product: &product(arguments)?,
        set: arguments.set.clone(),
        duration: Duration::from_secs_f64(arguments.seconds),
        settle: Duration::from_secs_f64(arguments.settle_seconds),
    };
    let mut out = std::io::stdout().lock();
    let mix = arguments.mix.first().copied().unwrap_or(Mix::Media);
    match &arguments.command {
        Some(Task::Matrix) => matrix::run(&bench, mix, arguments.repeats, &mut out)?,
        Some(Task::Growth) => growth::run(&bench, mix, &mut out)?,
        Some(Task::Soak { minutes, share, peak, retention }) => {
            let lasting = Duration::from_secs_f64(minutes * 60.0);
            let soak = Soak { lasting, share: *share, peak: *peak, retention: retention.clone() };
            let is_well = soak::run(&bench, mix, &soak, &mut out)?;
            return Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::from(2) });
        }
        Some(Task::Server { .. }) | None => {
            drop(out);
            return compare(arguments, &bench);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn compare(arguments: &Arguments, bench: &Bench<'_>) -> Result<ExitCode, Failure> {
    let mut runs = Vec::new();
    for &mix in &arguments.mix {
        let batches = Arc::new(load::batches(mix));
        for repeat in 0..arguments.repeats {
            for &subject in &arguments.servers {
                let run = one(bench, &batches, (mix, repeat, subject))?;
                let _ = writeln!(
                    std::io::stderr(),
                    "{:<6} {}/{} {:<16} {:.3} CPU-s per million spans, {:.0} spans/s",
                    mix.as_str(),
                    repeat + 1,
                    arguments.repeats,
                    subject.as_str(),
                    run.cpu_seconds_per_million,
                    run.spans_per_second
                );
                runs.push(run);
            }
        }
    }
    let ratios = report::ratios(&runs);
    let mut out = std::io::stdout().lock();
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, &serde_json::json!({ "runs": runs, "ratios": ratios }))?;
        writeln!(out)?;
    } else {
        write!(out, "{}", report::text(&runs))?;
    }
    if !arguments.check {
        return Ok(ExitCode::SUCCESS);
    }
    let problems = report::problems(&runs, &arguments.mix);
    for problem in &problems {
        let _ = writeln!(std::io::stderr(), "check: {problem}");
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// The product's binary. Under `cargo run` it is built first: an old one would be measured otherwise.
fn product(arguments: &Arguments) -> Result<PathBuf, Failure> {
    if let Some(path) = &arguments.product {
        return Ok(path.clone());
    }
    let here = std::env::current_exe()?;
    let path = here.with_file_name("spantally");
    let wanted = arguments.servers.contains(&Subject::Spantally);
    if let (true, Some(cargo)) = (wanted, std::env::var_os("CARGO")) {
        let mut build = Command::new(cargo);
        build.args(["build", "-p", "spantally-server", "--bin", "spantally"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        if !build.status()?.success() {
            return Err("the product does not build; see above".into());
        }
    }
    Ok(path)
}

/// One server, one load.
fn one(
    bench: &Bench<'_>,
    batches: &Arc<Vec<Batch>>,
    (mix, repeat, subject): (Mix, usize, Subject),
) -> Result<Run, Failure> {
    let measured = bench.run(subject, batches, &Sending::default(), None)?;
    let millions = measured.sent.spans as f64 / 1e6;
    Ok(Run {
        mix,
        repeat,
        subject,
        spans: measured.sent.spans,
        requests: measured.sent.requests,
        refusals: measured.sent.refusals,
        spans_per_second: measured.spans_per_second(),
        loaded_cpu_seconds_per_million: measured.loaded_cpu / millions,
        cpu_seconds_per_million: measured.cpu / millions,
        quiet: measured.quiet,
        peak_rss_bytes: measured.peak_rss_bytes,
        counted: measured.page.as_deref().map(page::counted),
    })
}
