//! OTLP/JSON as protobuf, whole: what is forwarded must hold all that was sent, not only what our rules read.
//!
//! The receiver has taken the request, so its shape is right wherever a rule looks. A value elsewhere that is
//! not of its field's type is left out, as an unknown field would be.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use prost::encoding::{WireType, encode_key, encode_varint};
use serde_json::{Map, Value};

/// What a field holds.
#[derive(Clone, Copy)]
enum Kind {
    Text,
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

/// A field: its name in JSON, its number, what it holds. In JSON a list stands for a repeated one.
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
    ("idKeys", 3, Kind::Text),
    ("descriptionKeys", 4, Kind::Text),
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
    let request = serde_json::from_slice::<Map<String, Value>>(body).ok()?;
    let mut out = Vec::with_capacity(body.len());
    write_fields(&request, REQUEST, &mut out);
    Some(out)
}

fn write_fields(object: &Map<String, Value>, fields: &[Field], out: &mut Vec<u8>) {
    for (name, value) in object {
        let Some(&(_, number, kind)) = fields.iter().find(|(known, ..)| known == name) else { continue };
        match value {
            Value::Array(list) => list.iter().for_each(|value| write(number, kind, value, out)),
            value => write(number, kind, value, out),
        }
    }
}

fn write(number: u32, kind: Kind, value: &Value, out: &mut Vec<u8>) {
    // What cannot be read writes nothing.
    let _: Option<()> = try_write(number, kind, value, out);
}

fn try_write(number: u32, kind: Kind, value: &Value, out: &mut Vec<u8>) -> Option<()> {
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
        Kind::Text => bytes(out, value.as_str()?.as_bytes()),
        Kind::Bytes => {
            let text = value.as_str()?.replace('-', "+").replace('_', "/");
            bytes(out, &STANDARD.decode(&text).or_else(|_| STANDARD_NO_PAD.decode(&text)).ok()?);
        }
        Kind::Id => bytes(out, &unhex(value.as_str()?)?),
        Kind::Bool => varint(out, value.as_bool()?.into()),
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
            let value = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
            encode_key(number, WireType::SixtyFourBit, out);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Kind::Message(fields) => {
            let mut inner = Vec::new();
            write_fields(value.as_object()?, fields, &mut inner);
            bytes(out, &inner);
        }
    }
    Some(())
}

/// A whole number, as number or as string.
fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(integer), ..) => Some(integer.into()),
            (_, Some(integer), _) => Some(integer.into()),
            (.., Some(double)) if double.fract() == 0.0 && double.abs() < 1e19 => Some(double as i128),
            _ => None,
        },
        _ => None,
    }
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
}
