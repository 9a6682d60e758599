//! What is sent again: which of several equal calls goes on with which.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::call::{Call, Endpoint, Role, TaskState, Verdict};
use crate::evidence::{Evidence, What};
use crate::failure::FailureReason;
use crate::id::SpanId;
use crate::settings::Settings;
use crate::solve::callback::Constants;
use crate::solve::storm::{Storm, ask_for, drawn, mark, trace};
use crate::solve::{group, hooks, retry, solve};

fn call_of(evidence: &mut Evidence) -> &mut Call {
    match &mut evidence.what {
        What::Call(call) => call,
        What::Frame(_) => unreachable!("a storm has calls only"),
    }
}

/// Failed submits of a storm with the submits that were sent instead.
fn retries(storm: &Storm) -> Vec<(usize, usize)> {
    let pool = storm.pool();
    let chains = retry::chains(&pool, Settings::default().max_assignment);
    chains.iter().map(|retry| (retry.from, retry.to)).collect()
}

/// The calls of each job, as numbered in the storm.
fn jobs(storm: &Storm) -> Vec<Vec<usize>> {
    jobs_within(storm, Settings::default().max_assignment)
}

/// The same, if so many failures are weighed at once.
fn jobs_within(storm: &Storm, limit: usize) -> Vec<Vec<usize>> {
    let pool = storm.pool();
    let solution = solve(&pool, &Settings::default(), &[]);
    let number: BTreeMap<_, _> = storm.calls.iter().enumerate().map(|(at, call)| (call.span, at)).collect();
    let calls = |job: &group::JobDraft<'_>| {
        let parts = job.attempts.iter().flat_map(|attempt| &attempt.parts);
        let mut calls: Vec<usize> = parts.map(|part| number[&part.span]).collect();
        calls.sort_unstable();
        calls
    };
    let drafts = group::jobs(&pool, &solution, limit);
    let mut jobs: Vec<Vec<usize>> = drafts.iter().map(calls).collect();
    jobs.sort_unstable();
    jobs
}

#[test]
fn a_retry_may_follow_within_milliseconds() {
    for (wait, again) in [(1, 1), (3, 12), (12, 2)] {
        let mut storm = Storm::new();
        storm.call(0, Role::Submit, 429);
        storm.call(10 + wait, Role::Submit, 429);
        storm.call(20 + wait + again, Role::Submit, 201);
        // The same is asked for every ten seconds.
        for other in 1..20 {
            storm.call(other * 10_000, Role::Submit, 201);
        }
        assert_eq!(retries(&storm), [(0, 1), (1, 2)], "{wait} ms, then {again} ms");
    }
}

#[test]
fn two_sdks_on_one_http_client_wait_each_in_its_own_way() {
    let mut storm = Storm::new();
    let slow = Arc::new(Endpoint { provider: "films".into(), ..Endpoint::default() });
    let mut submit = |at_ms, status, is_slow| {
        let call = call_of(storm.call(at_ms, Role::Submit, status));
        if is_slow {
            (call.endpoint, call.request) = (slow.clone(), 8);
        }
    };
    for number in 0..8 {
        let at = number * 20_000;
        submit(at, 429, false);
        submit(at + 110 + number, 200, false);
        submit(at + 5000, 429, true);
        submit(at + 5460 + number, 200, true);
    }
    // Another job asks for the same while the one that was refused waits.
    submit(200_000, 429, true);
    submit(200_112, 200, true);
    submit(200_463, 200, true);
    let found = retries(&storm);
    assert!(found.contains(&(32, 34)), "{found:?}");
}

/// Chains of deliveries, by start.
fn deliveries(starts: &[(u64, u16)]) -> Vec<Vec<usize>> {
    let mut storm = Storm::new();
    for &(at_ms, status) in starts {
        storm.call(at_ms, Role::Webhook, status);
    }
    let pool = storm.pool();
    let groups = hooks::groups(&pool, &Constants::default(), Settings::default().max_assignment);
    groups.into_iter().map(|group| group.hooks).collect()
}

