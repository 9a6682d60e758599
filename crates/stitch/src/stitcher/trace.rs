//! One trace: its frames, and the items that have calls in it.
//!
//! Most traces are a request: a frame or two and a few calls, gone through as a list. A trace may also be the
//! life of a worker, with a frame for each of a hundred thousand jobs. Then a call has to do only with the
//! frames above it, which are found by span id; and jobs that are over are *apart*: their calls are of the
//! trace, and tie nothing to it any more.

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;
use thin_vec::ThinVec;

use crate::call::Role;
use crate::evidence::{Evidence, What};
use crate::id::{SpanId, UnixNanos};
use crate::solve::lineage::MAX_DEPTH;
use crate::stitcher::crowd::CROWD;
use crate::stitcher::item::{Carried, is_same};

/// Up to so many items are gone through.
const FEW: usize = 8;

/// Most frames of a crowded trace that are gone through for the answers of a realtime session in it.
const MAX_ANSWERS: usize = 8192;

/// A frame, with its creation number.
#[derive(Debug)]
pub(super) struct FrameItem {
    pub(super) number: u64,
    pub(super) evidence: Evidence,
    pub(super) carried: Carried,
    /// The later of its end and arrival.
    pub(super) came: UnixNanos,
}

/// Frames of a trace and the items that have calls with a parent in it.
#[derive(Debug, Default)]
pub(super) struct Trace {
    frames: ThinVec<FrameItem>,
    items: SmallVec<[u32; 4]>,
    /// Lone calls among them may not be among the fingerprints that were seen.
    unmarked: bool,
    /// How many of them are deliveries that name no task.
    hooks: u32,
    crowd: Option<Box<Crowd>>,
}

/// What a crowded trace needs besides.
#[derive(Debug, Default)]
struct Crowd {
    /// Where each frame stands, if there are many.
    places: HashMap<SpanId, u32, FixedState>,
    /// Where each item stands, if there are many.
    slots: HashMap<u32, u32, FixedState>,
    /// Items of jobs that are over.
    apart: HashSet<u32, FixedState>,
    /// How many of them were forgotten since frames were.
    forgotten: usize,
}

/// Whether a call is a realtime connection.
pub(super) fn is_session(call: &Evidence) -> bool {
    matches!(&call.what, What::Call(call) if call.role == Role::Session)
}

impl Trace {
    /// A trace of which these are the frames.
    pub(super) fn of(frames: ThinVec<FrameItem>) -> Self {
        let mut trace = Self { frames, ..Self::default() };
        if trace.frames.len() > CROWD {
            trace.count_places();
        }
        trace
    }

    /// Some item has calls in it.
    pub(super) fn has_items(&self) -> bool {
        !self.items.is_empty() || self.crowd.as_ref().is_some_and(|crowd| !crowd.apart.is_empty())
    }

    pub(super) fn frames(&self) -> &[FrameItem] {
        &self.frames
    }

    pub(super) fn into_frames(self) -> ThinVec<FrameItem> {
        self.frames
    }

    /// Nothing about it needs a list of its own.
    pub(super) fn is_plain(&self) -> bool {
        self.crowd.is_none()
    }

    pub(super) fn frames_mut(&mut self) -> &mut [FrameItem] {
        &mut self.frames
    }

    pub(super) fn push(&mut self, frame: FrameItem) {
        // Most traces have one frame.
        if self.frames.is_empty() {
            self.frames.reserve_exact(1);
        }
        let place = self.frames.len() as u32;
        let span = frame.evidence.span.span;
        self.frames.push(frame);
        if self.frames.len() == CROWD + 1 {
            self.count_places();
        } else if self.frames.len() > CROWD {
            self.crowd.get_or_insert_default().places.insert(span, place);
        }
    }

