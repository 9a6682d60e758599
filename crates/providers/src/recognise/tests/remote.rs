//! Spans of remote procedure calls.

use spantally_stitch::Answer;

use super::*;
use crate::answer;

const PREDICTION: &str = "google.cloud.aiplatform.v1.PredictionService";

/// A client span of a procedure, with others.
fn remote(
    service: &'static str,
    method: &'static str,
    extra: Attributes,
) -> Vec<(&'static str, Value<'static>)> {
    let named = [("rpc.service", service), ("rpc.method", method)].into_iter();
    let named = named.filter(|(_, name)| !name.is_empty()).map(|(key, name)| (key, Value::Text(name)));
    named.chain(extra.iter().copied()).collect()
}

#[test]
fn a_procedure_is_a_call_in_every_spelling() {
    let recogniser = builtin();
    let submit = "submit bedrock/async_invoke_start operation=video_generation accepted=";
    let table: [(&str, &str, Attributes, &str); 8] = [
        ("Bedrock Runtime", "StartAsyncInvoke", &[("http.status_code", Value::Int(200))], "yes"),
        ("BedrockRuntime", "StartAsyncInvoke", &[("http.response.status_code", Value::Int(200))], "yes"),
        ("", "Bedrock Runtime/StartAsyncInvoke", &[("http.status_code", Value::Int(200))], "yes"),
        ("x", "/Bedrock Runtime/StartAsyncInvoke", &[("rpc.response.status_code", Value::Text("OK"))], "yes"),
        (
            "Bedrock Runtime",
            "StartAsyncInvoke",
            &[("error.type", Value::Text("botocore.errorfactory.ThrottlingException"))],
            "no state=Failed reason=rate_limit",
        ),
        (
            "Bedrock Runtime",
            "StartAsyncInvoke",
            &[("error.type", Value::Text("botocore.exceptions.EndpointConnectionError"))],
            "no state=Failed reason=provider_error",
        ),
        (
            "Bedrock Runtime",
            "StartAsyncInvoke",
            &[("error.type", Value::Text("botocore.exceptions.ConnectionClosedError"))],
            "ambiguous",
        ),
        ("Bedrock Runtime", "StartAsyncInvoke", &[], "ambiguous"),
    ];
    for (service, method, extra, accepted) in table {
        let attributes = remote(service, method, extra);
        let call = call(&recogniser, &span(&recogniser, SpanKind::Client, "x", &attributes));
        assert_eq!(line(&call), format!("{submit}{accepted}"), "{attributes:?}");
    }
}

#[test]
fn model_and_task_are_those_that_the_span_names() {
    let recogniser = builtin();
    let table: [(&str, &str, Attributes, &str); 4] = [
        (
            "Bedrock Runtime",
            "InvokeModel",
            &[
                ("gen_ai.system", Value::Text("aws.bedrock")),
                ("gen_ai.operation.name", Value::Text("text_completion")),
                ("gen_ai.request.model", Value::Text("amazon.titan-image-generator-v2:0")),
                ("http.status_code", Value::Int(200)),
            ],
            "sync bedrock/model_invoke model=amazon.titan-image-generator-v2:0 operation=image_generation \
             accepted=yes state=Succeeded",
        ),
        (
            "Bedrock Runtime",
            "GetAsyncInvoke",
            &[
                ("spantally.task.id", Value::Text("a-1")),
                ("spantally.task.status", Value::Text("InProgress")),
            ],
            "poll bedrock/async_invoke_get task=a-1 state=Running",
        ),
        (
            PREDICTION,
            "FetchPredictOperation",
            &[("rpc.grpc.status_code", Value::Int(5))],
            "poll google/vertex_operation_fetch state=NotReady",
        ),
        (
            PREDICTION,
            "Predict",
            &[("rpc.grpc.status_code", Value::Int(0))],
            "sync google/vertex_image_create accepted=yes state=Succeeded",
        ),
    ];
    for (service, method, extra, expected) in table {
        let attributes = remote(service, method, extra);
        let call = call(&recogniser, &span(&recogniser, SpanKind::Client, "x", &attributes));
        assert_eq!(line(&call), expected, "{attributes:?}");
    }
}

#[test]
fn what_is_of_another_service_or_served_is_no_call() {
    let recogniser = builtin();
    for (service, method) in [
        ("DynamoDB", "GetItem"),
        ("S3", "PutObject"),
        ("Bedrock", "ListFoundationModels"),
        ("Bedrock Runtime", ""),
        ("", "InvokeModel"),
        ("google.longrunning.Operations", "GetOperation"),
        ("", "_OTHER"),
    ] {
        let attributes = remote(service, method, &[]);
        let found = what(&recogniser, &span(&recogniser, SpanKind::Client, "x", &attributes));
        assert!(found.is_none(), "{service}/{method}: {found:?}");
    }
    let served = remote("Bedrock Runtime", "InvokeModel", &[]);
    for kind in [SpanKind::Server, SpanKind::Internal, SpanKind::Producer, SpanKind::Consumer] {
        assert_eq!(frame(&recogniser, &span(&recogniser, kind, "x", &served)).rare.call, None, "{kind:?}");
    }
}

/// Where a span shows a URL that a rule takes, that is the call: a path tells more than a procedure.
#[test]
fn a_url_goes_before_the_procedure() {
    let recogniser = builtin();
    let url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/amazon.nova-canvas-v1%3A0/invoke";
    for (url, model) in
        [(url, "model=amazon.nova-canvas-v1:0 operation=image_generation "), ("http://mesh:4566/", "")]
    {
        let mut attributes =
            remote("Bedrock Runtime", "InvokeModel", &[("http.request.method", Value::Text("POST"))]);
        attributes.push(("url.full", Value::Text(url)));
        let call = call(&recogniser, &span(&recogniser, SpanKind::Client, "x", &attributes));
        assert_eq!(line(&call), format!("sync bedrock/model_invoke {model}accepted=ambiguous"), "{url}");
    }
}

#[test]
fn codes_of_grpc_by_number_and_by_name() {
    let recogniser = builtin();
    let answer = |code: Value<'static>, message: &'static str| {
        let mut view = span(&recogniser, SpanKind::Client, "x", &[("rpc.grpc.status_code", code)]);
        view.status_message = message;
        answer::answer(&view, &recogniser.slots)
    };
    for (number, name, expected) in [
        (0, "OK", Answer::Status(200)),
        (1, "CANCELLED", Answer::TimedOut),
        (3, "INVALID_ARGUMENT", Answer::Status(400)),
        (4, "DEADLINE_EXCEEDED", Answer::TimedOut),
        (8, "RESOURCE_EXHAUSTED", Answer::Status(429)),
        (13, "INTERNAL", Answer::Status(500)),
        (14, "UNAVAILABLE", Answer::Status(503)),
        (16, "UNAUTHENTICATED", Answer::Status(401)),
        (17, "SOMETHING", Answer::Missing),
        (-1, "", Answer::Missing),
    ] {
        assert_eq!(answer(Value::Int(number), ""), expected, "{number}");
        assert_eq!(answer(Value::Text(name), ""), expected, "{name}");
    }
    let refused = "failed to connect to all addresses; last error: UNKNOWN: Connection refused";
    assert_eq!(answer(Value::Int(14), refused), Answer::NotSent);
    assert_eq!(answer(Value::Int(13), refused), Answer::Status(500));
}
