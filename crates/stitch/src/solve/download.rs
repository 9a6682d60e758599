//! Downloads: an output fetched from the provider's file host, whose name shows no task id.
//!
//! A client downloads right after the call that told it the address, so the attempt of that provider whose
//! last call ended just before wins, one in the same trace first, then one of the same service. Further files
//! follow one another. A client may also ask once more after it has the file, or delete the task: a download
//! that follows no last call goes to the attempt without one that it interrupts. But who goes on asking at
//! the pace of before has no output yet: what was fetched then is another file.

use std::collections::{BTreeMap, BTreeSet};

use crate::call::{Accepted, Evidence, Role};
use crate::id::{TraceId, UnixNanos};
use crate::job::{Confidence, Join, JoinRule};
use crate::solve::group::AttemptDraft;
use crate::solve::pool::{BLOCKING_SECONDS, Pool, call_of, order};

/// Longest wait before a download without lineage, in seconds.
const BARE_SECONDS: f64 = 2.0;
/// Longest wait within one trace, in seconds.
const TRACE_SECONDS: f64 = 120.0;

/// A client that asks again sooner than so many of its intervals goes on as before.
const PACE: f64 = 2.0;

/// Calls whose answer may show the address of an output.
const TELLS: [Role; 3] = [Role::Poll, Role::Result, Role::Webhook];

struct Place<'a> {
    root: usize,
    end: UnixNanos,
    provider: &'a str,
    last: &'a Evidence,
}

/// Gives every download to the attempt that it follows.
pub(crate) fn attach<'a>(pool: &Pool<'a>, drafts: &mut BTreeMap<usize, AttemptDraft<'a>>) {
    if pool.downloads.is_empty() {
        return;
    }
    let mut places = places(pool, drafts);
    places.sort_unstable_by_key(|place| (place.end, place.root));
    // Where each call is a trace, nothing that ended long ago is in the download's.
    let mut left = Vec::new();
    let mut traces: BTreeSet<TraceId> = places.iter().map(|place| place.last.span.trace).collect();
    for (at, download) in pool.downloads.iter().enumerate() {
        let download = download.evidence;
        let Some(provider) = call_of(download).map(|call| &*call.endpoint.provider) else { continue };
        let limit = places.partition_point(|place| place.end <= download.start.plus_ms(1));
        let longest = if traces.contains(&download.span.trace) { TRACE_SECONDS } else { BARE_SECONDS };
        let mut best: Option<(usize, f64, (bool, bool))> = None;
        for (index, place) in places[..limit].iter().enumerate().rev() {
            let gap = download.start.seconds_since(place.end);
            if gap > longest {
                break;
            }
            let kin = place.last.span.trace == download.span.trace;
            let fits = place.provider == provider
                && place.last.client.tenant == download.client.tenant
                && gap <= if kin { TRACE_SECONDS } else { BARE_SECONDS }
                && !pool.lineage.apart(download, place.last);
            let near = (kin, place.last.client.service == download.client.service);
            let better = best.is_none_or(|(_, held, held_near)| (near, -gap) > (held_near, -held));
            if fits && better {
                best = Some((index, gap, near));
            }
        }
        let (index, gap, kin) = match best {
            Some((index, gap, (kin, near))) if kin || near => (index, gap, kin),
            // Another service may have fetched it, if none of its own attempts was interrupted.
            other => {
                left.push((at, other.map(|(index, gap, _)| (places[index].root, gap))));
                continue;
            }
        };
        if let Some(draft) = drafts.get_mut(&places[index].root) {
            give(pool, draft, at, (kin, gap));
        }
        // It moves to its new end, past those that ended meanwhile.
        places[index].end = download.end;
        places[index].last = download;
        traces.insert(download.span.trace);
        let to = places[index..].iter().take_while(|place| place.end <= download.end).count();
        places[index..index + to].rotate_left(1);
    }
    interrupted(pool, drafts, left);
}

/// Gives a download to an attempt; `kin` if the call before it, `gap` seconds earlier, is in its trace.
fn give<'a>(pool: &Pool<'a>, draft: &mut AttemptDraft<'a>, at: usize, (kin, gap): (bool, f64)) {
    let download = pool.downloads[at].evidence;
    let confidence = match (kin, gap) {
        (true, _) => Confidence::Strong,
        (false, gap) if gap < 0.05 => Confidence::Likely,
        _ => Confidence::Guess,
    };
    let span = Some(download.span);
    draft.downloads.push(at);
    draft.parts.push(download);
    draft.parts.sort_unstable_by_key(|evidence| order(evidence));
    draft.joins.push(Join { rule: JoinRule::DownloadTime, confidence, margin: None, span, instead: None });
}

