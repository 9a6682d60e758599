//! The fields of OTLP/JSON that the reader reads, with their protobuf numbers (opentelemetry-proto v1.11).
//!
//! `bytesValue` and `kvlistValue` are left out on purpose, and so are arrays in arrays: no rule can name such
//! a value. So no message holds itself, and what is nested deeper than this table is passed over unread.

/// A message.
pub(super) struct Message {
    pub(super) fields: &'static [Field],
}

/// A field.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) repeated: bool,
}

/// What a field's value is.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// An object.
    Message(&'static Message),
    /// A string.
    Text,
    /// A trace or span id in hex (not base64, unlike other bytes).
    Id,
    /// A boolean.
    Bool,
    /// An enum, as integer.
    Enum,
    /// A signed integer, varint.
    Int64,
    /// An unsigned integer, 8 bytes.
    Fixed64,
    /// A double.
    Double,
}

impl Kind {
    /// For errors.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Message(_) => "an object",
            Self::Text => "a string",
            Self::Id => "an id in hexadecimal digits",
            Self::Bool => "true or false",
            Self::Enum => "an enum value as integer",
            Self::Int64 => "an integer of 64 bits, as number or string",
            Self::Fixed64 => "an unsigned integer of 64 bits, as number or string",
            Self::Double => "a number, as number or string",
        }
    }
}

const fn one(name: &'static str, number: u32, kind: Kind) -> Field {
    Field { name, number, kind, repeated: false }
}

const fn list(name: &'static str, number: u32, message: &'static Message) -> Field {
    Field { name, number, kind: Kind::Message(message), repeated: true }
}

pub(super) static REQUEST: Message = Message { fields: &[list("resourceSpans", 1, &RESOURCE_SPANS)] };

static RESOURCE_SPANS: Message =
    Message { fields: &[one("resource", 1, Kind::Message(&RESOURCE)), list("scopeSpans", 2, &SCOPE_SPANS)] };

static RESOURCE: Message = Message { fields: &[list("attributes", 1, &KEY_VALUE)] };

static SCOPE_SPANS: Message =
    Message { fields: &[one("scope", 1, Kind::Message(&SCOPE)), list("spans", 2, &SPAN)] };

static SCOPE: Message = Message { fields: &[one("name", 1, Kind::Text)] };

static SPAN: Message = Message {
    fields: &[
        one("traceId", 1, Kind::Id),
        one("spanId", 2, Kind::Id),
        one("traceState", 3, Kind::Text),
        one("parentSpanId", 4, Kind::Id),
        one("name", 5, Kind::Text),
        one("kind", 6, Kind::Enum),
        one("startTimeUnixNano", 7, Kind::Fixed64),
        one("endTimeUnixNano", 8, Kind::Fixed64),
        list("attributes", 9, &KEY_VALUE),
        list("events", 11, &EVENT),
        list("links", 13, &LINK),
        one("status", 15, Kind::Message(&STATUS)),
    ],
};

static EVENT: Message = Message { fields: &[one("name", 2, Kind::Text), list("attributes", 3, &KEY_VALUE)] };

static LINK: Message = Message { fields: &[one("traceId", 1, Kind::Id), one("spanId", 2, Kind::Id)] };

static STATUS: Message = Message { fields: &[one("message", 2, Kind::Text), one("code", 3, Kind::Enum)] };

static KEY_VALUE: Message =
    Message { fields: &[one("key", 1, Kind::Text), one("value", 2, Kind::Message(&ANY_VALUE))] };

const STRING_VALUE: Field = one("stringValue", 1, Kind::Text);
const BOOL_VALUE: Field = one("boolValue", 2, Kind::Bool);
const INT_VALUE: Field = one("intValue", 3, Kind::Int64);
const DOUBLE_VALUE: Field = one("doubleValue", 4, Kind::Double);

static ANY_VALUE: Message = Message {
    fields: &[
        STRING_VALUE,
        BOOL_VALUE,
        INT_VALUE,
        DOUBLE_VALUE,
        one("arrayValue", 5, Kind::Message(&ARRAY_VALUE)),
    ],
};

static ARRAY_VALUE: Message = Message { fields: &[list("values", 1, &ELEMENT)] };

/// A value in an array.
static ELEMENT: Message = Message { fields: &[STRING_VALUE, BOOL_VALUE, INT_VALUE, DOUBLE_VALUE] };
