use super::*;

#[test]
fn the_table_is_consistent() {
    for (position, metric) in INVENTORY.iter().enumerate() {
        assert_eq!(metric.id as usize, position);
        assert_eq!(MetricId::named(metric.name), Some(metric.id));
        assert!(metric.help.ends_with('.'), "{}", metric.name);
        assert!(!metric.name.ends_with("_total"), "{}", metric.name);
        if let Some(unit) = metric.unit {
            assert!(metric.name.ends_with(&format!("_{unit}")), "OpenMetrics: {} / {unit}", metric.name);
        }
    }
}

#[test]
fn a_twin_is_a_counter_with_the_same_labels() {
    for metric in INVENTORY {
        let Some(twin) = metric.twin.map(MetricId::metric) else { continue };
        assert_eq!((metric.kind, twin.kind, twin.twin), (Counter, Counter, None));
        assert_eq!(twin.name, format!("{}_reversed", metric.name));
        assert_eq!(twin.common, metric.common);
        let names = |metric: &Metric| metric.labels.iter().map(|label| label.name).collect::<Vec<_>>();
        assert_eq!(names(twin), names(metric));
    }
}

#[test]
fn the_commit_histogram_has_the_bounds_that_the_commit_counts_by() {
    let Kind::Histogram(bounds) = MetricId::CommitDuration.metric().kind else { panic!("a histogram") };
    let bounds: Vec<f64> = bounds.iter().map(|bound| bound.parse().unwrap()).collect();
    assert_eq!(bounds, crate::commit::APPEND_SECONDS_BOUNDS);
}

#[test]
fn bucket_bounds_ascend() {
    for metric in INVENTORY {
        let Kind::Histogram(bounds) = metric.kind else { continue };
        let values: Vec<f64> = bounds.iter().map(|bound| bound.parse().unwrap()).collect();
        assert!(values.is_sorted_by(|a, b| a < b), "{}", metric.name);
    }
}

#[test]
fn what_the_ledger_counts_is_of_the_core_and_what_the_process_counts_is_not() {
    // What is forwarded and removed is counted elsewhere, and shown as it is.
    let elsewhere = |name: &str| name.starts_with("spantally_forward_") || name.contains("_removed_");
    for metric in INVENTORY.iter().filter(|metric| metric.kind != Gauge && !elsewhere(metric.name)) {
        assert_ne!(metric.id.is_of_core(), metric.id.is_of_process(), "{}", metric.name);
    }
    for metric in INVENTORY.iter().filter(|metric| metric.common) {
        assert!(metric.id.is_of_core(), "{}", metric.name);
    }
}
