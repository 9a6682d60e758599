//! Each bound: nothing happens at it, and what is stated happens past it.

use super::*;
use crate::call::{Accepted, Answer, Call, Endpoint, Role, TaskState, Verdict};
use crate::evidence::{Client, Evidence, What};
use crate::frame::{Frame, FrameKind};
use crate::id::{SpanId, SpanKey, TaskId, TraceId, UnixNanos};
use crate::job::{Job, Outcome};
use crate::rare::Rare;
use crate::settings::Settings;
use crate::solve::pool::call_of;
use crate::stitcher::Observed;
use crate::stitcher::index::Index;
use crate::stitcher::owned_trace::OwnedTrace;

const BEGIN: UnixNanos = UnixNanos(1_795_168_800_000_000_000);

/// Services that send, and what they are told.
struct World {
    stitcher: Stitcher,
    endpoint: Arc<Endpoint>,
    spans: u64,
    /// The newest state of each job that was told, by task.
    told: BTreeMap<String, Job>,
    forgotten: usize,
}

impl World {
    fn new(settings: Settings) -> Self {
        let endpoint = Endpoint { provider: "clips".into(), rule: "x".into(), ..Endpoint::default() };
        Self {
            stitcher: Stitcher::new(settings),
            endpoint: Arc::new(endpoint),
            spans: 0,
            told: BTreeMap::new(),
            forgotten: 0,
        }
    }

    /// A call below a span of a trace; with no trace it is a trace of its own.
    fn call(&mut self, service: &str, trace: u64, ms: u64, role: Role, task: Option<&str>) -> Observed {
        let state = match role {
            Role::Submit => None,
            Role::Result => Some(TaskState::Succeeded),
            _ => Some(TaskState::Running),
        };
        let call = Call {
            role,
            endpoint: self.endpoint.clone(),
            task: task.map(TaskId::new),
            answer: Answer::Status(200),
            accepted: Accepted::Yes,
            verdict: state.map(|state| Verdict { state, reason: None }),
            request: 7,
            agent: 7,
            rare: Rare::default(),
        };
        self.span(service, trace, ms, What::Call(call))
    }

    fn span(&mut self, service: &str, trace: u64, ms: u64, what: What) -> Observed {
        self.spans += 1;
        let own = if trace == 0 { self.spans + (1 << 40) } else { trace };
        let parent = if trace == 0 { SpanId::default() } else { SpanId([9; 8]) };
        self.stitcher.observe(Evidence {
            span: SpanKey {
                trace: TraceId(u128::from(own).to_be_bytes()),
                span: SpanId(self.spans.to_be_bytes()),
            },
            parent,
            start: BEGIN.plus_ms(ms),
            end: BEGIN.plus_ms(ms + 100),
            client: Arc::new(Client { service: service.into(), ..Client::default() }),
            what,
        })
    }

    /// A job that is polled and has not ended: two spans of a trace.
    fn open(&mut self, service: &str, number: u64, ms: u64) {
        let task = format!("{service}-{number}");
        let trace = number + 1 + (u64::from(service.as_bytes()[0]) << 32);
        self.call(service, trace, ms, Role::Submit, Some(&task));
        self.call(service, trace, ms + 200, Role::Poll, Some(&task));
    }

    fn advance(&mut self, ms: u64) {
        let changes = self.stitcher.advance(BEGIN.plus_ms(ms));
        self.hear(changes);
    }

    /// One part of it; whether there is more.
    fn advance_part(&mut self, ms: u64) -> bool {
        let (changes, more) = self.stitcher.advance_some(BEGIN.plus_ms(ms), PART);
        self.hear(changes);
        more
    }

    fn hear(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Published { job, .. } => {
                    let task = job.attempts.iter().find_map(|attempt| attempt.task_id.clone());
                    self.told.insert(task.map_or_else(|| format!("{}", job.id), |id| id.to_string()), *job);
                }
                Change::Forgotten(_) => self.forgotten += 1,
            }
        }
    }

    fn told_of(&self, service: &str) -> usize {
        self.told.keys().filter(|task| task.starts_with(service)).count()
    }
}

