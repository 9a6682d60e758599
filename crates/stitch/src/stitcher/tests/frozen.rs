//! A stitcher that freezes everything at every look, beside one that freezes nothing: in all that can be seen
//! from outside they are one.

use super::*;
use crate::call::{CallRare, Correlation, CorrelationKind, TaskState, Verdict};
use crate::frame::FrameRare;
use crate::stitcher::{Came, OpenCursor};

/// Numbers that look drawn, the same for each seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % bound
    }

    fn of<T: Copy>(&mut self, some: &[T]) -> T {
        some[self.below(some.len() as u64) as usize]
    }
}

/// Spans with the second at which they come.
struct Traffic {
    draw: Draw,
    spans: u64,
    client: Arc<Client>,
    ends: [Arc<Endpoint>; 2],
    /// Which of them the job goes to.
    end: usize,
    has_hooks: bool,
    /// The request of the job before, if that had one.
    request: Option<(u64, u64)>,
    sent: Vec<(u64, Evidence)>,
}

fn client(tenant: &str, instance: u64) -> Arc<Client> {
    let instance = instance.to_string().into();
    Arc::new(Client { tenant: tenant.into(), service: "studio".into(), instance, ..Client::default() })
}

impl Traffic {
    fn new(seed: u64) -> Self {
        let end =
            |provider: &str| Endpoint { provider: provider.into(), rule: "x".into(), ..Endpoint::default() };
        Self {
            draw: Draw(seed),
            spans: 0,
            client: client("", 0),
            ends: [Arc::new(end("clips")), Arc::new(end("songs"))],
            end: 0,
            has_hooks: seed.is_multiple_of(3),
            request: None,
            sent: Vec::new(),
        }
    }

    /// One span that begins at a second and comes soon after, or late, or twice.
    fn send(&mut self, (trace, parent): (u64, u64), second: u64, what: What) -> u64 {
        self.spans += 1;
        let start = BEGIN.plus_ms(second * 1000 + self.draw.below(900));
        let span = SpanId(self.spans.to_be_bytes());
        let evidence = Evidence {
            span: SpanKey { trace: TraceId(u128::from(trace).to_be_bytes()), span },
            parent: SpanId(parent.to_be_bytes()),
            start,
            end: start.plus_ms(20 + self.draw.below(400)),
            client: self.client.clone(),
            what,
        };
        let comes = second + self.draw.of(&[0, 1, 2, 5, 5, 5, 90, 700]);
        if self.draw.below(6) == 0 {
            let again = comes + self.draw.of(&[0, 40, 300, 900]);
            self.sent.push((again, evidence.clone()));
        }
        self.sent.push((comes, evidence));
        self.spans
    }

    fn call(&mut self, role: Role, task: Option<&TaskId>, rare: CallRare) -> What {
        let state = match role {
            Role::Submit => None,
            Role::Poll => Some(TaskState::Running),
            _ => Some(TaskState::Succeeded),
        };
        What::Call(Call {
            role,
            endpoint: self.ends[self.end].clone(),
            task: task.cloned(),
            answer: Answer::Status(self.draw.of(&[200, 200, 200, 202])),
            accepted: Accepted::Yes,
            verdict: state.map(|state| Verdict { state, reason: None }),
            request: self.draw.below(3),
            agent: 7,
            rare: Rare::new(rare),
        })
    }

    /// What a mesh shows below a call that began its trace.
    fn nested(&mut self, below: (u64, u64), second: u64) {
        let shown = self.call(Role::Submit, None, CallRare::default());
        self.send(below, second + 60, shown);
    }

    /// A call with a link to a trace that begins later.
    fn linked(&mut self, trace: u64, second: u64, task: &TaskId) {
        let later = TraceId(u128::from(trace + 500).to_be_bytes());
        let links = vec![SpanKey { trace: later, ..SpanKey::default() }];
        let fetched = self.call(Role::Result, Some(task), CallRare { links, ..CallRare::default() });
        self.send((trace + 400, 9), second + 5, fetched);
        let there = self.call(Role::Cancel, None, CallRare::default());
        self.send((trace + 500, 9), second + 100, there);
    }

