//! What the reader hands to its visitor, as text that can be compared.

use spantally_providers::{AttributeKeys, ResourceView, SpanView};
use spantally_server::batch::RejectReason;
use spantally_server::decode::{DecodeError, Visitor, read};

/// Attributes that are asked for.
const WANTED: [&str; 3] = ["service.name", "url.full", "n"];

#[derive(Default)]
struct Seen(Vec<String>);

impl Visitor for Seen {
    fn resource(&mut self, resource: &ResourceView<'_>, _encoded: Option<&[u8]>) {
        self.0.push(format!("{resource:?}"));
    }

    fn span(&mut self, span: &SpanView<'_>) {
        self.0.push(format!("{span:?}"));
    }

    fn rejected(&mut self, reason: RejectReason) {
        self.0.push(format!("{reason:?}"));
    }
}

/// Everything that the visitor of a request is told.
pub(crate) fn seen(body: &[u8]) -> Result<Vec<String>, DecodeError> {
    let mut keys = AttributeKeys::default();
    for key in WANTED {
        keys.slot_of(key);
    }
    let mut seen = Seen::default();
    read(body, &keys, &mut seen)?;
    Ok(seen.0)
}
