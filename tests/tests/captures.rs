//! Recorded traffic of real SDKs through the real core, scored against what really happened.
//!
//! Each capture has a golden file with all figures, and floors that no change may go below.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use spantally_providers::CorrelationConfig;
use spantally_server::batch::{Batch, Transport};
use spantally_server::commit::CommitMessage;
use spantally_server::core::{Core, CoreOptions};
use spantally_server::intake::{ReadCache, read_batch};
use spantally_server::provider_files::ProviderFiles;
use spantally_stitch::{Evidence, JobId, UnixNanos};
use spantally_store::Seq;
use spantally_tests::capture::{Request, read_capture};
use spantally_tests::fixtures::{CAPTURES, capture_dir, compare_with_golden};
use spantally_tests::score::found::FoundJob;
use spantally_tests::score::{GroupBy, Score, score};
use spantally_tests::stream::{Found, Spans, stream};
use spantally_tests::truth::{Role, Truth, read_truth};

/// A capture as it was recorded, through the core.
fn recorded(capture: &str) -> (Found, Spans) {
    stream(&read_capture(&capture_dir(capture)).unwrap()).unwrap()
}

/// Jobs of a capture whose spans all come before any time passes: in order, or in an order that `seed`
/// makes, in small batches of which some come twice.
fn all_at_once(capture: &str, seed: Option<u64>) -> BTreeMap<JobId, String> {
    let files = ProviderFiles::load(None, &CorrelationConfig::default()).unwrap();
    let mut cache = ReadCache::default();
    let requests = read_capture(&capture_dir(capture)).unwrap();
    let read = |request: &Request| {
        read_batch(&files.recogniser, &mut cache, "", Transport::Grpc, &request.body).unwrap().evidence
    };
    let mut evidence: Vec<Evidence> = requests.iter().flat_map(read).collect();
    let newest = evidence.iter().map(|evidence| evidence.end).max().unwrap();
    if let Some(seed) = seed {
        evidence.sort_by_cached_key(|evidence| scramble(seed, evidence.span.span.0));
    }
    let mut core = Core::new(&CoreOptions::default(), Arc::default(), UnixNanos::default());
    let mut seq = 0;
    for (index, spans) in evidence.chunks(23).enumerate() {
        for _ in 0..if seed.is_some() && index % 3 == 0 { 2 } else { 1 } {
            seq += 1;
            let batch = Batch { evidence: spans.to_vec(), ..Batch::default() };
            core.apply(CommitMessage { seq: Seq(seq), batches: vec![batch] });
        }
    }
    let mut found = Found::default();
    found.add(core.advance(newest));
    found.add(core.finish());
    found.documents().unwrap()
}

/// An order without pattern: SplitMix64's last step over the span's id.
fn scramble(seed: u64, span: [u8; 8]) -> u64 {
    let mut mixed = u64::from_be_bytes(span) ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A job without what tells how it came to be known: how often it was published, and how sure each join was
/// then.
fn essence(line: &str) -> Value {
    let mut job: Value = serde_json::from_str(line).unwrap();
    job["revision"] = Value::Null;
    for attempt in job["attempts"].as_array_mut().unwrap() {
        for join in attempt["joins"].as_array_mut().unwrap() {
            join["confidence"] = Value::Null;
            join["margin"] = Value::Null;
            join["instead"] = Value::Null;
        }
    }
    job
}

#[track_caller]
fn assert_same(what: &str, found: &BTreeMap<JobId, String>, expected: &BTreeMap<JobId, String>) {
    for (id, job) in expected {
        assert_eq!(found.get(id).map(|job| essence(job)), Some(essence(job)), "{what}: job {id}");
    }
    assert_eq!(found.len(), expected.len(), "{what}: number of jobs");
}

/// Invariant: jobs are a function of the set of spans. Order, batches and repetition change none of them.
#[test]
fn jobs_do_not_depend_on_order_batches_or_repetition() {
    for capture in CAPTURES {
        let expected = all_at_once(capture, None);
        for seed in 1..=3 {
            assert_same(&format!("{capture}, seed {seed}"), &all_at_once(capture, Some(seed)), &expected);
        }
    }
}

/// The same for time: what settled while spans still came ends as if all had been there from the start.
#[test]
fn jobs_do_not_depend_on_when_they_settled() {
    for capture in CAPTURES {
        let found = recorded(capture).0.documents().unwrap();
        assert_same(capture, &found, &all_at_once(capture, None));
    }
}

fn noise_in_jobs<'a>(truth: &'a Truth, found: &[FoundJob]) -> Vec<&'a str> {
    let taken: BTreeSet<&str> = found.iter().flat_map(|job| &job.spans).map(String::as_str).collect();
    let noise = truth.spans.iter().filter(|span| span.role == Role::Noise).map(|span| span.span_id.as_str());
    noise.filter(|span| taken.contains(span)).collect()
}

/// The least that may be found: exact jobs, polls with their submit, retries together.
#[track_caller]
fn hold(capture: &str, exact: f64, polls: f64, retries: f64) -> Score {
    let truth = read_truth(&capture_dir(capture)).unwrap();
    let (found, spans) = recorded(capture);
    let found = found.jobs().unwrap();
    let figures = score(&truth, &found, Some(GroupBy::Scenario));
    let text = figures.to_string();

    assert_eq!(spans.received, truth.spans.len() as u64, "{capture}: every recorded span was read");
    assert_eq!(spans.received, spans.evidence + spans.ignored, "{capture}: every span is accounted for");
    assert_eq!(noise_in_jobs(&truth, &found), Vec::<&str>::new(), "{capture}: noise in jobs");
    let jobs = &figures.jobs;
    assert_eq!((jobs.spans_in_two_jobs, jobs.unknown_spans, jobs.noise_only), (0, 0, 0), "{capture}\n{text}");
    let stitch = &figures.stitch;
    assert!(stitch.exact_jobs >= exact, "{capture}: exact jobs below {exact}\n{text}");
    assert!(
        stitch.polls_with_their_submit >= polls,
        "{capture}: polls with their submit below {polls}\n{text}"
    );
    assert!(stitch.retries_together >= retries, "{capture}: retries together below {retries}\n{text}");
    compare_with_golden(&format!("tests/golden/{capture}.txt"), &text).unwrap();
    figures
}

#[test]
fn bare_new() {
    hold("bare-new", 0.90, 0.96, 0.90);
}

#[test]
fn bare_headers() {
    hold("bare-headers", 0.88, 0.96, 0.93);
}

#[test]
fn node_bare() {
    hold("node-bare", 0.85, 0.96, 0.90);
}

#[test]
fn cross_trace_new() {
    hold("cross-trace-new", 0.88, 0.93, 0.90);
}

#[test]
fn parented_dup() {
    hold("parented-dup", 0.95, 0.99, 0.98);
}

#[test]
fn rich_new() {
    hold("rich-new", 0.99, 1.0, 1.0);
}
