//! The page in the protobuf format that Prometheus asks for first when it wants more than text can say.
//!
//! A page is one `io.prometheus.client.MetricFamily` after the other, each behind its length. The series come
//! last in it, so that what stands before them can be written when they are known. Messages inside are
//! written in their place, without a buffer of their own, and moved in the rare case that a length takes more
//! or fewer bytes than it was given. Field numbers are those of `metrics.proto` in prometheus/client_model. A
//! counter has the name that it has in text 0.0.4, `_total` included.

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use spantally_stitch::UnixNanos;

use super::family::{Exemplar, Histogram, Value};
use super::inventory::Kind;
use super::native::{Native, SCHEMA, ZERO_THRESHOLD};
use super::number::write_hex;
use super::pages::Writer;
use super::process::ProcessMetric;
use super::shown::{Shown, ShownSeries};

/// Values of `MetricType`.
const COUNTER: u64 = 0;
const GAUGE: u64 = 1;
const HISTOGRAM: u64 = 4;

/// Bytes of a double.
const DOUBLE: usize = 8;

/// Writes messages.
#[derive(Debug)]
pub(super) struct Messages {
    shows_native: bool,
    /// Of the metric that is written, the bounds of its buckets.
    bounds: Vec<f64>,
}

impl Messages {
    pub(super) fn new(shows_native: bool) -> Self {
        Self { shows_native, bounds: Vec::new() }
    }

    fn put_histogram(&self, out: &mut Vec<u8>, histogram: &Histogram, created: UnixNanos) {
        put_number(out, 1, histogram.counts.iter().sum());
        put_double(out, 2, to_double(histogram.sum));
        let mut count = 0;
        for ((here, exemplar), bound) in histogram.counts.iter().zip(&histogram.exemplars).zip(&self.bounds) {
            count += here;
            put_nested(out, 3, 1, |out| {
                put_number(out, 1, count);
                put_double(out, 2, *bound);
                if let Some(exemplar) = exemplar {
                    put_nested(out, 3, 2, |out| put_exemplar(out, exemplar));
                }
            });
        }
        if let Some(native) = histogram.native.as_ref().filter(|_| self.shows_native) {
            put_native(out, native);
        }
        put_time(out, 15, created);
    }
}

impl Writer for Messages {
    fn open(&mut self, shown: &Shown) {
        self.bounds.clear();
        if let Kind::Histogram(bounds) = shown.metric.kind {
            self.bounds.extend(bounds.iter().filter_map(|bound| bound.parse::<f64>().ok()));
            self.bounds.push(f64::INFINITY);
        }
    }

    /// The value of a number is the last that is written of it.
    fn series(&mut self, out: &mut Vec<u8>, shown: &Shown, series: ShownSeries<'_>) {
        put_nested(out, 4, 2, |out| {
            put_labels(out, series.labels);
            match series.value {
                Value::Histogram(histogram) => {
                    put_nested(out, 7, 2, |out| self.put_histogram(out, histogram, series.created));
                }
                Value::Number(value) if shown.metric.kind == Kind::Counter => {
                    put_nested(out, 3, 1, |out| {
                        put_time(out, 3, series.created);
                        put_double(out, 1, to_double(*value));
                    });
                }
                Value::Number(value) => put_nested(out, 2, 1, |out| put_double(out, 1, to_double(*value))),
            }
        });
    }

    /// Of a number eight bytes are others, and they are the last.
    fn again(&mut self, out: &mut Vec<u8>, shown: &Shown, series: ShownSeries<'_>, before: &[u8]) {
        let Value::Number(value) = series.value else { return self.series(out, shown, series) };
        out.extend_from_slice(&before[..before.len() - DOUBLE]);
        out.extend_from_slice(&to_double(*value).to_le_bytes());
    }

    /// The beginning of the family's message, whose length holds that of the series.
    fn head(&mut self, out: &mut Vec<u8>, shown: &Shown, series_bytes: usize) {
        let metric = shown.metric;
        let (suffix, kind) = match metric.kind {
            Kind::Counter => ("_total", COUNTER),
            Kind::Gauge => ("", GAUGE),
            Kind::Histogram(_) => ("", HISTOGRAM),
        };
        put_family(out, [metric.name, suffix], metric.help, kind, metric.unit, series_bytes);
    }

    fn process(&mut self, out: &mut Vec<u8>, metric: &ProcessMetric) {
        let (suffix, kind, field) = if metric.is_counter { ("_total", COUNTER, 3) } else { ("", GAUGE, 2) };
        let mut series = Vec::new();
        put_nested(&mut series, 4, 1, |out| {
            put_nested(out, field, 1, |out| put_double(out, 1, metric.value));
        });
        put_family(out, [&metric.name, suffix], &metric.help, kind, None, series.len());
        out.extend_from_slice(&series);
    }

    fn end(&mut self, _: &mut Vec<u8>) {}
}

/// A family up to its series, which take so many bytes.
fn put_family(
    out: &mut Vec<u8>,
    name: [&str; 2],
    help: &str,
    kind: u64,
    unit: Option<&str>,
    series_bytes: usize,
) {
    let mut head = Vec::new();
    put_text(&mut head, 1, &name.concat());
    put_text(&mut head, 2, help);
    put_number(&mut head, 3, kind);
    if let Some(unit) = unit {
        put_text(&mut head, 5, unit);
    }
    encode_varint((head.len() + series_bytes) as u64, out);
    out.extend_from_slice(&head);
}

