//! prost as the oracle: generated requests with fields in any order, repeated, split, unknown and grouped,
//! with padded varints, and the same with bytes changed. Either both accept with equal values, or both
//! refuse.
//!
//! Where we may accept more is stated in [`may_differ`], and nowhere else.

mod generated;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use proptest::prelude::*;
use prost::Message;
use spantally_providers::{Attributes, SpanHead, SpanKind, SpanStatus, Value};
use spantally_stitch::{SpanId, SpanKey, TraceId, UnixNanos};

use self::generated::body;
use crate::decode::{AttributeKeys, DecodeError, RejectReason, ResourceView, SpanView, Visitor, read};

const WANTED: [&str; 3] = ["service.name", "url.full", "n"];

#[derive(Clone, Debug, PartialEq)]
enum Owned {
    Text(String),
    Int(i64),
    Double(u64),
    Bool(bool),
}

#[derive(Debug, PartialEq)]
enum Seen {
    Resource(Vec<Option<Owned>>),
    Span(Box<SpanSeen>),
    Rejected(RejectReason),
}

#[derive(Clone, Debug, PartialEq)]
struct SpanSeen {
    head: SpanHead,
    trace_state: Vec<u8>,
    kind: SpanKind,
    name: String,
    status: SpanStatus,
    message: String,
    scope: String,
    exception: [String; 2],
    links: Vec<SpanKey>,
    attributes: Vec<Option<Owned>>,
}

/// What the reader says.
fn ours(body: &[u8]) -> Result<Vec<Seen>, DecodeError> {
    struct Collect(Vec<Seen>);
    impl Visitor for Collect {
        type Taken = usize;

        fn resource(&mut self, resource: &ResourceView<'_>, _encoded: Option<&[u8]>) {
            self.0.push(Seen::Resource(owned(&resource.attributes)));
        }
        fn span(&mut self, span: &SpanView<'_>) -> usize {
            self.0.push(Seen::Span(Box::new(SpanSeen {
                head: span.head,
                trace_state: span.trace_state.into(),
                kind: span.kind,
                name: span.name.into(),
                status: span.status,
                message: span.status_message.into(),
                scope: span.scope.into(),
                exception: [span.exception, span.exception_message].map(String::from),
                links: span.links.clone(),
                attributes: owned(&span.attributes),
            })));
            self.0.len() - 1
        }
        fn again(&mut self, taken: usize, head: &SpanHead) {
            let Seen::Span(first) = &self.0[taken] else { panic!("{:?} is no span", self.0[taken]) };
            self.0.push(Seen::Span(Box::new(SpanSeen { head: *head, ..(**first).clone() })));
        }
        fn rejected(&mut self, reason: RejectReason) {
            self.0.push(Seen::Rejected(reason));
        }
    }
    let mut keys = AttributeKeys::default();
    for key in WANTED {
        keys.slot_of(key);
    }
    let mut seen = Collect(Vec::new());
    read(body, &keys, &mut seen)?;
    Ok(seen.0)
}

fn owned(attributes: &Attributes<'_>) -> Vec<Option<Owned>> {
    let own = |value: Value<'_>| match value {
        Value::Text(text) => Owned::Text(text.into()),
        Value::Int(int) => Owned::Int(int),
        Value::Double(double) => Owned::Double(double.to_bits()),
        Value::Bool(bool) => Owned::Bool(bool),
    };
    attributes.iter().map(|value| value.map(own)).collect()
}

/// What prost says, put into the same words.
fn oracle(request: &ExportTraceServiceRequest) -> Vec<Seen> {
    let mut seen = Vec::new();
    for resource_spans in &request.resource_spans {
        let attributes = resource_spans.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
        seen.push(Seen::Resource(expected_attributes(attributes)));
        for scope_spans in &resource_spans.scope_spans {
            let scope = scope_spans.scope.as_ref().map_or("", |scope| &scope.name);
            seen.extend(scope_spans.spans.iter().map(|span| {
                expected_span(span, scope).map_or_else(Seen::Rejected, |span| Seen::Span(Box::new(span)))
            }));
        }
    }
    seen
}

