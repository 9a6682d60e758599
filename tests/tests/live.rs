//! Recorded traffic of real SDKs as a running server sees it: a turn each second, and nothing solved once more
//! at the end. At every moment a span is in one job, and what is shown then is scored too.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::sync::Arc;

use spantally_providers::CorrelationConfig;
use spantally_server::batch::Transport;
use spantally_server::commit::CommitMessage;
use spantally_server::core::{Core, CoreOptions};
use spantally_server::intake::{ReadCache, read_batch};
use spantally_server::job_json::JobDocument;
use spantally_server::provider_files::ProviderFiles;
use spantally_stitch::{Job, SpanKey, UnixNanos};
use spantally_store::Seq;
use spantally_tests::capture::read_capture;
use spantally_tests::fixtures::{CAPTURES, capture_dir};
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
    /// Lets a turn pass; a span must be in one job, settled or open.
    fn turn(&mut self, now: UnixNanos, what: &str) -> usize {
        self.found.add(self.core.advance(now));
        self.core.refresh();
        let mut held: BTreeMap<SpanKey, &Job> = BTreeMap::new();
        let settled = self.found.settled().map(|settled| &*settled.job);
        let mut twice = 0;
        for job in settled.chain(self.core.open_jobs().iter().map(|open| &open.job)) {
            for span in spans(job) {
                if let Some(other) = held.insert(span, job) {
                    twice += 1;
                    if twice == 1 {
                        eprintln!(
                            "{what}: {span} is in {} {:?} and {} {:?}",
                            other.id, other.state, job.id, job.state
                        );
                    }
                }
            }
        }
        twice
    }

    fn jobs(&self) -> Vec<FoundJob> {
        let mut documents: Vec<String> = self.found.documents().unwrap().into_values().collect();
        for open in self.core.open_jobs() {
            let document = JobDocument { job: &open.job, bill: &open.bill, revision: 0 };
            documents.push(document.to_json().unwrap());
        }
        parse_jobs(&documents.join("\n"), "core").unwrap()
    }
}

fn spans(job: &Job) -> impl Iterator<Item = SpanKey> {
    let calls = job.attempts.iter().flat_map(|attempt| attempt.calls.iter().map(|call| call.span));
    job.spans.iter().copied().chain(calls)
}

fn live(capture: &str) {
    let truth = read_truth(&capture_dir(capture)).unwrap();
    let files = ProviderFiles::load(None, &CorrelationConfig::default()).unwrap();
    let mut cache = ReadCache::default();
    let core = Core::new(&CoreOptions::default(), Arc::default(), UnixNanos::default());
    let mut live = Live { core, found: Found::default() };
    let requests = read_capture(&capture_dir(capture)).unwrap();
    let (mut began, mut turn, mut twice) = (None, 0, 0);
    for (position, request) in requests.iter().enumerate() {
        let batch = read_batch(&files.recogniser, &mut cache, "", Transport::Grpc, &request.body).unwrap();
        let newest = batch.evidence.iter().map(|evidence| evidence.end).max().unwrap_or_default();
        let began = *began.get_or_insert(newest);
        while turn * 1000 < u64::from(request.at_ms) {
            twice += live.turn(began.plus_ms(turn * 1000), &format!("{capture} {turn}"));
            turn += 1;
        }
        live.core.apply(CommitMessage { seq: Seq(position as u64 + 1), batches: vec![batch] });
    }
    let end = turn;
    let show = |live: &Live, at: u64| {
        let figures = score(&truth, &live.jobs(), None);
        println!(
            "{capture} +{at}: {:.3} {:.3} {:.3} two {}",
            figures.stitch.exact_jobs,
            figures.stitch.polls_with_their_submit,
            figures.stitch.retries_together,
            figures.jobs.spans_in_two_jobs
        );
    };
    for at in 0..=3000 {
        if at > 200 && at % 20 > 0 {
            continue;
        }
        twice += live.turn(began.unwrap().plus_ms((end + at) * 1000), &format!("{capture} end+{at}"));
        if [4, 30, 45, 60, 90, 200, 3000].contains(&at) {
            show(&live, at);
        }
    }
    println!("{capture} count {} twice {twice}", live.found.documents().unwrap().len());
    std::fs::create_dir_all("/tmp/u/live").unwrap();
    let mut documents: Vec<String> = live.found.documents().unwrap().into_values().collect();
    for open in live.core.open_jobs() {
        documents.push(JobDocument { job: &open.job, bill: &open.bill, revision: 0 }.to_json().unwrap());
    }
    std::fs::write(format!("/tmp/u/live/{capture}.jsonl"), documents.join("\n")).unwrap();
    let offline: Vec<String> =
        spantally_tests::stream::stream(&requests).unwrap().0.documents().unwrap().into_values().collect();
    std::fs::write(format!("/tmp/u/live/{capture}.off.jsonl"), offline.join("\n")).unwrap();
}

#[test]
fn all() {
    for capture in CAPTURES {
        live(capture);
    }
}
