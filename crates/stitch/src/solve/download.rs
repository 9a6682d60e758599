//! Downloads: an output fetched from the provider's file host, whose name shows no task id.
//!
//! A client downloads right after the call that told it the address, so the attempt of that provider whose
//! last call ended just before wins, one in the same trace first, then one of the same service. Further files
//! follow one another. A client may also ask once more after it has the file, or delete the task: a download
//! that follows no last call goes to the attempt without one that it interrupts. But who goes on asking at
//! the pace of before has no output yet: what was fetched then is another file. Across traces a download
//! comes at once, or at least sooner than the client would have asked again: any other file may come later.
//! All of this is for downloads that show no id of the application's: those are of the job with that id.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::call::{Accepted, Correlation, Role};
use crate::evidence::Evidence;
use crate::id::{TraceId, UnixNanos};
use crate::job::{Confidence, Join, JoinRule};
use crate::solve::group::{AttemptDraft, job_names};
use crate::solve::pool::{BLOCKING_SECONDS, Pool, call_of, order};

/// Longest wait before a download without lineage, in seconds.
const BARE_SECONDS: f64 = 2.0;
/// A download without lineage that comes sooner, in seconds, needs no pace to go by: clients take a few
/// milliseconds.
const AT_ONCE_SECONDS: f64 = 0.05;
/// From so many other files on that are expected within the wait, a download tells nothing of the job before.
const CROWDED: f64 = 0.1;
/// Longest wait within one trace, in seconds.
const TRACE_SECONDS: f64 = 120.0;

/// A client that asks again sooner than so many of its intervals goes on as before.
const PACE: f64 = 2.0;

/// Calls whose gaps are the pace at which a client asks.
const ASKS: [Role; 2] = [Role::Submit, Role::Poll];
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
    let known = by_name(pool, drafts);
    let mut places = places(pool, drafts);
    places.sort_unstable_by_key(|place| (place.end, place.root));
    // Where each call is a trace, nothing that ended long ago is in the download's.
    let mut left = Vec::new();
    let mut traces: BTreeSet<TraceId> = places.iter().map(|place| place.last.span.trace).collect();
    let rates = rates(pool);
    for (at, download) in pool.downloads.iter().enumerate().filter(|(at, _)| !known.contains(at)) {
        let download = download.evidence;
        let Some(provider) = provider_of(download) else { continue };
        let limit = places.partition_point(|place| place.end <= download.start.plus_ms(1));
        let longest = if traces.contains(&download.span.trace) { TRACE_SECONDS } else { BARE_SECONDS };
        let mut best: Option<(usize, f64, (bool, bool))> = None;
        for (index, place) in places[..limit].iter().enumerate().rev() {
            let gap = download.start.seconds_since(place.end);
            if gap > longest {
                break;
            }
            let kin = place.last.span.trace == download.span.trace;
            let fits = place.provider == &**provider
                && place.last.client.tenant == download.client.tenant
                && gap <= if kin { TRACE_SECONDS } else { longest_bare(&drafts[&place.root], download) }
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
            give(pool, draft, at, JoinRule::DownloadTime, confidence(&rates, download, kin, gap));
        }
        // It moves to its new end, past those that ended meanwhile.
        places[index].end = download.end;
        places[index].last = download;
        traces.insert(download.span.trace);
        let to = places[index..].iter().take_while(|place| place.end <= download.end).count();
        places[index..index + to].rotate_left(1);
    }
    interrupted(pool, drafts, left, &rates);
}

fn provider_of(evidence: &Evidence) -> Option<&Arc<str>> {
    call_of(evidence).map(|call| &call.endpoint.provider)
}

/// Gives downloads that show the application's id of a job, on their own span or above, to the attempt of
/// that job whose last call ended before: those downloads.
fn by_name<'a>(pool: &Pool<'a>, drafts: &mut BTreeMap<usize, AttemptDraft<'a>>) -> BTreeSet<usize> {
    let mut named: BTreeMap<(&Arc<str>, &Correlation), Vec<usize>> = BTreeMap::new();
    for (at, download) in pool.downloads.iter().enumerate() {
        let parts = [download.evidence];
        for (part, name) in job_names(pool, &parts) {
            named.entry((&part.client.tenant, name)).or_default().push(at);
        }
    }
    if named.is_empty() {
        return BTreeSet::new();
    }
    // By download, the latest end before it, and the attempt.
    let mut best: BTreeMap<usize, (UnixNanos, usize)> = BTreeMap::new();
    for (&root, draft) in drafts.iter() {
        for (part, name) in job_names(pool, &draft.parts) {
            for &at in named.get(&(&part.client.tenant, name)).into_iter().flatten() {
                let download = pool.downloads[at].evidence;
                let before = |part: &&&Evidence| part.end <= download.start.plus_ms(1);
                let of_provider = |part: &&&Evidence| provider_of(part) == provider_of(download);
                let ends = draft.parts.iter().filter(before).filter(of_provider).map(|part| part.end);
                if let Some(end) = ends.max() {
                    let held = best.entry(at).or_insert((end, root));
                    *held = (*held).max((end, root));
                }
            }
        }
    }
    for (&at, &(_, root)) in &best {
        if let Some(draft) = drafts.get_mut(&root) {
            give(pool, draft, at, JoinRule::CorrelationId, Confidence::Exact);
        }
    }
    best.into_keys().collect()
}

