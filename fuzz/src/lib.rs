//! Fuzz targets: what must hold for any bytes at all. Each is a function that panics when it does not.
//!
//! cargo-fuzz drives them by coverage (`scripts/fuzz TARGET`). Every test run drives them for a moment by
//! [`mutate`], a seeded mutator over `corpus/`, so that they compile, and hold near what is known.

pub mod mutate;
mod seen;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use spantally_server::decode::json;
use spantally_server::fuzzing;
use spantally_server::record;

use crate::seen::seen;

/// A target: its name, which is that of its corpus, and what must hold.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 6] = [
    ("reader", reader),
    ("json", json),
    ("headers", headers),
    ("journal", journal),
    ("providers", providers),
    ("queue", queue),
];

/// The reader that borrows sees what prost decodes: the same in the bytes as they came and in those that
/// prost writes anew, where nothing is split, repeated or out of order. What prost refuses it refuses too,
/// but inside of what it skips. What both take can be cut in two without losing a span.
///
/// # Panics
/// It does not.
pub fn reader(body: &[u8]) {
    match (ExportTraceServiceRequest::decode(body), seen(body)) {
        (Ok(request), Ok(found)) => {
            let anew = request.encode_to_vec();
            assert_eq!(Ok(found), told(&anew), "{request:?}");
            fuzzing::cut_request(body);
        }
        (Ok(request), Err(error)) => panic!("prost accepts what the reader refuses ({error}): {request:?}"),
        (Err(error), Ok(_)) => assert!(is_inside_skipped(&error.to_string()), "only prost refuses: {error}"),
        (Err(_), Err(_)) => {}
    }
}

/// Text that is not UTF-8 costs its span alone, and the inside of what no rule names is not looked at.
fn is_inside_skipped(refusal: &str) -> bool {
    const SKIPPED: [&str; 6] = [
        "data is not UTF-8 encoded",
        "KeyValue.value:",
        "Event.attributes:",
        "Link.attributes:",
        "InstrumentationScope.attributes:",
        "Resource.entity_refs:",
    ];
    SKIPPED.iter().any(|skipped| refusal.contains(skipped))
}

/// JSON that is taken is a request in protobuf. What the strict parser of `opentelemetry-proto` takes is read
/// alike from its JSON and from its protobuf.
///
/// # Panics
/// One of these does not hold.
pub fn json(body: &[u8]) {
    if let Ok(written) = json::to_protobuf(body) {
        if let Err(error) = ExportTraceServiceRequest::decode(&*written) {
            panic!("what is written is no request: {error}");
        }
        if let Err(error) = seen(&written) {
            panic!("our own reader refuses what is written: {error}");
        }
    }
    fuzzing::forwarded_json(body);
    // Its own JSON, since it also takes what is none of OTLP (a list for a message).
    let Ok(strict) = serde_json::from_slice::<ExportTraceServiceRequest>(body) else { return };
    let Ok(own) = serde_json::to_vec(&strict) else { return };
    match json::to_protobuf(&own) {
        Ok(written) => assert_eq!(told(&written), told(&strict.encode_to_vec()), "{strict:?}"),
        Err(error) => panic!("we refuse what the strict parser writes ({error}): {strict:?}"),
    }
}

/// What the visitor is told, or why the request is refused.
fn told(body: &[u8]) -> Result<Vec<String>, String> {
    seen(body).map_err(|error| error.to_string())
}

/// Request headers, as lines of `name: value`, have an answer.
///
/// # Panics
/// It does not.
pub fn headers(text: &[u8]) {
    fuzzing::headers(text);
}

/// A journal row that is read is written as it was read, and so is what was matched.
///
/// # Panics
/// It does not.
pub fn journal(row: &[u8]) {
    if let Ok(tie) = record::decode_tie(row) {
        let again = record::decode_tie(&record::encode_tie(tie.clone()));
        assert_eq!(format!("{again:?}"), format!("{:?}", Ok::<_, record::RecordError>(tie)));
    }
    let Ok(batches) = record::decode(row) else { return };
    let mut written = Vec::new();
    record::encode(&batches, &mut written);
    match record::decode(&written) {
        // By their text: a number that is none is not equal to itself.
        Ok(again) => assert_eq!(format!("{again:?}"), format!("{batches:?}")),
        Err(error) => panic!("what was read cannot be written: {error}"),
    }
}

/// A provider file is taken or has findings.
///
/// # Panics
/// It has neither.
pub fn providers(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    if let Err(findings) = spantally_providers::load("fuzz.yaml", text) {
        assert!(!findings.is_empty(), "refused without a finding");
    }
}

/// A row of a forwarding queue is read as it was written, or not at all.
///
/// # Panics
/// It is read as something else.
pub fn queue(row: &[u8]) {
    fuzzing::queue_row(row);
}
