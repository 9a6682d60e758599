//! What drawn traffic rarely has, frozen beside whole: see [`super::frozen`].

use super::*;
use crate::call::{TaskState, Verdict};

/// A stitcher that freezes at every look, and one that never does.
fn both(settings: &Settings) -> [Stitcher; 2] {
    [0, u64::MAX].map(|freeze_after_ms| Stitcher::new(Settings { freeze_after_ms, ..settings.clone() }))
}

/// A call of one client: trace, span and parent; when it began and ended.
fn send(stitcher: &mut Stitcher, ids: (u64, u64, u64), (start, end): (UnixNanos, UnixNanos), what: What) {
    let (trace, span, parent) = ids;
    let trace = TraceId(u128::from(trace).to_be_bytes());
    let client = Client { service: "studio".into(), ..Client::default() };
    stitcher.observe(Evidence {
        span: SpanKey { trace, span: SpanId(span.to_be_bytes()) },
        parent: SpanId(parent.to_be_bytes()),
        start,
        end,
        client: Arc::new(client),
        what,
    });
}

fn at(ms: u64) -> UnixNanos {
    BEGIN.plus_ms(ms)
}

/// A call that began its trace is not kept with it: what is below it finds it by a name of its own.
#[test]
fn a_call_that_began_its_trace_and_one_below_it_meet_though_the_first_is_frozen() {
    let sync = || call("clips", Role::Sync, None);
    for outer_first in [true, false] {
        for mut stitcher in both(&Settings::default()) {
            let part = |stitcher: &mut Stitcher, is_outer: bool| {
                let (ids, times) = if is_outer {
                    ((1, 99, 0), (at(0), at(4000)))
                } else {
                    ((1, 50, 99), (at(100), at(400)))
                };
                send(stitcher, ids, times, sync());
            };
            part(&mut stitcher, outer_first);
            // Until it does not rest in its lane any more.
            for other in 0..300 {
                let start = 10_000 + other * 5000;
                let ids = (1000 + other, 1000 + other, 0);
                send(&mut stitcher, ids, (at(start), at(start + 400)), sync());
                stitcher.advance(at(start + 500));
            }
            stitcher.advance(at(1_600_000));
            assert_eq!(stitcher.frozen.is_empty(), stitcher.settings.freeze_after_ms != 0);
            part(&mut stitcher, !outer_first);
            assert_eq!(stitcher.jobs().len(), 301, "one request, the outer span first: {outer_first}");
        }
    }
}

/// Where every span is a trace of its own, a job is frozen with the tie that matching gave it.
#[test]
fn the_tie_of_what_is_frozen_goes_with_it() {
    let settings = Settings { retention_ms: 3_600_000, ..Settings::default() };
    let ties = both(&settings).map(|mut stitcher| {
        let (mut given, mut gone, mut frozen) = (Vec::new(), Vec::new(), 0);
        let mut take = |stitcher: &mut Stitcher| {
            for (number, tie) in stitcher.take_ties() {
                if tie.is_some() { &mut given } else { &mut gone }.push(number);
            }
        };
        for job in 0..400 {
            let start = job * 10_000;
            let task = format!("task-{job}");
            let poll = |stitcher: &mut Stitcher, number: u64, state| {
                let mut what = call("clips", Role::Poll, Some(&task));
                if let What::Call(poll) = &mut what {
                    poll.verdict = Some(Verdict { state, reason: None });
                }
                let (ids, start) = ((job * 10 + number, job * 10 + number, 0), start + number * 2000);
                send(stitcher, ids, (at(start), at(start + 30)), what);
            };
            let ids = (job * 10 + 9, job * 10 + 9, 0);
            send(&mut stitcher, ids, (at(start), at(start + 400)), call("clips", Role::Submit, None));
            poll(&mut stitcher, 1, TaskState::Running);
            poll(&mut stitcher, 2, TaskState::Succeeded);
            stitcher.advance(at(start + 5000));
            take(&mut stitcher);
            frozen = frozen.max(stitcher.frozen.len());
        }
        assert_eq!(frozen > 0, stitcher.settings.freeze_after_ms == 0);
        for hour in 2..30 {
            stitcher.advance(at(hour * 3_600_000));
            take(&mut stitcher);
        }
        (given, gone)
    });
    let [(given, gone), whole] = ties;
    assert!(given.len() >= 350 && gone.len() == given.len(), "{} of {} are gone", gone.len(), given.len());
    let sorted = |mut numbers: Vec<u64>| {
        numbers.sort_unstable();
        numbers
    };
    assert_eq!((sorted(given), sorted(gone)), (sorted(whole.0), sorted(whole.1)));
}

/// Seconds do not end in 2106.
#[test]
fn what_is_frozen_is_due_in_any_year() {
    let century_23 = |ms| UnixNanos(10_000_000_000 * 1_000_000_000).plus_ms(ms);
    let idle_ms = Settings::default().idle_timeout_ms;
    let changes = both(&Settings::default()).map(|mut stitcher| {
        stitcher.set_time(century_23(0));
        let calls = [(Role::Submit, None, 0), (Role::Poll, Some("task"), 500)];
        for ((role, task, ms), span) in calls.into_iter().zip(1..) {
            send(
                &mut stitcher,
                (1, span, 9),
                (century_23(ms), century_23(ms + 20)),
                call("clips", role, task),
            );
        }
        let mut now = century_23(300_000);
        stitcher.advance(now);
        assert_eq!(stitcher.frozen.is_empty(), stitcher.settings.freeze_after_ms != 0);
        let mut changes = Vec::new();
        while let Some(next) = stitcher.next_deadline().filter(|next| *next <= now.plus_ms(10 * idle_ms)) {
            now = now.plus_ms(1).max(next);
            changes.extend(stitcher.advance(now));
        }
        changes
    });
    assert!(!changes[0].is_empty());
    assert_eq!(changes[0], changes[1]);
}
