//! The page, in the two text formats; the third one is `protobuf`.
//!
//! They differ in more than a header. Prometheus text 0.0.4 puts `# TYPE` on the full name of a counter and
//! knows neither start times nor exemplars; OpenMetrics 1.0 puts it on the name without `_total`, gives a
//! unit, `_created` and exemplars, wants `le` as a float, and ends with `# EOF`. (Exposition formats and
//! OpenMetrics 1.0, prometheus.io/docs/specs.)

use std::io::Write as _;

use rust_decimal::Decimal;
use spantally_stitch::UnixNanos;

use super::family::{Exemplar, Histogram, Value};
use super::inventory::{Kind, Metric};
use super::number::{write_count, write_decimal, write_hex};
use super::pages::Writer;
use super::process::ProcessMetric;
use super::shown::{Shown, ShownSeries};

/// Writes lines.
#[derive(Debug)]
pub(super) struct Lines {
    is_openmetrics: bool,
    /// Of the metric that is written, the end of the head of each bucket's line: its bound and what closes
    /// the labels.
    bounds: Vec<String>,
    /// Of the histogram that is written, the head of a bucket's line up to its bound.
    head: Vec<u8>,
}

impl Lines {
    pub(super) fn new(is_openmetrics: bool) -> Self {
        Self { is_openmetrics, bounds: Vec::new(), head: Vec::new() }
    }

    fn write_head(&self, out: &mut Vec<u8>, name: &str, kind: &str, unit: Option<&str>, help: &str) {
        let suffix = if kind == "counter" && !self.is_openmetrics { "_total" } else { "" };
        let help = help.replace('\\', r"\\").replace('\n', r"\n");
        // Writing to a vector cannot fail.
        let _ = writeln!(out, "# HELP {name}{suffix} {help}");
        let _ = writeln!(out, "# TYPE {name}{suffix} {kind}");
        if let (Some(unit), true) = (unit, self.is_openmetrics) {
            let _ = writeln!(out, "# UNIT {name} {unit}");
        }
    }

    fn write_number(&self, out: &mut Vec<u8>, metric: &Metric, series: ShownSeries<'_>, value: Decimal) {
        let is_counter = metric.kind == Kind::Counter;
        start(out, metric, if is_counter { "_total" } else { "" }, series.labels);
        write_decimal(out, value);
        out.push(b'\n');
        if is_counter {
            self.write_created(out, metric, series);
        }
    }

    fn write_histogram(
        &mut self,
        out: &mut Vec<u8>,
        metric: &Metric,
        series: ShownSeries<'_>,
        histogram: &Histogram,
    ) {
        self.head.clear();
        let comma = if series.labels.is_empty() { "" } else { "," };
        for part in [metric.name, "_bucket{", series.labels, comma, "le=\""] {
            self.head.extend_from_slice(part.as_bytes());
        }
        let mut count = 0;
        for ((here, exemplar), bound) in histogram.counts.iter().zip(&histogram.exemplars).zip(&self.bounds) {
            count += here;
            out.extend_from_slice(&self.head);
            out.extend_from_slice(bound.as_bytes());
            write_count(out, count);
            if let (Some(exemplar), true) = (exemplar, self.is_openmetrics) {
                write_exemplar(out, exemplar);
            }
            out.push(b'\n');
        }
        start(out, metric, "_sum", series.labels);
        write_decimal(out, histogram.sum);
        out.push(b'\n');
        start(out, metric, "_count", series.labels);
        write_count(out, count);
        out.push(b'\n');
        self.write_created(out, metric, series);
    }

    fn write_created(&self, out: &mut Vec<u8>, metric: &Metric, series: ShownSeries<'_>) {
        if self.is_openmetrics {
            start(out, metric, "_created", series.labels);
            write_seconds(out, series.created);
            out.push(b'\n');
        }
    }
}

impl Writer for Lines {
    fn open(&mut self, shown: &Shown) {
        self.bounds.clear();
        if let Kind::Histogram(bounds) = shown.metric.kind {
            self.bounds.extend(bounds.iter().copied().chain(["+Inf"]).map(|bound| {
                // The canonical form of OpenMetrics; Prometheus 3 turns the other into it.
                let is_bare = self.is_openmetrics && !bound.contains(['.', '+']);
                [bound, if is_bare { ".0" } else { "" }, "\"} "].concat()
            }));
        }
    }

    fn series(&mut self, out: &mut Vec<u8>, shown: &Shown, series: ShownSeries<'_>) {
        match series.value {
            Value::Number(value) => self.write_number(out, shown.metric, series, *value),
            Value::Histogram(histogram) => self.write_histogram(out, shown.metric, series, histogram),
        }
    }

    /// The labels of a histogram are read once for all its lines; those of a number stand before its value
    /// already, and its start does not change.
    fn again(&mut self, out: &mut Vec<u8>, shown: &Shown, series: ShownSeries<'_>, before: &[u8]) {
        let Value::Number(value) = series.value else { return self.series(out, shown, series) };
        let is_followed = self.is_openmetrics && shown.metric.kind == Kind::Counter;
        let line = if is_followed { memchr::memchr(b'\n', before) } else { before.len().checked_sub(1) };
        let line = line.unwrap_or(before.len());
        let head = memchr::memrchr(b' ', &before[..line]).map_or(0, |space| space + 1);
        out.extend_from_slice(&before[..head]);
        write_decimal(out, *value);
        out.extend_from_slice(&before[line..]);
    }

    fn head(&mut self, out: &mut Vec<u8>, shown: &Shown, _: usize) {
        let metric = shown.metric;
        self.write_head(out, metric.name, kind_word(metric.kind), metric.unit, metric.help);
    }

    fn process(&mut self, out: &mut Vec<u8>, metric: &ProcessMetric) {
        let kind = if metric.is_counter { "counter" } else { "gauge" };
        self.write_head(out, &metric.name, kind, None, &metric.help);
        let suffix = if metric.is_counter { "_total" } else { "" };
        // Writing to a vector cannot fail.
        let _ = writeln!(out, "{}{suffix} {}", metric.name, metric.value);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.is_openmetrics {
            out.extend_from_slice(b"# EOF\n");
        }
    }
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    }
}

/// A line up to its value.
fn start(out: &mut Vec<u8>, metric: &Metric, suffix: &str, labels: &str) {
    let (open, close) = if labels.is_empty() { ("", " ") } else { ("{", "} ") };
    for part in [metric.name, suffix, open, labels, close] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// OpenMetrics allows 128 characters of names and values; these are 101.
fn write_exemplar(out: &mut Vec<u8>, exemplar: &Exemplar) {
    out.extend_from_slice(b" # {trace_id=\"");
    write_hex(out, &exemplar.trace_id.0);
    out.extend_from_slice(b"\",span_id=\"");
    write_hex(out, &exemplar.span_id.0);
    out.extend_from_slice(b"\",job_id=\"");
    write_hex(out, &exemplar.job_id.0);
    out.extend_from_slice(b"\"} ");
    write_decimal(out, exemplar.value);
    out.push(b' ');
    write_seconds(out, exemplar.at);
}

/// Seconds since 1970, to the millisecond.
fn write_seconds(out: &mut Vec<u8>, moment: UnixNanos) {
    write_decimal(out, Decimal::new((moment.0 / 1_000_000).cast_signed(), 3));
}

#[cfg(test)]
mod tests;
