//! What waits for what outside its own trace, and what is then solved together.

use std::sync::Arc;

use super::{Change, Observed, Stitcher};
use crate::call::{Accepted, Answer, Call, Endpoint, Role};
use crate::evidence::{Client, Evidence, What};
use crate::frame::{Frame, FrameKind};
use crate::id::{JobId, SpanId, SpanKey, TaskId, TraceId, UnixNanos};
use crate::job::{Job, JoinRule};
use crate::rare::Rare;
use crate::settings::Settings;
use crate::solve::Pin;
use crate::stitcher::pocket::{LaneKey, Pockets};

mod frames;
mod frozen;
mod full;
mod looks;
mod nested;
mod stand_ins;
mod tenants;
mod thawed;

const BEGIN: UnixNanos = UnixNanos(1_795_168_800_000_000_000);

fn lane(provider: &str) -> LaneKey {
    ("".into(), provider.into())
}

#[test]
fn all_lanes_of_a_tenant_are_one_group_and_what_rests_is_in_it_for_a_while() {
    let mut pockets = Pockets::default();
    let mut pocket = |member: u32, tenant: &str, providers: &[&str]| {
        let at = pockets.create(member, BEGIN, BEGIN, BEGIN);
        for &provider in providers {
            pockets.join_lane(at, (tenant.into(), provider.into()));
        }
        at
    };
    let (a, both, other) = (pocket(0, "", &["a"]), pocket(1, "", &["a", "b"]), pocket(2, "t", &["a"]));
    let none = pocket(3, "", &[]);
    assert_eq!(pockets.lane_group(&lane("b")), [a, both]);
    assert_eq!(pockets.lane_group(&("t".into(), "a".into())), [other]);
    assert!(pockets.get(none).is_some_and(|pocket| pocket.lanes.is_empty()));

    assert_eq!(pockets.turn(&lane("a"), BEGIN), Ok(()));
    assert!(pockets.turn(&lane("b"), BEGIN).is_err(), "they are solved together, and rest together");
    assert_eq!(pockets.turn(&("t".into(), "a".into()), BEGIN), Ok(()));

    pockets.rest(both);
    assert_eq!(pockets.lane_group(&lane("a")), [a, both]);
    assert!(pockets.get(both).is_some_and(|pocket| pocket.rests));
    pockets.wait(both);
    assert!(pockets.get(both).is_some_and(|pocket| !pocket.rests && pocket.lanes.len() == 2));
    pockets.rest(both);
    for member in 4..300 {
        let later = pockets.create(member, BEGIN, BEGIN, BEGIN);
        pockets.join_lane(later, lane("b"));
        pockets.rest(later);
    }
    assert!(pockets.get(both).is_some_and(|pocket| pocket.lanes.len() == 1), "256 rest in a lane");
    pockets.leave_lanes(both);
    assert!(!pockets.lane_group(&lane("a")).contains(&both));
}

/// One process that makes and takes calls of providers.
struct Process {
    client: Arc<Client>,
    stitcher: Stitcher,
    spans: u8,
}

impl Process {
    fn new() -> Self {
        let client = Client { service: "studio".into(), instance: "1".into(), ..Client::default() };
        Self { client: Arc::new(client), stitcher: Stitcher::new(Settings::default()), spans: 0 }
    }

    fn observe(&mut self, trace: u8, parent: u8, start_ms: u64, took_ms: u64, what: What) -> u8 {
        self.spans += 1;
        self.send(trace, parent, start_ms, took_ms, what);
        self.spans
    }

    /// Sends the newest span, or sends it again.
    fn send(&mut self, trace: u8, parent: u8, start_ms: u64, took_ms: u64, what: What) -> Observed {
        self.stitcher.observe(Evidence {
            span: SpanKey { trace: TraceId([trace; 16]), span: SpanId([self.spans; 8]) },
            parent: SpanId([parent; 8]),
            start: BEGIN.plus_ms(start_ms),
            end: BEGIN.plus_ms(start_ms + took_ms),
            client: self.client.clone(),
            what,
        })
    }

