use proptest::prelude::*;

use super::*;

const START: UnixNanos = UnixNanos(1_000_000_000);

fn registry() -> Registry {
    Registry::new(LabelSets::new(3, &[]))
}

fn common(model: &str) -> CommonLabels<'_> {
    CommonLabels {
        provider: "fal",
        model,
        operation: "text_to_image",
        service: "clips",
        tenant: "",
        extra: &[],
    }
}

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

#[test]
fn a_first_increment_brings_every_known_combination_and_its_twin_into_being_at_zero() {
    let mut registry = registry();
    let set = registry.intern(&common("flux"));
    let id = registry.series(MetricId::Cost, set, &["USD", "retry", "assumed"], START);
    registry.add(id, dec("0.025"));
    let causes = spantally_stitch::Cause::ALL.len();
    for (metric, sum) in [(MetricId::Cost, "0.025"), (MetricId::CostReversed, "0")] {
        let values: Vec<_> = registry.values(metric).map(|(_, value)| value).collect();
        assert_eq!(values.len(), causes * 3);
        assert_eq!(values.iter().sum::<Decimal>(), dec(sum));
    }
}

#[test]
fn what_is_taken_back_rises_in_the_twin() {
    let mut registry = registry();
    let set = registry.intern(&common("flux"));
    let id = registry.series(MetricId::Cost, set, &["USD", "retry", "assumed"], START);
    registry.add(id, dec("3"));
    registry.add(id, dec("-1.5"));
    let twin = registry.series(MetricId::CostReversed, set, &["USD", "retry", "assumed"], START);
    assert_eq!((registry.value(id), registry.value(twin)), (dec("3"), dec("1.5")));
}

#[test]
fn past_the_limit_sums_by_cause_stay_exact() {
    let mut registry = registry();
    for model in ["a", "b", "c", "d", "e"] {
        let set = registry.intern(&common(model));
        let id = registry.series(MetricId::Cost, set, &["USD", "retry", "documented"], START);
        registry.add(id, dec("1"));
    }
    let retry = registry.values(MetricId::Cost).filter(|(labels, _)| labels.contains("cause=\"retry\""));
    assert_eq!(retry.map(|(_, value)| value).sum::<Decimal>(), dec("5"));
    let overflow = registry.values(MetricId::Cost).find(|(labels, _)| {
        *labels == r#"otel_metric_overflow="true",currency="USD",cause="retry",basis="documented""#
    });
    assert_eq!(overflow.map(|(_, value)| value), Some(dec("2")));
    assert_eq!(registry.sets().overflowed(), 2);
}

#[test]
fn a_value_on_a_bound_belongs_to_its_bucket() {
    let mut registry = registry();
    let set = registry.intern(&common("flux"));
    let id = registry.series(MetricId::JobAttempts, set, &["succeeded"], START);
    for value in ["1", "2", "2", "21"] {
        registry.observe(id, dec(value), None);
    }
    let Value::Histogram(histogram) = &registry.series_mut(id).value else { panic!("a histogram") };
    assert_eq!(*histogram.counts, [1, 2, 0, 0, 0, 0, 0, 1]);
    assert_eq!(histogram.sum, dec("26"));
}

#[test]
fn saved_series_come_back_as_they_were_and_only_changes_are_saved() {
    let mut before = registry();
    let set = before.intern(&common("flux"));
    let cost = before.series(MetricId::Cost, set, &["USD", "retry", "assumed"], START);
    before.add(cost, dec("3.10"));
    before.add(cost, dec("-1.50"));
    let duration = before.series(MetricId::JobDuration, set, &["succeeded"], START);
    before.observe(duration, dec("12.25"), None);
    let open = before.series(MetricId::OpenJobs, set, &[], START);
    before.set(open, dec("4"));

    let saved = before.take_changed();
    assert!(saved.iter().all(|row| &*row.name != "spantally_open_jobs"), "gauges are computed anew");
    assert_eq!(before.take_changed(), []);

    let mut after = registry();
    // Any order: a twin may come before the counter that it belongs to.
    for row in saved.iter().rev() {
        let id = after.restore(row).unwrap().unwrap();
        assert_eq!(after.key(id), stable_hash(&[&row.name, &row.labels]));
    }
    for metric in [MetricId::Cost, MetricId::CostReversed, MetricId::JobDuration] {
        assert!(before.values(metric).eq(after.values(metric)), "{metric:?}");
    }
    let histograms = |registry: &Registry| {
        let of = |series: &Series| match &series.value {
            Value::Histogram(histogram) => histogram.native.clone(),
            Value::Number(_) => None,
        };
        registry.families[MetricId::JobDuration as usize].series.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(histograms(&after), histograms(&before));
    assert!(histograms(&after)[0].as_ref().is_some_and(|native| !native.counts.is_empty()));
    let set = after.intern(&common("flux"));
    let again = after.series(MetricId::Cost, set, &["USD", "retry", "assumed"], UnixNanos(9));
    assert_eq!(after.value(again), dec("3.1"));
    assert_eq!(after.families[MetricId::Cost as usize].series[again.index as usize].created, START);
}

#[test]
fn a_damaged_counter_is_an_error_that_names_it() {
    let row = |name: &str, value: &str| CounterRow {
        name: name.into(),
        labels: "provider=\"fal\"".into(),
        value: value.into(),
        start_unix_nanos: 1,
    };
    let error = registry().restore(&row("spantally_cost", "1.2.3")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "counter spantally_cost{provider=\"fal\"} in the ledger has the value \"1.2.3\"; \
         expected a decimal number"
    );
    for value in ["1 2 3", "1 0 0 0 0 0 0 0 0 | x"] {
        assert!(registry().restore(&row("spantally_job_attempts", value)).is_err(), "{value}");
    }
    assert_eq!(registry().restore(&row("spantally_of_a_later_version", "1")), Ok(None));
}

#[test]
fn the_stable_key_never_changes() {
    // FNV-1a of "a\0" by hand: it is written to disk.
    assert_eq!(stable_hash(&["a"]), 0x089b_e207_b544_f1e4);
    assert_ne!(stable_hash(&["ab", "c"]), stable_hash(&["a", "bc"]));
}

proptest! {
    #[test]
    fn the_order_of_arrival_does_not_show(mut models in prop::collection::vec("[a-d]{1,2}", 1..12)) {
        let page = |models: &[String]| {
            let mut registry = Registry::new(LabelSets::new(100, &[]));
            for model in models {
                let set = registry.intern(&common(model));
                let id = registry.series(MetricId::Jobs, set, &["failed"], START);
                registry.add(id, Decimal::ONE);
            }
            let owned = |(labels, value): (&str, Decimal)| (labels.to_owned(), value);
            registry.values(MetricId::Jobs).map(owned).collect::<Vec<_>>()
        };
        let first = page(&models);
        models.reverse();
        prop_assert_eq!(first, page(&models));
    }
}
