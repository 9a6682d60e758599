//! OTLP/JSON as protobuf, whole: what is forwarded must hold all that was sent, not only what our rules read.
//!
//! The receiver has taken the request, so it is JSON, and its shape is right wherever a rule looks. A value
//! elsewhere that is not of its field's type, half a surrogate pair or a number that is none of the field's,
//! is left out, as an unknown field would be.
//!
//! The text is walked once, without a tree of values: what is written is no larger than the text, so
//! forwarding JSON takes that much memory and no more. [`Walk`] trusts the text to be well-formed, so that it
//! need not refuse what the receiver has skipped and taken.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use self::walk::Walk;

mod walk;

/// Messages in messages; what is deeper is left out. prost reads as many, and so do most destinations.
const MAX_DEPTH: usize = 100;

/// What a field holds.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    /// A list of texts.
    Texts,
    /// Base64.
    Bytes,
    /// Hexadecimal digits.
    Id,
    Bool,
    Int64,
    Uint32,
    Enum,
    Fixed32,
    Fixed64,
    Double,
    /// A reference to the table, for messages hold one another.
    Message(&'static &'static [Field]),
}

/// A field: its name in JSON, its number, what it holds. A list of messages stands for a repeated one.
type Field = (&'static str, u32, Kind);

static REQUEST: &[Field] = &[("resourceSpans", 1, Kind::Message(&RESOURCE_SPANS))];
static RESOURCE_SPANS: &[Field] = &[
    ("resource", 1, Kind::Message(&RESOURCE)),
    ("scopeSpans", 2, Kind::Message(&SCOPE_SPANS)),
    ("schemaUrl", 3, Kind::Text),
];
static RESOURCE: &[Field] = &[
    ("attributes", 1, Kind::Message(&KEY_VALUE)),
    ("droppedAttributesCount", 2, Kind::Uint32),
    ("entityRefs", 3, Kind::Message(&ENTITY_REF)),
];
static ENTITY_REF: &[Field] = &[
    ("schemaUrl", 1, Kind::Text),
    ("type", 2, Kind::Text),
    ("idKeys", 3, Kind::Texts),
    ("descriptionKeys", 4, Kind::Texts),
];
static SCOPE_SPANS: &[Field] =
    &[("scope", 1, Kind::Message(&SCOPE)), ("spans", 2, Kind::Message(&SPAN)), ("schemaUrl", 3, Kind::Text)];
static SCOPE: &[Field] = &[
    ("name", 1, Kind::Text),
    ("version", 2, Kind::Text),
    ("attributes", 3, Kind::Message(&KEY_VALUE)),
    ("droppedAttributesCount", 4, Kind::Uint32),
];
static SPAN: &[Field] = &[
    ("traceId", 1, Kind::Id),
    ("spanId", 2, Kind::Id),
    ("traceState", 3, Kind::Text),
    ("parentSpanId", 4, Kind::Id),
    ("name", 5, Kind::Text),
    ("kind", 6, Kind::Enum),
    ("startTimeUnixNano", 7, Kind::Fixed64),
    ("endTimeUnixNano", 8, Kind::Fixed64),
    ("attributes", 9, Kind::Message(&KEY_VALUE)),
    ("droppedAttributesCount", 10, Kind::Uint32),
    ("events", 11, Kind::Message(&EVENT)),
    ("droppedEventsCount", 12, Kind::Uint32),
    ("links", 13, Kind::Message(&LINK)),
    ("droppedLinksCount", 14, Kind::Uint32),
    ("status", 15, Kind::Message(&STATUS)),
    ("flags", 16, Kind::Fixed32),
];
static EVENT: &[Field] = &[
    ("timeUnixNano", 1, Kind::Fixed64),
    ("name", 2, Kind::Text),
    ("attributes", 3, Kind::Message(&KEY_VALUE)),
    ("droppedAttributesCount", 4, Kind::Uint32),
];
static LINK: &[Field] = &[
    ("traceId", 1, Kind::Id),
    ("spanId", 2, Kind::Id),
    ("traceState", 3, Kind::Text),
    ("attributes", 4, Kind::Message(&KEY_VALUE)),
    ("droppedAttributesCount", 5, Kind::Uint32),
    ("flags", 6, Kind::Fixed32),
];
static STATUS: &[Field] = &[("message", 2, Kind::Text), ("code", 3, Kind::Enum)];
static KEY_VALUE: &[Field] = &[("key", 1, Kind::Text), ("value", 2, Kind::Message(&ANY_VALUE))];
static ANY_VALUE: &[Field] = &[
    ("stringValue", 1, Kind::Text),
    ("boolValue", 2, Kind::Bool),
    ("intValue", 3, Kind::Int64),
    ("doubleValue", 4, Kind::Double),
    ("arrayValue", 5, Kind::Message(&ARRAY_VALUE)),
    ("kvlistValue", 6, Kind::Message(&KEY_VALUE_LIST)),
    ("bytesValue", 7, Kind::Bytes),
];
static ARRAY_VALUE: &[Field] = &[("values", 1, Kind::Message(&ANY_VALUE))];
static KEY_VALUE_LIST: &[Field] = &[("values", 1, Kind::Message(&KEY_VALUE))];

/// The request as protobuf; none if it is no JSON object.
pub(super) fn to_protobuf(body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len());
    write_object(&mut Walk::new(body), REQUEST, MAX_DEPTH, &mut out)?;
    Some(out)
}