#[test]
fn a_sender_that_keeps_to_its_schedule_is_not_early() {
    let dead = [(0, 503), (612, 503), (1827, 503), (4239, 503)];
    // Due at 9.05 s.
    assert_eq!(deliveries(&[&dead[..], &[(8680, 200)]].concat()), [vec![0, 1, 2, 3], vec![4]]);
    assert_eq!(deliveries(&[&dead[..], &[(9053, 200)]].concat()), [vec![0, 1, 2, 3, 4]]);
}

#[test]
fn chains_of_redeliveries_that_cross_keep_their_own_waits() {
    let refused = [0, 612, 1500, 1827, 2130, 3380].map(|at_ms| (at_ms, 503));
    let taken = [(4250, 200), (5870, 200)];
    assert_eq!(deliveries(&[&refused[..], &taken].concat()), [vec![0, 1, 3, 6], vec![2, 4, 5, 7]]);
}

#[test]
fn a_sender_that_draws_its_waits_may_be_early() {
    let drawn = [(0, 503), (700, 503), (2300, 503), (4800, 503), (11_500, 200)];
    assert_eq!(deliveries(&drawn), [vec![0, 1, 2, 3, 4]]);
}

/// A call below the span of a request.
fn below(storm: &mut Storm, request: u64, at_ms: u64, role: Role, status: u16) -> &mut Evidence {
    let call = storm.call(at_ms, role, status);
    (call.span.trace, call.parent) = (trace(1000 + request), SpanId([9; 8]));
    call
}

/// A result that shows that its task failed.
fn fails(call: &mut Evidence, task: u64, reason: FailureReason) {
    ask_for(call, task);
    call_of(call).verdict = Some(Verdict { state: TaskState::Failed, reason: Some(reason) });
}

#[test]
fn parallel_jobs_that_fail_go_on_each_with_its_own_submit() {
    let mut storm = Storm::new();
    // Two equal jobs of one request; the results of each are asked for until the client has had enough.
    for (job, begins) in [(0_u64, [0, 6000]), (1, [1000, 8000])] {
        for (again, begin) in (0_u64..).zip(begins) {
            let task = 2 * job + again;
            below(&mut storm, 1, begin, Role::Submit, 200);
            ask_for(below(&mut storm, 1, begin + 20, Role::Poll, 202), task);
            for shown in [2000, 4000, if again == 0 { 5780 + 1000 * job } else { 5780 }] {
                fails(
                    below(&mut storm, 1, begin + shown, Role::Result, 504),
                    task,
                    FailureReason::ProviderTimeout,
                );
            }
        }
    }
    assert_eq!(jobs(&storm), [(0..10).collect::<Vec<_>>(), (10..20).collect()]);
}

/// A job in a trace for each call: its submit, a poll, and a result that tells the end.
fn fetched(storm: &mut Storm, at_ms: u64, task: u64, end: Option<FailureReason>) {
    storm.call(at_ms, Role::Submit, 200);
    ask_for(storm.call(at_ms + 12, Role::Poll, 202), task);
    ask_for(storm.call(at_ms + 500, Role::Poll, 200), task);
    let result = storm.call(at_ms + 512, Role::Result, if end.is_some() { 500 } else { 200 });
    match end {
        Some(reason) => fails(result, task, reason),
        None => ask_for(result, task),
    }
}

#[test]
fn a_failure_is_followed_at_once_though_the_request_is_no_rare_one() {
    let after = |reason| {
        let mut storm = Storm::new();
        fetched(&mut storm, 0, 0, Some(reason));
        fetched(&mut storm, 722, 1, None);
        for other in 1_u64..20 {
            fetched(&mut storm, other * 7000, other + 1, None);
        }
        jobs(&storm).len()
    };
    assert_eq!(after(FailureReason::ProviderError), 20);
    // Who is told that the input is no good does not send it again.
    assert_eq!(after(FailureReason::InvalidInput), 21);
}

