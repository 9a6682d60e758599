//! A span as the recogniser sees it: borrowed from the request, with only the attributes that a rule names.

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
    #[inline]
    pub fn get(&self, slot: u16) -> Option<Value<'a>> {
        self.attributes.get(usize::from(slot)).copied().flatten()
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

/// A resource, borrowed: its attributes that are kept, by slot of the same [`AttributeKeys`].
#[derive(Clone, Debug, Default)]
pub struct ResourceView<'a> {
    /// Values by slot, as in [`SpanView::attributes`].
    pub attributes: Vec<Option<Value<'a>>>,
}

impl<'a> ResourceView<'a> {
    /// The attribute in a slot.
    #[inline]
    pub fn get(&self, slot: u16) -> Option<Value<'a>> {
        self.attributes.get(usize::from(slot)).copied().flatten()
    }
}

/// The attribute keys that any rule names, each with a slot. What is not in it is never read.
///
/// Several keys may share a slot: spellings of one meaning (`http.method`, `http.request.method`). A span
/// that carries both (`OTEL_SEMCONV_STABILITY_OPT_IN=http/dup`) then has one value, not two.
#[derive(Clone, Debug, Default)]
pub struct AttributeKeys {
    /// Keys with their slots, by length. A handful share one, and most attributes of most spans differ from
    /// all of them in their last byte, so no hash is needed.
    by_length: Vec<Vec<(Box<[u8]>, u16)>>,
    /// How many slots there are.
    count: u16,
}

impl AttributeKeys {
    /// The slot of a key, added if new. At 65,535 slots further keys share the last one.
    pub fn slot_of(&mut self, key: &str) -> u16 {
        if let Some(slot) = self.find(key.as_bytes()) {
            return slot;
        }
        let slot = self.count;
        self.count = self.count.saturating_add(1);
        self.add(key, slot);
        slot
    }

    /// One slot for several spellings of a meaning. A spelling that already has a slot keeps it.
    pub fn slot_of_any<K: AsRef<str>>(&mut self, spellings: &[K]) -> u16 {
        let known = spellings.iter().find_map(|key| self.find(key.as_ref().as_bytes()));
        let slot = known.unwrap_or_else(|| {
            self.count = self.count.saturating_add(1);
            self.count - 1
        });
        for key in spellings {
            self.add(key.as_ref(), slot);
        }
        slot
    }

    fn add(&mut self, key: &str, slot: u16) {
        if self.find(key.as_bytes()).is_some() {
            return;
        }
        if self.by_length.len() <= key.len() {
            self.by_length.resize_with(key.len() + 1, Vec::new);
        }
        self.by_length[key.len()].push((key.as_bytes().into(), slot));
    }

    /// The slot of a key as it stands on the wire, if any rule names it.
    #[inline]
    pub fn find(&self, key: &[u8]) -> Option<u16> {
        let known = self.by_length.get(key.len())?;
        let (_, slot) = known.iter().find(|(known, _)| known.last() == key.last() && **known == *key)?;
        Some(*slot)
    }

    /// How many slots there are: the length that [`SpanView::attributes`] needs.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_meaning_share_a_slot() {
        let mut keys = AttributeKeys::default();
        let method = keys.slot_of_any(&["http.request.method", "http.method"]);
        let url = keys.slot_of("url.full");
        assert_eq!(keys.find(b"http.method"), Some(method));
        assert_eq!(keys.find(b"url.full"), Some(url));
        assert_eq!(keys.find(b"url.fill"), None);
        assert_eq!(keys.find(b"url.path"), None);
        assert_eq!(keys.len(), 2);
        assert_eq!(keys.slot_of_any(&["url.full", "http.url"]), url);
        assert_eq!(keys.len(), 2);
    }
}
