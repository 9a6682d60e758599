//! The attributes that are read whatever the provider, each under all its spellings.
//!
//! HTTP and RPC attributes in the stable and the older semantic conventions; GenAI attributes of the
//! OpenTelemetry conventions up to 1.36 (`gen_ai.system`), since 1.37 (`gen_ai.provider.name`), and of
//! OpenLLMetry (`llm.request.type`, `traceloop.*`) and OpenInference (`openinference.span.kind`, `llm.*`).
//! What samplers write is in [`crate::sampling`].
//! Captured headers are spelled with hyphens by the specification and with underscores by Python.

use spantally_stitch::CorrelationKind;

use crate::attributes::{AttributeKeys, Value};
use crate::config::CorrelationConfig;
use crate::format::Place;
use crate::placeholder::is_placeholder;
use crate::span::SpanView;
use crate::words::Vocabulary;

/// The slots of the general attributes.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    pub(crate) method: u16,
    pub(crate) url: u16,
    pub(crate) host: u16,
    pub(crate) path: u16,
    pub(crate) query: u16,
    pub(crate) target: u16,
    pub(crate) route: u16,
    pub(crate) status: u16,
    pub(crate) rpc_service: u16,
    pub(crate) rpc_method: u16,
    pub(crate) rpc_status: u16,
    pub(crate) error: u16,
    pub(crate) agent: u16,
    pub(crate) resend: u16,
    pub(crate) sample_rate: u16,
    pub(crate) idempotency: u16,
    pub(crate) operation: u16,
    pub(crate) span_kind: u16,
    pub(crate) provider: u16,
    pub(crate) request_model: u16,
    pub(crate) response_model: u16,
    pub(crate) output_type: u16,
    pub(crate) choices: u16,
    pub(crate) conversation: u16,
    /// `gen_ai.response.id` and our own `spantally.task.id`.
    pub(crate) tasks: Vec<u16>,
    /// Attributes that hold an id the client chose.
    pub(crate) correlations: Vec<(u16, CorrelationKind)>,
    /// Attributes that hold a status or an error word.
    pub(crate) words: Vec<(u16, Vocabulary)>,
    pub(crate) resource: ResourceSlots,
}

/// The slots of resource attributes.
#[derive(Clone, Debug)]
pub(crate) struct ResourceSlots {
    pub(crate) service: u16,
    pub(crate) instance: u16,
    pub(crate) host: u16,
    pub(crate) pid: u16,
    pub(crate) labels: Vec<u16>,
}

impl Slots {
    pub(crate) fn new(keys: &mut AttributeKeys, extra: &CorrelationConfig) -> Self {
        let mut any = |spellings: &[&str]| keys.slot_of_any(spellings);
        Self {
            method: any(&["http.request.method", "http.method"]),
            url: any(&["url.full", "http.url"]),
            host: any(&["server.address", "http.host", "net.peer.name"]),
            path: any(&["url.path"]),
            query: any(&["url.query"]),
            target: any(&["http.target"]),
            route: any(&["http.route"]),
            status: any(&["http.response.status_code", "http.status_code"]),
            rpc_service: any(&["rpc.service"]),
            rpc_method: any(&["rpc.method"]),
            rpc_status: any(&["rpc.response.status_code", "rpc.grpc.status_code"]),
            error: any(&["error.type"]),
            agent: any(&[
                "user_agent.original",
                "http.user_agent",
                "http.request.header.user-agent",
                "http.request.header.user_agent",
            ]),
            resend: any(&[
                "http.request.resend_count",
                "http.resend_count",
                "http.request.header.x-stainless-retry-count",
                "http.request.header.x_stainless_retry_count",
            ]),
            sample_rate: any(&["SampleRate"]),
            idempotency: any(&["http.request.header.idempotency-key", "http.request.header.idempotency_key"]),
            operation: any(&["gen_ai.operation.name", "llm.request.type"]),
            span_kind: any(&["openinference.span.kind", "traceloop.span.kind"]),
            provider: any(&["gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system"]),
            request_model: any(&["gen_ai.request.model", "llm.request.model", "llm.model_name"]),
            response_model: any(&["gen_ai.response.model", "llm.response.model"]),
            output_type: any(&["gen_ai.output.type"]),
            choices: any(&["gen_ai.request.choice.count"]),
            conversation: any(&["gen_ai.conversation.id"]),
            tasks: tasks(keys, extra),
            correlations: correlations(keys, extra),
            words: words(keys, extra),
            resource: ResourceSlots {
                service: keys.slot_of("service.name"),
                instance: keys.slot_of("service.instance.id"),
                host: keys.slot_of("host.name"),
                pid: keys.slot_of("process.pid"),
                labels: extra.labels.iter().map(|key| keys.slot_of(key)).collect(),
            },
        }
    }
}

