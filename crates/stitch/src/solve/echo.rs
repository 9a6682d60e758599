//! Spans that show a call which another span shows better: they are no calls, and go with its job.

use crate::evidence::Evidence;
use crate::id::SpanKey;

/// A call, and where the caller keeps it.
pub(crate) type Kept<'a> = (u32, &'a Evidence);

/// A span beside which its call was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Echo {
    /// The span.
    pub(crate) span: SpanKey,
    /// Where the caller keeps it, unless something else is kept there that is no echo.
    pub(crate) slot: Option<u32>,
    /// The span that stands for the call.
    pub(crate) of: SpanKey,
    /// Where the caller keeps that one.
    pub(crate) beside: u32,
}

impl Echo {
    /// What one kept span is of another.
    pub(crate) fn new(span: Kept<'_>, of: Kept<'_>) -> Self {
        Self { span: span.1.span, slot: Some(span.0), of: of.1.span, beside: of.0 }
    }
}

/// Whether a span is among some echoes, which are sorted by span.
pub(crate) fn has(echoes: &[Echo], span: SpanKey) -> bool {
    echoes.binary_search_by_key(&span, |echo| echo.span).is_ok()
}
