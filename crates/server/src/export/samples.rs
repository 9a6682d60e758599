//! The page series by series, for who keeps its history and not its text.

use rust_decimal::Decimal;

use super::family::{SeriesId, Value};
use super::inventory::Kind;
use super::labels::push_label;
use super::series::Registry;

impl Registry {
    /// Gives every series to `visit`, those of a metric in the order in which they were made, each with its
    /// samples: one value, or the buckets of a histogram, its sum and its count.
    pub fn visit_series(&self, mut visit: impl FnMut(SeriesId, &[Decimal])) {
        let mut samples = Vec::new();
        for family in self.families() {
            for (index, series) in family.series.iter().enumerate() {
                samples.clear();
                match &series.value {
                    Value::Number(value) => samples.push(*value),
                    Value::Histogram(histogram) => {
                        let mut count = 0;
                        samples.extend(histogram.counts.iter().map(|here| {
                            count += here;
                            Decimal::from(count)
                        }));
                        samples.extend([histogram.sum, Decimal::from(count)]);
                    }
                }
                visit(SeriesId { metric: family.metric.id, index: index as u32 }, &samples);
            }
        }
    }

    /// Name and labels (without braces) of the samples of a series, as Prometheus has them after a scrape of
    /// OpenMetrics, in the order of [`Self::visit_series`].
    pub fn sample_names(&self, id: SeriesId) -> Vec<(String, String)> {
        let metric = id.metric.metric();
        let labels = self.labels(id);
        let with_suffix = |suffix: &str| ([metric.name, suffix].concat(), labels.to_owned());
        let bounds = match metric.kind {
            Kind::Counter => return vec![with_suffix("_total")],
            Kind::Gauge => return vec![with_suffix("")],
            Kind::Histogram(bounds) => bounds,
        };
        let mut names = Vec::with_capacity(bounds.len() + 3);
        for bound in bounds.iter().copied().chain(["+Inf"]) {
            let (name, mut labels) = with_suffix("_bucket");
            let point = if bound.contains(['.', '+']) { "" } else { ".0" };
            push_label(&mut labels, "le", &[bound, point].concat());
            names.push((name, labels));
        }
        names.extend(["_sum", "_count"].map(with_suffix));
        names
    }
}

#[cfg(test)]
mod tests {
    use spantally_stitch::UnixNanos;

    use crate::export::{LabelSets, MetricId, Registry, SetId};

    #[test]
    fn a_histogram_is_its_buckets_its_sum_and_its_count() {
        let mut registry = Registry::new(LabelSets::new(9, &[]));
        let checkpoints = registry.series(MetricId::CheckpointDuration, SetId::NONE, &[], UnixNanos(1));
        registry.observe(checkpoints, "0.2".parse().unwrap(), None);
        let names = registry.sample_names(checkpoints);
        let mut shown = Vec::new();
        registry.visit_series(|id, samples| {
            assert_eq!((id, samples.len()), (checkpoints, names.len()));
            shown.extend(samples.iter().map(ToString::to_string));
        });
        assert_eq!(shown, ["0", "0", "0", "0", "0", "0", "0", "1", "1", "1", "1", "1", "1", "0.2", "1"]);
        assert_eq!(names[7].1, "le=\"0.25\"");
        assert_eq!(names[9].1, "le=\"1.0\"");
        assert_eq!(names[14].0, "spantally_checkpoint_duration_seconds_count");
    }
}