/// A message inside another, written in its place; its length is likely to take so many bytes.
fn put_nested(out: &mut Vec<u8>, field: u32, likely: usize, write: impl FnOnce(&mut Vec<u8>)) {
    encode_key(field, WireType::LengthDelimited, out);
    let begin = out.len();
    out.resize(begin + likely, 0);
    write(out);
    let (start, end) = (begin + likely, out.len());
    let length = (end - start) as u64;
    let needed = encoded_len_varint(length);
    if needed != likely {
        out.resize(end.max(end + needed - likely), 0);
        out.copy_within(start..end, begin + needed);
        out.truncate(begin + needed + (end - start));
    }
    encode_varint(length, &mut &mut out[begin..begin + needed]);
}

/// The native counts of a histogram: runs of neighbouring buckets, and each count as the difference to the
/// one before. The zero threshold is what tells a native histogram without observations from a classic one.
fn put_native(out: &mut Vec<u8>, native: &Native) {
    put_signed(out, 5, SCHEMA);
    put_double(out, 6, ZERO_THRESHOLD);
    put_number(out, 7, native.zero);
    let mut next = 0;
    for run in native.counts.chunk_by(|one, next| one.0 + 1 == next.0) {
        put_nested(out, 12, 1, |out| {
            put_signed(out, 1, i64::from(run[0].0) - next);
            put_number(out, 2, run.len() as u64);
        });
        next = run.last().map_or(next, |last| i64::from(last.0) + 1);
    }
    let mut before = 0;
    for &(_, count) in &native.counts {
        put_signed(out, 13, count.cast_signed() - before);
        before = count.cast_signed();
    }
}

fn put_exemplar(out: &mut Vec<u8>, exemplar: &Exemplar) {
    for (name, id) in [
        ("trace_id", &exemplar.trace_id.0[..]),
        ("span_id", &exemplar.span_id.0[..]),
        ("job_id", &exemplar.job_id.0[..]),
    ] {
        put_nested(out, 1, 1, |out| {
            put_text(out, 1, name);
            put_nested(out, 2, 1, |out| write_hex(out, id));
        });
    }
    put_double(out, 2, to_double(exemplar.value));
    put_time(out, 3, exemplar.at);
}

/// Label pairs from their rendered text, in which values are escaped.
fn put_labels(out: &mut Vec<u8>, rendered: &str) {
    let mut rest = rendered;
    while let Some((name, value)) = rest.split_once("=\"") {
        let end = end_of_value(value);
        let text = &value[..end];
        if text.contains('\\') {
            put_label(out, name, &unescaped(text));
        } else {
            put_label(out, name, text);
        }
        rest = value[end..].trim_start_matches('"').trim_start_matches(',');
    }
}

/// Where the quote is that ends a value: the first one that is not escaped.
fn end_of_value(text: &str) -> usize {
    let mut is_escaped = false;
    let ends = |byte: u8| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    };
    text.bytes().position(ends).unwrap_or(text.len())
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(match chars.next() {
                Some('n') => '\n',
                Some(other) => other,
                None => '\\',
            }),
            _ => out.push(c),
        }
    }
    out
}

fn put_label(out: &mut Vec<u8>, name: &str, value: &str) {
    put_nested(out, 1, 1, |out| {
        put_text(out, 1, name);
        put_text(out, 2, value);
    });
}

fn put_time(out: &mut Vec<u8>, field: u32, moment: UnixNanos) {
    put_nested(out, field, 1, |out| {
        put_number(out, 1, moment.0 / 1_000_000_000);
        put_number(out, 2, moment.0 % 1_000_000_000);
    });
}

fn put_text(out: &mut Vec<u8>, field: u32, text: &str) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

fn put_number(out: &mut Vec<u8>, field: u32, number: u64) {
    encode_key(field, WireType::Varint, out);
    encode_varint(number, out);
}

/// A `sint32` or `sint64`: small negative numbers are short.
fn put_signed(out: &mut Vec<u8>, field: u32, number: i64) {
    put_number(out, field, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

fn put_double(out: &mut Vec<u8>, field: u32, number: f64) {
    encode_key(field, WireType::SixtyFourBit, out);
    out.extend_from_slice(&number.to_le_bytes());
}

/// Powers of ten that a double holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// The nearest double. Where mantissa and power of ten are exact, one division is; the rest goes by text.
fn to_double(value: Decimal) -> f64 {
    const EXACT: u64 = 1 << 53;
    let parts = value.unpack();
    let mantissa = u64::from(parts.mid) << 32 | u64::from(parts.lo);
    match POWERS.get(parts.scale as usize) {
        Some(power) if parts.hi == 0 && mantissa <= EXACT => {
            let double = mantissa as f64 / power;
            if parts.negative { -double } else { double }
        }
        _ => value.to_string().parse().ok().or_else(|| value.to_f64()).unwrap_or(f64::NAN),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn labels_come_back_as_they_were() {
        let rendered = r#"a="",b="x,y=\"z\"",c="line\nend\\",d="plain""#;
        let (mut out, mut wanted) = (Vec::new(), Vec::new());
        put_labels(&mut out, rendered);
        for (name, value) in [("a", ""), ("b", "x,y=\"z\""), ("c", "line\nend\\"), ("d", "plain")] {
            put_label(&mut wanted, name, value);
        }
        assert_eq!(out, wanted);
    }

    proptest! {
        #[test]
        fn a_double_is_the_nearest_one(mantissa in any::<i64>(), scale in 0_u32..=28) {
            let value = Decimal::new(mantissa, scale);
            let parsed: f64 = value.to_string().parse().unwrap();
            prop_assert_eq!(to_double(value).to_bits(), parsed.to_bits());
        }
    }
}
