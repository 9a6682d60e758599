//! A span as the recogniser sees it: borrowed from the request, with only the attributes that a rule names.

use hashbrown::HashMap;
use spantally_stitch::{SpanId, SpanKey, UnixNanos};

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

/// An attribute value. Of an array of strings (captured headers) it is the first element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text.
    Text(&'a str),
    /// Integer.
    Int(i64),
    /// Floating point.
    Double(f64),
    /// Boolean.
    Bool(bool),
}

/// A span, borrowed.
#[derive(Clone, Debug, Default)]
pub struct SpanView<'a> {
    /// Its identity.
    pub key: SpanKey,
    /// Its parent's id; zero for a root.
    pub parent: SpanId,
    /// Its kind.
    pub kind: SpanKind,
    /// Its name.
    pub name: &'a str,
    /// Start.
    pub start: UnixNanos,
    /// End.
    pub end: UnixNanos,
    /// Status.
    pub status: SpanStatus,
    /// Status message.
    pub status_message: &'a str,
    /// Instrumentation scope name.
    pub scope: &'a str,
    /// `exception.type` of the last `exception` event, else empty.
    pub exception: &'a str,
    /// Spans it links to.
    pub links: Vec<SpanKey>,
    /// The attributes that a rule names, by slot of [`AttributeKeys`]; of a key given twice, the last.
    pub attributes: Vec<Option<Value<'a>>>,
}

impl<'a> SpanView<'a> {
    /// The attribute in a slot.
    pub fn get(&self, slot: u16) -> Option<Value<'a>> {
        self.attributes.get(usize::from(slot)).copied().flatten()
    }

    /// The text attribute in a slot.
    pub fn text(&self, slot: u16) -> Option<&'a str> {
        match self.get(slot) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }
}

/// The attribute keys that any rule names, each with a slot. What is not in it is never read.
#[derive(Clone, Debug, Default)]
pub struct AttributeKeys {
    slots: HashMap<Vec<u8>, u16, foldhash::fast::FixedState>,
    /// Lengths that some key has: most attributes of most spans are refused by this one look.
    lengths: u128,
}

impl AttributeKeys {
    /// The slot of a key, added if new. At most 65,535 keys; further ones share the last slot's fate and are refused.
    pub fn slot_of(&mut self, key: &str) -> u16 {
        let next = self.slots.len() as u16;
        self.lengths |= 1 << key.len().min(127);
        *self.slots.entry_ref(key.as_bytes()).or_insert(next)
    }

    /// The slot of a key as it stands on the wire, if any rule names it.
    pub fn find(&self, key: &[u8]) -> Option<u16> {
        if self.lengths >> key.len().min(127) & 1 == 0 {
            return None;
        }
        self.slots.get(key).copied()
    }

    /// How many slots there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}
