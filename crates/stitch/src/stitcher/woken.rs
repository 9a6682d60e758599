//! Traces to which frames came: what has calls in them is looked at again.
//!
//! A frame may say something of any call of its trace, and a trace may be the life of a worker, with a frame
//! above each of ten thousand calls. To go through all of its calls for each frame would be the square of
//! that. So a frame makes one of them due, and its trace is noted; the others are made due, once for all
//! frames that came, before time passes. Nothing is told meanwhile.

use std::collections::BTreeMap;

use crate::id::UnixNanos;
use crate::stitcher::Stitcher;
use crate::stitcher::item::NO_POCKET;
use crate::stitcher::owned_trace::OwnedTrace;

/// The traces, each with when the last of its frames was heard of.
#[derive(Debug, Default)]
pub(super) struct Woken(BTreeMap<OwnedTrace, UnixNanos>);

impl Stitcher {
    /// A frame came to a trace that has calls.
    pub(super) fn wake_trace(&mut self, trace: OwnedTrace, last: UnixNanos) {
        let items = self.index.in_trace(trace);
        let Some(&first) = items.first() else { return };
        if items.len() > 1 {
            let heard = self.woken.0.entry(trace).or_default();
            *heard = last.max(*heard);
        }
        if let Some(at) = self.pocket_of(first) {
            self.wake_pocket(at, last);
        }
    }

    /// Makes due what has calls in the traces that were noted.
    pub(super) fn wake_noted(&mut self) {
        for (trace, last) in std::mem::take(&mut self.woken.0) {
            // Most items of a trace are in one pocket.
            let (mut pockets, mut before) = (Vec::new(), NO_POCKET);
            for at in self.index.in_trace(trace).iter().filter_map(|&slot| self.pocket_of(slot)) {
                if at != before {
                    pockets.push(at);
                }
                before = at;
            }
            for at in pockets {
                self.wake_pocket(at, last);
            }
        }
    }

    /// Something came for a pocket, which may be settled: it is due when it has been quiet for the settle
    /// delay.
    fn wake_pocket(&mut self, at: u32, last: UnixNanos) {
        let Some(pocket) = self.pockets.get_mut(at) else { return };
        pocket.settled = false;
        pocket.last = pocket.last.max(last);
        self.pockets.schedule(at, last.plus_ms(self.settings.settle_delay_ms));
    }

    /// How many traces are noted.
    #[cfg(test)]
    pub(super) fn noted(&self) -> usize {
        self.woken.0.len()
    }
}