/// Writes the fields of the object that comes next; none where the text is not well-formed.
fn write_object(walk: &mut Walk<'_>, fields: &[Field], depth: usize, out: &mut Vec<u8>) -> Option<()> {
    walk.take(b'{')?;
    while walk.take(b'}').is_none() {
        let key = walk.value()?;
        walk.take(b':')?;
        let name = text(key);
        match fields.iter().find(|(known, ..)| name.as_deref() == Some(*known)) {
            Some(field) => write_field(walk, field, depth, out)?,
            None => drop(walk.value()?),
        }
        let _: Option<()> = walk.take(b',');
    }
    Some(())
}

fn write_field(walk: &mut Walk<'_>, field: &Field, depth: usize, out: &mut Vec<u8>) -> Option<()> {
    let &(_, number, kind) = field;
    let kind = match (walk.peek()?, kind) {
        (b'[', Kind::Message(_)) => kind,
        (b'[', Kind::Texts) => Kind::Text,
        (_, Kind::Texts) => return walk.value().map(drop),
        _ => return write(walk, number, kind, depth, out),
    };
    walk.take(b'[')?;
    while walk.take(b']').is_none() {
        write(walk, number, kind, depth, out)?;
        let _: Option<()> = walk.take(b',');
    }
    Some(())
}

fn write(walk: &mut Walk<'_>, number: u32, kind: Kind, depth: usize, out: &mut Vec<u8>) -> Option<()> {
    match (walk.peek()?, kind) {
        (b'{', Kind::Message(fields)) if depth > 0 => {
            encode_key(number, WireType::LengthDelimited, out);
            let start = out.len();
            write_object(walk, fields, depth - 1, out)?;
            put_length(start, out);
        }
        _ => {
            let value = walk.value()?;
            // What cannot be read writes nothing.
            let _: Option<()> = write_leaf(number, kind, value, out);
        }
    }
    Some(())
}

/// Puts the length of a message before it, which is known only now.
fn put_length(start: usize, out: &mut Vec<u8>) {
    let len = out.len() - start;
    let room = encoded_len_varint(len as u64);
    out.resize(start + room + len, 0);
    out.copy_within(start..start + len, start + room);
    encode_varint(len as u64, &mut &mut out[start..start + room]);
}

