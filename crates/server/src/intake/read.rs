//! One request body to one batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use spantally_providers::{Cuts, EndpointCache, Recogniser, ResourceView, SpanHead, SpanView, Unrecognised};
use spantally_stitch::{Call, Client, Evidence, What};

use super::clients::ClientCache;
use super::sampled::Stream;
use crate::batch::{Batch, RejectReason, Spares, Transport};
use crate::decode::{self, DecodeError, Visitor, json};

/// Most evidence that room is made for before the first span is read.
const CAPACITY_MAX: usize = 4096;

/// What one decoding thread keeps between requests. It belongs to one [`Recogniser`]: with another, begin
/// anew.
#[derive(Debug, Default)]
pub struct ReadCache {
    endpoints: EndpointCache,
    clients: ClientCache,
    /// How much evidence the last request had: the next one likely has as much.
    capacity: usize,
    /// Where room for it may be waiting.
    spares: Spares,
    /// Links that were left out since this was last asked.
    links_over: u64,
    /// Requests that no rule takes since this was last asked.
    unrecognised: BTreeMap<Unrecognised, u64>,
    /// Calls that stand for others since this was last asked.
    sampled: BTreeMap<Stream, u64>,
}

/// What was not kept of the spans that were read, since it goes past a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Texts and ids.
    pub texts: Cuts,
    /// Links of spans with more than [`decode::LINKS_MAX`].
    pub links: u64,
}

impl ReadCache {
    /// A cache that takes room for evidence from where the core gives it back.
    pub fn new(spares: Spares) -> Self {
        Self { spares, ..Self::default() }
    }

    /// What was not kept since this was last asked.
    pub(crate) fn take_left_out(&mut self) -> LeftOut {
        LeftOut { texts: self.endpoints.take_cuts(), links: std::mem::take(&mut self.links_over) }
    }

    /// How many requests to a provider's own host no rule took since this was last asked.
    pub fn take_unrecognised(&mut self) -> BTreeMap<Unrecognised, u64> {
        std::mem::take(&mut self.unrecognised)
    }

    /// How many calls said that they stand for others, since this was last asked.
    pub fn take_sampled(&mut self) -> BTreeMap<Stream, u64> {
        std::mem::take(&mut self.sampled)
    }
}

/// Reads an encoded `ExportTraceServiceRequest`: JSON if it came as [`Transport::HttpJson`], else protobuf.
///
/// # Errors
/// The body cannot be read. No part of it counts.
pub fn read_batch(
    recogniser: &Recogniser,
    cache: &mut ReadCache,
    tenant: &str,
    transport: Transport,
    body: &[u8],
) -> Result<Batch, DecodeError> {
    let mut batch = Batch { transport, evidence: cache.spares.take(), ..Batch::default() };
    batch.evidence.reserve_exact(cache.capacity);
    let mut reading = Reading {
        recogniser,
        cache,
        tenant,
        client: Arc::default(),
        batch,
        unrecognised: BTreeMap::new(),
        sampled: BTreeMap::new(),
    };
    if transport == Transport::HttpJson {
        decode::read(&json::to_protobuf(body)?, recogniser.keys(), &mut reading)?;
    } else {
        decode::read(body, recogniser.keys(), &mut reading)?;
    }
    let Reading { batch, unrecognised, sampled, .. } = reading;
    for (request, count) in unrecognised {
        *cache.unrecognised.entry(request).or_default() += count;
    }
    for (stream, calls) in sampled {
        *cache.sampled.entry(stream).or_default() += calls;
    }
    cache.capacity = batch.evidence.len().min(CAPACITY_MAX);
    Ok(batch)
}

struct Reading<'r> {
    recogniser: &'r Recogniser,
    cache: &'r mut ReadCache,
    tenant: &'r str,
    client: Arc<Client>,
    batch: Batch,
    unrecognised: BTreeMap<Unrecognised, u64>,
    sampled: BTreeMap<Stream, u64>,
}

/// What became of a span.
#[derive(Clone, Copy, Debug)]
enum Taken {
    /// Its evidence has this place in the batch.
    Evidence {
        at: u32,
        /// It is a call that stands for others.
        is_sampled: bool,
    },
    /// It is neither a call nor a frame; it may be a request that should be one.
    Ignored(Option<Unrecognised>),
}

impl Reading<'_> {
    fn ignored(&mut self, request: Option<Unrecognised>) {
        self.batch.tally.ignored += 1;
        if let Some(request) = request {
            *self.unrecognised.entry(request).or_default() += 1;
        }
    }

    /// Takes evidence into the batch.
    fn push(&mut self, evidence: Evidence, is_sampled: bool) -> Taken {
        if is_sampled && let Some(call) = call(&evidence) {
            let provider = call.endpoint.provider.clone();
            let stream = Stream { provider, service: evidence.client.service.clone() };
            *self.sampled.entry(stream).or_default() += 1;
        }
        self.batch.evidence.push(evidence);
        Taken::Evidence { at: (self.batch.evidence.len() - 1) as u32, is_sampled }
    }
}

/// The call that a span is, or for which it stands.
fn call(evidence: &Evidence) -> Option<&Call> {
    match &evidence.what {
        What::Call(call) => Some(call),
        What::Frame(frame) => frame.rare.call.as_deref(),
    }
}

impl Visitor for Reading<'_> {
    type Taken = Taken;

    fn resource(&mut self, resource: &ResourceView<'_>, encoded: Option<&[u8]>) {
        let ReadCache { clients, endpoints, .. } = &mut *self.cache;
        let make = || self.recogniser.client(resource, self.tenant, endpoints);
        self.client = clients.get(self.tenant, encoded, make);
    }

    fn span(&mut self, span: &SpanView<'_>) -> Self::Taken {
        self.batch.tally.received += 1;
        let Some(evidence) = self.recogniser.recognise(span, &self.client, &mut self.cache.endpoints) else {
            let request = self.cache.endpoints.take_unrecognised();
            self.ignored(request);
            return Taken::Ignored(request);
        };
        // Only of calls: this is read for no span of another kind.
        let is_sampled = call(&evidence).is_some() && self.recogniser.is_sampled(span);
        self.push(evidence, is_sampled)
    }

    fn again(&mut self, taken: Self::Taken, head: &SpanHead) {
        self.batch.tally.received += 1;
        let (first, is_sampled) = match taken {
            Taken::Evidence { at, is_sampled } => (&self.batch.evidence[at as usize], is_sampled),
            Taken::Ignored(request) => return self.ignored(request),
        };
        let (client, what) = (first.client.clone(), first.what.clone());
        let SpanHead { key, parent, start, end } = *head;
        self.push(Evidence { span: key, parent, start, end, client, what }, is_sampled);
    }

    fn rejected(&mut self, reason: RejectReason) {
        self.batch.tally.received += 1;
        self.batch.tally.rejected[reason as usize] += 1;
    }

    fn links_over(&mut self, count: u64) {
        self.cache.links_over += count;
    }
}
