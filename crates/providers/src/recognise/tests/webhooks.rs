//! Deliveries, and the callback URLs that announce them.

use super::*;

fn delivery(recogniser: &Recogniser, path: &str, query: &str) -> Option<Call> {
    let attributes = [
        ("http.request.method", Value::Text("POST")),
        ("url.path", Value::Text(path)),
        ("url.query", Value::Text(query)),
        ("http.response.status_code", Value::Int(200)),
    ];
    match what(recogniser, &span(recogniser, SpanKind::Server, "POST", &attributes))? {
        What::Call(call) => Some(call),
        What::Frame(frame) => {
            assert_eq!(frame.kind, FrameKind::Server);
            None
        }
    }
}

#[test]
fn a_path_that_says_webhook_and_a_provider() {
    let recogniser = builtin();
    for (path, query, expected) in [
        ("/webhooks/fal", "", "webhook fal/webhook"),
        ("/api/hooks/fal_ai", "", "webhook fal/webhook"),
        ("/api/Replicate/callback", "", "webhook replicate/webhook"),
        ("/replicate-webhook", "", "webhook replicate/webhook"),
        ("/webhooks", "provider=luma", "webhook luma/webhook state=Running"),
        ("/webhooks", "provider=kling", "webhook kling/webhook state=Running"),
        ("/webhooks/fal", "request_id=r-1", "webhook fal/webhook task=r-1"),
        ("/webhooks/stripe", "", ""),
        ("/api/fal/generate", "", ""),
        ("/healthz", "", ""),
    ] {
        let call = delivery(&recogniser, path, query);
        assert_eq!(call.as_ref().map(line).unwrap_or_default(), expected, "{path}?{query}");
        if let Some(call) = call {
            let place = call.rare.callback.as_deref().unwrap();
            assert!(place.len() == 16 && place != path, "a path may hold a secret: {place}");
        }
    }
}

/// ASP.NET Core's query begins with its question mark.
#[test]
fn a_query_with_its_question_mark() {
    let call = delivery(&builtin(), "/webhooks/fal", "?order=ord_1&request_id=r-1").unwrap();
    assert_eq!(line(&call), "webhook fal/webhook task=r-1");
    assert_eq!(call.rare.correlations[0].value.as_ref(), "ord_1");
}

/// Node's Lambda instrumentation writes neither a method nor a status: a function that ended without an error
/// has answered.
#[test]
fn a_delivery_to_a_function() {
    let recogniser = builtin();
    let call = |url: &'static str, status| {
        let attributes = [("faas.coldstart", Value::Bool(false)), ("url.full", Value::Text(url))];
        let mut span = span(&recogniser, SpanKind::Server, "hook", &attributes);
        span.status = status;
        match what(&recogniser, &span) {
            Some(What::Call(call)) => Some((line(&call), call.answer)),
            _ => None,
        }
    };
    let url = "https://shop.example:443/webhooks/fal?request_id=r-1";
    let expected = "webhook fal/webhook task=r-1".to_owned();
    let answered = spantally_stitch::Answer::Status(200);
    assert_eq!(call(url, SpanStatus::Unset), Some((expected.clone(), answered)));
    assert_eq!(call(url, SpanStatus::Error), Some((expected, spantally_stitch::Answer::Missing)));
    assert_eq!(call("https://shop.example:443/orders", SpanStatus::Unset), None);
}

#[test]
fn a_configured_path_with_the_task_in_it() {
    let webhook = WebhookPath { provider: "luma".into(), path: "/in/{task}/done".into() };
    let extra = CorrelationConfig { webhooks: vec![webhook], ..CorrelationConfig::default() };
    let call = delivery(&recogniser(&extra), "/in/t%2D1/done", "").unwrap();
    assert_eq!(line(&call), "webhook luma/webhook task=t-1 state=Running");
}

#[test]
fn a_wrong_configured_path_is_a_finding() {
    let files = crate::builtin::files().unwrap();
    for (provider, path, help) in [("lumma", "/x", "did you mean `luma`"), ("luma", "x", "starts with `/`")] {
        let webhook = WebhookPath { provider: provider.into(), path: path.into() };
        let extra = CorrelationConfig { webhooks: vec![webhook], ..CorrelationConfig::default() };
        let findings = Recogniser::compile(&files, &extra).unwrap_err();
        assert!(findings[0].to_string().contains(help), "{}", findings[0]);
    }
}

/// A submit names its callback URL; the delivery has the same order id and path. Parameters of other names
/// may be secrets and are not kept.
#[test]
fn a_callback_ties_submit_and_delivery() {
    let recogniser = builtin();
    let url = "https://queue.fal.run/fal-ai/flux/dev?fal_webhook=\
               http%3A%2F%2F127.0.0.1%3A28480%2Fwebhooks%2Ffal%3Forder%3Dord_1%26token%3Dsecret";
    let attributes = [("http.method", Value::Text("POST")), ("http.url", Value::Text(url))];
    let submit = call(&recogniser, &span(&recogniser, SpanKind::Client, "POST", &attributes));
    let delivery = delivery(&recogniser, "/webhooks/fal", "order=ord_1&token=secret").unwrap();
    let expected = [Correlation { kind: CorrelationKind::Callback, value: "ord_1".into() }];
    assert_eq!(submit.rare.correlations, expected);
    assert_eq!(delivery.rare.correlations, expected);
    assert!(submit.rare.callback.is_some());
    assert_eq!(submit.rare.callback, delivery.rare.callback);
}

/// The provider adds its own id before or after what the client put there, and the client may put several.
#[test]
fn ids_in_a_callback_are_one_name_in_any_order() {
    let recogniser = builtin();
    let first = |query: &'static str| {
        let call = delivery(&recogniser, "/webhooks/fal", query).unwrap();
        call.rare.correlations[0].value.to_string()
    };
    assert_eq!(first("request_id=r-1&order=ord_1"), "ord_1");
    assert_eq!(first("order=ord_1&request_id=r-1"), "ord_1");
    assert_eq!(first("request_id=r-1"), "r-1");
    let both = first("order=ord_1&attempt_id=2&request_id=r-1");
    assert_eq!(both, first("attempt_id=2&request_id=r-1&order=ord_1"));
    for other in ["order=ord_1&attempt_id=1", "order=ord_1", "attempt_id=2"] {
        assert_ne!(both, first(other), "{other}");
    }
}