    /// Lets time pass a minute at a time; the jobs that were told, the newest of each.
    fn jobs_after(&mut self, minutes: u64) -> Vec<Job> {
        let mut jobs: Vec<Job> = Vec::new();
        for minute in 1..=minutes {
            for change in self.stitcher.advance(BEGIN.plus_ms(minute * 60_000)) {
                let Change::Published { job, .. } = change else { continue };
                jobs.retain(|known| known.id != job.id);
                if job.state != crate::State::Superseded {
                    jobs.push(*job);
                }
            }
        }
        jobs
    }
}

fn request() -> What {
    What::Frame(Frame { kind: FrameKind::Server, verdict: None, rare: Rare::default() })
}

fn call(provider: &str, role: Role, task: Option<&str>) -> What {
    What::Call(Call {
        role,
        endpoint: Arc::new(Endpoint { provider: provider.into(), rule: "x".into(), ..Endpoint::default() }),
        task: task.map(TaskId::new),
        answer: Answer::Status(200),
        accepted: Accepted::Yes,
        verdict: None,
        request: 7,
        agent: 7,
        rare: Rare::default(),
    })
}

/// A submit in a request that names its task needs nobody; but where a delivery without a name waits, that
/// may be the delivery of its task.
#[test]
fn a_complete_request_meets_the_delivery_that_names_nothing() {
    for delivery_first in [false, true] {
        let mut process = Process::new();
        if delivery_first {
            process.observe(9, 0, 20_000, 5, call("clips", Role::Webhook, None));
        }
        let server = process.observe(1, 0, 0, 400, request());
        process.observe(1, server, 50, 300, call("clips", Role::Submit, Some("a")));
        if !delivery_first {
            process.observe(9, 0, 20_000, 5, call("clips", Role::Webhook, None));
        }
        let jobs = process.jobs_after(40);
        assert_eq!(jobs.len(), 1, "delivery first: {delivery_first}; {jobs:#?}");
        let attempt = &jobs[0].attempts[0];
        assert_eq!((attempt.count(Role::Submit), attempt.count(Role::Webhook)), (1, 1));
        assert!(attempt.joins.iter().any(|join| join.rule == JoinRule::WebhookTime), "{:?}", attempt.joins);
    }
}

/// Deliveries of another provider are nothing to it.
#[test]
fn a_delivery_of_another_provider_stays_apart() {
    let mut process = Process::new();
    let server = process.observe(1, 0, 0, 400, request());
    process.observe(1, server, 50, 300, call("clips", Role::Submit, Some("a")));
    process.observe(9, 0, 20_000, 5, call("songs", Role::Webhook, None));
    let mut providers: Vec<String> =
        process.jobs_after(40).iter().map(|job| job.provider.to_string()).collect();
    providers.sort_unstable();
    assert_eq!(providers, ["clips", "songs"]);
}

/// A job may be a delivery and nothing else: it is that of who took it.
#[test]
fn a_lone_delivery_is_of_the_service_that_took_it() {
    let mut process = Process::new();
    process.observe(9, 0, 20_000, 5, call("clips", Role::Webhook, None));
    let jobs = process.jobs_after(40);
    assert_eq!(jobs.iter().map(|job| &*job.service).collect::<Vec<_>>(), ["studio"]);
}

