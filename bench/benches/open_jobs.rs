//! `cargo bench -p spantally-bench --bench open_jobs`: what a span costs the stitcher while so many jobs are
//! open, with lineage and without, and what memory they take.
//!
//! Every job has been submitted and polled and has not ended; two hundred came each second. Then each of many
//! polls goes to one of them, spread over all, and time passes by a second for every two thousand spans. The
//! cost holds placing a span and looking at what is due, not reading, pricing or disk. Jobs that were quiet
//! for a while are frozen, and each of those polls makes one whole again: the worst that can come. So the
//! same is measured without freezing.

#![allow(clippy::print_stdout, reason = "a benchmark answers on its standard output")]

use std::hint::black_box;
use std::process::Command;
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
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, jobs, traffic, freezing] = &arguments[..]
        && let Ok(jobs) = jobs.parse()
    {
        let Cost { bytes, ns } = cost(jobs, traffic == LINEAGE, freezing == FREEZES);
        println!("{jobs:>9}  {traffic:<8}  {freezing:<8}  {bytes:>11}  {ns:>11.0}");
        return;
    }
    println!("open jobs  traffic   memory    bytes a job  ns per span");
    for jobs in ["1000", "10000", "100000", "1000000"] {
        // To let a million come that nothing but time ties takes most of an hour.
        let traffics = if jobs == "1000000" { &[LINEAGE][..] } else { &[LINEAGE, "bare"] };
        for &traffic in traffics {
            for freezing in [FREEZES, "whole"] {
                // A process each: what another one left free would count for nothing.
                let own = std::env::current_exe().expect("the path of this program");
                let status = Command::new(own).args([jobs, traffic, freezing]).status();
                assert!(status.is_ok_and(|status| status.success()), "{jobs} {traffic} {freezing} failed");
            }
        }
    }
}

const LINEAGE: &str = "lineage";
const FREEZES: &str = "freezes";

struct Cost {
    /// Resident memory that came with each job.
    bytes: u64,
    /// Time of a span.
    ns: f64,
}

/// Memory of this process that is in use, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or_default() << 10
}

fn cost(jobs: u64, parented: bool, freezes: bool) -> Cost {
    // So long that no job ends because nothing was heard of it while the others came.
    let settings = Settings {
        max_spans: 20_000_000,
        max_open_jobs: 20_000_000,
        idle_timeout_ms: DAY_MS,
        absolute_timeout_ms: DAY_MS,
        freeze_after_ms: if freezes { Settings::default().freeze_after_ms } else { u64::MAX },
        ..Settings::default()
    };
    let mut traffic = Traffic { parented, spans: 0, ends: ends() };
    let before = resident();
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
    let bytes = resident().saturating_sub(before) / jobs;
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
    Cost { bytes, ns: began.elapsed().as_secs_f64() * 1e9 / SPANS as f64 }
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
