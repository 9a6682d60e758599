//! Storms: what is weighed grows with what came, and not with its square.
//!
//! The bounds are on candidates and edges, since those are what time and memory are spent on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::call::{Accepted, Answer, Call, CallRare, Correlation, CorrelationKind, Endpoint, Role};
use crate::evidence::{Client, Evidence, What};
use crate::id::{SpanId, SpanKey, TaskId, TraceId, UnixNanos};
use crate::rare::Rare;
use crate::settings::Settings;
use crate::solve::callback::Constants;
use crate::solve::pool::Pool;
use crate::solve::redelivery::{self, Waits};
use crate::solve::{Solution, assign, double, fallback, hooks, names, retry, solve};

pub(super) const BEGIN: UnixNanos = UnixNanos(1_795_168_800_000_000_000);

/// Calls of one process, each a trace of its own until it is given another.
pub(super) struct Storm {
    client: Arc<Client>,
    endpoint: Arc<Endpoint>,
    pub(super) calls: Vec<Evidence>,
}

impl Storm {
    pub(super) fn new() -> Self {
        Self {
            client: Arc::new(Client { service: "studio".into(), ..Client::default() }),
            endpoint: Arc::new(Endpoint { provider: "clips".into(), ..Endpoint::default() }),
            calls: Vec::new(),
        }
    }

    /// A call of 10 ms that shows no task.
    pub(super) fn call(&mut self, at_ms: u64, role: Role, status: u16) -> &mut Evidence {
        let number = self.calls.len() as u64 + 1;
        let start = BEGIN.plus_ms(at_ms);
        let accepted = if status < 300 { Accepted::Yes } else { Accepted::No };
        let call = Call {
            role,
            endpoint: self.endpoint.clone(),
            task: None,
            answer: Answer::Status(status),
            accepted,
            verdict: None,
            request: 7,
            agent: 7,
            rare: Rare::default(),
        };
        self.calls.push(Evidence {
            span: SpanKey { trace: trace(number), span: SpanId(number.to_be_bytes()) },
            parent: SpanId::default(),
            start,
            end: start.plus_ms(10),
            client: self.client.clone(),
            what: What::Call(call),
        });
        let last = self.calls.len() - 1;
        &mut self.calls[last]
    }

    pub(super) fn pool(&self) -> Pool<'_> {
        let mut tasks: BTreeMap<&TaskId, Vec<&Evidence>> = BTreeMap::new();
        let mut lone = Vec::new();
        for evidence in &self.calls {
            match call_of(evidence).task.as_ref() {
                Some(task) => tasks.entry(task).or_default().push(evidence),
                None => lone.push((0, evidence)),
            }
        }
        Pool::new(tasks.into_values().map(|calls| (0, calls)), lone.into_iter(), std::iter::empty())
    }
}

pub(super) fn trace(number: u64) -> TraceId {
    TraceId(u128::from(number).to_be_bytes())
}

fn call_of(evidence: &Evidence) -> &Call {
    crate::solve::pool::call_of(evidence).unwrap()
}

pub(super) fn ask_for(evidence: &mut Evidence, task: u64) {
    let What::Call(call) = &mut evidence.what else { return };
    call.task = Some(TaskId::new(&format!("task-{task}")));
}

pub(super) fn mark(evidence: &mut Evidence, resend: u16) {
    let What::Call(call) = &mut evidence.what else { return };
    call.rare = Rare::new(CallRare { resend: Some(resend), ..CallRare::default() });
}

/// Numbers below `below` that look drawn, and are the same each time.
pub(super) fn drawn(below: u64) -> impl FnMut() -> u64 {
    let mut state = 1_u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

/// Numbers between 0 and 1 that look drawn, and are the same each time.
pub(super) fn chance() -> impl FnMut() -> f64 {
    let mut state = 7_u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as f64 + 0.5) / f64::from(1_u32 << 31)
    }
}

/// When so many jobs begin by chance, so many a second, in seconds.
pub(super) fn begun(jobs: usize, rate: f64, chance: &mut impl FnMut() -> f64) -> Vec<f64> {
    let mut now = 0.0;
    let mut next = || {
        now -= chance().ln() / rate;
        now
    };
    (0..jobs).map(|_| next()).collect()
}

