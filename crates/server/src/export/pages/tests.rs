use proptest::prelude::*;
use rust_decimal::Decimal;
use spantally_stitch::{JobId, SpanId, TraceId, UnixNanos};

use super::super::accept::Escaping;
use super::*;
use crate::export::{CommonLabels, Exemplar, LabelSets, MetricId, SetId};

const START: UnixNanos = UnixNanos(1_795_168_800_500_000_000);
const FORMATS: [Format; 3] =
    [Format::Text, Format::OpenMetrics(Escaping::Unnamed), Format::Protobuf(Escaping::Unnamed)];

/// What may happen to a registry between two scrapes.
#[derive(Clone, Debug)]
enum Step {
    Add { model: u8, amount: i64 },
    Observe { model: u8, value: u32, exemplar: bool },
    Open { model: u8, jobs: u32 },
    Zero,
    Shares { models: u8 },
    Native(bool),
    Scrape { format: usize, kept: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let model = 0_u8..6;
    prop_oneof![
        4 => (model.clone(), -500_i64..100_000).prop_map(|(model, amount)| Step::Add { model, amount }),
        4 => (model.clone(), 0_u32..40, any::<bool>())
            .prop_map(|(model, value, exemplar)| Step::Observe { model, value, exemplar }),
        2 => (model.clone(), 0_u32..1000).prop_map(|(model, jobs)| Step::Open { model, jobs }),
        1 => Just(Step::Zero),
        1 => (0_u8..4).prop_map(|models| Step::Shares { models }),
        1 => any::<bool>().prop_map(Step::Native),
        6 => (0_usize..3, any::<bool>()).prop_map(|(format, kept)| Step::Scrape { format, kept }),
    ]
}

fn set_of(registry: &mut Registry, model: u8) -> SetId {
    let model = format!("model \"{model}\" # {{x=\"y\"}} 1\n");
    registry.intern(&CommonLabels {
        provider: "fal",
        model: &model,
        operation: "",
        service: "clips",
        tenant: "",
        extra: &[],
    })
}

fn apply(registry: &mut Registry, step: &Step) {
    match *step {
        Step::Add { model, amount } => {
            let set = set_of(registry, model);
            let id = registry.series(MetricId::CostBound, set, &["USD", "max"], START);
            registry.add(id, Decimal::new(amount, 3));
        }
        Step::Observe { model, value, exemplar } => {
            let set = set_of(registry, model);
            let id = registry.series(MetricId::JobAttempts, set, &["succeeded"], START);
            let exemplar = exemplar.then(|| Exemplar {
                trace_id: TraceId([model; 16]),
                span_id: SpanId([0xcd; 8]),
                job_id: JobId([0x5c; 16]),
                value: Decimal::from(value),
                at: UnixNanos(START.0 + u64::from(value) * 1_234_567),
            });
            registry.observe(id, Decimal::from(value), exemplar);
        }
        Step::Open { model, jobs } => {
            let set = set_of(registry, model);
            let id = registry.series(MetricId::OpenJobs, set, &[], START);
            registry.set(id, Decimal::from(jobs));
        }
        Step::Zero => registry.zero(MetricId::OpenJobs),
        Step::Shares { models } => {
            registry.clear(MetricId::RetryCostRatio);
            for model in 0..models {
                let own = ["fal", &model.to_string(), "USD", "5m"];
                let id = registry.series(MetricId::RetryCostRatio, SetId::NONE, &own, START);
                registry.set(id, Decimal::new(i64::from(models), 2));
            }
        }
        Step::Native(shown) => registry.show_native_histograms(shown),
        Step::Scrape { .. } => {}
    }
}

fn process(value: f64) -> Vec<ProcessMetric> {
    let (name, help) = ("process_open_fds".to_owned(), "Open files.".to_owned());
    vec![ProcessMetric { name, help, is_counter: false, value }]
}

proptest! {
    /// Whatever changed, and whichever page was the last: it is the page that is written from nothing.
    #[test]
    fn a_page_made_from_the_one_before_is_the_page(steps in prop::collection::vec(step(), 1..60)) {
        let mut registry = Registry::new(LabelSets::new(4, &[]));
        let mut pages = Pages::new();
        let mut sent = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            apply(&mut registry, step);
            if let Step::Scrape { format, kept } = *step {
                let process = process([0.0, 9.5, 12345.0][number % 3]);
                pages.look(&mut registry);
                let page = pages.write(FORMATS[format], &process);
                let wanted = Pages::of(&registry).write(FORMATS[format], &process);
                prop_assert_eq!(page.to_vec(), wanted.to_vec(), "{:?}", FORMATS[format]);
                // A slow scraper has a page while later ones are written.
                if kept {
                    sent.push((page, wanted));
                }
            }
        }
        for (page, wanted) in sent {
            prop_assert_eq!(page.to_vec(), wanted.to_vec());
        }
    }
}

