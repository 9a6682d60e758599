//! Bytes to batches under the built-in rules.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Link;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use super::*;
use crate::batch::RejectReason;
use crate::receivers::testing::{call_span, recogniser, request, text};

#[test]
fn every_span_is_evidence_ignored_or_rejected() {
    let other = Span {
        attributes: vec![text("http.request.method", "GET"), text("url.full", "https://example.com/")],
        ..call_span(2)
    };
    let spans = vec![call_span(1), other, Span { trace_id: vec![1; 2], ..call_span(3) }];
    let batch = read(Transport::Grpc, &request("clips", spans).encode_to_vec());
    assert_eq!(batch.tally.received, 3);
    assert_eq!(batch.tally.ignored, 1);
    assert_eq!(batch.tally.rejected[RejectReason::TraceId as usize], 1);
    assert_eq!(batch.evidence.len(), 1);
    assert_eq!(&*batch.evidence[0].client.service, "clips");
    assert_eq!(&*batch.evidence[0].client.tenant, "t");
}

/// What was made of the first holds for the others.
#[test]
fn spans_that_repeat_one_another_are_evidence_or_ignored_each() {
    let other = |number| Span {
        attributes: vec![text("http.request.method", "GET"), text("url.full", "https://example.com/")],
        ..call_span(number)
    };
    let again = |number: u8, span: Span| Span { span_id: vec![number; 8], ..span };
    let spans = vec![
        call_span(1),
        again(11, call_span(1)),
        other(2),
        again(12, other(2)),
        Span { name: "last".into(), ..call_span(3) },
    ];
    let alone = |span: &Span| read(Transport::Grpc, &request("clips", vec![span.clone()]).encode_to_vec());
    let batch = read(Transport::Grpc, &request("clips", spans.clone()).encode_to_vec());
    assert_eq!((batch.tally.received, batch.tally.ignored), (5, 2));
    let each: Vec<_> = spans.iter().flat_map(|span| alone(span).evidence).collect();
    assert_eq!(batch.evidence, each);
}

/// Also those that repeat one another, and not those of a request that cannot be read.
#[test]
fn requests_that_no_rule_takes_are_counted() {
    let to = |id: u8, url: &str| Span {
        attributes: vec![text("http.request.method", "POST"), text("url.full", url)],
        ..call_span(id)
    };
    let unknown = |id| to(id, "https://queue.fal.run/");
    let spans = vec![
        call_span(1),
        unknown(2),
        Span { span_id: vec![9; 8], ..unknown(2) },
        to(3, "https://api.dev.runwayml.com/v9/clips"),
        to(4, "https://example.com/"),
    ];
    let (rules, mut cache) = (recogniser(), ReadCache::default());
    let mut body = request("clips", spans).encode_to_vec();
    let stats = IntakeStats::default();
    for _ in 0..2 {
        let batch = read_batch(&rules, &mut cache, "t", Transport::Grpc, &body).unwrap();
        assert_eq!((batch.tally.received, batch.tally.ignored), (5, 4));
        stats.unrecognised(&rules, cache.take_unrecognised());
    }
    let counted = [(("fal".into(), "POST"), 4), (("runway".into(), "POST"), 2)];
    assert_eq!(stats.unrecognised_requests(), counted.into());
    body.push(0xff);
    assert!(read_batch(&rules, &mut cache, "t", Transport::Grpc, &body).is_err());
    assert!(cache.take_unrecognised().is_empty());
}

/// Also those that repeat one another, and neither a span that is no call nor a request that cannot be read.
#[test]
fn calls_that_stand_for_others_are_counted() {
    let rate = |span: Span, rate: i64| {
        let value = Some(AnyValue { value: Some(Any::IntValue(rate)) });
        let rate = KeyValue { key: "SampleRate".into(), value, ..KeyValue::default() };
        Span { attributes: [span.attributes, vec![rate]].concat(), ..span }
    };
    let thinned = |span: Span| Span { trace_state: "ot=th:8".into(), ..span };
    let other = Span { attributes: vec![text("url.full", "https://example.com/")], ..call_span(1) };
    let spans = vec![
        call_span(2),
        thinned(call_span(3)),
        rate(call_span(4), 10),
        rate(call_span(5), 10),
        rate(call_span(6), 1),
        thinned(other.clone()),
        rate(other, 10),
        // What the span before wrote does not hold for this one.
        call_span(7),
    ];
    let (rules, mut cache) = (recogniser(), ReadCache::default());
    let mut body = request("clips", spans).encode_to_vec();
    let stats = IntakeStats::default();
    for _ in 0..2 {
        read_batch(&rules, &mut cache, "t", Transport::Grpc, &body).unwrap();
        let sampled = cache.take_sampled();
        let stream = Stream { provider: "fal".into(), service: "clips".into() };
        assert_eq!(sampled, [(stream, 3)].into());
        stats.sampled.note(sampled);
    }
    assert_eq!(stats.sampled.by_provider(), [("fal".into(), 6)].into());
    body.push(0xff);
    assert!(read_batch(&rules, &mut cache, "t", Transport::Grpc, &body).is_err());
    assert!(cache.take_sampled().is_empty());
}

