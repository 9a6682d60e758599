//! Requests to a provider's own host that no rule takes.

use super::*;

/// What is told of a client span of a request.
fn told(recogniser: &Recogniser, cache: &mut EndpointCache, method: &str, url: &str) -> Option<String> {
    let attributes = [("http.request.method", Value::Text(method)), ("url.full", Value::Text(url))];
    let client = Arc::new(Client::default());
    recogniser.recognise(&span(recogniser, SpanKind::Client, method, &attributes), &client, cache);
    let request = cache.take_unrecognised()?;
    Some(format!("{} {}", recogniser.provider_of(request), request.method()))
}

#[test]
fn what_no_rule_takes_at_a_provider_s_own_host_is_told() {
    let recogniser = builtin();
    let mut cache = EndpointCache::default();
    for (method, url, expected) in [
        ("POST", "https://api.dev.runwayml.com/v9/image_to_video", Some("runway POST")),
        ("GET", "https://api.dev.runwayml.com/v9/tasks/1?x=1", Some("runway GET")),
        ("POST", "https://api.dev.runwayml.com/v1/image_to_video", None),
        // Known to be no calls.
        ("POST", "https://api.dev.runwayml.com/v1/uploads", None),
        ("GET", "https://api.openai.com/v1/models/sora-2", None),
        ("POST", "https://api.openai.com/v1/files", None),
        ("POST", "https://api.openai.com/v1/realtime/client_secrets", None),
        ("POST", "https://api.replicate.com/v1/files", None),
        ("POST", "https://api.elevenlabs.io/v1/voices/add", None),
        ("POST", "https://generativelanguage.googleapis.com/v1/models/gemini-3-pro:countTokens", None),
        ("POST", "https://generativelanguage.googleapis.com/upload/v1beta/files", None),
        ("POST", "https://api.openai.com/v1/models/sora-2", Some("openai POST")),
        ("POST", "https://api.eu.deepgram.com/v9/listen", Some("deepgram POST")),
        ("POST", "https://api.sg.residency.elevenlabs.io./v9/music", Some("elevenlabs POST")),
        ("POST", "https://eu.api.openai.com/v2/videos", Some("openai POST")),
        ("POST", "https://studio.openai.azure.com/openai/v3/videos", Some("azure_openai POST")),
        // Other services have these hosts too.
        ("PUT", "https://clips.s3.us-east-1.amazonaws.com/a.mp4", None),
        ("POST", "https://bedrock-runtime.eu-west-2.amazonaws.com/v9/model", None),
        ("POST", "https://storage.googleapis.com/upload/storage/v1/b/clips/o", None),
        ("POST", "https://westus.api.cognitive.microsoft.com/vision/v3.2/analyze", None),
        ("POST", "https://bedrock-runtime.us-east-1.amazonaws.com/v9/model", Some("bedrock POST")),
        // A host of outputs is no host of an API, and other hosts are nobody's.
        ("POST", "https://v3.fal.media/files/x.mp4", None),
        ("POST", "https://api.example.com/v1/videos", None),
        ("HEAD", "https://api.openai.com/v9/videos", None),
    ] {
        assert_eq!(told(&recogniser, &mut cache, method, url).as_deref(), expected, "{method} {url}");
    }
}

/// A span that is a call or a frame all the same, or that a provider serves itself, is not told.
#[test]
fn what_is_of_use_is_not_told() {
    let recogniser = builtin();
    let mut cache = EndpointCache::default();
    let client = Arc::new(Client::default());
    let request = [
        ("http.request.method", Value::Text("POST")),
        ("url.full", Value::Text("https://bedrock-runtime.us-east-1.amazonaws.com/v9/model")),
    ];
    let remote =
        [("rpc.service", Value::Text("Bedrock Runtime")), ("rpc.method", Value::Text("InvokeModel"))];
    let call = [request, remote].concat();
    for (kind, attributes) in [(SpanKind::Client, &call[..]), (SpanKind::Server, &request)] {
        let found = recogniser.recognise(&span(&recogniser, kind, "x", attributes), &client, &mut cache);
        assert!(found.is_some(), "{kind:?}");
    }
    let database = [("db.system.name", Value::Text("postgresql"))];
    let found =
        recogniser.recognise(&span(&recogniser, SpanKind::Client, "x", &database), &client, &mut cache);
    assert_eq!((found, cache.take_unrecognised()), (None, None), "not what was told of the span before");
}
