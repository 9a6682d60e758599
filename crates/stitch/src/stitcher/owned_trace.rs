//! A trace of a tenant.
//!
//! A trace id is what senders say it is, and travels with the requests of others (`traceparent`). So two
//! tenants may have spans of one trace, and even of one span id, by accident or on purpose; and nothing of
//! one may tie, price or end what is the other's. Whatever is found by a trace is therefore found by this.

use crate::evidence::{Client, Evidence};
use crate::id::TraceId;
use crate::stitcher::item::hash;

/// A trace id and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct OwnedTrace {
    /// Hash of the tenant's name; zero where there is only one, which has none.
    tenant: u64,
    trace: TraceId,
}

impl OwnedTrace {
    /// A trace as a client knows it.
    pub(super) fn new(client: &Client, trace: TraceId) -> Self {
        let tenant = if client.tenant.is_empty() { 0 } else { hash(&client.tenant) };
        Self { tenant, trace }
    }

    /// The trace of a span.
    pub(super) fn of(evidence: &Evidence) -> Self {
        Self::new(&evidence.client, evidence.span.trace)
    }

    /// The name of what links to a trace of which nothing is known yet.
    pub(super) fn link_name(&self) -> u64 {
        hash(&("trace", self))
    }

    /// The name of the call that began a trace, and is not kept with it.
    pub(super) fn root_name(&self) -> u64 {
        hash(&("root", self))
    }
}
