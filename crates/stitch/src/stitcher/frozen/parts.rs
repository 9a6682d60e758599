//! What a frozen pocket is made of: everything that thawing puts back where it was.

use smallvec::SmallVec;

use super::lacks;
use crate::id::{JobId, SpanKey};
use crate::job::{Confidence, JoinRule};
use crate::solve::Pin;
use crate::stitcher::Published;
use crate::stitcher::bytes::{Packer, Unpacker};
use crate::stitcher::item::{
    Carried, Item, alias_key, fingerprint, has_neighbours, hash, task_key, task_name,
};
use crate::stitcher::owned_trace::OwnedTrace;
use crate::stitcher::pocket::Pocket;
use crate::stitcher::trace::FrameItem;

/// A pocket without its place. Items are named by where they stand in the list, in the order of the slots
/// that they had.
#[derive(Debug)]
pub(in crate::stitcher) struct Parts {
    pub(in crate::stitcher) pocket: Pocket,
    pub(in crate::stitcher) items: Vec<Item>,
    /// Frames of its traces.
    pub(in crate::stitcher) frames: Vec<FrameItem>,
    pub(in crate::stitcher) jobs: Vec<FrozenJob>,
    /// See [`crate::stitcher::ties`].
    pub(in crate::stitcher) tie: Option<u64>,
}

/// What is known of a job that was found in it.
#[derive(Debug)]
pub(in crate::stitcher) struct FrozenJob {
    pub(in crate::stitcher) id: JobId,
    pub(in crate::stitcher) published: Option<Published>,
    /// The items that it was told with: see [`crate::stitcher::told`].
    pub(in crate::stitcher) told: Option<Vec<u32>>,
}

/// By which a trace is found.
pub(in crate::stitcher) fn name_of_trace(trace: OwnedTrace) -> u64 {
    hash(&trace)
}

/// By which a job is found.
pub(in crate::stitcher) fn name_of_job(id: JobId) -> u64 {
    hash(&("job", id))
}

const SETTLED: u8 = 1;
const HOOK: u8 = 1 << 1;
const TIED: u8 = 1 << 2;
const RESTORED: u8 = 1 << 1;
const DECIDED: u8 = 1 << 2;
const TOLD: u8 = 1 << 3;
const MARGIN: u8 = 1;
const INSTEAD: u8 = 1 << 1;

impl Parts {
    /// How many calls are in it.
    pub(super) fn calls(&self) -> usize {
        self.items.iter().map(Item::len).sum()
    }

    /// The least creation number of what was not carried.
    pub(super) fn uncarried(&self) -> u64 {
        let items = self.items.iter().map(|item| lacks(item.carried, item.number));
        let frames = self.frames.iter().map(|frame| lacks(frame.carried, frame.number));
        items.chain(frames).min().unwrap_or(u64::MAX)
    }

