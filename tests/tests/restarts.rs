//! Recorded traffic of real SDKs through a server that dies again and again: what was matched by inference
//! before must be matched alike after, and no job may count twice or be lost.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use spantally_providers::CorrelationConfig;
use spantally_server::batch::Transport;
use spantally_server::commit::CommitMessage;
use spantally_server::core::{Core, CoreOptions, recover};
use spantally_server::intake::{ReadCache, read_batch};
use spantally_server::provider_files::ProviderFiles;
use spantally_server::record::encode;
use spantally_stitch::UnixNanos;
use spantally_store::{DataDir, JobFilter, Journal, JournalOptions, Ledger, SqliteJournal};
use spantally_tests::capture::read_capture;
use spantally_tests::fixtures::capture_dir;
use spantally_tests::stream::Found;

/// One life after the other, on the same files.
struct Server<'a> {
    path: &'a Path,
    core: Core,
    ledger: Ledger,
    journal: SqliteJournal,
    found: Found,
}

impl<'a> Server<'a> {
    fn start(path: &'a Path, now: UnixNanos, found: Found) -> Self {
        let dir = DataDir::open(path).unwrap();
        let mut ledger = Ledger::open(&dir).unwrap();
        let sizes = JournalOptions { primed_bytes: 1 << 20, ..JournalOptions::default() };
        let mut journal = SqliteJournal::open(&dir, (ledger.applied(), ledger.done()), sizes).unwrap();
        let mut core = Core::new(&CoreOptions::default(), Arc::default(), now);
        core.set_archive(Box::new(ledger.reader().unwrap()));
        recover(&mut core, &mut ledger, &mut journal, now).unwrap();
        Self { path, core, ledger, journal, found }
    }

    /// Nothing but the files is left of it.
    fn die(self, now: UnixNanos) -> Self {
        let Self { path, found, core, ledger, journal } = self;
        drop((core, ledger, journal));
        Self::start(path, now, found)
    }

    fn turn(&mut self, now: UnixNanos) {
        self.found.add(self.core.advance(now));
        self.ledger.checkpoint(&self.core.checkpoint()).unwrap();
        self.journal.drop_to(self.core.done()).unwrap();
    }
}

/// What settled, each job as its calls by attempt.
fn play(capture: &str, dies_every_turns: Option<u64>) -> BTreeMap<String, String> {
    let files = ProviderFiles::load(None, &CorrelationConfig::default()).unwrap();
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let requests = read_capture(&capture_dir(capture)).unwrap();
    let (mut cache, mut bytes) = (ReadCache::default(), Vec::new());
    let first = read_batch(&files.recogniser, &mut cache, "", Transport::Grpc, &requests[0].body).unwrap();
    let began = first.evidence.iter().map(|evidence| evidence.end).max().unwrap();
    let mut server = Server::start(directory.path(), began, Found::default());
    let mut turns = 0;
    let mut requests = requests.iter().peekable();
    let mut second = 0;
    // As long as it takes until everything settled, and a while longer.
    let mut left = 120;
    while left > 0 {
        second += if requests.peek().is_some() {
            1
        } else {
            left -= 1;
            60
        };
        let now = began.plus_ms(second * 1000);
        while let Some(request) = requests.next_if(|request| u64::from(request.at_ms) <= second * 1000) {
            let batches =
                vec![read_batch(&files.recogniser, &mut cache, "", Transport::Grpc, &request.body).unwrap()];
            bytes.clear();
            encode(&batches, &mut bytes);
            let seq = server.journal.append(&bytes).unwrap();
            server.core.apply(CommitMessage { seq, batches });
        }
        server.turn(now);
        turns += 1;
        if dies_every_turns.is_some_and(|every| turns == every) {
            eprintln!("DIE at {second}");
            server = server.die(now);
        }
        if std::env::var("TRACE").is_ok() {
            let n = server
                .ledger
                .reader()
                .unwrap()
                .list(&JobFilter::default(), None, usize::MAX >> 1)
                .unwrap()
                .len();
            eprintln!("turn {turns} second {second}: {n} jobs");
        }
    }
    let listed = server.ledger.reader().unwrap().list(&JobFilter::default(), None, usize::MAX >> 1).unwrap();
    let texts: Vec<String> = listed.into_iter().map(|listed| listed.job.detail.into_text()).collect();
    texts
        .into_iter()
        .map(|text| {
            let v: serde_json::Value = serde_json::from_str(&text).unwrap();
            (v["job_id"].as_str().unwrap().to_owned(), {
                let mut v = v;
                v.as_object_mut().unwrap().remove("revision");
                v.as_object_mut().unwrap().remove("settled_at");
                v.to_string()
            })
        })
        .collect()
}

#[test]
fn explore() {
    let capture = std::env::var("CAP").unwrap();
    let live = play(&capture, None);
    let every: u64 = std::env::var("EVERY").unwrap().parse().unwrap();
    let died = play(&capture, Some(every));
    std::fs::write("/tmp/live.jsonl", live.values().cloned().collect::<Vec<_>>().join("\n")).unwrap();
    std::fs::write("/tmp/died.jsonl", died.values().cloned().collect::<Vec<_>>().join("\n")).unwrap();
}
