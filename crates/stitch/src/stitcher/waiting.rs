//! Frames that came before any call of their trace.
//!
//! Most never meet one: they are of requests that have nothing to do with a provider, and of such requests
//! they are all that is kept. So they stand in a row in the order in which they came, found by trace, until a
//! call of their trace takes them or newer ones crowd them out.

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::hash_table::Entry;
use hashbrown::{HashSet, HashTable};
use thin_vec::ThinVec;

use crate::evidence::{Client, Evidence, What};
use crate::frame::Frame;
use crate::id::{SpanId, SpanKey, UnixNanos};
use crate::stitcher::item::{Carried, hash};
use crate::stitcher::owned_trace::OwnedTrace;
use crate::stitcher::trace::FrameItem;

/// Up to so many frames of a trace are gone through to find one.
const FEW: u32 = 32;

/// Frames without calls, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    row: VecDeque<Option<WaitingFrame>>,
    /// The place of the first of the row; places count on for ever.
    first: u64,
    /// Where the newest frame of each trace stands: the lower half of its place, for no row is that long.
    newest: HashTable<u32>,
    /// Fingerprints of the frames of each trace of which more than a few came.
    many: HashSet<u64, FixedState>,
}

/// A frame, with its creation number: what [`FrameItem`] has, in three quarters of the room.
#[derive(Debug)]
pub(super) struct WaitingFrame {
    pub(super) number: u64,
    pub(super) came: UnixNanos,
    span: SpanKey,
    parent: SpanId,
    start: UnixNanos,
    end: UnixNanos,
    client: Arc<Client>,
    frame: Frame,
    pub(super) carried: Carried,
    /// The place of the one before it in its trace. Whoever stood there may have gone.
    before: Option<u64>,
    /// How many of its trace came before it.
    earlier: u32,
}

impl WaitingFrame {
    fn new(item: FrameItem) -> Option<Self> {
        let FrameItem { number, evidence, carried, came } = item;
        let Evidence { span, parent, start, end, client, what } = evidence;
        let What::Frame(frame) = what else { return None };
        Some(Self {
            number,
            came,
            span,
            parent,
            start,
            end,
            client,
            frame,
            carried,
            before: None,
            earlier: 0,
        })
    }

    pub(super) fn evidence(&self) -> Evidence {
        Evidence {
            span: self.span,
            parent: self.parent,
            start: self.start,
            end: self.end,
            client: Arc::clone(&self.client),
            what: What::Frame(self.frame.clone()),
        }
    }

    fn into_item(self) -> FrameItem {
        let evidence = Evidence {
            span: self.span,
            parent: self.parent,
            start: self.start,
            end: self.end,
            client: self.client,
            what: What::Frame(self.frame),
        };
        FrameItem { number: self.number, evidence, carried: self.carried, came: self.came }
    }

    fn trace(&self) -> OwnedTrace {
        OwnedTrace::new(&self.client, self.span.trace)
    }

    fn fingerprint(&self) -> u64 {
        hash(&(self.trace(), self.span.span, self.start, self.end))
    }
}

/// The place of which this is the lower half, in a row that begins at `first`.
fn whole(first: u64, half: u32) -> u64 {
    first + u64::from(half.wrapping_sub(first as u32))
}

