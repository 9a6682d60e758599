//! Spans taken out of a request, by their bytes.
//!
//! Nothing is decoded and written anew. A request is cut at the borders of its messages, and what stands
//! around spans on the wire, their resource and their scope, is cut out beside them. Protobuf merges what a
//! writer split, so pieces can be put one after the other, and a span's attributes can be followed by more of
//! them.

use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field,
};
use spantally_stitch::{SpanId, SpanKey, TraceId};

/// `ExportTraceServiceRequest.resource_spans`.
const RESOURCE_SPANS: u32 = 1;
/// `ResourceSpans.scope_spans`.
const SCOPE_SPANS: u32 = 2;
/// `ScopeSpans.spans`.
const SPANS: u32 = 2;
/// `Span.trace_id`, `Span.span_id` and `Span.parent_span_id`.
const TRACE_ID: u32 = 1;
const SPAN_ID: u32 = 2;
const PARENT_ID: u32 = 4;
/// `Span.attributes`, and `KeyValue.key` in them.
pub(super) const ATTRIBUTES: u32 = 9;
const ATTRIBUTE_KEY: u32 = 1;

/// A request in two: each is a whole request, and every span is in one of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Split {
    /// What is left. Where nothing was taken out, bytes are as they were.
    pub(super) rest: Vec<u8>,
    /// What was taken out.
    pub(super) taken: Vec<u8>,
    /// Spans that were.
    pub(super) taken_spans: u64,
}

/// Takes the spans of these keys out of a request, which must be one that the reader took. The keys are
/// sorted. None when none of them is there.
pub(super) fn split(request: &[u8], keys: &[SpanKey]) -> Option<Split> {
    split_where(request, &|span| key_of(span).is_some_and(|key| keys.binary_search(&key).is_ok()))
}

/// Takes out the spans whose ids are not as OTLP has them. None when there are none.
///
/// One such span costs the others of its request where the destination refuses the whole for it: Tempo does
/// for a trace or span id (`modules/distributor`), the Collector for any id of another length (`pdata`).
pub(super) fn split_invalid(request: &[u8]) -> Option<Split> {
    split_where(request, &|span| !has_valid_ids(span))
}

/// Takes out the spans that `takes` wants, given their bytes.
fn split_where(request: &[u8], takes: &dyn Fn(&[u8]) -> bool) -> Option<Split> {
    let mut split = Split { rest: Vec::with_capacity(request.len()), taken: Vec::new(), taken_spans: 0 };
    for field in fields(request) {
        match field.message(RESOURCE_SPANS) {
            Some(resource_spans) => split_resource(&field, resource_spans, takes, &mut split),
            None => split.rest.extend_from_slice(field.whole),
        }
    }
    (split.taken_spans > 0).then_some(split)
}

fn split_resource(
    field: &Field<'_>,
    resource_spans: &[u8],
    takes: &dyn Fn(&[u8]) -> bool,
    split: &mut Split,
) {
    let (mut kept, mut taken) = (Vec::new(), Vec::new());
    for scope_spans in fields(resource_spans).filter(|field| field.message(SCOPE_SPANS).is_some()) {
        let scope = around(scope_spans.value, SPANS);
        let (mut kept_spans, mut taken_spans) = (Vec::new(), Vec::new());
        for span in fields(scope_spans.value).filter(|field| field.message(SPANS).is_some()) {
            if takes(span.value) {
                split.taken_spans += 1;
                taken_spans.extend_from_slice(span.whole);
            } else {
                kept_spans.extend_from_slice(span.whole);
            }
        }
        if taken_spans.is_empty() {
            kept.extend_from_slice(scope_spans.whole);
            continue;
        }
        put(SCOPE_SPANS, &[&scope, &taken_spans], &mut taken);
        if !kept_spans.is_empty() {
            put(SCOPE_SPANS, &[&scope, &kept_spans], &mut kept);
        }
    }
    if taken.is_empty() {
        split.rest.extend_from_slice(field.whole);
        return;
    }
    let resource = around(resource_spans, SCOPE_SPANS);
    put(RESOURCE_SPANS, &[&resource, &taken], &mut split.taken);
    if !kept.is_empty() {
        put(RESOURCE_SPANS, &[&resource, &kept], &mut split.rest);
    }
}

/// A `ResourceSpans` of a request.
#[derive(Clone, Copy)]
pub(super) struct Resource<'a>(&'a [u8]);

/// A `ScopeSpans` of it.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a>(&'a [u8]);

/// The resources of a request.
pub(super) fn resources(request: &[u8]) -> impl Iterator<Item = Resource<'_>> {
    fields(request).filter_map(|field| field.message(RESOURCE_SPANS)).map(Resource)
}

/// The keys of all spans of a request.
pub(super) fn keys(request: &[u8]) -> impl Iterator<Item = SpanKey> {
    resources(request).flat_map(Resource::scopes).flat_map(Scope::spans).map(|(key, _)| key)
}

impl<'a> Resource<'a> {
    /// What stands around its scopes.
    pub(super) fn around(self) -> Vec<u8> {
        around(self.0, SCOPE_SPANS)
    }

