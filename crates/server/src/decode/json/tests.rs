//! Each line of the OTLP/JSON table: what writers send, and what must come of it.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use super::*;

fn decoded(json: &str) -> Result<ExportTraceServiceRequest, String> {
    let bytes = to_protobuf(json.as_bytes()).map_err(|error| error.to_string())?;
    Ok(ExportTraceServiceRequest::decode(&*bytes).unwrap())
}

/// The span that these members make.
fn span(members: &str) -> Result<Span, String> {
    let mut request =
        decoded(&format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{members}}}]}}]}}]}}"#))?;
    Ok(request.resource_spans.remove(0).scope_spans.remove(0).spans.remove(0))
}

/// The value that this `AnyValue` makes.
fn any(value: &str) -> Result<Option<Any>, String> {
    let mut span = span(&format!(r#""attributes":[{{"key":"k","value":{value}}}]"#))?;
    Ok(span.attributes.remove(0).value.and_then(|value| value.value))
}

#[test]
fn values_are_taken_in_every_spelling_that_proto3_json_allows() {
    let array = |values: Vec<Any>| {
        let values = values
            .into_iter()
            .map(|value| opentelemetry_proto::tonic::common::v1::AnyValue { value: Some(value) });
        Some(Any::ArrayValue(opentelemetry_proto::tonic::common::v1::ArrayValue { values: values.collect() }))
    };
    let table = [
        (r#"{"stringValue":"a\u00e9"}"#, Some(Any::StringValue("aé".into()))),
        (r#"{"stringValue":""}"#, Some(Any::StringValue(String::new()))),
        (r#"{"boolValue":true}"#, Some(Any::BoolValue(true))),
        (r#"{"intValue":"-7"}"#, Some(Any::IntValue(-7))),
        (r#"{"intValue":7}"#, Some(Any::IntValue(7))),
        (r#"{"intValue":7.0}"#, Some(Any::IntValue(7))),
        (r#"{"intValue":"9223372036854775807"}"#, Some(Any::IntValue(i64::MAX))),
        (r#"{"intValue":9223372036854775808}"#, None),
        (r#"{"intValue":"-9223372036854775809"}"#, None),
        (r#"{"intValue":1e30}"#, None),
        (r#"{"intValue":"100000000000000000000000000000000000000000"}"#, None),
        (r#"{"stringValue":"a\ud83d"}"#, Some(Any::StringValue("a\u{fffd}".into()))),
        (r#"{"stringValue":"\ud83d\ude00"}"#, Some(Any::StringValue("\u{1f600}".into()))),
        (r#"{"doubleValue":1.5}"#, Some(Any::DoubleValue(1.5))),
        (r#"{"doubleValue":2}"#, Some(Any::DoubleValue(2.0))),
        (r#"{"doubleValue":"1.5"}"#, Some(Any::DoubleValue(1.5))),
        (r#"{"doubleValue":"-Infinity"}"#, Some(Any::DoubleValue(f64::NEG_INFINITY))),
        (r#"{"arrayValue":{}}"#, array(vec![])),
        (r#"{"arrayValue":{"values":[]}}"#, array(vec![])),
        (r#"{"arrayValue":{"values":null}}"#, array(vec![])),
        (r#"{"arrayValue":{"values":[{"stringValue":"x"}]}}"#, array(vec![Any::StringValue("x".into())])),
        (r#"{"stringValue":null}"#, None),
        (r#"{"someLaterValue":[1,{"a":null}],"stringValue":"x"}"#, Some(Any::StringValue("x".into()))),
        ("{}", None),
        ("null", None),
    ];
    for (json, expected) in table {
        assert_eq!(any(json), Ok(expected), "{json}");
    }
    assert!(matches!(any(r#"{"doubleValue":"NaN"}"#), Ok(Some(Any::DoubleValue(nan))) if nan.is_nan()));
}

#[test]
fn fields_of_a_span_are_taken_in_every_spelling() {
    let expected = |change: fn(&mut Span)| {
        let mut span = Span::default();
        change(&mut span);
        Ok(span)
    };
    let table = [
        (r#""name":"GET","kind":3"#, expected(|span| (span.name, span.kind) = ("GET".into(), 3))),
        (r#""kind":null,"name":null,"attributes":null,"parentSpanId":null,"status":null"#, expected(|_| ())),
        (
            r#""startTimeUnixNano":"1500000000000000001""#,
            expected(|span| {
                span.start_time_unix_nano = 1_500_000_000_000_000_001;
            }),
        ),
        (
            r#""startTimeUnixNano":1500000000000000001"#,
            expected(|span| {
                span.start_time_unix_nano = 1_500_000_000_000_000_001;
            }),
        ),
        (
            r#""startTimeUnixNano":1.5e18"#,
            expected(|span| {
                span.start_time_unix_nano = 1_500_000_000_000_000_000;
            }),
        ),
        (r#""droppedAttributesCount":"3","flags":"x""#, expected(|_| ())),
        (r#""traceState":"ot=th:8""#, expected(|span| span.trace_state = "ot=th:8".into())),
        (r#""traceState":null"#, expected(|_| ())),
        (r#""trace_id":"00","unknown":{"deep":[[[{}]]]}"#, expected(|_| ())),
        (r#""spanId":"00aAFf""#, expected(|span| span.span_id = vec![0, 0xaa, 0xff])),
        (r#""spanId":"""#, expected(|_| ())),
        (r#""spanId":"0x0011""#, expected(|span| span.span_id = vec![0])),
        (r#""spanId":"123""#, expected(|span| span.span_id = vec![0])),
    ];
    for (json, expected) in table {
        assert_eq!(span(json), expected, "{json}");
    }
    let link = span(r#""links":[{"traceId":"0A","spanId":"0b"}]"#).unwrap().links.remove(0);
    assert_eq!((link.trace_id, link.span_id), (vec![10], vec![11]));
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    let table = [
        (r#""kind":"SPAN_KIND_CLIENT""#, "expected an enum value as integer"),
        (r#""kind":3000000000"#, "expected an enum value as integer"),
        (r#""traceId":"zz""#, "expected an id in hexadecimal digits"),
        (r#""traceId":12"#, "expected an id in hexadecimal digits"),
        (r#""name":7"#, "expected a string"),
        (r#""startTimeUnixNano":"soon""#, "expected an unsigned integer of 64 bits"),
        (r#""startTimeUnixNano":-1"#, "expected an unsigned integer of 64 bits"),
        (r#""startTimeUnixNano":1.5"#, "expected an unsigned integer of 64 bits"),
        (r#""attributes":{}"#, "expected a list"),
        (r#""attributes":["x"]"#, "expected an object"),
        (r#""status":[]"#, "expected an object"),
        (r#""startTimeUnixNano":1e30"#, "expected an unsigned integer of 64 bits"),
        (r#""startTimeUnixNano":"1e30""#, "expected an unsigned integer of 64 bits"),
        (r#""attributes":[{"value":{"intValue":"much"}}]"#, "expected an integer of 64 bits"),
    ];
    for (json, expected) in table {
        let error = span(json).unwrap_err();
        assert!(error.contains(expected), "{json}: {error}");
        assert!(error.contains("resourceSpans: scopeSpans: spans: "), "{json}: {error}");
        assert!(error.contains("at line 1 column "), "{json}: {error}");
        assert_eq!(error.matches("at line").count(), 1, "{json}: {error}");
    }
}

#[test]
fn an_empty_request_is_an_object_and_nothing_else_is() {
    for json in
        ["{}", r#"{"resourceSpans":null}"#, r#"{"resourceSpans":[]}"#, r#"{"resourceSpans":[null]}"#, " {} "]
    {
        assert_eq!(decoded(json), Ok(ExportTraceServiceRequest::default()), "{json}");
    }
    for json in ["", "null", "[]", "{", "{}x", r#"{"resourceSpans":[}"#] {
        decoded(json).unwrap_err();
    }
}

/// Nobody reads it, so it costs nobody a span, and no stack.
#[test]
fn nesting_without_end_is_passed_over() {
    for depth in [2, 60, 10_000] {
        for (open, close) in [
            (r#"{"arrayValue":{"values":["#, "]}}"),
            (r#"{"kvlistValue":{"values":[{"value":"#, "}]}}"),
            (r#"{"later":["#, "]}"),
        ] {
            let json = format!("{}{{}}{}", open.repeat(depth), close.repeat(depth));
            assert!(any(&json).is_ok(), "{depth} of {open}");
        }
        let beside = r#"{"arrayValue":{"values":["#.repeat(depth) + &"]}}".repeat(depth);
        let list = format!(r#"{{"arrayValue":{{"values":[{{"stringValue":"x"}},{beside}]}}}}"#);
        let Ok(Some(Any::ArrayValue(read))) = any(&list) else { panic!("{depth}: {:?}", any(&list)) };
        let values: Vec<_> = read.values.into_iter().map(|value| value.value).collect();
        assert_eq!(values, [Some(Any::StringValue("x".into())), None]);
    }
}

#[test]
fn a_message_longer_than_one_length_byte_comes_out_whole() {
    let long = "x".repeat(20_000);
    assert_eq!(any(&format!(r#"{{"stringValue":"{long}"}}"#)), Ok(Some(Any::StringValue(long))));
}
