//! Evidence as bytes, for as long as this process lives.
//!
//! What a span has in common with the one before it is one bit, what it has in common with thousands a
//! number ([`super::kinds`]), and moments are distances. Nobody else reads these bytes, so they have no
//! version; a read beyond their end gives zeros.

use thin_vec::ThinVec;

use crate::call::CallRare;
use crate::evidence::{Evidence, What};
use crate::frame::FrameRare;
use crate::id::{SpanId, SpanKey, TaskId, TaskIdForm, TraceId, UnixNanos};
use crate::rare::Rare;
use crate::stitcher::kinds::Kinds;

/// What few spans have is kept as it is, beside the bytes.
#[derive(Clone, Debug)]
pub(super) enum Uncommon {
    Call(Rare<CallRare>),
    Frame(Rare<FrameRare>),
}

/// What the next span is compared with.
#[derive(Debug, Default)]
struct Before {
    moment: u64,
    number: u64,
    trace: TraceId,
    parent: SpanId,
    task: Option<TaskId>,
    request: u64,
}

/// Instead of the length of a task id: it is a UUID, or its length follows.
const UUID: u8 = u8::MAX;
const LONG: u8 = u8::MAX - 1;

const SAME_TRACE: u8 = 1;
const SAME_PARENT: u8 = 1 << 1;
const SAME_TASK: u8 = 1 << 2;
const OTHER_TASK: u8 = 1 << 3;
const SAME_REQUEST: u8 = 1 << 4;
const UNCOMMON: u8 = 1 << 5;
/// Its request is that of its kind's pattern: all submits to one URL are one.
const REQUEST_OF_KIND: u8 = 1 << 6;

/// Writes.
#[derive(Debug)]
pub(super) struct Packer<'a> {
    bytes: Vec<u8>,
    uncommon: ThinVec<Uncommon>,
    before: Before,
    kinds: &'a mut Kinds,
}

impl<'a> Packer<'a> {
    /// What is near a moment takes less room.
    pub(super) fn new(kinds: &'a mut Kinds, near: UnixNanos) -> Self {
        let before = Before { moment: near.0, ..Before::default() };
        Self { bytes: Vec::with_capacity(512), uncommon: ThinVec::new(), before, kinds }
    }