impl Waiting {
    /// Takes a frame; false when it stands here already, with the same end.
    pub(super) fn push(&mut self, item: FrameItem) -> bool {
        let Some(mut added) = WaitingFrame::new(item) else { return false };
        let Self { row, first, newest, many } = self;
        let at = |place: u64| row.get(place.checked_sub(*first)? as usize)?.as_ref();
        let whole = |half: u32| whole(*first, half);
        let trace = added.trace();
        let same = |&half: &u32| at(whole(half)).is_some_and(|held| held.trace() == trace);
        let hasher = |&half: &u32| at(whole(half)).map_or(0, |held| hash(&held.trace()));
        let place = *first + row.len() as u64;
        match newest.entry(hash(&trace), same, hasher) {
            Entry::Vacant(entry) => {
                entry.insert(place as u32);
            }
            Entry::Occupied(mut entry) => {
                let before = whole(*entry.get());
                added.before = Some(before);
                added.earlier = at(before).map_or(0, |newest| newest.earlier + 1);
                let mark = added.fingerprint();
                let held = std::iter::successors(at(before), |held| at(held.before?));
                if added.earlier > FEW {
                    if !many.insert(mark) {
                        return false;
                    }
                } else if held.clone().any(|held| held.fingerprint() == mark) {
                    return false;
                } else if added.earlier == FEW {
                    many.extend(held.map(WaitingFrame::fingerprint).chain([mark]));
                }
                *entry.get_mut() = place as u32;
            }
        }
        row.push_back(Some(added));
        true
    }

    /// How long the row is, with the places of those that were taken.
    pub(super) fn len(&self) -> usize {
        self.row.len()
    }

    /// The place at the front goes, with who still stood there.
    pub(super) fn pop(&mut self) -> Option<WaitingFrame> {
        let (place, oldest) = (self.first, self.row.pop_front()?);
        self.first += 1;
        let oldest = oldest?;
        if !self.many.is_empty() {
            self.many.remove(&oldest.fingerprint());
        }
        // If the trace's newest entry still points here, remove it.
        let is_it = |&newest: &u32| newest == place as u32;
        if let Ok(entry) = self.newest.find_entry(hash(&oldest.trace()), is_it) {
            entry.remove();
        }
        Some(oldest)
    }

