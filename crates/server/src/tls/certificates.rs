//! The certificates of every port, for the page of metrics: when they end, and how reading them again goes.

use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_stitch::UnixNanos;

use super::ServerTls;
use crate::export::{MetricId, Registry, SetId};

/// The TLS of each port that has a certificate, by the value of the label `endpoint`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Certificates(Vec<(&'static str, Arc<ServerTls>)>);

impl Certificates {
    /// Those of these ports.
    pub(crate) fn of<const PORTS: usize>(ports: [(&'static str, Option<&Arc<ServerTls>>); PORTS]) -> Self {
        Self(ports.into_iter().filter_map(|(endpoint, tls)| Some((endpoint, Arc::clone(tls?)))).collect())
    }

    /// Shows them. `created` is when the process started.
    pub(crate) fn show(&self, registry: &mut Registry, created: UnixNanos) {
        for (endpoint, tls) in &self.0 {
            let standing = tls.standing();
            let mut set = |metric, own: &[&str], value: Decimal| {
                let series = registry.series(metric, SetId::NONE, own, created);
                registry.set(series, value);
            };
            for (result, count) in [("ok", standing.taken), ("error", standing.failed)] {
                set(MetricId::TlsReloads, &[endpoint, result], count.into());
            }
            set(MetricId::TlsReloadGood, &[endpoint], u64::from(standing.is_last_good).into());
            if let Some(seconds) = standing.ends_at {
                set(MetricId::TlsExpiry, &[endpoint], seconds.into());
            }
        }
    }
}
