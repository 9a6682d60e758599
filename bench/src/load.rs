//! The load: batches of spans, 512 unless told otherwise, as services with media generation send them,
//! encoded once.
//!
//! About 570 bytes a span, 8 resource attributes, 11 to 14 span attributes, 64 different batches (18 MB: more
//! than the caches of a core). A generation job is eight spans: submit, five polls, result, download; of one
//! job in fifty the last span comes one batch late.

use crate::wire::Encoded;

/// Spans in a batch, unless told otherwise.
pub const BATCH_SPANS: usize = 512;
/// Spans of all different batches.
const SPANS: usize = 64 * BATCH_SPANS;
/// Spans of a generation job.
const JOB_SPANS: u32 = 8;
/// One job in this many sends its last span a batch late.
const LATE_EVERY: u32 = 50;

/// What kinds of spans a load holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mix {
    /// Generation calls only, a job's spans in one trace.
    Media,
    /// The same with each span its own trace: joins have to be inferred.
    Bare,
    /// Jobs that never end: a submit and a poll of each, and no more.
    Open,
    /// 30 % generation calls; the rest are web requests, databases and other HTTP.
    Mixed,
}

impl Mix {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Media => "media",
            Self::Bare => "bare",
            Self::Open => "open",
            Self::Mixed => "mixed",
        }
    }

    /// Of every ten groups of eight spans, how many are generation jobs.
    fn jobs_in_ten(self) -> u32 {
        match self {
            Self::Media | Self::Bare | Self::Open => 10,
            Self::Mixed => 3,
        }
    }
}

/// A request, and how many spans are in it.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The request.
    pub request: Encoded,
    /// Spans in it: as many as in any other, but for late ones.
    pub spans: u64,
}

/// Every batch of a load, at its usual size and with its four services.
pub fn batches(mix: Mix) -> Vec<Batch> {
    batches_of(mix, BATCH_SPANS, None)
}

/// The same spans in batches of another size, by so many services.
pub fn batches_of(mix: Mix, batch_spans: usize, services: Option<u32>) -> Vec<Batch> {
    let count = SPANS.div_ceil(batch_spans.max(1));
    let mut batches = vec![Batch::default(); count];
    for (at, number) in (0..SPANS as u32).enumerate() {
        let (group, nth) = (number / JOB_SPANS, number % JOB_SPANS);
        let is_job = group % 10 < mix.jobs_in_ten();
        let span = match mix {
            Mix::Open => open_span(group, nth),
            _ if is_job => job_span(mix, group, nth),
            _ => other_span(group, nth),
        };
        let is_last = mix != Mix::Open && nth + 1 == JOB_SPANS;
        let late = is_job && is_last && group.is_multiple_of(LATE_EVERY);
        // After the last batch of a round comes the first: what is late there is early.
        let batch = &mut batches[(at / batch_spans.max(1) + usize::from(late)) % count];
        batch.request.message(2, &span);
        batch.spans += 1;
    }
    for (nth, batch) in batches.iter_mut().enumerate() {
        batch.request = request(nth, &batch.request, services);
    }
    // In the smallest batches a late span leaves none behind.
    batches.retain(|batch| batch.spans > 0);
    batches
}

fn request(nth: usize, spans: &Encoded, services: Option<u32>) -> Encoded {
    let mut resource = Encoded::default();
    if let Some(of) = services {
        resource.service(1, nth as u32, of);
    } else {
        let name = ["studio-api", "clips", "media-worker", "storyboard"][nth % 4];
        resource.text(1, "service.name", name, None);
    }
    resource.text(1, "service.version", "1.4.2", None);
    resource.text(1, "service.instance.id", &format!("67642ee1-a11a-4eda-b2fe-{:012x}", nth % 16), None);
    resource.text(1, "deployment.environment.name", "production", None);
    resource.text(1, "telemetry.sdk.language", "python", None);
    resource.text(1, "telemetry.sdk.name", "opentelemetry", None);
    resource.text(1, "telemetry.sdk.version", "1.45.1", None);
    resource.text(1, "host.name", &format!("studio-{}", nth % 16), None);
    let mut scope = Encoded::default();
    scope.slice(1, b"opentelemetry.instrumentation.httpx");
    scope.slice(2, b"0.66b1");
    let mut scope_spans = Encoded::default();
    scope_spans.message(1, &scope);
    let base = scope_spans.bytes.len();
    scope_spans.bytes.extend_from_slice(&spans.bytes);
    scope_spans
        .sites
        .extend(spans.sites.iter().map(|site| crate::wire::Site { at: site.at + base, what: site.what }));
    let mut resource_spans = Encoded::default();
    resource_spans.message(1, &resource);
    resource_spans.message(2, &scope_spans);
    let mut request = Encoded::default();
    request.message(1, &resource_spans);
    request
}

