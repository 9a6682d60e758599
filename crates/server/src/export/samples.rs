//! The page sample by sample, for who keeps its history and not its text.

use rust_decimal::Decimal;

use super::family::{SeriesId, Value};
use super::inventory::Kind;
use super::labels::push_label;
use super::series::Registry;

/// Which sample of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Of a counter or a gauge there is one.
    Value,
    /// A bucket of a histogram, by its place; the last is `+Inf`.
    Bucket(u16),
    /// Sum of a histogram.
    Sum,
    /// Count of a histogram.
    Count,
}

impl Registry {
    /// Gives every sample to `visit`, in the order in which the series of a metric were made.
    pub fn visit_samples(&self, mut visit: impl FnMut(SeriesId, Part, Decimal)) {
        for family in self.families() {
            for (index, series) in family.series.iter().enumerate() {
                let id = SeriesId { metric: family.metric.id, index: index as u32 };
                match &series.value {
                    Value::Number(value) => visit(id, Part::Value, *value),
                    Value::Histogram(histogram) => {
                        let mut count = 0;
                        for (place, here) in histogram.counts.iter().enumerate() {
                            count += here;
                            visit(id, Part::Bucket(place as u16), Decimal::from(count));
                        }
                        visit(id, Part::Sum, histogram.sum);
                        visit(id, Part::Count, Decimal::from(count));
                    }
                }
            }
        }
    }

    /// Name and labels (without braces) of a sample, as Prometheus has them after a scrape of OpenMetrics.
    pub fn sample_name(&self, id: SeriesId, part: Part) -> (String, String) {
        let metric = id.metric.metric();
        let suffix = match (part, metric.kind) {
            (Part::Value, Kind::Counter) => "_total",
            (Part::Value, _) => "",
            (Part::Bucket(_), _) => "_bucket",
            (Part::Sum, _) => "_sum",
            (Part::Count, _) => "_count",
        };
        let mut labels = self.labels(id).to_owned();
        if let (Part::Bucket(place), Kind::Histogram(bounds)) = (part, metric.kind) {
            let bound = bounds.get(usize::from(place)).copied().unwrap_or("+Inf");
            let point = if bound.contains(['.', '+']) { "" } else { ".0" };
            push_label(&mut labels, "le", &[bound, point].concat());
        }
        ([metric.name, suffix].concat(), labels)
    }
}