#[test]
fn an_endpoint_that_refuses_for_half_an_hour_weighs_a_few_redeliveries_for_each() {
    let mut storm = Storm::new();
    let mut at = drawn(1_800_000);
    for _ in 0..8000 {
        storm.call(at(), Role::Webhook, 503);
    }
    let pool = storm.pool();
    let all: Vec<usize> = (0..pool.hooks.len()).collect();
    let lanes = redelivery::lanes(&pool, &all);
    for wait in [None, Some(1.0), Some(60.0), Some(1000.0)] {
        let before: BTreeMap<usize, f64> =
            wait.map(|wait| all.iter().map(|&at| (at, wait)).collect()).unwrap_or_default();
        let edges = redelivery::edges(&pool, &all, &lanes, &Waits::after(before));
        assert!(edges.len() <= 8000 * redelivery::MAX_NEXT, "{wait:?}: {} edges", edges.len());
        assert!(edges.len() > 8000, "{wait:?}: {} edges", edges.len());
    }
    let groups = hooks::groups(&pool, &Constants::default(), Settings::default().max_assignment);
    assert_eq!(groups.iter().map(|group| group.hooks.len()).sum::<usize>(), 8000);
}

#[test]
fn the_delivery_that_is_due_is_weighed_whatever_comes_before_it() {
    let mut storm = Storm::new();
    for at in 0..1000 {
        storm.call(at * 100, Role::Webhook, 503);
    }
    let pool = storm.pool();
    let all: Vec<usize> = (0..pool.hooks.len()).collect();
    let edges = |before: &BTreeMap<usize, f64>| {
        let (lanes, waits) = (redelivery::lanes(&pool, &all), Waits::after(before.clone()));
        let edges = redelivery::edges(&pool, &all, &lanes, &waits);
        edges.iter().filter(|edge| edge.left == 0).map(|edge| edge.right).collect::<Vec<_>>()
    };
    assert_eq!(edges(&BTreeMap::new()), (1..=32).collect::<Vec<_>>(), "the next, of a first wait");
    let further = edges(&BTreeMap::from([(0, 20.0)]));
    assert!(further.contains(&201), "as long as the wait before: {further:?}");
    assert!(further.contains(&401), "twice as long: {further:?}");
    let past = edges(&BTreeMap::from([(0, 1800.0)]));
    assert!(past.iter().all(|&to| to > 980), "the last that came: {past:?}");
}

/// A submit that may have been taken, or a delivery that names its task, with one callback parameter for all.
fn called_back(storm: &mut Storm, at_ms: u64, role: Role) {
    let value = Correlation { kind: CorrelationKind::Callback, value: "prod".into() };
    let rare = Rare::new(CallRare { correlations: vec![value], ..CallRare::default() });
    let What::Call(call) = &mut storm.call(at_ms, role, 200).what else { return };
    (call.rare, call.task) = (rare, (role == Role::Webhook).then(|| TaskId::new(&format!("task-{at_ms}"))));
    if role == Role::Submit {
        (call.answer, call.accepted) = (Answer::TimedOut, Accepted::Ambiguous);
    }
}

#[test]
fn submits_of_one_name_are_gone_through_once_for_all_its_deliveries() {
    let mut storm = Storm::new();
    for at in 0..10_000 {
        called_back(&mut storm, at, Role::Submit);
        called_back(&mut storm, 20_000 + at, Role::Webhook);
    }
    let pool = storm.pool();
    let mut solution = Solution { task_shot: vec![None; pool.tasks.len()], ..Solution::default() };
    names::bind(&pool, &Constants::default(), &mut solution);
    assert!((0..pool.tasks.len()).all(|task| solution.left.has(task)));
    names::by_what_is_left(&pool, &mut solution);
    let shots: BTreeSet<usize> = solution.task_shot.iter().flatten().map(|bound| bound.shot).collect();
    assert_eq!(shots.len(), 10_000, "each has a submit of its own");
}

