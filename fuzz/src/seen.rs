//! What the reader hands to its visitor, as text that can be compared.

use spantally_providers::{AttributeKeys, ResourceView, SpanHead, SpanView};
use spantally_server::batch::RejectReason;
use spantally_server::decode::{DecodeError, Visitor, read};

/// Attributes that are asked for.
const WANTED: [&str; 3] = ["service.name", "url.full", "n"];

/// A line of each thing told; of a span, its head and then the rest.
#[derive(Default)]
struct Seen(Vec<[String; 2]>);

impl Visitor for Seen {
    type Taken = usize;

    fn resource(&mut self, resource: &ResourceView<'_>, _: Option<&[u8]>) {
        self.0.push([format!("{resource:?}"), String::new()]);
    }

    fn span(&mut self, span: &SpanView<'_>) -> usize {
        let rest = SpanView { head: SpanHead::default(), ..span.clone() };
        self.0.push([format!("{:?}", span.head), format!("{rest:?}")]);
        self.0.len() - 1
    }

    fn again(&mut self, taken: usize, head: &SpanHead) {
        let rest = self.0[taken][1].clone();
        self.0.push([format!("{head:?}"), rest]);
    }

    fn rejected(&mut self, reason: RejectReason) {
        self.0.push([format!("{reason:?}"), String::new()]);
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
    Ok(seen.0.into_iter().map(|parts| parts.join(" ")).collect())
}
