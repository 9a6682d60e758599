//! `cargo bench -p spantally-bench --bench open_jobs`: what a span costs the stitcher while so many jobs are
//! open, with lineage and without.
//!
//! Every job has been submitted and polled and has not ended; two hundred came each second. Then each of many
//! polls goes to one of them, spread over all, and time passes by a second for every two thousand spans. The
//! cost holds placing a span and looking at what is due, not reading, pricing or disk.

#![allow(clippy::print_stdout, reason = "a benchmark answers on its standard output")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use spantally_stitch::{
    Accepted, Answer, Call, Client, Endpoint, Evidence, Role, Settings, SpanId, SpanKey, Stitcher, TaskId,
    TraceId, UnixNanos, What,
};

#[global_allocator]
static ALLOCATIONS: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Spans that are timed.
const SPANS: u64 = 400_000;
/// Spans a second of event time.
const RATE: u64 = 2000;
/// Jobs a second of event time, before.
const JOBS_RATE: u64 = 200;
const DAY_MS: u64 = 86_400_000;
const BEGIN: UnixNanos = UnixNanos(1_795_000_000_000_000_000);

fn main() {
    println!("open jobs   ns per span with lineage   ns per span, each its own trace");
    for jobs in [1_000, 10_000, 100_000, 1_000_000] {
        println!("{jobs:>9} {:>26.0} {:>33.0}", cost(jobs, true), cost(jobs, false));
    }
}

/// Nanoseconds a span.
fn cost(jobs: u64, parented: bool) -> f64 {
    // So long that no job ends because nothing was heard of it while the others came.
    let settings = Settings {
        max_spans: 20_000_000,
        max_open_jobs: 20_000_000,
        idle_timeout_ms: DAY_MS,
        absolute_timeout_ms: DAY_MS,
        ..Settings::default()
    };
    let mut traffic = Traffic { parented, spans: 0, ends: ends() };
    let mut stitcher = Stitcher::new(settings);
    for job in 0..jobs {
        let at = BEGIN.plus_ms(job * 1000 / JOBS_RATE);
        stitcher.observe(traffic.call(job, Role::Submit, at));
        stitcher.observe(traffic.call(job, Role::Poll, at.plus_ms(400)));
        if job % JOBS_RATE == 0 {
            black_box(stitcher.advance(at));
        }
    }
    let start = BEGIN.plus_ms(jobs * 1000 / JOBS_RATE + 120_000);
    stitcher.advance(start);
    let began = Instant::now();
    for span in 0..SPANS {
        // Spread over all jobs, in no order.
        let job = span.wrapping_mul(0x9e37_79b9_7f4a_7c15) % jobs;
        let at = start.plus_ms(span * 1000 / RATE);
        black_box(stitcher.observe(traffic.call(job, Role::Poll, at)));
        if span % RATE == 0 {
            black_box(stitcher.advance(at));
        }
    }
    began.elapsed().as_secs_f64() * 1e9 / SPANS as f64
}

struct Traffic {
    parented: bool,
    spans: u64,
    ends: [Arc<Endpoint>; 2],
}

fn ends() -> [Arc<Endpoint>; 2] {
    ["submit", "poll"].map(|rule| {
        let provider = "runway".into();
        Arc::new(Endpoint { provider, rule: rule.into(), model: "gen4_turbo".into(), ..Endpoint::default() })
    })
}

impl Traffic {
    fn call(&mut self, job: u64, role: Role, at: UnixNanos) -> Evidence {
        self.spans += 1;
        let number = |number: u64| u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let trace = if self.parented { number(job + 1) } else { number(self.spans + (1 << 40)) };
        let is_submit = role == Role::Submit;
        Evidence {
            span: SpanKey { trace: TraceId(trace.to_be_bytes()), span: SpanId(self.spans.to_be_bytes()) },
            parent: SpanId(if self.parented { (job + 1).to_be_bytes() } else { [0; 8] }),
            start: at,
            end: at.plus_ms(20),
            client: CLIENT.with(Arc::clone),
            what: What::Call(Call {
                role,
                endpoint: self.ends[usize::from(!is_submit)].clone(),
                task: (!is_submit).then(|| TaskId::from_uuid(number(job + 7).to_be_bytes())),
                answer: Answer::Status(200),
                accepted: Accepted::Yes,
                verdict: None,
                request: job,
                agent: 7,
                rare: spantally_stitch::Rare::default(),
            }),
        }
    }
}

thread_local! {
    static CLIENT: Arc<Client> = Arc::new(Client { service: "clips".into(), ..Client::default() });
}
