//! What if, and the back-off in use.

use super::*;
use crate::cli::estimate::backoff::Backoff;
use crate::cli::estimate::times::Times;
use crate::cli::estimate::what_if::{Limits, WhatIf};

fn limits(attempts: usize, timeout_ms: i64, poll_every_ms: i64) -> Limits {
    Limits {
        max_attempts: Some(attempts).filter(|attempts| *attempts > 0),
        timeout_ms: Some(timeout_ms).filter(|ms| *ms > 0),
        poll_every_ms: Some(poll_every_ms).filter(|ms| *ms > 0),
    }
}

fn tried(job: &JobDoc, calls: Option<&JobCalls>, limits: Limits) -> WhatIf {
    let mut what_if = WhatIf::new(limits);
    let times = calls.map(|calls| Times::of(calls, job.attempts.len()).unwrap());
    what_if.add(job, times.as_deref());
    what_if.finish();
    what_if
}

/// `lost may_be_lost not_judged attempts_not_made polls_saved saved`.
fn told(found: &WhatIf) -> String {
    let WhatIf { lost, may_be_lost, not_judged, attempts_not_made, polls_saved, .. } = found;
    let saved = found.saved.get("USD").map_or("-".to_owned(), |saved| saved.expected.to_string());
    format!("{lost} {may_be_lost} {not_judged} {attempts_not_made} {polls_saved} {saved}")
}

/// Refused at 0 s; the second submit at 10 s delivers for 1, polled at 12, 14, 16, 18 s, fetched at 18.5 s.
fn second_delivers() -> (JobDoc, JobCalls) {
    let attempts = ["no failed retry 0 -", "yes succeeded delivered 4 t"];
    let charges = [(0, "retry", "0", "documented"), (1, "delivered", "1", "documented")];
    let job = job(0, 18_500, "succeeded", &attempts, &charges, "1 1");
    let polls = [12_000, 14_000, 16_000, 18_000].map(|at| (1, "poll", at, at + 100, 200));
    let ends = [(0, "submit", 0, 1_000, 429), (1, "submit", 10_000, 10_500, 200)];
    let result = [(1, "result", 18_200, 18_500, 200)];
    (job, calls(&[&ends[..], &polls, &result].concat()))
}

#[test]
fn what_other_limits_save_and_lose() {
    let (job, calls) = second_delivers();
    for (tried_limits, with_times, without_times) in [
        (limits(1, 0, 0), "1 0 0 1 4 1", "1 0 0 1 4 1"),
        (limits(2, 0, 0), "0 0 0 0 0 -", "0 0 0 0 0 -"),
        // Until 15 s: two polls are made. Billed all the same.
        (limits(0, 5_000, 0), "1 0 0 0 2 -", "0 0 1 0 0 -"),
        // Until 19 s, and the output is there at 18.5 s.
        (limits(0, 9_000, 0), "0 0 0 0 0 -", "0 0 1 0 0 -"),
        // The whole job took 18.5 s: no times are needed.
        (limits(0, 18_500, 0), "0 0 0 0 0 -", "0 0 0 0 0 -"),
        // 12, 16 and 20 s in place of four; every second from 12 to 18 s are seven.
        (limits(0, 0, 4_000), "0 0 0 0 1 -", "0 0 1 0 0 -"),
        (limits(0, 0, 1_000), "0 0 0 0 -3 -", "0 0 1 0 0 -"),
        // The poll at 20 s comes after 19 s.
        (limits(0, 9_000, 4_000), "0 1 0 0 1 -", "0 0 1 0 0 -"),
        // Given up at 15 s: polls at 12 s, where four were.
        (limits(0, 5_000, 4_000), "1 0 0 0 3 -", "0 0 1 0 0 -"),
        // The second attempt, whose times would be needed, is not made.
        (limits(1, 5_000, 4_000), "1 0 0 1 4 1", "1 0 1 1 4 1"),
    ] {
        assert_eq!(told(&tried(&job, Some(&calls), tried_limits)), with_times, "{tried_limits:?}");
        assert_eq!(told(&tried(&job, None, tried_limits)), without_times, "{tried_limits:?}, no times");
    }
    let delay = |every| tried(&job, Some(&calls), limits(0, 0, every)).delay_seconds;
    // They were 2 s apart.
    assert_eq!((delay(4_000), delay(1_000)), (Some(dec("1")), Some(dec("-0.5"))));
    let given_up = tried(&job, Some(&calls), limits(0, 5_000, 0));
    assert_eq!(given_up.spent_on_given_up["USD"].expected, dec("1"));
    assert_eq!(tried(&job, None, limits(1, 0, 0)).saved_per_lost_job["USD"], dec("1"));
}

