//! An item as bytes.

use thin_vec::ThinVec;

use super::{Again, Carried, FEW, Item, NO_POCKET};
use crate::stitcher::bytes::{Packer, Unpacker};

const IS_TASK: u8 = 1;
const MARKED: u8 = 1 << 1;
const CARRIED: u8 = 1 << 2;
const PARTLY: u8 = 1 << 3;

impl Item {
    pub(in crate::stitcher) fn pack(&self, into: &mut Packer<'_>) {
        let flags = [
            (IS_TASK, self.is_task),
            (MARKED, self.marked),
            (CARRIED, self.carried == Carried::Whole),
            (PARTLY, self.carried == Carried::Partly),
        ];
        into.flags(&flags);
        into.creation(self.number);
        into.moment(self.opened);
        into.moment(self.last);
        into.number(self.names.len() as u64);
        for name in &self.names {
            into.fixed(name.to_le_bytes());
        }
        into.evidence(&self.first);
        into.number(self.more.len() as u64);
        for evidence in &self.more {
            into.evidence(evidence);
        }
        into.number(self.again.len() as u64);
        for held in &self.again {
            into.number(u64::from(held.like));
            into.span(held.span);
            into.moment(held.start);
            into.moment(held.end);
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
        let (number, opened, last) = (from.creation(), from.moment(), from.moment());
        let names: ThinVec<u64> = (0..from.number()).map(|_| u64::from_le_bytes(from.fixed())).collect();
        let first = from.evidence()?;
        let more: Option<ThinVec<_>> = (0..from.number()).map(|_| from.evidence()).collect();
        let again = (0..from.number()).map(|_| {
            let like = from.number() as u32;
            Again { like, span: from.span(), start: from.moment(), end: from.moment() }
        });
        let again: ThinVec<Again> = again.collect();
        let mut item = Self {
            number,
            first,
            more: more?,
            again,
            many: None,
            names,
            last,
            opened,
            pocket: NO_POCKET,
            trace: 0,
            is_task: has(IS_TASK),
            carried,
            marked: has(MARKED),
        };
        if item.len() > FEW {
            item.many = Some(Box::new(item.fingerprints()));
        }
        Some(item)
    }
}
