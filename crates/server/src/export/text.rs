//! The page, in the two text formats; the third one is `protobuf`.
//!
//! They differ in more than a header. Prometheus text 0.0.4 puts `# TYPE` on the full name of a counter and
//! knows neither start times nor exemplars; OpenMetrics 1.0 puts it on the name without `_total`, gives a
//! unit, `_created` and exemplars, wants `le` as a float, and ends with `# EOF`. (Exposition formats and
//! OpenMetrics 1.0, prometheus.io/docs/specs.)

use std::io::Write as _;

use rust_decimal::Decimal;
use spantally_stitch::UnixNanos;

use super::accept::Format;
use super::family::{Exemplar, Family, Histogram, Value};
use super::inventory::{Kind, Metric};
use super::number::{write_count, write_decimal};
use super::process::ProcessMetric;
use super::protobuf;
use super::series::Registry;

/// Writes the whole page: what the registry holds, then what is known of the process.
pub fn write_page(out: &mut Vec<u8>, format: Format, registry: &Registry, process: &[ProcessMetric]) {
    if format.is_protobuf() {
        return protobuf::write_page(out, registry, process);
    }
    for family in registry.families() {
        let mut series = family.iter().peekable();
        if series.peek().is_none() {
            continue;
        }
        let metric = family.metric;
        write_head(out, format, metric.name, kind_word(metric.kind), metric.unit, metric.help);
        if matches!(metric.kind, Kind::Histogram(_)) {
            for series in series {
                if let Value::Histogram(histogram) = &series.value {
                    let line = Line { format, metric, labels: &series.labels };
                    line.write_histogram(out, histogram, series.created);
                }
            }
        } else {
            write_numbers(out, format, family);
        }
    }
    for metric in process {
        let kind = if metric.is_counter { "counter" } else { "gauge" };
        write_head(out, format, &metric.name, kind, None, &metric.help);
        out.extend_from_slice(metric.name.as_bytes());
        if metric.is_counter {
            out.extend_from_slice(b"_total");
        }
        // Writing to a vector cannot fail.
        let _ = writeln!(out, " {}", metric.value);
    }
    if format.is_openmetrics() {
        out.extend_from_slice(b"# EOF\n");
    }
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    }
}

fn write_head(out: &mut Vec<u8>, format: Format, name: &str, kind: &str, unit: Option<&str>, help: &str) {
    let suffix = if kind == "counter" && !format.is_openmetrics() { "_total" } else { "" };
    let help = help.replace('\\', r"\\").replace('\n', r"\n");
    // Writing to a vector cannot fail.
    let _ = writeln!(out, "# HELP {name}{suffix} {help}");
    let _ = writeln!(out, "# TYPE {name}{suffix} {kind}");
    if let (Some(unit), true) = (unit, format.is_openmetrics()) {
        let _ = writeln!(out, "# UNIT {name} {unit}");
    }
}

/// The samples of a counter or a gauge.
fn write_numbers(out: &mut Vec<u8>, format: Format, family: &Family) {
    let name = family.metric.name;
    let is_started = family.metric.kind == Kind::Counter && format.is_openmetrics();
    for (head, series) in family.iter_with_heads() {
        let Value::Number(value) = &series.value else { continue };
        out.extend_from_slice(head);
        write_decimal(out, *value);
        out.push(b'\n');
        if is_started {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"_created");
            out.extend_from_slice(&head[name.len() + "_total".len()..]);
            write_seconds(out, series.created);
            out.push(b'\n');
        }
    }
}

/// What the samples of one histogram share.
struct Line<'a> {
    format: Format,
    metric: &'static Metric,
    labels: &'a str,
}

impl Line<'_> {
    /// The name with a suffix, and the labels with a last one when there is one.
    fn start(&self, out: &mut Vec<u8>, suffix: &str, le: Option<&str>) {
        // One growth a line: the name and the labels are nearly all of it.
        out.reserve(self.metric.name.len() + self.labels.len() + 96);
        out.extend_from_slice(self.metric.name.as_bytes());
        out.extend_from_slice(suffix.as_bytes());
        if !self.labels.is_empty() || le.is_some() {
            out.push(b'{');
            out.extend_from_slice(self.labels.as_bytes());
            if let Some(le) = le {
                if !self.labels.is_empty() {
                    out.push(b',');
                }
                out.extend_from_slice(b"le=\"");
                out.extend_from_slice(le.as_bytes());
                // The canonical form of OpenMetrics; Prometheus 3 turns the other into it.
                if self.format.is_openmetrics() && !le.contains(['.', '+']) {
                    out.extend_from_slice(b".0");
                }
                out.push(b'"');
            }
            out.push(b'}');
        }
        out.push(b' ');
    }

    fn write_histogram(&self, out: &mut Vec<u8>, histogram: &Histogram, created: UnixNanos) {
        let Kind::Histogram(bounds) = self.metric.kind else { return };
        let mut count = 0;
        for (bucket, le) in bounds.iter().copied().chain(["+Inf"]).enumerate() {
            count += histogram.counts[bucket];
            self.start(out, "_bucket", Some(le));
            write_count(out, count);
            if let (Some(exemplar), true) = (&histogram.exemplars[bucket], self.format.is_openmetrics()) {
                write_exemplar(out, exemplar);
            }
            out.push(b'\n');
        }
        self.start(out, "_sum", None);
        write_decimal(out, histogram.sum);
        out.push(b'\n');
        self.start(out, "_count", None);
        write_count(out, count);
        out.push(b'\n');
        self.write_created(out, created);
    }

    fn write_created(&self, out: &mut Vec<u8>, created: UnixNanos) {
        if self.format.is_openmetrics() {
            self.start(out, "_created", None);
            write_seconds(out, created);
            out.push(b'\n');
        }
    }
}

fn write_exemplar(out: &mut Vec<u8>, exemplar: &Exemplar) {
    let [(trace, trace_id), (span, span_id), (job, job_id)] = exemplar.labels();
    // Writing to a vector cannot fail.
    let _ = write!(out, " # {{{trace}=\"{trace_id}\",{span}=\"{span_id}\",{job}=\"{job_id}\"}} ");
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
