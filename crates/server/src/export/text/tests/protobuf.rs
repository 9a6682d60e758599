//! The protobuf page, read back by messages of its own and compared with the text page.

use prost::Message;

use super::*;

#[derive(Clone, PartialEq, Message)]
struct MetricFamily {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    help: Option<String>,
    #[prost(int32, optional, tag = "3")]
    kind: Option<i32>,
    #[prost(message, repeated, tag = "4")]
    metric: Vec<ProtoMetric>,
    #[prost(string, optional, tag = "5")]
    unit: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct ProtoMetric {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<ProtoNumber>,
    #[prost(message, optional, tag = "3")]
    counter: Option<ProtoNumber>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<ProtoHistogram>,
}

#[derive(Clone, PartialEq, Message)]
struct LabelPair {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    value: Option<String>,
}

/// A gauge, or a counter with its start.
#[derive(Clone, PartialEq, Message)]
struct ProtoNumber {
    #[prost(double, optional, tag = "1")]
    value: Option<f64>,
    #[prost(message, optional, tag = "3")]
    created: Option<Time>,
}

#[derive(Clone, PartialEq, Message)]
struct Time {
    #[prost(int64, optional, tag = "1")]
    seconds: Option<i64>,
    #[prost(int32, optional, tag = "2")]
    nanos: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct ProtoHistogram {
    #[prost(uint64, optional, tag = "1")]
    count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    sum: Option<f64>,
    #[prost(message, repeated, tag = "3")]
    bucket: Vec<Bucket>,
    #[prost(sint32, optional, tag = "5")]
    schema: Option<i32>,
    #[prost(double, optional, tag = "6")]
    zero_threshold: Option<f64>,
    #[prost(uint64, optional, tag = "7")]
    zero_count: Option<u64>,
    #[prost(message, repeated, tag = "12")]
    positive_span: Vec<BucketSpan>,
    #[prost(sint64, repeated, packed = "false", tag = "13")]
    positive_delta: Vec<i64>,
    #[prost(message, optional, tag = "15")]
    created: Option<Time>,
}

#[derive(Clone, PartialEq, Message)]
struct BucketSpan {
    #[prost(sint32, optional, tag = "1")]
    offset: Option<i32>,
    #[prost(uint32, optional, tag = "2")]
    length: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct Bucket {
    #[prost(uint64, optional, tag = "1")]
    count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    upper_bound: Option<f64>,
    #[prost(message, optional, tag = "3")]
    exemplar: Option<ProtoExemplar>,
}

#[derive(Clone, PartialEq, Message)]
struct ProtoExemplar {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(double, optional, tag = "2")]
    value: Option<f64>,
    #[prost(message, optional, tag = "3")]
    at: Option<Time>,
}

fn families(registry: &Registry) -> Vec<MetricFamily> {
    let page = Pages::of(registry).write(Format::Protobuf(Escaping::Unnamed), &process()).to_vec();
    let mut rest = &page[..];
    let mut families = Vec::new();
    while !rest.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut rest).unwrap());
    }
    families
}

#[test]
fn the_protobuf_page_is_golden() {
    insta::assert_debug_snapshot!(families(&small()));
}

/// With native histograms: runs of buckets and differences of counts, the classic ones beside them.
#[test]
fn native_histograms_stand_beside_the_classic_ones() {
    let mut registry = small();
    registry.show_native_histograms(true);
    let other = CommonLabels {
        provider: "runway",
        model: "gen4",
        operation: "",
        service: "clips",
        tenant: "",
        extra: &[],
    };
    let attempts = registry.intern(&other);
    let attempts = registry.series(MetricId::JobAttempts, attempts, &["succeeded"], START);
    for value in ["0", "1", "1", "1.05", "4"] {
        registry.observe(attempts, value.parse().unwrap(), None);
    }
    let families = families(&registry);
    let of_jobs = families.iter().find(|family| family.name.as_deref() == Some("spantally_job_attempts"));
    insta::assert_debug_snapshot!(of_jobs.unwrap());
    let histograms = families.iter().flat_map(|family| &family.metric).filter_map(|m| m.histogram.as_ref());
    for histogram in histograms.filter(|histogram| histogram.schema.is_some()) {
        let (mut count, mut sum) = (0, histogram.zero_count.unwrap().cast_signed());
        for delta in &histogram.positive_delta {
            count += delta;
            sum += count;
        }
        assert_eq!(sum.cast_unsigned(), histogram.count.unwrap());
        let length: u32 = histogram.positive_span.iter().map(|span| span.length.unwrap()).sum();
        assert_eq!(length as usize, histogram.positive_delta.len());
    }
}

fn labels(pairs: &[LabelPair], extra: Option<(&str, &str)>) -> String {
    let mut text = String::new();
    for pair in pairs {
        super::super::super::labels::push_label(
            &mut text,
            pair.name.as_deref().unwrap(),
            pair.value.as_deref().unwrap(),
        );
    }
    if let Some((name, value)) = extra {
        super::super::super::labels::push_label(&mut text, name, value);
    }
    if text.is_empty() { text } else { format!("{{{text}}}") }
}

/// The lines that the text page would have for a family.
fn lines(family: &MetricFamily) -> Vec<(String, f64)> {
    let name = family.name.as_deref().unwrap();
    let mut lines = Vec::new();
    for metric in &family.metric {
        let own = labels(&metric.label, None);
        if let Some(number) = metric.gauge.as_ref().or(metric.counter.as_ref()) {
            lines.push((format!("{name}{own}"), number.value.unwrap()));
        }
        let Some(histogram) = &metric.histogram else { continue };
        for bucket in &histogram.bucket {
            let bound = bucket.upper_bound.unwrap();
            let le = if bound.is_infinite() { "+Inf".to_owned() } else { bound.to_string() };
            let with_le = labels(&metric.label, Some(("le", &le)));
            lines.push((format!("{name}_bucket{with_le}"), bucket.count.unwrap() as f64));
        }
        lines.push((format!("{name}_sum{own}"), histogram.sum.unwrap()));
        lines.push((format!("{name}_count{own}"), histogram.count.unwrap() as f64));
    }
    lines
}

/// Every metric of the inventory says the same in both formats.
#[test]
fn the_protobuf_page_says_what_the_text_page_says() {
    for registry in [small(), full()] {
        let text = page(Format::Text, &registry);
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let text: Vec<(String, f64)> = samples
            .map(|line| {
                let (series, value) = line.rsplit_once(' ').unwrap();
                (series.to_owned(), value.parse().unwrap())
            })
            .collect();
        let protobuf: Vec<(String, f64)> = families(&registry).iter().flat_map(lines).collect();
        assert_eq!(protobuf, text);
    }
}