    /// Whether a frame is among them, with the same end.
    pub(super) fn has_frame(&self, evidence: &Evidence) -> bool {
        let among = |frames: &[FrameItem]| frames.iter().any(|frame| is_same(&frame.evidence, evidence));
        let Some(crowd) = self.crowd.as_ref().filter(|_| self.frames.len() > CROWD) else {
            return among(&self.frames);
        };
        // Of two with one id the later has the place.
        let place = crowd.places.get(&evidence.span.span).map(|&place| place as usize);
        place.is_some_and(|place| among(&self.frames[place..=place]) || among(&self.frames))
    }

    fn count_places(&mut self) {
        let frames = self.frames.iter().zip(0..);
        let places = frames.map(|(frame, place)| (frame.evidence.span.span, place)).collect();
        self.crowd.get_or_insert_default().places = places;
    }

    /// So few calls are in it that one is found by going through them.
    pub(super) fn is_sparse(&self) -> bool {
        self.items.len() <= FEW && self.crowd.is_none()
    }

    /// The items of which some may have such calls, once.
    pub(super) fn take_unmarked(&mut self) -> impl Iterator<Item = u32> {
        let unmarked = std::mem::take(&mut self.unmarked);
        self.items.iter().copied().filter(move |_| unmarked)
    }

    /// The items that a new call of the trace may have to do with.
    pub(super) fn items(&self) -> &[u32] {
        &self.items
    }

    pub(super) fn join(&mut self, slot: u32) {
        if self.items.last() == Some(&slot) || self.place_of(slot).is_some() || self.is_apart(slot) {
            return;
        }
        let place = self.items.len() as u32;
        self.items.push(slot);
        if let Some(crowd) = self.crowd.as_mut().filter(|crowd| !crowd.slots.is_empty()) {
            crowd.slots.insert(slot, place);
        } else if self.items.len() > CROWD {
            self.crowd.get_or_insert_default().slots = self.items.iter().copied().zip(0..).collect();
        }
    }

    /// A lone call joins: a delivery that names no task, one whose fingerprint is kept, or both or neither.
    pub(super) fn join_lone(&mut self, slot: u32, is_hook: bool, is_marked: bool) {
        self.join(slot);
        self.hooks += u32::from(is_hook);
        self.unmarked |= !is_marked;
    }

    /// Whether some item is a delivery that names no task.
    pub(super) fn has_hooks(&self) -> bool {
        self.hooks > 0
    }

    fn place_of(&self, slot: u32) -> Option<usize> {
        match &self.crowd {
            Some(crowd) if !crowd.slots.is_empty() => crowd.slots.get(&slot).map(|&place| place as usize),
            _ => self.items.iter().position(|&held| held == slot),
        }
    }

    /// Takes an item out; whether it was among them.
    fn take(&mut self, slot: u32, is_hook: bool) -> bool {
        let Some(place) = self.place_of(slot) else { return false };
        self.items.swap_remove(place);
        self.hooks -= u32::from(is_hook);
        if let Some(crowd) = self.crowd.as_mut().filter(|crowd| !crowd.slots.is_empty()) {
            crowd.slots.remove(&slot);
            if let Some(&moved) = self.items.get(place) {
                crowd.slots.insert(moved, place as u32);
            }
        }
        true
    }

    /// An item goes; `is_hook` if it is a delivery that names no task.
    pub(super) fn leave(&mut self, slot: u32, is_hook: bool) {
        self.take(slot, is_hook);
        if let Some(crowd) = &mut self.crowd {
            crowd.forgotten += usize::from(crowd.apart.remove(&slot));
        }
    }

    /// All items, if so many were forgotten that it is worth to look for frames that nothing needs any more.
    pub(super) fn due_for_pruning(&self) -> Option<Vec<u32>> {
        let crowd = self.crowd.as_ref()?;
        let count = self.items.len() + crowd.apart.len();
        let due = crowd.forgotten > CROWD + count / 2;
        due.then(|| self.items.iter().chain(&crowd.apart).copied().collect())
    }

