//! OTLP/JSON as writers spell it, over a real socket.

use super::raw::{JSON, post, send};
use crate::receivers::testing::Server;

/// A request with one span of these members beside good ids and times.
fn request(members: &str) -> String {
    let span = format!(
        r#"{{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174","name":"POST","kind":3,
        "startTimeUnixNano":"1800000000000000000","endTimeUnixNano":1800000000500000000{members}}}"#
    );
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#)
}

fn value(any: &str) -> String {
    request(&format!(r#","attributes":[{{"key":"url.full","value":{any}}}]"#))
}

#[tokio::test]
async fn json_is_read_as_leniently_as_proto3_json_lets_it_be_written() {
    let server = Server::start().await;
    let later = request("").replacen('{', r#"{"laterField":[{"a":null}],"#, 1);
    let taken = [
        later,
        request(r#","later":{"deep":[1,{}]},"trace_state":"snake case is unknown""#),
        value(r#"{"laterValue":1}"#),
        value("{}"),
        value("null"),
        value(r#"{"intValue":7}"#),
        value(r#"{"intValue":"7"}"#),
        value(r#"{"doubleValue":"NaN"}"#),
        value(r#"{"doubleValue":"-Infinity"}"#),
        value(r#"{"doubleValue":"1.5"}"#),
        value(r#"{"doubleValue":2}"#),
        value(r#"{"arrayValue":{}}"#),
        value(r#"{"arrayValue":{"values":[]}}"#),
        value(r#"{"arrayValue":{"values":null}}"#),
        value(r#"{"kvlistValue":{}}"#),
        value(r#"{"bytesValue":"AQID"}"#),
        value(r#"{"stringValue":"https://queue.fal.run/a/b\ud83d"}"#),
        request(r#","attributes":[{"key":"some.prompt","value":{"stringValue":"\ud83d"}}]"#),
        request(r#","attributes":[{"key":"some.count","value":{"intValue":"9223372036854775808"}}]"#),
        request(r#","attributes":null,"parentSpanId":null,"events":null,"links":[],"status":{}"#),
        request(r#","parentSpanId":"""#),
        request(r#","parentSpanId":"EEE19B7EC3C1B173""#),
        request(r#","droppedAttributesCount":"3","flags":257"#),
    ];
    for body in &taken {
        let answer = send(server.http, &post(JSON, body.as_bytes())).await;
        let said = String::from_utf8_lossy(&answer.body);
        assert_eq!((answer.code, &*said), (200, "{}"), "{body}");
    }
    for body in ["{}", r#"{"resourceSpans":null}"#, r#"{"resourceSpans":[{"scopeSpans":null}]}"#] {
        assert_eq!(send(server.http, &post(JSON, body.as_bytes())).await.code, 200, "{body}");
    }
    assert_eq!(server.ends(), [("http_json", "accepted", taken.len() as u64 + 3)]);
}

#[tokio::test]
async fn an_id_that_cannot_be_one_costs_its_span_and_no_other() {
    let server = Server::start().await;
    for (written, instead, reason) in [
        (r#""traceId":"5B8EFFF798038103D269B633813FC60C","#, r#""traceId":"5B8E","#, "invalid_trace_id"),
        (r#""traceId":"5B8EFFF798038103D269B633813FC60C","#, "", "invalid_trace_id"),
        ("5B8EFFF798038103D269B633813FC60C", "00000000000000000000000000000000", "invalid_trace_id"),
        ("5B8EFFF798038103D269B633813FC60C", "0x5B8EFFF798038103D269B633813FC60C", "invalid_trace_id"),
        ("eee19b7ec3c1b174", "0000000000000000", "invalid_span_id"),
        ("eee19b7ec3c1b174", "eee19b7ec3c1b17", "invalid_span_id"),
        (r#""startTimeUnixNano":"1800000000000000000","#, "", "invalid_time"),
    ] {
        let body = request("").replace(written, instead);
        let answer = send(server.http, &post(JSON, body.as_bytes())).await;
        let said: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.code, &said["partialSuccess"]["rejectedSpans"]), (200, &"1".into()), "{body}");
        let message = said["partialSuccess"]["errorMessage"].as_str().unwrap();
        assert!(message.contains(reason), "{message}");
    }
}

#[tokio::test]
async fn what_otlp_json_forbids_is_bad_data() {
    let server = Server::start().await;
    for body in [
        request("").replace(r#""kind":3"#, r#""kind":"SPAN_KIND_CLIENT""#),
        request("").replace("5B8EFFF798038103D269B633813FC60C", "W47/95gDgQPSabYzgT/GDA=="),
        request(r#","attributes":{"url.full":"x"}"#),
        r#"{"resourceSpans":{}}"#.to_owned(),
        r"[]".to_owned(),
        String::new(),
    ] {
        assert_eq!(send(server.http, &post(JSON, body.as_bytes())).await.code, 400, "{body}");
    }
}
