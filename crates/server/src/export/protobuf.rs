//! The page in the protobuf format that Prometheus asks for first when it wants more than text can say.
//!
//! A page is one `io.prometheus.client.MetricFamily` after the other, each behind its length. The messages
//! are written as they are read: no value is built for them, only buffers, one for each depth. Field numbers
//! are those of `metrics.proto` in prometheus/client_model. A counter has the name that it has in text 0.0.4,
//! `_total` included.

use prost::encoding::{WireType, encode_key, encode_varint};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use spantally_stitch::UnixNanos;

use super::family::{Exemplar, Family, Histogram, Series, Value};
use super::inventory::Kind;
use super::native::{Native, SCHEMA, ZERO_THRESHOLD};
use super::process::ProcessMetric;
use super::series::Registry;

/// Values of `MetricType`.
const COUNTER: u64 = 0;
const GAUGE: u64 = 1;
const HISTOGRAM: u64 = 4;

/// Writes the whole page: what the registry holds, then what is known of the process.
pub(super) fn write_page(out: &mut Vec<u8>, registry: &Registry, process: &[ProcessMetric]) {
    let mut page = Page {
        out,
        shows_native: registry.shows_native,
        family: Vec::new(),
        metric: Vec::new(),
        part: Vec::new(),
        piece: Vec::new(),
    };
    for family in registry.families() {
        page.family(family);
    }
    for metric in process {
        page.process(metric);
    }
}

/// The page and the buffers of the messages inside one another, outermost first.
struct Page<'a> {
    out: &'a mut Vec<u8>,
    shows_native: bool,
    family: Vec<u8>,
    metric: Vec<u8>,
    part: Vec<u8>,
    piece: Vec<u8>,
}

impl Page<'_> {
    fn family(&mut self, family: &Family) {
        let mut series = family.iter().peekable();
        if series.peek().is_none() {
            return;
        }
        let metric = family.metric;
        let (suffix, kind) = match metric.kind {
            Kind::Counter => ("_total", COUNTER),
            Kind::Gauge => ("", GAUGE),
            Kind::Histogram(_) => ("", HISTOGRAM),
        };
        self.head(&[metric.name, suffix].concat(), metric.help, kind);
        for series in series {
            self.series(family, series);
        }
        if let Some(unit) = metric.unit {
            put_text(&mut self.family, 5, unit);
        }
        self.end_family();
    }

    fn process(&mut self, metric: &ProcessMetric) {
        let (suffix, kind) = if metric.is_counter { ("_total", COUNTER) } else { ("", GAUGE) };
        self.head(&[&metric.name, suffix].concat(), &metric.help, kind);
        self.metric.clear();
        self.part.clear();
        put_double(&mut self.part, 1, metric.value);
        put_message(&mut self.metric, if metric.is_counter { 3 } else { 2 }, &self.part);
        put_message(&mut self.family, 4, &self.metric);
        self.end_family();
    }

    fn head(&mut self, name: &str, help: &str, kind: u64) {
        self.family.clear();
        put_text(&mut self.family, 1, name);
        put_text(&mut self.family, 2, help);
        put_number(&mut self.family, 3, kind);
    }

    fn end_family(&mut self) {
        encode_varint(self.family.len() as u64, self.out);
        self.out.extend_from_slice(&self.family);
    }

    fn series(&mut self, family: &Family, series: &Series) {
        self.metric.clear();
        put_labels(&mut self.metric, &mut self.part, &series.labels);
        self.part.clear();
        let field = match (&series.value, family.metric.kind) {
            (Value::Histogram(histogram), _) => {
                self.histogram(histogram, &family.bounds, series.created);
                7
            }
            (Value::Number(value), Kind::Counter) => {
                put_double(&mut self.part, 1, to_double(*value));
                put_time(&mut self.part, &mut self.piece, 3, series.created);
                3
            }
            (Value::Number(value), _) => {
                put_double(&mut self.part, 1, to_double(*value));
                2
            }
        };
        put_message(&mut self.metric, field, &self.part);
        put_message(&mut self.family, 4, &self.metric);
    }

    fn histogram(&mut self, histogram: &Histogram, bounds: &[Decimal], created: UnixNanos) {
        put_number(&mut self.part, 1, histogram.counts.iter().sum());
        put_double(&mut self.part, 2, to_double(histogram.sum));
        let mut count = 0;
        let mut bucket = Vec::new();
        for (place, here) in histogram.counts.iter().enumerate() {
            count += here;
            bucket.clear();
            put_number(&mut bucket, 1, count);
            put_double(&mut bucket, 2, bounds.get(place).map_or(f64::INFINITY, |&bound| to_double(bound)));
            if let Some(exemplar) = &histogram.exemplars[place] {
                put_exemplar(&mut bucket, exemplar);
            }
            put_message(&mut self.part, 3, &bucket);
        }
        if let Some(native) = histogram.native.as_ref().filter(|_| self.shows_native) {
            put_native(&mut self.part, &mut self.piece, native);
        }
        put_time(&mut self.part, &mut self.piece, 15, created);
    }
}

