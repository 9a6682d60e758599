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
    type Taken = usize;

    fn resource(&mut self, resource: &ResourceView<'_>, _encoded: Option<&[u8]>) {
        self.0.push(format!("resource {:?}", resource.attributes.iter().collect::<Vec<_>>()));
    }

    fn span(&mut self, span: &SpanView<'_>) -> usize {
        self.0.push(format!("{} {} {:?}", span.scope, span.name, span.attributes.iter().collect::<Vec<_>>()));
        self.0.len() - 1
    }

    fn again(&mut self, taken: usize, _: &SpanHead) {
        self.0.push(format!("again {}", self.0[taken]));
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

/// The same span with other ids and times.
fn another(span: &Span, number: u8) -> Span {
    Span {
        trace_id: vec![number; 16],
        span_id: vec![number; 8],
        parent_span_id: if number.is_multiple_of(2) { vec![number; 8] } else { Vec::new() },
        start_time_unix_nano: 1_000 + u64::from(number),
        ..span.clone()
    }
}

#[test]
fn a_span_that_is_the_same_but_for_ids_and_times_is_not_read_again() {
    let (first, read) = (good_span("GET"), r#"lib GET [None, Some(Text("https://a/b"))]"#);
    let again = format!("again {read}");
    let told = |spans| told(&request(spans).encode_to_vec()).unwrap().split_off(1);
    assert_eq!(told(vec![first.clone(), another(&first, 4), another(&first, 7)]), [read, &again, &again]);
    let (mut named, mut kind, mut status) = (first.clone(), first.clone(), first.clone());
    named.name = "POST".into();
    kind.kind = 3;
    status.status = Some(opentelemetry_proto::tonic::trace::v1::Status { code: 2, ..Default::default() });
    for other in [named, kind, status] {
        let told = told(vec![first.clone(), other.clone()]);
        assert!(!told[1].starts_with("again"), "{other:?}: {told:?}");
    }
    let told = told(vec![first.clone(), Span { span_id: vec![0; 8], ..another(&first, 5) }]);
    assert_eq!(told[1], format!("rejected {}", RejectReason::SpanId.as_str()));
}

#[test]
fn a_span_of_another_scope_is_another_span() {
    let mut twice = request(vec![good_span("GET")]);
    twice.resource_spans.push(twice.resource_spans[0].clone());
    let told = told(&twice.encode_to_vec()).unwrap();
    assert!(told.iter().all(|line| !line.starts_with("again")), "{told:?}");
}

/// A later trace id replaces the earlier one, so what stands before the times is not the span's own.
#[test]
fn a_span_with_an_id_behind_its_times_is_read_by_itself() {
    let span = |number: u8| {
        let mut encoded = another(&good_span("GET"), number).encode_to_vec();
        encoded.extend([0x0a, 16].into_iter().chain([9; 16]));
        encoded
    };
    let mut scope = Vec::new();
    for number in [3, 5, 9] {
        scope.extend([0x12, span(number).len() as u8]);
        scope.extend(span(number));
    }
    let spans = [&[0x12, (scope.len() & 0x7f) as u8 | 0x80, (scope.len() >> 7) as u8][..], &scope].concat();
    let body = [&[0x0a, (spans.len() & 0x7f) as u8 | 0x80, (spans.len() >> 7) as u8][..], &spans].concat();
    let told = told(&body).unwrap();
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told.iter().all(|line| !line.starts_with("again")), "{told:?}");
}

#[test]
fn where_little_repeats_no_more_is_looked_for() {
    let distinct = |number: u8| good_span(&format!("GET {number}"));
    let few = (0..30).map(distinct).chain([distinct(3)]).collect();
    assert!(told(&request(few).encode_to_vec()).unwrap().last().unwrap().starts_with("again"));
    let many = (0..200).map(distinct).chain([distinct(199)]).collect();
    assert!(!told(&request(many).encode_to_vec()).unwrap().last().unwrap().starts_with("again"));
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
    let table: [(Change, &str); 15] = [
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
        // The ledger keeps nanoseconds as signed numbers: to the year 2262.
        (|span| span.end_time_unix_nano = 1 << 63, "rejected invalid_time"),
        (|span| span.start_time_unix_nano = 1 << 63, "rejected invalid_time"),
        (|span| span.end_time_unix_nano = (1 << 63) - 1, "lib GET"),
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
