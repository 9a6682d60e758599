//! What a frozen pocket is made of: everything that thawing puts back where it was.

use smallvec::SmallVec;
use thin_vec::ThinVec;

use super::{FrozenPocket, lacks};
use crate::evidence::Evidence;
use crate::id::{JobId, SpanKey, UnixNanos};
use crate::job::{Confidence, JoinRule};
use crate::judge::id_of_span;
use crate::solve::Pin;
use crate::stitcher::Published;
use crate::stitcher::bytes::{Packer, Unpacker, number_at_start};
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

const HOOK: u8 = 1;
const TIED: u8 = 1 << 1;
const FRAMES: u8 = 1 << 2;
const PINS: u8 = 1 << 3;
/// It was opened and started when its items were.
const AS_ITEMS: u8 = 1 << 4;

const PUBLISHED: u8 = 1;
const RESTORED: u8 = 1 << 1;
const DECIDED: u8 = 1 << 2;
const TOLD: u8 = 1 << 3;
/// A call of it gave the job its id.
const OF_CALL: u8 = 1 << 4;

const MARGIN: u8 = 1;
const INSTEAD: u8 = 1 << 1;

/// See [`Pocket::planned`]; the bytes have its distance from the last activity.
pub(super) fn planned(frozen: &FrozenPocket) -> u64 {
    number_at_start(&frozen.bytes).wrapping_add(second(frozen.last))
}

fn second(moment: UnixNanos) -> u64 {
    moment.0 / 1_000_000_000
}

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

    /// When it was opened and when it was started, if only its items say so.
    fn times_of_items(&self) -> (UnixNanos, UnixNanos) {
        let opened = self.items.iter().map(|item| item.opened).max();
        let started = self.items.iter().flat_map(Item::calls).map(|call| call.start).min();
        (opened.unwrap_or_default(), started.unwrap_or_default())
    }

    /// Starts with the planned second, which alone is read without the rest.
    pub(super) fn pack(&self, into: &mut Packer<'_>) {
        let Pocket { last, started, opened, looked, planned, hook, ref pins, .. } = self.pocket;
        into.number(planned.wrapping_sub(second(last)));
        let as_items = (opened, started) == self.times_of_items();
        into.flags(&[
            (HOOK, hook),
            (TIED, self.tie.is_some()),
            (FRAMES, !self.frames.is_empty()),
            (PINS, !pins.is_empty()),
            (AS_ITEMS, as_items),
        ]);
        into.moment(looked);
        if !as_items {
            into.moment(opened);
            into.moment(started);
        }
        into.list(&self.items, |into, item| item.pack(into));
        if !self.frames.is_empty() {
            into.list(&self.frames, pack_frame);
        }
        into.list(&self.jobs, |into, job| job.pack(into, &self.items));
        if !pins.is_empty() {
            into.list(pins, pack_pin);
        }
        if let Some(number) = self.tie {
            into.number(number);
        }
    }

    /// Nothing if the bytes are not those of the pocket.
    pub(super) fn unpack(from: &mut Unpacker<'_>, frozen: &FrozenPocket) -> Option<Self> {
        from.number();
        let flags = from.byte();
        let has = |flag: u8| flags & flag != 0;
        let looked = from.moment();
        let times = (!has(AS_ITEMS)).then(|| (from.moment(), from.moment()));
        let items = from.list(Item::unpack)?;
        let frames = if has(FRAMES) { from.list(unpack_frame)? } else { Vec::new() };
        let jobs = from.list(|from| FrozenJob::unpack(from, &items))?;
        let pins = if has(PINS) { from.list(unpack_pin)?.into() } else { ThinVec::new() };
        let tie = has(TIED).then(|| from.number());
        let pocket = Pocket {
            members: (0..items.len() as u32).collect(),
            pins,
            jobs: jobs.iter().map(|job| job.id).collect(),
            looked,
            planned: planned(frozen),
            hook: has(HOOK),
            settled: frozen.settled,
            shown: frozen.shown.clone(),
            ..Pocket::new(SmallVec::new(), UnixNanos(0), UnixNanos(0), frozen.last)
        };
        let mut parts = Self { pocket, items, frames, jobs, tie };
        (parts.pocket.opened, parts.pocket.started) = times.unwrap_or_else(|| parts.times_of_items());
        Some(parts)
    }
}

/// The id of a job if a call gave it.
fn id_of_call(evidence: &Evidence) -> JobId {
    id_of_span(&evidence.client.tenant, evidence.span)
}

impl FrozenJob {
    fn pack(&self, into: &mut Packer<'_>, items: &[Item]) {
        let by = items.iter().position(|item| id_of_call(item.first()) == self.id);
        let published = self.published;
        into.flags(&[
            (PUBLISHED, published.is_some()),
            (RESTORED, published.is_some_and(|published| published.restored)),
            (DECIDED, published.is_some_and(|published| published.decided)),
            (TOLD, self.told.is_some()),
            (OF_CALL, by.is_some()),
        ]);
        match by {
            Some(place) => into.number(place as u64),
            None => into.fixed(self.id.0),
        }
        if let Some(Published { revision, digest, .. }) = published {
            into.number(u64::from(revision));
            into.fixed(digest.to_le_bytes());
        }
        if let Some(told) = &self.told {
            into.list(told, |into, &place| into.number(u64::from(place)));
        }
    }

    fn unpack(from: &mut Unpacker<'_>, items: &[Item]) -> Option<Self> {
        let flags = from.byte();
        let has = |flag: u8| flags & flag != 0;
        let id = if has(OF_CALL) {
            id_of_call(items.get(from.number() as usize)?.first())
        } else {
            JobId(from.fixed())
        };
        let published = has(PUBLISHED).then(|| Published {
            revision: from.number() as u32,
            digest: u64::from_le_bytes(from.fixed()),
            restored: has(RESTORED),
            decided: has(DECIDED),
        });
        let told = if has(TOLD) { Some(from.list(|from| Some(from.number() as u32))?) } else { None };
        Some(Self { id, published, told })
    }
}

fn pack_frame(into: &mut Packer<'_>, frame: &FrameItem) {
    into.byte(frame.carried as u8);
    into.creation(frame.number);
    into.evidence(&frame.evidence);
    into.moment(frame.came);
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

fn pack_pin(into: &mut Packer<'_>, pin: &Pin) {
    let Pin { shot, made, rule, confidence, margin, instead } = *pin;
    into.flags(&[(MARGIN, margin.is_some()), (INSTEAD, instead.is_some())]);
    into.number(u64::from(shot));
    into.number(u64::from(made));
    into.byte(rule as u8);
    into.byte(confidence as u8);
    if let Some(margin) = margin {
        into.real(margin);
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
    let margin = (flags & MARGIN != 0).then(|| from.real());
    let instead: Option<SpanKey> = (flags & INSTEAD != 0).then(|| from.span());
    Some(Pin { shot, made, rule, confidence, margin, instead })
}
