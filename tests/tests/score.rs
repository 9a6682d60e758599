//! The scorer against an independent implementation's figures, and on cases small enough to check by hand.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use spantally_tests::capture::read_capture;
use spantally_tests::fixtures::{CAPTURES, capture_dir, compare_with_golden};
use spantally_tests::score::found::{FoundJob, parse_jobs};
use spantally_tests::score::{GroupBy, Score, sample, score};
use spantally_tests::truth::{Intent, Role, Span, Truth, read_truth};

#[test]
fn figures_equal_those_of_the_independent_scorer() {
    for capture in CAPTURES {
        let truth = read_truth(&capture_dir(capture)).unwrap();
        for (kind, jobs) in [("perfect", sample::perfect(&truth)), ("mistaken", sample::mistaken(&truth))] {
            let found = parse_jobs(&sample::lines(&jobs), kind).unwrap();
            let text = score(&truth, &found, Some(GroupBy::Scenario)).to_string();
            compare_with_golden(&format!("tests/golden/score/{capture}-{kind}.txt"), &text).unwrap();
        }
    }
}

/// The fixture note says that every recorded span has its line in the truth.
#[test]
fn captures_hold_the_spans_that_the_truth_names() {
    for capture in CAPTURES {
        let directory = capture_dir(capture);
        let mut recorded = BTreeSet::new();
        for request in read_capture(&directory).unwrap() {
            let request = ExportTraceServiceRequest::decode(&request.body[..]).unwrap();
            let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
            for span in scopes.flat_map(|scope| &scope.spans) {
                let id = <[u8; 8]>::try_from(&span.span_id[..]).unwrap();
                recorded.insert(format!("{:016x}", u64::from_be_bytes(id)));
            }
        }
        let named: BTreeSet<String> =
            read_truth(&directory).unwrap().spans.into_iter().map(|span| span.span_id).collect();
        assert_eq!(recorded.len(), named.len(), "{capture}");
        assert!(recorded == named, "{capture}: spans in one and not in the other");
    }
}

/// `intent: role role ...`; span ids are the line's name and a number: `a0`, `a1`, ...
fn truth(lines: &[&str]) -> Truth {
    let mut truth = Truth::default();
    for line in lines {
        let (name, roles) = line.split_once(": ").unwrap();
        let mut ids = Vec::new();
        for (index, word) in roles.split(' ').enumerate() {
            let role: Role = serde_json::from_value(word.into()).unwrap();
            let intent = (role != Role::Noise && role != Role::Shared).then(|| name.to_owned());
            ids.push(format!("{name}{index}"));
            truth.spans.push(Span { span_id: format!("{name}{index}"), intent, role, job: None });
        }
        let count = |word| roles.split(' ').filter(|role| *role == word).count();
        if name != "noise" && name != "shared" {
            truth.intents.push(Intent {
                intent: name.to_owned(),
                scenario: if name == "voice" { "voice" } else { "success" }.to_owned(),
                provider: "fal".to_owned(),
                op: "fal.video".to_owned(),
                wait: None,
                xtrace: None,
                spans: ids,
                provider_jobs: Vec::new(),
                duplicates: 0,
                attempts: count("submit"),
                polls: count("poll"),
                outcome: "succeeded".to_owned(),
            });
        }
    }
    truth
}

/// Found jobs, each a list of span ids.
fn scored(truth: &Truth, jobs: &[&str]) -> Score {
    let job =
        |ids: &&str| FoundJob { spans: ids.split(' ').map(String::from).collect(), ..FoundJob::default() };
    score(truth, &jobs.iter().map(job).collect::<Vec<_>>(), None)
}

const TWO_JOBS: [&str; 3] = ["a: submit poll poll", "b: submit submit poll result", "noise: noise noise"];

fn assert_figures(got: &Score, exact: f64, polls: f64, retries: f64) {
    let figures = (got.stitch.exact_jobs, got.stitch.polls_with_their_submit, got.stitch.retries_together);
    assert_eq!(figures, (exact, polls, retries), "exact, polls with submit, retries together\n{got}");
}

#[test]
fn everything_right() {
    let got = scored(&truth(&TWO_JOBS), &["a0 a1 a2", "b0 b1 b2 b3"]);
    assert_figures(&got, 1.0, 1.0, 1.0);
    assert_eq!((got.media_core.f1, got.media_core.bcubed_f1), (1.0, 1.0));
    assert_eq!((got.jobs.truth, got.jobs.predicted, got.jobs.noise_only), (2, 2, 0));
}

#[test]
fn one_poll_with_the_other_job() {
    let got = scored(&truth(&TWO_JOBS), &["a0 a1", "b0 b1 b2 b3 a2"]);
    assert_figures(&got, 0.0, 0.75, 1.0);
    // pairs: 1 + 6 right of 1 + 10 found and of 3 + 6 true
    assert_eq!((got.media_core.precision, got.media_core.recall), (7.0 / 11.0, 7.0 / 9.0));
}

#[test]
fn a_retry_on_its_own() {
    let got = scored(&truth(&TWO_JOBS), &["a0 a1 a2", "b1 b2 b3", "b0"]);
    assert_figures(&got, 0.5, 1.0, 0.0);
    assert_eq!((got.jobs.predicted, got.jobs.error, got.jobs.unmatched_predicted), (3, 0.5, 1));
}

#[test]
fn noise_in_a_job_makes_it_inexact() {
    let got = scored(&truth(&TWO_JOBS), &["a0 a1 a2 noise0", "b0 b1 b2 b3", "noise1"]);
    assert_figures(&got, 0.5, 1.0, 1.0);
    assert_eq!((got.jobs.noise_only, got.jobs.predicted), (1, 2));
    assert!(got.media_core.precision < 1.0);
}

#[test]
fn nothing_found() {
    let got = scored(&truth(&["a: submit poll", "b: submit"]), &[]);
    // a job of one call is right when left alone
    assert_figures(&got, 0.5, 0.0, 0.0);
    assert_eq!((got.jobs.predicted, got.jobs.unmatched_truth), (0, 2));
    assert!(got.counts.iter().all(|(_, counts)| counts.is_none()));
}

#[test]
fn shared_spans_are_not_scored_and_voice_is_not_media() {
    let truth = truth(&["a: submit poll", "shared: shared", "voice: stt llm tts"]);
    let got = scored(&truth, &["a0 a1 shared0", "voice0 voice1"]);
    assert_figures(&got, 1.0, 1.0, 0.0);
    assert_eq!((got.jobs.truth, got.jobs.predicted, got.everything.spans), (1, 1, 5));
    assert!((got.everything.recall - 2.0 / 4.0).abs() < 1e-12);
}

#[test]
fn a_span_given_twice_counts_for_the_first_and_an_unknown_one_for_nobody() {
    let got = scored(&truth(&TWO_JOBS), &["a0 a1 a2", "b0 b1 b2 b3 a2", "nowhere"]);
    assert_figures(&got, 1.0, 1.0, 1.0);
    assert_eq!((got.jobs.spans_in_two_jobs, got.jobs.unknown_spans), (1, 1));
}