#[test]
fn open_jobs_are_bounded_and_the_largest_service_gives_up() {
    let mut world = World::new(Settings { max_open_jobs: 100, ..Settings::default() });
    for number in 0..20 {
        world.open("calm", number, number);
    }
    for number in 0..80 {
        world.open("storm", number, 1000 + number);
    }
    world.advance(10_000);
    assert_eq!((world.stitcher.limit_hits(), world.told.len()), (LimitHits::default(), 0), "at the bound");

    world.open("storm", 80, 2000);
    world.advance(11_000);
    // 90 may stay; the calm service has less than half of it.
    assert_eq!(world.stitcher.limit_hits(), LimitHits { open_jobs: 11, ..LimitHits::default() });
    assert_eq!((world.told_of("calm"), world.told_of("storm")), (0, 11));
    assert_eq!(world.forgotten, 11);
    assert!((0..11).all(|number| world.told.contains_key(&format!("storm-{number}"))), "the oldest");
    assert!(world.told.values().all(|job| job.outcome == Outcome::Unknown));
    let trimmed = Trimmed { tenant: "".into(), service: "storm".into(), open: 11, settled: 0 };
    assert_eq!(world.stitcher.take_trimmed(), [trimmed]);
    assert_eq!(world.stitcher.open_jobs().len(), 90);

    // What still comes for those that were given up is late, for the others it is not.
    assert_eq!(world.call("storm", 0, 12_000, Role::Result, Some("storm-0")), Observed::Late);
    assert_eq!(world.call("calm", 0, 12_000, Role::Result, Some("calm-0")), Observed::New);
    world.advance(60_000);
    assert_eq!(world.told["calm-0"].outcome, Outcome::Succeeded);
}

/// They are counted again only when so many spans came that there may be too many.
#[test]
fn open_jobs_are_bounded_beside_many_that_settled() {
    let mut world = World::new(Settings { max_open_jobs: 100, ..Settings::default() });
    for number in 0..150 {
        world.call("storm", 1000 + number, number, Role::Sync, None);
    }
    world.advance(40_000);
    assert_eq!((world.told.len(), world.forgotten), (150, 0));
    for (until, hits) in [(60, 0), (100, 0), (101, 11)] {
        for number in world.spans.saturating_sub(150) / 2..until {
            world.open("storm", number, 41_000);
        }
        world.advance(42_000 + until);
        assert_eq!(
            world.stitcher.limit_hits(),
            LimitHits { open_jobs: hits, ..LimitHits::default() },
            "{until}"
        );
    }
}

#[test]
fn spans_are_bounded_and_what_is_settled_goes_first() {
    let mut world = World::new(Settings { max_spans: 1000, ..Settings::default() });
    for number in 0..100 {
        world.open("calm", number, number);
    }
    for number in 0..200 {
        world.open("storm", number, number);
        world.call("storm", 0, number + 900, Role::Result, Some(&format!("storm-{number}")));
    }
    for number in 200..300 {
        world.open("storm", number, number);
    }
    world.advance(60_000);
    assert_eq!(world.stitcher.span_count(), 1000);
    assert_eq!((world.stitcher.limit_hits(), world.told.len()), (LimitHits::default(), 200), "at the bound");

    world.call("calm", 0, 61_000, Role::Poll, Some("calm-0"));
    world.advance(62_000);
    // 900 spans may stay, 201 of them the calm service's; what has settled has three spans.
    let given = (800_u64 - (900 - 201)).div_ceil(3);
    assert_eq!(world.stitcher.limit_hits(), LimitHits { spans: given, ..LimitHits::default() });
    assert_eq!((world.forgotten as u64, world.told.len()), (given, 200), "no open one was settled");
    assert!(world.stitcher.span_count() <= 900);
}

/// A submit and its task, each in a trace of its own, are given up together: else both would be charged.
#[test]
fn what_is_matched_across_traces_is_given_up_together() {
    let mut world = World::new(Settings { max_open_jobs: 10, ..Settings::default() });
    for number in 0..6 {
        let ms = 5000 * number;
        world.call("storm", 0, ms, Role::Submit, None);
        world.call("storm", 0, ms + 1000, Role::Poll, Some(&format!("storm-{number}")));
    }
    world.advance(58_000);
    assert!(world.stitcher.limit_hits().open_jobs > 0);
    assert!(!world.told.is_empty());
    for (task, job) in &world.told {
        assert_eq!(job.attempts.len(), 1, "{task}: {job:#?}");
        let calls = &job.attempts[0].calls;
        assert_eq!(
            calls.iter().map(|call| call.role).collect::<Vec<_>>(),
            [Role::Submit, Role::Poll],
            "{task}"
        );
    }
}

