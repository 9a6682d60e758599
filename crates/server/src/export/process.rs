//! What the operating system knows of this process, by the `prometheus` crate's collector.

use prometheus::core::Collector as _;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricType;

/// One metric of the process.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessMetric {
    /// Name without `_total`.
    pub name: String,
    /// One sentence.
    pub help: String,
    /// Whether it only rises.
    pub is_counter: bool,
    /// Its value.
    pub value: f64,
}

/// CPU time, memory, file descriptors and start time of this process, as they are now; empty where `/proc` is
/// not.
pub(crate) fn process_metrics() -> Vec<ProcessMetric> {
    let families = ProcessCollector::for_self().collect();
    let read = |family: &prometheus::proto::MetricFamily| {
        let metric = family.get_metric().first()?;
        let is_counter = family.get_field_type() == MetricType::COUNTER;
        let value =
            if is_counter { metric.get_counter().get_value() } else { metric.get_gauge().get_value() };
        Some(ProcessMetric {
            name: family.name().trim_end_matches("_total").to_owned(),
            help: family.help().to_owned(),
            is_counter,
            value,
        })
    };
    families.iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_has_memory_and_open_files() {
        let metrics = process_metrics();
        for name in ["process_resident_memory_bytes", "process_open_fds"] {
            assert!(
                metrics.iter().any(|metric| metric.name == name && metric.value > 0.0),
                "{name}: {metrics:?}"
            );
        }
    }
}
