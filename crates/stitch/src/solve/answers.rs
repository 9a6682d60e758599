//! Spans that tell usage, by what is above them.
//!
//! A realtime session asks for its own answers only ([`crate::judge`]). To go through all spans of a pool for
//! each of its sessions would cost the square of what came.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::call::FactSource;
use crate::evidence::{Evidence, What};
use crate::id::SpanKey;
use crate::solve::lineage::Lineage;

/// Frames that tell usage, by each span above them.
#[derive(Debug, Default)]
pub(crate) struct Answers(HashMap<SpanKey, Vec<usize>, FixedState>);

impl Answers {
    /// Of the frames of a pool, all of which its lineage knows.
    pub(crate) fn new<'a>(frames: &[&'a Evidence], lineage: &Lineage<'a>) -> Self {
        let mut below: HashMap<SpanKey, Vec<usize>, FixedState> = HashMap::default();
        for (at, &evidence) in frames.iter().enumerate().filter(|(_, evidence)| tells_usage(evidence)) {
            for above in std::iter::once(evidence).chain(lineage.ancestors(evidence)) {
                let known = below.entry(SpanKey { trace: above.span.trace, span: above.parent }).or_default();
                // Parents may be a cycle.
                if known.last() != Some(&at) {
                    known.push(at);
                }
            }
        }
        Self(below)
    }

    /// Those below a span, whether that is in the pool or not, by their place among the frames.
    pub(crate) fn below(&self, span: SpanKey) -> &[usize] {
        self.0.get(&span).map(Vec::as_slice).unwrap_or_default()
    }
}

fn tells_usage(evidence: &Evidence) -> bool {
    let What::Frame(frame) = &evidence.what else { return false };
    frame.rare.facts.iter().any(|fact| fact.source != FactSource::Request)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::call::{Fact, FactValue};
    use crate::evidence::Client;
    use crate::frame::{Frame, FrameKind, FrameRare};
    use crate::id::{SpanId, TraceId, UnixNanos};
    use crate::rare::Rare;

    fn frame(trace: u8, span: u8, parent: u8, source: Option<FactSource>) -> Evidence {
        let fact = |source| Fact { name: "output_tokens".into(), value: FactValue::Number(7.into()), source };
        let facts = source.map(fact).into_iter().collect();
        Evidence {
            span: SpanKey { trace: TraceId([trace; 16]), span: SpanId([span; 8]) },
            parent: SpanId([parent; 8]),
            start: UnixNanos(1),
            end: UnixNanos(2),
            client: Arc::new(Client::default()),
            what: What::Frame(Frame {
                kind: FrameKind::Internal,
                verdict: None,
                rare: Rare::new(FrameRare { facts, ..FrameRare::default() }),
            }),
        }
    }

    #[test]
    fn an_answer_is_known_by_every_span_above_it_and_by_no_other() {
        let told = Some(FactSource::Response);
        let spans = [
            frame(1, 2, 1, None),
            frame(1, 3, 2, told),
            frame(1, 4, 3, told),
            frame(1, 5, 2, Some(FactSource::Request)),
            frame(2, 3, 2, told),
            // A cycle.
            frame(3, 1, 2, told),
            frame(3, 2, 1, None),
        ];
        let frames: Vec<&Evidence> = spans.iter().collect();
        let mut lineage = Lineage::default();
        for &frame in &frames {
            lineage.add(frame);
        }
        let answers = Answers::new(&frames, &lineage);
        let below = |trace, span| {
            answers.below(SpanKey { trace: TraceId([trace; 16]), span: SpanId([span; 8]) }).to_vec()
        };
        for (trace, span, wanted) in [
            (1, 1, vec![1, 2]),
            (1, 2, vec![1, 2]),
            (1, 3, vec![2]),
            (1, 4, vec![]),
            (2, 1, vec![]),
            (2, 2, vec![4]),
            (3, 1, vec![5]),
            (3, 2, vec![5]),
        ] {
            assert_eq!(below(trace, span), wanted, "{trace}:{span}");
        }
    }
}
