use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use rust_decimal::Decimal;
use spantally_stitch::{Accepted, Cause, Outcome, SpanKey, UnixNanos};

use super::play::{Pace, key_of};
use super::scenario::SCENARIOS;
use super::traffic::{Settings, Traffic};
use super::truth::{Ending, Truth};

const START: UnixNanos = UnixNanos(1_795_000_000_000_000_000);

fn settings(seed: u64) -> Settings {
    Settings {
        seed,
        start: START,
        jobs_per_second: 10.0,
        pace: Pace { compress: 15 },
        noise_per_job: 0.5,
        resend_share: 0.0,
    }
}

/// A minute of arrivals, all spans handed out, the clock driven in steps.
fn minute(settings: Settings, step_ms: u64) -> (Vec<ExportTraceServiceRequest>, Truth) {
    let mut traffic = Traffic::new(settings);
    let mut requests = Vec::new();
    let mut now = START;
    while now < START.plus_ms(60_000) {
        now = now.plus_ms(step_ms);
        requests.extend(traffic.advance(now.min(START.plus_ms(60_000))));
    }
    traffic.stop();
    while let Some(end) = traffic.ends_at() {
        requests.extend(traffic.advance(end));
    }
    (requests, traffic.truth().clone())
}

fn spans(requests: &[ExportTraceServiceRequest]) -> Vec<&Span> {
    let resources = requests.iter().flat_map(|request| &request.resource_spans);
    resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans).collect()
}

fn sorted(requests: &[ExportTraceServiceRequest]) -> Vec<(Vec<u8>, String)> {
    let mut all: Vec<_> =
        spans(requests).into_iter().map(|span| (span.span_id.clone(), format!("{span:?}"))).collect();
    all.sort();
    all
}

#[test]
fn a_seed_gives_the_same_spans_however_the_clock_is_driven() {
    let (fine, truth) = minute(settings(7), 250);
    let (coarse, again) = minute(settings(7), 60_000);
    assert_eq!(sorted(&fine), sorted(&coarse));
    assert_eq!(format!("{:?}", truth.jobs), format!("{:?}", again.jobs));
    let (other, _) = minute(settings(8), 250);
    assert_ne!(sorted(&fine), sorted(&other));
}

#[test]
fn spans_are_valid_otlp() {
    let (requests, truth) = minute(settings(1), 250);
    let all = spans(&requests);
    assert_eq!(all.len() as u64, truth.spans);
    let keys: BTreeSet<SpanKey> = all.iter().map(|span| key_of(span)).collect();
    assert_eq!(keys.len(), all.len(), "span ids are unique");
    for span in &all {
        assert!(span.start_time_unix_nano >= START.0, "{span:?}");
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{span:?}");
        assert!(span.span_id.iter().any(|byte| *byte != 0) && span.trace_id.iter().any(|byte| *byte != 0));
        if !span.parent_span_id.is_empty() {
            let mut parent = key_of(span);
            parent.span.0.copy_from_slice(&span.parent_span_id);
            assert!(keys.contains(&parent), "the parent of {span:?} exists");
        }
        let names: BTreeSet<&str> = span.attributes.iter().map(|attribute| &*attribute.key).collect();
        assert_eq!(names.len(), span.attributes.len(), "attribute keys are unique in {span:?}");
    }
}

#[test]
fn a_batch_holds_no_span_that_has_not_ended() {
    let mut traffic = Traffic::new(settings(3));
    let mut seen = 0;
    for second in 1..30 {
        let now = START.plus_ms(second * 1_000);
        let requests = traffic.advance(now);
        for span in spans(&requests) {
            assert!(span.end_time_unix_nano <= now.0);
            assert!(span.end_time_unix_nano > now.minus_ms(1_000).0, "and no older one either");
            seen += 1;
        }
    }
    assert!(seen > 1_000, "{seen} spans in half a minute");
}

#[test]
fn every_span_of_a_job_is_sent_and_belongs_to_it_alone() {
    let (requests, truth) = minute(settings(5), 250);
    let sent: BTreeSet<SpanKey> = spans(&requests).iter().map(|span| key_of(span)).collect();
    let listed: usize = truth.jobs.iter().map(|job| job.spans.len()).sum();
    assert_eq!(listed, truth.job_spans(), "no span is in two jobs");
    assert!(truth.jobs.iter().flat_map(|job| &job.spans).all(|key| sent.contains(key)));
    assert!((listed as u64) < truth.spans, "noise and web requests belong to no job");
}