#[test]
fn a_client_that_gets_no_answer_begins_anew() {
    let begins_anew = |goes_on: bool| {
        let mut storm = Storm::new();
        below(&mut storm, 1, 0, Role::Submit, 200);
        ask_for(below(&mut storm, 1, 20, Role::Poll, 202), 0);
        ask_for(below(&mut storm, 1, 130, Role::Poll, 500), 0);
        if goes_on {
            ask_for(below(&mut storm, 1, 240, Role::Poll, 200), 0);
        }
        for (task, begin) in (1_u64..).zip([350, 800, 1300]) {
            below(&mut storm, 1, begin, Role::Submit, 200);
            ask_for(below(&mut storm, 1, begin + 20, Role::Poll, 202), task);
            ask_for(below(&mut storm, 1, begin + 130, Role::Poll, if task == 3 { 200 } else { 500 }), task);
        }
        jobs(&storm).len()
    };
    assert_eq!((begins_anew(false), begins_anew(true)), (1, 2));
}

#[test]
fn a_client_that_gets_no_answer_begins_anew_in_traces_of_their_own() {
    let mut storm = Storm::new();
    for (task, begin) in (0_u64..).zip([0, 629, 1675]) {
        storm.call(begin, Role::Submit, 200);
        ask_for(storm.call(begin + 12, Role::Poll, 202), task);
        let late = if task == 0 { 0 } else { 300 };
        ask_for(storm.call(begin + 407 + late, Role::Poll, if task == 2 { 200 } else { 500 }), task);
    }
    assert_eq!(jobs(&storm).len(), 1);
}

#[test]
fn a_submit_and_a_task_alone_below_their_parent_need_no_rhythm() {
    let mut storm = Storm::new();
    for job in 0..3 {
        below(&mut storm, job, job * 30_000, Role::Submit, 200);
        ask_for(below(&mut storm, job, job * 30_000 + 20_000, Role::Poll, 200), job);
    }
    // Asked for sooner than the others; and when the others would ask, somebody asks for another task.
    below(&mut storm, 3, 90_000, Role::Submit, 200);
    ask_for(below(&mut storm, 3, 100_000, Role::Poll, 200), 3);
    ask_for(below(&mut storm, 4, 110_000, Role::Poll, 200), 4);
    assert_eq!(jobs(&storm), [vec![0, 1], vec![2, 3], vec![4, 5], vec![6, 7], vec![8]]);
}

#[test]
fn of_many_failures_in_a_row_each_is_sent_again_however_few_are_weighed_at_once() {
    let mut storm = Storm::new();
    let (mut gap, mut late) = (drawn(800), drawn(20));
    let mut at = 0;
    // Jobs often begin before the one before them is sent again.
    for job in 0..150 {
        at += 50 + gap();
        ask_for(storm.call(at, Role::Submit, 200), 2 * job);
        fails(storm.call(at + 20, Role::Poll, 200), 2 * job, FailureReason::ProviderError);
        ask_for(storm.call(at + 500 + late(), Role::Submit, 200), 2 * job + 1);
    }
    let right = |limit: usize| {
        let found = jobs_within(&storm, limit);
        (0..150).filter(|job| found.contains(&vec![3 * job, 3 * job + 1, 3 * job + 2])).count()
    };
    let right = [8, 96, 1000].map(right);
    assert!(right.iter().all(|&count| count > 135), "{right:?}");
}

#[test]
fn a_marked_retry_may_wait_for_a_minute() {
    let again = |wait_ms: u64, marked: bool| {
        let mut storm = Storm::new();
        storm.call(0, Role::Submit, 429);
        let second = storm.call(10 + wait_ms, Role::Submit, 200);
        if marked {
            mark(second, 1);
        }
        jobs(&storm).len()
    };
    assert_eq!([again(60_000, true), again(90_000, true), again(60_000, false)], [1, 2, 2]);
}
