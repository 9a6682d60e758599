//! Acts out one job: a scenario, played with a model by a process, becomes spans and the truth about them.
//!
//! The player keeps its own clock (`now`) and walks through the rounds of the scenario: submits until one is
//! taken, then waits as the SDK does, then fetches. Times come from the model and the SDK
//! ([`crate::demo::catalog`]); only what the provider and the user do is shortened by [`Pace`], never the
//! SDK's rhythm, which is what a reader of the spans has to recognise. What follows an accepted submit is in
//! [`wait`]; voice conversations are in [`crate::demo::voice`].

mod wait;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use spantally_stitch::{Accepted, Cause, FailureReason, Outcome, SpanKey, UnixNanos};

use crate::demo::catalog::{Model, Output, Provider, Sdk};
use crate::demo::fleet::{Lineage, Service};
use crate::demo::recorder::{
    APPLICATION, Answer, Closing, Exchange, Open, Place, Recorder, header, number, text,
};
use crate::demo::scenario::{Fate, Round, Scenario, Submit, Watch};
use crate::demo::truth::{AttemptTruth, Billed, Ending, JobTruth};

/// How much faster than in life providers render and clients lose patience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Divisor of render times and of time-outs; 1 is life.
    pub compress: u64,
}

impl Pace {
    /// A duration of life, in milliseconds, at this pace.
    pub fn ms(self, life_ms: u64) -> u64 {
        life_ms / self.compress.max(1)
    }
}

/// What to play.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// With which model.
    pub model: &'static Model,
    /// How it goes.
    pub scenario: &'static Scenario,
    /// The web request that asks for it, if it leaves a span.
    pub above: Option<Place>,
    /// When it starts.
    pub start: UnixNanos,
    /// How fast life is.
    pub pace: Pace,
}

/// Plays a job; its spans are added to the recorder.
pub fn play(recorder: &mut Recorder<'_>, order: Order) -> JobTruth {
    let first_span = recorder.spans.len();
    let quantity = recorder.rng.pick(order.model.quantities).copied().unwrap_or(1);
    let service = recorder.process.service;
    let mut player = Player {
        sdk: order.model.provider.sdk(),
        quantity: u64::from(quantity),
        now: order.start,
        above: order.above,
        calls: 0,
        job: JobTruth {
            scenario: order.scenario.name,
            service: service.name,
            attempts: Vec::new(),
            webhooks: 0,
            outcome: Outcome::Unknown,
            spans: Vec::new(),
            started_at: order.start,
            ended_at: order.start,
        },
        links_to_submit: recorder.rng.chance(1.0 / 3.0),
        order_id: recorder.rng.chance(0.5).then(|| format!("ord_{}", recorder.rng.text(b"0123456789", 8))),
        service,
        recorder,
        order,
    };
    player.whole();
    let mut job = player.job;
    job.spans = recorder.spans[first_span..].iter().map(|recorded| key_of(&recorded.span)).collect();
    job
}

/// The identity of a span made by the recorder.
pub fn key_of(span: &opentelemetry_proto::tonic::trace::v1::Span) -> SpanKey {
    let mut key = SpanKey::default();
    key.trace.0.copy_from_slice(&span.trace_id);
    key.span.0.copy_from_slice(&span.span_id);
    key
}

struct Player<'p, 'r> {
    recorder: &'p mut Recorder<'r>,
    service: &'static Service,
    sdk: &'static Sdk,
    order: Order,
    quantity: u64,
    now: UnixNanos,
    above: Option<Place>,
    /// Calls of the SDK so far, each of which may be several submits.
    calls: u64,
    links_to_submit: bool,
    order_id: Option<String>,
    job: JobTruth,
}

/// An accepted task while the client waits for it.
struct Task {
    attempt: usize,
    id: String,
    done: UnixNanos,
}

impl Player<'_, '_> {
    fn whole(&mut self) {
        let rich = self.service.lineage == Lineage::Rich;
        let operation = rich.then(|| self.recorder.open(self.above, self.now));
        self.above = operation.map(Open::inside).or(self.above);
        let rounds = self.order.scenario.rounds;
        for (at, round) in rounds.iter().enumerate() {
            if at > 0 {
                self.now = self.now.plus_ms(self.recorder.rng.between((600, 1_800)));
            }
            self.round(round);
        }
        self.job.ended_at = self.now;
        self.job.judge();
        if let Some(open) = operation {
            let closing = self.operation_span();
            self.recorder.close(open, self.now, closing);
        }
    }

    fn round(&mut self, round: &Round) {
        let start = self.now;
        // What the SDK repeats is one attempt of the application; what it does not is one each.
        let together = if self.sdk.retries_submits { round.submits.len() } else { 1 };
        let mut task = None;
        for (nth, submits) in round.submits.chunks(together).enumerate() {
            if nth > 0 {
                self.back_off(nth);
            }
            task = self.attempt(submits, round.fate, false);
        }
        if self.order.scenario.clicked_twice {
            let first_ends = self.now;
            self.now = start.plus_ms(self.recorder.rng.between((150, 700)));
            // The page shows one of the two; nobody asks for the other again.
            self.attempt(&[Submit::Accept], round.fate, true);
            self.now = first_ends;
        }
        if let Some(task) = task {
            self.wait(&task, round.fate);
        }
    }

