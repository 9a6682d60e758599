//! The steps of `docs/instrumentation.md`, each as traffic with its truth.
//!
//! Where a step was recorded, it is the recording. The others are made from one: the application's spans are
//! put above the calls of a job, as its truth names them, and what a hook reads in an answer is put on them.
//! That is the task's id and the provider's word for its state, at the time of the answer; only where the
//! call was answered, only for tasks whose id the interface tells, never for what a webhook or a result says.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::change::{old_names, status, text, without_ids};
use super::lineage::{append, under_requests};
use super::{Label, Traffic, hex, scramble};
use crate::truth::{self, ProviderJob, Role};

/// One row: a step, and traffic that has it.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// What the spans have.
    pub what: &'static str,
    /// The capture that it is, or that it is made from.
    pub capture: &'static str,
    /// Whether it was recorded so.
    pub recorded: bool,
    make: fn(Traffic) -> Traffic,
}

const fn recorded(what: &'static str, capture: &'static str) -> Step {
    Step { what, capture, recorded: true, make: |traffic| traffic }
}

const fn derived(what: &'static str, capture: &'static str, make: fn(Traffic) -> Traffic) -> Step {
    Step { what, capture, recorded: false, make }
}

const OLD: &str = "auto-instrumentation, names of before the conventions were stable";
const STABLE: &str = "the same, stable names";
const REQUEST: &str = "+ the span of a web request above, which may ask for two jobs";
const JOB: &str = "+ a span of your own around each job";
const JOB_HOOK: &str = "+ hook: id and status on the job's span";
const JOB_NAMED: &str = "+ `spantally.job.id` on the job's span";
const CALL_HOOK: &str = "no span around the job; hook: id and status on a span around each call";
const CALL_NAMED: &str = "no span around the job; `spantally.job.id` on a span around each call";

/// Every step, in the order of the page.
pub const STEPS: [Step; 21] = [
    derived(OLD, "bare-new", old_names),
    derived(OLD, "node-bare", old_names),
    recorded(STABLE, "bare-new"),
    recorded(STABLE, "node-bare"),
    derived("other traffic, header capture left out", "bare-headers", without_ids),
    recorded("+ header capture", "bare-headers"),
    derived(REQUEST, "bare-new", under_requests),
    derived(REQUEST, "node-bare", under_requests),
    recorded("other traffic under request spans", "parented-dup"),
    derived(JOB, "bare-new", |it| around(it, &Around::Job, &Told::Nothing)),
    derived(JOB, "node-bare", |it| around(it, &Around::Job, &Told::Nothing)),
    derived(JOB_HOOK, "bare-new", |it| around(it, &Around::Job, &Told::Answer)),
    derived(JOB_HOOK, "node-bare", |it| around(it, &Around::Job, &Told::Answer)),
    derived(JOB_NAMED, "bare-new", |it| around(it, &Around::Job, &Told::JobId)),
    derived(JOB_NAMED, "node-bare", |it| around(it, &Around::Job, &Told::JobId)),
    recorded("other traffic, request spans, GenAI spans with ids", "rich-new"),
    recorded("other traffic, polls by workers in other traces", "cross-trace-new"),
    derived(CALL_HOOK, "bare-new", |it| around(it, &Around::Call, &Told::Answer)),
    derived(CALL_HOOK, "node-bare", |it| around(it, &Around::Call, &Told::Answer)),
    derived(CALL_NAMED, "bare-new", |it| around(it, &Around::Call, &Told::JobId)),
    derived(CALL_NAMED, "node-bare", |it| around(it, &Around::Call, &Told::JobId)),
];

impl Step {
    /// The traffic.
    ///
    /// # Errors
    /// The capture cannot be read.
    pub fn traffic(&self) -> Result<Traffic, Box<dyn std::error::Error>> {
        Ok((self.make)(Traffic::read(self.capture)?))
    }
}

/// What the application's span is around.
enum Around {
    Job,
    Call,
}

/// What is on it.
enum Told {
    Nothing,
    Answer,
    JobId,
}

