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
        self.0.push(format!("resource {:?}", resource.attributes));
    }

    fn span(&mut self, span: &SpanView<'_>) {
        self.0.push(format!("{} {} {:?}", span.scope, span.name, span.attributes));
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
