use std::collections::BTreeMap;

use proptest::prelude::*;
use rust_decimal::Decimal;
use spantally_stitch::{JobId, SpanId, TraceId};
use spantally_store::CounterRow;

use super::*;
use crate::export::accept::Escaping;
use crate::export::{Exemplar, Format, LabelSets, MetricId, Pages, Registry, SeriesId, SetId};

const MINUTE: Duration = Duration::from_mins(1);
const OPENMETRICS: Format = Format::OpenMetrics(Escaping::Unnamed);

fn at(seconds: u64) -> UnixNanos {
    UnixNanos(seconds * 1_000_000_000)
}

fn registry() -> Registry {
    let mut registry = Registry::new(LabelSets::new(9, &[]));
    registry.hold_new_series(MINUTE);
    registry
}

fn calls(registry: &mut Registry, call: &str) -> SeriesId {
    registry.series(MetricId::Calls, SetId::NONE, &[call, "2xx"], at(1))
}

/// The page that a scraper sees so many seconds after the start, which was at 100.
fn scraped(pages: &mut Pages, registry: &mut Registry, seconds: u64) -> String {
    pages.look(registry);
    let scrape = Scrape { began: at(100), at: at(100 + seconds) };
    String::from_utf8(pages.write_scraped(scrape, OPENMETRICS, &[]).to_vec()).unwrap()
}

fn whole(pages: &mut Pages, registry: &mut Registry) -> String {
    pages.look(registry);
    String::from_utf8(pages.write(OPENMETRICS, &[]).to_vec()).unwrap()
}

/// The calls of a kind on a page.
fn counted(page: &str, call: &str) -> Option<Decimal> {
    let begin = format!("spantally_calls_total{{call=\"{call}\",status=\"2xx\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&begin)).map(|value| value.parse().unwrap())
}

#[test]
fn every_scraper_sees_a_zero_before_the_first_value() {
    let (mut registry, mut pages) = (registry(), Pages::new());
    let submits = calls(&mut registry, "submit");
    registry.add(submits, Decimal::from(5));
    // a second scraper half a minute behind the first, and somebody who looks by hand
    for (seconds, wanted) in [(10, 0), (40, 0), (69, 0), (70, 5), (100, 5)] {
        assert_eq!(counted(&whole(&mut pages, &mut registry), "submit"), Some(Decimal::from(5)));
        let page = scraped(&mut pages, &mut registry, seconds);
        assert_eq!(counted(&page, "submit"), Some(Decimal::from(wanted)), "after {seconds} s");
    }
    // what is new waits again, what is known goes on
    let polls = calls(&mut registry, "poll");
    for id in [polls, submits] {
        registry.add(id, Decimal::ONE);
    }
    for (seconds, wanted) in [(115, [0, 6]), (130, [0, 6]), (175, [1, 6])] {
        let page = scraped(&mut pages, &mut registry, seconds);
        let found = ["poll", "submit"].map(|call| counted(&page, call));
        assert_eq!(found, wanted.map(|value| Some(Decimal::from(value))), "after {seconds} s");
    }
    assert_eq!(scraped(&mut pages, &mut registry, 180), whole(&mut pages, &mut registry));
}

#[test]
fn a_slow_scraper_sees_it_on_one_page() {
    let (mut registry, mut pages) = (registry(), Pages::new());
    scraped(&mut pages, &mut registry, 0);
    let submits = calls(&mut registry, "submit");
    registry.add(submits, Decimal::from(5));
    assert_eq!(counted(&scraped(&mut pages, &mut registry, 3600), "submit"), Some(Decimal::ZERO));
    assert_eq!(counted(&scraped(&mut pages, &mut registry, 7200), "submit"), Some(Decimal::from(5)));
}

#[test]
fn what_was_counted_long_before_the_first_scraper_is_no_news() {
    for (first, wanted) in [(600, 0), (601, 5)] {
        let (mut registry, mut pages) = (registry(), Pages::new());
        let submits = calls(&mut registry, "submit");
        registry.add(submits, Decimal::from(5));
        let page = scraped(&mut pages, &mut registry, first);
        assert_eq!(counted(&page, "submit"), Some(Decimal::from(wanted)), "after {first} s");
        let polls = calls(&mut registry, "poll");
        registry.add(polls, Decimal::ONE);
        assert_eq!(counted(&scraped(&mut pages, &mut registry, first + 5), "poll"), Some(Decimal::ZERO));
    }
}

#[test]
fn what_an_earlier_process_may_have_shown_is_not_held_back() {
    let (mut registry, mut pages) = (registry(), Pages::new());
    let row = CounterRow {
        name: MetricId::Calls.metric().name.into(),
        labels: "call=\"submit\",status=\"2xx\"".into(),
        value: "5".to_owned(),
        start_unix_nanos: 1,
    };
    registry.restore(&row).unwrap();
    registry.finish_restore();
    let polls = calls(&mut registry, "poll");
    registry.add(polls, Decimal::ONE);
    let page = scraped(&mut pages, &mut registry, 0);
    assert_eq!(counted(&page, "submit"), Some(Decimal::from(5)));
    assert_eq!(counted(&page, "poll"), Some(Decimal::ZERO));
}

#[test]
fn nothing_is_held_back_where_it_is_off_nor_of_the_server_and_of_gauges() {
    let (mut registry, mut pages) = (registry(), Pages::new());
    for (metric, own) in [(MetricId::OpenJobs, &[][..]), (MetricId::CommitGroups, &[][..])] {
        let id = registry.series(metric, SetId::NONE, own, at(1));
        registry.set(id, Decimal::from(7));
    }
    let submits = calls(&mut registry, "submit");
    registry.add(submits, Decimal::from(5));
    let page = scraped(&mut pages, &mut registry, 0);
    assert!(page.contains("\nspantally_open_jobs 7\n"), "{page}");
    assert!(page.contains("\nspantally_commit_groups_total 7\n"), "{page}");
    assert_eq!(counted(&page, "submit"), Some(Decimal::ZERO));

    registry.hold_new_series(Duration::ZERO);
    assert_eq!(scraped(&mut pages, &mut registry, 1), whole(&mut pages, &mut registry));
    let (mut registry, mut at_once) = (self::registry(), Pages::new());
    registry.hold_new_series(Duration::ZERO);
    let submits = calls(&mut registry, "submit");
    registry.add(submits, Decimal::from(5));
    assert_eq!(counted(&scraped(&mut at_once, &mut registry, 0), "submit"), Some(Decimal::from(5)));
}

#[test]
fn a_histogram_is_held_back_with_its_exemplars_in_every_format() {
    for format in [Format::Text, OPENMETRICS, Format::Protobuf(Escaping::Unnamed)] {
        let (mut registry, mut empty) = (registry(), registry());
        for registry in [&mut registry, &mut empty] {
            registry.series(MetricId::JobAttempts, SetId::NONE, &["succeeded"], at(1));
        }
        let id = registry.series(MetricId::JobAttempts, SetId::NONE, &["succeeded"], at(1));
        let value = Decimal::from(3);
        let (trace_id, span_id, job_id) = (TraceId([1; 16]), SpanId([2; 8]), JobId([3; 16]));
        registry.observe(id, value, Some(Exemplar { trace_id, span_id, job_id, value, at: at(101) }));
        let mut pages = Pages::new();
        pages.look(&mut registry);
        let mut page = |seconds: u64| {
            let scrape = Scrape { began: at(100), at: at(100 + seconds) };
            pages.write_scraped(scrape, format, &[]).to_vec()
        };
        let of = |registry: &Registry| Pages::of(registry).write(format, &[]).to_vec();
        assert_eq!(page(0), of(&empty), "{format:?}");
        assert_eq!(page(60), of(&registry), "{format:?}");
    }
}

/// What happens between two pages.
#[derive(Clone, Debug)]
enum Step {
    Count { call: u8, by: u32 },
    Scrape { later: u64, text: bool },
    Look,
    Whole,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..40, 1_u32..9).prop_map(|(call, by)| Step::Count { call, by }),
        4 => (0_u64..90, any::<bool>()).prop_map(|(later, text)| Step::Scrape { later, text }),
        1 => Just(Step::Look),
        2 => Just(Step::Whole),
    ]
}

