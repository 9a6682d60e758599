//! Recorded traffic of real SDKs as a running server sees it: a turn each second, and nothing solved once
//! more at the end. At every moment a call is in one job, and what is shown then is scored too.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::sync::Arc;

use spantally_providers::CorrelationConfig;
use spantally_server::batch::Transport;
use spantally_server::commit::CommitMessage;
use spantally_server::core::{Core, CoreOptions, OpenJob};
use spantally_server::intake::{ReadCache, read_batch};
use spantally_server::job_json::JobDocument;
use spantally_server::provider_files::ProviderFiles;
use spantally_stitch::{Job, SpanKey, UnixNanos};
use spantally_store::Seq;
use spantally_tests::capture::read_capture;
use spantally_tests::fixtures::capture_dir;
use spantally_tests::score::found::{FoundJob, parse_jobs};
use spantally_tests::score::score;
use spantally_tests::stream::Found;
use spantally_tests::truth::read_truth;

/// A server's core and what it told.
struct Live {
    core: Core,
    found: Found,
}

impl Live {
    /// Lets a turn pass; a call must be in one job, settled or open.
    fn turn(&mut self, now: UnixNanos, what: &str) {
        self.found.add(self.core.advance(now));
        self.core.refresh();
        let mut held: BTreeMap<SpanKey, &Job> = BTreeMap::new();
        let settled = self.found.settled().map(|settled| &*settled.job);
        for job in settled.chain(self.core.open_jobs().iter().map(|open| &open.job)) {
            for call in job.attempts.iter().flat_map(|attempt| &attempt.calls) {
                let before = held.insert(call.span, job).map(|other| (other.id, other.state));
                assert_eq!(before, None, "{what}: {} is in {} ({:?}) too", call.span, job.id, job.state);
            }
        }
    }

    fn jobs(&self) -> Vec<FoundJob> {
        let mut documents: Vec<String> = self.found.documents().unwrap().into_values().collect();
        for OpenJob { job, bill } in self.core.open_jobs() {
            documents.push(JobDocument { job, bill, revision: 0 }.to_json().unwrap());
        }
        parse_jobs(&documents.join("\n"), "core").unwrap()
    }
}

/// Sends a capture as it was recorded, then lets time pass; the least that may be found when all has arrived,
/// and when all has settled.
#[track_caller]
fn hold(capture: &str, exact: f64, retries: f64) {
    let truth = read_truth(&capture_dir(capture)).unwrap();
    let files = ProviderFiles::load(None, &CorrelationConfig::default()).unwrap();
    let mut cache = ReadCache::default();
    let core = Core::new(&CoreOptions::default(), Arc::default(), UnixNanos::default());
    let mut live = Live { core, found: Found::default() };
    let (mut began, mut second) = (None, 0);
    for (position, request) in read_capture(&capture_dir(capture)).unwrap().iter().enumerate() {
        let batch = read_batch(&files.recogniser, &mut cache, "", Transport::Grpc, &request.body).unwrap();
        let newest = batch.evidence.iter().map(|evidence| evidence.end).max().unwrap_or_default();
        let began = *began.get_or_insert(newest);
        while second * 1000 < u64::from(request.at_ms) {
            live.turn(began.plus_ms(second * 1000), &format!("{capture}, second {second}"));
            second += 1;
        }
        live.core.apply(CommitMessage { seq: Seq(position as u64 + 1), batches: vec![batch] });
    }
    // Every second while jobs settle, then now and then until the idle limit has passed for all.
    for after in (0..120).chain((120..2400).step_by(60)) {
        let now = began.unwrap().plus_ms((second + after) * 1000);
        live.turn(now, &format!("{capture}, {after} seconds after the end"));
        if matches!(after, 4 | 45 | 119 | 2340) {
            let figures = score(&truth, &live.jobs(), None);
            let found = &figures.stitch;
            assert!(
                found.exact_jobs >= exact,
                "{capture} after {after} s: exact jobs below {exact}\n{figures}"
            );
            assert!(found.retries_together >= retries, "{capture} after {after} s: retries\n{figures}");
        }
    }
}

#[test]
fn bare_new() {
    hold("bare-new", 0.93, 0.95);
}

#[test]
fn bare_headers() {
    hold("bare-headers", 0.91, 0.95);
}

#[test]
fn node_bare() {
    hold("node-bare", 0.85, 0.88);
}

#[test]
fn cross_trace_new() {
    hold("cross-trace-new", 0.87, 0.90);
}

#[test]
fn parented_dup() {
    hold("parented-dup", 0.98, 0.99);
}

#[test]
fn rich_new() {
    hold("rich-new", 0.99, 0.99);
}