/// A thousand series, so that lengths take one, two and three bytes.
#[test]
fn families_grow_and_stay_right_in_every_format() {
    let mut registry = Registry::new(LabelSets::new(9, &[]));
    let mut pages = Pages::new();
    for calls in 0..1000 {
        let call = format!("call_{:03}", (calls * 7919) % 1000);
        let id = registry.series(MetricId::Calls, SetId::NONE, &[&call, "2xx"], START);
        registry.add(id, Decimal::from(calls));
        if calls % 97 == 0 {
            pages.look(&mut registry);
            for format in FORMATS {
                let wanted = Pages::of(&registry).write(format, &[]).to_vec();
                assert_eq!(pages.write(format, &[]).to_vec(), wanted, "{calls}");
            }
        }
    }
}

#[test]
fn a_format_that_nobody_asks_for_is_not_kept() {
    let mut registry = Registry::new(LabelSets::new(9, &[]));
    let mut pages = Pages::new();
    apply(&mut registry, &Step::Add { model: 1, amount: 5 });
    pages.look(&mut registry);
    pages.write(FORMATS[1], &[]);
    assert!(pages.whole.openmetrics.is_some());
    for _ in 0..KEPT_PAGES {
        pages.look(&mut registry);
        pages.write(Format::Text, &[]);
    }
    assert!(pages.whole.openmetrics.is_none() && pages.whole.text.is_some());
}

/// While the ledger cannot be written the server goes on to tell of itself, and of nothing else.
#[test]
fn what_is_not_of_the_core_can_be_shown_alone() {
    let mut registry = Registry::new(LabelSets::new(9, &[]));
    let mut pages = Pages::new();
    apply(&mut registry, &Step::Add { model: 1, amount: 5 });
    pages.look(&mut registry);
    let first = pages.write(Format::Text, &[]).to_vec();
    apply(&mut registry, &Step::Add { model: 1, amount: 5 });
    let failing = registry.series(MetricId::LedgerFailing, SetId::NONE, &[], START);
    registry.set(failing, Decimal::ONE);
    pages.look_at_server(&mut registry);
    let mut shown = String::from_utf8(pages.write(Format::Text, &[]).to_vec()).unwrap();
    assert!(shown.contains("spantally_ledger_failing 1\n"), "{shown}");
    let begin = shown.find("# HELP spantally_ledger_failing").unwrap();
    shown.replace_range(begin..shown.find("spantally_ledger_failing 1\n").unwrap() + 27, "");
    assert_eq!(shown.as_bytes(), first);
    pages.look(&mut registry);
    let caught_up = pages.write(Format::Text, &[]).to_vec();
    assert_eq!(caught_up, Pages::of(&registry).write(Format::Text, &[]).to_vec());
}

/// A piece is written over the one that was replaced before it, and one of which nothing changed is the same.
#[test]
fn memory_is_used_again_and_what_did_not_change_is_handed_out_again() {
    let mut registry = Registry::new(LabelSets::new(9, &[]));
    let mut pages = Pages::new();
    let counters: Vec<_> = (0..300)
        .map(|call| {
            registry.series(MetricId::Calls, SetId::NONE, &[&format!("call_{call:03}"), "2xx"], START)
        })
        .collect();
    let mut page = |registry: &mut Registry| {
        pages.look(registry);
        let pieces = pages.write(Format::Text, &[]).into_pieces();
        pieces.iter().map(|piece| piece.as_ptr()).collect::<Vec<_>>()
    };
    let first = page(&mut registry);
    assert_eq!(first.len(), 9, "of each of the two metrics the head and three pieces; the end");
    registry.add(counters[200], Decimal::ONE);
    let second = page(&mut registry);
    let changed: Vec<_> = (0..8).filter(|&at| first[at] != second[at]).collect();
    assert_eq!(changed, [2], "the piece that has it");
    registry.add(counters[299], Decimal::ONE);
    let third = page(&mut registry);
    assert_eq!(third[3], first[2], "the memory of what was replaced");
}
