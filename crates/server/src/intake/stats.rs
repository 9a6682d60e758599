//! Counters of requests and connections since the start. Counts of spans are durable and live with the core:
//! they are in each batch's tally.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use spantally_providers::{CALLBACK_IDS_MAX, ID_BYTES_MAX, LABEL_BYTES_MAX, Recogniser, Unrecognised};

use super::read::LeftOut;
use super::sampled::Sampled;
use crate::batch::Transport;
use crate::decode::LINKS_MAX;
use crate::limits::Limit;
use crate::request_end::RequestEnd;

/// Counters of the receivers.
#[derive(Debug, Default)]
pub struct IntakeStats {
    requests: [[AtomicU64; RequestEnd::ALL.len()]; Transport::ALL.len()],
    body_bytes: [AtomicU64; Transport::ALL.len()],
    /// Connections accepted.
    pub connections_accepted: AtomicU64,
    /// Connections that are open.
    pub connections_open: AtomicU64,
    /// Times that a port came to have as many connections as it may: the next one waits.
    pub connections_full: AtomicU64,
    /// Texts that were cut, and links and ids that were left out, in the order of [`Self::KEPT`].
    left_out: [AtomicU64; Self::KEPT.len()],
    /// Requests that no rule takes, by provider and method. There are as many as files have named providers.
    unrecognised: Mutex<BTreeMap<(Box<str>, &'static str), u64>>,
    /// Calls that stand for others.
    pub(super) sampled: Sampled,
    /// Connections that ended in a protocol or socket error, or brought no request in time.
    pub connections_failed: AtomicU64,
}

impl IntakeStats {
    /// Requests that came by a transport and ended in a way.
    pub fn requests(&self, transport: Transport, end: RequestEnd) -> u64 {
        self.requests[transport as usize][end as usize].load(Ordering::Relaxed)
    }

    /// Bytes of the bodies that came by a transport, inflated.
    pub(crate) fn body_bytes(&self, transport: Transport) -> u64 {
        self.body_bytes[transport as usize].load(Ordering::Relaxed)
    }

    /// What is bounded of a span, with its bound.
    pub(crate) const KEPT: [(Limit, usize); 4] = [
        (Limit::LabelBytes, LABEL_BYTES_MAX),
        (Limit::IdBytes, ID_BYTES_MAX),
        (Limit::CallbackIds, CALLBACK_IDS_MAX),
        (Limit::SpanLinks, LINKS_MAX),
    ];

    /// How often each bound of [`Self::KEPT`] was met.
    pub(crate) fn bounds_met(&self) -> [u64; Self::KEPT.len()] {
        self.left_out.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    pub(crate) fn left_out(&self, left_out: LeftOut) {
        if left_out == LeftOut::default() {
            return;
        }
        let LeftOut { texts, links } = left_out;
        for (count, more) in self.left_out.iter().zip([texts.labels, texts.ids, texts.callback_ids, links]) {
            count.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// Requests to a provider's own host that no rule took, by provider and method.
    pub(crate) fn unrecognised_requests(&self) -> BTreeMap<(Box<str>, &'static str), u64> {
        self.unrecognised.lock().clone()
    }

    pub(crate) fn unrecognised(&self, rules: &Recogniser, requests: BTreeMap<Unrecognised, u64>) {
        if requests.is_empty() {
            return;
        }
        let mut known = self.unrecognised.lock();
        for (request, count) in requests {
            *known.entry((rules.provider_of(request).into(), request.method())).or_default() += count;
        }
    }

    pub(crate) fn ended(&self, transport: Transport, end: RequestEnd) {
        self.requests[transport as usize][end as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self, transport: Transport, bytes: usize) {
        self.body_bytes[transport as usize].fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