    /// A job with some of what ties calls, or with nothing that does.
    fn job(&mut self, number: u64) {
        self.client = client(self.draw.of(&["", "", "t"]), self.draw.below(2));
        self.end = self.draw.of(&[0, 0, 1]);
        let mut second = self.draw.below(900);
        let mut trace = 1000 * (number + 1);
        let (is_bare, names_it) = (self.draw.below(3) == 0, self.draw.below(3) == 0);
        let order: Arc<str> = format!("order-{}", self.draw.below(40)).into();
        let named = |kind| Correlation { kind, value: order.clone() };
        let task = match self.draw.below(4) {
            0 => TaskId::from_uuid(u128::from(number + 77).to_be_bytes()),
            1 => TaskId::new(&format!("projects/{}/{number:0300}", self.draw.below(9))),
            _ => TaskId::new(&format!("task-{}", self.draw.below(60))),
        };
        let mut parent = 0;
        if let Some(before) = self.request.take().filter(|_| !is_bare && self.draw.below(3) == 0) {
            (trace, parent) = before;
        } else if !is_bare && self.draw.below(4) > 0 {
            let rare = FrameRare {
                correlations: names_it.then(|| named(CorrelationKind::Job)).into_iter().collect(),
                ..FrameRare::default()
            };
            let frame = Frame { kind: FrameKind::Server, verdict: None, rare: Rare::new(rare) };
            parent = self.send((trace, 0), second, What::Frame(frame));
            self.request = Some((trace, parent));
        }
        let rare = CallRare {
            correlations: names_it.then(|| named(CorrelationKind::Callback)).into_iter().collect(),
            ..CallRare::default()
        };
        let shown = (self.draw.below(4) == 0).then_some(&task);
        let submit = self.call(Role::Submit, shown, rare.clone());
        let own = |traffic: &Self| if is_bare { trace + 1 + traffic.spans } else { trace };
        let first = self.send((own(self), parent), second, submit);
        match self.draw.below(8) {
            0 if is_bare => self.nested((trace + first, first), second),
            1 => self.linked(trace, second, &task),
            _ => {}
        }
        let polls = self.draw.below(5) + 40 * u64::from(number.is_multiple_of(16));
        for _ in 0..polls {
            second += self.draw.of(&[1, 2, 2, 10, 45, 120]);
            let poll = self.call(Role::Poll, Some(&task), CallRare::default());
            self.send((own(self), parent), second, poll);
        }
        second += self.draw.of(&[1, 5, 60, 400, 2000]);
        match self.draw.below(4) {
            0 => {}
            // Where deliveries name nothing, all there is waits for them in its lane.
            1 if self.has_hooks || names_it => {
                let links = (self.draw.below(2) == 0)
                    .then(|| SpanKey {
                        trace: TraceId(u128::from(own(self).min(trace + 1)).to_be_bytes()),
                        span: SpanId(first.to_be_bytes()),
                    })
                    .into_iter()
                    .collect();
                let hook = self.call(Role::Webhook, None, CallRare { links, ..rare });
                self.send((trace + 900, 0), second, hook);
            }
            _ => {
                let result = self.call(Role::Result, Some(&task), CallRare::default());
                self.send((own(self), parent), second, result);
            }
        }
    }
}

/// What can be seen of changes, in an order of its own.
fn told(changes: Vec<Change>) -> Vec<String> {
    let mut told: Vec<String> = changes.into_iter().map(|change| format!("{change:?}")).collect();
    told.sort_unstable();
    told
}

fn open(stitcher: &mut Stitcher) -> Vec<String> {
    let (mut jobs, mut cursor) = (Vec::new(), OpenCursor::default());
    while stitcher.visit_open(&mut cursor, 3, |job| jobs.push(format!("{job:?}"))) {}
    jobs.sort_unstable();
    jobs
}

/// The two lists are one; else what only one of them has is shown.
#[track_caller]
fn same(frozen: &[String], whole: &[String], what: &str) {
    let only = |some: &[String], other: &[String]| -> Vec<String> {
        some.iter().filter(|line| !other.contains(line)).cloned().collect()
    };
    let (left, right) = (only(frozen, whole), only(whole, frozen));
    assert!(frozen == whole, "{what}\nonly where frozen: {left:#?}\nonly where whole: {right:#?}");
}

fn carried(stitcher: &mut Stitcher, before: u64) -> Vec<String> {
    let mut shown: Vec<String> = Vec::new();
    stitcher.carry(before, |number, came: Came, evidence| {
        let mut spans: Vec<String> = evidence.iter().map(|span| format!("{span:?}")).collect();
        spans.sort_unstable();
        shown.push(format!("{number} {came:?} {spans:?}"));
    });
    shown.sort_unstable();
    shown
}

