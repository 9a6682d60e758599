//! The command: `cargo run --release -p spantally-bench`. The library beside it says how it measures.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use spantally_bench::load::{Batch, Mix};
use spantally_bench::process::{Server, Subject};
use spantally_bench::report::{Counted, Run};
use spantally_bench::{drive, load, reference, report};

/// Measures what a span costs the server, as a multiple of two reference servers under the same load.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Task>,
    /// How often each server runs with each load.
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// How long each load lasts.
    #[arg(long, default_value_t = 3.0, value_name = "SECONDS")]
    seconds: f64,
    /// At most this long for the work that a server puts off.
    #[arg(long, default_value_t = 60.0, value_name = "SECONDS")]
    settle_seconds: f64,
    /// Loads.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Mix::Media, Mix::Mixed])]
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
    #[arg(long, value_name = "PATH")]
    product: Option<PathBuf>,
    /// A field of the product's configuration, as for `spantally serve --set`.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// Prints every run and every ratio as JSON.
    #[arg(long)]
    json: bool,
    /// Exits with 2 when a ratio is above its bound.
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Runs a reference server (the benchmark starts them itself).
    Server {
        /// Which.
        work: reference::Work,
        /// Where.
        #[arg(long)]
        listen: SocketAddr,
    },
}

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Some(Task::Server { work, listen }) => runtime().and_then(|runtime| {
            runtime.block_on(reference::serve(work, listen))?;
            Ok(ExitCode::SUCCESS)
        }),
        None => compare(&arguments),
    };
    outcome.unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "spantally-bench: {error}");
        ExitCode::FAILURE
    })
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

fn compare(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let product = product(arguments)?;
    let runtime = runtime()?;
    let mut runs = Vec::new();
    for &mix in &arguments.mix {
        let batches = Arc::new(load::batches(mix));
        for repeat in 0..arguments.repeats {
            for &subject in &arguments.servers {
                let run = one(arguments, &runtime, &product, &batches, (mix, repeat, subject))?;
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
    let above = ratios.iter().any(|ratio| ratio.median > ratio.must);
    Ok(if above && arguments.check { ExitCode::from(2) } else { ExitCode::SUCCESS })
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
    arguments: &Arguments,
    runtime: &tokio::runtime::Runtime,
    product: &Path,
    batches: &Arc<Vec<Batch>>,
    (mix, repeat, subject): (Mix, usize, Subject),
) -> Result<Run, Failure> {
    let server = Server::start(subject, product, &arguments.set)?;
    let before = server.cpu_seconds()?;
    let duration = Duration::from_secs_f64(arguments.seconds);
    let sent = runtime.block_on(drive::run(server.grpc, batches.clone(), duration))?;
    let loaded = server.cpu_seconds()? - before;
    let quiet = server.wait_until_quiet(Duration::from_secs_f64(arguments.settle_seconds))?;
    let total = server.cpu_seconds()? - before;
    let millions = sent.spans as f64 / 1e6;
    // A page that does not come is left out of the run, which the report says.
    let page = server.admin.and_then(|address| http_get(address, "/metrics").ok());
    Ok(Run {
        mix,
        repeat,
        subject,
        spans: sent.spans,
        requests: sent.requests,
        refusals: sent.refusals,
        spans_per_second: sent.spans as f64 / sent.elapsed.as_secs_f64(),
        loaded_cpu_seconds_per_million: loaded / millions,
        cpu_seconds_per_million: total / millions,
        quiet,
        peak_rss_bytes: server.peak_rss_bytes()?,
        counted: page.as_deref().map(counted),
    })
}

/// A page over HTTP/1.0: no keep-alive, no chunks, so the body is what follows the headers.
fn http_get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: text/plain\r\n\r\n")?;
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer)?;
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// Sums of the span counters on a page of metrics.
fn counted(page: &str) -> Counted {
    let sum = |name: &str| {
        page.lines()
            .filter_map(|line| line.strip_prefix(name))
            .filter(|rest| rest.starts_with(['{', ' ']))
            .filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<u64>().ok())
            .sum()
    };
    Counted {
        received: sum("spantally_spans_received_total"),
        duplicate: sum("spantally_spans_duplicate_total"),
        ignored: sum("spantally_spans_ignored_total"),
        rejected: sum("spantally_spans_rejected_total"),
    }
}
