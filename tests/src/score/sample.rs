//! Jobs made from the truth itself, as a product would write them: perfect, or with known mistakes.
//!
//! They show that the scorer gives 1 for what is right and less for what is not, and they are what its
//! figures were compared on with an independent implementation (`tests/golden/score/README.md`).

use serde_json::{Map, Value, json};

use crate::truth::{Intent, Role, Span, Truth};

/// The jobs that a perfect product finds, one JSON object each, in the order of the truth.
pub fn perfect(truth: &Truth) -> Vec<Value> {
    truth.intents.iter().filter(|intent| !intent.spans.is_empty()).map(|intent| job(truth, intent)).collect()
}

/// Jobs as JSON lines.
pub fn lines(jobs: &[Value]) -> String {
    jobs.iter().fold(String::new(), |text, job| text + &job.to_string() + "\n")
}

fn job(truth: &Truth, intent: &Intent) -> Value {
    let own: Vec<&Span> = truth
        .spans
        .iter()
        .filter(|span| span.intent.as_deref() == Some(intent.intent.as_str()) && span.role != Role::Shared)
        .collect();
    let of = |role: Option<&str>| -> Vec<String> {
        own.iter()
            .filter(|span| role_in_job(span.role) == role)
            .map(|span| trace_and_span(&span.span_id))
            .collect()
    };
    let roles = ["submit", "poll", "result", "cancel", "webhook", "download", "sync", "session"];
    let calls: Map<String, Value> =
        roles.iter().map(|role| ((*role).to_owned(), of(Some(role)).into())).collect();
    let accepted = (intent.duplicates + 1).max(intent.provider_jobs.len());
    let attempts: Vec<Value> = (0..accepted)
        .map(|index| {
            let known = index <= intent.duplicates;
            json!({
                "task_id": intent.provider_jobs.get(index),
                "accepted": if known { "yes" } else { "ambiguous" },
                "spans": if index == 0 { calls.clone() } else { Map::new() },
            })
        })
        .collect();
    found(&intent.intent, &intent.outcome, &of(None), &attempts)
}

fn trace_and_span(span: &str) -> String {
    format!("{:032x}:{span}", 1)
}

/// Where the job JSON puts a span; none above the attempts.
fn role_in_job(role: Role) -> Option<&'static str> {
    match role {
        Role::Submit => Some("submit"),
        Role::Poll => Some("poll"),
        Role::Result => Some("result"),
        Role::Cancel => Some("cancel"),
        Role::Webhook => Some("webhook"),
        Role::Download => Some("download"),
        Role::Stt | Role::Llm | Role::Tts => Some("sync"),
        Role::Unsent | Role::User | Role::Shared | Role::Aux | Role::Noise => None,
    }
}

/// The perfect jobs with mistakes of each kind, the same ones every time: jobs split, jobs glued, polls lost,
/// noise taken in, duplicates and outcomes forgotten, a span given twice, a span invented, a job of noise.
pub fn mistaken(truth: &Truth) -> Vec<Value> {
    let noise = truth.spans.iter().filter(|span| span.role == Role::Noise);
    let mut noise = noise.map(|span| trace_and_span(&span.span_id));
    let mut jobs: Vec<Value> = Vec::new();
    for (index, mut job) in perfect(truth).into_iter().enumerate() {
        let polls = &mut job["attempts"][0]["spans"]["poll"];
        match index % 7 {
            1 => {
                let attempt = json!({"task_id": null, "accepted": "no", "spans": {"poll": polls.clone()}});
                *polls = json!([]);
                jobs.push(found(&format!("split-{index}"), "failed", &[], &[attempt]));
            }
            2 => {
                glue(&mut jobs, &job);
                continue;
            }
            3 => halve(polls),
            4 => job["spans"] = noise.next().into_iter().collect(),
            5 => {
                job["outcome"] = "unknown".into();
                job["attempts"] = json!([job["attempts"][0]]);
            }
            _ => {}
        }
        jobs.push(job);
    }
    let borrowed = &jobs[0]["attempts"][0]["spans"]["submit"];
    let attempt = json!({"task_id": "nobody", "accepted": "yes", "spans": {"submit": borrowed}});
    jobs.push(found("twice", "succeeded", &[trace_and_span("00000000000000ff")], &[attempt]));
    jobs.push(found("noise", "succeeded", &noise.take(2).collect::<Vec<_>>(), &[]));
    jobs
}

/// Adds a job's attempts to the job before it.
fn glue(jobs: &mut [Value], job: &Value) {
    if let Some(into) = jobs.last_mut().and_then(|last| last["attempts"].as_array_mut()) {
        into.extend(job["attempts"].as_array().into_iter().flatten().cloned());
    }
}

fn halve(spans: &mut Value) {
    if let Some(spans) = spans.as_array_mut() {
        spans.truncate(spans.len() / 2);
    }
}

fn found(id: &str, outcome: &str, spans: &[String], attempts: &[Value]) -> Value {
    json!({"job_id": id, "outcome": outcome, "spans": spans, "attempts": attempts})
}
