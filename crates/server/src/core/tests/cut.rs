//! A turn that was cut off between two of its parts: what is on disk is sound, though not all that was due.

use spantally_stitch::{Evidence, Settings, SpanId, TaskState, TraceId};
use spantally_store::{DataDir, Journal as _, JournalOptions, Ledger, Seq, SqliteJournal};

use super::fixture::*;
use crate::commit::CommitMessage;
use crate::core::Core;
use crate::record;

/// A job of a trace of its own, with its end or without.
fn job(number: u8, end: Option<TaskState>) -> Vec<Evidence> {
    let (task, second) = (format!("task-00{number}"), u64::from(number));
    let mut evidence = unfinished(&task, second);
    evidence.extend(end.map(|state| result(&task, second, state)));
    for call in &mut evidence {
        (call.span.trace, call.parent) = (TraceId([number; 16]), SpanId([number; 8]));
    }
    evidence
}

#[test]
fn a_directory_of_a_turn_that_was_cut_off_is_sound() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(dir.path()).unwrap();
    let mut ledger = Ledger::open(&data).unwrap();
    let options = JournalOptions { primed_bytes: 1 << 20, ..JournalOptions::default() };
    let mut journal = SqliteJournal::open(&data, (Seq(0), Seq(0)), options).unwrap();
    let mut core = core();
    let mut take = |core: &mut Core, message: CommitMessage| {
        let mut bytes = Vec::new();
        record::encode(&message.batches, &mut bytes);
        assert_eq!(journal.append(&bytes).unwrap(), message.seq);
        core.apply(message);
    };
    let verified = || {
        let report = crate::verify::verify(dir.path(), &Settings::default(), &cards()).unwrap();
        (report.count, report.differences, report.checked.rebuilt_jobs)
    };
    // Two are settled without an end. In the turn after that their ends are due, and two more jobs.
    take(&mut core, message(1, (1..=2).flat_map(|number| job(number, None)).collect()));
    turn(&mut core, &mut ledger, 4000);
    assert_eq!(verified(), (0, Vec::new(), 2));
    let ended = |number| job(number, Some(TaskState::Succeeded));
    take(&mut core, message(2, (1..=4).flat_map(ended).collect()));
    let mut parts = Vec::new();
    loop {
        let (settled, more) = core.advance_some(at(4100), 1);
        ledger.checkpoint(&core.checkpoint()).unwrap();
        parts.push(settled.len());
        let (count, differences, _) = verified();
        assert_eq!((count, differences), (0, Vec::new()), "after parts of {parts:?}");
        if !more {
            break;
        }
    }
    assert!(parts.len() > 3 && parts.iter().sum::<usize>() == 4, "{parts:?}");
    assert_eq!(verified(), (0, Vec::new(), 4));
}
