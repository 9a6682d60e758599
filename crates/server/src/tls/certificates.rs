//! The certificates of every port and towards every destination, for the page of metrics: when they end, and
//! how reading those of ports again goes. Those towards destinations are read at the start alone.

use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_stitch::UnixNanos;

use super::{Ends, ServerTls};
use crate::export::{MetricId, Registry, SetId};

/// The TLS of each port that has a certificate, and the files towards each destination that has some, by the
/// value of the label `endpoint`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Certificates {
    ports: Vec<(&'static str, Arc<ServerTls>)>,
    destinations: Vec<(String, Ends)>,
}

impl Certificates {
    /// Those of these ports.
    pub(crate) fn of<const PORTS: usize>(ports: [(&'static str, Option<&Arc<ServerTls>>); PORTS]) -> Self {
        let with_tls = ports.into_iter().filter_map(|(endpoint, tls)| Some((endpoint, Arc::clone(tls?))));
        Self { ports: with_tls.collect(), destinations: Vec::new() }
    }

    /// With those towards destinations, by their names.
    pub(crate) fn towards(self, destinations: impl Iterator<Item = (String, Ends)>) -> Self {
        Self { destinations: destinations.collect(), ..self }
    }

    /// Shows them. `created` is when the process started.
    pub(crate) fn show(&self, registry: &mut Registry, created: UnixNanos) {
        let mut set = |metric, own: &[&str], value: Decimal| {
            let series = registry.series(metric, SetId::NONE, own, created);
            registry.set(series, value);
        };
        for (endpoint, tls) in &self.ports {
            let standing = tls.standing();
            for (result, count) in [("ok", standing.taken), ("error", standing.failed)] {
                set(MetricId::TlsReloads, &[endpoint, result], count.into());
            }
            set(MetricId::TlsReloadGood, &[endpoint], u64::from(standing.is_last_good).into());
            if let Some(seconds) = standing.ends_at {
                set(MetricId::TlsExpiry, &[endpoint, "cert_file"], seconds.into());
            }
        }
        for (name, ends) in &self.destinations {
            for (file, seconds) in ends {
                set(MetricId::TlsExpiry, &[name, file], (*seconds).into());
            }
        }
    }
}
