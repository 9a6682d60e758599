//! Frames that come to a trace of many calls.

use super::*;
use crate::call::{TaskState, Verdict};
use crate::job::Outcome;

fn above(verdict: Option<Verdict>) -> What {
    What::Frame(Frame { kind: FrameKind::Internal, verdict, rare: Rare::default() })
}

#[test]
fn a_late_frame_revises_the_job_of_any_call_of_its_trace() {
    let mut process = Process::new();
    for task in 1..=3 {
        let id = task.to_string();
        let at_ms = 1000 * u64::from(task);
        process.observe(100 + task, 90, at_ms, 100, call("clips", Role::Submit, Some(&id)));
        process.observe(1, 50 + task, at_ms + 500, 100, call("clips", Role::Poll, Some(&id)));
    }
    // A worker asks for tasks of others: its trace ties none of them.
    process.observe(1, 52, 9000, 100, call("clips", Role::Poll, Some("1")));
    let jobs = process.jobs_after(60);
    assert_eq!(jobs.iter().map(|job| job.outcome).collect::<Vec<_>>(), [Outcome::Unknown; 3], "{jobs:#?}");
    let failed = Some(Verdict { state: TaskState::Failed, reason: None });
    process.spans = 53;
    process.send(1, 0, 3400, 400, above(failed));
    let revised = process.stitcher.advance(BEGIN.plus_ms(62 * 60_000));
    let tasks = revised.iter().filter_map(|change| match change {
        Change::Published { job, .. } => Some((job.attempts[0].task_id.clone()?.to_string(), job.outcome)),
        Change::Forgotten(_) => None,
    });
    assert_eq!(tasks.collect::<Vec<_>>(), [("3".to_owned(), Outcome::Failed)], "{revised:#?}");
}

/// However many come between two moments, all calls of their trace are gone through once.
#[test]
fn many_frames_of_a_trace_are_one_reason_to_look_at_it() {
    let mut process = Process::new();
    for number in 0..100 {
        process.spans = 2 * number + 2;
        process.send(1, 2 * number + 3, u64::from(number), 5, call("clips", Role::Sync, None));
        process.spans = 2 * number + 3;
        process.send(1, 1, u64::from(number), 6, above(None));
        assert_eq!(process.stitcher.noted(), usize::from(number > 0), "a lone call is woken at once");
    }
    assert!(process.stitcher.next_deadline().is_some_and(|at| at <= BEGIN.plus_ms(31_000)));
    process.stitcher.advance(BEGIN.plus_ms(1000));
    assert_eq!(process.stitcher.noted(), 0);
    assert_eq!(process.jobs_after(60).len(), 100);
}