fn expected_span(span: &Span, scope: &str) -> Result<SpanSeen, RejectReason> {
    let trace = TraceId(expected_id(&span.trace_id).ok_or(RejectReason::TraceId)?);
    let id = SpanId(expected_id(&span.span_id).ok_or(RejectReason::SpanId)?);
    let parent = if span.parent_span_id.is_empty() { vec![0; 8] } else { span.parent_span_id.clone() };
    let parent = SpanId(parent.try_into().map_err(|_| RejectReason::ParentId)?);
    let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
    let latest = u64::MAX / 2;
    if start == 0
        || end == 0
        || start > latest
        || end > latest
        || start > end.saturating_add(86_400_000_000_000)
    {
        return Err(RejectReason::Time);
    }
    let kinds = [
        SpanKind::Unspecified,
        SpanKind::Internal,
        SpanKind::Server,
        SpanKind::Client,
        SpanKind::Producer,
        SpanKind::Consumer,
    ];
    let statuses = [SpanStatus::Unset, SpanStatus::Ok, SpanStatus::Error];
    let status = span.status.clone().unwrap_or_default();
    let event = span.events.iter().rfind(|event| event.name == "exception");
    let exception = ["exception.type", "exception.message"].map(|key| {
        let last = event.and_then(|event| event.attributes.iter().rfind(|attribute| attribute.key == key));
        match last.and_then(|attribute| expected_value(attribute.value.as_ref(), true)) {
            Some(Owned::Text(text)) => text,
            _ => String::new(),
        }
    });
    let links = span.links.iter().filter_map(|link| {
        let (trace, span) = (expected_id(&link.trace_id)?, expected_id(&link.span_id)?);
        Some(SpanKey { trace: TraceId(trace), span: SpanId(span) })
    });
    Ok(SpanSeen {
        head: SpanHead {
            key: SpanKey { trace, span: id },
            parent,
            start: UnixNanos(start),
            end: UnixNanos(end),
        },
        trace_state: span.trace_state.clone().into(),
        kind: usize::try_from(span.kind).ok().and_then(|kind| kinds.get(kind)).copied().unwrap_or_default(),
        name: span.name.clone(),
        status: usize::try_from(status.code)
            .ok()
            .and_then(|code| statuses.get(code))
            .copied()
            .unwrap_or_default(),
        message: status.message,
        scope: scope.into(),
        exception,
        links: links.collect(),
        attributes: expected_attributes(&span.attributes),
    })
}

fn expected_id<const N: usize>(id: &[u8]) -> Option<[u8; N]> {
    <[u8; N]>::try_from(id).ok().filter(|id| id.iter().any(|byte| *byte != 0))
}

fn expected_attributes(attributes: &[KeyValue]) -> Vec<Option<Owned>> {
    let last = |key: &&str| attributes.iter().rfind(|attribute| attribute.key == **key);
    WANTED.iter().map(|key| expected_value(last(key)?.value.as_ref(), true)).collect()
}

fn expected_value(value: Option<&AnyValue>, arrays: bool) -> Option<Owned> {
    match value?.value.as_ref()? {
        Any::StringValue(text) => Some(Owned::Text(text.clone())),
        Any::IntValue(int) => Some(Owned::Int(*int)),
        Any::DoubleValue(double) => Some(Owned::Double(double.to_bits())),
        Any::BoolValue(bool) => Some(Owned::Bool(*bool)),
        Any::ArrayValue(array) if arrays => expected_value(array.values.first(), false),
        _ => None,
    }
}

/// Where we accept what prost refuses: text that is not UTF-8 (we refuse the span if we read it, and ignore
/// it if not), and the inside of messages that we skip by their length.
fn may_differ(refusal: &str) -> bool {
    const SKIPPED: [&str; 6] = [
        "data is not UTF-8 encoded",
        "KeyValue.value:",
        "Event.attributes:",
        "Link.attributes:",
        "InstrumentationScope.attributes:",
        "Resource.entity_refs:",
    ];
    SKIPPED.iter().any(|skipped| refusal.contains(skipped))
}

fn agree(body: &[u8]) -> Result<(), TestCaseError> {
    match (ours(body), ExportTraceServiceRequest::decode(body)) {
        (Ok(ours), Ok(request)) => prop_assert_eq!(ours, oracle(&request)),
        (Err(refusal), Ok(_)) => prop_assert!(false, "prost accepts, we refuse: {}", refusal),
        (Ok(_), Err(refusal)) => {
            prop_assert!(may_differ(&refusal.to_string()), "we accept, prost refuses: {}", refusal);
        }
        (Err(_), Err(_)) => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn both_read_the_same_values(tape in prop::collection::vec(any::<u8>(), 0..1500)) {
        let body = body(&tape);
        prop_assert_eq!(ours(&body).unwrap(), oracle(&ExportTraceServiceRequest::decode(&*body).unwrap()));
    }

    #[test]
    fn both_refuse_the_same_bodies(
        tape in prop::collection::vec(any::<u8>(), 0..300),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>()), 1..4),
    ) {
        let mut body = body(&tape);
        for (at, how, byte) in changes {
            if body.is_empty() {
                break;
            }
            let at = at.index(body.len());
            match how {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                2 => drop(body.remove(at)),
                _ => body.truncate(at),
            }
        }
        agree(&body)?;
    }

    #[test]
    fn no_bytes_break_the_reader(body in prop::collection::vec(any::<u8>(), 0..200)) {
        agree(&body)?;
    }
}
