//! The thread, on a real journal and a real ledger.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use rust_decimal::Decimal;
use spantally_stitch::{Evidence, Job, SpanId, State, TaskState, TraceId, UnixNanos};
use spantally_store::{DataDir, Journal, JournalOptions, Ledger, Seq, SqliteJournal};

use super::fixture::*;
use crate::commit::{CommitMessage, CommitOptions, Committer};
use crate::core::refresh::Refresh;
use crate::core::{Clock, Core, CoreThread, Listener, Settled, TurnOptions, recover};
use crate::export::{Format, MetricId};
use crate::record;

/// The wall clock of these tests begins an hour after the spans, and goes on fast: what comes after the first
/// turn settles as well.
fn later() -> UnixNanos {
    static LOOKS: AtomicU64 = AtomicU64::new(0);
    at(4000 + 10 * LOOKS.fetch_add(1, Ordering::Relaxed))
}

pub(super) fn journal(dir: &DataDir, applied: Seq) -> Box<SqliteJournal> {
    let options = JournalOptions { primed_bytes: 1 << 20, ..JournalOptions::default() };
    Box::new(SqliteJournal::open(dir, (applied, applied), options).unwrap())
}

/// A committer, and where what it has made durable comes out.
pub(super) fn committer(journal: Box<SqliteJournal>) -> (Committer, Receiver<CommitMessage>) {
    let (sender, groups) = sync_channel(4);
    (Committer::start(journal, CommitOptions::default(), sender).unwrap(), groups)
}

/// Waits until something is so; a test must not wait for ever.
pub(super) fn wait_until(mut is_so: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < limit, "nothing happened for 20 seconds");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_is_committed_is_on_the_page_in_the_ledger_and_in_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let dir = DataDir::open(dir.path()).unwrap();
    let clock = Clock { now: later, instant: Instant::now };
    let options = TurnOptions { interval: Duration::from_millis(20), ..TurnOptions::new(clock) };

    let mut first = core();
    let ledger = Ledger::open(&dir).unwrap();
    let mut journal_file = journal(&dir, Seq(0));
    recover(&mut first, &ledger, &mut *journal_file).unwrap();
    let (committer, messages) = committer(journal_file);
    let thread = CoreThread::start(first, ledger, messages, committer.handle(), options, None).unwrap();
    let handle = thread.handle();

    let mut evidence = unfinished("task-001", 0);
    evidence.push(result("task-001", 0, TaskState::Succeeded));
    let batch = message(0, evidence).batches.remove(0);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(committer.handle().commit(batch)).unwrap();
    wait_until(|| handle.status().checkpointed == Seq(1) && handle.status().open_jobs == 0);
    wait_until(|| handle.read(|core| net(core, MetricId::Jobs, &[])) == Decimal::ONE);

    let page = String::from_utf8(handle.metrics_page(Format::Text).to_vec()).unwrap();
    for line in [
        "spantally_commit_batches_total 1",
        "spantally_checkpointed_commit_sequence 1",
        "spantally_ledger_failing 0",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in {page}");
    }
    committer.stop().unwrap();
    let ledger = thread.join().unwrap();
    assert_eq!(ledger.applied(), Seq(1));
    drop(ledger);

    let mut second = core();
    let ledger = Ledger::open(&dir).unwrap();
    recover(&mut second, &ledger, &mut *journal(&dir, Seq(0))).unwrap();
    assert_eq!(net(&second, MetricId::Cost, &["delivered"]), Decimal::new(25, 3));
    assert_eq!(second.applied(), Seq(1));
}

/// What settles while no process runs is told by the next one, as any other job is.
#[test]
fn what_became_due_while_nothing_ran_is_told_to_the_listener() {
    let dir = tempfile::tempdir().unwrap();
    let dir = DataDir::open(dir.path()).unwrap();
    let mut evidence = unfinished("task-001", 0);
    evidence.push(result("task-001", 0, TaskState::Succeeded));
    let mut bytes = Vec::new();
    record::encode(&message(1, evidence).batches, &mut bytes);
    journal(&dir, Seq(0)).append(&bytes).unwrap();

    let (mut core, ledger) = (core(), Ledger::open(&dir).unwrap());
    let mut journal = journal(&dir, Seq(0));
    recover(&mut core, &ledger, &mut *journal).unwrap();
    let (committer, messages) = committer(journal);
    let (told, seen) = std::sync::mpsc::channel();
    let listener = Some(Box::new(move |settled: &[Settled]| told.send(settled.len()).unwrap()) as Listener);
    let options = TurnOptions::new(Clock { now: later, instant: Instant::now });
    let thread = CoreThread::start(core, ledger, messages, committer.handle(), options, listener).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(thread.handle().first_look());
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), [1]);
    assert_eq!(thread.handle().read(|core| net(core, MetricId::Cost, &["delivered"])), Decimal::new(25, 3));
    committer.stop().unwrap();
    thread.join().unwrap();
}

