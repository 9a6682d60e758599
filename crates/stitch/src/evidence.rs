//! What is known of one span: the input of stitching.
//!
//! Evidence is made by the recogniser (`spantally-providers`) from a span, or read back from the journal.
//! It holds nothing but what a provider rule names: never a prompt, an output or a credential.

use std::sync::Arc;

use crate::call::Call;
use crate::frame::Frame;
use crate::id::{SpanId, SpanKey, UnixNanos};

/// One span worth keeping. A server holds millions: it is two cache lines, and an ordinary one points at
/// nothing of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// The span's identity.
    pub span: SpanKey,
    /// The parent span's id; zero for a root.
    pub parent: SpanId,
    /// When the span started.
    pub start: UnixNanos,
    /// When the span ended.
    pub end: UnixNanos,
    /// Who made it.
    pub client: Arc<Client>,
    /// What kind of span it is.
    pub what: What,
}

impl Evidence {
    /// Spans that this one links to.
    pub fn links(&self) -> &[SpanKey] {
        match &self.what {
            What::Call(call) => &call.rare.links,
            What::Frame(frame) => &frame.rare.links,
        }
    }
}

/// A call to a provider, or a span that only tells lineage.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// One API call to a provider, or one delivery from it.
    Call(Call),
    /// An application or GenAI span above calls.
    Frame(Frame),
}

/// The process that made a span: shared by all spans of one resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Client {
    /// Tenant, empty when there is only one.
    pub tenant: Arc<str>,
    /// `service.name`, `unknown_service` when absent (OpenTelemetry's own word).
    pub service: Arc<str>,
    /// `service.instance.id`, else `host.name` and `process.pid`, else empty.
    pub instance: Arc<str>,
    /// Values of the extra labels that the configuration names, in its order.
    pub labels: Vec<Arc<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::CallRare;
    use crate::frame::FrameRare;
    use crate::rare::Rare;

    #[test]
    fn evidence_is_two_cache_lines() {
        assert_eq!(size_of::<Evidence>(), 128);
        assert_eq!(size_of::<Frame>(), 16);
    }

    #[test]
    fn what_is_empty_is_not_kept() {
        assert_eq!(Rare::new(CallRare::default()), Rare::default());
        assert_eq!(Rare::new(FrameRare::default()), Rare::default());
        assert!(Rare::<FrameRare>::default().name.is_empty());
        let rare = Rare::new(CallRare { resend: Some(1), ..CallRare::default() });
        assert_eq!(rare.resend, Some(1));
        assert_ne!(rare, Rare::default());
        assert_eq!(Rare::new(rare.clone().into_inner()), rare);
    }
}
