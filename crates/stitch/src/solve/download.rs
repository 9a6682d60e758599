//! Downloads: an output fetched from the provider's file host, whose name shows no task id.
//!
//! A client downloads right after the call that told it the address, so the attempt of that provider whose
//! last call ended just before wins, one in the same trace first, then one of the same service. Further files
//! follow one another. A client may also ask once more after it has the file, or delete the task: a download
//! that follows no last call goes to the attempt without one that it interrupts. But who goes on asking at
//! the pace of before has no output yet: what was fetched then is another file. Across traces a download
//! comes at once, or at least sooner than the client would have asked again: any other file may come later.
//! A request for which a worker polls fetches in its own trace, which is that of the submit.
//! All of this is for downloads that show no id of the application's: those are of the job with that id.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::call::{Accepted, Correlation, Role};
use crate::evidence::Evidence;
use crate::id::{TraceId, UnixNanos};
use crate::job::{Confidence, Join, JoinRule};
use crate::solve::attempts::{AttemptDraft, Drafts};
use crate::solve::group::job_names;
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

/// Most attempts looked at for one download: the latest to end. In a storm more of them end within the wait.
const MAX_LOOKED_AT: usize = 1024;

struct Place<'a> {
    end: UnixNanos,
    provider: &'a str,
    last: &'a Evidence,
}

/// Attempts that may have an output, by the end of their last call.
#[derive(Default)]
struct Places<'a> {
    known: BTreeMap<usize, Place<'a>>,
    by_end: BTreeSet<(UnixNanos, usize)>,
    /// The attempts with a call in a trace, by the end of their last call before anything was fetched.
    of_trace: BTreeMap<TraceId, BTreeSet<(UnixNanos, usize)>>,
}

/// An attempt that a download may follow.
#[derive(Clone, Copy)]
struct Found {
    root: usize,
    /// In seconds, from its last call.
    gap: f64,
    /// It has a call in the trace of the download.
    kin: bool,
    /// Its last call is by the service that fetches.
    own_service: bool,
}

/// Gives every download to the attempt that it follows.
pub(crate) fn attach<'a>(pool: &Pool<'a>, drafts: &mut Drafts<'a>) {
    if pool.downloads.is_empty() {
        return;
    }
    let known = by_name(pool, drafts);
    let mut places = Places::new(pool, drafts);
    let mut left = Vec::new();
    let rates = rates(pool);
    for (at, download) in pool.downloads.iter().enumerate().filter(|(at, _)| !known.contains(at)) {
        let download = download.evidence;
        let Some(provider) = provider_of(download) else { continue };
        let found = places.before(pool, drafts, download, provider);
        let Some(found) = found.filter(|found| found.kin || found.own_service) else {
            // Another service may have fetched it, if none of its own attempts was interrupted.
            left.push((at, found.map(|found| (found.root, found.gap))));
            continue;
        };
        if let Some(draft) = drafts.get_mut(found.root) {
            give(pool, draft, at, JoinRule::DownloadTime, confidence(&rates, download, found.kin, found.gap));
        }
        places.fetched(found, download);
    }
    interrupted(pool, drafts, left, &rates);
    for draft in drafts.values_mut().filter(|draft| !draft.downloads.is_empty()) {
        draft.parts.sort_unstable_by_key(|evidence| order(evidence));
    }
}

impl<'a> Places<'a> {
    fn new(pool: &Pool<'a>, drafts: &Drafts<'a>) -> Self {
        let mut places = Self::default();
        let traces: BTreeSet<TraceId> =
            pool.downloads.iter().map(|download| download.evidence.span.trace).collect();
        for (root, draft) in drafts.iter() {
            let Some(place) = place(pool, draft) else { continue };
            let of_parts: BTreeSet<TraceId> = draft.parts.iter().map(|part| part.span.trace).collect();
            for &trace in of_parts.intersection(&traces) {
                places.of_trace.entry(trace).or_default().insert((place.end, root));
            }
            places.by_end.insert((place.end, root));
            places.known.insert(root, place);
        }
        places
    }