    pub(super) fn into_parts(self) -> (Box<[u8]>, ThinVec<Uncommon>) {
        (self.bytes.as_slice().into(), self.uncommon)
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// A byte of those flags that hold.
    pub(super) fn flags(&mut self, flags: &[(u8, bool)]) {
        let holding = flags.iter().filter(|(_, holds)| *holds);
        self.byte(holding.fold(0, |flags, (flag, _)| flags | flag));
    }

    /// The number of a kind, for who keeps it: it is in use once more.
    pub(super) fn kind(&mut self, evidence: &Evidence) -> u32 {
        self.kinds.number(evidence)
    }

    /// Seven bits at a time, the lowest first.
    pub(super) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    pub(super) fn fixed<const N: usize>(&mut self, bytes: [u8; N]) {
        self.bytes.extend_from_slice(&bytes);
    }

    /// Short if its fraction is: its bits from the other end.
    pub(super) fn real(&mut self, real: f64) {
        self.number(real.to_bits().swap_bytes());
    }

    /// How many there are, and each.
    pub(super) fn list<T>(&mut self, all: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.number(all.len() as u64);
        for one in all {
            each(self, one);
        }
    }

    /// As the distance from the moment before.
    pub(super) fn moment(&mut self, moment: UnixNanos) {
        self.number(zigzag(moment.0.wrapping_sub(self.before.moment)));
        self.before.moment = moment.0;
    }

    /// A creation number, as the distance from the one before.
    pub(super) fn creation(&mut self, number: u64) {
        self.number(zigzag(number.wrapping_sub(self.before.number)));
        self.before.number = number;
    }

    pub(super) fn span(&mut self, span: SpanKey) {
        self.byte(u8::from(span.trace == self.before.trace));
        self.trace(span.trace);
        self.fixed(span.span.0);
    }

    fn trace(&mut self, trace: TraceId) {
        if trace != self.before.trace {
            self.fixed(trace.0);
            self.before.trace = trace;
        }
    }

    fn task(&mut self, task: &TaskId) {
        match task.form() {
            TaskIdForm::Uuid(bytes) => {
                self.byte(UUID);
                self.fixed(bytes);
            }
            TaskIdForm::Text(text) if text.len() < usize::from(LONG) => {
                self.byte(text.len() as u8);
                self.bytes.extend_from_slice(text.as_bytes());
            }
            TaskIdForm::Text(text) => {
                self.byte(LONG);
                self.number(text.len() as u64);
                self.bytes.extend_from_slice(text.as_bytes());
            }
        }
    }

    pub(super) fn evidence(&mut self, evidence: &Evidence) {
        let (task, request, uncommon) = match &evidence.what {
            What::Call(call) => {
                let uncommon = (!call.rare.is_vacant()).then(|| Uncommon::Call(call.rare.clone()));
                (call.task.as_ref(), call.request, uncommon)
            }
            What::Frame(frame) => {
                let uncommon = (!frame.rare.is_vacant()).then(|| Uncommon::Frame(frame.rare.clone()));
                (None, 0, uncommon)
            }
        };
        let is_same_task = task.is_some() && task == self.before.task.as_ref();
        let kind = self.kinds.number(evidence);
        let is_of_kind = self.kinds.request(kind) == Some(request);
        let is_same_request = !is_of_kind && request == self.before.request;
        let flags = [
            (SAME_TRACE, evidence.span.trace == self.before.trace),
            (SAME_PARENT, evidence.parent == self.before.parent),
            (SAME_TASK, is_same_task),
            (OTHER_TASK, task.is_some() && !is_same_task),
            (SAME_REQUEST, is_same_request),
            (UNCOMMON, uncommon.is_some()),
            (REQUEST_OF_KIND, is_of_kind),
        ];
        self.flags(&flags);
        self.number(u64::from(kind));
        self.trace(evidence.span.trace);
        self.fixed(evidence.span.span.0);
        if evidence.parent != self.before.parent {
            self.fixed(evidence.parent.0);
            self.before.parent = evidence.parent;
        }
        self.moment(evidence.start);
        self.moment(evidence.end);
        if let Some(task) = task.filter(|_| !is_same_task) {
            self.task(task);
            self.before.task = Some(task.clone());
        }
        if !is_of_kind && !is_same_request {
            self.fixed(request.to_le_bytes());
            self.before.request = request;
        }
        self.uncommon.extend(uncommon);
    }
}

/// Reads what [`Packer`] wrote, in the same order.
#[derive(Debug)]
pub(super) struct Unpacker<'a> {
    bytes: &'a [u8],
    uncommon: thin_vec::IntoIter<Uncommon>,
    before: Before,
    kinds: &'a Kinds,
    /// Kinds that were met, to be released.
    met: Vec<u32>,
}

impl<'a> Unpacker<'a> {
    pub(super) fn new(
        bytes: &'a [u8],
        near: UnixNanos,
        uncommon: ThinVec<Uncommon>,
        kinds: &'a Kinds,
    ) -> Self {
        let before = Before { moment: near.0, ..Before::default() };
        Self { bytes, uncommon: uncommon.into_iter(), before, kinds, met: Vec::new() }
    }

    /// The kinds that were met.
    pub(super) fn into_met(self) -> Vec<u32> {
        self.met
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        byte
    }

    pub(super) fn number(&mut self) -> u64 {
        number(&mut self.bytes)
    }

    pub(super) fn real(&mut self) -> f64 {
        f64::from_bits(self.number().swap_bytes())
    }

