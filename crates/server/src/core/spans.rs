//! Every span accounted for: received = accepted + duplicate + late + surplus + ignored + rejected.

use rust_decimal::Decimal;
use spantally_stitch::UnixNanos;

use crate::batch::{RejectReason, Tally, Transport};
use crate::export::{MetricId, Registry, SeriesId, SetId};

/// The series that spans are counted in, found once.
#[derive(Debug)]
pub(super) struct SpanCounts {
    by_transport: [PerTransport; Transport::ALL.len()],
    label_sets: [SeriesId; 3],
}

#[derive(Clone, Copy, Debug)]
struct PerTransport {
    received: SeriesId,
    /// Accepted, duplicate, late, surplus.
    observed: [SeriesId; 4],
    ignored: SeriesId,
    rejected: [SeriesId; RejectReason::ALL.len()],
}

impl SpanCounts {
    pub(super) fn new(registry: &mut Registry, started_at: UnixNanos) -> Self {
        let mut series = |metric, own: &[&str]| registry.series(metric, SetId::NONE, own, started_at);
        let by_transport = Transport::ALL.map(|transport| {
            let transport = transport.as_str();
            PerTransport {
                received: series(MetricId::SpansReceived, &[transport]),
                observed: [
                    MetricId::SpansAccepted,
                    MetricId::SpansDuplicate,
                    MetricId::SpansLate,
                    MetricId::SpansSurplus,
                ]
                .map(|metric| series(metric, &[transport])),
                ignored: series(MetricId::SpansIgnored, &[transport]),
                rejected: RejectReason::ALL
                    .map(|reason| series(MetricId::SpansRejected, &[transport, reason.as_str()])),
            }
        });
        let label_sets = [MetricId::LabelSets, MetricId::LabelSetsLimit, MetricId::LabelSetsOverflowed]
            .map(|metric| series(metric, &[]));
        Self { by_transport, label_sets }
    }

    /// Counts one batch; `observed` is how many of its evidence was accepted, duplicate, late, surplus.
    pub(super) fn add(
        &self,
        registry: &mut Registry,
        transport: Transport,
        tally: &Tally,
        observed: [u64; 4],
    ) {
        let series = &self.by_transport[transport as usize];
        let counts = [(series.received, tally.received), (series.ignored, tally.ignored)];
        let counts = counts.into_iter().chain(series.observed.into_iter().zip(observed));
        let counts = counts.chain(series.rejected.into_iter().zip(tally.rejected));
        for (series, count) in counts.filter(|&(_, count)| count > 0) {
            registry.add(series, Decimal::from(count));
        }
    }

    pub(super) fn show_label_sets(&self, registry: &mut Registry, len: u64, limit: u64, overflowed: u64) {
        let [sets, sets_limit, sets_overflowed] = self.label_sets;
        registry.set(sets, Decimal::from(len));
        registry.set(sets_limit, Decimal::from(limit));
        registry.add(sets_overflowed, Decimal::from(overflowed));
    }
}
