//! Spans that differ from an earlier one of their request only in ids and times.
//!
//! Polls of one task, and queries of one statement, are the same bytes again and again: name, kind,
//! attributes, status. What was made of the first then holds for the others, and their attributes need not be
//! read. Two spans are taken to be alike when these bytes are equal and stand as every known writer puts
//! them, in the order of their field numbers; all else is read as ever.
//!
//! A request in which little repeats is soon left alone: looking costs a hash of each span.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use spantally_providers::SpanHead;

use super::span::{RawIds, head};
use super::wire::Cursor;
use crate::batch::RejectReason;

/// Spans that are remembered, of one request. A place that is wanted twice goes to the newer one.
const PLACES: usize = 256;
/// After so many spans of which fewer than one in [`WORTH`] was a repeat, no more are looked at.
const TRIAL: u32 = 64;
/// Looking costs about an eighth of reading.
const WORTH: u32 = 8;

/// What was read of a request so far; `T` stands for what was made of a span.
pub(super) struct Repeats<'a, T> {
    places: Vec<Option<Seen<'a, T>>>,
    /// The place that was found or filled last: most repeats follow one another, and need no hash.
    newest: usize,
    /// Number of the scope that is being read: the same bytes in another one are another span.
    scope: u32,
    asked: u32,
    found: u32,
}

struct Seen<'a, T> {
    scope: u32,
    same: [&'a [u8]; 2],
    taken: T,
}

/// A span as writers put it: what is its own, and what may be the same in others.
pub(super) struct Plain<'a> {
    ids: RawIds<'a>,
    start: u64,
    end: u64,
    /// How many fields there are up to the times.
    fields: u32,
    /// Name and kind, then everything after the times.
    same: [&'a [u8]; 2],
}

impl Plain<'_> {
    /// What is the span's own, if it is good.
    pub(super) fn head(&self) -> Result<SpanHead, RejectReason> {
        head(&self.ids, self.start, self.end)
    }

    fn place(&self) -> usize {
        FixedState::default().hash_one(self.same) as usize % PLACES
    }
}

impl<'a, T: Copy> Repeats<'a, T> {
    pub(super) fn new() -> Self {
        Self { places: Vec::new(), newest: 0, scope: 0, asked: 0, found: 0 }
    }

    /// The spans that follow are of another resource or scope.
    pub(super) fn next_scope(&mut self) {
        self.scope += 1;
    }

    /// Takes a span apart; none when it stands in another way, or looking is not worth it.
    #[inline]
    pub(super) fn part(&mut self, encoded: &'a [u8]) -> Option<Plain<'a>> {
        if self.asked >= TRIAL && self.found < self.asked / WORTH {
            return None;
        }
        let plain = part(encoded)?;
        self.asked += 1;
        Some(plain)
    }

    /// What was made of an earlier span that is the same but for ids and times.
    #[inline]
    pub(super) fn find(&mut self, plain: &Plain<'a>) -> Option<T> {
        let taken = self.taken(self.newest, plain).or_else(|| {
            self.newest = plain.place();
            self.taken(self.newest, plain)
        })?;
        self.found += 1;
        Some(taken)
    }

    fn taken(&self, place: usize, plain: &Plain<'a>) -> Option<T> {
        let seen = self.places.get(place)?.as_ref()?;
        (seen.scope == self.scope && seen.same == plain.same).then_some(seen.taken)
    }

    /// Remembers what was made of the span that was just looked for, of which so many fields are its own. If
    /// there are more than those before the times, one behind them counts instead, and others cannot be
    /// compared with it.
    #[inline]
    pub(super) fn keep(&mut self, plain: &Plain<'a>, own_fields: u32, taken: T) {
        if own_fields != plain.fields {
            return;
        }
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        self.places[self.newest] = Some(Seen { scope: self.scope, same: plain.same, taken });
    }
}

/// Trace id, span id, perhaps a parent's, name, kind, start, end: each once and in this order. What follows
/// is not looked into; an earlier span of the same bytes was.
#[inline]
fn part(encoded: &[u8]) -> Option<Plain<'_>> {
    let (mut ids, mut fields) = (RawIds::default(), 5);
    let rest = encoded.strip_prefix(&[0x0a, 16])?;
    let (trace, rest) = rest.split_at_checked(16)?;
    let (span, mut rest) = rest.strip_prefix(&[0x12, 8])?.split_at_checked(8)?;
    (ids.trace, ids.span) = (trace, span);
    if let Some(after) = rest.strip_prefix(&[0x22, 8]) {
        (ids.parent, rest) = after.split_at_checked(8)?;
        fields += 1;
    }
    let named = rest;
    let mut cursor = Cursor::new(rest.strip_prefix(&[0x2a])?);
    cursor.bytes().ok()?;
    let rest = cursor.rest();
    let rest = if let [0x30, 0..=0x7f, rest @ ..] = rest {
        fields += 1;
        rest
    } else {
        rest
    };
    let name = &named[..named.len() - rest.len()];
    let (start, rest) = rest.strip_prefix(&[0x39])?.split_first_chunk::<8>()?;
    let (end, rest) = rest.strip_prefix(&[0x41])?.split_first_chunk::<8>()?;
    let same = [name, rest];
    let (start, end) = (u64::from_le_bytes(*start), u64::from_le_bytes(*end));
    Some(Plain { ids, start, end, fields, same })
}