    /// The attempt that a download follows: one with its last call in the same trace first, then one with any
    /// call there, then one of the same service; of those alike the last to end.
    fn before(
        &self,
        pool: &Pool<'a>,
        drafts: &Drafts<'a>,
        download: &'a Evidence,
        provider: &str,
    ) -> Option<Found> {
        let latest = (download.start.plus_ms(1), usize::MAX);
        let fits = |place: &Place<'a>| {
            place.provider == provider && place.last.client.tenant == download.client.tenant
        };
        let gap = |place: &Place<'a>| download.start.seconds_since(place.end);
        let own_service = |place: &Place<'a>| place.last.client.service == download.client.service;
        let known = |&(_, root): &(UnixNanos, usize)| Some((root, self.known.get(&root)?));
        let of_trace = self.of_trace.get(&download.span.trace).into_iter();
        let ended = of_trace.flat_map(|known| known.range(..=latest).rev().take(MAX_LOOKED_AT));
        let kin = ended.filter_map(known).filter(|&(root, place)| {
            (place.end, root) <= latest && gap(place) <= TRACE_SECONDS && fits(place)
        });
        let kin = kin.max_by_key(|&(root, place)| {
            (place.last.span.trace == download.span.trace, own_service(place), place.end, root)
        });
        let bare = || {
            let ended = self.by_end.range(..=latest).rev().take(MAX_LOOKED_AT).filter_map(known);
            let ended = ended.take_while(|(_, place)| gap(place) <= BARE_SECONDS).filter(|(root, place)| {
                fits(place)
                    && gap(place) <= longest_bare(&drafts[*root], download)
                    && !pool.lineage.apart(download, place.last)
            });
            ended.max_by_key(|&(root, place)| (own_service(place), place.end, root))
        };
        let is_kin = kin.is_some();
        let (root, place) = kin.or_else(bare)?;
        Some(Found { root, gap: gap(place), kin: is_kin, own_service: own_service(place) })
    }

    /// Moves an attempt to the end of what was fetched: a further file may follow.
    fn fetched(&mut self, found: Found, download: &'a Evidence) {
        let Some(place) = self.known.get_mut(&found.root) else { return };
        self.by_end.remove(&(place.end, found.root));
        (place.end, place.last) = (download.end, download);
        self.by_end.insert((place.end, found.root));
        if !found.kin {
            self.of_trace.entry(download.span.trace).or_default().insert((download.start, found.root));
        }
    }
}

fn provider_of(evidence: &Evidence) -> Option<&Arc<str>> {
    call_of(evidence).map(|call| &call.endpoint.provider)
}

/// Gives downloads that show the application's id of a job, on their own span or above, to the attempt of
/// that job whose last call ended before: those downloads.
fn by_name<'a>(pool: &Pool<'a>, drafts: &mut Drafts<'a>) -> BTreeSet<usize> {
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
    for (root, draft) in drafts.iter() {
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
        if let Some(draft) = drafts.get_mut(root) {
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

/// Gives a download to an attempt, whose parts are to be sorted again then.
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
    draft.joins.push(Join { rule, confidence, margin: None, span, instead: None });
}

/// A download, and the attempt of another service that it may follow, by so many seconds.
type Left = (usize, Option<(usize, f64)>);

/// Gives what follows no last call of its service to the attempt without a download whose calls it stands
/// between: the nearest that asked before it, one in the same trace first.
fn interrupted<'a>(
    pool: &Pool<'a>,
    drafts: &mut Drafts<'a>,
    left: Vec<Left>,
    rates: &BTreeMap<FetchKey<'a>, f64>,
) {
    if left.is_empty() {
        return;
    }
    let told = Told::new(drafts);
    for (at, other) in left {
        let download = pool.downloads[at].evidence;
        let Some(provider) = provider_of(download) else { continue };
        let fits = |part: &Evidence| {
            provider_of(part) == Some(provider) && part.client.tenant == download.client.tenant
        };
        let gap = |end: UnixNanos| download.start.seconds_since(end);
        let mut is_busy = false;
        let mut rests = |root: usize| {
            let busy = goes_on(&drafts[root], download);
            is_busy |= busy;
            !busy
        };
        let kin = told
            .in_trace(download)
            .find(|&(end, root, part)| gap(end) <= TRACE_SECONDS && fits(part) && rests(root));
        let bare = kin.is_none().then(|| {
            let recent = told.before(download).take_while(|&(end, ..)| gap(end) <= BARE_SECONDS);
            recent.filter(|&(end, root, part)| {
                part.client.service == download.client.service
                    && gap(end) <= longest_bare(&drafts[root], download)
                    && !pool.lineage.apart(download, part)
                    && fits(part)
            })
        });
        let bare = bare.into_iter().flatten().filter(|&(_, root, _)| rests(root)).collect::<Vec<_>>();
        let best = kin.or(bare.first().copied()).map(|(end, root, _)| (kin.is_some(), gap(end), root));
        // Who is busy with a task of its own did not fetch for somebody else.
        let other = other.filter(|_| !is_busy);
        let best = best.or(other.map(|(root, gap)| (false, gap, root)));
        if let Some((kin, gap, root)) = best
            && let Some(draft) = drafts.get_mut(root)
        {
            give(pool, draft, at, JoinRule::DownloadTime, confidence(rates, download, kin, gap));
        }
    }
}

