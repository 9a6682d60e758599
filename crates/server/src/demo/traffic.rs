//! The stream: web requests arrive, jobs are played, and spans come out when their time has come.
//!
//! The caller drives the clock: [`Traffic::advance`] plays everything that begins before a moment and hands
//! out every span that has ended by then, batched by process as an SDK's batch processor does. The demo
//! advances by the wall clock, a test by a week at once; the spans of a seed are the same either way.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use spantally_stitch::UnixNanos;

use super::catalog::MODELS;
use super::fleet::{self, Lineage, Process};
use super::play::{Order, Pace, play};
use super::recorder::{APPLICATION, Closing, Open, Recorded, Recorder, number, text};
use super::rng::Rng;
use super::scenario::SCENARIOS;
use super::truth::{JobTruth, Truth};
use super::{noise, voice};

/// What traffic to make.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Same seed, same traffic.
    pub seed: u64,
    /// When it begins.
    pub start: UnixNanos,
    /// Jobs begun in a second, on average.
    pub jobs_per_second: f64,
    /// How fast life is.
    pub pace: Pace,
    /// Web requests that generate nothing, for each one that does.
    pub noise_per_job: f64,
    /// Share of batches that an exporter sends twice, because an acknowledgement was lost.
    pub resend_share: f64,
}

/// An SDK exports at most this many spans at once, by default.
const MAX_BATCH_SPANS: usize = 512;

/// A stream of spans and the truth about them.
#[derive(Debug)]
pub struct Traffic {
    settings: Settings,
    fleet: Vec<Process>,
    rng: Rng,
    /// Of its own, so that how the clock is driven changes no span.
    exporter_rng: Rng,
    next_arrival: UnixNanos,
    stopped: bool,
    /// Spans to come, by end; the number keeps spans of one instant in order.
    pending: BTreeMap<(UnixNanos, u64), (usize, Recorded)>,
    recorded: u64,
    truth: Truth,
}

impl Traffic {
    /// A stream that has not begun.
    pub fn new(settings: Settings) -> Self {
        let mut rng = Rng::new(settings.seed);
        let exporter_rng = Rng::new(rng.next_u64());
        let fleet = fleet::start(&mut rng);
        Self {
            settings,
            fleet,
            rng,
            exporter_rng,
            next_arrival: settings.start,
            stopped: false,
            pending: BTreeMap::new(),
            recorded: 0,
            truth: Truth::default(),
        }
    }

    /// Plays what begins before `to` and hands out the batches of spans that ended by then.
    pub fn advance(&mut self, to: UnixNanos) -> Vec<ExportTraceServiceRequest> {
        while !self.stopped && self.next_arrival < to {
            let at = self.next_arrival;
            self.arrive(at);
            let gap = self.rng.gap(self.settings.jobs_per_second);
            self.next_arrival = UnixNanos(at.0 + gap.as_nanos() as u64);
        }
        let later = self.pending.split_off(&(UnixNanos(to.0.saturating_add(1)), 0));
        let due = std::mem::replace(&mut self.pending, later);
        self.export(due.into_values())
    }

    /// No more jobs begin; those begun go on.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// When the last span begun so far ends; none when all are out.
    pub fn ends_at(&self) -> Option<UnixNanos> {
        self.pending.last_key_value().map(|((end, _), _)| *end)
    }

    /// What really happened, of every job begun.
    pub fn truth(&self) -> &Truth {
        &self.truth
    }

    /// One web request, and the noise beside it.
    fn arrive(&mut self, at: UnixNanos) {
        let Some(service) = self.rng.weighted(fleet::SERVICES, |service| service.weight) else { return };
        let candidates: Vec<usize> =
            (0..self.fleet.len()).filter(|index| self.fleet[*index].service.name == service.name).collect();
        let Some(&process) = self.rng.pick(&candidates) else { return };
        let mut recorder = Recorder::new(&mut self.rng, &self.fleet[process]);
        let jobs = if service.is_voice {
            vec![voice::talk(&mut recorder, at)]
        } else {
            generate(&mut recorder, at, self.settings.pace)
        };
        self.truth.jobs.extend(jobs);
        let spans = recorder.spans;
        self.keep(process, spans);
        let mut noise = self.settings.noise_per_job;
        while self.rng.chance(noise.min(1.0)) {
            noise -= 1.0;
            let process = self.rng.below(self.fleet.len() as u64) as usize;
            let delay_ms = self.rng.below(2_000);
            let mut recorder = Recorder::new(&mut self.rng, &self.fleet[process]);
            noise::browse(&mut recorder, at.plus_ms(delay_ms));
            let spans = recorder.spans;
            self.keep(process, spans);
        }
    }

