//! Every situation of `tests/scenarios/` through the product, in every order.
//!
//! A scenario is replayed as its file tells it, backwards, shuffled, each span as a request of its own,
//! everything repeated, and with the HTTP attributes of older instrumentations. All must give the jobs that
//! the file expects: jobs are a function of the set of spans. Only the revision, which counts how often a job
//! was told, depends on when its spans came.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod found;
mod replay;
mod tenants;

use proptest::prelude::*;
use spantally_tests::scenario::expect::{Block, difference, reduce};
use spantally_tests::scenario::otlp::{Convention, Exporter};
use spantally_tests::scenario::{Scenario, Span, directory, read_all};

use self::found::Names;
use self::replay::{Event, Rules, as_told, requests};

const SHUFFLE_SEEDS: [u64; 3] = [1, 2, 3];

const HOW_TO_READ: &str = "  - is what the file expects, + is what was found. How files are written and compared: \
                           tests/scenarios/README.md";

/// How the spans of a scenario come.
fn arrivals(scenario: &Scenario) -> Vec<(String, Vec<Event>)> {
    let exporter = Exporter::new(scenario, "");
    let spans: Vec<&Span> = scenario.spans().collect();
    let backwards: Vec<&Span> = spans.iter().rev().copied().collect();
    let told = as_told(scenario, exporter);
    let each = requests(exporter, &spans, 1);
    let twice = each.iter().flat_map(|event| [event.clone(), event.clone()]).chain(each.clone()).collect();
    let mut arrivals = vec![
        ("as told".to_owned(), told),
        ("all at once".to_owned(), requests(exporter, &spans, usize::MAX)),
        ("backwards".to_owned(), requests(exporter, &backwards, usize::MAX)),
        ("span by span".to_owned(), each),
        ("everything three times".to_owned(), twice),
    ];
    for convention in [Convention::Old, Convention::Both] {
        let events = requests(exporter.with(convention), &spans, usize::MAX);
        arrivals.push((format!("{convention:?} HTTP attributes"), events));
    }
    for seed in SHUFFLE_SEEDS {
        let mut shuffled = spans.clone();
        shuffled.sort_by_cached_key(|span| scramble(seed, exporter.span_id(&span.label)));
        arrivals.push((format!("shuffled, seed {seed}"), requests(exporter, &shuffled, 3)));
    }
    arrivals
}

