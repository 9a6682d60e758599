//! Spans that stand for a call until its requests are seen.

use super::*;
use crate::call::CallRare;
use crate::frame::FrameRare;
use crate::job::JoinRule;

/// A span around a call of a provider, which stands for it.
fn stand_in(provider: &str) -> What {
    let What::Call(mut known) = call(provider, Role::Sync, None) else { unreachable!() };
    known.rare = Rare::new(CallRare { stands_in: true, ..CallRare::default() });
    let rare = FrameRare { call: Some(Box::new(known)), ..FrameRare::default() };
    What::Frame(Frame { kind: FrameKind::Operation, verdict: None, rare: Rare::new(rare) })
}

/// The spans that started the jobs, by the number they were sent with.
fn started_by(jobs: &[Job]) -> Vec<u8> {
    let mut spans: Vec<u8> =
        jobs.iter().flat_map(|job| &job.attempts).map(|attempt| attempt.calls[0].span.span.0[0]).collect();
    spans.sort_unstable();
    spans
}

#[test]
fn a_span_without_a_request_is_a_job_and_comes_twice_for_nothing() {
    for parent in [0, 200] {
        let mut process = Process::new();
        let span = process.observe(1, parent, 0, 4000, stand_in("clips"));
        assert_eq!(process.send(1, parent, 0, 4000, stand_in("clips")), Observed::Duplicate);
        let jobs = process.jobs_after(40);
        assert_eq!(started_by(&jobs), [span], "{jobs:#?}");
    }
}

/// Whoever checks a bill sees which calls no request was seen of.
#[test]
fn a_call_that_is_known_by_a_span_alone_says_so_until_a_request_is_seen() {
    let known_by = |jobs: &[Job]| -> Vec<u8> {
        let joins = jobs.iter().flat_map(|job| &job.attempts).flat_map(|attempt| &attempt.joins);
        let known = joins.filter(|join| join.rule == JoinRule::GenaiSpan);
        known.map(|join| join.span.unwrap().span.0[0]).collect()
    };
    let mut process = Process::new();
    let span = process.observe(1, 0, 0, 4000, stand_in("clips"));
    process.observe(2, 0, 90_000, 300, call("clips", Role::Sync, None));
    let jobs = process.jobs_after(40);
    assert_eq!((jobs.len(), known_by(&jobs)), (2, vec![span]), "{jobs:#?}");
    process.observe(1, span, 100, 300, call("clips", Role::Sync, None));
    for at in 41..80 {
        process.stitcher.advance(BEGIN.plus_ms(at * 60_000));
    }
    let jobs = process.stitcher.jobs();
    assert_eq!((jobs.len(), known_by(&jobs)), (2, Vec::new()), "{jobs:#?}");
}

#[test]
fn a_request_below_it_or_beside_it_is_the_call_whichever_comes_first() {
    // Trace, whether it is below, provider, start, and whether it is the same work.
    for (trace, below, provider, start_ms, same) in [
        (1, true, "clips", 100, true),
        (1, true, "another host", 100, true),
        (1, false, "clips", 100, true),
        (2, false, "clips", 100, true),
        (2, false, "songs", 100, false),
        (2, false, "clips", 60_000, false),
        (1, false, "clips", 60_000, false),
    ] {
        for request_first in [false, true] {
            let mut process = Process::new();
            let send_request = |process: &mut Process| {
                let parent = if below { 99 } else { 0 };
                process.spans = 50;
                process.send(trace, parent, start_ms, 300, call(provider, Role::Sync, None));
            };
            if request_first {
                send_request(&mut process);
            }
            process.spans = 99;
            process.send(1, 0, 0, 4000, stand_in("clips"));
            if !request_first {
                send_request(&mut process);
            }
            let wanted: &[u8] = if same { &[50] } else { &[50, 99] };
            let jobs = process.jobs_after(40);
            let case = format!("{trace} {below} {provider} {start_ms} first: {request_first}");
            assert_eq!(started_by(&jobs), wanted, "{case} {jobs:#?}");
        }
    }
}

#[test]
fn a_request_that_comes_when_the_job_was_told_takes_its_place() {
    let mut process = Process::new();
    let span = process.observe(1, 0, 0, 4000, stand_in("clips"));
    assert_eq!(started_by(&process.jobs_after(40)), [span]);
    let request = process.observe(1, span, 100, 300, call("clips", Role::Sync, None));
    let told: Vec<Change> =
        (41..80).flat_map(|at| process.stitcher.advance(BEGIN.plus_ms(at * 60_000))).collect();
    let states: Vec<_> = told
        .iter()
        .filter_map(|change| match change {
            Change::Published { job, .. } => Some(job.state),
            Change::Forgotten(_) => None,
        })
        .collect();
    assert!(states.contains(&crate::State::Superseded), "{told:#?}");
    assert_eq!(started_by(&process.stitcher.jobs()), [request]);
}

#[test]
fn the_lowest_of_several_is_the_call() {
    let mut process = Process::new();
    let outer = process.observe(1, 0, 0, 4000, stand_in("clips"));
    let inner = process.observe(1, outer, 100, 3000, stand_in("clips"));
    assert_eq!(started_by(&process.jobs_after(40)), [inner]);
}

/// A worker whose life is one trace: spans of jobs that are over leave it with their requests.
#[test]
fn in_a_crowd_no_span_is_left_behind_to_be_a_job() {
    let mut process = Process::new();
    let mut requests = Vec::new();
    for job in 0..60_u64 {
        let span = process.observe(1, 0, job * 5000, 4000, stand_in("clips"));
        requests.push(process.observe(1, span, job * 5000 + 100, 300, call("clips", Role::Sync, None)));
    }
    let jobs = process.jobs_after(120);
    assert_eq!(started_by(&jobs), requests);
    assert_eq!(started_by(&process.stitcher.jobs()), requests);
}

#[test]
fn what_was_carried_over_a_restart_is_what_it_was() {
    let mut before = Process::new();
    let alone = before.observe(1, 0, 0, 4000, stand_in("clips"));
    let outer = before.observe(2, 0, 90_000, 4000, stand_in("clips"));
    let request = before.observe(2, outer, 90_100, 300, call("clips", Role::Sync, None));
    let mut after = Process::new();
    let mut kept = Vec::new();
    before.stitcher.carry(u64::MAX, |number, came, spans| {
        kept.push((number, came, spans.iter().map(|&span| span.clone()).collect::<Vec<_>>()));
    });
    kept.sort_by_key(|(number, ..)| *number);
    for (number, came, spans) in kept {
        after.stitcher.restore(number, came, spans);
    }
    after.stitcher.recall();
    assert_eq!(started_by(&after.jobs_after(40)), [alone, request]);
}