/// A span of the application above the calls of each job, or above each call in a trace of its own.
fn around(mut traffic: Traffic, around: &Around, told: &Told) -> Traffic {
    let labels = traffic.labels();
    let answers = Answers::new(&traffic.truth);
    let mut made: BTreeMap<String, (Span, String)> = BTreeMap::new();
    let mut calls: Vec<&mut Span> =
        traffic.spans_mut().filter(|span| span.parent_span_id.is_empty()).collect();
    // A later answer is written over an earlier one.
    calls.sort_unstable_by_key(|span| span.end_time_unix_nano);
    for call in calls {
        let id = hex(&call.span_id);
        let Some(Label { intent: Some(intent), role }) = labels.get(&id) else { continue };
        if matches!(role, Role::Webhook | Role::Noise | Role::Shared) {
            continue;
        }
        let name = match around {
            Around::Job => intent,
            Around::Call => &id,
        };
        let (above, _) = made.entry(name.clone()).or_insert_with(|| (span_above(name, call), intent.clone()));
        above.start_time_unix_nano = above.start_time_unix_nano.min(call.start_time_unix_nano - 1_000_000);
        above.end_time_unix_nano = above.end_time_unix_nano.max(call.end_time_unix_nano + 1_000_000);
        call.trace_id.clone_from(&above.trace_id);
        call.parent_span_id.clone_from(&above.span_id);
        match told {
            Told::Nothing => {}
            Told::JobId => set(above, "spantally.job.id", intent),
            Told::Answer => answers.note(above, call, *role),
        }
    }
    for (span, intent) in made.into_values() {
        let (span_id, intent) = (hex(&span.span_id), Some(intent));
        traffic.truth.spans.push(truth::Span { span_id, intent, role: Role::User, job: None });
        append(&mut traffic.requests, span);
    }
    traffic
}

fn span_above(name: &str, call: &Span) -> Span {
    Span {
        trace_id: scramble(5, name.as_bytes()).to_be_bytes().repeat(2),
        span_id: scramble(6, name.as_bytes()).to_be_bytes().to_vec(),
        name: "make clip".to_owned(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: call.start_time_unix_nano - 1_000_000,
        ..Default::default()
    }
}

fn set(span: &mut Span, key: &str, value: &str) {
    span.attributes.retain(|attribute| attribute.key != key);
    span.attributes.push(text(key, value));
}

/// What the bodies of answers said.
struct Answers {
    tasks: BTreeMap<String, ProviderJob>,
}

/// A provider's words for a task that is not at its end, one that succeeded, and one that did not; and
/// whether the answer to a submit has one.
const WORDS: [(&str, [&str; 3], bool); 5] = [
    ("fal", ["IN_PROGRESS", "COMPLETED", "COMPLETED"], true),
    ("replicate", ["processing", "succeeded", "failed"], true),
    ("runway", ["RUNNING", "SUCCEEDED", "FAILED"], false),
    ("luma", ["dreaming", "completed", "failed"], true),
    ("openai", ["in_progress", "completed", "failed"], true),
];

impl Answers {
    fn new(truth: &truth::Truth) -> Self {
        let by_id: BTreeMap<&str, &ProviderJob> = truth.jobs.iter().map(|job| (&*job.job, job)).collect();
        let task = |span: &truth::Span| {
            let job = by_id.get(span.job.as_deref()?)?;
            job.visible.then(|| (span.span_id.clone(), (*job).clone()))
        };
        Self { tasks: truth.spans.iter().filter_map(task).collect() }
    }

    /// As the hooks of `docs/hooks` do.
    fn note(&self, above: &mut Span, call: &Span, role: Role) {
        let answered = status(call).is_some_and(|status| (200..300).contains(&status));
        let Some(task) = self.tasks.get(&hex(&call.span_id)).filter(|_| answered) else { return };
        if !matches!(role, Role::Submit | Role::Poll) {
            return;
        }
        set(above, "spantally.task.id", &task.job);
        let Some((_, words, tells_at_once)) = WORDS.iter().find(|(name, ..)| *name == task.provider) else {
            return;
        };
        let is_done = call.end_time_unix_nano as f64 / 1e9 >= task.done;
        let word = match &*task.state {
            _ if role == Role::Submit && !tells_at_once => return,
            _ if role == Role::Submit || !is_done => words[0],
            // Each has a word of its own for it, or none.
            "canceled" => return,
            "succeeded" | "empty" => words[1],
            _ => words[2],
        };
        set(above, "spantally.task.status", word);
    }
}
