//! `cargo bench -p spantally-providers`: what it costs to see that a span is of another kind, with all
//! built-in files loaded, and beside it what it costs to recognise a call.
//!
//! The attributes are read already; a span that is read is recognised once.

#![allow(missing_docs, reason = "divan's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

use std::sync::Arc;

use divan::{Bencher, black_box};
use spantally_providers::{
    Attributes, CorrelationConfig, EndpointCache, Recogniser, SpanKind, SpanView, Value, builtin,
};
use spantally_stitch::Client;

type Row = (&'static str, SpanKind, &'static [(&'static str, &'static str)]);

const SPANS: [Row; 6] = [
    (
        "request to another host",
        SpanKind::Client,
        &[
            ("http.request.method", "POST"),
            ("url.full", "https://api.github.com/repos/acme/clips/issues?state=open"),
            ("server.address", "api.github.com"),
        ],
    ),
    (
        "request to a provider that is no call",
        SpanKind::Client,
        &[
            ("http.request.method", "GET"),
            ("url.full", "https://api.openai.com/v1/models"),
            ("server.address", "api.openai.com"),
        ],
    ),
    (
        "database",
        SpanKind::Client,
        &[
            ("db.system.name", "postgresql"),
            ("server.address", "db.internal"),
            ("db.operation.name", "SELECT"),
        ],
    ),
    (
        "served request",
        SpanKind::Server,
        &[("http.request.method", "GET"), ("url.path", "/clips/42"), ("http.route", "/clips/:id")],
    ),
    ("internal", SpanKind::Internal, &[("code.function.name", "render")]),
    (
        "call: poll of fal",
        SpanKind::Client,
        &[
            ("http.request.method", "GET"),
            (
                "url.full",
                "https://queue.fal.run/fal-ai/flux/requests/764cabcf-b745-4b3e-ae38-1200304cf45b/status",
            ),
            ("server.address", "queue.fal.run"),
        ],
    ),
];

fn main() {
    divan::main();
}

fn span(recogniser: &Recogniser, (name, kind, attributes): Row) -> SpanView<'static> {
    let mut span =
        SpanView { kind, name, attributes: Attributes::new(recogniser.keys()), ..SpanView::default() };
    for (key, value) in attributes {
        if let Some(slot) = recogniser.keys().find(key.as_bytes()) {
            span.attributes.set(slot, Some(Value::Text(value)));
        }
    }
    span
}

#[divan::bench(args = SPANS.map(|(name, ..)| name), sample_size = 1000)]
fn recognise(bencher: Bencher, name: &str) {
    let recogniser = Recogniser::compile(&builtin::files().unwrap(), &CorrelationConfig::default()).unwrap();
    let row = SPANS.into_iter().find(|(own, ..)| *own == name).unwrap();
    let (span, client) = (span(&recogniser, row), Arc::new(Client::default()));
    let mut cache = EndpointCache::default();
    bencher.bench_local(|| recogniser.recognise(black_box(&span), &client, &mut cache));
}
