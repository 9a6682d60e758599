//! The load: batches of 512 spans as services with media generation send them, encoded once.
//!
//! About 570 bytes a span, 8 resource attributes, 11 to 14 span attributes, 64 different batches (18 MB: more
//! than the caches of a core). A generation job is eight spans: submit, five polls, result, download; of one
//! job in fifty the last span comes one batch late.

use crate::wire::Encoded;

/// Spans in a batch.
pub const BATCH_SPANS: usize = 512;
/// Different batches.
const BATCHES: usize = 64;
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
    /// 30 % generation calls; the rest are web requests, databases and other HTTP.
    Mixed,
}

impl Mix {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Media => "media",
            Self::Bare => "bare",
            Self::Mixed => "mixed",
        }
    }

    /// Of every ten groups of eight spans, how many are generation jobs.
    fn jobs_in_ten(self) -> u32 {
        match self {
            Self::Media | Self::Bare => 10,
            Self::Mixed => 3,
        }
    }
}

/// A request, and how many spans are in it.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The request.
    pub request: Encoded,
    /// Spans in it: [`BATCH_SPANS`], but for late ones.
    pub spans: u64,
}

/// Every batch of a load.
pub fn batches(mix: Mix) -> Vec<Batch> {
    let groups = (BATCHES * BATCH_SPANS) as u32 / JOB_SPANS;
    let per_batch = BATCH_SPANS as u32 / JOB_SPANS;
    let mut batches = vec![Batch::default(); BATCHES];
    for group in 0..groups {
        let batch = (group / per_batch) as usize;
        let is_job = group % 10 < mix.jobs_in_ten();
        for nth in 0..JOB_SPANS {
            let span = if is_job { job_span(mix, group, nth) } else { other_span(group, nth) };
            let late = is_job && nth + 1 == JOB_SPANS && group.is_multiple_of(LATE_EVERY);
            // After the last batch of a round comes the first: what is late there is early.
            let batch = &mut batches[(batch + usize::from(late)) % BATCHES];
            batch.request.message(2, &span);
            batch.spans += 1;
        }
    }
    for (nth, batch) in batches.iter_mut().enumerate() {
        batch.request = request(nth, &batch.request);
    }
    batches
}

fn request(nth: usize, spans: &Encoded) -> Encoded {
    let mut resource = Encoded::default();
    resource.text(1, "service.name", ["studio-api", "clips", "media-worker", "storyboard"][nth % 4], None);
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

fn job_span(mix: Mix, group: u32, nth: u32) -> Encoded {
    let api = &APIS[group as usize % APIS.len()];
    let number = number(group, nth);
    let failed = group.is_multiple_of(33);
    // Submit, polls half a second apart, result and download right after the last poll.
    let (method, template, at_ms, took_ms, status) = match nth {
        0 => ("POST", api.submit, 0, 90, 200),
        1..=5 => ("GET", api.poll, 100 + 500 * u64::from(nth), 4, 200),
        6 => ("GET", api.result, 2_610, 8, if failed { 500 } else { 200 }),
        _ => ("GET", api.download, 2_630, 200, 200),
    };
    let (trace, parent) = match mix {
        Mix::Bare => (number, None),
        Mix::Media | Mix::Mixed => (ROOT + group, Some(ROOT + group)),
    };
    let start_ms = u64::from(group % 64) * 10 + at_ms;
    let mut span = head(trace, number, parent, method, CLIENT, start_ms, took_ms);
    span.text(9, "http.request.method", method, None);
    match template.find("{}") {
        Some(at) => {
            let url = template.replace("{}", &format!("00000000-52e4-4c1d-a7f0-{group:012x}"));
            // The download's name is no task id: providers give outputs random names.
            let task = if nth == 7 { number } else { TASK + group };
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
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::trace::v1::Span;
    use prost::Message;

    use super::*;

    const BASE: u64 = 1_795_000_000_000_000_000;

    fn decoded(mix: Mix, round: u32) -> Vec<ExportTraceServiceRequest> {
        let decode = |bytes: Vec<u8>| ExportTraceServiceRequest::decode(&*bytes).expect("valid protobuf");
        batches(mix).iter().map(|batch| decode(batch.request.stamped(round, BASE))).collect()
    }

    fn all_spans(requests: &[ExportTraceServiceRequest]) -> Vec<&Span> {
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans).collect()
    }

    #[test]
    fn the_load_has_the_size_that_it_claims() {
        for mix in [Mix::Media, Mix::Bare, Mix::Mixed] {
            let batches = batches(mix);
            let bytes: usize = batches.iter().map(|batch| batch.request.bytes.len()).sum();
            let per_span = bytes / (BATCHES * BATCH_SPANS);
            assert!((520..=620).contains(&per_span), "{mix:?}: {per_span} bytes a span");
            let requests = decoded(mix, 0);
            assert_eq!(all_spans(&requests).len(), BATCHES * BATCH_SPANS);
            for (request, batch) in requests.iter().zip(&batches) {
                assert_eq!(all_spans(std::slice::from_ref(request)).len() as u64, batch.spans);
                let resource = request.resource_spans[0].resource.as_ref().expect("a resource");
                assert_eq!(resource.attributes.len(), 8);
            }
            for span in all_spans(&requests) {
                assert!((11..=14).contains(&span.attributes.len()), "{span:?}");
                assert!(span.end_time_unix_nano > span.start_time_unix_nano);
            }
        }
    }

    #[test]
    fn no_two_sendings_share_a_span_or_a_task() {
        for mix in [Mix::Media, Mix::Bare, Mix::Mixed] {
            let mut keys = BTreeSet::new();
            let mut tasks = BTreeMap::<String, u32>::new();
            for round in 0..4 {
                let requests = decoded(mix, round);
                for span in all_spans(&requests) {
                    assert!(span.span_id.iter().any(|byte| *byte != 0), "an id of zeros is none: {span:?}");
                    assert!(keys.insert((span.trace_id.clone(), span.span_id.clone())), "{span:?}");
                    for attribute in span.attributes.iter().filter(|attribute| attribute.key == "url.full") {
                        let text = format!("{attribute:?}");
                        if let Some((_, rest)) = text.split_once("/requests/") {
                            *tasks.entry(rest[..36].into()).or_default() += 1;
                        }
                    }
                }
            }
            assert!(tasks.values().all(|calls| *calls == 6), "five polls and a result each");
            assert!(tasks.len() > 1_000);
        }
    }

    #[test]
    fn spans_of_a_job_share_a_trace_unless_bare() {
        let traces = |mix| {
            let requests = decoded(mix, 1);
            all_spans(&requests).iter().map(|span| span.trace_id.clone()).collect::<BTreeSet<_>>().len()
        };
        assert_eq!(traces(Mix::Media), BATCHES * BATCH_SPANS / JOB_SPANS as usize);
        assert_eq!(traces(Mix::Bare), BATCHES * BATCH_SPANS);
    }
}
