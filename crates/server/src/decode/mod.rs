//! OTLP trace requests, read in place.
//!
//! [`read`] walks the bytes of an `ExportTraceServiceRequest` and hands each span to a [`Visitor`] as a
//! [`SpanView`] that borrows from those bytes. Nothing is built for what no rule names: most of a request is
//! attributes that are skipped by their length, which is why this costs a fifth of building the message
//! (prost is the oracle in the tests, not the reader). JSON requests are rewritten as protobuf first
//! ([`json`]), so that one reader decides.
//!
//! What is refused, and how widely:
//! - A broken encoding, or a known field of another wire type, refuses the request ([`DecodeError`]), as
//!   prost does. What the visitor has got until then must be thrown away.
//! - A span whose ids, times or kept text cannot be right is refused alone ([`RejectReason`]).
//! - The inside of what is skipped is not looked at. This is the one place where prost refuses more: it
//!   checks UTF-8 and structure of attributes, events and links that nobody asked for.
//!
//! Protobuf lets a writer reorder, repeat and split fields. Repeated scalars: the last counts. Split messages
//! are merged. So a resource and a scope hold for all their spans even if they come after them on the wire.
//!
//! A span that is the same as one before it, but for ids and times, is not read again ([`repeats`]).
//!
//! Next in the flow: [`crate::intake`] recognises the spans.

mod attribute;
mod error;
pub mod json;
mod repeats;
mod span;
mod wire;

#[cfg(test)]
mod tests;

use spantally_providers::{AttributeKeys, Attributes, ResourceView, SpanHead, SpanView};

use self::attribute::{Texts, read_attribute};
pub use self::error::{DecodeError, WireProblem};
use self::repeats::Repeats;
pub(crate) use self::span::LINKS_MAX;
use self::span::SpanReader;
use self::wire::{Fault, LEN, Result, Shape, VARINT, fields, key};
use crate::batch::RejectReason;

const REQUEST: Shape = Shape { name: "ExportTraceServiceRequest", fields: &[("resource_spans", LEN)] };
const RESOURCE_SPANS: u32 = key(1, LEN);

const RESOURCE_SPANS_SHAPE: Shape =
    Shape { name: "ResourceSpans", fields: &[("resource", LEN), ("scope_spans", LEN), ("schema_url", LEN)] };
const RESOURCE: u32 = key(1, LEN);
const SCOPE_SPANS: u32 = key(2, LEN);

const RESOURCE_SHAPE: Shape = Shape {
    name: "Resource",
    fields: &[("attributes", LEN), ("dropped_attributes_count", VARINT), ("entity_refs", LEN)],
};
const RESOURCE_ATTRIBUTES: u32 = key(1, LEN);

const SCOPE_SPANS_SHAPE: Shape =
    Shape { name: "ScopeSpans", fields: &[("scope", LEN), ("spans", LEN), ("schema_url", LEN)] };
const SCOPE: u32 = key(1, LEN);
const SPANS: u32 = key(2, LEN);

const SCOPE_SHAPE: Shape = Shape {
    name: "InstrumentationScope",
    fields: &[("name", LEN), ("version", LEN), ("attributes", LEN), ("dropped_attributes_count", VARINT)],
};
const SCOPE_NAME: u32 = key(1, LEN);