/// The counters of a page by their labels.
fn counters(page: &[u8]) -> BTreeMap<String, Decimal> {
    let page = std::str::from_utf8(page).unwrap();
    let lines = page.lines().filter(|line| line.starts_with("spantally_calls_total{"));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, v)| (name.into(), v.parse().unwrap()))
        .collect()
}

fn booked(registry: &Registry) -> BTreeMap<String, Decimal> {
    counters(&Pages::of(registry).write(Format::Text, &[]).to_vec())
}

proptest! {
    /// For a minute a series is at zero, then it has its value; so nothing falls or is lost.
    #[test]
    fn a_scraper_sees_zero_then_the_value(steps in prop::collection::vec(step(), 1..80)) {
        let (mut registry, mut pages) = (registry(), Pages::new());
        let (mut now, mut first_seen) = (0, BTreeMap::<String, u64>::new());
        for step in steps {
            match step {
                Step::Count { call, by } => {
                    let id = calls(&mut registry, &format!("call_{call}"));
                    registry.add(id, Decimal::from(by));
                }
                Step::Look => pages.look(&mut registry),
                Step::Whole => {
                    let page = whole(&mut pages, &mut registry);
                    prop_assert_eq!(counters(page.as_bytes()), booked(&registry));
                }
                Step::Scrape { later, text } => {
                    now += later;
                    pages.look(&mut registry);
                    let scrape = Scrape { began: at(now), at: at(now) };
                    let format = if text { Format::Text } else { OPENMETRICS };
                    let shown = counters(&pages.write_scraped(scrape, format, &[]).to_vec());
                    let booked = booked(&registry);
                    prop_assert_eq!(shown.len(), booked.len());
                    for (name, value) in booked {
                        let first = *first_seen.entry(name.clone()).or_insert(now);
                        let wanted = if now >= first + 60 { value } else { Decimal::ZERO };
                        prop_assert_eq!(shown[&name], wanted, "{} at {}", name, now);
                    }
                }
            }
        }
    }
}
