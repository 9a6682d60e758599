//! Faults of a whole process: killed at any moment, and a file that may not grow.
//!
//! The tests start this test binary again as a child that runs one of the two ignored tests below.

#![allow(clippy::unwrap_used, reason = "all of this file is tests")]

use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, thread};

use spantally_store::{
    Checkpoint, DataDir, Detail, Dropped, Durability, JobRow, Journal, JournalOptions, Ledger, Seq,
    SqliteJournal, StoreError,
};

const OPTIONS: JournalOptions =
    JournalOptions { primed_bytes: 1 << 20, max_bytes: 1 << 30, durability: Durability::Strict };
const DIR: &str = "SPANTALLY_TEST_DIR";

/// The bytes of a row follow from its number, so that the parent can check what it never saw written.
fn payload(seq: u64) -> Vec<u8> {
    let len = seq.wrapping_mul(7919) % 60_000;
    (0..len).map(|at| (at.wrapping_mul(31) ^ seq) as u8).collect()
}

fn child(test: &str, dir: &Path, launcher: &[&str]) -> Child {
    let exe = env::current_exe().unwrap();
    let mut words: Vec<&str> = launcher.to_vec();
    words.extend([exe.to_str().unwrap(), "--exact", test, "--ignored", "--nocapture"]);
    Command::new(words[0])
        .args(&words[1..])
        .env(DIR, dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

fn dir_of_child() -> DataDir {
    let dir = env::var_os(DIR).expect("started by the other tests of this file only");
    DataDir::open(Path::new(&dir)).unwrap()
}

fn say(word: &str, number: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{word} {number}").unwrap();
    out.flush().unwrap();
}

/// The number on the line when it has the word; the test harness of the child writes lines of its own.
fn heard(line: &str, word: &str) -> Option<u64> {
    line.strip_prefix(word)?.strip_prefix(' ')?.parse().ok()
}

fn open(dir: &DataDir) -> (Ledger, SqliteJournal) {
    let ledger = Ledger::open(dir).unwrap();
    let journal = SqliteJournal::open(dir, (ledger.applied(), ledger.done()), OPTIONS).unwrap();
    (ledger, journal)
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

/// A checkpoint whose rows follow from the position: one job a row of the journal.
fn checkpoint(after: Seq, applied: Seq) -> Checkpoint {
    let jobs = (after.0 + 1..=applied.0).map(|seq| JobRow {
        job_id: u128::from(seq.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes(),
        revision: 1,
        settled_at: seq,
        detail: Detail::Whole(hex(&payload(seq).into_iter().take(1000).collect::<Vec<_>>())),
        ..JobRow::default()
    });
    Checkpoint {
        applied,
        done: applied,
        jobs: jobs.collect(),
        open: vec![(applied.0 % 10, Some(applied.0.to_be_bytes().to_vec()))],
        ..Checkpoint::default()
    }
}

#[test]
#[ignore = "the child of nothing_acknowledged_is_lost_when_killed"]
fn appends_until_killed() {
    let dir = dir_of_child();
    let (mut ledger, mut journal) = open(&dir);
    loop {
        let batch = payload(journal.last().0 + 1);
        let seq = journal.append(&batch).unwrap();
        say("durable", seq.0);
        if seq.0 % 10 == 0 {
            ledger.checkpoint(&checkpoint(ledger.applied(), seq)).unwrap();
            say("applied", seq.0);
        }
        let _: Dropped = journal.drop_to(ledger.applied()).unwrap();
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_killed() {
    let dir = tempfile::tempdir().unwrap();
    let (mut durable, mut applied, mut random) = (0, 0, 0x2545_f491_4f6c_dd1d_u64);
    for round in 0..20 {
        let mut child = child("appends_until_killed", dir.path(), &[]);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // After a few rows, at any moment: in an append, a checkpoint, a slice of dropping.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (rows, pause) = (10 + (random >> 40) % 30, Duration::from_micros((random >> 50) % 4000));
        let mut heard_rows = 0;
        for line in lines.map_while(Result::ok) {
            applied = applied.max(heard(&line, "applied").unwrap_or(0));
            if let Some(seq) = heard(&line, "durable") {
                durable = durable.max(seq);
                heard_rows += 1;
            }
            if heard_rows == rows {
                thread::sleep(pause);
                // What it said before it died is still read.
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        check_after_kill(dir.path(), round, durable, applied);
    }
    assert!(durable > 200 && applied > 50, "too little was tried: {durable} durable, {applied} applied");
}

fn check_after_kill(dir: &Path, round: u32, durable: u64, applied: u64) {
    let (ledger, mut journal) = open(&DataDir::open(dir).unwrap());
    let found = ledger.applied();
    assert!(found.0 >= applied, "round {round}: checkpoint {applied} is lost, the ledger is at {found}");
    let mut last = found;
    journal
        .replay(found, &mut |seq, batch| {
            assert_eq!(seq.0, last.0 + 1, "round {round}: a row is missing");
            assert!(batch == payload(seq.0), "round {round}: row {seq} is not as it was written");
            last = seq;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(last.0 >= durable, "round {round}: row {durable} was acknowledged, the last there is {last}");
    // A checkpoint is there whole: as many jobs as rows that it covers.
    let mut jobs = 0;
    ledger.reader().unwrap().load_settled(0, |_| jobs += 1).unwrap();
    assert_eq!(jobs, found.0, "round {round}: a checkpoint is there in part");
}

#[test]
#[ignore = "the child of a_file_that_may_not_grow_refuses_until_it_may"]
fn appends_through_a_refusal() {
    let dir = dir_of_child();
    let mut journal = SqliteJournal::open(&dir, (Seq(0), Seq(0)), OPTIONS).unwrap();
    let (mut refused, mut after) = (0, 0);
    while after < 20 {
        match journal.append(&payload(journal.last().0 + 1)) {
            Ok(seq) => {
                say("durable", seq.0);
                after += u64::from(refused > 0);
            }
            Err(error) => {
                assert!(
                    matches!(error, StoreError::Full { .. } | StoreError::Sqlite { .. }) && after == 0,
                    "{error}"
                );
                refused += 1;
                assert!(refused < 5000, "service did not return: {error}");
                if refused == 1 {
                    say("refused", journal.last().0 + 1);
                }
                thread::sleep(Duration::from_millis(2));
            }
        }
        // Copying the log may fail as well while the fault lasts; it is tried again.
        let _ = journal.drop_to(Seq(0));
    }
}

#[test]
fn a_file_that_may_not_grow_refuses_until_it_may() {
    let dir = tempfile::tempdir().unwrap();
    // A limit on file size stands in for a full disk; its signal is ignored, so that writes fail instead.
    let launcher = ["prlimit", "--fsize=6000000:unlimited", "sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""];
    let mut child = child("appends_through_a_refusal", dir.path(), &launcher);
    let (mut durable, mut refused) = (0, 0);
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        durable = durable.max(heard(&line, "durable").unwrap_or(0));
        if let Some(seq) = heard(&line, "refused") {
            refused = seq;
            let pid = child.id().to_string();
            let lifted =
                Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited:unlimited"]).status();
            assert!(lifted.unwrap().success());
        }
    }
    assert!(child.wait().unwrap().success(), "the child failed; see its messages above");
    assert!(refused > 1, "nothing was refused");
    assert_eq!(durable, refused + 19, "the refused row is the first one written after the fault");

    let mut journal =
        SqliteJournal::open(&DataDir::open(dir.path()).unwrap(), (Seq(0), Seq(0)), OPTIONS).unwrap();
    let mut last = 0;
    journal
        .replay(Seq(0), &mut |seq, batch| {
            assert_eq!(seq.0, last + 1);
            assert!(batch == payload(seq.0), "row {seq} is half written");
            last = seq.0;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(last, durable);
}
