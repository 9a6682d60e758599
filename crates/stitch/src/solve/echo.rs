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

/// The echoes of a pool, found by what they are beside: a pool may have one for each of its jobs.
#[derive(Debug, Default)]
pub(crate) struct Echoes {
    by_slot: Vec<Echo>,
    by_span: Vec<Echo>,
}

impl Echoes {
    pub(crate) fn new(found: Vec<Echo>) -> Self {
        let (mut by_slot, mut by_span) = (found.clone(), found);
        by_slot.sort_unstable_by_key(|echo| (echo.beside, echo.span));
        by_span.sort_unstable_by_key(|echo| (echo.of, echo.span));
        Self { by_slot, by_span }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_slot.is_empty()
    }

    /// Those of calls that the caller keeps in one place.
    pub(crate) fn beside(&self, slot: u32) -> impl Iterator<Item = &Echo> {
        let from = self.by_slot.partition_point(|echo| echo.beside < slot);
        self.by_slot[from..].iter().take_while(move |echo| echo.beside == slot)
    }

    /// Those of one span.
    pub(crate) fn of(&self, span: SpanKey) -> impl Iterator<Item = &Echo> {
        let from = self.by_span.partition_point(|echo| echo.of < span);
        self.by_span[from..].iter().take_while(move |echo| echo.of == span)
    }
}

/// Whether a span is among some echoes, which are sorted by span.
pub(crate) fn has(echoes: &[Echo], span: SpanKey) -> bool {
    echoes.binary_search_by_key(&span, |echo| echo.span).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{SpanId, TraceId};

    /// Each job of a pool asks for its own: what is looked at is what is found.
    #[test]
    fn what_is_beside_a_call_is_found_without_the_others() {
        let key = |number: u32| SpanKey {
            trace: TraceId(u128::from(number).to_be_bytes()),
            span: SpanId(u64::from(number).to_be_bytes()),
        };
        // Of call 5 there are two, of its neighbours one.
        let beside = |number: u32| if number == 5 { [100_000 + 5, 5].to_vec() } else { vec![number] };
        let found = (0..20_000).rev().flat_map(|number| {
            let echo = |other: u32| Echo {
                span: key(1_000_000 + other),
                slot: Some(30_000 + other),
                of: key(number),
                beside: number,
            };
            beside(number).into_iter().map(echo).collect::<Vec<_>>()
        });
        let echoes = Echoes::new(found.collect());
        assert_eq!((0..20_001).map(|slot| echoes.beside(slot).count()).sum::<usize>(), 20_001);
        assert_eq!((0..20_001).map(|number| echoes.of(key(number)).count()).sum::<usize>(), 20_001);
        let spans = |found: Vec<&Echo>| found.iter().map(|echo| echo.span).collect::<Vec<_>>();
        let wanted = vec![key(1_000_005), key(1_100_005)];
        assert_eq!(spans(echoes.beside(5).collect()), wanted);
        assert_eq!(spans(echoes.of(key(5)).collect()), wanted);
        assert_eq!(spans(echoes.of(key(20_000)).collect()), []);
        assert!(Echoes::default().is_empty() && Echoes::default().beside(0).next().is_none());
    }
}