#[test]
fn the_truth_adds_up() {
    let (_, truth) = minute(settings(11), 250);
    let totals = truth.totals();
    assert_eq!(totals.jobs, totals.outcomes.values().sum::<u64>());
    assert_eq!(totals.attempts, totals.causes.values().sum::<u64>());
    assert!(totals.tasks <= totals.attempts);
    let by_hand: Decimal = truth
        .jobs
        .iter()
        .flat_map(|job| &job.attempts)
        .filter_map(|attempt| attempt.billed)
        .map(|billed| billed.cost())
        .sum();
    assert_eq!(by_hand, totals.cost.values().copied().sum::<Decimal>());
    assert!(by_hand > Decimal::ZERO);
    for job in truth.jobs.iter().filter(|job| job.scenario != "voice") {
        let delivered = job.attempts.iter().filter(|attempt| attempt.cause == Cause::Delivered).count();
        assert_eq!(delivered, usize::from(job.outcome == Outcome::Succeeded), "{job:?}");
    }
}

#[test]
fn what_the_client_cannot_know_is_ambiguous_and_may_be_billed() {
    let (_, truth) = minute(Settings { jobs_per_second: 40.0, ..settings(13) }, 1_000);
    let mut kinds = BTreeMap::<bool, u64>::new();
    for attempt in truth.jobs.iter().flat_map(|job| &job.attempts) {
        assert_eq!(attempt.accepted == Accepted::Ambiguous, attempt.ending == Ending::Ambiguous);
        if attempt.ending == Ending::Ambiguous {
            assert_eq!(attempt.billed.is_some(), attempt.created);
            *kinds.entry(attempt.created).or_default() += 1;
        }
    }
    assert!(kinds[&true] > 10 && kinds[&false] > 10, "{kinds:?}");
}

#[test]
fn every_scenario_and_every_service_happens() {
    let (_, truth) = minute(Settings { jobs_per_second: 60.0, ..settings(2) }, 60_000);
    for scenario in SCENARIOS {
        assert!(truth.jobs.iter().any(|job| job.scenario == scenario.name), "{}", scenario.name);
    }
    for service in super::fleet::SERVICES {
        assert!(truth.jobs.iter().any(|job| job.service == service.name), "{}", service.name);
    }
    let causes = truth.totals().causes;
    for cause in [Cause::Retry, Cause::TimeoutResubmit, Cause::Duplicate, Cause::Moderated] {
        assert!(causes.contains_key(&cause), "{cause}");
    }
    assert!(truth.totals().cost.contains_key(&Cause::Interrupted));
}

#[test]
fn two_clicks_are_two_tasks_of_one_job() {
    let (_, truth) = minute(Settings { jobs_per_second: 40.0, ..settings(4) }, 60_000);
    let job = truth.jobs.iter().find(|job| job.scenario == "clicked_twice").expect("it is common");
    assert_eq!(job.attempts.len(), 2);
    assert_eq!(job.attempts[0].cause, Cause::Delivered);
    assert_eq!(job.attempts[1].cause, Cause::Duplicate);
    assert_ne!(job.attempts[0].task, job.attempts[1].task);
}

#[test]
fn a_lost_acknowledgement_repeats_a_batch_and_changes_no_span() {
    let (plain, _) = minute(settings(9), 250);
    let (resent, truth) = minute(Settings { resend_share: 0.3, ..settings(9) }, 250);
    let mut distinct = sorted(&resent);
    distinct.dedup();
    assert_eq!(sorted(&plain), distinct);
    assert_eq!(spans(&resent).len() as u64, truth.spans + truth.repeated_spans);
    assert!(truth.repeated_spans > 0);
}

#[test]
fn at_the_pace_of_life_a_video_is_polled_a_thousand_times() {
    let (_, truth) =
        minute(Settings { pace: Pace { compress: 1 }, jobs_per_second: 5.0, ..settings(6) }, 60_000);
    let most = truth.jobs.iter().flat_map(|job| &job.attempts).map(|attempt| attempt.polls).max();
    assert!(most.is_some_and(|polls| (500..=2_001).contains(&polls)), "{most:?}");
}