#[test]
fn a_trace_ties_no_more_tasks_than_it_may() {
    let mut world = World::new(Settings { max_trace_tasks: 50, ..Settings::default() });
    for number in 0..50 {
        world.call("batch", 7, number, Role::Submit, Some(&format!("batch-{number}")));
    }
    assert_eq!(world.stitcher.limit_hits(), LimitHits::default());
    assert_eq!(world.stitcher.pockets.iter().count(), 1);
    for number in 50..60 {
        world.call("batch", 7, number, Role::Submit, Some(&format!("batch-{number}")));
    }
    assert_eq!(world.stitcher.limit_hits(), LimitHits { trace_tasks: 10, ..LimitHits::default() });
    assert!(world.stitcher.pockets.iter().all(|(_, pocket)| pocket.members.len() <= 50));
    for number in 0..60 {
        world.call("batch", 0, 30_000, Role::Result, Some(&format!("batch-{number}")));
    }
    world.advance(120_000);
    assert_eq!(world.told.len(), 60, "each is a job all the same");
    assert!(world.told.values().all(|job| job.outcome == Outcome::Succeeded));
}

#[test]
fn a_task_keeps_no_more_polls_than_it_may_and_still_ends() {
    let mut world = World::new(Settings { max_task_spans: 50, ..Settings::default() });
    world.call("loop", 7, 0, Role::Submit, Some("loop"));
    for poll in 0..49 {
        assert_eq!(world.call("loop", 7, 100 * poll, Role::Poll, Some("loop")), Observed::New);
    }
    for poll in 49..60 {
        assert_eq!(world.call("loop", 7, 100 * poll, Role::Poll, Some("loop")), Observed::Surplus);
    }
    assert_eq!(world.stitcher.limit_hits(), LimitHits { task_spans: 11, ..LimitHits::default() });
    assert_eq!(world.stitcher.span_count(), 50);
    assert_eq!(world.call("loop", 7, 6000, Role::Result, Some("loop")), Observed::New, "it tells something");
    world.advance(60_000);
    let job = &world.told["loop"];
    assert_eq!((job.outcome, job.attempts[0].count(Role::Poll)), (Outcome::Succeeded, 49));
}

fn frame() -> What {
    What::Frame(Frame { kind: FrameKind::Internal, verdict: None, rare: Rare::default() })
}

/// A worker that polls from a request, and so from a trace, for each poll.
#[test]
fn polls_that_are_not_kept_leave_no_trace_and_no_frame_behind() {
    // A frame that no call of its trace has taken goes at once.
    let mut world = World::new(Settings { max_task_spans: 50, max_idle_frames: 0, ..Settings::default() });
    world.call("loop", 1, 0, Role::Submit, Some("loop"));
    world.span("loop", 1, 0, frame());
    for poll in 1..200 {
        let observed = world.call("loop", 1 + poll, 1000 * poll, Role::Poll, Some("loop"));
        assert_eq!(observed, if poll < 50 { Observed::New } else { Observed::Surplus }, "{poll}");
        world.span("loop", 1 + poll, 1000 * poll, frame());
    }
    let held = |world: &mut World| {
        let Index { traces, spans, .. } = &mut world.stitcher.index;
        (traces.values_mut().count(), *spans)
    };
    assert_eq!(held(&mut world), (50, 100));
    assert_eq!(world.stitcher.limit_hits().task_spans, 150);
    world.advance(3_600_000);
    world.advance(24 * 3_600_000);
    assert_eq!((world.told.len(), world.forgotten, held(&mut world)), (1, 1, (0, 0)));
}

/// The frame may still be that of another job, which comes after the poll.
#[test]
fn a_frame_above_a_poll_that_is_not_kept_waits_for_other_calls_of_its_trace() {
    for is_first in [true, false] {
        let mut world = World::new(Settings { max_task_spans: 1, ..Settings::default() });
        world.call("loop", 1, 0, Role::Submit, Some("loop"));
        if is_first {
            world.span("loop", 2, 0, frame());
        }
        assert_eq!(world.call("loop", 2, 100, Role::Poll, Some("loop")), Observed::Surplus);
        if !is_first {
            world.span("loop", 2, 0, frame());
        }
        world.call("loop", 2, 200, Role::Submit, Some("other"));
        let Index { traces, items, .. } = &world.stitcher.index;
        let trace = traces.get(&OwnedTrace::new(&Client::default(), TraceId(2_u128.to_be_bytes()))).unwrap();
        let tasks = trace.items().iter().map(|&slot| items.get(slot).unwrap().first());
        let tasks: Vec<_> = tasks.map(|call| call_of(call).unwrap().task.clone()).collect();
        assert_eq!(tasks, [Some(TaskId::new("other"))], "frame first: {is_first}");
        assert_eq!(trace.frames().len(), 1, "frame first: {is_first}");
    }
}