    /// The frames of a trace that has a call now, in the order in which they came.
    pub(super) fn take(&mut self, trace: OwnedTrace) -> ThinVec<FrameItem> {
        if self.newest.is_empty() {
            return ThinVec::new();
        }
        let Self { row, first, newest, many } = self;
        let index = |place: u64| place.checked_sub(*first).map(|index| index as usize);
        let whole = |half: u32| whole(*first, half);
        let same = |&half: &u32| {
            let held = index(whole(half)).and_then(|index| row.get(index)?.as_ref());
            held.is_some_and(|held| held.trace() == trace)
        };
        let Ok(entry) = newest.find_entry(hash(&trace), same) else { return ThinVec::new() };
        let mut next = Some(whole(entry.remove().0));
        let count = next.and_then(index).and_then(|index| row.get(index)?.as_ref());
        let count = count.map_or(0, |newest| newest.earlier.min(FEW) as usize + 1);
        let mut taken = ThinVec::with_capacity(count);
        while let Some(index) = next.and_then(index) {
            let Some(frame) = row.get_mut(index).and_then(Option::take) else { break };
            next = frame.before;
            if !many.is_empty() {
                many.remove(&frame.fingerprint());
            }
            taken.push(frame.into_item());
        }
        taken.reverse();
        taken
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut WaitingFrame> {
        self.row.iter_mut().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameKind;
    use crate::id::TraceId;
    use crate::rare::Rare;

    const START: UnixNanos = UnixNanos(1_795_168_800_000_000_000);

    fn trace(number: u8) -> OwnedTrace {
        OwnedTrace::new(&Client::default(), TraceId([number; 16]))
    }

    fn frame(trace: u8, span: u8) -> FrameItem {
        let number = u64::from(span);
        let start = START.plus_ms(number);
        let evidence = Evidence {
            span: SpanKey { trace: TraceId([trace; 16]), span: SpanId([span; 8]) },
            parent: SpanId([7; 8]),
            start,
            end: start.plus_ms(80),
            client: Arc::new(Client { service: "web".into(), ..Client::default() }),
            what: What::Frame(Frame { kind: FrameKind::Server, verdict: None, rare: Rare::default() }),
        };
        FrameItem { number, evidence, carried: Carried::Partly, came: start.plus_ms(90) }
    }

    fn waiting(frames: &[(u8, u8)]) -> Waiting {
        let mut waiting = Waiting::default();
        assert!(frames.iter().all(|&(trace, span)| waiting.push(frame(trace, span))));
        waiting
    }

    fn numbers(taken: &[FrameItem]) -> Vec<u64> {
        taken.iter().map(|item| item.number).collect()
    }

    #[test]
    fn a_call_takes_the_frames_of_its_trace_as_they_came() {
        let mut waiting = waiting(&[(1, 1), (2, 2), (1, 3), (3, 4), (1, 5)]);
        let taken = waiting.take(trace(1));
        assert_eq!(numbers(&taken), [1, 3, 5]);
        let (given, back) = (frame(1, 3), &taken[1]);
        assert_eq!((&back.evidence, back.came), (&given.evidence, given.came));
        assert_eq!(back.carried, given.carried);
        assert!(waiting.take(trace(1)).is_empty());
        assert_eq!(waiting.iter_mut().map(|held| held.number).collect::<Vec<_>>(), [2, 4]);
        // Who comes after the call left stands here alone.
        assert!(waiting.push(frame(1, 6)));
        assert_eq!(numbers(&waiting.take(trace(1))), [6]);
    }

    #[test]
    fn what_stands_here_is_not_taken_twice() {
        let mut waiting = waiting(&[(1, 1), (1, 2), (2, 3)]);
        assert!(!waiting.push(frame(1, 1)) && !waiting.push(frame(1, 2)) && !waiting.push(frame(2, 3)));
        let mut longer = frame(1, 1);
        longer.evidence.end = longer.evidence.end.plus_ms(1);
        assert!(waiting.push(longer), "with another end it is another");
        assert_eq!(waiting.len(), 4);
    }

    #[test]
    fn the_oldest_goes_first_and_its_trace_keeps_the_rest() {
        let mut waiting = waiting(&[(1, 1), (2, 2), (1, 3), (3, 4)]);
        assert_eq!(waiting.take(trace(2)).len(), 1);
        assert_eq!(waiting.pop().map(|oldest| oldest.number), Some(1));
        assert!(waiting.pop().is_none(), "the place of one that was taken");
        assert_eq!((waiting.len(), numbers(&waiting.take(trace(1)))), (2, vec![3]));
        assert!(waiting.pop().is_none());
        assert_eq!(waiting.pop().map(|oldest| oldest.number), Some(4));
        assert!(waiting.pop().is_none() && waiting.newest.is_empty());
        assert!(waiting.push(frame(3, 4)), "nothing is left of it");
        assert_eq!(numbers(&waiting.take(trace(3))), [4]);
    }

    #[test]
    fn of_a_trace_with_very_many_each_is_known() {
        let frames: Vec<(u8, u8)> = (0..200).map(|span| (1, span)).collect();
        let mut waiting = waiting(&frames);
        let known = |waiting: &mut Waiting| (0..200).filter(|&span| !waiting.push(frame(1, span))).count();
        assert_eq!((known(&mut waiting), waiting.len()), (200, 200));
        assert_eq!((0..150).filter_map(|_| waiting.pop()).count(), 150);
        assert_eq!((known(&mut waiting), waiting.len()), (50, 200), "those that are gone come again");
        assert_eq!((known(&mut waiting), waiting.take(trace(1)).len()), (200, 200));
        assert!(waiting.many.is_empty() && waiting.newest.is_empty());
    }

    #[test]
    fn many_are_found_while_old_ones_go() {
        // The lower halves of places begin anew after so many.
        let mut waiting = Waiting { first: u64::from(u32::MAX) - 500, ..Waiting::default() };
        for round in 0..200_u8 {
            for trace in 0..5 {
                assert!(waiting.push(frame(trace, round)));
                if waiting.len() > 100 {
                    waiting.pop();
                }
            }
        }
        assert_eq!(waiting.newest.len(), 5);
        for number in 0..5 {
            assert_eq!(numbers(&waiting.take(trace(number))), (180..200).collect::<Vec<_>>());
        }
    }
}
