//! Jobs as they look between two turns: one by its id, and all that are open.

use super::*;
use crate::stitcher::{OpenCursor, Sought};

/// Of what came since the last look no job has a name yet; it is looked at for the answer, and no more is.
#[test]
fn a_job_is_found_by_its_id_before_and_after_it_was_looked_at() {
    let mut process = Process::new();
    process.observe(1, 9, 0, 100, call("clips", Role::Submit, Some("a")));
    let ids = |process: &mut Process| -> Vec<_> {
        process.stitcher.open_jobs().into_iter().map(|job| job.id).collect()
    };
    let first = ids(&mut process)[0];
    assert_eq!(process.stitcher.job(first).map(|job| job.id), Some(first));
    process.stitcher.advance(BEGIN.plus_ms(40_000));
    assert_eq!(process.stitcher.job(first).map(|job| job.id), Some(first));
    process.observe(1, 8, 41_000, 100, call("clips", Role::Submit, Some("b")));
    let both = ids(&mut process);
    assert_eq!((both.len(), both[0]), (2, first));
    assert!(both.into_iter().all(|id| process.stitcher.job(id).is_some_and(|job| job.id == id)));
    assert!(process.stitcher.job(JobId([7; 16])).is_none());
}

/// Whoever asks for an id that is unknown must not hold up everybody else for as long as all that is new
/// takes to look at.
#[test]
fn a_job_is_sought_in_parts_among_what_was_not_looked_at() {
    let mut process = Process::new();
    for trace in 1..=100 {
        process.observe(trace, 9, 0, 100, call("clips", Role::Submit, Some(&trace.to_string())));
    }
    let jobs = process.stitcher.open_jobs();
    let seek = |process: &Process, id, cursor: &mut OpenCursor| {
        let mut parts = 1;
        loop {
            match process.stitcher.seek_job(id, cursor, 10) {
                Sought::More => parts += 1,
                Sought::Found(job) => return (Some(job.id), parts),
                Sought::Absent => return (None, parts),
            }
        }
    };
    for job in jobs.iter().step_by(20) {
        let (found, parts) = seek(&process, job.id, &mut OpenCursor::default());
        assert!(found == Some(job.id) && parts <= 10, "{parts} parts");
    }
    let unknown = JobId([7; 16]);
    assert_eq!(seek(&process, unknown, &mut OpenCursor::default()), (None, 10));

    // One that was passed by and settles between two parts has a home by then.
    let mut cursor = OpenCursor::default();
    assert_eq!(process.stitcher.seek_job(unknown, &mut cursor, 10), Sought::More);
    process.stitcher.advance(BEGIN.plus_ms(40_000));
    assert_eq!(seek(&process, jobs[0].id, &mut cursor), (Some(jobs[0].id), 1));
    assert_eq!(seek(&process, unknown, &mut OpenCursor::default()), (None, 1), "all was looked at");
}

/// Two ties may exclude each other; whichever was kept first, the same one holds wherever they are solved.
#[test]
fn ties_hold_in_one_order_however_they_are_kept() {
    let pin = |made| {
        let (rule, confidence) = (JoinRule::TraceOrder, crate::Confidence::Strong);
        Pin { shot: 0, made, rule, confidence, margin: None, instead: None }
    };
    let jobs = |pins: [Pin; 2]| {
        let mut process = Process::new();
        process.observe(1, 9, 0, 100, call("clips", Role::Submit, None));
        process.observe(1, 9, 9000, 100, call("clips", Role::Poll, Some("a")));
        process.observe(1, 9, 9000, 100, call("clips", Role::Poll, Some("b")));
        process.stitcher.pockets.get_mut(0).unwrap().pins.extend(pins);
        (process.stitcher.open_jobs(), process.jobs_after(60))
    };
    let found = jobs([pin(1), pin(2)]);
    assert_eq!(found, jobs([pin(2), pin(1)]));
    let submits = found.1.iter().flat_map(|job| &job.attempts).filter(|one| one.count(Role::Submit) > 0);
    assert_eq!(submits.map(|one| one.task_id.clone()).collect::<Vec<_>>(), [Some(TaskId::new("a"))]);
}
