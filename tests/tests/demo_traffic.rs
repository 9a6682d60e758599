//! The demo's traffic through the real core: many situations at once, their
//! truth known exactly.
//!
//! Captures show what SDKs do; this shows what happens to money when they do it all at once, at any seed.
//! Floors, not golden figures: the generator may grow.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prost::Message;
use rust_decimal::Decimal;
use spantally_providers::CorrelationConfig;
use spantally_server::batch::Transport;
use spantally_server::commit::CommitMessage;
use spantally_server::config::Pricing;
use spantally_server::core::{Core, CoreOptions, Settled};
use spantally_server::demo::play::{Pace, key_of};
use spantally_server::demo::traffic::{Settings, Traffic};
use spantally_server::demo::truth::{JobTruth, Truth};
use spantally_server::intake::{ReadCache, read_batch};
use spantally_server::provider_files::ProviderFiles;
use spantally_stitch::{JobId, SpanKey, State, UnixNanos};
use spantally_store::Seq;

const START: UnixNanos = UnixNanos(1_795_000_000_000_000_000);

/// Instrumentation of HTTP: what it records is scored, the application's own spans are not.
const HTTP: [&str; 3] = ["httpx", "undici", "aiohttp_server"];

/// What came out of a run.
struct Run {
    truth: Truth,
    found: BTreeMap<JobId, Settled>,
    /// Spans of HTTP clients and webhook receivers; the application's own are not scored.
    calls: BTreeSet<SpanKey>,
}

/// Five minutes of arrivals, exported four times a second, and time until everything has settled.
fn run(seed: u64, jobs_per_second: f64) -> Run {
    let files = ProviderFiles::load(None, &CorrelationConfig::default()).unwrap();
    let cards = Arc::new(files.cards(&Pricing::default()));
    let mut core = Core::new(&CoreOptions::default(), cards, UnixNanos::default());
    let pace = Pace { compress: 10 };
    let settings =
        Settings { seed, start: START, jobs_per_second, pace, noise_per_job: 1.0, resend_share: 0.02 };
    let (mut traffic, mut cache) = (Traffic::new(settings), ReadCache::default());
    let (mut found, mut calls) = (BTreeMap::new(), BTreeSet::new());
    let (mut now, mut seq) = (START, 0);
    loop {
        now = now.plus_ms(250);
        if now > START.plus_ms(300_000) {
            traffic.stop();
        }
        for request in traffic.advance(now) {
            let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
            for scope in scopes
                .filter(|scope| HTTP.iter().any(|name| scope.scope.as_ref().unwrap().name.contains(name)))
            {
                calls.extend(scope.spans.iter().map(key_of));
            }
            let body = request.encode_to_vec();
            let batch = read_batch(&files.recogniser, &mut cache, "", Transport::Grpc, &body).unwrap();
            seq += 1;
            core.apply(CommitMessage { seq: Seq(seq), batches: vec![batch] });
        }
        keep(&mut found, core.advance(now));
        if now > START.plus_ms(300_000) && traffic.ends_at().is_none() {
            break;
        }
    }
    keep(&mut found, core.finish());
    Run { truth: traffic.truth().clone(), found, calls }
}

fn keep(found: &mut BTreeMap<JobId, Settled>, published: Vec<Settled>) {
    for settled in published {
        if settled.job.state == State::Superseded {
            found.remove(&settled.job.id);
        } else {
            found.insert(settled.job.id, settled);
        }
    }
}

impl Run {
    fn found_calls(&self, settled: &Settled) -> BTreeSet<SpanKey> {
        let calls = settled.job.attempts.iter().flat_map(|attempt| &attempt.calls).map(|call| call.span);
        calls.filter(|span| self.calls.contains(span)).collect()
    }

    fn true_calls(&self, job: &JobTruth) -> BTreeSet<SpanKey> {
        job.spans.iter().copied().filter(|span| self.calls.contains(span)).collect()
    }

    /// Of every name that `of` gives a job: how many jobs were found call by call, and how many there are.
    fn exact(&self, of: impl Fn(&JobTruth) -> &'static str) -> BTreeMap<&'static str, (usize, usize)> {
        let found: BTreeSet<BTreeSet<SpanKey>> =
            self.found.values().map(|settled| self.found_calls(settled)).collect();
        let mut counts = BTreeMap::<_, (usize, usize)>::new();
        for job in &self.truth.jobs {
            let count = counts.entry(of(job)).or_default();
            count.0 += usize::from(found.contains(&self.true_calls(job)));
            count.1 += 1;
        }
        counts
    }
}

const SEEDS: [u64; 3] = [1, 2, 3];

/// Share of a service's jobs that must be found call by call, by how much its spans tell.
const FLOORS: [(&str, f64); 6] = [
    ("studio-api", 0.88),
    ("clips", 0.80),
    ("media-worker", 0.72),
    ("studio-web", 0.65),
    ("storyboard", 0.60),
    ("voice-agent", 0.95),
];

/// A run takes half a minute, so that each seed is played once for all that must hold.
#[test]
fn what_is_found_is_what_was_played() {
    let mut counts = BTreeMap::<&str, (usize, usize)>::new();
    for seed in SEEDS {
        let run = run(seed, 2.0);
        nothing_else_enters_a_job_and_every_call_enters_one(&run);
        the_invoice_is_within_the_bounds(&run, seed);
        for (service, (exact, all)) in run.exact(|job| job.service) {
            let count = counts.entry(service).or_default();
            *count = (count.0 + exact, count.1 + all);
        }
    }
    for (service, floor) in FLOORS {
        let (exact, all) = counts[service];
        assert!(all > 100, "{service}: {all} jobs are too few to say anything");
        assert!(exact as f64 >= floor * all as f64, "{service}: {exact} of {all}, below {floor}: {counts:?}");
    }
}

fn nothing_else_enters_a_job_and_every_call_enters_one(run: &Run) {
    let mut placed = BTreeSet::new();
    for settled in run.found.values() {
        for span in run.found_calls(settled) {
            assert!(placed.insert(span), "{span} is in two jobs");
        }
    }
    let in_jobs: BTreeSet<SpanKey> = run.truth.jobs.iter().flat_map(|job| run.true_calls(job)).collect();
    let noise: Vec<_> = placed.difference(&in_jobs).collect();
    assert!(noise.is_empty(), "spans of no job: {noise:?}");
    let missing = in_jobs.difference(&placed).count();
    assert!(missing * 50 < in_jobs.len(), "{missing} of {} calls are in no job", in_jobs.len());
}

fn the_invoice_is_within_the_bounds(run: &Run, seed: u64) {
    let truth: Decimal = run.truth.totals().cost.values().sum();
    let (mut min, mut max) = (Decimal::ZERO, Decimal::ZERO);
    for settled in run.found.values() {
        let cost = settled.bill.cost();
        assert!(cost.keys().all(|currency| &**currency == "USD"), "{cost:?}");
        min += cost.values().map(|bound| bound.min).sum::<Decimal>();
        max += cost.values().map(|bound| bound.max).sum::<Decimal>();
    }
    assert!(min <= truth && truth <= max, "seed {seed}: {truth} is not from {min} to {max}");
    // A clip of which no span names the model may be of the dearest one, ninety times the usual.
    let tells = min * Decimal::from(4) > truth && max < truth * Decimal::from(20);
    assert!(tells, "seed {seed}: from {min} to {max} tells nothing about {truth}");
}
