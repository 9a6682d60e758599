//! Acknowledged means durable; refused means not taken; nothing is lost on the way to the core.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use spantally_store::{DataDir, Dropped, JournalOptions, SqliteJournal};
use tokio::time::timeout;

use super::*;
use crate::batch::{Tally, Transport};

/// A journal in memory whose appends wait for a word from the test.
struct Scripted {
    rows: Arc<Mutex<Vec<Vec<u8>>>>,
    /// Whether the next append succeeds; when the test has gone away they all do.
    words: Receiver<bool>,
    started: Sender<()>,
    dropped: Sender<Seq>,
}

struct Script {
    rows: Arc<Mutex<Vec<Vec<u8>>>>,
    words: Sender<bool>,
    started: Receiver<()>,
    dropped: Receiver<Seq>,
}

fn scripted() -> (Box<dyn Journal>, Script) {
    let rows = Arc::new(Mutex::new(Vec::new()));
    let (words, words_out) = channel();
    let (started_in, started) = channel();
    let (dropped_in, dropped) = channel();
    let journal = Scripted { rows: rows.clone(), words: words_out, started: started_in, dropped: dropped_in };
    (Box::new(journal), Script { rows, words, started, dropped })
}

impl Journal for Scripted {
    fn append(&mut self, batch: &[u8]) -> Result<Seq, StoreError> {
        let _ = self.started.send(());
        if self.words.recv().unwrap_or(true) {
            let mut rows = self.rows.lock().unwrap();
            rows.push(batch.to_vec());
            Ok(Seq(rows.len() as u64))
        } else {
            Err(StoreError::Full { path: "journal.db".into(), detail: "by order of the test".to_owned() })
        }
    }

