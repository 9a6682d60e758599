//! How a limit stands, as the three series that every limit has.

use rust_decimal::Decimal;
use spantally_stitch::UnixNanos;

use super::{MetricId, Registry, SetId};
use crate::limits::Limit;

/// How a limit stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) limit: Limit,
    /// How much there may be.
    pub(crate) max: u64,
    /// How much there is, where that is one number.
    pub(crate) used: Option<u64>,
    /// How often it was met since the process began.
    pub(crate) reached: u64,
}

impl Standing {
    /// Shows it. `created` is when the process started.
    pub(crate) fn show(self, registry: &mut Registry, created: UnixNanos) {
        let Self { limit, max, used, reached } = self;
        let values = [
            (MetricId::Limit, Some(max)),
            (MetricId::LimitUsed, used),
            (MetricId::LimitReached, Some(reached)),
        ];
        for (metric, value) in values {
            let Some(value) = value else { continue };
            let series = registry.series(metric, SetId::NONE, &[limit.as_str()], created);
            registry.set(series, Decimal::from(value));
        }
    }
}