    fn keep(&mut self, process: usize, spans: Vec<Recorded>) {
        self.truth.spans += spans.len() as u64;
        for recorded in spans {
            self.recorded += 1;
            let end = UnixNanos(recorded.span.end_time_unix_nano);
            self.pending.insert((end, self.recorded), (process, recorded));
        }
    }

    fn export(&mut self, due: impl Iterator<Item = (usize, Recorded)>) -> Vec<ExportTraceServiceRequest> {
        let mut by_process = vec![Vec::new(); self.fleet.len()];
        for (process, recorded) in due {
            by_process[process].push(recorded);
        }
        let mut requests = Vec::new();
        for (process, spans) in self.fleet.iter().zip(by_process) {
            for batch in spans.chunks(MAX_BATCH_SPANS) {
                let request = request(process, batch);
                if self.exporter_rng.chance(self.settings.resend_share) {
                    self.truth.repeated_spans += batch.len() as u64;
                    requests.push(request.clone());
                }
                requests.push(request);
            }
        }
        requests
    }
}

/// A web request that generates: one job, and in a quarter of the traced ones two or three.
fn generate(recorder: &mut Recorder<'_>, start: UnixNanos, pace: Pace) -> Vec<JobTruth> {
    let lineage = recorder.process.service.lineage;
    let root = (lineage != Lineage::Bare).then(|| recorder.open(None, start));
    let several = root.is_some() && recorder.rng.chance(0.25);
    let count = if several { recorder.rng.between((2, 3)) } else { 1 };
    let mut jobs = Vec::new();
    for nth in 0..count {
        let Some(model) = recorder.rng.weighted(MODELS, |model| model.weight) else { break };
        let weight = |scenario: &super::scenario::Scenario| {
            if scenario.fits(model) { scenario.weight } else { 0 }
        };
        let Some(scenario) = recorder.rng.weighted(SCENARIOS, weight) else { break };
        let start = start.plus_ms(2 + nth * recorder.rng.between((3, 40)));
        jobs.push(play(recorder, Order { model, scenario, above: root.map(Open::inside), start, pace }));
    }
    if let Some(root) = root {
        close_root(recorder, root, start, &jobs);
    }
    jobs
}

/// The SERVER span: a queue worker's ends at once, the others with their last job.
fn close_root(recorder: &mut Recorder<'_>, root: Open, start: UnixNanos, jobs: &[JobTruth]) {
    let last = jobs.iter().map(|job| job.ended_at).max().unwrap_or(start);
    let end = if recorder.process.service.lineage == Lineage::Worker { start.plus_ms(400) } else { last };
    let attributes = vec![
        text("http.request.method", "POST"),
        text("http.route", "/api/generations"),
        text("url.path", "/api/generations"),
        number("http.response.status_code", 200),
    ];
    let name = "POST /api/generations".into();
    let closing =
        Closing { kind: SpanKind::Server, scope: APPLICATION, name, attributes, error: None, link: None };
    recorder.close(root, end, closing);
}

fn request(process: &Process, batch: &[Recorded]) -> ExportTraceServiceRequest {
    let mut scopes = BTreeMap::<&'static str, ScopeSpans>::new();
    for recorded in batch {
        let scope = scopes.entry(recorded.scope).or_insert_with(|| ScopeSpans {
            scope: Some(InstrumentationScope {
                name: recorded.scope.into(),
                version: "0.66b1".into(),
                ..InstrumentationScope::default()
            }),
            ..ScopeSpans::default()
        });
        scope.spans.push(recorded.span.clone());
    }
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(process.resource.clone()),
            scope_spans: scopes.into_values().collect(),
            ..ResourceSpans::default()
        }],
    }
}
