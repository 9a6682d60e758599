//! The product against a second stitcher, slow and obvious, on traffic made from seeds.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "scenarios/found.rs"]
mod found;
#[path = "oracle/run.rs"]
mod run;

use std::collections::BTreeMap;
use std::fmt::Debug;

use proptest::prelude::*;
use spantally_tests::oracle::Random;
use spantally_tests::oracle::naive;
use spantally_tests::oracle::workload::workload;
use spantally_tests::scenario::expect::{Block, difference, reduce};
use spantally_tests::scenario::otlp::Exporter;
use spantally_tests::scenario::{Scenario, Span};

use self::found::Names;
use self::run::{Arrival, End, Rules};

/// Seeds that once failed: they stay.
const FAILED_ONCE: [u64; 0] = [];
const SEEDS: u64 = 60;
const JOBS: usize = 40;

/// The end of a workload whose spans all come in order, before any time passes.
fn in_order(rules: &Rules, scenario: &Scenario) -> End {
    let spans: Vec<&Span> = scenario.spans().collect();
    rules.run(scenario, &[Arrival::Spans(spans)])
}

fn blocks(scenario: &Scenario, end: &End, expected: &[Block]) -> Vec<Block> {
    let names = Names::new(scenario, Exporter::new(scenario, ""));
    let own = end.jobs.values().filter(|settled| names.has(&settled.job));
    let mut found: Vec<Block> = own.map(|settled| names.block(settled, scenario)).collect();
    reduce(&mut found, expected);
    found
}

#[test]
fn the_stitcher_agrees_with_the_oracle() {
    let rules = Rules::new();
    for seed in FAILED_ONCE.into_iter().chain(0..SEEDS) {
        let scenario = workload(seed, JOBS);
        let expected = naive::jobs(&scenario);
        assert!(expected.len() > JOBS / 2, "seed {seed} makes only {} jobs", expected.len());
        let found = blocks(&scenario, &in_order(&rules, &scenario), &expected);
        if let Some(shown) = difference(&expected, &found) {
            panic!(
                "seed {seed}: - is what the oracle says, + is what the stitcher found\n{}",
                changed(&shown)
            );
        }
    }
}

/// The lines that differ, with the head of their job.
fn changed(shown: &str) -> String {
    let mut lines = shown.lines().filter(|line| line.starts_with("  -") || line.starts_with("  +"));
    lines.by_ref().take(40).collect::<Vec<_>>().join("\n")
}

/// The oracle is no fool: what one change does to a workload, it sees.
#[test]
fn the_oracle_sees_a_missing_retry() {
    let seed =
        (0..10_000).find(|&seed| naive::jobs(&workload(seed, JOBS)).iter().any(|job| job.rest.len() == 2));
    let mut scenario = workload(seed.unwrap(), JOBS);
    let before = naive::jobs(&scenario);
    let two = before.iter().find(|job| job.rest.len() == 2).unwrap();
    let second = two.rest[1].values.get("submit").or(two.rest[1].values.get("sync")).unwrap().clone();
    scenario.steps.retain(|step| match step {
        spantally_tests::scenario::Step::Span(span) => span.label != second,
        spantally_tests::scenario::Step::Advance(_) => true,
    });
    assert_ne!(naive::jobs(&scenario), before);
}

/// The spans of a workload in any order, some of them again, in batches of any size, with time passing
/// between.
fn arrivals(scenario: &Scenario, seed: u64) -> Vec<Arrival<'_>> {
    let mut random = Random::new(seed);
    let mut spans: Vec<&Span> = scenario.spans().collect();
    let again: Vec<&Span> = spans.iter().copied().filter(|_| random.below(5) == 0).collect();
    spans.extend(again);
    match random.below(3) {
        0 => random.shuffle(&mut spans),
        // By end, as processes export, with some much too late.
        1 => spans.sort_by_cached_key(|span| {
            span.start_ns + span.took_ns + random.below(20) / 19 * 600_000_000_000
        }),
        _ => spans.reverse(),
    }
    let mut arrivals = Vec::new();
    let mut now = 0;
    let mut rest = &spans[..];
    while !rest.is_empty() {
        let (batch, after) = rest.split_at((1 + random.below(60) as usize).min(rest.len()));
        arrivals.push(Arrival::Spans(batch.to_vec()));
        rest = after;
        now += [0, 1, 20, 45, 200][random.below(5) as usize];
        arrivals.push(Arrival::Seconds(now));
    }
    arrivals
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Order, repetition, batches and the passing of time change no job, no charge, no counter and no sum of
    /// the ledger.
    #[test]
    fn arrival_changes_nothing(seed in 0_u64..1_000_000, order in 0_u64..1_000_000) {
        same_end(seed, order);
    }
}

/// Equality that shows the first difference only.
#[track_caller]
fn assert_same<K: Ord + Debug, V: PartialEq + Debug>(
    what: &str,
    found: &BTreeMap<K, V>,
    expected: &BTreeMap<K, V>,
) {
    for key in found.keys().chain(expected.keys()) {
        assert_eq!(found.get(key), expected.get(key), "{what}: {key:?}");
    }
}

fn same_end(seed: u64, order: u64) {
    let rules = Rules::new();
    let scenario = workload(seed, JOBS);
    let expected = in_order(&rules, &scenario);
    let found = rules.run(&scenario, &arrivals(&scenario, order));
    let what = format!("workload {seed}, arrival {order}");
    for (id, job) in &expected.documents {
        assert_eq!(found.documents.get(id), Some(job), "{what}: job {id}");
    }
    assert_eq!(found.documents.len(), expected.documents.len(), "{what}: number of jobs");
    assert_same(&format!("{what}: counters"), &found.counters, &expected.counters);
    assert_same(&format!("{what}: sums of the ledger"), &found.ledger, &expected.ledger);
}