#[test]
fn frames_without_calls_are_bounded() {
    let mut world = World::new(Settings { max_idle_frames: 50, ..Settings::default() });
    for trace in 1..=50 {
        world.span("web", trace, trace, frame());
    }
    assert_eq!((world.stitcher.limit_hits(), world.stitcher.span_count()), (LimitHits::default(), 50));
    world.span("web", 51, 51, frame());
    assert_eq!(world.stitcher.limit_hits(), LimitHits { idle_frames: 1, ..LimitHits::default() });
    assert_eq!(world.stitcher.span_count(), 50, "the oldest is gone");
}

/// The same arrivals at the same times give the same up, and nothing is lost below the bound in any order.
#[test]
fn what_is_given_up_follows_from_what_came_when() {
    let run = || {
        let mut world = World::new(Settings { max_open_jobs: 60, ..Settings::default() });
        for number in 0..70 {
            world.open(["a", "b", "c"][number as usize % 3], number, number * 10);
        }
        world.advance(10_000);
        let told: Vec<String> = world.told.keys().cloned().collect();
        (told, world.stitcher.limit_hits(), world.stitcher.take_trimmed())
    };
    let (told, hits, trimmed) = run();
    assert_eq!((told.clone(), hits, trimmed.clone()), run());
    assert_eq!((told.len() as u64, trimmed.len()), (hits.open_jobs, 3), "equal ones give up alike");
    assert!(trimmed.iter().all(|trimmed| (5..=6).contains(&trimmed.open)), "{trimmed:?}");
}

/// Of very many a part at a time, so that what is told fits in little memory.
#[test]
fn very_many_are_given_up_in_parts() {
    let mut world = World::new(Settings { max_open_jobs: 1000, ..Settings::default() });
    for number in 0..30_000 {
        world.open("storm", number, number / 100);
    }
    let mut parts = Vec::new();
    loop {
        let (changes, more) = world.stitcher.advance_some(BEGIN.plus_ms(1000), 10);
        parts.push(changes.len());
        if !more {
            break;
        }
    }
    assert!(parts.len() > 2 && parts.iter().all(|&part| part <= PART + 2), "{parts:?}");
    let hits = world.stitcher.limit_hits().open_jobs;
    assert!((29_000..=29_100).contains(&hits), "{hits}");
}

/// What one part leaves over is given up by the next, but for what was touched meanwhile.
#[test]
fn what_was_listed_and_touched_since_is_passed_over() {
    let bound = 12 * PART as u64;
    let mut world = World::new(Settings { max_spans: bound as usize, ..Settings::default() });
    for number in 0..=bound {
        world.call("storm", number + 1, number / 1000, Role::Sync, None);
    }
    // All settle; then the oldest part of the surplus goes, and the rest of it is listed.
    while world.advance_part(60_000) {}
    let first = world.forgotten;
    assert!(world.told.len() as u64 == bound + 1 && (PART / 2..=PART).contains(&first), "{first}");
    let mut jobs: Vec<&Job> = world.told.values().collect();
    jobs.sort_by_key(|job| job.attempts[0].calls[0].span);
    let jobs: Vec<_> = jobs.into_iter().map(|job| job.id).collect();
    world.span("storm", first as u64 + 1, 61_000, frame());

    for number in bound + 1..=bound + PART as u64 {
        world.call("storm", number + 1, 61_000, Role::Sync, None);
    }
    while world.advance_part(62_000) {}
    // A tenth of the bound was to go, and it took the two parts.
    let surplus = bound as usize / 10 + 1;
    assert!((surplus..=surplus + 2).contains(&world.forgotten), "{} of {surplus}", world.forgotten);
    let knows = |number: usize| world.stitcher.knows(jobs[number]);
    assert!(knows(first) && !knows(first + 1) && !knows(surplus) && knows(surplus + 2));
}