    /// Nothing if one of them is nothing.
    pub(super) fn list<T>(&mut self, mut each: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        (0..self.number()).map(|_| each(self)).collect()
    }

    pub(super) fn fixed<const N: usize>(&mut self) -> [u8; N] {
        let Some((fixed, rest)) = self.bytes.split_first_chunk() else { return [0; N] };
        self.bytes = rest;
        *fixed
    }

    pub(super) fn moment(&mut self) -> UnixNanos {
        self.before.moment = self.before.moment.wrapping_add(unzigzag(self.number()));
        UnixNanos(self.before.moment)
    }

    pub(super) fn creation(&mut self) -> u64 {
        self.before.number = self.before.number.wrapping_add(unzigzag(self.number()));
        self.before.number
    }

    pub(super) fn span(&mut self) -> SpanKey {
        let is_same = self.byte() == 1;
        SpanKey { trace: self.trace(is_same), span: SpanId(self.fixed()) }
    }

    fn trace(&mut self, is_same: bool) -> TraceId {
        if !is_same {
            self.before.trace = TraceId(self.fixed());
        }
        self.before.trace
    }

    fn text(&mut self, len: usize) -> TaskId {
        let (text, rest) = self.bytes.split_at(len.min(self.bytes.len()));
        self.bytes = rest;
        TaskId::new(std::str::from_utf8(text).unwrap_or_default())
    }

    fn task(&mut self) -> TaskId {
        match self.byte() {
            UUID => TaskId::from_uuid(self.fixed()),
            LONG => {
                let len = self.number();
                self.text(len as usize)
            }
            len => self.text(usize::from(len)),
        }
    }

    /// Nothing if its kind is not known, which would be that of other bytes.
    pub(super) fn evidence(&mut self) -> Option<Evidence> {
        let flags = self.byte();
        let has = |flag: u8| flags & flag != 0;
        let kind = self.number() as u32;
        let mut evidence = self.kinds.pattern(kind)?.clone();
        self.met.push(kind);
        evidence.span = SpanKey { trace: self.trace(has(SAME_TRACE)), span: SpanId(self.fixed()) };
        if !has(SAME_PARENT) {
            self.before.parent = SpanId(self.fixed());
        }
        evidence.parent = self.before.parent;
        (evidence.start, evidence.end) = (self.moment(), self.moment());
        if has(OTHER_TASK) {
            self.before.task = Some(self.task());
        }
        if !has(SAME_REQUEST) && !has(REQUEST_OF_KIND) {
            self.before.request = u64::from_le_bytes(self.fixed());
        }
        let uncommon = if has(UNCOMMON) { self.uncommon.next() } else { None };
        match &mut evidence.what {
            What::Call(call) => {
                if has(SAME_TASK) || has(OTHER_TASK) {
                    call.task.clone_from(&self.before.task);
                }
                if !has(REQUEST_OF_KIND) {
                    call.request = self.before.request;
                }
                if let Some(Uncommon::Call(rare)) = uncommon {
                    call.rare = rare;
                }
            }
            What::Frame(frame) => {
                if let Some(Uncommon::Frame(rare)) = uncommon {
                    frame.rare = rare;
                }
            }
        }
        Some(evidence)
    }
}

/// What a packer wrote first, if that was a number.
pub(super) fn number_at_start(bytes: &[u8]) -> u64 {
    number(&mut &*bytes)
}

/// Reads what [`Packer::number`] wrote.
fn number(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let Some((&byte, rest)) = bytes.split_first() else { break };
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    number
}

/// Small distances in either direction become small numbers.
fn zigzag(distance: u64) -> u64 {
    distance << 1 ^ (distance.cast_signed() >> 63).cast_unsigned()
}

fn unzigzag(number: u64) -> u64 {
    (number >> 1) ^ (number & 1).wrapping_neg()
}

#[cfg(test)]
mod tests;