/// One vendor's provider never stands beside another one's model.
#[test]
fn what_was_asked_of_whom_is_of_one_provider() {
    let asked = |provider: &str, model: &str, operation: &str, leg: Option<&str>| {
        let What::Call(mut known) = call(provider, Role::Sync, None) else { unreachable!() };
        known.endpoint = Arc::new(Endpoint {
            provider: provider.into(),
            model: model.into(),
            operation: operation.into(),
            leg: leg.map(Arc::from),
            ..Endpoint::default()
        });
        What::Call(known)
    };
    let mut process = Process::new();
    let frame = Frame { kind: FrameKind::Session, verdict: None, rare: Rare::default() };
    let session = process.observe(1, 0, 0, 9000, What::Frame(frame));
    for (second, (provider, model, leg)) in [
        ("hears", "", "speech_to_text"),
        ("thinks", "small", "language_model"),
        ("speaks", "", "text_to_speech"),
    ]
    .into_iter()
    .enumerate()
    {
        let leg = asked(provider, model, leg, Some(leg));
        process.observe(1, session, 1000 * second as u64 + 100, 800, leg);
    }
    let jobs = process.jobs_after(40);
    assert_eq!((jobs.len(), jobs[0].attempts.len()), (1, 3), "{jobs:#?}");
    let found = [&*jobs[0].provider, &*jobs[0].model, &*jobs[0].operation];
    assert_eq!(found, ["hears", "", "speech_to_text"], "the first leg, whole");
}

/// However many calls a task has, each is known when it comes again; with another end it is another call.
#[test]
fn a_poll_that_comes_again_is_known_among_few_and_among_many() {
    let mut process = Process::new();
    for number in 0..200 {
        process.spans = number;
        let poll = || call("clips", Role::Poll, Some("a"));
        for wanted in [Observed::New, Observed::Duplicate] {
            assert_eq!(process.send(1, 7, u64::from(number) * 1000, 40, poll()), wanted, "{number}");
        }
    }
    process.spans = 3;
    let late = process.send(1, 7, 3000, 41, call("clips", Role::Poll, Some("a")));
    assert_eq!((late, process.stitcher.span_count()), (Observed::New, 201));
    let jobs = process.jobs_after(300);
    assert_eq!((jobs.len(), jobs[0].attempts[0].count(Role::Poll)), (1, 201));
    process.stitcher.advance(BEGIN.plus_ms(100 * 3_600_000));
    assert_eq!(process.stitcher.span_count(), 0);
    let again = process.send(1, 7, 3000, 40, call("clips", Role::Poll, Some("a")));
    assert_eq!(again, Observed::Late);
}

/// What names no task is known by its trace while that is small, in a crowd and alone by its fingerprint:
/// also when jobs of the trace are over, and when they are forgotten.
#[test]
fn a_lone_call_that_comes_again_is_known_in_a_small_trace_in_a_crowd_and_alone() {
    for parent in [7, 0] {
        let mut process = Process::new();
        let download = || call("clips", Role::Download, None);
        for wanted in [Observed::New, Observed::Duplicate] {
            for number in 0..5 {
                process.spans = number + 1;
                let observed = process.send(1, parent, u64::from(number) * 1000, 40, download());
                assert_eq!(observed, wanted, "{number}, parent {parent}");
            }
        }
        for number in 0..100 {
            let wanted = if number < 5 { Observed::Duplicate } else { Observed::New };
            for wanted in [wanted, Observed::Duplicate] {
                process.spans = number + 1;
                let observed = process.send(1, parent, u64::from(number) * 1000, 40, download());
                assert_eq!(observed, wanted, "{number}, parent {parent}");
            }
        }
        process.jobs_after(120);
        process.spans = 50;
        assert_eq!(process.send(1, parent, 49_000, 40, download()), Observed::Duplicate);
        assert_eq!(process.send(1, parent, 49_000, 41, download()), Observed::New, "another end");
        process.jobs_after(60 * 20);
        assert_eq!(process.stitcher.span_count(), 0);
        assert_eq!(process.send(1, parent, 49_000, 40, download()), Observed::Late);
    }
}

#[test]
fn a_frame_that_comes_again_is_known_among_few_and_among_many() {
    let mut process = Process::new();
    for number in 0..100 {
        process.spans = number + 1;
        for wanted in [Observed::New, Observed::Duplicate] {
            assert_eq!(process.send(1, 0, u64::from(number) * 1000, 40, request()), wanted, "{number}");
        }
    }
    process.spans = 3;
    assert_eq!(process.send(1, 0, 2000, 41, request()), Observed::New, "another end");
    for took_ms in [40, 41] {
        assert_eq!(process.send(1, 0, 2000, took_ms, request()), Observed::Duplicate);
    }
    assert_eq!(process.stitcher.span_count(), 101);
}

