//! An item as bytes.

use super::{Again, Carried, FEW, Item};
use crate::id::UnixNanos;
use crate::stitcher::bytes::{Packer, Unpacker};

const IS_TASK: u8 = 1;
const MARKED: u8 = 1 << 1;
const CARRIED: u8 = 1 << 2;
const PARTLY: u8 = 1 << 3;
const NAMES: u8 = 1 << 4;
const MORE: u8 = 1 << 5;
const AGAIN: u8 = 1 << 6;
/// It came to be known when its calls began and ended, as in a recording.
const AS_CALLS: u8 = 1 << 7;

impl Item {
    /// When it came to be known and was last heard of, if only its calls say so.
    fn times_of_calls(&self) -> (UnixNanos, UnixNanos) {
        let ends = self.calls().map(|call| call.end).chain(self.again.iter().map(|held| held.end));
        (self.first.start, ends.max().unwrap_or_default())
    }

    pub(in crate::stitcher) fn pack(&self, into: &mut Packer<'_>) {
        let as_calls = (self.opened, self.last) == self.times_of_calls();
        into.flags(&[
            (IS_TASK, self.is_task),
            (MARKED, self.marked),
            (CARRIED, self.carried == Carried::Whole),
            (PARTLY, self.carried == Carried::Partly),
            (NAMES, !self.names.is_empty()),
            (MORE, !self.more.is_empty()),
            (AGAIN, !self.again.is_empty()),
            (AS_CALLS, as_calls),
        ]);
        into.creation(self.number);
        into.evidence(&self.first);
        if !self.names.is_empty() {
            into.list(&self.names, |into, name| into.fixed(name.to_le_bytes()));
        }
        if !self.more.is_empty() {
            into.list(&self.more, Packer::evidence);
        }
        if !self.again.is_empty() {
            into.list(&self.again, Again::pack);
        }
        if !as_calls {
            into.moment(self.opened);
            into.moment(self.last);
        }
    }

    /// The item of such bytes, in no pocket and no trace.
    pub(in crate::stitcher) fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let flags = from.byte();
        let has = |flag: u8| flags & flag != 0;
        let carried = match (has(CARRIED), has(PARTLY)) {
            (true, _) => Carried::Whole,
            (_, true) => Carried::Partly,
            _ => Carried::No,
        };
        let number = from.creation();
        let mut item = Self::new(number, carried, has(IS_TASK), from.evidence()?);
        if has(NAMES) {
            item.names = from.list(|from| Some(u64::from_le_bytes(from.fixed())))?.into();
        }
        if has(MORE) {
            item.more = from.list(Unpacker::evidence)?.into();
        }
        if has(AGAIN) {
            item.again = from.list(|from| Some(Again::unpack(from)))?.into();
        }
        (item.opened, item.last) =
            if has(AS_CALLS) { item.times_of_calls() } else { (from.moment(), from.moment()) };
        item.marked = has(MARKED);
        if item.len() > FEW {
            item.many = Some(Box::new(item.fingerprints()));
        }
        Some(item)
    }
}

impl Again {
    fn pack(into: &mut Packer<'_>, held: &Self) {
        into.number(u64::from(held.like));
        into.span(held.span);
        into.moment(held.start);
        into.moment(held.end);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let like = from.number() as u32;
        Self { like, span: from.span(), start: from.moment(), end: from.moment() }
    }
}