#[test]
fn what_a_limit_of_one_attempt_does_to_a_job() {
    let one = |cause, basis| (0, cause, "1", basis);
    let two = |cause, basis| (1, cause, "1", basis);
    let sure = "documented";
    for (outcome, attempts, charges, cost, expected) in [
        // Both made it, whichever was used.
        (
            "succeeded",
            ["yes succeeded delivered 0 a", "yes succeeded duplicate 0 b"],
            [one("delivered", sure), two("duplicate", sure)],
            "2 2",
            "0 0 0 1 0 1",
        ),
        (
            "succeeded",
            ["yes succeeded duplicate 0 a", "yes succeeded delivered 0 b"],
            [one("duplicate", sure), two("delivered", sure)],
            "2 2",
            "0 0 0 1 0 1",
        ),
        // Nobody knows whether the first one made it.
        (
            "succeeded",
            ["yes unknown duplicate 0 a", "yes succeeded delivered 0 b"],
            [one("duplicate", sure), two("delivered", sure)],
            "2 2",
            "0 1 0 1 0 1",
        ),
        (
            "unknown",
            ["yes unknown duplicate 0 a", "yes unknown unverified 0 b"],
            [one("duplicate", sure), two("unverified", "assumed")],
            "1 2",
            "0 0 0 1 0 1",
        ),
        (
            "unknown",
            ["ambiguous failed timeout_resubmit 0 -", "yes unknown unverified 0 b"],
            [one("timeout_resubmit", "assumed"), two("unverified", "assumed")],
            "0 2",
            "0 1 0 1 0 1",
        ),
        // One task, which the provider bills once, whoever asks for it.
        (
            "succeeded",
            ["ambiguous failed timeout_resubmit 0 t", "yes succeeded delivered 0 t"],
            [one("timeout_resubmit", sure), two("delivered", sure)],
            "2 2",
            "1 0 0 1 0 -",
        ),
        (
            "failed",
            ["no failed retry 0 -", "yes failed failed 0 b"],
            [one("retry", sure), two("failed", sure)],
            "2 2",
            "0 0 0 1 0 1",
        ),
    ] {
        let job = job(0, 9_000, outcome, &attempts, &charges, cost);
        assert_eq!(told(&tried(&job, None, limits(1, 0, 0))), expected, "{outcome} {attempts:?}");
    }
}

#[test]
fn legs_of_a_voice_session_are_no_retries() {
    let (mut job, calls) = second_delivers();
    job.attempts[0].leg = Some("speech_to_text".to_owned());
    job.attempts[1].leg = Some("text_to_speech".to_owned());
    assert_eq!(told(&tried(&job, Some(&calls), limits(1, 5_000, 4_000))), "0 0 0 0 0 -");
    let mut backoff = Backoff::default();
    backoff.add(&job, None);
    assert_eq!((backoff.jobs, backoff.attempts.len()), (0, 0));
}

#[test]
fn callbacks_tell_the_end_only_where_it_does_not_matter_which() {
    let charges = [(0, "delivered", "1", "documented")];
    let job = job(0, 20_000, "succeeded", &["yes succeeded delivered 0 t"], &charges, "1 1");
    let hooks = |at: &[i64]| {
        let hooks = at.iter().map(|at| (0, "webhook", *at, at + 10, 200));
        calls(&[(0, "submit", 0, 100, 200)].into_iter().chain(hooks).collect::<Vec<_>>())
    };
    for (at, expected) in
        [(&[5_000][..], "0 0 0 0 0 -"), (&[5_000, 20_000], "0 1 0 0 0 -"), (&[15_000, 20_000], "1 0 0 0 0 -")]
    {
        assert_eq!(told(&tried(&job, Some(&hooks(at)), limits(0, 10_000, 0))), expected, "{at:?}");
    }
}