/// Takes what a request holds, in the order of the request.
pub trait Visitor {
    /// What stands for a span that was taken.
    type Taken: Copy;
    /// The resource of the spans that follow. `encoded` is the resource as it stands on the wire, when it
    /// came in one piece: equal bytes are equal resources.
    fn resource(&mut self, resource: &ResourceView<'_>, encoded: Option<&[u8]>);
    /// A span.
    fn span(&mut self, span: &SpanView<'_>) -> Self::Taken;
    /// A span that is the same as one taken before but for what is in `head`.
    fn again(&mut self, taken: Self::Taken, head: &SpanHead);
    /// A span that cannot be used.
    fn rejected(&mut self, reason: RejectReason);
    /// So many links of the span that was told last are more than a span may have, and were left out.
    fn links_over(&mut self, _count: u64) {}
}

/// Reads an encoded `ExportTraceServiceRequest`.
///
/// # Errors
/// The body is not such a message. The visitor may have been called; what it got does not count.
pub fn read<V: Visitor>(
    body: &[u8],
    keys: &AttributeKeys,
    visitor: &mut V,
) -> std::result::Result<(), DecodeError> {
    let mut reader = Reader::new(keys);
    fields(body, &REQUEST, |key, cursor| {
        if key == RESOURCE_SPANS {
            return reader.resource_spans(cursor.bytes()?, visitor);
        }
        cursor.skip(key, &REQUEST)
    })
    .map_err(|fault| {
        let Fault { address, message, problem } = *fault;
        DecodeError::Protobuf { at: address.saturating_sub(body.as_ptr() as usize), message, problem }
    })
}

struct Reader<'a, 'k, V: Visitor> {
    keys: &'k AttributeKeys,
    resource: ResourceView<'a>,
    spans: SpanReader<'a>,
    repeats: Repeats<'a, V::Taken>,
}

impl<'a, 'k, V: Visitor> Reader<'a, 'k, V> {
    fn new(keys: &'k AttributeKeys) -> Self {
        let resource = ResourceView { attributes: Attributes::new(keys) };
        Self { keys, resource, spans: SpanReader::new(keys), repeats: Repeats::new() }
    }

    /// Two passes: the resource first, wherever it stands, then the spans.
    fn resource_spans(&mut self, encoded: &'a [u8], visitor: &mut V) -> Result<()> {
        let mut texts = Texts::default();
        let mut parts = 0_usize;
        let mut whole: Option<&[u8]> = None;
        self.resource.attributes.clear();
        fields(encoded, &RESOURCE_SPANS_SHAPE, |key, cursor| {
            if key != RESOURCE {
                return cursor.skip(key, &RESOURCE_SPANS_SHAPE);
            }
            let part = cursor.bytes()?;
            parts += 1;
            whole = (parts == 1).then_some(part);
            self.read_resource(part, &mut texts)
        })?;
        if !texts.invalid {
            visitor.resource(&self.resource, whole);
        }
        fields(encoded, &RESOURCE_SPANS_SHAPE, |key, cursor| {
            if key == SCOPE_SPANS {
                return self.scope_spans(cursor.bytes()?, texts, visitor);
            }
            cursor.skip(key, &RESOURCE_SPANS_SHAPE)
        })
    }

    fn read_resource(&mut self, encoded: &'a [u8], texts: &mut Texts) -> Result<()> {
        fields(encoded, &RESOURCE_SHAPE, |key, cursor| {
            if key != RESOURCE_ATTRIBUTES {
                return cursor.skip(key, &RESOURCE_SHAPE);
            }
            read_attribute(cursor.bytes()?, self.keys, &mut self.resource.attributes, texts)
        })
    }

    /// Two passes again. The first touches one cache line a span, which the second then finds warm.
    fn scope_spans(&mut self, encoded: &'a [u8], mut texts: Texts, visitor: &mut V) -> Result<()> {
        let mut name: &[u8] = &[];
        fields(encoded, &SCOPE_SPANS_SHAPE, |key, cursor| {
            if key != SCOPE {
                return cursor.skip(key, &SCOPE_SPANS_SHAPE);
            }
            read_scope(cursor.bytes()?, &mut name)
        })?;
        self.spans.scope(texts.check(name));
        self.repeats.next_scope();
        fields(encoded, &SCOPE_SPANS_SHAPE, |key, cursor| {
            if key != SPANS {
                return cursor.skip(key, &SCOPE_SPANS_SHAPE);
            }
            self.span(cursor.bytes()?, texts.invalid, visitor)
        })
    }

    /// A span, of a resource or scope with invalid text or not.
    fn span(&mut self, encoded: &'a [u8], invalid: bool, visitor: &mut V) -> Result<()> {
        let plain = if invalid { None } else { self.repeats.part(encoded) };
        if let Some(plain) = &plain
            && let Some(taken) = self.repeats.find(plain)
        {
            match plain.head() {
                Ok(head) => visitor.again(taken, &head),
                Err(reason) => visitor.rejected(reason),
            }
            return Ok(());
        }
        match self.spans.read(encoded, self.keys)? {
            Ok(_) if invalid => visitor.rejected(RejectReason::Encoding),
            Ok(span) => {
                let taken = visitor.span(span);
                let links_over = self.spans.links_over();
                if links_over > 0 {
                    visitor.links_over(links_over);
                } else if let Some(plain) = plain {
                    self.repeats.keep(&plain, self.spans.own_fields(), taken);
                }
            }
            Err(reason) => visitor.rejected(reason),
        }
        Ok(())
    }
}

fn read_scope<'a>(encoded: &'a [u8], name: &mut &'a [u8]) -> Result<()> {
    fields(encoded, &SCOPE_SHAPE, |key, cursor| {
        if key == SCOPE_NAME {
            *name = cursor.bytes()?;
            return Ok(());
        }
        cursor.skip(key, &SCOPE_SHAPE)
    })
}