    /// By what it may be asked for.
    pub(super) fn names(&self) -> Vec<u64> {
        let mut names: Vec<u64> = self.jobs.iter().map(|job| name_of_job(job.id)).collect();
        for item in &self.items {
            names.extend(&item.names);
            for evidence in item.calls() {
                let keys = [task_key(evidence), alias_key(evidence)];
                names.extend(keys.iter().flatten().map(|key| task_name(key.0, key.2)));
                if has_neighbours(evidence) {
                    names.push(name_of_trace(OwnedTrace::of(evidence)));
                } else if !item.is_task {
                    names.push(fingerprint(evidence));
                }
            }
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    pub(super) fn pack(&self, into: &mut Packer<'_>) {
        let Pocket { last, started, opened, looked, planned, settled, hook, ref pins, .. } = self.pocket;
        let flags = [(SETTLED, settled), (HOOK, hook), (TIED, self.tie.is_some())];
        into.flags(&flags);
        into.number(planned);
        for moment in [last, looked, opened, started] {
            into.moment(moment);
        }
        into.number(self.items.len() as u64);
        for item in &self.items {
            item.pack(into);
        }
        into.number(self.frames.len() as u64);
        for frame in &self.frames {
            into.byte(frame.carried as u8);
            into.creation(frame.number);
            into.evidence(&frame.evidence);
            into.moment(frame.came);
        }
        into.number(self.jobs.len() as u64);
        for job in &self.jobs {
            job.pack(into);
        }
        into.number(pins.len() as u64);
        for pin in pins {
            pack_pin(pin, into);
        }
        if let Some(number) = self.tie {
            into.number(number);
        }
    }

    /// Nothing if the bytes are not those of a pocket.
    pub(super) fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let flags = from.byte();
        let planned = from.number();
        let (last, looked) = (from.moment(), from.moment());
        let (opened, started) = (from.moment(), from.moment());
        let items: Option<Vec<Item>> = (0..from.number()).map(|_| Item::unpack(from)).collect();
        let items = items?;
        let frames: Option<Vec<FrameItem>> = (0..from.number()).map(|_| unpack_frame(from)).collect();
        let jobs: Vec<FrozenJob> = (0..from.number()).map(|_| FrozenJob::unpack(from)).collect();
        let pins: Option<_> = (0..from.number()).map(|_| unpack_pin(from)).collect();
        let pocket = Pocket {
            members: (0..items.len() as u32).collect(),
            pins: pins?,
            jobs: jobs.iter().map(|job| job.id).collect(),
            looked,
            planned,
            hook: flags & HOOK != 0,
            settled: flags & SETTLED != 0,
            ..Pocket::new(SmallVec::new(), started, opened, last)
        };
        let tie = (flags & TIED != 0).then(|| from.number());
        Some(Self { pocket, items, frames: frames?, jobs, tie })
    }
}

impl FrozenJob {
    fn pack(&self, into: &mut Packer<'_>) {
        let Published { revision, digest, restored, decided } =
            self.published.unwrap_or(Published { revision: 0, digest: 0, restored: false, decided: false });
        let flags = [
            (1, self.published.is_some()),
            (RESTORED, restored),
            (DECIDED, decided),
            (TOLD, self.told.is_some()),
        ];
        into.flags(&flags);
        into.fixed(self.id.0);
        if self.published.is_some() {
            into.number(u64::from(revision));
            into.fixed(digest.to_le_bytes());
        }
        if let Some(told) = &self.told {
            into.number(told.len() as u64);
            for &place in told {
                into.number(u64::from(place));
            }
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Self {
        let flags = from.byte();
        let has = |flag: u8| flags & flag != 0;
        let id = JobId(from.fixed());
        let published = has(1).then(|| Published {
            revision: from.number() as u32,
            digest: u64::from_le_bytes(from.fixed()),
            restored: has(RESTORED),
            decided: has(DECIDED),
        });
        let told = has(TOLD).then(|| (0..from.number()).map(|_| from.number() as u32).collect());
        Self { id, published, told }
    }
}

fn unpack_frame(from: &mut Unpacker<'_>) -> Option<FrameItem> {
    let carried = match from.byte() {
        0 => Carried::No,
        1 => Carried::Partly,
        _ => Carried::Whole,
    };
    let number = from.creation();
    let evidence = from.evidence()?;
    Some(FrameItem { number, evidence, carried, came: from.moment() })
}

fn pack_pin(pin: &Pin, into: &mut Packer<'_>) {
    let Pin { shot, made, rule, confidence, margin, instead } = *pin;
    let flags = [(MARGIN, margin.is_some()), (INSTEAD, instead.is_some())];
    into.flags(&flags);
    into.number(u64::from(shot));
    into.number(u64::from(made));
    into.byte(rule as u8);
    into.byte(confidence as u8);
    if let Some(margin) = margin {
        into.fixed(margin.to_le_bytes());
    }
    if let Some(instead) = instead {
        into.span(instead);
    }
}

fn unpack_pin(from: &mut Unpacker<'_>) -> Option<Pin> {
    let flags = from.byte();
    let (shot, made) = (from.number() as u32, from.number() as u32);
    let rule = *JoinRule::ALL.get(usize::from(from.byte()))?;
    let confidence = *Confidence::ALL.get(usize::from(from.byte()))?;
    let margin = (flags & MARGIN != 0).then(|| f64::from_le_bytes(from.fixed()));
    let instead: Option<SpanKey> = (flags & INSTEAD != 0).then(|| from.span());
    Some(Pin { shot, made, rule, confidence, margin, instead })
}
