//! prost as the oracle: generated requests with fields in any order, repeated, split, unknown and grouped,
//! with padded varints, and the same with bytes changed. Either both accept with equal values, or both
//! refuse.
//!
//! Where we may accept more is stated in [`may_differ`], and nowhere else.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use proptest::prelude::*;
use prost::Message;
use spantally_providers::{Attributes, SpanKind, SpanStatus, Value};
use spantally_stitch::{SpanId, SpanKey, TraceId, UnixNanos};

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

#[derive(Debug, PartialEq)]
struct SpanSeen {
    key: SpanKey,
    parent: SpanId,
    kind: SpanKind,
    name: String,
    times: [UnixNanos; 2],
    status: SpanStatus,
    message: String,
    scope: String,
    exception: String,
    links: Vec<SpanKey>,
    attributes: Vec<Option<Owned>>,
}

/// What the reader says.
fn ours(body: &[u8]) -> Result<Vec<Seen>, DecodeError> {
    struct Collect(Vec<Seen>);
    impl Visitor for Collect {
        fn resource(&mut self, resource: &ResourceView<'_>, _encoded: Option<&[u8]>) {
            self.0.push(Seen::Resource(owned(&resource.attributes)));
        }
        fn span(&mut self, span: &SpanView<'_>) {
            self.0.push(Seen::Span(Box::new(SpanSeen {
                key: span.key,
                parent: span.parent,
                kind: span.kind,
                name: span.name.into(),
                times: [span.start, span.end],
                status: span.status,
                message: span.status_message.into(),
                scope: span.scope.into(),
                exception: span.exception.into(),
                links: span.links.clone(),
                attributes: owned(&span.attributes),
            })));
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
    if start == 0 || end == 0 || start > end.saturating_add(86_400_000_000_000) {
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
    let exception = span.events.iter().rfind(|event| event.name == "exception").and_then(|event| {
        let last = event.attributes.iter().rfind(|attribute| attribute.key == "exception.type");
        last.and_then(|attribute| expected_value(attribute.value.as_ref(), true))
    });
    let links = span.links.iter().filter_map(|link| {
        let (trace, span) = (expected_id(&link.trace_id)?, expected_id(&link.span_id)?);
        Some(SpanKey { trace: TraceId(trace), span: SpanId(span) })
    });
    Ok(SpanSeen {
        key: SpanKey { trace, span: id },
        parent,
        kind: usize::try_from(span.kind).ok().and_then(|kind| kinds.get(kind)).copied().unwrap_or_default(),
        name: span.name.clone(),
        times: [UnixNanos(start), UnixNanos(end)],
        status: usize::try_from(status.code)
            .ok()
            .and_then(|code| statuses.get(code))
            .copied()
            .unwrap_or_default(),
        message: status.message,
        scope: scope.into(),
        exception: if let Some(Owned::Text(text)) = exception { text } else { String::new() },
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

/// Choices, made by generated bytes: when they run out, every choice is the first. So proptest can shrink
/// them.
struct Tape<'t>(std::slice::Iter<'t, u8>);

impl Tape<'_> {
    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0)) % bound
    }

    fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }
}