/// An order without pattern: SplitMix64's last step over the span's id.
fn scramble(seed: u64, span: [u8; 8]) -> u64 {
    let mut mixed = u64::from_be_bytes(span) ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What a replay of `events` gives of a scenario, less what its file does not speak of.
fn blocks(rules: &Rules, scenario: &Scenario, exporter: Exporter<'_>, events: &[Event]) -> Vec<Block> {
    let names = Names::new(scenario, exporter);
    let jobs = rules.jobs(events);
    let own = jobs.iter().filter(|settled| names.has(&settled.job));
    let mut found: Vec<Block> = own.map(|settled| names.block(settled, scenario)).collect();
    reduce(&mut found, &scenario.expected);
    found
}

fn without_revisions(blocks: &[Block]) -> Vec<Block> {
    let mut blocks = blocks.to_vec();
    for block in &mut blocks {
        block.job.values.remove("revision");
    }
    blocks.sort();
    blocks
}

/// How a scenario differs from its file, by the first arrival that does; none when it holds.
fn failure(scenario: &Scenario) -> Option<String> {
    let rules = Rules::new([scenario]);
    let exporter = Exporter::new(scenario, "");
    for (position, (arrival, events)) in arrivals(scenario).iter().enumerate() {
        let found = blocks(&rules, scenario, exporter, events);
        let shown = if position == 0 {
            difference(&scenario.expected, &found)
        } else {
            difference(&without_revisions(&scenario.expected), &without_revisions(&found))
        };
        if let Some(shown) = shown {
            return Some(format!("{}.txt, spans {arrival}:\n{shown}", scenario.name));
        }
    }
    None
}

#[test]
fn every_scenario_holds_in_every_order() {
    let scenarios = read_all(&directory()).unwrap();
    let failures: Vec<String> = scenarios.iter().filter_map(failure).collect();
    let count = failures.len();
    assert!(failures.is_empty(), "{count} scenarios do not hold\n\n{}\n{HOW_TO_READ}", failures.join("\n"));
}

/// Known shortcomings: what their files expect is right, and is not found yet.
#[test]
fn an_open_scenario_that_holds_moves_up() {
    let open = read_all(&directory().join("open")).unwrap();
    let holding: Vec<&str> =
        open.iter().filter(|scenario| failure(scenario).is_none()).map(|open| open.name.as_str()).collect();
    assert!(holding.is_empty(), "these hold now: move them from open/ up to tests/scenarios/: {holding:?}");
}

/// The table of situations has forty rows, and each has its file.
#[test]
fn every_situation_has_a_scenario() {
    let mut scenarios = read_all(&directory()).unwrap();
    scenarios.extend(read_all(&directory().join("open")).unwrap());
    let has = |row: &u32| {
        let start = format!("{row:02}-");
        scenarios.iter().any(|scenario| scenario.name.starts_with(&start))
    };
    let missing: Vec<u32> = (1..=40).filter(|row| !has(row)).collect();
    assert!(missing.is_empty(), "no tests/scenarios/NN-*.txt for situations {missing:?}");
}

/// Scenarios whose submits are equal: which of them made the task that is polled is a guess. In a lane of its
/// own the learned rhythm decides it one way, beside neighbours that poll otherwise another; outcomes, causes
/// and money are the same.
const GUESSES: [&str; 2] = ["11-submitted-twice", "11-three-clicks"];

/// Services side by side, all at the same moment, have the jobs that each has by itself.
#[test]
fn services_do_not_disturb_one_another() {
    let all = scenarios();
    let mut failures = Vec::new();
    for scenarios in all.windows(4) {
        let scenarios: Vec<&Scenario> = scenarios.iter().collect();
        let rules = Rules::new(scenarios.iter().copied());
        let events: Vec<Event> = scenarios.iter().flat_map(|scenario| exported(scenario)).collect();
        for (scenario, mut found) in scenarios.iter().zip(merged(&rules, &scenarios, &events)) {
            // They are neighbours all the same.
            if GUESSES.contains(&&*scenario.name) {
                continue;
            }
            reduce(&mut found, &scenario.expected);
            let shown = difference(&without_revisions(&scenario.expected), &found);
            failures.extend(shown.map(|shown| format!("{}.txt beside others:\n{shown}", scenario.name)));
        }
    }
    assert!(failures.is_empty(), "{}\n{HOW_TO_READ}", failures.join("\n"));
}

/// The spans of a scenario as a service of its own.
fn exported(scenario: &Scenario) -> Vec<Event> {
    let spans: Vec<&Span> = scenario.spans().collect();
    requests(Exporter::new(scenario, &scenario.name), &spans, 2)
}

/// A few scenarios of different services in one stream, some of their requests twice.
fn streams(count: usize) -> impl Strategy<Value = (Vec<usize>, Vec<prop::sample::Index>, Vec<bool>)> {
    (
        prop::sample::subsequence((0..count).collect::<Vec<_>>(), 2..=4),
        prop::collection::vec(any::<prop::sample::Index>(), 200),
        prop::collection::vec(any::<bool>(), 32),
    )
}

/// The jobs of several scenarios in one stream, in the words of each scenario.
fn merged(rules: &Rules, scenarios: &[&Scenario], events: &[Event]) -> Vec<Vec<Block>> {
    let exporters = scenarios.iter().map(|scenario| Exporter::new(scenario, &scenario.name));
    let jobs = rules.jobs(events);
    let show = |(scenario, exporter): (&&Scenario, Exporter<'_>)| {
        let names = Names::new(scenario, exporter);
        let own = jobs.iter().filter(|settled| names.has(&settled.job));
        let blocks: Vec<Block> = own.map(|settled| names.block(settled, scenario)).collect();
        without_revisions(&blocks)
    };
    scenarios.iter().zip(exporters).map(show).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Order, batches and repetition of a stream of several services change no job in it.
    #[test]
    fn interleaving_changes_no_job((chosen, order, again) in streams(scenarios().len())) {
        let all = scenarios();
        let scenarios: Vec<&Scenario> = chosen.iter().map(|&at| &all[at]).collect();
        let rules = Rules::new(scenarios.iter().copied());
        let mut events: Vec<Event> = scenarios.iter().flat_map(|scenario| exported(scenario)).collect();
        let expected = merged(&rules, &scenarios, &events);
        for (at, index) in order.iter().enumerate().take(events.len()) {
            let other = index.index(events.len());
            events.swap(at, other);
        }
        let repeated = events.iter().zip(again).filter(|(_, again)| *again).map(|(event, _)| event.clone());
        let repeated: Vec<Event> = repeated.collect();
        events.extend(repeated);
        let found = merged(&rules, &scenarios, &events);
        for ((scenario, expected), found) in scenarios.iter().zip(&expected).zip(&found) {
            let shown = difference(expected, found);
            prop_assert!(shown.is_none(), "{}.txt:\n{}\n{HOW_TO_READ}", scenario.name, shown.unwrap());
        }
    }
}

/// Scenarios for a merged stream: small ones, and none whose submits nobody saw, for its polls may be
/// anyone's.
fn scenarios() -> Vec<Scenario> {
    let mut scenarios = read_all(&directory()).unwrap();
    scenarios.retain(|scenario| scenario.spans().count() < 100 && !scenario.name.starts_with("38-"));
    scenarios
}
