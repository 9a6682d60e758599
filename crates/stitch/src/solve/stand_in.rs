//! Spans that stand for a call whose requests nobody saw, and those beside which the requests were seen.
//!
//! # Why
//!
//! A GenAI instrumentation writes a span around a call of an SDK. Where the HTTP client below is instrumented
//! too, that span says what the request was for, and to count it as well would bill the call twice. Where it
//! is not, the span is all that is known of the call, and to leave it out would bill it never.
//!
//! # States
//!
//! Such a span *stands in* for its call until a request is seen *beside* it, and is an [`Echo`] from then on:
//! it goes with the job of that request and tells what any span above a request tells. A request is beside it
//! if it is
//!
//! 1. below it, of any provider (an SDK for one provider may be pointed at the host of another);
//! 2. of the task that it names; or
//! 3. under way at the same time, to the same provider, in its trace or from its process: a process that
//!    shows one request shows them all, also where a pool of threads has cut the trace in two. A realtime
//!    connection is such a request as well, and the spans of its answers are its echoes.
//!
//! Of spans that stand in one below another, the lowest does: the others are its echoes.
//!
//! # Late, twice, never
//!
//! A request that comes after the job was told makes an echo of its stand-in, and the job is told again or
//! superseded: what is beside what follows from the set, whichever came first. In a crowd
//! (`stitcher/crowd.rs`) jobs that are over leave together with their echoes; a span that comes after its
//! requests have left finds none, and is a job. What was forgotten is beside nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::call::{Call, Role};
use crate::evidence::{Client, Evidence};
use crate::id::{SpanKey, TaskId, TraceId, UnixNanos};
use crate::solve::echo::{Echo, Kept};
use crate::solve::lineage::Lineage;
use crate::solve::pool::{call_of, order};

/// Two processes of one trace may tell times that are so far apart.
const SKEW_MS: u64 = 2_000;

/// Whether a call is known by a span around it alone.
pub(crate) fn stands_in(evidence: &Evidence) -> bool {
    call_of(evidence).is_some_and(|call| call.rare.stands_in)
}

/// The echoes among the calls of a pool, by span. `lineage` knows all frames.
pub(crate) fn echoes<'a>(calls: &[Kept<'a>], lineage: &Lineage<'a>) -> Vec<Echo> {
    let mut stand_ins: Vec<Kept<'a>> = calls.iter().copied().filter(|(_, call)| stands_in(call)).collect();
    if stand_ins.is_empty() {
        return Vec::new();
    }
    stand_ins.sort_unstable_by_key(|(_, evidence)| order(evidence));
    let mut requests: Vec<Kept<'a>> = calls.iter().copied().filter(|(_, call)| is_request(call)).collect();
    requests.sort_unstable_by_key(|(_, evidence)| order(evidence));
    let seen = Seen::new(&requests, lineage);
    let is_seen = |stand_in: &Kept<'a>| seen.beside(stand_in.1);
    // What is beside a span below is beside the spans above it, which follow by what stands.
    let standing: Vec<Kept<'a>> = stand_ins.iter().copied().filter(|at| is_seen(at).is_none()).collect();
    let lowest = below(&standing, lineage);
    let echo = |stand_in: &Kept<'a>| {
        let beside = is_seen(stand_in).or_else(|| lowest.get(&stand_in.1.span).copied())?;
        Some(Echo::new(*stand_in, beside))
    };
    let mut found: Vec<Echo> = stand_ins.iter().filter_map(echo).collect();
    found.sort_unstable_by_key(|echo| echo.span);
    found
}

fn is_request(evidence: &Evidence) -> bool {
    let by_client =
        |call: &Call| !call.rare.stands_in && !matches!(call.role, Role::Webhook | Role::Download);
    call_of(evidence).is_some_and(by_client)
}

/// By each span above some calls, the first of them.
fn below<'a>(calls: &[Kept<'a>], lineage: &Lineage<'a>) -> BTreeMap<SpanKey, Kept<'a>> {
    let mut first = BTreeMap::new();
    for &call in calls {
        for above in lineage.ancestors(call.1) {
            first.entry(above.span).or_insert(call);
        }
    }
    first
}

/// Requests, by what may lie beside them.
struct Seen<'a> {
    below: BTreeMap<SpanKey, Kept<'a>>,
    by_task: BTreeMap<(&'a str, &'a TaskId), Kept<'a>>,
    by_trace: BTreeMap<(TraceId, &'a str), Spread<'a>>,
    by_client: BTreeMap<(&'a Arc<Client>, &'a str), Spread<'a>>,
}

impl<'a> Seen<'a> {
    /// Of requests in order.
    fn new(requests: &[Kept<'a>], lineage: &Lineage<'a>) -> Self {
        let mut by_task = BTreeMap::new();
        let mut by_trace: BTreeMap<_, Spread<'a>> = BTreeMap::new();
        let mut by_client: BTreeMap<_, Spread<'a>> = BTreeMap::new();
        for &request in requests {
            let evidence = request.1;
            let Some(call) = call_of(evidence) else { continue };
            for task in call.task.iter().chain(&call.rare.alias) {
                by_task.entry((&*evidence.client.tenant, task)).or_insert(request);
            }
            let provider = &*call.endpoint.provider;
            by_trace.entry((evidence.span.trace, provider)).or_default().push(request);
            by_client.entry((&evidence.client, provider)).or_default().push(request);
        }
        Self { below: below(requests, lineage), by_task, by_trace, by_client }
    }

    /// The first request beside a span, if there is one.
    fn beside(&self, stand_in: &'a Evidence) -> Option<Kept<'a>> {
        let call = call_of(stand_in)?;
        let provider = &*call.endpoint.provider;
        let named = || self.by_task.get(&(&*stand_in.client.tenant, call.task.as_ref()?)).copied();
        let traced = || self.by_trace.get(&(stand_in.span.trace, provider))?.during(stand_in, SKEW_MS);
        let own = || self.by_client.get(&(&stand_in.client, provider))?.during(stand_in, 0);
        self.below.get(&stand_in.span).copied().or_else(named).or_else(traced).or_else(own)
    }
}

/// When some requests were under way, by start.
#[derive(Debug, Default)]
struct Spread<'a>(Vec<Lasted<'a>>);

#[derive(Clone, Copy, Debug)]
struct Lasted<'a> {
    request: Kept<'a>,
    /// The latest end among it and those before.
    latest: UnixNanos,
}

impl<'a> Spread<'a> {
    fn push(&mut self, request: Kept<'a>) {
        let end = request.1.end;
        let latest = self.0.last().map_or(end, |before| before.latest.max(end));
        self.0.push(Lasted { request, latest });
    }

    /// The first that was under way during a span, give or take some time.
    fn during(&self, span: &Evidence, skew_ms: u64) -> Option<Kept<'a>> {
        let from = UnixNanos(span.start.0.saturating_sub(skew_ms * 1_000_000));
        let until = span.end.plus_ms(skew_ms);
        let first = self.0.partition_point(|lasted| lasted.latest < from);
        let mut begun = self.0[first..].iter().map(|lasted| lasted.request);
        begun
            .by_ref()
            .take_while(|(_, request)| request.start <= until)
            .find(|(_, request)| request.end >= from)
    }
}
