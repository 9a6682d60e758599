//! Calls of streams that are sampled: what was left out costs money that is in no figure.
//!
//! They are counted by provider, since there are as many as files have named; the log names the service as
//! well, so that somebody knows where to look.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::clock;
use crate::once_a_minute::OnceAMinute;

/// Calls of one service to one provider.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stream {
    /// Provider of the calls.
    pub provider: Arc<str>,
    /// Service that made them.
    pub service: Arc<str>,
}

/// What was counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Sampled(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    by_provider: BTreeMap<Arc<str>, u64>,
    told: OnceAMinute,
}

impl Sampled {
    /// Calls that stand for others, by provider.
    pub(super) fn by_provider(&self) -> BTreeMap<Arc<str>, u64> {
        self.0.lock().by_provider.clone()
    }

    /// Counts the calls of a request that stand for others, and tells it.
    pub(super) fn note(&self, sampled: BTreeMap<Stream, u64>) {
        let Some((Stream { provider, service }, _)) = sampled.last_key_value() else { return };
        let (provider, service) = (provider.clone(), service.clone());
        let mut counts = self.0.lock();
        let due = counts.told.count(clock::instant(), sampled.values().sum());
        for (stream, calls) in sampled {
            *counts.by_provider.entry(stream.provider).or_default() += calls;
        }
        drop(counts);
        if let Some(calls) = due {
            tracing::warn!(
                %provider, %service, calls,
                "calls say that they were sampled: what was left out costs money that is in no figure; send \
                 all spans of generation calls, see \"Sampled streams\" in docs/instrumentation.md"
            );
        }
    }
}
