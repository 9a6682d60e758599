//! Who is above whom: parents, ancestors and traces of the spans in a pool.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::evidence::{Evidence, What};
use crate::frame::{Frame, FrameKind};
use crate::id::{SpanKey, TraceId};

/// No real call tree is this deep; a cycle of parents is.
pub(crate) const MAX_DEPTH: usize = 64;

/// The spans that can be above a call, by identity.
#[derive(Debug, Default)]
pub(crate) struct Lineage<'a> {
    above: HashMap<SpanKey, &'a Evidence, FixedState>,
    /// How many spans of a trace are known: one means that the trace tells nothing. The first trace is apart,
    /// since most pools have one.
    first: Option<(TraceId, u32)>,
    others: HashMap<TraceId, u32, FixedState>,
}

impl<'a> Lineage<'a> {
    /// Makes a span known as a possible ancestor.
    pub(crate) fn add(&mut self, evidence: &'a Evidence) {
        self.above.insert(evidence.span, evidence);
    }

    /// The known span of an id.
    pub(crate) fn get(&self, span: SpanKey) -> Option<&'a Evidence> {
        self.above.get(&span).copied()
    }

    /// Counts a span of its trace.
    pub(crate) fn count(&mut self, evidence: &Evidence) {
        let trace = evidence.span.trace;
        let (first, count) = self.first.get_or_insert((trace, 0));
        if *first == trace {
            *count += 1;
        } else {
            *self.others.entry(trace).or_insert(0) += 1;
        }
    }

    /// How many spans of a trace are known.
    fn size(&self, trace: TraceId) -> u32 {
        match self.first {
            Some((first, count)) if first == trace => count,
            _ => self.others.get(&trace).copied().unwrap_or(0),
        }
    }

    /// Whether the span's place in its trace tells anything: it has a parent, or its trace has more spans.
    pub(crate) fn tells(&self, evidence: &Evidence) -> bool {
        evidence.parent.is_some() || self.size(evidence.span.trace) > 1
    }

    /// Whether two spans are known to be of different pieces of work: they are in two traces, and not only
    /// because each call of an SDK begins one.
    pub(crate) fn apart(&self, a: &'a Evidence, b: &'a Evidence) -> bool {
        a.span.trace != b.span.trace
            && self.tells(a)
            && self.tells(b)
            && !(self.is_sdk_call(a) && self.is_sdk_call(b))
    }

    /// Whether a span has nothing above it but spans that a GenAI instrumentation puts around a call of an
    /// SDK: an application that begins no span of its own.
    pub(crate) fn is_sdk_call(&self, evidence: &'a Evidence) -> bool {
        let sdk = |kind| matches!(kind, FrameKind::Wrapper | FrameKind::Operation | FrameKind::Chat);
        let mut top = None;
        for (above, frame) in self.frames(evidence) {
            if !sdk(frame.kind) {
                return false;
            }
            top = Some(above);
        }
        top.is_some_and(|top| !top.parent.is_some())
    }

    /// The known spans above one, nearest first.
    pub(crate) fn ancestors(&self, evidence: &'a Evidence) -> impl Iterator<Item = &'a Evidence> {
        let mut at = evidence;
        let next = move || {
            let key = SpanKey { trace: at.span.trace, span: at.parent };
            let above = self.get(key)?;
            at = above;
            Some(above)
        };
        std::iter::from_fn(next).take(MAX_DEPTH)
    }

    /// The frames above a span, nearest first.
    pub(crate) fn frames(&self, evidence: &'a Evidence) -> impl Iterator<Item = (&'a Evidence, &'a Frame)> {
        self.ancestors(evidence).filter_map(|above| match &above.what {
            What::Frame(frame) => Some((above, frame)),
            What::Call(_) => None,
        })
    }

    /// Whether two spans of one trace are known to be of different wishes: they lie below different
    /// generation spans of which the first had not ended when the second call began (what begins after the
    /// end may be the application's next try), or the nearest spans above them that name a task name another.
    pub(crate) fn of_two_wishes(&self, a: &'a Evidence, b: &'a Evidence) -> bool {
        if a.span.trace != b.span.trace {
            return false;
        }
        let operation = |evidence| self.topmost(evidence, FrameKind::Operation);
        let goes_on = |first: &Evidence| first.end > b.start;
        let operations = (operation(a), operation(b));
        matches!(operations, (Some(one), Some(other)) if one.span != other.span && goes_on(one))
            || self.name_two_tasks(a, b)
    }

    /// Whether spans above two calls name a task each, and not the same.
    pub(crate) fn name_two_tasks(&self, a: &'a Evidence, b: &'a Evidence) -> bool {
        let task = |evidence| self.frames(evidence).find_map(|(_, frame)| frame.rare.task.as_ref());
        task(a).is_some_and(|one| task(b).is_some_and(|other| one != other))
    }

    /// The topmost frame of a kind above a span.
    pub(crate) fn topmost(&self, evidence: &'a Evidence, kind: FrameKind) -> Option<&'a Evidence> {
        self.frames(evidence).filter(|(_, frame)| frame.kind == kind).last().map(|(above, _)| above)
    }
}