/// Events that were delivered twice, and refused, 20 ms apart; each has a task that is asked for once, in
/// the trace of a submit or in its own.
fn dead_events(events: u64) -> Storm {
    let mut storm = Storm::new();
    for event in 0..events {
        storm.call(event * 20, Role::Webhook, 503);
        storm.call(event * 20 + 1000, Role::Webhook, 503);
        let poll = storm.call(event * 20 + 6000, Role::Poll, 200);
        ask_for(poll, event);
    }
    storm
}

#[test]
fn questions_after_dead_deliveries_are_weighed_a_few_for_each() {
    let storm = dead_events(2000);
    let pool = storm.pool();
    let groups: Vec<hooks::HookGroup> = (0..2000)
        .map(|event| {
            let starts = [event * 20, event * 20 + 1000].map(|at| BEGIN.plus_ms(at));
            let place = |start| pool.hooks.iter().position(|hook| hook.evidence.start == start).unwrap();
            hooks::HookGroup { hooks: starts.map(place).to_vec(), ..hooks::HookGroup::default() }
        })
        .collect();
    let dead: Vec<_> =
        groups.iter().enumerate().map(|(at, group)| fallback::Dead { at, group, submit: None }).collect();
    let asked = fallback::asked(&pool, 0..pool.tasks.len(), |_| false);
    let edges = fallback::edges(&pool, &dead, &asked, &BTreeMap::new());
    assert!(edges.len() <= 2000 * fallback::MAX_CANDIDATES, "{} edges", edges.len());
    let rates: Vec<f64> = fallback::rates(&pool, &dead, &asked).into_values().collect();
    // The window opens again every 20 ms, the last time after 2000 * 20 ms.
    let expected = 2000.0 / (40.0 + 120.0);
    assert!(rates.len() == 1 && (rates[0] - expected).abs() < 0.01, "of all, weighed or not: {rates:?}");
    let one = fallback::edges(&pool, &dead[..1], &asked, &BTreeMap::new());
    assert_eq!((one.len(), one[0].right), (fallback::MAX_CANDIDATES, 0));
}

#[test]
fn a_question_in_the_trace_of_a_submit_is_weighed_among_thousands_that_are_not() {
    let mut storm = dead_events(2000);
    let submit = storm.call(0, Role::Submit, 200).span.trace;
    let poll = storm.call(60_000, Role::Poll, 200);
    ask_for(poll, 9999);
    poll.span.trace = submit;
    let (pool, group) = (storm.pool(), hooks::HookGroup { hooks: vec![1, 2], ..hooks::HookGroup::default() });
    let asked = fallback::asked(&pool, 0..pool.tasks.len(), |_| false);
    let dead = fallback::Dead { at: 0, group: &group, submit: None };
    let edges = fallback::edges(&pool, &[dead], &asked, &BTreeMap::new());
    let known = pool.tasks.iter().position(|task| task.id == Some(&TaskId::new("task-9999")));
    assert!(edges.iter().any(|edge| Some(edge.right) == known), "{edges:?}");
}

#[test]
fn refused_submits_weigh_a_few_resubmissions_for_each() {
    let mut storm = Storm::new();
    let mut at = drawn(30_000);
    for _ in 0..8000 {
        storm.call(at(), Role::Submit, 503);
    }
    let found = retry::candidates(&storm.pool());
    assert!(found.len() <= 8000 * retry::MAX_NEXT, "{} candidates", found.len());
    assert!(found.len() > 7000 * retry::MAX_NEXT, "{} candidates", found.len());
}