#[test]
fn links_are_kept_once_each_and_up_to_a_bound() {
    let link = |number: u32| Link {
        trace_id: vec![7; 16],
        span_id: [&[1; 4][..], &number.to_be_bytes()].concat(),
        ..Link::default()
    };
    let linked = |id: u8, count: u32| {
        let links = (0..count).flat_map(|number| [link(number / 2), link(number)]).collect();
        Span { links, ..call_span(id) }
    };
    let spans = vec![linked(1, 3), linked(2, 200), linked(3, 200)];
    let (mut cache, body) = (ReadCache::default(), request("clips", spans).encode_to_vec());
    let batch = read_batch(&recogniser(), &mut cache, "t", Transport::Grpc, &body).unwrap();
    let kept: Vec<_> = batch.evidence.iter().map(|evidence| evidence.links().len()).collect();
    assert_eq!(kept, [3, 128, 128]);
    // Past the bound none is looked for among those that are kept.
    assert_eq!(cache.take_left_out().links, 2 * 2 * (200 - 128));
    assert_eq!(cache.take_left_out(), LeftOut::default());
}

#[test]
fn texts_that_were_cut_are_counted() {
    let (mut cache, body) = (ReadCache::default(), request(&"A".repeat(1_000_000), vec![call_span(1)]));
    let batch = read_batch(&recogniser(), &mut cache, "t", Transport::Grpc, &body.encode_to_vec()).unwrap();
    assert_eq!(batch.evidence[0].client.service.len(), 256);
    assert_eq!(cache.take_left_out().texts.labels, 1);
}

#[test]
fn json_and_protobuf_make_the_same_batch() {
    let request = request("clips", vec![call_span(1), call_span(2)]);
    let json = serde_json::to_vec(&request).unwrap();
    let mut from_json = read(Transport::HttpJson, &json);
    assert_eq!(from_json.transport, Transport::HttpJson);
    from_json.transport = Transport::Grpc;
    assert_eq!(from_json, read(Transport::Grpc, &request.encode_to_vec()));
}

#[test]
fn spans_of_one_resource_share_their_client_across_requests() {
    let recogniser = recogniser();
    let mut cache = ReadCache::default();
    let mut read = |service| {
        let body = request(service, vec![call_span(1), call_span(2)]).encode_to_vec();
        read_batch(&recogniser, &mut cache, "", Transport::Grpc, &body).unwrap()
    };
    let (first, second, other) = (read("clips"), read("clips"), read("stills"));
    assert!(Arc::ptr_eq(&first.evidence[0].client, &first.evidence[1].client));
    assert!(Arc::ptr_eq(&first.evidence[0].client, &second.evidence[0].client));
    assert_eq!(&*other.evidence[0].client.service, "stills");
}

#[test]
fn a_resource_after_its_spans_and_in_parts_is_theirs_all_the_same() {
    let part = |key: &str, value: &str| {
        let resource = Some(Resource { attributes: vec![text(key, value)], ..Resource::default() });
        ResourceSpans { resource, ..ResourceSpans::default() }.encode_to_vec()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![call_span(1)], ..ScopeSpans::default() }];
    let spans = ResourceSpans { scope_spans, ..ResourceSpans::default() }.encode_to_vec();
    let inner = [spans, part("service.name", "clips"), part("service.instance.id", "i-1")].concat();
    let mut body = vec![0x0a];
    prost::encode_length_delimiter(inner.len(), &mut body).unwrap();
    body.extend(inner);
    let client = read(Transport::Grpc, &body).evidence.remove(0).client;
    assert_eq!((&*client.service, &*client.instance), ("clips", "i-1"));
}

#[test]
fn text_that_is_not_utf8_costs_a_span_only_where_a_rule_reads_it() {
    let bodies = ["url.full", "some.prompt"].map(|key| {
        let mut span = call_span(1);
        span.attributes.push(KeyValue {
            key: key.into(),
            value: Some(AnyValue { value: Some(Any::StringValue("~~".into())) }),
            ..KeyValue::default()
        });
        let mut body = request("clips", vec![span, call_span(2)]).encode_to_vec();
        let at = body.windows(2).position(|two| two == b"~~").unwrap();
        body[at] = 0xff;
        body
    });
    let [named, unnamed] = bodies.map(|body| {
        ExportTraceServiceRequest::decode(&*body).unwrap_err();
        read(Transport::Grpc, &body)
    });
    assert_eq!(named.tally.rejected[RejectReason::Encoding as usize], 1);
    assert_eq!(named.evidence.len(), 1);
    assert_eq!(unnamed.evidence.len(), 2);
}

fn read(transport: Transport, body: &[u8]) -> Batch {
    read_batch(&recogniser(), &mut ReadCache::default(), "t", transport, body).unwrap()
}