#[test]
fn polls_that_are_billed_are_saved_too() {
    let (mut job, calls) = second_delivers();
    let mut polls = job.charges[1].clone();
    "poll".clone_into(&mut polls.cause);
    polls.cost = Some(dec("0.4"));
    job.charges.push(polls);
    let cost = job.cost.get_mut("USD").unwrap();
    (cost.min, cost.expected, cost.max) = (dec("1.4"), dec("1.4"), dec("1.4"));
    // Two of four.
    assert_eq!(told(&tried(&job, Some(&calls), limits(0, 5_000, 0))), "1 0 0 0 2 0.2");
}

#[test]
fn each_limit_is_tried_alone_and_all_together() {
    assert_eq!(limits(0, 0, 0).variants(), []);
    assert_eq!(limits(2, 0, 0).variants(), [limits(2, 0, 0)]);
    let all = limits(2, 600, 10);
    assert_eq!(all.variants(), [limits(2, 0, 0), limits(0, 600, 0), limits(0, 0, 10), all]);
}

#[test]
fn waits_are_from_the_failure_to_the_next_submit() {
    let mut backoff = Backoff::default();
    let mut add = |outcome: &str, attempts: &[&str], made: Option<JobCalls>| {
        let charges: Vec<_> = (0..attempts.len()).map(|place| (place, "retry", "1", "documented")).collect();
        let cost = format!("{0} {0}", attempts.len());
        let job = job(0, 60_000, outcome, attempts, &charges, &cost);
        let times = made.map(|calls| Times::of(&calls, attempts.len()).unwrap());
        backoff.add(&job, times.as_deref());
    };
    let submit = |attempt, start: i64| (attempt, "submit", start, start + 1_000, 200);
    // Waits of 2 s and, after a poll that told of the failure at 7 s, of 6 s.
    let three = [submit(0, 0), submit(1, 3_000), (1, "poll", 6_000, 7_000, 200), submit(2, 13_000)];
    let attempts = ["no failed retry 0 -", "yes failed retry 1 a", "yes succeeded delivered 0 b"];
    add("succeeded", &attempts, Some(calls(&three)));
    // A wait of 4 s.
    let attempts = ["ambiguous failed timeout_resubmit 0 -", "yes succeeded delivered 0 c"];
    add("succeeded", &attempts, Some(calls(&[submit(0, 0), submit(1, 5_000)])));
    // Nobody waited: the first one was at work.
    let attempts = ["yes succeeded delivered 0 d", "yes succeeded duplicate 0 e"];
    add("succeeded", &attempts, Some(calls(&[submit(0, 0), submit(1, 1_500)])));
    add("succeeded", &["no failed retry 0 -", "yes succeeded delivered 0 f"], None);
    add("succeeded", &["yes succeeded delivered 0 g"], None);
    backoff.finish();
    assert_eq!((backoff.jobs, backoff.without_times), (4, 1));
    let attempts = backoff.attempts.iter().map(|nth| {
        let wait = nth.wait_seconds.map(|wait| (wait.min, wait.median, wait.max));
        (nth.attempts, nth.delivered, nth.waited, wait, nth.cost["USD"].expected.to_string())
    });
    let attempts: Vec<_> = attempts.collect();
    assert_eq!(
        attempts,
        [
            (5, 2, 0, None, "5".to_owned()),
            (4, 3, 2, Some((2.0, 3.0, 4.0)), "4".to_owned()),
            (1, 1, 1, Some((6.0, 6.0, 6.0)), "1".to_owned()),
        ]
    );
    let waits = backoff.waits.iter().map(|after| (after.wait, after.attempts, after.delivered));
    assert_eq!(waits.collect::<Vec<_>>(), [("1 to 5 s", 2, 1), ("5 to 30 s", 1, 1)]);
    assert_eq!(backoff.waits[0].cost_of_the_others["USD"].expected, dec("1"));
}
