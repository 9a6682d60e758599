//! How the cost of a span grows with what the server holds already: jobs that are open, and series that it
//! shows.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::drive::{self, Sending};
use crate::load::{self, BATCH_SPANS, Mix};
use crate::measure::{Bench, Failure, Measured};
use crate::page;
use crate::process::Subject;

/// Open jobs, about: the server has at least so many when it is measured.
const OPEN_JOBS: [u64; 4] = [0, 10_000, 100_000, 1_000_000];
/// Services that send; each has a set of labels for each model.
const SERVICES: [u32; 4] = [1, 10, 100, 1000];
/// Spans a second at which open jobs are made: slow enough to lose none to a full queue.
const FILL_PACE: f64 = 200_000.0;
/// Limits that are not met: how it is at a limit is another question.
const OPEN_ROOM: [&str; 2] =
    ["processors.spantally.limits.max_open_jobs=4000000", "processors.spantally.limits.max_spans=16000000"];
const SERIES_ROOM: [&str; 1] = ["exporters.prometheus.max_label_sets=10000"];
/// Spans of a job that is left open.
const OPEN_SPANS: u64 = 2;
/// By then what is quiet is frozen, and what it took before is given back.
const QUIET: Duration = Duration::from_secs(90);

/// Measures both and writes two tables.
pub fn run(bench: &Bench<'_>, mix: Mix, out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(
        out,
        "| open jobs | MiB when they came | when quiet | µs a span | p50 ms | p99 ms | most MiB |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    let batches = Arc::new(load::batches(mix));
    let open = Arc::new(load::batches(Mix::Open));
    let roomy = Bench { set: with(&OPEN_ROOM, &bench.set), ..*bench };
    for jobs in OPEN_JOBS {
        let server = roomy.start(Subject::Spantally, None)?;
        // What was acknowledged, not what the page says: its gauge may be minutes old with so many.
        let (mut opened, mut came) = (0, mebi(server.rss_bytes()?));
        if jobs > 0 {
            let lasting = Duration::from_secs_f64((jobs * OPEN_SPANS) as f64 / FILL_PACE);
            let fill = Sending { pace: Some(FILL_PACE), ..Sending::default() };
            let sent = bench.runtime.block_on(drive::run(server.grpc, open.clone(), lasting, &fill))?;
            opened = sent.spans / OPEN_SPANS;
            came = mebi(server.rss_bytes()?);
            std::thread::sleep(QUIET);
            server.wait_until_quiet(roomy.settle)?;
        }
        let quiet = mebi(server.rss_bytes()?);
        let another = Sending { first_round: 1 << 20, ..Sending::default() };
        let measured = roomy.drive(&server, &batches, &another)?;
        let (p50, p99) = (measured.sent.latency_ms(500), measured.sent.latency_ms(990));
        let (cpu, mib) = (measured.cpu_us_a_span(), mib(&measured));
        writeln!(out, "| {opened} | {came:.0} | {quiet:.0} | {cpu:.2} | {p50:.2} | {p99:.2} | {mib:.0} |")?;
        out.flush()?;
    }
    writeln!(out, "\n| services | series on the page | page MiB | page ms | µs a span | resident MiB |")?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    for services in SERVICES {
        let batches = Arc::new(load::batches_of(mix, BATCH_SPANS, Some(services)));
        let bench = Bench { set: with(&SERIES_ROOM, &bench.set), ..*bench };
        let server = bench.start(Subject::Spantally, None)?;
        let measured = bench.drive(&server, &batches, &Sending::default())?;
        let (page, took) = fetch(server.admin)?;
        writeln!(
            out,
            "| {services} | {} | {:.1} | {:.0} | {:.2} | {:.0} |",
            page::samples(&page),
            page.len() as f64 / f64::from(1 << 20),
            took.as_secs_f64() * 1e3,
            measured.cpu_us_a_span(),
            mib(&measured),
        )?;
        out.flush()?;
    }
    Ok(())
}

fn with(room: &[&str], set: &[String]) -> Vec<String> {
    room.iter().map(|&field| field.to_owned()).chain(set.iter().cloned()).collect()
}

fn mib(measured: &Measured) -> f64 {
    mebi(measured.peak_rss_bytes)
}

fn mebi(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The page, and the shortest of five times that it took.
fn fetch(admin: Option<std::net::SocketAddr>) -> Result<(String, Duration), Failure> {
    let address = admin.ok_or("the server has no page of metrics")?;
    let mut best: Option<(String, Duration)> = None;
    for _ in 0..5 {
        let began = Instant::now();
        let page = page::http_get(address, "/metrics")?;
        let took = began.elapsed();
        if best.as_ref().is_none_or(|(_, least)| took < *least) {
            best = Some((page, took));
        }
    }
    best.ok_or_else(|| "the page did not come".into())
}