/// Everything that the two can be asked.
fn compare(frozen: &mut Stitcher, whole: &mut Stitcher, ids: &[JobId], draw: &mut Draw, what: &str) {
    if draw.below(3) == 0 {
        same(&open(frozen), &open(whole), what);
    }
    let mut shown = Vec::new();
    frozen.visit_open(&mut OpenCursor::default(), usize::MAX, |job| shown.push(job.id));
    assert_eq!(
        (frozen.span_count(), frozen.limit_hits()),
        (whole.span_count(), whole.limit_hits()),
        "{what}"
    );
    for &id in ids.iter().chain(&shown).filter(|_| draw.below(16) == 0) {
        assert_eq!((frozen.knows(id), frozen.job(id)), (whole.knows(id), whole.job(id)), "{what}");
    }
    if draw.below(4) == 0 {
        let before = draw.below(frozen.next_number() + 1);
        same(&carried(frozen, before), &carried(whole, before), what);
    }
    let gone = |stitcher: &mut Stitcher| {
        let (mut gone, mut marks) = (stitcher.take_gone(), stitcher.take_tombstones());
        gone.sort_unstable();
        marks.sort_unstable();
        (gone, marks)
    };
    assert_eq!(gone(frozen), gone(whole), "{what}");
    let ties = |stitcher: &mut Stitcher| {
        let (ties, gone): (Vec<_>, Vec<_>) =
            stitcher.take_ties().into_iter().partition(|(_, tie)| tie.is_some());
        let ties = ties.into_iter().filter_map(|(_, tie)| tie);
        let mut ties: Vec<String> = ties
            .map(|mut tie| {
                tie.members.sort_unstable();
                tie.pins.sort_unstable_by_key(|pin| (pin.shot, pin.made));
                format!("{tie:?}")
            })
            .collect();
        ties.push(format!("{} are gone", gone.len()));
        ties.sort_unstable();
        ties
    };
    same(&ties(frozen), &ties(whole), what);
}

/// How many pockets are tied, and which items jobs were told with that may still change.
fn kept(stitcher: &Stitcher) -> (usize, Vec<u64>) {
    let tied = stitcher.pockets.iter().filter(|(at, _)| stitcher.ties.has(*at)).count();
    let told = stitcher.told.items().into_iter();
    let mut told: Vec<u64> = told.filter_map(|slot| Some(stitcher.index.item(slot)?.number)).collect();
    told.sort_unstable();
    (tied, told)
}

#[test]
fn what_is_frozen_is_as_if_it_were_whole() {
    let (mut at_once, mut thawed) = (0, 0);
    for seed in 0..16 {
        let mut traffic = Traffic::new(seed);
        (0..50).for_each(|job| traffic.job(job));
        let Traffic { mut sent, mut draw, .. } = traffic;
        sent.sort_by_key(|(comes, _)| *comes);
        let settings = Settings {
            idle_timeout_ms: 600_000,
            retention_ms: 1_200_000,
            max_spans: if seed % 4 == 3 { 150 } else { 100_000 },
            max_open_jobs: if seed % 4 == 2 { 20 } else { 100_000 },
            ..Settings::default()
        };
        let mut frozen = Stitcher::new(Settings { freeze_after_ms: 0, ..settings.clone() });
        let mut whole = Stitcher::new(Settings { freeze_after_ms: u64::MAX, ..settings });
        let mut ids: Vec<JobId> = Vec::new();
        let (mut spans, mut second) = (sent.into_iter().peekable(), 0);
        while spans.peek().is_some() || second < 9000 {
            second += 1 + draw.below(45);
            let now = BEGIN.plus_ms(second * 1000);
            let mut arrives = frozen.now();
            while let Some((_, evidence)) = spans.next_if(|(comes, _)| *comes <= second) {
                // At a bound the oldest go, and of two that are equally old either.
                arrives = UnixNanos(arrives.0 + 1_000);
                frozen.set_time(arrives);
                whole.set_time(arrives);
                let before = frozen.frozen.len();
                assert_eq!(frozen.observe(evidence.clone()), whole.observe(evidence), "seed {seed}");
                thawed += before - frozen.frozen.len();
            }
            let what = format!("seed {seed}, second {second}");
            let changes = frozen.advance(now);
            for change in &changes {
                if let Change::Published { job, .. } = change {
                    ids.push(job.id);
                }
            }
            same(&told(changes), &told(whole.advance(now)), &what);
            at_once = at_once.max(frozen.frozen.len());
            assert!(whole.frozen.is_empty());
            compare(&mut frozen, &mut whole, &ids, &mut draw, &what);
            if draw.below(20) == 0 {
                frozen.thaw_all();
                assert_eq!(kept(&frozen), kept(&whole), "{what}");
            }
        }
        same(&told(frozen.finish()), &told(whole.finish()), &format!("seed {seed}, the end"));
    }
    assert!(at_once > 8 && thawed > 300, "{at_once} were frozen at once, {thawed} thawed");
}