/// A call that can have told an address: its end, its attempt, and itself.
type Telling<'a> = (UnixNanos, usize, &'a Evidence);

/// The calls of attempts without a download that can have told an address, by their end.
struct Told<'a> {
    calls: Vec<Telling<'a>>,
    /// Places of those of each trace.
    of_trace: BTreeMap<TraceId, Vec<usize>>,
}

impl<'a> Told<'a> {
    fn new(drafts: &Drafts<'a>) -> Self {
        let mut calls: Vec<Telling<'a>> = Vec::new();
        for (root, draft) in drafts.iter().filter(|(_, draft)| draft.downloads.is_empty()) {
            let tells = |part: &&&Evidence| call_of(part).is_some_and(|call| TELLS.contains(&call.role));
            calls.extend(draft.parts.iter().filter(tells).map(|&part| (part.end, root, part)));
        }
        calls.sort_unstable_by_key(|(end, root, part)| (*end, *root, part.span));
        let mut of_trace: BTreeMap<TraceId, Vec<usize>> = BTreeMap::new();
        for (place, (_, _, part)) in calls.iter().enumerate() {
            of_trace.entry(part.span.trace).or_default().push(place);
        }
        Self { calls, of_trace }
    }

    /// How many ended before a download.
    fn ended(&self, download: &Evidence) -> usize {
        self.calls.partition_point(|(end, ..)| *end <= download.start.plus_ms(1))
    }

    /// Those before a download, the last first.
    fn before(&self, download: &Evidence) -> impl Iterator<Item = Telling<'a>> {
        self.calls[..self.ended(download)].iter().rev().take(MAX_LOOKED_AT).copied()
    }

    /// Those of them in its trace.
    fn in_trace(&self, download: &Evidence) -> impl Iterator<Item = Telling<'a>> {
        let ended = self.ended(download);
        let places = self.of_trace.get(&download.span.trace).map_or(&[][..], Vec::as_slice);
        let places = &places[..places.partition_point(|&place| place < ended)];
        places.iter().rev().take(MAX_LOOKED_AT).map(|&place| self.calls[place])
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

/// An attempt that may have an output, with the end of its last call.
fn place<'a>(pool: &Pool<'a>, draft: &AttemptDraft<'a>) -> Option<Place<'a>> {
    let refused = draft.shot.is_some_and(|shot| pool.shots[shot].call.accepted != Accepted::Yes);
    if refused && draft.tasks.is_empty() && draft.groups.is_empty() {
        return None;
    }
    let last = draft.parts.iter().copied().max_by_key(|evidence| (evidence.end, evidence.span))?;
    let call = call_of(last)?;
    // A bare submit of an asynchronous provider has no output address yet.
    let is_bare = call.role == Role::Submit && last.end.seconds_since(last.start) <= BLOCKING_SECONDS;
    (!is_bare).then_some(Place { end: last.end, provider: &call.endpoint.provider, last })
}
