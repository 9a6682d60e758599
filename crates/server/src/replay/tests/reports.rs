//! What the report says of recorded spans.

use super::*;
use crate::replay::Summary;
use crate::replay::report::page;

/// Of the second job nothing tells how it ended: it is no part of what a delivered one costs.
#[test]
fn a_job_of_unknown_end_makes_no_delivered_one_dearer() {
    let clip = |start: u64, trace: u8, states: &[(&str, &str)]| {
        let call = |at, span, method, path: &str, own: &[(&str, &str)]| {
            let url = format!("https://api.dev.runwayml.com/v1{path}");
            let all =
                [("http.request.method", method), ("url.full", &*url), ("http.response.status_code", "200")];
            line((start + at, 1), trace, (span, 9), &[&all[..], own].concat())
        };
        let made = [("gen_ai.request.model", "gen4_turbo"), ("spantally.seconds", "5")];
        [
            call(0, 1, "POST", "/image_to_video", &[]),
            call(20, 2, "GET", &format!("/tasks/t{trace}"), states),
            line((start, 100), trace, (9, 0), &made),
        ]
        .concat()
    };
    let [done, untold] = [clip(0, 1, &[("spantally.task.status", "SUCCEEDED")]), clip(300, 2, &[])];
    let summary = |lines: String| Summary::of(&replay(vec![recording(lines.into_bytes())]));
    let [alone, both] = [summary(done.clone()), summary(done + &untold)];
    let cost = |summary: &Summary| summary.providers[0].cost["USD"].expected;
    assert!(cost(&both) > cost(&alone));
    let each = |summary: &Summary| summary.providers[0].cost_per_delivered["USD"];
    assert_eq!((each(&alone), each(&both)), (cost(&alone), cost(&alone)));
}

/// A path that no rule knows: in no job, and told.
#[test]
fn requests_that_no_rule_takes_are_in_the_report() {
    let mut strange = request(1);
    let url = &mut strange.resource_spans[0].scope_spans[0].spans[0].attributes[1];
    url.value = Some(AnyValue { value: Some(Value::StringValue("https://queue.fal.run/".to_owned())) });
    let bodies = [request(2), strange].map(|request| request.encode_length_delimited_to_vec());
    let summary = Summary::of(&replay(vec![recording(bodies.concat())]));
    assert_eq!(summary.jobs, 1);
    let rows: Vec<_> =
        summary.unrecognised.iter().map(|row| (&*row.provider, row.method, row.requests)).collect();
    assert_eq!(rows, [("fal", "POST", 1)]);
    let shown = page(&summary, "x.jsonl", false);
    let told = shown.split("Requests that no rule takes").nth(1).unwrap();
    assert!(told.contains("fal") && told.contains("POST"), "{shown}");
    let known = Summary::of(&replay(vec![recording(request(1).encode_length_delimited_to_vec())]));
    assert!(!page(&known, "x.jsonl", false).contains("no rule takes"));
}

/// In both encodings: by tracestate, by a rate, and not of spans that are no calls.
#[test]
fn sampled_calls_are_in_the_report() {
    let thinned = |number| {
        let mut request = request(number);
        request.resource_spans[0].scope_spans[0].spans[0].trace_state = "ot=th:c".to_owned();
        request
    };
    let mut other = thinned(3);
    let url = &mut other.resource_spans[0].scope_spans[0].spans[0].attributes[1];
    url.value = Some(AnyValue { value: Some(Value::StringValue("https://example.com/".to_owned())) });
    let lines = [request(1), thinned(2), other].map(|request| serde_json::to_string(&request).unwrap());
    let bodies = [request(1), thinned(2), thinned(4)].map(|one| one.encode_length_delimited_to_vec());
    for (recorded, calls) in [(lines.join("\n").into_bytes(), 1), (bodies.concat(), 2)] {
        let summary = Summary::of(&replay(vec![recording(recorded)]));
        let rows: Vec<_> = summary.sampled.iter().map(|row| (&*row.provider, row.calls)).collect();
        assert_eq!(rows, [("fal", calls)]);
        assert!(page(&summary, "x.jsonl", false).contains("every figure here is less than the truth"));
    }
    let whole = Summary::of(&replay(vec![recording(request(1).encode_length_delimited_to_vec())]));
    assert!(!page(&whole, "x.jsonl", false).contains("Sampled calls"));
}
