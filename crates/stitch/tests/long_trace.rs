//! A trace that lives for days: its jobs settle one by one, and what is over leaves memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use spantally_stitch::{
    Accepted, Answer, Call, Change, Client, Endpoint, Evidence, Frame, FrameKind, Job, JobId, Observed,
    Outcome, Rare, Role, Settings, SpanId, SpanKey, State, Stitcher, TaskId, TaskState, TraceId, UnixNanos,
    Verdict, What,
};

const BEGIN: UnixNanos = UnixNanos(1_795_168_800_000_000_000);
const TRACE: TraceId = TraceId([7; 16]);
const ROOT: SpanId = SpanId([9; 8]);

/// One program with one trace, and a span for each job in it.
struct Batch {
    client: Arc<Client>,
    ends: [Arc<Endpoint>; 2],
    stitcher: Stitcher,
    /// A submit shows the id of its task.
    named: bool,
    jobs: BTreeMap<JobId, Job>,
    superseded: usize,
}

impl Batch {
    fn new(named: bool) -> Self {
        let end = |rule: &str| {
            Arc::new(Endpoint { provider: "clips".into(), rule: rule.into(), ..Endpoint::default() })
        };
        Self {
            client: Arc::new(Client { service: "batch".into(), ..Client::default() }),
            ends: [end("submit"), end("poll")],
            stitcher: Stitcher::new(Settings::default()),
            named,
            jobs: BTreeMap::new(),
            superseded: 0,
        }
    }

    fn span(&mut self, span: u64, parent: SpanId, at_ms: u64, took_ms: u64, what: What) -> Observed {
        let start = BEGIN.plus_ms(at_ms);
        self.stitcher.observe(Evidence {
            span: SpanKey { trace: TRACE, span: SpanId(span.to_be_bytes()) },
            parent,
            start,
            end: start.plus_ms(took_ms),
            client: self.client.clone(),
            what,
        })
    }

    fn call(&mut self, job: u64, number: u64, at_ms: u64, role: Role, state: Option<TaskState>) -> Observed {
        let is_submit = role == Role::Submit;
        let call = Call {
            role,
            endpoint: self.ends[usize::from(!is_submit)].clone(),
            task: (self.named || !is_submit).then(|| TaskId::new(&format!("task-{job}"))),
            answer: Answer::Status(200),
            accepted: Accepted::Yes,
            verdict: state.map(|state| Verdict { state, reason: None }),
            request: job,
            agent: 7,
            rare: Rare::default(),
        };
        let parent = SpanId((job * 10 + 1).to_be_bytes());
        self.span(job * 10 + number, parent, at_ms, 20, What::Call(call))
    }

    /// A submit, two polls, and the span above them, which comes last.
    fn job(&mut self, job: u64, at_ms: u64) {
        self.call(job, 2, at_ms, Role::Submit, None);
        self.call(job, 3, at_ms + 300, Role::Poll, Some(TaskState::Running));
        self.call(job, 4, at_ms + 600, Role::Poll, Some(TaskState::Succeeded));
        let frame = Frame { kind: FrameKind::Internal, verdict: None, rare: Rare::default() };
        self.span(job * 10 + 1, ROOT, at_ms, 700, What::Frame(frame));
        self.advance(at_ms + 900);
    }

    fn advance(&mut self, at_ms: u64) {
        for change in self.stitcher.advance(BEGIN.plus_ms(at_ms)) {
            let Change::Published { job, .. } = change else { continue };
            if job.state == State::Superseded {
                self.superseded += 1;
                self.jobs.remove(&job.id);
            } else {
                self.jobs.insert(job.id, *job);
            }
        }
    }
}

#[test]
fn jobs_of_a_long_trace_settle_one_by_one() {
    for (named, jobs) in [(true, 2000), (false, 400)] {
        let mut batch = Batch::new(named);
        for job in 0..jobs {
            batch.job(job, job * 1000);
            // A settle delay after the last call, and another one at most until it is looked at.
            let due = job.saturating_sub(65) as usize;
            assert!(batch.jobs.len() >= due, "{} of {job} settled, named: {named}", batch.jobs.len());
        }
        batch.advance(jobs * 1000 + 200_000);
        assert_eq!((batch.jobs.len() as u64, batch.superseded), (jobs, 0), "named: {named}");
        for job in batch.jobs.values() {
            assert_eq!(job.outcome, Outcome::Succeeded);
            assert_eq!((job.attempts.len(), job.attempts[0].calls.len()), (1, 3), "{job:#?}");
            assert_eq!(job.spans.len(), 1, "its own frame is above it, and no other");
        }
    }
}

#[test]
fn a_late_call_finds_the_job_that_moved_out() {
    let mut batch = Batch::new(true);
    for job in 0..300 {
        batch.job(job, job * 1000);
    }
    let before = batch.jobs.len();
    assert_eq!(batch.call(5, 5, 300_000, Role::Result, None), Observed::New);
    assert_eq!(batch.call(5, 5, 300_000, Role::Result, None), Observed::Duplicate);
    batch.advance(340_000);
    let revised: Vec<&Job> =
        batch.jobs.values().filter(|job| job.attempts[0].count(Role::Result) == 1).collect();
    assert_eq!(revised.len(), 1);
    assert_eq!((revised[0].attempts[0].calls.len(), revised[0].spans.len()), (4, 1));
    assert!(batch.jobs.len() > before && batch.superseded == 0);
}

#[test]
fn a_trace_of_days_leaves_memory_job_by_job() {
    let mut batch = Batch::new(true);
    let every_ms = 20_000;
    let retained = Settings::default().retention_ms / every_ms;
    for job in 0..10_000 {
        batch.job(job, job * every_ms);
        let spans = batch.stitcher.span_count() as u64;
        assert!(spans < 4 * retained * 3 / 2 + 1000, "{spans} spans in memory after {job} jobs");
    }
    assert!(batch.jobs.len() > 9_950 && batch.superseded == 0);
}
