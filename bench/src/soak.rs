//! A long run at a part of what the server can take: does memory stay flat, is every span counted, how long
//! does an acknowledgement take?
//!
//! The peak is what a server takes in half a minute, counting the time for what it puts off meanwhile.
//!
//! The load is sent at a pace, whether answers come or not, and each latency counts from when its request was
//! due: a server that stalls cannot hide it by keeping clients from sending.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::drive::{self, Sending};
use crate::load::{self, Mix};
use crate::measure::{Bench, Failure};
use crate::page;
use crate::process::{Server, Subject};
use crate::report::spread;

/// How long the peak is measured.
const PEAK_FOR: Duration = Duration::from_secs(30);
/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Connections, and requests in flight on each: enough that a stall does not hold up the pace.
const CONNECTIONS: usize = 4;
const IN_FLIGHT: usize = 16;
/// How much larger memory may be in the last quarter than in the second, as a share.
const GROWTH_MAX: f64 = 0.05;

/// How a soak goes.
#[derive(Clone, Debug)]
pub struct Soak {
    /// How long.
    pub lasting: Duration,
    /// Share of the peak.
    pub share: f64,
    /// Spans a second at peak; measured first if none.
    pub peak: Option<f64>,
    /// When settled evidence may be forgotten, and jobs that show no outcome settle: short enough to pass
    /// several times.
    pub retention: String,
}

/// Runs it and writes what was found; whether all is well.
pub fn run(bench: &Bench<'_>, mix: Mix, soak: &Soak, out: &mut dyn Write) -> Result<bool, Failure> {
    let batches = Arc::new(load::batches(mix));
    let usual = Sending { connections: CONNECTIONS, in_flight: IN_FLIGHT, ..Sending::default() };
    // All that keeps evidence in memory: then its size says whether anything else grows.
    let set = ["retention", "rematch", "idle_timeout"]
        .map(|field| format!("processors.spantally.{field}={}", soak.retention));
    let bench = Bench { set: set.into_iter().chain(bench.set.iter().cloned()).collect(), ..*bench };
    let peak = if let Some(peak) = soak.peak {
        peak
    } else {
        let measuring = Bench { duration: PEAK_FOR, set: bench.set.clone(), ..bench };
        measuring.run(Subject::Spantally, &batches, &Sending::default(), None)?.sustained()
    };
    let pace = peak * soak.share;
    writeln!(out, "peak {peak:.0} spans/s; {pace:.0} spans/s for {:.0} s", soak.lasting.as_secs_f64())?;
    out.flush()?;
    let server = bench.start(Subject::Spantally, None)?;
    let before = server.cpu_seconds()?;
    let sending = Sending { pace: Some(pace), ..usual };
    let driven = bench.runtime.spawn({
        let (address, batches, lasting) = (server.grpc, batches.clone(), soak.lasting);
        async move { drive::run(address, batches, lasting, &sending).await }
    });
    let memory = watch(&server, soak.lasting)?;
    let sent = bench.runtime.block_on(driven)??;
    let cpu = server.cpu_seconds()? - before;
    let quiet = server.wait_until_quiet(bench.settle)?;
    let page = page::http_get(server.admin.ok_or("no page of metrics")?, "/metrics")?;
    let counted = page::counted(&page);
    let lost = sent.spans.abs_diff(counted.received)
        + counted.received.abs_diff(
            counted.accepted + counted.duplicate + counted.late + counted.ignored + counted.rejected,
        );
    let growth = growth(&memory);
    show_memory(&memory, out)?;
    writeln!(out, "spans acknowledged {}, counted {counted:?}", sent.spans)?;
    writeln!(
        out,
        "acknowledgement p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, longest {:.0} ms; refusals {}",
        sent.latency_ms(500),
        sent.latency_ms(990),
        sent.latency_ms(999),
        sent.latency_ms(1000),
        sent.refusals
    )?;
    let achieved = sent.spans as f64 / sent.elapsed.as_secs_f64();
    let cpu_us = cpu * 1e6 / sent.spans.max(1) as f64;
    writeln!(out, "{achieved:.0} spans/s taken; {cpu_us:.2} µs of CPU a span; quiet at the end: {quiet}")?;
    writeln!(out, "memory in the last quarter against the second: {:+.1} %", growth * 100.0)?;
    let well = lost == 0 && counted.rejected == 0 && growth <= GROWTH_MAX;
    writeln!(out, "{}", if well { "no span lost, memory flat" } else { "NOT WELL: see above" })?;
    Ok(well)
}

/// The server at one moment.
struct Look {
    /// Seconds since the start.
    at: f64,
    resident_bytes: u64,
    /// Spans that are kept as evidence: what memory is for.
    kept_spans: Option<u64>,
}

fn watch(server: &Server, lasting: Duration) -> Result<Vec<Look>, Failure> {
    let (mut memory, began) = (Vec::new(), Instant::now());
    while began.elapsed() < lasting {
        let page = page::http_get(server.admin.ok_or("no page of metrics")?, "/metrics")?;
        memory.push(Look {
            at: began.elapsed().as_secs_f64(),
            resident_bytes: server.rss_bytes()?,
            kept_spans: page::value(&page, "spantally_limit_used{limit=\"spans\"}"),
        });
        std::thread::sleep(LOOK_EVERY.min(lasting.saturating_sub(began.elapsed())));
    }
    Ok(memory)
}

/// The median of the last quarter against that of the second, as a share of the second.
fn growth(memory: &[Look]) -> f64 {
    let quarter = |nth: usize| {
        let part = memory.len() / 4;
        let bytes = memory[part * nth..part * (nth + 1)].iter().map(|look| look.resident_bytes as f64);
        spread(bytes.collect()).map_or(0.0, |(median, ..)| median)
    };
    let (second, last) = (quarter(1), quarter(3));
    if second > 0.0 { last / second - 1.0 } else { 0.0 }
}

fn show_memory(memory: &[Look], out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "| after s | resident MiB | spans kept |\n|---|---|---|")?;
    for look in memory.iter().step_by(memory.len().div_ceil(20).max(1)) {
        let mib = look.resident_bytes as f64 / f64::from(1 << 20);
        let kept = look.kept_spans.map_or("unknown".to_owned(), |spans| spans.to_string());
        writeln!(out, "| {:.0} | {mib:.0} | {kept} |", look.at)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_of_the_last_quarter_over_the_second() {
        let memory = |late: u64| -> Vec<Look> {
            let bytes = |at| if at < 30 { 100 } else { late };
            (0..40)
                .map(|at| Look { at: f64::from(at), resident_bytes: bytes(at), kept_spans: None })
                .collect()
        };
        assert!(growth(&memory(100)).abs() < 1e-9);
        assert!((growth(&memory(110)) - 0.1).abs() < 1e-9);
        assert!(growth(&[]).abs() < 1e-9);
    }
}
