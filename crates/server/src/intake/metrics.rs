//! What the receivers count, as series. The counts are of this process: they begin anew with it.

use std::sync::atomic::Ordering;

use rust_decimal::Decimal;
use spantally_stitch::UnixNanos;

use super::{Intake, IntakeStats};
use crate::batch::Transport;
use crate::export::{MetricId, Registry, SetId, Standing};
use crate::limits::Limit;
use crate::request_end::RequestEnd;

impl Intake {
    /// Shows the counts as they stand. `created` is when the process started.
    pub(crate) fn show(&self, registry: &mut Registry, created: UnixNanos) {
        let mut set = |metric, own: &[&str], value: u64| {
            let series = registry.series(metric, SetId::NONE, own, created);
            registry.set(series, Decimal::from(value));
        };
        let stats = self.stats();
        // A file comes by no socket.
        for transport in Transport::ALL.into_iter().filter(|&transport| transport != Transport::File) {
            for end in RequestEnd::ALL {
                let own = [transport.as_str(), end.as_str()];
                set(MetricId::Requests, &own, stats.requests(transport, end));
            }
            set(MetricId::RequestBytes, &[transport.as_str()], stats.body_bytes(transport));
        }
        for (metric, value) in [
            (MetricId::ConnectionsAccepted, &stats.connections_accepted),
            (MetricId::ConnectionsFailed, &stats.connections_failed),
            (MetricId::ConnectionsOpen, &stats.connections_open),
        ] {
            set(metric, &[], value.load(Ordering::Relaxed));
        }
        for ((provider, method), count) in stats.unrecognised_requests() {
            set(MetricId::UnrecognisedRequests, &[&provider, method], count);
        }
        for (provider, calls) in stats.sampled.by_provider() {
            set(MetricId::SampledCalls, &[&provider], calls);
        }
        set(MetricId::InflightBytes, &[], self.inflight().used_bytes());
        let inflight = self.inflight();
        let (used, reached) = (Some(inflight.used_bytes()), inflight.refused());
        Standing { limit: Limit::InflightBytes, max: inflight.limit_bytes(), used, reached }
            .show(registry, created);
        for ((limit, max), reached) in IntakeStats::KEPT.into_iter().zip(stats.bounds_met()) {
            Standing { limit, max: max as u64, used: None, reached }.show(registry, created);
        }
        let reached = stats.connections_full.load(Ordering::Relaxed);
        Standing { limit: Limit::Connections, max: self.max_connections, used: None, reached }
            .show(registry, created);
    }
}