    fn back_off(&mut self, nth: usize) {
        let gap = self.recorder.rng.between(self.sdk.retry_ms) << (nth - 1).min(8);
        self.now = self.now.plus_ms(gap);
    }

    /// One call of the SDK, below its own span where the application records one.
    fn attempt(&mut self, submits: &[Submit], fate: Fate, is_twin: bool) -> Option<Task> {
        self.calls += 1;
        let rich = self.service.lineage == Lineage::Rich;
        let frame = rich.then(|| self.recorder.open(self.above, self.now));
        let place = frame.map(Open::inside).or_else(|| self.traced());
        let mut task = None;
        for (resend, submit) in submits.iter().enumerate() {
            if resend > 0 {
                self.back_off(resend);
            }
            task = self.submit(place, *submit, resend, fate, is_twin);
        }
        if let Some(open) = frame {
            let mut attributes = vec![number("app.generation.attempt", self.calls)];
            attributes.extend(task.iter().flat_map(|task| job_id(&task.id)));
            let error = self.job.attempts.last().is_some_and(|last| last.accepted != Accepted::Yes);
            let closing = Closing {
                kind: SpanKind::Internal,
                scope: APPLICATION,
                name: "generation.attempt".into(),
                attributes,
                error: error.then(|| "the provider did not take it".into()),
                link: None,
            };
            self.recorder.close(open, self.now, closing);
        }
        task
    }

    fn submit(
        &mut self,
        place: Option<Place>,
        submit: Submit,
        resend: usize,
        fate: Fate,
        is_twin: bool,
    ) -> Option<Task> {
        let model = self.order.model;
        let render_ms = self.order.pace.ms(self.recorder.rng.between(model.render_ms)).max(40);
        let id = model.provider.task_id(self.recorder.rng);
        let seen = self.seen(submit, fate, render_ms);
        let start = self.now;
        self.now = start.plus_ms(seen.took_ms);
        let url = self.submit_url();
        let headers = self.submit_headers(resend, (seen.accepted == Accepted::Yes).then_some(&*id));
        let (end, answer) = (self.now, seen.answer);
        let exchange = Exchange { method: "POST", url: &url, start, end, answer, headers };
        self.recorder.request(place, exchange);
        let attempt = self.job.attempts.len();
        self.job.attempts.push(AttemptTruth {
            provider: self.sdk.name,
            model: model.name,
            task: (seen.created && !model.is_sync).then(|| id.clone()),
            created: seen.created,
            accepted: seen.accepted,
            ending: seen.ending,
            is_twin,
            cause: Cause::Unverified,
            unheard: 0,
            billed: self.billed(seen.ending, seen.created),
            polls: 0,
        });
        let waits = seen.accepted == Accepted::Yes && !model.is_sync;
        waits.then(|| Task { attempt, id, done: end.plus_ms(render_ms) })
    }

    /// What the client sees of a submit, and what the provider makes of it.
    fn seen(&mut self, submit: Submit, fate: Fate, render_ms: u64) -> Seen {
        let rng = &mut *self.recorder.rng;
        let refused = |status, reason| Seen {
            answer: Answer::Status(status),
            accepted: Accepted::No,
            created: false,
            ending: Ending::Refused(reason),
            took_ms: 0,
        };
        let unsure = |answer, created| Seen {
            answer,
            accepted: Accepted::Ambiguous,
            created,
            ending: Ending::Ambiguous,
            took_ms: 0,
        };
        let (mut seen, took_ms) = match submit {
            Submit::Accept => {
                let answer = Answer::Status(self.sdk.accepted_status);
                let ending = ending_of(fate);
                let took = rng.between((60, 350)) + if self.order.model.is_sync { render_ms } else { 0 };
                (Seen { answer, accepted: Accepted::Yes, created: true, ending, took_ms: 0 }, took)
            }
            Submit::Refuse(status, reason) => (refused(status, reason), rng.between((15, 80))),
            Submit::Invalid => {
                (refused(self.sdk.invalid_status, FailureReason::InvalidInput), rng.between((30, 160)))
            }
            Submit::Moderate => {
                (refused(self.sdk.invalid_status, FailureReason::ModerationInput), rng.between((90, 400)))
            }
            Submit::TimeOut { created } => {
                (unsure(Answer::TimedOut, created), self.order.pace.ms(self.sdk.timeout_ms).max(200))
            }
            Submit::ServerError { created } => {
                (unsure(Answer::Status(500), created), rng.between((200, 900)))
            }
        };
        seen.took_ms = took_ms;
        seen
    }