    /// Takes out the frames that ended by a moment and are not among the needed ones.
    pub(super) fn prune(
        &mut self,
        needed: &HashSet<SpanId, FixedState>,
        until: UnixNanos,
    ) -> ThinVec<FrameItem> {
        let frames = std::mem::take(&mut self.frames);
        let stays =
            |frame: &FrameItem| frame.evidence.end > until || needed.contains(&frame.evidence.span.span);
        let (kept, gone): (ThinVec<_>, ThinVec<_>) = frames.into_iter().partition(stays);
        self.frames = kept;
        self.count_places();
        self.crowd.get_or_insert_default().forgotten = 0;
        gone
    }

    /// The item's job is over: what comes in the trace has nothing to do with it.
    pub(super) fn set_apart(&mut self, slot: u32, is_hook: bool) {
        if self.take(slot, is_hook) {
            self.crowd.get_or_insert_default().apart.insert(slot);
        }
    }

    fn is_apart(&self, slot: u32) -> bool {
        self.crowd.as_ref().is_some_and(|crowd| crowd.apart.contains(&slot))
    }

    /// The frames that may say something of a call: all of them, or in a crowd those above it. A realtime
    /// session has the spans of its answers below it and beside it, so in a crowd all that began after it are
    /// near. An hour of talk has some thousands.
    pub(super) fn frames_near<'a>(&'a self, call: &Evidence) -> impl Iterator<Item = &'a Evidence> + use<'a> {
        let (all, crowd) = if self.is_small() { (&self.frames[..], None) } else { (&[][..], Some(self)) };
        let parent = call.parent;
        let above = crowd.into_iter().flat_map(move |crowd| crowd.frames_above(parent));
        let (is_session, start) = (is_session(call), call.start);
        let talk = crowd.filter(|crowd| is_session && crowd.frames.len() <= MAX_ANSWERS);
        let talk = talk.into_iter().flat_map(|crowd| &crowd.frames).map(|frame| &frame.evidence);
        let answers = talk.filter(move |frame| frame.start >= start);
        all.iter().map(|frame| &frame.evidence).chain(above).chain(answers)
    }

    /// The frame of a span id, the one above it, and so on.
    fn frames_above(&self, mut parent: SpanId) -> impl Iterator<Item = &Evidence> {
        let above = std::iter::from_fn(move || {
            let place = *self.crowd.as_ref()?.places.get(&parent)?;
            let frame = &self.frames.get(place as usize)?.evidence;
            parent = frame.parent;
            Some(frame)
        });
        above.take(MAX_DEPTH)
    }

    /// Whether [`Self::frames_near`] gives the same for each call.
    pub(super) fn is_small(&self) -> bool {
        self.frames.len() <= CROWD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_and_go_alike_in_a_small_trace_and_in_a_crowd() {
        for count in [5, 8, 33, 200] {
            let mut trace = Trace::default();
            for slot in (0..count).chain(0..count) {
                trace.join(slot);
            }
            trace.join_lone(count, true, true);
            assert_eq!((trace.items().len() as u32, trace.has_hooks()), (count + 1, true));
            (0..count).step_by(3).for_each(|slot| trace.leave(slot, false));
            trace.set_apart(1, false);
            trace.set_apart(count, true);
            let mut left = trace.items().to_vec();
            left.sort_unstable();
            let expected: Vec<u32> = (2..count).filter(|slot| slot % 3 > 0).collect();
            assert_eq!((left, trace.has_hooks()), (expected, false), "{count}");
            (0..=count).for_each(|slot| trace.join(slot));
            assert_eq!(trace.items().len() as u32, count - 1, "all but those whose job is over");
            (0..=count).for_each(|slot| trace.leave(slot, false));
            assert!(!trace.has_items());
            trace.join(7);
            trace.join(7);
            assert_eq!(trace.items(), [7]);
        }
    }
}
