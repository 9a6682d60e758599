//! Tenants do not touch one another, whatever the ids of their spans are.

use spantally_server::core::Settled;
use spantally_stitch::UnixNanos;
use spantally_tests::scenario::otlp::{BEGIN_UNIX_NANOS, Exporter};
use spantally_tests::scenario::{Scenario, Span, directory, read_all};

use super::replay::{Event, Rules, requests};
use super::scramble;

const SEED: u64 = 4;

/// The tenant that takes the place of another one for some spans.
fn twin(tenant: &str) -> String {
    format!("twin of {tenant}")
}

/// How a span comes: of its own tenant, of that one's twin, or of both.
fn owners(span: [u8; 8]) -> [bool; 2] {
    match scramble(SEED, span) % 4 {
        0 => [true, true],
        1 => [false, true],
        _ => [true, false],
    }
}

/// Spans as two sets of tenants send them, in an order without pattern.
fn events(scenario: &Scenario, wanted: [bool; 2]) -> Vec<Event> {
    let exporter = Exporter::new(scenario, "");
    let mut spans: Vec<&Span> = scenario.spans().collect();
    spans.sort_by_cached_key(|span| scramble(SEED + 1, exporter.span_id(&span.label)));
    let mut events = Vec::new();
    for span in spans {
        let of = owners(exporter.span_id(&span.label));
        for event in requests(exporter, &[span], 1) {
            let Event::Request(tenant, body) = event else { continue };
            let names = [tenant.clone(), twin(&tenant)];
            let sent = names.into_iter().zip(of).zip(wanted).filter(|((_, sent), wanted)| *sent && *wanted);
            events.extend(sent.map(|((tenant, _), _)| Event::Request(tenant, body.clone())));
        }
    }
    // The same moment, whosever span is the last.
    events.push(Event::Advance(UnixNanos(BEGIN_UNIX_NANOS + 40 * 3_600_000_000_000)));
    events
}

fn jobs(rules: &Rules, scenario: &Scenario, wanted: [bool; 2]) -> Vec<Settled> {
    rules.jobs(&events(scenario, wanted))
}

/// Some spans of each scenario are another tenant's, some come from both: each has what it has alone.
#[test]
fn tenants_of_one_trace_have_the_jobs_that_each_has_alone() {
    let mut failures = Vec::new();
    for scenario in read_all(&directory()).unwrap() {
        let rules = Rules::new([&scenario]);
        let (twins, own): (Vec<Settled>, Vec<Settled>) = jobs(&rules, &scenario, [true, true])
            .into_iter()
            .partition(|settled| settled.job.tenant.starts_with("twin of"));
        for (found, wanted) in [(own, [true, false]), (twins, [false, true])] {
            let alone = jobs(&rules, &scenario, wanted);
            let shown = |all: &[Settled]| {
                let each = all.iter().map(|settled| format!("{:#?}\n{:#?}", settled.job, settled.bill));
                each.collect::<Vec<_>>()
            };
            if shown(&found) != shown(&alone) {
                failures.push(format!("{}.txt, own spans or twins: {wanted:?}", scenario.name));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
