//! Polls that show no id, each in a trace of its own.
//!
//! # Why
//!
//! Some APIs take the id in the body (Vertex AI), and some instrumentations write `Redacted` in its place. Of
//! such a poll only the client, the endpoint and the time are known. Whose it is cannot be told while several
//! tasks run; that there are as many tasks as submits can.
//!
//! # Whose they are
//!
//! A poll that follows a submit of its client that fits it is a poll of the last of these; without one, of
//! the last submit of another client. All that follow one submit are one task. Where tasks overlap, polls go
//! to the wrong one of them: this changes no count of jobs and no price.
//!
//! Polls that follow no submit are one task as long as they come without a longer pause: there was a task,
//! and nothing says that there were two.
//!
//! # Which are left alone
//!
//! Polls in the trace of a submit, and those below spans that name something or link somewhere: what these
//! tell is better.
//!
//! # Late
//!
//! All of this is done each time a pool is made, so it follows from the set. A submit that comes after its
//! polls takes them the next time, and may split what was one task of a client without submits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use smallvec::SmallVec;

use crate::call::Accepted;
use crate::evidence::{Client, Evidence};
use crate::id::TraceId;
use crate::solve::echo::Kept;
use crate::solve::lineage::Lineage;
use crate::solve::pool::{Merged, Shot, call_of, order};

/// Whoever waits for a task asks again within this time.
const PAUSE_MS: u64 = 120_000;

/// How many submits before a poll are looked at, so that a poll costs the same however many are under way.
const MAX_LOOKED_AT: usize = 256;

/// What makes one task of several groups.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Owner<'a> {
    /// A submit, by its place in the pool.
    Submit(usize),
    /// A client and what it asks for.
    Client(&'a Arc<Client>, &'a str, &'a str, &'a str),
    /// The trace itself.
    Trace(TraceId),
}

/// Calls without ids as tasks.
pub(crate) fn tasks<'a>(
    mut strays: Vec<Kept<'a>>,
    shots: &[Shot<'a>],
    lineage: &Lineage<'a>,
) -> Vec<Merged<'a>> {
    if strays.is_empty() {
        return Vec::new();
    }
    strays.sort_unstable_by_key(|(_, evidence)| (evidence.span.trace, order(evidence)));
    let before = Before::new(shots);
    let mut groups: Vec<(Owner<'a>, &[Kept<'a>])> = strays
        .chunk_by(|a, b| a.1.span.trace == b.1.span.trace)
        .map(|calls| (before.owner(calls, lineage), calls))
        .collect();
    groups.sort_unstable_by_key(|&(owner, calls)| (owner, order(calls[0].1)));
    let is_one = |a: &(Owner<'_>, &[Kept<'a>]), b: &(Owner<'_>, &[Kept<'a>])| {
        let end = a.1.iter().map(|(_, call)| call.end).max().unwrap_or_default();
        a.0 == b.0 && (matches!(a.0, Owner::Submit(_)) || b.1[0].1.start <= end.plus_ms(PAUSE_MS))
    };
    groups.chunk_by(is_one).map(|groups| merged(groups.iter().flat_map(|(_, calls)| *calls))).collect()
}

fn merged<'s, 'a: 's>(calls: impl Iterator<Item = &'s Kept<'a>>) -> Merged<'a> {
    let (slots, mut calls): (SmallVec<[u32; 1]>, Vec<&Evidence>) = calls.copied().unzip();
    calls.sort_unstable_by_key(|call| order(call));
    (slots, calls)
}

/// The submits whose tasks no span of theirs names.
struct Before<'s, 'a> {
    shots: &'s [Shot<'a>],
    /// Their places, by tenant and provider, by start.
    places: BTreeMap<(&'a str, &'a str), Vec<usize>>,
    traces: BTreeSet<(TraceId, &'a str)>,
}

impl<'s, 'a> Before<'s, 'a> {
    fn new(shots: &'s [Shot<'a>]) -> Self {
        let mut places: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        let mut traces = BTreeSet::new();
        for (place, shot) in shots.iter().enumerate() {
            let provider = &*shot.call.endpoint.provider;
            traces.insert((shot.evidence.span.trace, provider));
            if shot.is_async() && shot.call.accepted != Accepted::No {
                places.entry((&*shot.evidence.client.tenant, provider)).or_default().push(place);
            }
        }
        for places in places.values_mut() {
            places.sort_unstable_by_key(|&place| order(shots[place].evidence));
        }
        Self { shots, places, traces }
    }

    fn owner(&self, calls: &[Kept<'a>], lineage: &Lineage<'a>) -> Owner<'a> {
        let first = calls[0].1;
        let trace = Owner::Trace(first.span.trace);
        let Some(call) = call_of(first) else { return trace };
        let (client, endpoint) = (&first.client, &call.endpoint);
        if self.traces.contains(&(first.span.trace, &*endpoint.provider))
            || calls.iter().any(|(_, call)| is_told(call, lineage))
        {
            return trace;
        }
        let lane = self.places.get(&(&*client.tenant, &*endpoint.provider)).map_or(&[][..], Vec::as_slice);
        let began = lane.partition_point(|&place| self.shots[place].evidence.start <= first.start);
        let before = lane[..began].iter().rev().take(MAX_LOOKED_AT).copied();
        let mut fits = before.filter(|&place| endpoint.fits(&self.shots[place].call.endpoint)).peekable();
        let last = fits.peek().copied();
        let own = fits.find(|&place| self.shots[place].evidence.client == *client);
        match own.or(last) {
            Some(place) => Owner::Submit(place),
            None => Owner::Client(client, &endpoint.provider, &endpoint.family, &endpoint.model),
        }
    }
}

/// Whether a span above or a link tells whose a call is.
fn is_told(call: &Evidence, lineage: &Lineage<'_>) -> bool {
    let mut frames = lineage.frames(call);
    !call.links().is_empty()
        || frames.any(|(above, frame)| {
            let rare = &frame.rare;
            rare.task.is_some() || !rare.correlations.is_empty() || !above.links().is_empty()
        })
}