    /// The bytes of that.
    pub(super) fn around_len(self) -> usize {
        around_len(self.0, SCOPE_SPANS)
    }

    pub(super) fn scopes(self) -> impl Iterator<Item = Scope<'a>> {
        fields(self.0).filter_map(|field| field.message(SCOPE_SPANS)).map(Scope)
    }
}

impl<'a> Scope<'a> {
    /// What stands around its spans.
    pub(super) fn around(self) -> Vec<u8> {
        around(self.0, SPANS)
    }

    /// The bytes of that.
    pub(super) fn around_len(self) -> usize {
        around_len(self.0, SPANS)
    }

    /// Its spans that have a key.
    pub(super) fn spans(self) -> impl Iterator<Item = (SpanKey, &'a [u8])> {
        let spans = fields(self.0).filter_map(|field| field.message(SPANS));
        spans.filter_map(|span| Some((key_of(span)?, span)))
    }
}

/// Writes spans with their scope around them as a part of a resource.
pub(super) fn put_scope<'a>(scope: &[u8], spans: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    let mut inner = Vec::new();
    spans.for_each(|span| put(SPANS, &[span], &mut inner));
    put(SCOPE_SPANS, &[scope, &inner], out);
}

/// Writes scopes with their resource around them as a part of a request.
pub(super) fn put_resource(resource: &[u8], scopes: &[u8], request: &mut Vec<u8>) {
    put(RESOURCE_SPANS, &[resource, scopes], request);
}

/// Whether a span has an attribute of this name.
pub(super) fn has_attribute(span: &[u8], name: &str) -> bool {
    let attributes = fields(span).filter_map(|field| field.message(ATTRIBUTES));
    let mut keys = attributes
        .filter_map(|attribute| fields(attribute).filter_map(|field| field.message(ATTRIBUTE_KEY)).last());
    keys.any(|key| key == name.as_bytes())
}

/// Of a repeated id the last counts, as the reader has it.
fn id(span: &[u8], number: u32) -> Option<&[u8]> {
    fields(span).filter_map(|field| field.message(number)).last()
}

fn key_of(span: &[u8]) -> Option<SpanKey> {
    let (trace, own) = (id(span, TRACE_ID)?, id(span, SPAN_ID)?);
    Some(SpanKey { trace: TraceId(trace.try_into().ok()?), span: SpanId(own.try_into().ok()?) })
}

/// Whether the reader takes the ids: those of trace and span are not all zero, that of the parent may be.
fn has_valid_ids(span: &[u8]) -> bool {
    let is_some = key_of(span).is_some_and(|key| key.trace.0 != [0; 16] && key.span.0 != [0; 8]);
    is_some && matches!(id(span, PARENT_ID).map_or(0, <[u8]>::len), 0 | 8)
}

/// The fields of a message but for one.
fn around(message: &[u8], but: u32) -> Vec<u8> {
    let others = fields(message).filter(|field| field.message(but).is_none());
    let mut around = Vec::new();
    others.for_each(|field| around.extend_from_slice(field.whole));
    around
}

fn around_len(message: &[u8], but: u32) -> usize {
    let others = fields(message).filter(|field| field.message(but).is_none());
    others.map(|field| field.whole.len()).sum()
}

/// Writes a message of these parts as a field.
fn put(number: u32, parts: &[&[u8]], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(parts.iter().map(|part| part.len() as u64).sum(), out);
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// A field as it stands on the wire.
#[derive(Clone, Copy)]
struct Field<'a> {
    number: u32,
    wire_type: WireType,
    /// Key, length and value.
    whole: &'a [u8],
    /// What is inside of one with a length.
    value: &'a [u8],
}

impl<'a> Field<'a> {
    /// What is inside, if it is this field, and one with a length.
    fn message(&self, number: u32) -> Option<&'a [u8]> {
        (self.number == number && self.wire_type == WireType::LengthDelimited).then_some(self.value)
    }
}

/// The fields of a message. What cannot be read comes as a last field without a number, so that nothing is
/// lost; the reader has refused such a request before.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = Field<'_>> {
    std::iter::from_fn(move || {
        let all = rest;
        if all.is_empty() {
            return None;
        }
        let unread = Field { number: 0, wire_type: WireType::LengthDelimited, whole: all, value: &[] };
        let field = read_field(all).unwrap_or(unread);
        rest = &all[field.whole.len()..];
        Some(field)
    })
}

fn read_field(all: &[u8]) -> Option<Field<'_>> {
    let mut rest = all;
    let (number, wire_type) = decode_key(&mut rest).ok()?;
    let mut value: &[u8] = &[];
    if wire_type == WireType::LengthDelimited {
        let len = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
        (value, rest) = rest.split_at_checked(len)?;
    } else {
        skip_field(wire_type, number, &mut rest, DecodeContext::default()).ok()?;
    }
    let (whole, _) = all.split_at_checked(all.len() - rest.len())?;
    Some(Field { number, wire_type, whole, value })
}

#[cfg(test)]
mod tests;
