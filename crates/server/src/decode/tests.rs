//! The reader by hand-made bytes, one rule a test; [`oracle`] holds it against prost on generated ones.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

mod oracle;

use super::*;

/// What a visitor is told, written down.
#[derive(Default)]
struct Told(Vec<String>);

impl Visitor for Told {
    fn resource(&mut self, resource: &ResourceView<'_>, _encoded: Option<&[u8]>) {
        self.0.push(format!("resource {:?}", resource.attributes.iter().collect::<Vec<_>>()));
    }

    fn span(&mut self, span: &SpanView<'_>) {
        self.0.push(format!("{} {} {:?}", span.scope, span.name, span.attributes.iter().collect::<Vec<_>>()));
    }

    fn rejected(&mut self, reason: RejectReason) {
        self.0.push(format!("rejected {}", reason.as_str()));
    }
}

fn keys() -> AttributeKeys {
    let mut keys = AttributeKeys::default();
    keys.slot_of("service.name");
    keys.slot_of("url.full");
    keys
}

fn told(body: &[u8]) -> std::result::Result<Vec<String>, DecodeError> {
    let mut told = Told::default();
    read(body, &keys(), &mut told)?;
    Ok(told.0)
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Any::StringValue(value.into())) });
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}

fn good_span(name: &str) -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: name.into(),
        start_time_unix_nano: 1_000,
        end_time_unix_nano: 2_000,
        attributes: vec![text("url.full", "https://a/b"), text("prompt", "a cat")],
        ..Span::default()
    }
}

fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope = Some(InstrumentationScope { name: "lib".into(), ..InstrumentationScope::default() });
    let resource = Some(Resource { attributes: vec![text("service.name", "clips")], ..Resource::default() });
    let scope_spans = vec![ScopeSpans { scope, spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }
}

#[test]
fn a_span_comes_with_its_resource_scope_and_the_attributes_that_rules_name() {
    let told = told(&request(vec![good_span("GET")]).encode_to_vec()).unwrap();
    assert_eq!(
        told,
        [r#"resource [Some(Text("clips")), None]"#, r#"lib GET [None, Some(Text("https://a/b"))]"#,]
    );
}

#[test]
fn an_empty_body_is_an_empty_request() {
    assert_eq!(told(&[]).unwrap(), [""; 0]);
}

#[test]
fn every_cut_of_a_request_is_refused_or_ends_between_two_resources() {
    let body = request(vec![good_span("GET")]).encode_to_vec();
    for len in 1..body.len() {
        let error = told(&body[..len]).unwrap_err();
        assert!(error.to_string().contains("of the protobuf body"), "{error}");
    }
}

/// A request that is one unknown field, or one field of `ResourceSpans`, in these bytes.
fn refusal(bytes: &[u8]) -> Option<String> {
    let ours = told(bytes).err().map(|error| error.to_string());
    let prost = ExportTraceServiceRequest::decode(bytes).is_err();
    assert_eq!(ours.is_some(), prost, "prost differs on {bytes:?}");
    ours
}

#[test]
fn the_wire_format_is_refused_where_prost_refuses_it() {
    const TEN: [u8; 9] = [0xff; 9];
    let varint = |last: &[u8]| [&[0x10][..], &TEN, last].concat();
    let table: [(Vec<u8>, Option<&str>); 17] = [
        (varint(&[1]), None),
        (varint(&[0]), None),
        (
            varint(&[2]),
            Some("byte 1 of the protobuf body, in ExportTraceServiceRequest: a varint has no end"),
        ),
        (varint(&[0x81, 0]), Some("a varint has no end")),
        (vec![0x10, 0x80], Some("a varint has no end")),
        (vec![0x10], Some("a varint has no end")),
        (vec![0x00, 0], Some("0 is no field key")),
        (vec![0x16, 0], Some("22 is no field key")),
        (vec![0x80, 0x80, 0x80, 0x80, 0x10, 0], Some("4294967296 is no field key")),
        (vec![0x11, 1, 2, 3, 4, 5, 6, 7], Some("the length says 8 bytes and 7 are left")),
        (vec![0x15, 1, 2, 3, 4], None),
        (vec![0x08, 1], Some("field `resource_spans` has wire type 0, expected 2")),
        (vec![0x0a, 2, 0x08, 1], Some("in ResourceSpans: field `resource` has wire type 0, expected 2")),
        (vec![0x13, 0x10, 7, 0x14], None),
        (vec![0x13, 0x1b, 0x1c, 0x14], None),
        (vec![0x13, 0x1c], Some("group 3 ends here but is not open")),
        (vec![0x13, 0x10, 7], Some("the length says 1 bytes and 0 are left")),
    ];
    for (bytes, expected) in table {
        let refusal = refusal(&bytes);
        match expected {
            None => assert_eq!(refusal, None, "{bytes:?}"),
            Some(expected) => assert!(refusal.as_ref().unwrap().contains(expected), "{bytes:?}: {refusal:?}"),
        }
    }
    assert!(refusal(&[0x13; 10_000]).unwrap().contains("groups are nested deeper than 90"));
}

#[test]
fn ids_and_times_that_cannot_be_right_refuse_their_span_alone() {
    type Change = fn(&mut Span);
    let table: [(Change, &str); 12] = [
        (|_| (), "lib GET"),
        (|span| span.trace_id = vec![1; 2], "rejected invalid_trace_id"),
        (|span| span.trace_id = vec![0; 16], "rejected invalid_trace_id"),
        (|span| span.span_id.clear(), "rejected invalid_span_id"),
        (|span| span.span_id = vec![0; 8], "rejected invalid_span_id"),
        (|span| span.parent_span_id = vec![0; 8], "lib GET"),
        (|span| span.parent_span_id = vec![3; 7], "rejected invalid_parent_id"),
        (|span| span.start_time_unix_nano = 0, "rejected invalid_time"),
        (|span| span.end_time_unix_nano = 0, "rejected invalid_time"),
        (|span| span.start_time_unix_nano = 2_001, "lib GET"),
        (|span| span.start_time_unix_nano = 86_400_000_002_001, "rejected invalid_time"),
        (|span| span.kind = 99, "lib GET"),
    ];
    for (change, expected) in table {
        let mut span = good_span("GET");
        change(&mut span);
        let told = told(&request(vec![span, good_span("next")]).encode_to_vec()).unwrap();
        assert!(told[1].starts_with(expected), "{told:?}");
        assert!(told[2].starts_with("lib next"), "{told:?}");
    }
}