#[test]
fn a_resubmission_that_its_trace_or_a_mark_tells_is_weighed_among_thousands() {
    let mut storm = Storm::new();
    for request in 0..2000_u64 {
        for wait in [0, 20_000] {
            let submit = storm.call(request * 5 + wait, Role::Submit, 503);
            submit.span.trace = trace(request);
            submit.parent = SpanId([1; 8]);
        }
    }
    let of_trace = retry::candidates(&storm.pool());
    assert_eq!(of_trace.len(), 2000, "in other traces are other pieces of work");

    let mut storm = Storm::new();
    for request in 0..2000 {
        storm.call(request * 5, Role::Submit, 503);
        mark(storm.call(request * 5 + 2000, Role::Submit, 503), 1);
    }
    let pool = storm.pool();
    let marked = |at: usize| pool.shots[at].call.rare.resend == Some(1);
    let found = retry::candidates(&pool);
    let first = pool.shots.iter().position(|shot| shot.evidence.start == BEGIN.plus_ms(1500)).unwrap();
    assert!(found.iter().any(|&(from, to)| from == first && marked(to)));
    assert!(found.iter().all(|&(from, to)| !(marked(from) && marked(to))), "a mark that does not count on");
}

#[test]
fn submits_that_nothing_follows_are_compared_with_a_few_for_each() {
    let mut storm = Storm::new();
    let mut at = drawn(9_000);
    for submit in 0..8000 {
        storm.call(at(), Role::Submit, 200).span.trace = trace(submit % 4000);
    }
    let pool = storm.pool();
    let followed: Vec<bool> = (0..8000).map(|shot| shot % 2 == 0).collect();
    let settings = Settings { duplicate_window_ms: 10_000, ..Settings::default() };
    let found = double::candidates(&pool, &followed, &settings);
    assert!(found.len() <= 4000 * (2 * double::MAX_NEAR + 2), "{} candidates", found.len());
    let weighed: BTreeSet<(usize, usize)> = found.iter().map(|near| (near.lost, near.kept)).collect();
    let mut of_trace: BTreeMap<TraceId, Vec<usize>> = BTreeMap::new();
    for (at, shot) in pool.shots.iter().enumerate() {
        of_trace.entry(shot.evidence.span.trace).or_default().push(at);
    }
    let mut pairs = 0;
    for shots in of_trace.values() {
        let [one, other] = shots[..] else { panic!("two in each") };
        let apart = pool.shots[other].evidence.start >= pool.shots[one].evidence.end;
        let (lost, kept) = if followed[one] { (other, one) } else { (one, other) };
        if apart && followed[one] != followed[other] {
            assert!(weighed.contains(&(lost, kept)), "{lost}");
            pairs += 1;
        }
    }
    assert!(pairs > 1000, "{pairs} pairs");
}

/// Submits at random, 60 a second, of which each is asked for half a second later.
fn crowd(submits: u64) -> Storm {
    let mut storm = Storm::new();
    let (mut gap, mut late) = (drawn(34), drawn(4));
    let mut at = 0;
    for submit in 0..submits {
        at += gap();
        storm.call(at, Role::Submit, 200);
        let poll = at + 510 + 1 + late();
        ask_for(storm.call(poll, Role::Poll, 200), submit);
        ask_for(storm.call(poll + 511 + late(), Role::Poll, 200), submit);
    }
    storm
}

#[test]
fn a_crowd_that_is_cut_leaves_no_task_without_a_submit() {
    let storm = crowd(400);
    let pool = storm.pool();
    let alone = |max_assignment: usize| {
        let settings = Settings { max_assignment, ..Settings::default() };
        let Solution { task_shot, .. } = solve(&pool, &settings, &[]);
        task_shot.iter().filter(|bound| bound.is_none()).count()
    };
    assert_eq!([32, 96, 1000].map(alone), [0, 0, 0]);
}

#[test]
fn what_a_stretch_leaves_alone_is_free_for_the_next() {
    // Each left item fits its own right item best, and those of the next twenty nearly as well.
    let near = |left: usize| (left..left + 20).map(move |right| (left, right));
    let edges: Vec<assign::Edge> = (0..400)
        .flat_map(near)
        .filter(|&(_, right)| right < 400)
        .map(|(left, right)| assign::Edge { left, right, gain: 5.0 - (right - left) as f64 / 10.0 })
        .collect();
    for limit in [1, 2, 7, 32, 96, 399, 400] {
        let pairs = assign::assign(&edges, limit, true);
        assert_eq!(pairs.len(), 400, "{limit} at once");
        assert!(pairs.iter().all(|pair| pair.left == pair.right), "{limit} at once");
    }
}
