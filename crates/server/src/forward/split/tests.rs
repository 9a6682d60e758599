//! What is taken out of a request, and what is left of it, read by prost.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use super::*;

fn key(id: u8) -> SpanKey {
    SpanKey { trace: TraceId([id; 16]), span: SpanId([id; 8]) }
}

fn span(id: u8) -> Span {
    Span {
        trace_id: vec![id; 16],
        span_id: vec![id; 8],
        name: format!("span {id}"),
        start_time_unix_nano: 1,
        end_time_unix_nano: 2,
        attributes: vec![KeyValue { key: format!("key {id}"), ..KeyValue::default() }],
        ..Span::default()
    }
}

fn scope(name: &str, ids: &[u8]) -> ScopeSpans {
    let scope = InstrumentationScope { name: name.to_owned(), ..InstrumentationScope::default() };
    let spans = ids.iter().map(|&id| span(id)).collect();
    ScopeSpans { scope: Some(scope), spans, schema_url: format!("https://{name}") }
}

fn resource(dropped: u32, scope_spans: Vec<ScopeSpans>) -> ResourceSpans {
    let resource = Resource { dropped_attributes_count: dropped, ..Resource::default() };
    ResourceSpans { resource: Some(resource), scope_spans, schema_url: dropped.to_string() }
}

fn encode(resource_spans: Vec<ResourceSpans>) -> Vec<u8> {
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

#[test]
fn a_request_is_cut_in_two_and_what_is_around_a_span_stays_around_it() {
    let request = encode(vec![
        resource(1, vec![scope("a", &[1, 2]), scope("b", &[3])]),
        resource(2, vec![scope("c", &[4])]),
        resource(3, vec![scope("d", &[5])]),
    ]);
    let found = split(&request, &[key(2), key(3), key(5)]).unwrap();
    let rest = encode(vec![resource(1, vec![scope("a", &[1])]), resource(2, vec![scope("c", &[4])])]);
    let taken = encode(vec![
        resource(1, vec![scope("a", &[2]), scope("b", &[3])]),
        resource(3, vec![scope("d", &[5])]),
    ]);
    let read = |bytes: &[u8]| ExportTraceServiceRequest::decode(bytes).unwrap();
    assert_eq!(read(&found.rest), read(&rest));
    assert_eq!(read(&found.taken), read(&taken));
    assert_eq!(found.taken_spans, 3);
    // The second resource lost nothing: it is there byte for byte.
    let untouched = encode(vec![resource(2, vec![scope("c", &[4])])]);
    assert!(found.rest.windows(untouched.len()).any(|part| part == untouched));
}

#[test]
fn without_a_span_to_take_nothing_is_cut() {
    let request = encode(vec![resource(1, vec![scope("a", &[1]), ScopeSpans::default()])]);
    assert_eq!(split(&request, &[]), None);
    assert_eq!(split(&request, &[key(9)]), None);
    assert_eq!(split(b"", &[key(1)]), None);
}

/// What the reader rejects for its ids is cut out, and nothing else.
#[test]
fn spans_whose_ids_are_none_are_taken_out() {
    let bad: [fn(&mut Span); 7] = [
        |span| span.trace_id.clear(),
        |span| span.trace_id = vec![1; 8],
        |span| span.trace_id = vec![0; 16],
        |span| span.span_id.clear(),
        |span| span.span_id = vec![1; 16],
        |span| span.span_id = vec![0; 8],
        |span| span.parent_span_id = vec![1; 7],
    ];
    let good: [fn(&mut Span); 3] = [
        |span| span.parent_span_id = vec![1; 8],
        |span| span.parent_span_id = vec![0; 8],
        |span| span.start_time_unix_nano = 0,
    ];
    let of = |changes: &[fn(&mut Span)]| {
        let mut scope = scope("a", &[7]);
        for change in changes {
            let mut span = span(8);
            change(&mut span);
            scope.spans.push(span);
        }
        encode(vec![resource(1, vec![scope])])
    };
    let found = split_invalid(&of(&[&bad[..], &good].concat())).unwrap();
    let read = |bytes: &[u8]| ExportTraceServiceRequest::decode(bytes).unwrap();
    assert_eq!((read(&found.rest), found.taken_spans), (read(&of(&good)), 7));
    assert_eq!(split_invalid(&of(&good)), None);
}

/// A writer may send a resource in pieces, a scope after its spans, ids twice, and fields that nobody knows.
#[test]
fn what_protobuf_lets_a_writer_do_is_kept() {
    let mut bytes_of_span = span(8).encode_to_vec();
    // The last id counts; field 99 is of a later version; field 98 is a group.
    bytes_of_span
        .extend(Span { span_id: vec![1; 8], trace_id: vec![1; 16], ..Span::default() }.encode_to_vec());
    bytes_of_span.extend([0x9a, 0x06, 2, 7, 7, 0x93, 0x06, 0x08, 5, 0x94, 0x06]);
    let (mut scope_spans, mut resource_spans, mut request) = (Vec::new(), Vec::new(), Vec::new());
    put(SPANS, &[&bytes_of_span], &mut scope_spans);
    put(SPANS, &[&span(2).encode_to_vec()], &mut scope_spans);
    scope_spans.extend(scope("late", &[]).encode_to_vec());
    let piece = |dropped| resource(dropped, Vec::new()).encode_to_vec();
    resource_spans.extend(piece(7));
    put(SCOPE_SPANS, &[&scope_spans], &mut resource_spans);
    resource_spans.extend(piece(5));
    put(RESOURCE_SPANS, &[&resource_spans], &mut request);
    // A request of a later version may have more than spans.
    request.extend([0x12, 1, 9]);

    let found = split(&request, &[key(1)]).unwrap();
    let resource = resources(&found.taken).next().unwrap();
    let scope = resource.scopes().next().unwrap();
    assert_eq!((resource.around().len(), scope.around().len()), (resource.around_len(), scope.around_len()));
    let seen: Vec<_> = scope.spans().collect();
    assert_eq!(seen, [(key(1), &bytes_of_span[..])]);
    assert_eq!(keys(&found.taken).collect::<Vec<_>>(), [key(1)]);
    let (mut scopes, mut again) = (Vec::new(), Vec::new());
    put_scope(&scope.around(), seen.iter().map(|(_, span)| *span), &mut scopes);
    put_resource(&resource.around(), &scopes, &mut again);
    let read = ExportTraceServiceRequest::decode(&*again).unwrap();
    let whole = ExportTraceServiceRequest::decode(&*request).unwrap();
    assert_eq!(read.resource_spans[0].resource, whole.resource_spans[0].resource);
    let (read, whole) = (&read.resource_spans[0].scope_spans[0], &whole.resource_spans[0].scope_spans[0]);
    assert_eq!((&read.scope, &read.spans[0]), (&whole.scope, &whole.spans[0]));
    assert!(found.rest.ends_with(&[0x12, 1, 9]));
    let rest = ExportTraceServiceRequest::decode(&*found.rest).unwrap();
    assert_eq!(rest.resource_spans[0].scope_spans[0].spans, [span(2)]);
}

#[test]
fn attributes_are_found_by_their_name() {
    let bytes = span(4).encode_to_vec();
    assert!(has_attribute(&bytes, "key 4"));
    assert!(!has_attribute(&bytes, "key 5"));
}
