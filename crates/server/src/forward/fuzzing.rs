//! Bytes of any kind where forwarding reads some.

use hyper::header::HeaderMap;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use super::item::Item;
use super::{backoff, json, split};

/// JSON that is forwarded becomes a request in protobuf, and nothing of what the strict parser reads is lost.
///
/// # Panics
/// It does not.
pub fn forwarded_json(body: &[u8]) {
    let Some(written) = json::to_protobuf(body) else { return };
    if let Err(error) = ExportTraceServiceRequest::decode(&*written) {
        // Deeper than prost reads: such a value would not be read at the destination either.
        return assert!(error.to_string().contains("recursion limit"), "{error}");
    }
    // Its own JSON, since it also takes what is none of OTLP (a list for a message).
    let Ok(strict) = serde_json::from_slice::<ExportTraceServiceRequest>(body) else { return };
    let own = serde_json::to_vec(&strict).ok().and_then(|own| json::to_protobuf(&own)).unwrap_or_default();
    let own = ExportTraceServiceRequest::decode(&*own).map_err(|error| error.to_string());
    assert_eq!(format!("{own:?}"), format!("{:?}", Ok::<_, String>(strict)));
}

/// A row of the queue is read as it was written, or not at all.
///
/// # Panics
/// It is not.
pub fn queue_row(row: &[u8]) {
    if let Some(items) = Item::decode_all(row) {
        assert_eq!(items.iter().flat_map(Item::encode).collect::<Vec<u8>>(), row);
    }
}

/// A request that is cut in two has all its spans, each with its resource and scope.
///
/// # Panics
/// It has not.
pub fn cut_request(body: &[u8]) {
    let Ok(whole) = ExportTraceServiceRequest::decode(body) else { return };
    let mut keys: Vec<_> = split::keys(body).collect();
    keys.sort_unstable();
    keys.dedup();
    let keys: Vec<_> = keys.into_iter().step_by(2).collect();
    let Some(cut) = split::split(body, &keys) else {
        return assert!(keys.is_empty(), "none of the spans was found that are there");
    };
    let mut parts = Vec::new();
    for part in [&cut.rest, &cut.taken] {
        match ExportTraceServiceRequest::decode(&**part) {
            Ok(part) => parts.extend(spans(&part)),
            Err(error) => panic!("a part is no request: {error}"),
        }
    }
    let mut expected = spans(&whole);
    expected.sort_unstable();
    parts.sort_unstable();
    assert_eq!(parts, expected);
}

/// Every span with what stands around it, as text: a number that is none is not equal to itself.
fn spans(request: &ExportTraceServiceRequest) -> Vec<String> {
    let mut all = Vec::new();
    for resource in &request.resource_spans {
        for scope in &resource.scope_spans {
            let around = (&resource.resource, &resource.schema_url, &scope.scope, &scope.schema_url);
            all.extend(scope.spans.iter().map(|span| format!("{around:?} {span:?}")));
        }
    }
    all
}

/// Any `Retry-After` has a meaning or none.
pub(crate) fn retry_after(headers: &HeaderMap) {
    let _: Option<std::time::Duration> = backoff::retry_after(headers);
}
