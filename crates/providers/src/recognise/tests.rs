use std::fmt::Write as _;

use spantally_stitch::{Call, FrameKind};

use super::*;
use crate::span::SpanStatus;
use crate::{CorrelationConfig, WebhookPath};

mod calls;
mod frames;
mod lengths;
mod placeholders;
mod remote;
mod sampling;
mod unrecognised;
mod webhooks;

/// Attributes of a span in a table.
type Attributes = &'static [(&'static str, Value<'static>)];

/// How a frame ended, in a table.
type End = Option<(spantally_stitch::TaskState, Option<spantally_stitch::FailureReason>)>;

/// The built-in files with the user's configuration.
fn recogniser(extra: &CorrelationConfig) -> Recogniser {
    let files = crate::builtin::files().unwrap_or_else(|findings| {
        panic!("{}", findings.iter().map(crate::LoadError::render).collect::<String>())
    });
    Recogniser::compile(&files, extra).unwrap_or_else(|findings| {
        panic!("{}", findings.iter().map(crate::LoadError::render).collect::<String>())
    })
}

fn builtin() -> Recogniser {
    recogniser(&CorrelationConfig::default())
}

/// A span with these attributes; those that no rule names are dropped, as the decoder does.
fn span<'a>(
    recogniser: &Recogniser,
    kind: SpanKind,
    name: &'a str,
    attributes: &[(&str, Value<'a>)],
) -> SpanView<'a> {
    let mut view = SpanView { kind, name, ..SpanView::default() };
    view.attributes = crate::Attributes::new(recogniser.keys());
    for (key, value) in attributes {
        if let Some(slot) = recogniser.keys().find(key.as_bytes()) {
            view.attributes.set(slot, Some(*value));
        }
    }
    view
}

fn what(recogniser: &Recogniser, span: &SpanView<'_>) -> Option<What> {
    let client = Arc::new(Client::default());
    recogniser.recognise(span, &client, &mut EndpointCache::default()).map(|evidence| evidence.what)
}

fn call(recogniser: &Recogniser, span: &SpanView<'_>) -> Call {
    match what(recogniser, span) {
        Some(What::Call(call)) => call,
        other => panic!("not a call: {other:?}"),
    }
}

fn frame(recogniser: &Recogniser, span: &SpanView<'_>) -> spantally_stitch::Frame {
    match what(recogniser, span) {
        Some(What::Frame(frame)) => frame,
        other => panic!("not a frame: {other:?}"),
    }
}

/// `role provider/rule key=value ...`, without what is empty.
fn line(call: &Call) -> String {
    let endpoint = &call.endpoint;
    let mut line = format!("{} {}/{}", call.role.as_str(), endpoint.provider, endpoint.rule);
    let mut add = |key: &str, value: &str| {
        if !value.is_empty() {
            write!(line, " {key}={value}").unwrap();
        }
    };
    let id = |id: &Option<TaskId>| id.as_ref().map(ToString::to_string).unwrap_or_default();
    add("task", &id(&call.task));
    add("parent", &id(&call.rare.parent_task));
    add("model", &endpoint.model);
    add("family", &endpoint.family);
    add("operation", &endpoint.operation);
    add("leg", endpoint.leg.as_deref().unwrap_or_default());
    if matches!(call.role, spantally_stitch::Role::Submit | spantally_stitch::Role::Sync) {
        add("accepted", call.accepted.as_str());
    }
    if let Some(verdict) = call.verdict {
        add("state", &format!("{:?}", verdict.state));
        add("reason", verdict.reason.map(spantally_stitch::FailureReason::as_str).unwrap_or_default());
    }
    line
}

#[test]
fn the_built_in_files_are_good() {
    let texts = crate::builtin::TEXTS.iter().map(|(name, _)| *name);
    let named = texts.map(|name| name.trim_start_matches("providers/").trim_end_matches(".yaml"));
    assert_eq!(builtin().providers().collect::<Vec<_>>(), named.collect::<Vec<_>>());
}

#[test]
fn a_client_is_its_service_and_instance() {
    let recogniser =
        recogniser(&CorrelationConfig { labels: vec!["team".into()], ..CorrelationConfig::default() });
    let client = |attributes: &[(&str, Value<'static>)]| {
        let view = span(&recogniser, SpanKind::Internal, "", attributes);
        let resource = ResourceView { attributes: view.attributes };
        recogniser.client(&resource, "acme", &mut EndpointCache::default())
    };
    let named = client(&[
        ("service.name", Value::Text("clips")),
        ("service.instance.id", Value::Text("i-1")),
        ("team", Value::Text("video")),
    ]);
    assert_eq!((&*named.tenant, &*named.service, &*named.instance), ("acme", "clips", "i-1"));
    assert_eq!(named.labels, [Arc::from("video")]);
    let unnamed = client(&[("host.name", Value::Text("web-3")), ("process.pid", Value::Int(42))]);
    assert_eq!((&*unnamed.service, &*unnamed.instance), ("unknown_service", "web-3:42"));
    assert_eq!(unnamed.labels, [Arc::from("")]);
    assert_eq!(&*client(&[]).instance, "");
}
