//! A journal that is written can be copied.

use super::*;
use crate::JournalCopy;

/// First group, and all groups, of a copy.
fn copied(dir: &Path) -> (Option<Seq>, Vec<(u64, Vec<u8>)>) {
    let copy = JournalCopy::take(dir).unwrap().unwrap();
    let mut found = Vec::new();
    copy.visit(&mut |seq, batch| {
        found.push((seq.0, batch.unwrap().to_vec()));
        ControlFlow::Continue(())
    })
    .unwrap();
    (copy.first().unwrap(), found)
}

#[test]
fn a_copy_has_what_was_appended_while_the_file_is_locked_and_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), Seq(0)).unwrap();
    let row = |seq: u64| format!("row {seq} ").repeat(2000).into_bytes();
    for seq in 1..=300 {
        journal.append(&row(seq)).unwrap();
        drop_all(&mut journal, Seq(seq.saturating_sub(40)));
        if seq % 50 == 0 {
            let (first, found) = copied(dir.path());
            let oldest = seq - 39;
            assert_eq!(first, Some(Seq(oldest)));
            assert_eq!(found, (oldest..=seq).map(|seq| (seq, row(seq))).collect::<Vec<_>>());
        }
    }
    drop(journal);
    assert_eq!(copied(dir.path()).1.len(), 40, "closed, with a log that was left");
    let empty = tempfile::tempdir().unwrap();
    assert!(JournalCopy::take(empty.path()).unwrap().is_none());
}

/// What is written while the copy is made is in it or not, and everything before is.
#[test]
fn a_copy_beside_a_busy_writer_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), Seq(0)).unwrap();
    journal.append(b"first").unwrap();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let written = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(1));
    let so_far = std::sync::Arc::clone(&written);
    let row = vec![7; 30_000];
    let writer = std::thread::spawn(move || {
        while stopped.try_recv().is_err() {
            let seq = journal.append(&row).unwrap();
            so_far.store(seq.0, std::sync::atomic::Ordering::SeqCst);
            drop_all(&mut journal, Seq(seq.0.saturating_sub(20)));
        }
    });
    for _ in 0..20 {
        let before = written.load(std::sync::atomic::Ordering::SeqCst);
        let (first, found) = copied(dir.path());
        let numbers: Vec<u64> = found.iter().map(|(seq, _)| *seq).collect();
        let first = first.unwrap().0;
        assert_eq!(numbers, (first..first + numbers.len() as u64).collect::<Vec<_>>(), "no gap");
        assert!(*numbers.last().unwrap() >= before, "{before} was acknowledged");
    }
    stop.send(()).unwrap();
    writer.join().unwrap();
}