/// Ids are the providers' own: equal ones of two providers are two tasks, also when one is forgotten.
#[test]
fn two_providers_may_give_out_one_id() {
    let mut process = Process::new();
    process.observe(1, 0, 0, 300, call("clips", Role::Submit, Some("1")));
    process.observe(2, 0, 0, 300, call("songs", Role::Submit, Some("1")));
    assert_eq!(process.jobs_after(60).len(), 2);
    process.stitcher.advance(BEGIN.plus_ms(100 * 3_600_000));
    let mut observed =
        |provider| process.send(3, 0, 360_000_000, 300, call(provider, Role::Submit, Some("1")));
    assert_eq!((observed("clips"), observed("films")), (Observed::Late, Observed::New));
}

/// Jobs that are looked at without effect do not hold up the rest: a part ends after so many of them.
#[test]
fn many_that_are_due_are_looked_at_in_parts() {
    let mut process = Process::new();
    for trace in 1..=100 {
        let task = trace.to_string();
        process.observe(trace, 9, 0, 100, call("clips", Role::Submit, Some(&task)));
        process.observe(trace, 9, 200, 100, call("clips", Role::Poll, Some(&task)));
    }
    let mut parts = 1;
    while process.stitcher.advance_some(BEGIN.plus_ms(40_000), 2).1 {
        parts += 1;
    }
    assert_eq!(parts, 7, "16 of 100 a part");
    // What becomes due between two parts is told by the last.
    process.stitcher.advance_some(BEGIN.plus_ms(40_000 + 30 * 60_000), 2);
    process.observe(101, 9, 0, 100, call("clips", Role::Sync, None));
    let told = process.stitcher.advance(BEGIN.plus_ms(40_000 + 90 * 60_000));
    assert_eq!(told.len(), 99, "{told:?}");
}

/// Polls that are kept as one with others are carried as the spans that they are.
#[test]
fn polls_that_are_alike_are_carried_and_come_back_each() {
    let mut first = Process::new();
    first.observe(1, 9, 0, 100, call("clips", Role::Submit, Some("a")));
    for poll in 1..=5 {
        first.observe(1, 9, 500 * poll, 100, call("clips", Role::Poll, Some("a")));
    }
    let mut carried = Vec::new();
    let before = first.stitcher.next_number();
    first.stitcher.carry(before, |number, came, spans| {
        carried.push((number, came, spans.iter().copied().cloned().collect::<Vec<_>>()));
    });
    let mut second = Process::new();
    for (number, came, spans) in carried {
        assert_eq!(spans.len(), 6);
        second.stitcher.restore(number, came, spans);
    }
    assert_eq!((second.stitcher.span_count(), first.stitcher.span_count()), (6, 6));
    assert_eq!(second.stitcher.open_jobs(), first.stitcher.open_jobs());
    // Sent again they are known, each of them.
    second.spans = 4;
    assert_eq!(second.send(1, 9, 1500, 100, call("clips", Role::Poll, Some("a"))), Observed::Duplicate);
    assert_eq!(second.send(1, 9, 1501, 100, call("clips", Role::Poll, Some("a"))), Observed::New);
}

/// A client whose clock is a year ahead: what it says is kept, and its job ends when it has been silent.
#[test]
fn a_clock_that_is_far_ahead_keeps_no_job_open() {
    const YEAR_MS: u64 = 365 * 86_400_000;
    let mut process = Process::new();
    process.stitcher.set_time(BEGIN);
    process.observe(1, 0, YEAR_MS, 300, call("clips", Role::Submit, Some("a")));
    assert!(process.jobs_after(59).is_empty());
    let jobs = process.jobs_after(61);
    let ends: Vec<_> = jobs.iter().map(|job| job.attempts[0].calls[0].end).collect();
    assert_eq!(ends, [BEGIN.plus_ms(YEAR_MS + 300)]);
}