    fn replay(
        &mut self,
        after: Seq,
        visit: &mut dyn FnMut(Seq, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        for (at, row) in self.rows.lock().unwrap().iter().enumerate().skip(after.0 as usize) {
            if visit(Seq(at as u64 + 1), row).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn drop_to(&mut self, applied: Seq) -> Result<Dropped, StoreError> {
        let _ = self.dropped.send(applied);
        Ok(Dropped::All)
    }
}

/// A batch that is known again by its count.
fn batch(received: u64) -> Batch {
    Batch {
        evidence: Vec::new(),
        tally: Tally { received, ignored: received, ..Tally::default() },
        transport: Transport::Grpc,
    }
}

fn start(journal: Box<dyn Journal>, options: CommitOptions) -> (Committer, Receiver<CommitMessage>) {
    let (core, messages) = sync_channel(16);
    (Committer::start(journal, options, core).unwrap(), messages)
}

fn counts(message: &CommitMessage) -> Vec<u64> {
    message.batches.iter().map(|batch| batch.tally.received).collect()
}

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn nothing_is_acknowledged_or_handed_over_before_it_is_durable() {
    let (journal, script) = scripted();
    let (committer, messages) = start(journal, CommitOptions::default());
    let mut answer = committer.handle().try_enqueue(batch(1)).unwrap();
    script.started.recv_timeout(SOON).unwrap();
    assert!(
        timeout(Duration::from_millis(20), &mut answer).await.is_err(),
        "acknowledged while the append ran"
    );
    assert!(messages.try_recv().is_err(), "handed over while the append ran");
    script.words.send(true).unwrap();
    assert_eq!(timeout(SOON, answer).await.unwrap(), Ok(()));
    let message = messages.recv_timeout(SOON).unwrap();
    assert_eq!((message.seq, counts(&message)), (Seq(1), vec![1]));
}

#[tokio::test]
async fn what_waits_becomes_one_group() {
    let (journal, script) = scripted();
    let (committer, messages) =
        start(journal, CommitOptions { group_batches: 3, ..CommitOptions::default() });
    let handle = committer.handle();
    let mut answers = vec![handle.try_enqueue(batch(0)).unwrap()];
    script.started.recv_timeout(SOON).unwrap();
    answers.extend((1..=5).map(|count| handle.try_enqueue(batch(count)).unwrap()));
    for _ in 0..3 {
        script.words.send(true).unwrap();
    }
    for answer in answers {
        assert_eq!(timeout(SOON, answer).await.unwrap(), Ok(()));
    }
    let groups: Vec<Vec<u64>> = (0..3).map(|_| counts(&messages.recv_timeout(SOON).unwrap())).collect();
    assert_eq!(groups, [vec![0], vec![1, 2, 3], vec![4, 5]]);
    let stats = handle.stats();
    assert_eq!((stats.groups.load(Relaxed), stats.batches.load(Relaxed)), (3, 6));
    assert_eq!((stats.queued_batches.load(Relaxed), stats.last_seq.load(Relaxed)), (0, 3));
    assert_eq!(stats.append_seconds.buckets.iter().map(|bucket| bucket.load(Relaxed)).sum::<u64>(), 3);
}

#[tokio::test]
async fn a_group_waits_for_company_as_long_as_it_may() {
    let (journal, script) = scripted();
    let options = CommitOptions { max_group_delay_ms: 10_000, group_batches: 2, ..CommitOptions::default() };
    let (committer, messages) = start(journal, options);
    let handle = committer.handle();
    let first = handle.try_enqueue(batch(1)).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    assert!(script.started.try_recv().is_err(), "went without company");
    let second = handle.try_enqueue(batch(2)).unwrap();
    script.words.send(true).unwrap();
    assert_eq!(timeout(SOON, first).await.unwrap().and(timeout(SOON, second).await.unwrap()), Ok(()));
    assert_eq!(counts(&messages.recv_timeout(SOON).unwrap()), [1, 2]);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_takes_again_later() {
    let (journal, script) = scripted();
    // A service may have half of it when it is alone.
    let options = CommitOptions { queue_batches: 6, retry_after_ms: 250, ..CommitOptions::default() };
    let (committer, _messages) = start(journal, options);
    let handle = committer.handle();
    let first = handle.try_enqueue(batch(0)).unwrap();
    script.started.recv_timeout(SOON).unwrap();
    let waiting = [handle.try_enqueue(batch(1)).unwrap(), handle.try_enqueue(batch(2)).unwrap()];
    let refused = handle.try_enqueue(batch(3)).unwrap_err();
    assert_eq!(refused, Refusal::Overloaded { retry_after_ms: 250 });
    assert_eq!(handle.stats().refused_overloaded.load(Relaxed), 1);
    script.words.send(true).unwrap();
    script.words.send(true).unwrap();
    assert_eq!(timeout(SOON, first).await.unwrap(), Ok(()));
    for answer in waiting {
        assert_eq!(timeout(SOON, answer).await.unwrap(), Ok(()));
    }
    script.words.send(true).unwrap();
    assert_eq!(timeout(SOON, handle.commit(batch(4))).await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_failed_append_refuses_its_group_and_service_returns_by_itself() {
    let (journal, script) = scripted();
    let (committer, messages) = start(journal, CommitOptions::default());
    let handle = committer.handle();
    script.words.send(false).unwrap();
    match timeout(SOON, handle.commit(batch(1))).await.unwrap() {
        Err(Refusal::Storage { detail }) => assert!(detail.contains("no space left"), "{detail}"),
        other => panic!("{other:?}"),
    }
    assert!(handle.stats().storage_failing.load(Relaxed));
    script.words.send(true).unwrap();
    assert_eq!(timeout(SOON, handle.commit(batch(2))).await.unwrap(), Ok(()));
    let message = messages.recv_timeout(SOON).unwrap();
    assert_eq!((message.seq, counts(&message)), (Seq(1), vec![2]));
    assert!(!handle.stats().storage_failing.load(Relaxed));
    assert_eq!(handle.stats().refused_storage.load(Relaxed), 1);
}

#[tokio::test]
async fn stopping_commits_what_waits_and_refuses_the_rest() {
    let (journal, script) = scripted();
    let (committer, messages) =
        start(journal, CommitOptions { group_batches: 1, ..CommitOptions::default() });
    let handle = committer.handle();
    let answers: Vec<_> = (0..3).map(|count| handle.try_enqueue(batch(count)).unwrap()).collect();
    let rows = script.rows.clone();
    drop(script);
    tokio::task::spawn_blocking(move || committer.stop()).await.unwrap().unwrap();
    for answer in answers {
        assert_eq!(timeout(SOON, answer).await.unwrap(), Ok(()));
    }
    assert_eq!(handle.try_enqueue(batch(9)).unwrap_err(), Refusal::Stopping);
    assert_eq!(rows.lock().unwrap().len(), 3);
    // The core sees every group, then the end.
    assert_eq!(messages.iter().map(|message| counts(&message)).collect::<Vec<_>>(), [[0], [1], [2]]);
}

#[tokio::test]
async fn without_a_core_no_more_is_taken() {
    let (journal, script) = scripted();
    let (committer, messages) = start(journal, CommitOptions::default());
    let handle = committer.handle();
    drop((messages, script));
    assert_eq!(timeout(SOON, handle.commit(batch(1))).await.unwrap(), Ok(()));
    let refused = timeout(SOON, async {
        loop {
            match handle.commit(batch(2)).await {
                Err(refusal) => return refusal,
                Ok(()) => tokio::task::yield_now().await,
            }
        }
    });
    assert_eq!(refused.await.unwrap(), Refusal::Stopping);
    committer.stop().unwrap();
}

#[test]
fn what_is_not_needed_is_dropped_while_idle() {
    let (journal, script) = scripted();
    let (committer, _messages) = start(journal, CommitOptions::default());
    committer.handle().drop_to(Seq(12));
    assert_eq!(script.dropped.recv_timeout(SOON), Ok(Seq(12)));
    committer.handle().drop_to(Seq(11));
    assert_eq!(script.dropped.recv_timeout(SOON), Ok(Seq(12)), "a position never steps back");
}

#[tokio::test]
async fn a_start_replays_what_was_not_applied() {
    let dir = tempfile::tempdir().unwrap();
    let options = JournalOptions { primed_bytes: 128 << 10, ..JournalOptions::default() };
    let open = |applied| {
        let journal =
            SqliteJournal::open(&DataDir::open(dir.path()).unwrap(), (applied, applied), options).unwrap();
        Box::new(journal) as Box<dyn Journal>
    };
    let (committer, messages) = start(open(Seq(0)), CommitOptions::default());
    for count in 1..=4 {
        assert_eq!(timeout(SOON, committer.handle().commit(batch(count))).await.unwrap(), Ok(()));
    }
    committer.handle().drop_to(Seq(2));
    drop(tokio::task::spawn_blocking(move || committer.stop()).await.unwrap().unwrap());
    let handed_over: Vec<CommitMessage> = messages.iter().collect();
    assert_eq!(handed_over.len(), 4);

    let mut journal = open(Seq(2));
    let mut replayed = Vec::new();
    let last = replay(&mut *journal, Seq(2), &[], |message| replayed.push(message)).unwrap();
    assert_eq!(last, Seq(4));
    assert_eq!(replayed, handed_over[2..]);
}

#[test]
fn a_row_that_cannot_be_read_stops_the_start() {
    let (mut journal, script) = scripted();
    let mut readable = Vec::new();
    record::encode(&[batch(1)], &mut readable);
    *script.rows.lock().unwrap() = vec![readable.clone(), vec![0xff; 3], readable];
    let mut seen = Vec::new();
    let error = replay(&mut *journal, Seq(0), &[], |message| seen.push(message.seq)).unwrap_err();
    assert!(error.to_string().starts_with("journal row 2: not a journal record"), "{error}");
    assert_eq!(seen, [Seq(1)]);
}
