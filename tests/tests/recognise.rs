//! The recogniser against every span of the captures, whose roles are known.
//!
//! Spans are read with prost, not with the product's decoder, so that a mistake in one does not hide in the
//! other.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1 as otlp;
use prost::Message;
use spantally_providers::{
    AttributeKeys, Attributes, CorrelationConfig, EndpointCache, Recogniser, ResourceView, SpanHead,
    SpanKind, SpanStatus, SpanView, Value, builtin,
};
use spantally_stitch::{Evidence, Role, SpanId, SpanKey, TraceId, UnixNanos, What};
use spantally_tests::capture::read_capture;
use spantally_tests::fixtures::{CAPTURES, capture_dir, compare_with_golden};
use spantally_tests::truth::{self, read_truth};

fn value(value: Option<&AnyValue>) -> Option<Value<'_>> {
    Some(match value?.value.as_ref()? {
        Any::StringValue(text) => Value::Text(text),
        Any::IntValue(number) => Value::Int(*number),
        Any::DoubleValue(number) => Value::Double(*number),
        Any::BoolValue(flag) => Value::Bool(*flag),
        Any::ArrayValue(array) => return self::value(array.values.first()),
        _ => return None,
    })
}

fn slots<'a>(keys: &AttributeKeys, attributes: &'a [KeyValue]) -> Attributes<'a> {
    let mut out = Attributes::new(keys);
    for attribute in attributes {
        if let Some(slot) = keys.find(attribute.key.as_bytes()) {
            out.set(slot, value(attribute.value.as_ref()));
        }
    }
    out
}

fn view<'a>(keys: &AttributeKeys, scope: &'a str, span: &'a otlp::Span) -> SpanView<'a> {
    let exception = span.events.iter().rev().find(|event| event.name == "exception").and_then(|event| {
        let found = event.attributes.iter().find(|attribute| attribute.key == "exception.type")?;
        match value(found.value.as_ref()) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    });
    let status = span.status.as_ref();
    SpanView {
        head: SpanHead {
            key: SpanKey {
                trace: TraceId(span.trace_id[..].try_into().unwrap()),
                span: SpanId(span.span_id[..].try_into().unwrap()),
            },
            parent: span.parent_span_id[..].try_into().map(SpanId).unwrap_or_default(),
            start: UnixNanos(span.start_time_unix_nano),
            end: UnixNanos(span.end_time_unix_nano),
        },
        trace_state: span.trace_state.as_bytes(),
        kind: match span.kind {
            1 => SpanKind::Internal,
            2 => SpanKind::Server,
            3 => SpanKind::Client,
            4 => SpanKind::Producer,
            5 => SpanKind::Consumer,
            _ => SpanKind::Unspecified,
        },
        name: &span.name,
        status: match status.map(|status| status.code) {
            Some(1) => SpanStatus::Ok,
            Some(2) => SpanStatus::Error,
            _ => SpanStatus::Unset,
        },
        status_message: status.map(|status| &*status.message).unwrap_or_default(),
        scope,
        exception: exception.unwrap_or_default(),
        exception_message: "",
        links: Vec::new(),
        attributes: slots(keys, &span.attributes),
    }
}

/// What the truth calls a span, in the words of recognition.
///
/// A sync call is a submit there, a leg of a voice session is a sync call here, and the request for the
/// content of an OpenAI video is a download there and a result here, because it names its task.
fn is_right(truth: truth::Role, evidence: Option<&Evidence>) -> bool {
    let role = match evidence.map(|evidence| &evidence.what) {
        Some(What::Call(call)) => Some(call.role),
        Some(What::Frame(_)) => return matches!(truth, truth::Role::User | truth::Role::Shared),
        None => None,
    };
    match truth {
        truth::Role::Submit | truth::Role::Unsent => matches!(role, Some(Role::Submit | Role::Sync)),
        truth::Role::Poll => role == Some(Role::Poll),
        truth::Role::Result => role == Some(Role::Result),
        truth::Role::Cancel => role == Some(Role::Cancel),
        truth::Role::Webhook => role == Some(Role::Webhook),
        truth::Role::Download => matches!(role, Some(Role::Download | Role::Result)),
        truth::Role::Stt | truth::Role::Llm | truth::Role::Tts => role == Some(Role::Sync),
        truth::Role::Noise | truth::Role::Aux => role.is_none(),
        truth::Role::User | truth::Role::Shared => false,
    }
}