fn tasks(keys: &mut AttributeKeys, extra: &CorrelationConfig) -> Vec<u16> {
    let built_in = ["spantally.task.id", "gen_ai.response.id"];
    let all = built_in.into_iter().chain(extra.task_attributes.iter().map(String::as_str));
    all.map(|key| keys.slot_of(key)).collect()
}

fn correlations(keys: &mut AttributeKeys, extra: &CorrelationConfig) -> Vec<(u16, CorrelationKind)> {
    const JOB: [&str; 4] = ["spantally.job.id", "app.generation.job_id", "app.job.id", "job.id"];
    const SESSION: [&str; 2] = ["gen_ai.conversation.id", "session.id"];
    let job = JOB.into_iter().chain(extra.job_attributes.iter().map(String::as_str));
    let session = SESSION.into_iter().chain(extra.session_attributes.iter().map(String::as_str));
    job.map(|key| (key, CorrelationKind::Job))
        .chain(session.map(|key| (key, CorrelationKind::Session)))
        .map(|(key, kind)| (keys.slot_of(key), kind))
        .collect()
}

fn words(keys: &mut AttributeKeys, extra: &CorrelationConfig) -> Vec<(u16, Vocabulary)> {
    const BUILT_IN: [(&str, Vocabulary); 5] = [
        ("spantally.task.status", Vocabulary::Provider),
        ("spantally.task.error", Vocabulary::Error),
        ("gen_ai.response.status", Vocabulary::Provider),
        ("app.generation.status", Vocabulary::Application),
        ("gen_ai.response.finish_reasons", Vocabulary::FinishReason),
    ];
    let extra = extra.status_attributes.iter().map(|key| (key.as_str(), Vocabulary::Provider));
    BUILT_IN.into_iter().chain(extra).map(|(key, kind)| (keys.slot_of(key), kind)).collect()
}

/// The slot of a place of a provider file; none for a query parameter, which is no attribute.
pub(crate) fn place(place: &Place, keys: &mut AttributeKeys) -> Option<u16> {
    let header = |side: &str, name: &str| {
        let name = name.to_ascii_lowercase();
        let prefix = format!("http.{side}.header.");
        [format!("{prefix}{name}"), format!("{prefix}{}", name.replace('-', "_"))]
    };
    match place {
        Place::Query(_) => None,
        Place::RequestHeader(name) => Some(keys.slot_of_any(&header("request", name))),
        Place::ResponseHeader(name) => Some(keys.slot_of_any(&header("response", name))),
        Place::Attribute(key) => Some(keys.slot_of(key)),
    }
}

/// The model in a slot. Google's libraries take its name as that of a resource too: `models/veo-3.1`.
#[inline]
pub(crate) fn model<'a>(span: &SpanView<'a>, slot: u16) -> Option<&'a str> {
    let shown = span.text(slot).filter(|model| !is_placeholder(model))?;
    Some(shown.strip_prefix("models/").unwrap_or(shown))
}

/// A whole number that stands as one, as text or as a float: some writers have no other numbers.
pub(crate) fn integer(span: &SpanView<'_>, slot: u16) -> Option<i64> {
    match span.get(slot)? {
        Value::Int(number) => Some(number),
        Value::Text(text) => text.trim().parse().ok(),
        Value::Double(number) => whole(number),
        Value::Bool(_) => None,
    }
}

/// A float that is a whole number and exact as one.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() < EXACT).then_some(number as i64)
}
