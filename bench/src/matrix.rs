//! How the cost of a span changes with the way in which spans are sent: in batches of other sizes,
//! compressed, over more connections, by TLS. One row each, beside the two reference servers under the same
//! load.

use std::io::Write;
use std::sync::Arc;

use crate::certificate::Certificate;
use crate::drive::Sending;
use crate::load::{self, BATCH_SPANS, Mix};
use crate::measure::{Bench, Failure};
use crate::process::Subject;
use crate::report::spread;

/// One way of sending: its name, spans in a batch, and how.
type Row = (&'static str, usize, Sending);

fn rows(authority: &str) -> Vec<Row> {
    let usual = Sending::default();
    let over = |connections: usize| Sending { connections, ..usual.clone() };
    let tls = Sending { authority: Some(authority.to_owned()), ..usual.clone() };
    let gzip = Sending { gzip: true, ..usual.clone() };
    let both = Sending { gzip: true, ..tls.clone() };
    vec![
        ("batches of 512, 2 connections", BATCH_SPANS, usual.clone()),
        ("batches of 1", 1, usual.clone()),
        ("batches of 10", 10, usual.clone()),
        ("batches of 8192", 8192, usual.clone()),
        ("1 connection", BATCH_SPANS, over(1)),
        ("4 connections", BATCH_SPANS, over(4)),
        ("16 connections", BATCH_SPANS, over(16)),
        ("64 connections", BATCH_SPANS, over(64)),
        ("gzip", BATCH_SPANS, gzip),
        ("TLS", BATCH_SPANS, tls),
        ("gzip and TLS", BATCH_SPANS, both),
    ]
}

/// Measures every row `repeats` times and writes the table.
pub fn run(bench: &Bench<'_>, mix: Mix, repeats: usize, out: &mut dyn Write) -> Result<(), Failure> {
    let certificate = Certificate::make()?;
    writeln!(
        out,
        "{} load; CPU of the server with all that it puts off; medians of {repeats}",
        mix.as_str()
    )?;
    writeln!(out, "| sent as | µs a span | / discard | / prost | spans/s | p50 ms | p99 ms |")?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    for (name, batch_spans, sending) in rows(&certificate.pem) {
        let batches = Arc::new(load::batches_of(mix, batch_spans, None));
        let certificate = sending.authority.as_ref().map(|_| &certificate);
        let mut figures: [Vec<f64>; 6] = Default::default();
        for _ in 0..repeats {
            let cost = |subject| bench.run(subject, &batches, &sending, certificate);
            let (discard, prost) = (cost(Subject::Discard)?, cost(Subject::Prost)?);
            let product = cost(Subject::Spantally)?;
            let cpu = product.cpu_us_a_span();
            let values = [
                cpu,
                cpu / discard.cpu_us_a_span(),
                cpu / prost.cpu_us_a_span(),
                product.spans_per_second(),
                product.sent.latency_ms(500),
                product.sent.latency_ms(990),
            ];
            for (figure, value) in figures.iter_mut().zip(values) {
                figure.push(value);
            }
        }
        let [cpu, discard, prost, rate, p50, p99] =
            figures.map(|values| spread(values).map_or(0.0, |(median, ..)| median));
        writeln!(out, "| {name} | {cpu:.2} | {discard:.2} | {prost:.2} | {rate:.0} | {p50:.2} | {p99:.2} |")?;
        out.flush()?;
    }
    Ok(())
}
