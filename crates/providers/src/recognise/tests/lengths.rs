//! No text of a span is kept longer than its bound, wherever a rule reads it.

use super::*;
use crate::{CALLBACK_IDS_MAX, Cuts, ID_BYTES_MAX, LABEL_BYTES_MAX};

/// Longer than every bound, and told apart only behind all of them.
fn long(end: &str) -> String {
    "A".repeat(2000) + end
}

#[test]
fn what_a_call_shows_is_cut() {
    let (recogniser, mut cache, text) = (builtin(), EndpointCache::default(), long("1"));
    let ids: Vec<String> = (0..CALLBACK_IDS_MAX + 8).map(|id| format!("id={id:040}")).collect();
    let hook = format!("https://app.example.com/hook?{}", ids.join("&"));
    let url = format!("https://queue.fal.run/owner/{text}?fal_webhook={}", hook.replace('&', "%26"));
    let polled = format!("https://queue.fal.run/owner/app/requests/{text}/status");
    let show = |url: &str, method: &'static str, cache: &mut EndpointCache| {
        let attributes = [
            ("http.request.method", Value::Text(method)),
            ("url.full", Value::Text(url)),
            ("http.response.status_code", Value::Int(200)),
            ("spantally.job.id", Value::Text(&text)),
            ("spantally.resolution", Value::Text(&text)),
        ];
        let client = Arc::new(Client::default());
        let view = span(&recogniser, SpanKind::Client, "", &attributes);
        match recogniser.recognise(&view, &client, cache).map(|evidence| evidence.what) {
            Some(What::Call(call)) => call,
            other => panic!("not a call: {other:?}"),
        }
    };
    let submit = show(&url, "POST", &mut cache);
    assert!(submit.endpoint.model.starts_with("owner/AAA"), "{submit:?}");
    assert_eq!(submit.endpoint.model.len(), LABEL_BYTES_MAX);
    assert!(submit.endpoint.family.len() <= LABEL_BYTES_MAX);
    let ids = &submit.rare.correlations;
    assert_eq!(ids.iter().filter(|id| id.kind == CorrelationKind::Callback).count(), 1, "together one name");
    assert_eq!(ids.iter().map(|id| id.value.len()).max(), Some(ID_BYTES_MAX));
    let poll = show(&polled, "GET", &mut cache);
    assert_eq!(poll.task.unwrap().to_string().len(), ID_BYTES_MAX);
    for fact in submit.rare.facts.iter().chain(&poll.rare.facts) {
        let spantally_stitch::FactValue::Text(value) = &fact.value else { continue };
        assert_eq!(value.len(), LABEL_BYTES_MAX, "{}", fact.name);
    }
    let named = [
        ("http.request.method", Value::Text("POST")),
        ("url.full", Value::Text("https://api.openai.com/v1/videos")),
        ("gen_ai.request.model", Value::Text(&text)),
    ];
    let named = call(&recogniser, &span(&recogniser, SpanKind::Client, "", &named));
    assert_eq!(named.endpoint.model.len(), LABEL_BYTES_MAX);
    let cuts = cache.take_cuts();
    assert_eq!(cuts.callback_ids, 8, "{cuts:?}");
    assert!(cuts.labels >= 3 && cuts.ids >= 3, "{cuts:?}");
    assert_eq!(cache.take_cuts(), Cuts::default());
    assert!(cache.scratch.capacity() < 1024, "room for one long path is not kept");
}

#[test]
fn what_a_frame_shows_is_cut() {
    let (recogniser, text) = (builtin(), long("1"));
    let name = format!("replicate.{text}");
    let attributes = [
        ("gen_ai.operation.name", Value::Text("generate_content")),
        ("gen_ai.provider.name", Value::Text(&text)),
        ("gen_ai.request.model", Value::Text(&text)),
        ("gen_ai.response.id", Value::Text(&text)),
    ];
    let frame = frame(&recogniser, &span(&recogniser, SpanKind::Internal, &name, &attributes));
    for (kept, most) in [
        (&*frame.rare.name, LABEL_BYTES_MAX),
        (&*frame.rare.provider, LABEL_BYTES_MAX),
        (&*frame.rare.model, LABEL_BYTES_MAX),
        (&*frame.rare.task.as_ref().unwrap().to_string(), ID_BYTES_MAX),
    ] {
        assert_eq!(kept.len(), most, "{kept}");
    }
}

#[test]
fn clients_with_long_names_stay_apart() {
    let recogniser =
        recogniser(&CorrelationConfig { labels: vec!["team".into()], ..CorrelationConfig::default() });
    let mut cache = EndpointCache::default();
    let mut client = |service: &str| {
        let attributes =
            ["service.name", "service.instance.id", "team"].map(|key| (key, Value::Text(service)));
        let view = span(&recogniser, SpanKind::Internal, "", &attributes);
        recogniser.client(&ResourceView { attributes: view.attributes }, "acme", &mut cache)
    };
    let (one, other) = (client(&long("1")), client(&long("2")));
    for text in [&one.service, &one.instance, &one.labels[0]] {
        assert_eq!(text.len(), LABEL_BYTES_MAX);
    }
    assert_ne!(one.service, other.service);
    assert_eq!(one, client(&long("1")));
    assert_eq!(cache.take_cuts().labels, 9);
}
