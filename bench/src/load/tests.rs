//! The load has the size and the identities that it claims.

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
        let per_span = bytes / (SPANS);
        assert!((520..=620).contains(&per_span), "{mix:?}: {per_span} bytes a span");
        let requests = decoded(mix, 0);
        assert_eq!(all_spans(&requests).len(), SPANS);
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
fn other_sizes_and_services_have_the_same_spans() {
    for batch_spans in [1, 10, 8192] {
        let batches = batches_of(Mix::Mixed, batch_spans, Some(7));
        assert_eq!(batches.iter().map(|batch| batch.spans).sum::<u64>(), SPANS as u64);
        let usual = batches.iter().filter(|batch| batch.spans == batch_spans as u64).count();
        assert!(batch_spans == 8192 || usual > batches.len() * 8 / 10, "{usual} of {}", batches.len());
        let mut names = BTreeSet::new();
        for (batch, round) in batches.iter().take(40).flat_map(|batch| (0..40).map(move |it| (batch, it))) {
            let request = ExportTraceServiceRequest::decode(&*batch.request.stamped(round, BASE));
            let resource = request.expect("valid protobuf").resource_spans[0].resource.clone();
            names.insert(format!("{:?}", resource.expect("a resource").attributes[0]));
        }
        assert_eq!(names.len(), 7, "{names:?}");
    }
}

#[test]
fn open_jobs_have_a_submit_and_a_poll() {
    let mut traces = BTreeMap::<Vec<u8>, Vec<String>>::new();
    let requests = decoded(Mix::Open, 3);
    for span in all_spans(&requests) {
        traces.entry(span.trace_id.clone()).or_default().push(span.name.clone());
    }
    assert_eq!(traces.len(), SPANS / 2);
    assert!(traces.values().all(|calls| *calls == ["POST", "GET"]));
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
    assert_eq!(traces(Mix::Media), SPANS / JOB_SPANS as usize);
    assert_eq!(traces(Mix::Bare), SPANS);
}