/// A provider's addresses: `{}` is a task id.
struct Api {
    host: &'static str,
    name: &'static str,
    model: &'static str,
    submit: &'static str,
    poll: &'static str,
    result: &'static str,
    download: &'static str,
}

const APIS: [Api; 4] = [
    Api {
        host: "queue.fal.run",
        name: "fal_ai",
        model: "fal-ai/flux/dev",
        submit: "https://queue.fal.run/fal-ai/flux/dev",
        poll: "https://queue.fal.run/fal-ai/flux/requests/{}/status?logs=false",
        result: "https://queue.fal.run/fal-ai/flux/requests/{}",
        download: "https://v3.fal.media/files/b/{}.png",
    },
    Api {
        host: "api.dev.runwayml.com",
        name: "runway",
        model: "gen4_turbo",
        submit: "https://api.dev.runwayml.com/v1/image_to_video",
        poll: "https://api.dev.runwayml.com/v1/tasks/{}",
        result: "https://api.dev.runwayml.com/v1/tasks/{}",
        download: "https://dnznrvs05pmza.cloudfront.net/{}.mp4",
    },
    Api {
        host: "api.lumalabs.ai",
        name: "luma",
        model: "ray-2",
        submit: "https://api.lumalabs.ai/dream-machine/v1/generations/video",
        poll: "https://api.lumalabs.ai/dream-machine/v1/generations/{}",
        result: "https://api.lumalabs.ai/dream-machine/v1/generations/{}",
        download: "https://storage.cdn-luma.com/dream_machine/{}.mp4",
    },
    Api {
        host: "queue.fal.run",
        name: "fal_ai",
        model: "fal-ai/kling-video/v2.5-turbo/pro/text-to-video",
        submit: "https://queue.fal.run/fal-ai/kling-video/v2.5-turbo/pro/text-to-video",
        poll: "https://queue.fal.run/fal-ai/kling-video/requests/{}/status?logs=false",
        result: "https://queue.fal.run/fal-ai/kling-video/requests/{}",
        download: "https://v3.fal.media/files/b/{}.mp4",
    },
];

/// Head of a span: identity, kind and times. Numbers of groups stay below 2^16, so that ids are unique.
fn head(
    trace: u32,
    span: u32,
    parent: Option<u32>,
    name: &str,
    kind: u64,
    at_ms: u64,
    took_ms: u64,
) -> Encoded {
    let mut out = Encoded::default();
    out.id(1, 16, trace);
    out.id(2, 8, span);
    if let Some(parent) = parent {
        out.id(4, 8, parent);
    }
    out.slice(5, name.as_bytes());
    out.number(6, kind);
    out.time(7, at_ms * 1_000_000);
    out.time(8, (at_ms + took_ms) * 1_000_000);
    out
}

const CLIENT: u64 = 3;
const SERVER: u64 = 2;
const ROOT: u32 = 1 << 30;
const TASK: u32 = 1 << 29;

/// Number of a span. From 1: number 0 of round 0 would be an id of zeros, which OTLP reads as none.
fn number(group: u32, nth: u32) -> u32 {
    1 + group * JOB_SPANS + nth
}

/// Four jobs a group, each a submit and a poll.
fn open_span(group: u32, nth: u32) -> Encoded {
    let job = group * (JOB_SPANS / 2) + nth / 2;
    call(&APIS[job as usize % APIS.len()], (job, nth % 2), number(group, nth), Some(ROOT + job), false)
}

fn job_span(mix: Mix, group: u32, nth: u32) -> Encoded {
    let trace = (mix != Mix::Bare).then_some(ROOT + group);
    let failed = group.is_multiple_of(33);
    call(&APIS[group as usize % APIS.len()], (group, nth), number(group, nth), trace, failed)
}