/// What a generated field holds.
#[derive(Clone, Copy)]
enum Make {
    Id(usize),
    Text,
    Key,
    EventName,
    EventKey,
    Varint,
    Fixed64,
    Fixed32,
    Message(&'static Fields),
}

/// What a generated message may hold: field numbers and contents.
struct Fields(&'static [(u32, Make)]);

static REQUEST: Fields = Fields(&[(1, Make::Message(&RESOURCE_SPANS))]);
static RESOURCE_SPANS: Fields =
    Fields(&[(2, Make::Message(&SCOPE_SPANS)), (1, Make::Message(&RESOURCE)), (3, Make::Text)]);
static RESOURCE: Fields = Fields(&[(1, Make::Message(&KEY_VALUE)), (2, Make::Varint)]);
static SCOPE_SPANS: Fields =
    Fields(&[(2, Make::Message(&SPAN)), (1, Make::Message(&SCOPE)), (3, Make::Text)]);
static SCOPE: Fields =
    Fields(&[(1, Make::Text), (2, Make::Text), (3, Make::Message(&KEY_VALUE)), (4, Make::Varint)]);
static SPAN: Fields = Fields(&[
    (1, Make::Id(16)),
    (2, Make::Id(8)),
    (3, Make::Text),
    (4, Make::Id(8)),
    (5, Make::Text),
    (6, Make::Varint),
    (7, Make::Fixed64),
    (8, Make::Fixed64),
    (9, Make::Message(&KEY_VALUE)),
    (10, Make::Varint),
    (11, Make::Message(&EVENT)),
    (13, Make::Message(&LINK)),
    (15, Make::Message(&STATUS)),
    (16, Make::Fixed32),
]);
static EVENT: Fields =
    Fields(&[(3, Make::Message(&EVENT_KEY_VALUE)), (2, Make::EventName), (1, Make::Fixed64)]);
static EVENT_KEY_VALUE: Fields = Fields(&[(2, Make::Message(&ANY_VALUE)), (1, Make::EventKey)]);
static LINK: Fields = Fields(&[(1, Make::Id(16)), (2, Make::Id(8)), (4, Make::Message(&KEY_VALUE))]);
static STATUS: Fields = Fields(&[(2, Make::Text), (3, Make::Varint)]);
static KEY_VALUE: Fields = Fields(&[(2, Make::Message(&ANY_VALUE)), (1, Make::Key), (3, Make::Varint)]);
static ANY_VALUE: Fields = Fields(&[
    (1, Make::Text),
    (2, Make::Varint),
    (3, Make::Varint),
    (4, Make::Fixed64),
    (5, Make::Message(&ARRAY)),
    (6, Make::Message(&KEY_VALUES)),
    (7, Make::Text),
    (8, Make::Varint),
]);
static ARRAY: Fields = Fields(&[(1, Make::Message(&ANY_VALUE))]);
static KEY_VALUES: Fields = Fields(&[(1, Make::Message(&KEY_VALUE))]);

fn message(tape: &mut Tape<'_>, fields: &'static Fields, out: &mut Vec<u8>) {
    // A span that has its ids and times, three times of four: the rest is all refused for the same reasons.
    if std::ptr::eq(fields, &raw const SPAN) && tape.below(4) > 0 {
        out.extend([
            0x0a, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 0x12, 8, 1, 2, 3, 4, 5, 6, 7, 8,
        ]);
        out.extend([0x39, 1, 0, 0, 0, 0, 0, 0, 0, 0x41, 2, 0, 0, 0, 0, 0, 0, 0]);
    }
    for _ in 0..tape.below(7) {
        match tape.below(12) {
            11 => unknown(tape, 900, out),
            choice => {
                let (number, make) = fields.0[choice % fields.0.len()];
                field(tape, number, make, out);
            }
        }
    }
}

fn field(tape: &mut Tape<'_>, number: u32, make: Make, out: &mut Vec<u8>) {
    let (wire_type, value) = match make {
        Make::Varint => (0, padded(tape.of(&[0, 1, 2, 3, 5, 6, 200, 1 << 31, u64::MAX]), tape)),
        Make::Fixed64 => (
            1,
            tape.of(&[1000, 0, 1, 86_400_000_000_001, 86_400_000_000_002, u64::MAX]).to_le_bytes().to_vec(),
        ),
        Make::Fixed32 => (5, vec![1, 2, 3, 4]),
        Make::Id(len) => (2, sized(&vec![7; len][..len - tape.of(&[0, 0, 0, 1, len])], tape)),
        Make::Text => (2, sized(tape.of(&["a", "", "é", "longer text", "\u{0}"]).as_bytes(), tape)),
        Make::Key => (
            2,
            sized(
                tape.of(&["url.full", "n", "service.name", "exception", "exception.type", ""]).as_bytes(),
                tape,
            ),
        ),
        Make::EventName => (2, sized(tape.of(&["exception", "log"]).as_bytes(), tape)),
        Make::EventKey => (2, sized(tape.of(&["exception.type", "exception.message"]).as_bytes(), tape)),
        Make::Message(fields) => {
            let mut inner = Vec::new();
            message(tape, fields, &mut inner);
            (2, sized(&inner, tape))
        }
    };
    out.extend(padded(u64::from(number << 3 | wire_type), tape));
    out.extend(value);
}

/// An unknown field of any wire type, groups among them.
fn unknown(tape: &mut Tape<'_>, number: u32, out: &mut Vec<u8>) {
    let makes = [Make::Varint, Make::Fixed64, Make::Fixed32, Make::Text, Make::Message(&ANY_VALUE)];
    match tape.below(6) {
        5 => {
            out.extend(padded(u64::from(number << 3 | 3), tape));
            for _ in 0..tape.below(3) {
                unknown(tape, number + 1, out);
            }
            out.extend(padded(u64::from(number << 3 | 4), tape));
        }
        choice => field(tape, number, makes[choice], out),
    }
}

fn sized(bytes: &[u8], tape: &mut Tape<'_>) -> Vec<u8> {
    let mut sized = padded(bytes.len() as u64, tape);
    sized.extend(bytes);
    sized
}

/// A varint, sometimes longer than it need be.
fn padded(mut value: u64, tape: &mut Tape<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let least = if tape.below(16) == 15 { 1 + tape.below(10) } else { 1 };
    while value >= 0x80 || bytes.len() + 1 < least {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn body(tape: &[u8]) -> Vec<u8> {
    let (mut out, mut tape) = (Vec::new(), Tape(tape.iter()));
    while tape.0.len() > 0 {
        field(&mut tape, 1, REQUEST.0[0].1, &mut out);
    }
    out
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
