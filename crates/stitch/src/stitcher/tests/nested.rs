//! One request that two spans show.

use super::*;

/// The spans of the jobs, by the number they were sent with.
fn spans_of(jobs: &[Job]) -> Vec<Vec<u8>> {
    let spans = |job: &Job| {
        let calls = job.attempts.iter().flat_map(|attempt| &attempt.calls).map(|call| call.span);
        let mut spans: Vec<u8> = calls.chain(job.spans.iter().copied()).map(|span| span.span.0[0]).collect();
        spans.sort_unstable();
        spans
    };
    jobs.iter().map(spans).collect()
}

#[test]
fn a_request_that_is_sent_on_is_one_call_whichever_span_comes_first() {
    // The parent of the outer span, when the inner one begins, and whether they are one call.
    for (parent, start_ms, same) in [(0, 100, true), (200, 100, true), (0, 5_000, false), (200, 5_000, false)]
    {
        for inner_first in [false, true] {
            let mut process = Process::new();
            let inner = |process: &mut Process| {
                process.spans = 50;
                process.send(1, 99, start_ms, 300, call("clips", Role::Sync, None));
            };
            if inner_first {
                inner(&mut process);
            }
            process.spans = 99;
            process.send(1, parent, 0, 4000, call("clips", Role::Sync, None));
            if !inner_first {
                inner(&mut process);
            }
            let jobs = process.jobs_after(40);
            let expected = if same { vec![vec![50, 99]] } else { vec![vec![99], vec![50]] };
            let mut found = spans_of(&jobs);
            found.sort_unstable_by_key(|spans| std::cmp::Reverse(spans[0]));
            let case = format!("below {parent} at {start_ms} ms, the inner one first: {inner_first}");
            assert_eq!(found, expected, "{case}: {jobs:#?}");
        }
    }
}

#[test]
fn what_is_sent_again_in_between_is_an_attempt_each_time() {
    let mut process = Process::new();
    let outer = process.observe(1, 0, 0, 4000, call("clips", Role::Sync, None));
    let What::Call(mut shed) = call("clips", Role::Sync, None) else { unreachable!() };
    (shed.answer, shed.accepted) = (Answer::Status(503), Accepted::No);
    let refused = process.observe(1, outer, 100, 300, What::Call(shed));
    let taken = process.observe(1, outer, 500, 3000, call("clips", Role::Sync, None));
    let jobs = process.jobs_after(40);
    let attempts: Vec<Vec<u8>> = jobs
        .iter()
        .flat_map(|job| &job.attempts)
        .map(|attempt| attempt.calls.iter().map(|call| call.span.span.0[0]).collect())
        .collect();
    assert_eq!(attempts, [vec![refused], vec![taken]], "{jobs:#?}");
    assert!(jobs[0].spans.iter().any(|span| span.span.0[0] == outer), "{jobs:#?}");
}