/// The nth call of a job; in a trace of its own unless one is named.
fn call(api: &Api, (job, nth): (u32, u32), number: u32, trace: Option<u32>, failed: bool) -> Encoded {
    // Submit, polls half a second apart, result and download right after the last poll.
    let (method, template, at_ms, took_ms, status) = match nth {
        0 => ("POST", api.submit, 0, 90, 200),
        1..=5 => ("GET", api.poll, 100 + 500 * u64::from(nth), 4, 200),
        6 => ("GET", api.result, 2_610, 8, if failed { 500 } else { 200 }),
        _ => ("GET", api.download, 2_630, 200, 200),
    };
    let start_ms = u64::from(job % 64) * 10 + at_ms;
    let mut span = head(trace.unwrap_or(number), number, trace, method, CLIENT, start_ms, took_ms);
    span.text(9, "http.request.method", method, None);
    match template.find("{}") {
        Some(at) => {
            let url = template.replace("{}", &format!("00000000-52e4-4c1d-a7f0-{job:012x}"));
            // The download's name is no task id: providers give outputs random names.
            let task = if nth == 7 { number } else { TASK + job };
            span.text(9, "url.full", &url, Some((at, task)));
        }
        None => span.text(9, "url.full", template, None),
    }
    common(&mut span, api.host, status);
    span.text(9, "gen_ai.provider.name", api.name, None);
    span.text(9, "gen_ai.request.model", api.model, None);
    span.text(9, "app.user.plan", "professional", None);
    if status >= 400 {
        span.text(9, "error.type", "500", None);
        let mut error = Encoded::default();
        error.number(3, 2);
        span.message(15, &error);
    }
    span
}

fn common(span: &mut Encoded, host: &str, status: u64) {
    span.text(9, "server.address", host, None);
    span.integer(9, "server.port", 443);
    span.text(9, "network.peer.address", host, None);
    span.integer(9, "http.response.status_code", status);
    span.text(9, "network.protocol.version", "1.1", None);
    span.text(9, "url.scheme", "https", None);
    span.text(9, "user_agent.original", "python-httpx/0.28.1 studio-client/3.11", None);
}

fn other_span(group: u32, nth: u32) -> Encoded {
    let number = number(group, nth);
    let (trace, root) = (ROOT + group, ROOT + group);
    let start_ms = u64::from(group % 64) * 10;
    match nth {
        0 => {
            let mut span = head(trace, root, None, "GET /api/projects/{id}", SERVER, start_ms, 120);
            span.text(9, "http.request.method", "GET", None);
            span.text(9, "http.route", "/api/projects/{id}", None);
            span.text(9, "url.path", &format!("/api/projects/{group}"), None);
            span.text(9, "url.query", "include=assets,members,history&page=1", None);
            common(&mut span, "studio.acme-studio.test", 200);
            span.text(9, "enduser.id", &format!("user-{group:08}"), None);
            span
        }
        1..=4 => {
            let mut span =
                head(trace, number, Some(root), "SELECT assets", CLIENT, start_ms + u64::from(nth), 3);
            span.text(9, "db.system.name", "postgresql", None);
            span.text(9, "db.namespace", "studio", None);
            span.text(9, "db.operation.name", "SELECT", None);
            span.text(9, "db.collection.name", "assets", None);
            let query =
                "SELECT id, kind, state, owner FROM assets WHERE project = $1 AND state <> $2 LIMIT 50";
            span.text(9, "db.query.text", query, None);
            span.text(9, "server.address", "db.acme-studio.test", None);
            span.integer(9, "server.port", 5432);
            span.text(9, "network.peer.address", "10.0.0.12", None);
            span.integer(9, "network.peer.port", 5432);
            span.integer(9, "db.response.returned_rows", 17);
            span.text(9, "thread.name", "worker-thread-3", None);
            span
        }
        _ => {
            let mut span = head(trace, number, Some(root), "GET", CLIENT, start_ms + 10, 20);
            span.text(9, "http.request.method", "GET", None);
            let url = format!("https://jobs.acme-studio.test/v1/jobs/{number}/status?verbose=true");
            span.text(9, "url.full", &url, None);
            common(&mut span, "jobs.acme-studio.test", 200);
            span.text(9, "peer.service", "jobs", None);
            span.text(9, "app.user.plan", "professional", None);
            span
        }
    }
}

#[cfg(test)]
mod tests;
