//! How sure a join is said to be where several calls look the same.

use crate::call::Role;
use crate::id::{SpanId, TraceId};
use crate::job::{Confidence, Join, JoinRule};
use crate::settings::Settings;
use crate::solve::storm::{Storm, ask_for, drawn, mark, trace};
use crate::solve::{group, solve};

/// The joins of a rule, in the order of their jobs.
fn joins(storm: &Storm, rule: JoinRule) -> Vec<Join> {
    let pool = storm.pool();
    let solution = solve(&pool, &Settings::default(), &[]);
    let jobs = group::jobs(&pool, &solution, Settings::default().max_assignment);
    let attempts = jobs.into_iter().flat_map(|job| job.attempts);
    attempts.flat_map(|attempt| attempt.joins).filter(|join| join.rule == rule).collect()
}

fn words(joins: &[Join]) -> Vec<Confidence> {
    joins.iter().map(|join| join.confidence).collect()
}

#[test]
fn a_mark_that_two_retries_carry_is_as_sure_as_their_waits() {
    let refused_and_tried_again = |starts: &[(u64, u64)]| {
        let mut storm = Storm::new();
        for &(refused, again) in starts {
            storm.call(refused, Role::Submit, 503);
            mark(storm.call(again, Role::Submit, 200), 1);
        }
        joins(&storm, JoinRule::RetryMark)
    };
    assert_eq!(words(&refused_and_tried_again(&[(0, 500)])), [Confidence::Exact]);
    let crossed = refused_and_tried_again(&[(0, 500), (60, 540)]);
    assert_eq!(crossed.len(), 2);
    assert_eq!(words(&crossed), [Confidence::Guess, Confidence::Guess]);
    assert!(crossed.iter().all(|join| join.margin.is_some()), "{crossed:?}");
}

/// Equal submits of one trace at these times, of which all but the first are followed.
fn batch(starts: &[u64]) -> Storm {
    let mut storm = Storm::new();
    for (at, &start) in starts.iter().enumerate() {
        below_one_parent(&mut storm, start, Role::Submit);
        if at > 0 {
            let task = at as u64;
            for poll in 1..4 {
                below_one_parent(&mut storm, start + 10 + poll * 700, Role::Poll);
                if let Some(call) = storm.calls.last_mut() {
                    ask_for(call, task);
                }
            }
        }
    }
    storm
}

fn below_one_parent(storm: &mut Storm, at_ms: u64, role: Role) {
    let call = storm.call(at_ms, role, 200);
    (call.span.trace, call.parent) = (batch_trace(), SpanId([9; 8]));
}

fn batch_trace() -> TraceId {
    trace(77)
}

#[test]
fn a_submit_that_is_lost_in_a_batch_is_less_surely_a_double_one() {
    let double = |starts: &[u64]| words(&joins(&batch(starts), JoinRule::DoubleSubmit));
    assert_eq!(double(&[0, 400]), [Confidence::Strong], "a second click");
    assert_eq!(double(&[0, 1700]), [Confidence::Likely], "later, it may be the next of two");
    assert_eq!(double(&[0, 400, 60_000]), [Confidence::Likely], "there are more of them");
    assert_eq!(double(&[0, 400, 800]), [Confidence::Guess], "any of them may be meant");
}

/// Submits in traces of their own, each followed by polls but every fifth; `again` has one sent 400 ms after
/// those.
fn crowd(submits: u64, most_apart_ms: u64, again: bool) -> Storm {
    let mut storm = Storm::new();
    let mut wait = drawn(most_apart_ms);
    let mut at = 0;
    for submit in 0..submits {
        at += wait();
        let is_lost = submit % 5 == 2;
        storm.call(at, Role::Submit, 200);
        if is_lost && again {
            storm.call(at + 400, Role::Submit, 200);
        }
        if is_lost && !again {
            continue;
        }
        let begun = if is_lost { at + 410 } else { at + 10 };
        for poll in 1..4 {
            ask_for(storm.call(begun + poll * 700, Role::Poll, 200), submit);
        }
    }
    storm
}

#[test]
fn a_stranger_in_a_crowd_is_no_second_try_and_a_habit_is_known_among_strangers() {
    let words = |storm: &Storm| words(&joins(storm, JoinRule::DoubleSubmit));
    let strangers = words(&crowd(200, 1000, false));
    assert!(strangers.iter().all(|&word| word == Confidence::Guess), "{strangers:?}");
    let habit = words(&crowd(100, 8000, true));
    assert!(habit.len() >= 19, "{habit:?}");
    assert!(habit.iter().all(|&word| word == Confidence::Likely), "{habit:?}");
}