/// A download, and the attempt of another service that it may follow, by so many seconds.
type Left = (usize, Option<(usize, f64)>);

/// Gives what follows no last call of its service to the attempt without a download whose calls it stands
/// between: the nearest that asked before it, one in the same trace first.
fn interrupted<'a>(pool: &Pool<'a>, drafts: &mut BTreeMap<usize, AttemptDraft<'a>>, left: Vec<Left>) {
    if left.is_empty() {
        return;
    }
    // Every call that can have told an address, by its end.
    let mut told: Vec<(UnixNanos, usize, &Evidence)> = Vec::new();
    for (&root, draft) in drafts.iter().filter(|(_, draft)| draft.downloads.is_empty()) {
        let tells = |part: &&&Evidence| call_of(part).is_some_and(|call| TELLS.contains(&call.role));
        told.extend(draft.parts.iter().filter(tells).map(|&part| (part.end, root, part)));
    }
    told.sort_unstable_by_key(|(end, root, part)| (*end, *root, part.span));
    let traces: BTreeSet<TraceId> = told.iter().map(|(_, _, part)| part.span.trace).collect();
    for (at, other) in left {
        let download = pool.downloads[at].evidence;
        let Some(provider) = call_of(download).map(|call| &call.endpoint.provider) else { continue };
        let limit = told.partition_point(|(end, ..)| *end <= download.start.plus_ms(1));
        let longest = if traces.contains(&download.span.trace) { TRACE_SECONDS } else { BARE_SECONDS };
        let mut best: Option<(bool, f64, usize)> = None;
        let mut is_busy = false;
        for (end, root, part) in told[..limit].iter().rev() {
            let gap = download.start.seconds_since(*end);
            if gap > longest || best.is_some_and(|(kin, ..)| kin) {
                break;
            }
            let kin = part.span.trace == download.span.trace;
            let fits = call_of(part).is_some_and(|call| call.endpoint.provider == *provider)
                && part.client.tenant == download.client.tenant
                && (kin || gap <= BARE_SECONDS && part.client.service == download.client.service)
                && !pool.lineage.apart(download, part);
            if fits && goes_on(&drafts[root], download) {
                is_busy = true;
            } else if fits && (best.is_none() || kin) {
                best = Some((kin, gap, *root));
            }
        }
        // Who is busy with a task of its own did not fetch for somebody else.
        let other = other.filter(|_| !is_busy);
        let best = best.or(other.map(|(root, gap)| (false, gap, root)));
        if let Some((kin, gap, root)) = best
            && let Some(draft) = drafts.get_mut(&root)
        {
            give(pool, draft, at, (kin, gap));
        }
    }
}

/// Whether the client asks for the task after the download as it did before.
fn goes_on(draft: &AttemptDraft<'_>, download: &Evidence) -> bool {
    let asks = |evidence: &&Evidence| call_of(evidence).is_some_and(|call| call.role == Role::Poll);
    let mut asked: Vec<UnixNanos> = draft.parts.iter().copied().filter(asks).map(|poll| poll.start).collect();
    asked.sort_unstable();
    let split = asked.partition_point(|start| *start <= download.start);
    let ([.., before, last], [next, ..]) = asked.split_at(split) else { return false };
    next.seconds_since(*last) < PACE * last.seconds_since(*before)
}

/// Attempts that may have an output, with the end of their last call.
fn places<'a>(pool: &Pool<'a>, drafts: &BTreeMap<usize, AttemptDraft<'a>>) -> Vec<Place<'a>> {
    let mut places = Vec::new();
    for (&root, draft) in drafts {
        let refused = draft.shot.is_some_and(|shot| pool.shots[shot].call.accepted != Accepted::Yes);
        if refused && draft.tasks.is_empty() && draft.groups.is_empty() {
            continue;
        }
        let last = draft.parts.iter().copied().max_by_key(|evidence| (evidence.end, evidence.span));
        let Some((last, call)) = last.and_then(|last| Some((last, call_of(last)?))) else { continue };
        // A bare submit of an asynchronous provider has no output address yet.
        if call.role == Role::Submit && last.end.seconds_since(last.start) <= BLOCKING_SECONDS {
            continue;
        }
        places.push(Place { root, end: last.end, provider: &call.endpoint.provider, last });
    }
    places
}
