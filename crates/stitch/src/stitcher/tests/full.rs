//! A task that has as many spans as it may keep: before its job settles, after it, and in the next process.

use super::*;

const MOST: usize = 4;

fn poll() -> What {
    call("clips", Role::Poll, Some("a"))
}

/// A submit, more polls than are kept, and the end.
fn send_all(process: &mut Process) -> Vec<Observed> {
    process.spans = 0;
    let polls = std::iter::repeat_with(poll).take(2 * MOST);
    let job = [call("clips", Role::Submit, Some("a"))].into_iter().chain(polls);
    let job = job.chain([call("clips", Role::Result, Some("a"))]);
    let send = |(at, what): (u64, What)| {
        process.spans += 1;
        process.send(1, 9, 1000 * at, 100, what)
    };
    (0..).zip(job).map(send).collect()
}

/// How many jobs are told from one minute to another.
fn published(process: &mut Process, minutes: std::ops::Range<u64>) -> usize {
    let advance = |minute| process.stitcher.advance(BEGIN.plus_ms(minute * 60_000));
    let changes = minutes.flat_map(advance);
    changes.filter(|change| matches!(change, Change::Published { .. })).count()
}

#[test]
fn a_request_that_comes_again_after_its_job_settled_is_taken_as_it_was_before() {
    let mut process = Process::new();
    process.stitcher.set_bounds(MOST, 100);
    let kept = [[Observed::New; MOST].as_slice(), &[Observed::Surplus; MOST + 1], &[Observed::New]].concat();
    assert_eq!(send_all(&mut process), kept);
    assert_eq!(published(&mut process, 0..60), 1);
    let spans = process.stitcher.span_count();
    let again = kept.iter().map(|&first| if first == Observed::New { Observed::Duplicate } else { first });
    assert_eq!(send_all(&mut process), again.collect::<Vec<_>>());
    assert_eq!((published(&mut process, 60..120), process.stitcher.span_count()), (0, spans));
    // What tells something is still taken, and makes a revision.
    assert_eq!(process.send(2, 9, 99_000, 100, call("clips", Role::Cancel, Some("a"))), Observed::New);
    assert_eq!(published(&mut process, 120..180), 1);
}

#[test]
fn what_was_kept_comes_back_whole_where_less_is_kept_now() {
    let mut process = Process::new();
    send_all(&mut process);
    let mut carried = Vec::new();
    process.stitcher.carry(u64::MAX, |number, came, evidence| {
        carried.push((number, came, evidence.iter().copied().cloned().collect::<Vec<_>>()));
    });
    let mut next = Process::new();
    next.stitcher.set_bounds(MOST, 100);
    for (number, came, evidence) in carried {
        next.stitcher.restore(number, came, evidence);
    }
    assert_eq!(next.stitcher.span_count(), 2 * MOST + 2);
    assert_eq!(next.send(2, 9, 99_000, 100, poll()), Observed::Surplus, "but no more of it");
}