/// One line of the golden table: what a span was taken for.
fn describe(truth: truth::Role, evidence: Option<&Evidence>) -> String {
    let mut line = format!("{truth:?} -> ").to_lowercase();
    match evidence.map(|evidence| &evidence.what) {
        None => line.push_str("nothing"),
        Some(What::Frame(frame)) => {
            write!(line, "frame {:?} {} {}", frame.kind, frame.rare.provider, frame.rare.operation).unwrap();
            write!(line, " task={} {:?}", frame.rare.task.is_some(), frame.verdict).unwrap();
        }
        Some(What::Call(call)) => {
            let endpoint = &call.endpoint;
            write!(line, "{} {} {}", call.role.as_str(), endpoint.provider, endpoint.rule).unwrap();
            write!(line, " model={} family={}", endpoint.model, endpoint.family).unwrap();
            write!(line, " operation={} task={}", endpoint.operation, call.task.is_some()).unwrap();
            write!(line, " correlated={}", !call.rare.correlations.is_empty()).unwrap();
            write!(line, " {:?}", call.answer).unwrap();
            if matches!(call.role, Role::Submit | Role::Sync) {
                write!(line, " accepted={}", call.accepted.as_str()).unwrap();
            }
            write!(line, " {:?}", call.verdict).unwrap();
        }
    }
    line
}

#[test]
fn every_recorded_span_is_taken_for_what_it_is() {
    let files = builtin::files().unwrap();
    let recogniser = Recogniser::compile(&files, &CorrelationConfig::default()).unwrap();
    let mut cache = EndpointCache::default();
    for capture in CAPTURES {
        let truth = read_truth(&capture_dir(capture)).unwrap();
        let roles: BTreeMap<&str, &truth::Span> =
            truth.spans.iter().map(|span| (&*span.span_id, span)).collect();
        let jobs: BTreeMap<&str, &str> = truth.jobs.iter().map(|job| (&*job.job, &*job.intent)).collect();
        let mut table = BTreeMap::<String, usize>::new();
        for request in read_capture(&capture_dir(capture)).unwrap() {
            let request = ExportTraceServiceRequest::decode(&request.body[..]).unwrap();
            for resource in &request.resource_spans {
                let attributes = &resource.resource.as_ref().unwrap().attributes;
                let attributes = slots(recogniser.keys(), attributes);
                let client = recogniser.client(&ResourceView { attributes }, "", &mut cache);
                for scope in &resource.scope_spans {
                    let name = scope.scope.as_ref().map(|scope| &*scope.name).unwrap_or_default();
                    for span in &scope.spans {
                        let seen = view(recogniser.keys(), name, span);
                        let truth = roles[&*seen.head.key.span.to_string()];
                        let evidence = recogniser.recognise(&seen, &client, &mut cache);
                        let line = describe(truth.role, evidence.as_ref());
                        assert!(is_right(truth.role, evidence.as_ref()), "{capture}: {line}: {span:?}");
                        assert_task(&jobs, truth, evidence.as_ref(), &line);
                        *table.entry(line).or_default() += 1;
                    }
                }
            }
        }
        let line = |(line, count)| format!("{count:5} {line}\n");
        let text = table.iter().map(line).collect::<Vec<_>>().concat();
        compare_with_golden(&format!("tests/golden/recognise/{capture}.txt"), &text).unwrap();
    }
}

/// Whatever task id a call shows is the id of a job of the intent that the span belongs to.
fn assert_task(jobs: &BTreeMap<&str, &str>, span: &truth::Span, evidence: Option<&Evidence>, line: &str) {
    let Some(What::Call(call)) = evidence.map(|evidence| &evidence.what) else { return };
    let needs_id = matches!(call.role, Role::Poll | Role::Result | Role::Cancel);
    assert!(call.task.is_some() || !needs_id, "{line}: no task id");
    if let (Some(task), true) = (&call.task, needs_id || call.role == Role::Submit) {
        let intent = jobs.get(&*task.to_string()).copied();
        assert_eq!(intent, span.intent.as_deref(), "{line}: task {task}");
    }
}