    /// What the provider bills for an attempt. What no provider documents is free in this world.
    fn billed(&self, ending: Ending, created: bool) -> Option<Billed> {
        let full = match ending {
            Ending::Succeeded | Ending::GivenUp | Ending::Failed(FailureReason::EmptyResponse) => true,
            Ending::Ambiguous => created,
            Ending::Moderated | Ending::Refused(FailureReason::ModerationInput) => self.sdk.bills_moderated,
            Ending::Refused(_) | Ending::Failed(_) | Ending::Canceled => false,
        };
        let model = self.order.model;
        full.then(|| Billed {
            unit: model.output.unit(),
            quantity: self.quantity,
            price_nano_usd: model.price_nano_usd,
        })
    }

    fn submit_url(&self) -> String {
        let url = self.order.model.submit_url;
        let tells = self.order.scenario.watch != Watch::Poll && self.order.model.provider == Provider::Fal;
        if !tells {
            return url.into();
        }
        let port = self.recorder.process.webhook_port;
        let order = self.order_id.as_ref().map(|id| format!("%3Forder%3D{id}")).unwrap_or_default();
        format!("{url}?fal_webhook=http%3A%2F%2F127.0.0.1%3A{port}%2Fwebhooks%2Ffal{order}")
    }

    fn submit_headers(&self, resend: usize, accepted: Option<&str>) -> Vec<KeyValue> {
        if !self.service.captures_headers {
            return Vec::new();
        }
        match (self.order.model.provider, accepted) {
            (Provider::Runway | Provider::Luma | Provider::OpenAi, _) => {
                vec![header("http.request.header.x_stainless_retry_count", resend.to_string())]
            }
            (Provider::Fal, Some(id)) => vec![header("http.response.header.x_fal_request_id", id)],
            (Provider::ElevenLabs, Some(_)) => {
                vec![header("http.response.header.character_cost", self.quantity.to_string())]
            }
            _ => Vec::new(),
        }
    }

    /// Where calls go: below the web request, or nowhere when the service does not trace it.
    fn traced(&self) -> Option<Place> {
        if self.service.lineage == Lineage::Bare { None } else { self.above }
    }

    /// The application's own span of the whole generation.
    fn operation_span(&self) -> Closing {
        let model = self.order.model;
        let mut attributes = vec![
            text("gen_ai.operation.name", "generate_content"),
            text("gen_ai.provider.name", self.sdk.gen_ai_name),
            text("gen_ai.request.model", model.name),
            text("gen_ai.output.type", model.output.as_str()),
            text("app.generation.resolution", model.resolution),
        ];
        match model.output {
            Output::Video => attributes.push(number("app.generation.duration_seconds", self.quantity)),
            Output::Image => attributes.push(number("gen_ai.request.choice.count", self.quantity)),
            Output::Speech => attributes.push(number("app.generation.characters", self.quantity)),
        }
        let known = |attempt: &&AttemptTruth| attempt.accepted == Accepted::Yes && !attempt.is_twin;
        let last = self.job.attempts.iter().rev().find(known);
        attributes.extend(last.and_then(|attempt| attempt.task.as_deref()).into_iter().flat_map(job_id));
        attributes.push(text("app.generation.status", self.job.outcome.as_str()));
        let error = error_type(self.job.attempts.last().map(|attempt| attempt.ending), self.job.outcome);
        attributes.extend(error.map(|error| text("error.type", error)));
        Closing {
            kind: SpanKind::Internal,
            scope: APPLICATION,
            name: format!("generate_content {}", model.name),
            attributes,
            error: error.map(|_| "generation failed".into()),
            link: None,
        }
    }
}

/// A submit, seen from both sides.
struct Seen {
    answer: Answer,
    accepted: Accepted,
    created: bool,
    ending: Ending,
    took_ms: u64,
}

fn ending_of(fate: Fate) -> Ending {
    match fate {
        Fate::Succeed => Ending::Succeeded,
        Fate::Fail(reason) => Ending::Failed(reason),
        Fate::Moderate => Ending::Moderated,
        Fate::Empty => Ending::Failed(FailureReason::EmptyResponse),
        Fate::GiveUp => Ending::GivenUp,
        Fate::Cancel => Ending::Canceled,
        Fate::Nothing => Ending::Refused(FailureReason::Unknown),
    }
}

fn job_id(id: &str) -> [KeyValue; 2] {
    [text("gen_ai.response.id", id), text("app.generation.job_id", id)]
}

/// `error.type` of the application's span: its own word, as applications have them.
fn error_type(ending: Option<Ending>, outcome: Outcome) -> Option<&'static str> {
    if !matches!(outcome, Outcome::Failed | Outcome::Rejected) {
        return None;
    }
    Some(match ending? {
        Ending::Moderated | Ending::Refused(FailureReason::ModerationInput) => "moderated",
        Ending::Refused(reason) | Ending::Failed(reason) => reason.as_str(),
        Ending::Ambiguous => "timeout",
        Ending::GivenUp | Ending::Canceled | Ending::Succeeded => return None,
    })
}
