//! The certificates of every port and towards every destination, for the page of metrics: when they end, and
//! how reading them again goes.

use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_stitch::UnixNanos;

use super::{Renewed, ServerTls};
use crate::export::{MetricId, Registry, SetId};

/// The TLS of each port that has a certificate, and the files towards each destination that has some, by the
/// value of the label `endpoint`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Certificates {
    endpoints: Vec<(String, Arc<dyn Renewed>)>,
}

impl Certificates {
    /// Those of these ports.
    pub(crate) fn of<const PORTS: usize>(ports: [(&'static str, Option<&Arc<ServerTls>>); PORTS]) -> Self {
        let with_tls = ports.into_iter().filter_map(|(endpoint, tls)| {
            let tls: Arc<dyn Renewed> = Arc::<ServerTls>::clone(tls?);
            Some((endpoint.to_owned(), tls))
        });
        Self { endpoints: with_tls.collect() }
    }

    /// With those towards destinations, by their names.
    pub(crate) fn towards(mut self, destinations: impl Iterator<Item = (String, Arc<dyn Renewed>)>) -> Self {
        self.endpoints.extend(destinations);
        self
    }

    /// Shows them. `created` is when the process started.
    pub(crate) fn show(&self, registry: &mut Registry, created: UnixNanos) {
        let mut set = |metric, own: &[&str], value: Decimal| {
            let series = registry.series(metric, SetId::NONE, own, created);
            registry.set(series, value);
        };
        for (endpoint, tls) in &self.endpoints {
            let standing = tls.standing();
            for (result, count) in [("ok", standing.taken), ("error", standing.failed)] {
                set(MetricId::TlsReloads, &[endpoint, result], count.into());
            }
            set(MetricId::TlsReloadGood, &[endpoint], u64::from(standing.is_last_good).into());
            for (file, seconds) in standing.ends {
                set(MetricId::TlsExpiry, &[endpoint, file], seconds.into());
            }
        }
    }
}
