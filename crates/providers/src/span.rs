//! A span as the recogniser sees it: borrowed from the request, with only the attributes that a rule names.

use spantally_stitch::{SpanId, SpanKey, UnixNanos};

use crate::attributes::{Attributes, Value};

/// OTLP span kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpanKind {
    /// Not told.
    #[default]
    Unspecified,
    /// Inside an application.
    Internal,
    /// Serves a request.
    Server,
    /// Makes a request.
    Client,
    /// Sends a message.
    Producer,
    /// Takes a message.
    Consumer,
}

/// OTLP span status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpanStatus {
    /// Not told.
    #[default]
    Unset,
    /// Good.
    Ok,
    /// Bad.
    Error,
}

/// What is a span's own: polls of one task, for one, are else the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanHead {
    /// Its identity.
    pub key: SpanKey,
    /// Its parent's id; zero for a root.
    pub parent: SpanId,
    /// Start.
    pub start: UnixNanos,
    /// End.
    pub end: UnixNanos,
}

/// A span, borrowed.
#[derive(Clone, Debug, Default)]
pub struct SpanView<'a> {
    /// Its ids and times.
    pub head: SpanHead,
    /// Its W3C tracestate as it came, which may be no text: it is looked at for what a sampler wrote, and not
    /// kept.
    pub trace_state: &'a [u8],
    /// Its kind.
    pub kind: SpanKind,
    /// Its name.
    pub name: &'a str,
    /// Status.
    pub status: SpanStatus,
    /// Status message.
    pub status_message: &'a str,
    /// Instrumentation scope name.
    pub scope: &'a str,
    /// `exception.type` of the last `exception` event, else empty.
    pub exception: &'a str,
    /// `exception.message` of the same event, else empty. It is looked at for what ended a request, and not
    /// kept.
    pub exception_message: &'a str,
    /// Spans it links to.
    pub links: Vec<SpanKey>,
    /// The attributes that a rule names; of a key given twice, the last.
    pub attributes: Attributes<'a>,
}

impl<'a> SpanView<'a> {
    /// The attribute in a slot.
    #[inline]
    pub fn get(&self, slot: u16) -> Option<Value<'a>> {
        self.attributes.get(slot)
    }

    /// The text attribute in a slot.
    #[inline]
    pub fn text(&self, slot: u16) -> Option<&'a str> {
        match self.get(slot) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }
}

/// A resource, borrowed.
#[derive(Clone, Debug, Default)]
pub struct ResourceView<'a> {
    /// The attributes that a rule names, in slots of the same keys as those of spans.
    pub attributes: Attributes<'a>,
}

impl<'a> ResourceView<'a> {
    /// The attribute in a slot.
    #[inline]
    pub fn get(&self, slot: u16) -> Option<Value<'a>> {
        self.attributes.get(slot)
    }
}