/// Who fetches what: a service and a provider.
type FetchKey<'a> = (&'a Arc<str>, &'a Arc<str>);

fn fetches(download: &Evidence) -> Option<FetchKey<'_>> {
    Some((&download.client.service, provider_of(download)?))
}

/// How many other files each service fetches from a provider, per second.
fn rates<'a>(pool: &Pool<'a>) -> BTreeMap<FetchKey<'a>, f64> {
    let mut starts: BTreeMap<FetchKey<'a>, (f64, UnixNanos, UnixNanos)> = BTreeMap::new();
    for download in pool.downloads.iter().map(|download| download.evidence) {
        let Some(key) = fetches(download) else { continue };
        let (others, first, last) = starts.entry(key).or_insert((-1.0, download.start, download.start));
        *others += 1.0;
        (*first, *last) = ((*first).min(download.start), (*last).max(download.start));
    }
    let rate =
        |(others, first, last): (f64, UnixNanos, UnixNanos)| others / last.seconds_since(first).max(1.0);
    starts.into_iter().map(|(key, known)| (key, rate(known))).collect()
}

/// How sure a download is that comes `gap` seconds after a call; `kin` if that is in its trace.
fn confidence(rates: &BTreeMap<FetchKey<'_>, f64>, download: &Evidence, kin: bool, gap: f64) -> Confidence {
    let rate = fetches(download).and_then(|key| rates.get(&key)).copied().unwrap_or_default();
    match kin {
        true => Confidence::Strong,
        false if rate * gap < CROWDED => Confidence::Likely,
        false => Confidence::Guess,
    }
}

/// Longest wait after a call before a client without lineage fetches what the answer told, in seconds: less
/// than it takes to ask again.
fn longest_bare(draft: &AttemptDraft<'_>, download: &Evidence) -> f64 {
    let asks = |part: &&Evidence| {
        part.start <= download.start && call_of(part).is_some_and(|call| ASKS.contains(&call.role))
    };
    let mut asked = draft.parts.iter().rev().copied().filter(asks);
    let (Some(last), Some(before)) = (asked.next(), asked.next()) else { return AT_ONCE_SECONDS };
    last.start.seconds_since(before.end).clamp(AT_ONCE_SECONDS, BARE_SECONDS)
}

/// Gives a download to an attempt.
fn give<'a>(
    pool: &Pool<'a>,
    draft: &mut AttemptDraft<'a>,
    at: usize,
    rule: JoinRule,
    confidence: Confidence,
) {
    let download = pool.downloads[at].evidence;
    let span = Some(download.span);
    draft.downloads.push(at);
    draft.parts.push(download);
    draft.parts.sort_unstable_by_key(|evidence| order(evidence));
    draft.joins.push(Join { rule, confidence, margin: None, span, instead: None });
}

/// A download, and the attempt of another service that it may follow, by so many seconds.
type Left = (usize, Option<(usize, f64)>);

/// Gives what follows no last call of its service to the attempt without a download whose calls it stands
/// between: the nearest that asked before it, one in the same trace first.
fn interrupted<'a>(
    pool: &Pool<'a>,
    drafts: &mut BTreeMap<usize, AttemptDraft<'a>>,
    left: Vec<Left>,
    rates: &BTreeMap<FetchKey<'a>, f64>,
) {
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
        let Some(provider) = provider_of(download) else { continue };
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
            let fits = provider_of(part) == Some(provider)
                && part.client.tenant == download.client.tenant
                && (kin || part.client.service == download.client.service)
                && (kin || gap <= longest_bare(&drafts[root], download))
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
            give(pool, draft, at, JoinRule::DownloadTime, confidence(rates, download, kin, gap));
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
