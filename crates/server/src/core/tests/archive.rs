//! A ledger that cannot be read for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use rust_decimal::Decimal;
use spantally_stitch::{JobId, TaskState};
use spantally_store::{
    DataDir, JournalOptions, Ledger, LedgerReader, Published, Seq, SqliteJournal, StoreError,
};

use super::fixture::*;
use crate::commit::{CommitOptions, Committer};
use crate::core::{Archive, Clock, Core, CoreEndError, CoreOptions, CoreThread, TurnOptions};
use crate::export::MetricId;

/// A ledger of which so many questions more of each kind fail.
#[derive(Debug)]
struct Faulty {
    reader: LedgerReader,
    failures: Arc<[AtomicUsize; 2]>,
}

impl Faulty {
    fn ask<T>(
        &self,
        kind: usize,
        read: impl FnOnce(&LedgerReader) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let left = &self.failures[kind];
        let fails = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if fails.is_ok() {
            return Err(StoreError::InUse { path: "ledger.db".into() });
        }
        read(&self.reader)
    }
}

impl Archive for Faulty {
    fn has(&self, id: JobId) -> Result<bool, StoreError> {
        self.ask(0, |reader| Archive::has(reader, id))
    }

    fn read(&self, id: JobId) -> Result<Option<Published>, StoreError> {
        self.ask(1, |reader| Archive::read(reader, id))
    }

    fn is_ledger(&self) -> bool {
        true
    }
}

/// A job that is new but as old as what was forgotten, and one that is revised: both wait for the ledger, and
/// are then booked as if nothing had been.
#[test]
fn what_cannot_be_looked_up_is_booked_when_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&DataDir::open(dir.path()).unwrap()).unwrap();
    let mut core = core();
    let failures = Arc::new([const { AtomicUsize::new(0) }; 2]);
    let archive = Faulty { reader: ledger.reader().unwrap(), failures: Arc::clone(&failures) };
    core.set_archive(Box::new(archive));
    core.apply(message(1, unfinished("task-001", 0)));
    turn(&mut core, &mut ledger, 4000);
    let counts = |core: &Core| {
        let cause = |cause: &str| net(core, MetricId::Cost, &[&format!("cause=\"{cause}\"")]);
        (net(core, MetricId::Jobs, &[]), cause("unverified"), cause("delivered"))
    };
    let price = Decimal::new(25, 3);
    assert_eq!(counts(&core), (Decimal::ONE, price, Decimal::ZERO));

    // Of what began before this only the ledger knows.
    core.books.forgotten.restore(at(3900));
    core.apply(message(2, vec![result("task-001", 0, TaskState::Succeeded)]));
    let mut other = unfinished("task-002", 3800);
    other.push(result("task-002", 3800, TaskState::Succeeded));
    core.apply(message(3, other));
    failures[0].store(2, Ordering::SeqCst);
    failures[1].store(3, Ordering::SeqCst);
    let mut failed = 0;
    for second in (4100..4120).step_by(2) {
        core.resume(at(second));
        turn(&mut core, &mut ledger, second);
        failed += u32::from(core.read_failure().is_some());
        assert_eq!(core.now(), if core.read_failure().is_some() { at(4100) } else { at(second) });
    }
    assert_eq!(failed, 5, "each turn tries once, and goes on when it succeeds");
    assert!(failures.iter().all(|left| left.load(Ordering::SeqCst) == 0), "both kinds were asked");
    assert_eq!(counts(&core), (Decimal::TWO, Decimal::ZERO, price * Decimal::TWO));
    assert_eq!(net(&core, MetricId::LateJobs, &[]), Decimal::ZERO);
    let mut report = crate::verify::Report::default();
    crate::verify::verify_ledger(&ledger.reader().unwrap(), &mut report).unwrap();
    assert_eq!((report.checked.rows, report.count), (3, 0), "{report:?}");
}

/// Who stops the server is told that it did not book everything, and where that is.
#[test]
fn a_stop_while_changes_wait_for_the_ledger_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let dir = DataDir::open(dir.path()).unwrap();
    let ledger = Ledger::open(&dir).unwrap();
    let mut core = core();
    let failures = Arc::new([const { AtomicUsize::new(usize::MAX) }; 2]);
    core.set_archive(Box::new(Faulty { reader: ledger.reader().unwrap(), failures }));
    core.books.forgotten.restore(at(3900));
    let mut evidence = unfinished("task-001", 3800);
    evidence.push(result("task-001", 3800, TaskState::Succeeded));
    core.apply(message(1, evidence));

    let journal = SqliteJournal::open(&dir, (Seq(0), Seq(0)), JournalOptions::default()).unwrap();
    let (unused, _groups) = sync_channel(1);
    let committer = Committer::start(Box::new(journal), CommitOptions::default(), unused).unwrap();
    let options = TurnOptions::new(Clock { now: || at(8000), instant: Instant::now });
    let (sender, messages) = sync_channel(1);
    let thread = CoreThread::start(core, ledger, messages, committer.handle(), options, None).unwrap();
    drop(sender);
    let error = thread.join().unwrap_err();
    assert!(matches!(error, CoreEndError::Unread { changes: 1, .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("changes of jobs wait (1)") && said.contains("in the journal"), "{said}");
    committer.stop().unwrap();
}

/// Jobs that are given up at a limit are told and forgotten at once. A process that is killed while they wait
/// for the ledger leaves them to the next one, which books them.
#[test]
fn what_waits_and_is_forgotten_already_is_booked_by_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&DataDir::open(dir.path()).unwrap()).unwrap();
    let bounded = || {
        let mut options = CoreOptions::default();
        options.stitching.max_open_jobs = 20;
        Core::new(&options, cards(), at(0))
    };
    let mut core = bounded();
    let failures = Arc::new([const { AtomicUsize::new(usize::MAX) }; 2]);
    core.set_archive(Box::new(Faulty { reader: ledger.reader().unwrap(), failures }));
    core.books.forgotten.restore(at(3900));
    let journal: Vec<_> =
        (0..25).map(|job| message(job + 1, unfinished(&format!("task-{job:03}"), 10 * job))).collect();
    for group in &journal {
        core.apply(group.clone());
    }
    turn(&mut core, &mut ledger, 300);
    assert!(core.read_failure().is_some() && core.waiting.len() > 7, "{}", core.waiting.len());
    drop(core);

    let mut next = bounded();
    next.restore(&ledger).unwrap();
    for group in &journal {
        next.rehydrate(group.clone());
    }
    next.finish_rehydration();
    turn(&mut next, &mut ledger, 302);
    let counts = [MetricId::Jobs, MetricId::SpansLate].map(|metric| net(&next, metric, &[]));
    assert_eq!(counts, [Decimal::from(25 - 18), Decimal::ZERO]);
    assert_eq!(next.open_count(), 18);
}