/// A job that is over, in a request of its own: what has none is matched with the others.
fn done(number: u8) -> Vec<Evidence> {
    let (task, second) = (format!("task-00{number}"), u64::from(number));
    let mut evidence = unfinished(&task, second);
    evidence.push(result(&task, second, TaskState::Succeeded));
    for call in &mut evidence {
        (call.span.trace, call.parent) = (TraceId([number; 16]), SpanId([number; 8]));
    }
    evidence
}

/// Three jobs are due in one turn, and told one by one. What comes while the first is told is in the ledger
/// before the third is.
#[test]
fn what_comes_while_jobs_are_told_does_not_wait_for_all_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let dir = DataDir::open(dir.path()).unwrap();
    let clock = Clock { now: later, instant: Instant::now };
    let options =
        TurnOptions { interval: Duration::from_millis(20), jobs_per_part: 1, ..TurnOptions::new(clock) };
    let ledger = Ledger::open(&dir).unwrap();
    let reader = ledger.reader().unwrap();
    let (committer, _groups) = committer(journal(&dir, Seq(0)));

    let (sender, messages) = sync_channel(4);
    sender.send(message(1, (1..=3).flat_map(done).collect())).unwrap();
    let (told, seen) = std::sync::mpsc::channel();
    let mut sender = Some(sender);
    let listener = move |settled: &[Settled]| {
        told.send((settled.len(), reader.applied().unwrap())).unwrap();
        if let Some(sender) = sender.take() {
            sender.send(message(2, unfinished("task-004", 3990))).unwrap();
        }
    };
    let listener = Some(Box::new(listener) as Listener);
    let thread = CoreThread::start(core(), ledger, messages, committer.handle(), options, listener).unwrap();
    assert_eq!(thread.join().unwrap().applied(), Seq(2));
    committer.stop().unwrap();
    let seen: Vec<_> = seen.iter().take(3).collect();
    assert_eq!((seen[0].0, &seen[1..]), (1, &[(1, Seq(1)), (1, Seq(2))][..]));
}

/// A listener may wait for a disk: pages and questions do not wait for it, and are answered by what is
/// durable.
#[test]
fn who_asks_does_not_wait_for_a_listener() {
    let dir = tempfile::tempdir().unwrap();
    let dir = DataDir::open(dir.path()).unwrap();
    let ledger = Ledger::open(&dir).unwrap();
    let (committer, _groups) = committer(journal(&dir, Seq(0)));
    let mut core = core();
    core.apply(message(1, done(1)));
    core.advance(at(10));
    core.refresh();
    let (told, seen) = std::sync::mpsc::channel();
    let (sender, go_on) = std::sync::mpsc::channel::<()>();
    let listener = move |settled: &[Settled]| {
        told.send(settled.len()).unwrap();
        go_on.recv_timeout(Duration::from_secs(20)).unwrap();
    };
    let clock = Clock { now: later, instant: Instant::now };
    let options = TurnOptions { interval: Duration::from_millis(20), ..TurnOptions::new(clock) };
    let (last, messages) = sync_channel(4);
    let listener = Some(Box::new(listener) as Listener);
    let thread = CoreThread::start(core, ledger, messages, committer.handle(), options, listener).unwrap();
    let handle = thread.handle();
    assert_eq!(seen.recv_timeout(Duration::from_secs(20)), Ok(1));

    let began = Instant::now();
    let counts_it = || {
        let page = String::from_utf8(handle.metrics_page(Format::Text).to_vec()).unwrap();
        page.lines().any(|line| line.starts_with("spantally_jobs_total{") && line.ends_with("} 1"))
    };
    assert!(!counts_it(), "it is not durable");
    let open = handle.open_jobs(|_| true);
    assert_eq!(open.len(), 1, "the job is in one of the lists");
    assert_eq!(handle.job(open[0].job.id).unwrap().revision, 0);
    assert!(began.elapsed() < Duration::from_secs(10), "the listener is waited for");

    sender.send(()).unwrap();
    wait_until(|| handle.open_jobs(|_| true).is_empty() && handle.status().checkpointed == Seq(1));
    assert!(counts_it());
    drop(last);
    thread.join().unwrap();
    committer.stop().unwrap();
}

