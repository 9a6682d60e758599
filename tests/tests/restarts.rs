//! Recorded traffic of real SDKs through a server that dies: what was matched across traces is matched alike
//! after, and no job counts twice or is lost.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use spantally_providers::CorrelationConfig;
use spantally_server::batch::{Batch, Transport};
use spantally_server::commit::CommitMessage;
use spantally_server::core::{Core, CoreOptions, recover};
use spantally_server::intake::{ReadCache, read_batch};
use spantally_server::provider_files::ProviderFiles;
use spantally_server::record::encode;
use spantally_stitch::UnixNanos;
use spantally_store::{DataDir, JobFilter, Journal, JournalOptions, Ledger, SqliteJournal};
use spantally_tests::capture::read_capture;
use spantally_tests::fixtures::capture_dir;

/// After the last request, a turn a minute for so many: until everything has settled, and a while longer.
const QUIET_TURNS: u64 = 60;

/// One life after the other, on the same files.
struct Server<'a> {
    path: &'a Path,
    core: Core,
    ledger: Ledger,
    journal: SqliteJournal,
}

impl<'a> Server<'a> {
    fn start(path: &'a Path, now: UnixNanos) -> Self {
        let dir = DataDir::open(path).unwrap();
        let ledger = Ledger::open(&dir).unwrap();
        let sizes = JournalOptions { primed_bytes: 1 << 20, ..JournalOptions::default() };
        let mut journal = SqliteJournal::open(&dir, (ledger.applied(), ledger.done()), sizes).unwrap();
        let mut core = Core::new(&CoreOptions::default(), Arc::default(), now);
        recover(&mut core, &ledger, &mut journal).unwrap();
        core.wake(now);
        let mut server = Self { path, core, ledger, journal };
        server.turn(now);
        server
    }

    /// Nothing but the files is left of it.
    fn die(self, now: UnixNanos) -> Self {
        let Self { path, core, ledger, journal } = self;
        drop((core, ledger, journal));
        Self::start(path, now)
    }

    fn take(&mut self, batch: Batch) {
        let (batches, mut bytes) = (vec![batch], Vec::new());
        encode(&batches, &mut bytes);
        let seq = self.journal.append(&bytes).unwrap();
        self.core.apply(CommitMessage { seq, batches });
    }

    fn turn(&mut self, now: UnixNanos) {
        self.core.advance(now);
        self.ledger.checkpoint(&self.core.checkpoint()).unwrap();
        self.journal.drop_to(self.core.done()).unwrap();
    }
}

/// Sends a capture as it was recorded to a server that makes a turn a second, and dies after some of them;
/// the jobs that the ledger then has.
fn jobs(capture: &str, dies_after: impl Fn(u64) -> bool) -> BTreeMap<String, Value> {
    let files = ProviderFiles::load(None, &CorrelationConfig::default()).unwrap();
    let mut cache = ReadCache::default();
    let mut read =
        |body: &[u8]| read_batch(&files.recogniser, &mut cache, "", Transport::Grpc, body).unwrap();
    // A file system in memory, where there is one: a sync takes no time there.
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let requests = read_capture(&capture_dir(capture)).unwrap();
    let began = read(&requests[0].body).evidence.iter().map(|evidence| evidence.end).max().unwrap();
    let last_second = u64::from(requests.last().unwrap().at_ms) / 1000 + 1;
    let mut server = Server::start(directory.path(), began);
    let mut requests = requests.into_iter().peekable();
    let seconds = (1..=last_second).chain((1..=QUIET_TURNS).map(|minute| last_second + 60 * minute));
    for (turn, second) in (1..).zip(seconds) {
        while let Some(request) = requests.next_if(|request| u64::from(request.at_ms) <= second * 1000) {
            server.take(read(&request.body));
        }
        let now = began.plus_ms(second * 1000);
        server.turn(now);
        if dies_after(turn) {
            server = server.die(now);
        }
    }
    assert!(requests.peek().is_none());
    let listed =
        server.ledger.reader().unwrap().list(&JobFilter::default(), None, i32::MAX as usize).unwrap();
    listed.into_iter().map(|listed| comparable(&listed.job.detail.into_text())).collect()
}

/// A job's id and document, without what says how it came about: revisions, how sure a join was among the
/// neighbours of that moment, and which of the spans above were taken to be of this job alone.
fn comparable(text: &str) -> (String, Value) {
    let mut job: Value = serde_json::from_str(text).unwrap();
    let id = job["job_id"].as_str().unwrap().to_owned();
    for attempt in job["attempts"].as_array_mut().unwrap() {
        for join in attempt["joins"].as_array_mut().unwrap() {
            for field in ["margin", "confidence", "instead"] {
                join.as_object_mut().unwrap().remove(field);
            }
        }
    }
    for field in ["revision", "settled_at", "spans"] {
        job.as_object_mut().unwrap().remove(field);
    }
    (id, job)
}

/// When, in words, and whether it is after a turn.
type Schedule = (&'static str, fn(u64) -> bool);

#[track_caller]
fn hold(capture: &str) {
    let undisturbed = jobs(capture, |_| false);
    assert!(undisturbed.len() >= 100, "{} jobs", undisturbed.len());
    let schedules: [Schedule; 5] = [
        ("after every turn", |_| true),
        ("now and then", |turn| turn % 7 == 0),
        ("while the last are running", |turn| turn == 65),
        ("ten minutes later", |turn| turn == 80),
        ("three quarters of an hour later", |turn| turn == 115),
    ];
    for (when, dies_after) in schedules {
        let found = jobs(capture, dies_after);
        for (id, job) in &undisturbed {
            assert_eq!(found.get(id), Some(job), "{capture}, dying {when}");
        }
        assert_eq!(found.len(), undisturbed.len(), "{capture}, dying {when}: more jobs");
    }
}

#[test]
fn a_trace_for_each_call() {
    hold("bare-new");
}

#[test]
fn a_trace_for_each_call_and_headers() {
    hold("bare-headers");
}

#[test]
fn a_trace_for_each_call_by_node() {
    hold("node-bare");
}

#[test]
fn submits_and_polls_in_different_traces() {
    hold("cross-trace-new");
}

#[test]
fn a_trace_for_each_job_with_duplicates() {
    hold("parented-dup");
}

#[test]
fn ids_in_attributes() {
    hold("rich-new");
}