/// Writes a value that is no message; none, and nothing, if it is not of its kind.
fn write_leaf(number: u32, kind: Kind, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let varint = |out: &mut Vec<u8>, value: u64| {
        encode_key(number, WireType::Varint, out);
        encode_varint(value, out);
    };
    let bytes = |out: &mut Vec<u8>, value: &[u8]| {
        encode_key(number, WireType::LengthDelimited, out);
        encode_varint(value.len() as u64, out);
        out.extend_from_slice(value);
    };
    match kind {
        Kind::Text => bytes(out, text(value)?.as_bytes()),
        Kind::Bytes => {
            let text = text(value)?;
            let is_for_urls = text.contains(['-', '_']);
            let text = if is_for_urls { text.replace('-', "+").replace('_', "/").into() } else { text };
            let decoded = STANDARD.decode(&*text).or_else(|_| STANDARD_NO_PAD.decode(&*text));
            bytes(out, &decoded.ok()?);
        }
        Kind::Id => bytes(out, &unhex(&text(value)?)?),
        Kind::Bool => varint(out, serde_json::from_slice::<bool>(value).ok()?.into()),
        Kind::Int64 => varint(out, i64::try_from(integer(value)?).ok()?.cast_unsigned()),
        Kind::Uint32 => varint(out, u32::try_from(integer(value)?).ok()?.into()),
        Kind::Enum => varint(out, i64::from(i32::try_from(integer(value)?).ok()?).cast_unsigned()),
        Kind::Fixed32 => {
            let value = u32::try_from(integer(value)?).ok()?;
            encode_key(number, WireType::ThirtyTwoBit, out);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Kind::Fixed64 => {
            let value = u64::try_from(integer(value)?).ok()?;
            encode_key(number, WireType::SixtyFourBit, out);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Kind::Double => {
            let value = double(value)?;
            encode_key(number, WireType::SixtyFourBit, out);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Kind::Message(_) | Kind::Texts => return None,
    }
    Some(())
}

/// What a string says; none if it is none, or no Unicode.
fn text(value: &[u8]) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr::memchr(b'\\', inner).is_none() {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    serde_json::from_slice::<String>(value).ok().map(Cow::Owned)
}

/// A number, or a string that is one.
fn number_text(value: &[u8]) -> Option<Cow<'_, str>> {
    match value.first()? {
        b'"' => text(value),
        _ => std::str::from_utf8(value).ok().map(Cow::Borrowed),
    }
}

/// A double. Only a string may be infinite or no number.
fn double(value: &[u8]) -> Option<f64> {
    let double: f64 = number_text(value)?.parse().ok()?;
    (double.is_finite() || value.starts_with(b"\"")).then_some(double)
}

/// A whole number, also with fraction or exponent.
fn integer(value: &[u8]) -> Option<i128> {
    let text = number_text(value)?;
    let whole = |double: f64| (double.fract() == 0.0 && double.abs() < 1e19).then_some(double as i128);
    text.parse().ok().or_else(|| whole(text.parse().ok()?))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let nibbles = text.bytes().map(digit).collect::<Option<Vec<_>>>()?;
    nibbles
        .len()
        .is_multiple_of(2)
        .then(|| nibbles.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message;

    use super::*;

    /// Every field that there is, in the spelling of proto3 JSON.
    const WHOLE: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name",
        "value":{"stringValue":"clips"}}],"droppedAttributesCount":1,"entityRefs":[{"schemaUrl":"s","type":"host",
        "idKeys":["a","b"],"descriptionKeys":["c"]}]},"scopeSpans":[{"scope":{"name":"n","version":"v",
        "attributes":[],"droppedAttributesCount":2},"spans":[{"traceId":"5B8EFFF798038103D269B633813FC60C",
        "spanId":"eee19b7ec3c1b174","traceState":"a=b","parentSpanId":"eee19b7ec3c1b173","name":"GET","kind":3,
        "startTimeUnixNano":"1544712660000000000","endTimeUnixNano":"1544712661000000000","attributes":[
        {"key":"i","value":{"intValue":"-7"}},{"key":"d","value":{"doubleValue":1.5}},
        {"key":"b","value":{"boolValue":true}},{"key":"x","value":{"bytesValue":"AQID"}},
        {"key":"a","value":{"arrayValue":{"values":[{"stringValue":""}]}}},
        {"key":"k","value":{"kvlistValue":{"values":[{"key":"z","value":{"intValue":"1"}}]}}}],
        "droppedAttributesCount":3,"events":[{"timeUnixNano":"5","name":"e","attributes":[],
        "droppedAttributesCount":4}],"droppedEventsCount":5,"links":[{"traceId":"5b8efff798038103d269b633813fc60c",
        "spanId":"eee19b7ec3c1b171","traceState":"","attributes":[],"droppedAttributesCount":6,"flags":256}],
        "droppedLinksCount":7,"status":{"message":"m","code":2},"flags":257}],"schemaUrl":"t"}],
        "schemaUrl":"u"}]}"#;

    #[test]
    fn nothing_of_a_request_is_lost() {
        let expected: ExportTraceServiceRequest = serde_json::from_str(WHOLE).unwrap();
        let found = to_protobuf(WHOLE.as_bytes()).unwrap();
        assert_eq!(ExportTraceServiceRequest::decode(&*found).unwrap(), expected);
    }

    #[test]
    fn what_proto3_json_lets_a_writer_choose_is_read() {
        let loose = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[
            {"key":"a","value":{"arrayValue":{}}},{"key":"n","value":{"doubleValue":"NaN"}},
            {"key":"i","value":{"intValue":7}},{"key":"0","value":null}],
            "startTimeUnixNano":1.5e18,"droppedAttributesCount":"3","parentSpanId":null,
            "flags":"x","new":[{}]}]}]}]}"#;
        let found = to_protobuf(loose.as_bytes()).unwrap();
        let found = ExportTraceServiceRequest::decode(&*found).unwrap();
        let span = &found.resource_spans[0].scope_spans[0].spans[0];
        assert_eq!(span.attributes.len(), 4);
        assert_eq!(
            (span.start_time_unix_nano, span.dropped_attributes_count),
            (1_500_000_000_000_000_000, 3)
        );
        assert_eq!((span.flags, span.parent_span_id.len()), (0, 0));
        assert!(to_protobuf(b"[]").is_none());
    }

    #[test]
    fn what_the_receiver_passes_over_costs_no_more_than_itself() {
        let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(5000), close.repeat(5000));
        let kvlist = deep(r#"{"kvlistValue":{"values":[{"key":"k","value":"#, "}]}}");
        for unread in [
            r#""traceState":"\ud800","#.to_owned(),
            r#""flags":1e999,"droppedLinksCount":[1,2],"#.to_owned(),
            format!(r#""new":{},"#, deep("[", "]")),
            format!(r#""attributes":[{{"key":"k","value":{kvlist}}}],"#),
            r#""attributes":[{"key":"k","value":{"kvlistValue":{"values":[{"key":"\ud800"}]}}}],"#.to_owned(),
            r#""links":[{"attributes":[{"key":"k","value":{"doubleValue":1e999}}]}],"#.to_owned(),
        ] {
            let span = format!(r#"{{{unread}"name":"GET"}}"#);
            let body = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#);
            crate::decode::json::to_protobuf(body.as_bytes()).expect("the receiver takes it");
            let found = to_protobuf(body.as_bytes()).expect("so it is forwarded");
            assert!(found.len() <= body.len());
            let found = ExportTraceServiceRequest::decode(&*found).expect("a destination reads it");
            assert_eq!(found.resource_spans[0].scope_spans[0].spans[0].name, "GET", "{unread:.60}");
        }
    }

    #[test]
    fn what_is_written_is_no_larger_than_the_text() {
        for body in [
            r#"{"resourceSpans":[{},{},{},{},{},{},{},{}]}"#,
            r#"{"resourceSpans":[{"resource":{"entityRefs":[{"idKeys":["","","",""]}]}}]}"#,
            r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"flags":1,"flags":1,"flags":[1,1,1,1]}]}]}]}"#,
        ] {
            assert!(to_protobuf(body.as_bytes()).unwrap().len() <= body.len(), "{body}");
        }
        let long = "x".repeat(300);
        let scope = format!(r#"{{"schemaUrl":"{long}"}}"#);
        let body = format!(r#"{{"resourceSpans":[{{"schemaUrl":"{long}","scopeSpans":[{scope}]}}]}}"#);
        let found = ExportTraceServiceRequest::decode(&*to_protobuf(body.as_bytes()).unwrap()).unwrap();
        assert_eq!(found.resource_spans[0].schema_url, long);
        assert_eq!(found.resource_spans[0].scope_spans[0].schema_url, long);
    }

    #[test]
    fn what_is_not_well_formed_is_not_written() {
        for end in 0..WHOLE.len() {
            // It ends, and without a panic.
            assert!(to_protobuf(&WHOLE.as_bytes()[..end]).is_none(), "{end}");
        }
    }
}