/// A job that was taken back and is open again has revisions, and is in the list of open jobs nevertheless.
#[test]
fn a_job_that_was_taken_back_is_among_the_open_ones() {
    fn early() -> UnixNanos {
        at(30)
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = DataDir::open(dir.path()).unwrap();
    let ledger = Ledger::open(&dir).unwrap();
    let (committer, _groups) = committer(journal(&dir, Seq(0)));
    let mut core = core();
    core.apply(message(1, unfinished("task-001", 0)));
    core.advance(at(20));
    core.refresh();
    let job = core.open_jobs()[0].job.clone();
    let gone = Job { id: job.id, state: State::Superseded, ..Job::default() };
    for job in [job.clone(), gone] {
        core.books.publish(Box::new(job), 7, at(20)).unwrap().unwrap();
    }
    let options = TurnOptions::new(Clock { now: early, instant: Instant::now });
    let (sender, messages) = sync_channel(4);
    let thread = CoreThread::start(core, ledger, messages, committer.handle(), options, None).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(thread.handle().first_look());
    let open = thread.handle().open_jobs(|_| true);
    assert_eq!(open.iter().map(|open| open.job.id).collect::<Vec<_>>(), [job.id]);
    drop(sender);
    thread.join().unwrap();
    committer.stop().unwrap();
}

/// Eight or nine parts in an hour: the next turn is due after a part's time, and not after another hour.
#[test]
fn after_a_turn_of_many_parts_the_next_one_is_soon() {
    static MINUTES: AtomicU64 = AtomicU64::new(0);
    fn instant() -> Instant {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        *BEGAN + Duration::from_secs(60 * MINUTES.load(Ordering::SeqCst))
    }
    fn now() -> UnixNanos {
        at(60 * MINUTES.load(Ordering::SeqCst))
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = DataDir::open(dir.path()).unwrap();
    let clock = Clock { now, instant };
    let options =
        TurnOptions { interval: Duration::from_hours(1), jobs_per_part: 1, ..TurnOptions::new(clock) };
    let ledger = Ledger::open(&dir).unwrap();
    let (committer, _groups) = committer(journal(&dir, Seq(0)));
    let (sender, messages) = sync_channel(4);
    let (told, seen) = std::sync::mpsc::channel();
    let listener = Some(Box::new(move |settled: &[Settled]| told.send(settled.len()).unwrap()) as Listener);
    let thread = CoreThread::start(core(), ledger, messages, committer.handle(), options, listener).unwrap();

    let send_at = |minutes: u64, message| {
        MINUTES.store(minutes, Ordering::SeqCst);
        let applied = thread.handle().status().applied.0 + 1;
        sender.send(message).unwrap();
        wait_until(|| thread.handle().status().applied.0 == applied);
    };
    // The thread has begun when this is applied.
    send_at(0, message(1, Vec::new()));
    send_at(60, message(2, (1..=8).flat_map(done).collect()));
    for _ in 0..8 {
        assert_eq!(seen.recv_timeout(Duration::from_secs(20)), Ok(1));
    }
    send_at(65, message(3, done(9)));
    assert!(seen.recv_timeout(Duration::from_millis(200)).is_err(), "it is told early");
    send_at(68, message(4, Vec::new()));
    assert_eq!(seen.recv_timeout(Duration::from_secs(20)), Ok(1));
    drop(sender);
    thread.join().unwrap();
    committer.stop().unwrap();
}

/// Open jobs are gone through in parts: what is shown is what it would be in one, at the end and not before.
#[test]
fn gauges_of_open_jobs_change_when_the_last_part_is_done() {
    let with_jobs = || {
        let own_trace = |number: u8| {
            let mut evidence = unfinished(&format!("task-00{number}"), u64::from(number));
            for call in &mut evidence {
                (call.span.trace, call.parent) = (TraceId([number; 16]), SpanId([number; 8]));
            }
            evidence
        };
        let alone = unfinished("task-008", 30);
        let mut core = core();
        core.apply(message(1, (1..=6).flat_map(own_trace).chain(alone).collect()));
        core.advance(at(60));
        core
    };
    let mut whole = with_jobs();
    whole.refresh();
    assert_eq!(whole.open_count(), 7);

    let (mut core, mut refresh, mut parts) = (with_jobs(), Refresh::default(), 1);
    let before = page(&core);
    while core.refresh_some(&mut refresh, 1) {
        assert_eq!(page(&core), before);
        parts += 1;
    }
    // One each, and one to see that none has frozen meanwhile.
    assert_eq!((parts, core.open_jobs()), (8, whole.open_jobs()));
    assert_eq!(page(&core), page(&whole));

    // What comes meanwhile is in it or not, and what there was is.
    let (mut core, mut refresh) = (with_jobs(), Refresh::default());
    assert!(core.refresh_some(&mut refresh, 3));
    core.apply(message(2, unfinished("task-009", 40)));
    while core.refresh_some(&mut refresh, 3) {}
    assert!((7..=8).contains(&core.open_count()));
}

#[test]
fn what_the_ledger_does_not_have_yet_is_replayed_from_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let dir = DataDir::open(dir.path()).unwrap();
    {
        let (committer, messages) = committer(journal(&dir, Seq(0)));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let batch = message(0, unfinished("task-001", 0)).batches.remove(0);
        runtime.block_on(committer.handle().commit(batch)).unwrap();
        committer.stop().unwrap();
        drop(messages);
    }
    let mut core: Core = core();
    let ledger = Ledger::open(&dir).unwrap();
    recover(&mut core, &ledger, &mut *journal(&dir, Seq(0))).unwrap();
    core.wake(at(60));
    assert_eq!(core.open_jobs().len(), 1);
    assert_eq!(net(&core, MetricId::SpansReceived, &["grpc"]), Decimal::from(10));
    let view = core.job(core.open_jobs()[0].job.id).unwrap();
    assert_eq!((view.revision, view.job.attempts.len()), (0, 1));
}