/// The native counts of a histogram: runs of neighbouring buckets, and each count as the difference to the
/// one before. The zero threshold is what tells a native histogram without observations from a classic one.
fn put_native(out: &mut Vec<u8>, piece: &mut Vec<u8>, native: &Native) {
    put_signed(out, 5, SCHEMA);
    put_double(out, 6, ZERO_THRESHOLD);
    put_number(out, 7, native.zero);
    let mut next = 0;
    for run in native.counts.chunk_by(|one, next| one.0 + 1 == next.0) {
        piece.clear();
        put_signed(piece, 1, i64::from(run[0].0) - next);
        put_number(piece, 2, run.len() as u64);
        put_message(out, 12, piece);
        next = run.last().map_or(next, |last| i64::from(last.0) + 1);
    }
    let mut before = 0;
    for &(_, count) in &native.counts {
        put_signed(out, 13, count.cast_signed() - before);
        before = count.cast_signed();
    }
}

fn put_exemplar(out: &mut Vec<u8>, exemplar: &Exemplar) {
    let (mut message, mut piece) = (Vec::new(), Vec::new());
    for (name, value) in exemplar.labels() {
        put_label(&mut message, &mut piece, name, &value);
    }
    put_double(&mut message, 2, to_double(exemplar.value));
    put_time(&mut message, &mut piece, 3, exemplar.at);
    put_message(out, 3, &message);
}

/// Label pairs from their rendered text, in which values are escaped.
fn put_labels(out: &mut Vec<u8>, piece: &mut Vec<u8>, rendered: &str) {
    let mut rest = rendered;
    while let Some((name, value)) = rest.split_once("=\"") {
        let end = end_of_value(value);
        let text = &value[..end];
        if text.contains('\\') {
            put_label(out, piece, name, &unescaped(text));
        } else {
            put_label(out, piece, name, text);
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

fn put_label(out: &mut Vec<u8>, piece: &mut Vec<u8>, name: &str, value: &str) {
    piece.clear();
    put_text(piece, 1, name);
    put_text(piece, 2, value);
    put_message(out, 1, piece);
}

fn put_time(out: &mut Vec<u8>, piece: &mut Vec<u8>, field: u32, moment: UnixNanos) {
    piece.clear();
    put_number(piece, 1, moment.0 / 1_000_000_000);
    put_number(piece, 2, moment.0 % 1_000_000_000);
    put_message(out, field, piece);
}

fn put_message(out: &mut Vec<u8>, field: u32, message: &[u8]) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(message.len() as u64, out);
    out.extend_from_slice(message);
}

fn put_text(out: &mut Vec<u8>, field: u32, text: &str) {
    put_message(out, field, text.as_bytes());
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
    const EXACT: i128 = 1 << 53;
    let mantissa = value.mantissa();
    match POWERS.get(value.scale() as usize) {
        Some(power) if (-EXACT..=EXACT).contains(&mantissa) => mantissa as f64 / power,
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
        let (mut out, mut piece, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        put_labels(&mut out, &mut piece, rendered);
        for (name, value) in [("a", ""), ("b", "x,y=\"z\""), ("c", "line\nend\\"), ("d", "plain")] {
            put_label(&mut wanted, &mut piece, name, value);
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
