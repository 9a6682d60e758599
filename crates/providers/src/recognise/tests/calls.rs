//! One request a line, what it is taken for in the last column.

use rust_decimal::Decimal;
use spantally_stitch::{Answer, FactSource, FactValue};

use super::*;

const UUID: &str = "78321ff1-ddfa-4582-bc75-06854bbf40ad";

/// Checks `(method, url, status, expected)` rows with the attributes of the stable conventions, and that the
/// older ones and those of servers and undici give the same.
fn check(rows: &[(&str, &str, i64, &str)]) {
    let recogniser = builtin();
    for (method, url, status, expected) in rows {
        let url = url.replace("UUID", UUID);
        let target = Target::parse(&url);
        let spellings: [&[(&str, Value<'_>)]; 3] = [
            &[
                ("http.request.method", Value::Text(method)),
                ("url.full", Value::Text(&url)),
                ("server.address", Value::Text(target.host)),
                ("http.response.status_code", Value::Int(*status)),
            ],
            &[
                ("http.method", Value::Text(method)),
                ("http.url", Value::Text(&url)),
                ("http.status_code", Value::Int(*status)),
            ],
            &[
                ("http.request.method", Value::Text(method)),
                ("server.address", Value::Text(target.host)),
                ("url.path", Value::Text(target.path)),
                ("url.query", Value::Text(target.query)),
                ("http.response.status_code", Value::Int(*status)),
            ],
        ];
        let mut requests = Vec::new();
        for attributes in spellings {
            let span = span(&recogniser, SpanKind::Client, method, attributes);
            match what(&recogniser, &span) {
                Some(What::Call(call)) => {
                    assert_eq!(line(&call), expected.replace("UUID", UUID), "{method} {url}");
                    requests.push(call.request);
                }
                None => assert_eq!(*expected, "nothing", "{method} {url}"),
                Some(What::Frame(frame)) => panic!("{method} {url}: {frame:?}"),
            }
        }
        requests.dedup();
        assert!(requests.len() <= 1, "equal requests have equal fingerprints: {method} {url}");
    }
}

#[test]
fn fal() {
    let submit = "submit fal/queue_submit model=fal-ai/flux/dev family=fal-ai/flux operation=text_to_image";
    let (taken, limited, broken) = (
        format!("{submit} accepted=yes"),
        format!("{submit} accepted=no state=Failed reason=rate_limit"),
        format!("{submit} accepted=ambiguous"),
    );
    let result = "result fal/queue_result task=UUID family=fal-ai/flux";
    let (ready, early, invalid, late) = (
        format!("{result} state=Succeeded"),
        format!("{result} state=NotReady"),
        format!("{result} state=Failed reason=invalid_input"),
        format!("{result} state=Failed reason=provider_timeout"),
    );
    check(&[
        ("POST", "https://queue.fal.run/fal-ai/flux/dev", 200, &taken),
        ("POST", "https://queue.fal.run/fal-ai/flux/dev?fal_webhook=https%3A%2F%2Fme%2Fw", 200, &taken),
        ("POST", "https://queue.fal.run/fal-ai/flux/dev", 429, &limited),
        ("POST", "https://queue.fal.run/fal-ai/flux/dev", 502, &broken),
        (
            "POST",
            "https://queue.fal.run/fal-ai/kling-video/v2/master/text-to-video",
            200,
            "submit fal/queue_submit model=fal-ai/kling-video/v2/master/text-to-video \
             family=fal-ai/kling-video operation=text_to_video accepted=yes",
        ),
        (
            "POST",
            "https://queue.fal.run/workflows/acme/clip-maker",
            200,
            "submit fal/queue_submit_namespaced model=workflows/acme/clip-maker \
             family=workflows/acme/clip-maker accepted=yes",
        ),
        // 200 and 202 alike tell nothing of the end.
        (
            "GET",
            "https://queue.fal.run/fal-ai/flux/requests/UUID/status?logs=0",
            202,
            "poll fal/queue_status task=UUID family=fal-ai/flux",
        ),
        (
            "GET",
            "https://queue.fal.run/fal-ai/flux/requests/UUID/status",
            200,
            "poll fal/queue_status task=UUID family=fal-ai/flux",
        ),
        (
            "GET",
            "https://queue.fal.run/workflows/acme/clip-maker/requests/UUID/status",
            200,
            "poll fal/queue_status_workflow task=UUID family=workflows/acme/clip-maker",
        ),
        ("GET", "https://queue.fal.run/fal-ai/flux/requests/UUID", 200, &ready),
        ("GET", "https://queue.fal.run/fal-ai/flux/requests/UUID", 400, &early),
        ("GET", "https://queue.fal.run/fal-ai/flux/requests/UUID", 422, &invalid),
        ("GET", "https://queue.fal.run/fal-ai/flux/requests/UUID", 504, &late),
        ("GET", "https://queue.fal.run/fal-ai/flux/requests/UUID", 502, result),
        (
            "PUT",
            "https://queue.fal.run/fal-ai/flux/requests/UUID/cancel",
            202,
            "cancel fal/queue_cancel task=UUID family=fal-ai/flux state=Canceled",
        ),
        (
            "PUT",
            "https://queue.fal.run/fal-ai/flux/requests/UUID/cancel",
            400,
            "cancel fal/queue_cancel task=UUID family=fal-ai/flux",
        ),
        (
            "POST",
            "https://fal.run/fal-ai/flux/schnell",
            200,
            "sync fal/run model=fal-ai/flux/schnell family=fal-ai/flux operation=text_to_image accepted=yes \
             state=Succeeded",
        ),
        ("GET", "https://v3.fal.media/files/b/x.png", 200, "download fal/download state=Succeeded"),
        ("GET", "https://rest.fal.ai/storage/upload", 200, "nothing"),
        ("GET", "https://queue.fal.run/health", 200, "nothing"),
    ]);
}

#[test]
fn replicate() {
    check(&[
        (
            "POST",
            "https://api.replicate.com/v1/predictions",
            201,
            "submit replicate/prediction_create accepted=yes",
        ),
        (
            "POST",
            "https://api.replicate.com/v1/models/black-forest-labs/flux-dev/predictions",
            422,
            "submit replicate/model_prediction_create model=black-forest-labs/flux-dev \
             operation=text_to_image \
             accepted=no state=Failed reason=invalid_input",
        ),
        (
            "POST",
            "https://api.replicate.com/v1/deployments/acme/clips/predictions",
            201,
            "submit replicate/deployment_prediction_create model=deployments/acme/clips accepted=yes",
        ),
        (
            "GET",
            "https://api.replicate.com/v1/predictions/cqme4chsxca2pz2x3a353r0kce",
            200,
            "poll replicate/prediction_get task=cqme4chsxca2pz2x3a353r0kce",
        ),
        (
            "GET",
            "https://api.replicate.com/v1/predictions/cqme4chsxca2pz2x3a353r0kce",
            404,
            "poll replicate/prediction_get task=cqme4chsxca2pz2x3a353r0kce state=NotReady",
        ),
        (
            "POST",
            "https://api.replicate.com/v1/predictions/cqme4chsxca2pz2x3a353r0kce/cancel",
            200,
            "cancel replicate/prediction_cancel task=cqme4chsxca2pz2x3a353r0kce state=Canceled",
        ),
        ("GET", "https://api.replicate.com/v1/predictions", 200, "nothing"),
        ("GET", "https://api.replicate.com/v1/models/stability-ai/sdxl/versions/39ed", 200, "nothing"),
        (
            "GET",
            "https://replicate.delivery/xezq/a/tmp.mp4",
            200,
            "download replicate/download state=Succeeded",
        ),
        ("GET", "https://pb.replicate.delivery/x.mp4", 404, "download replicate/download"),
    ]);
}

#[test]
fn runway() {
    let submit = "submit runway/image_to_video operation=image_to_video";
    let (taken, shed, broken) = (
        format!("{submit} accepted=yes"),
        format!("{submit} accepted=no state=Failed reason=capacity"),
        format!("{submit} accepted=ambiguous"),
    );
    check(&[
        ("POST", "https://api.dev.runwayml.com/v1/image_to_video", 200, &taken),
        // Documented as load shedding.
        ("POST", "https://api.dev.runwayml.com/v1/image_to_video", 503, &shed),
        ("POST", "https://api.dev.runwayml.com/v1/image_to_video", 500, &broken),
        ("GET", "https://api.dev.runwayml.com/v1/tasks/UUID", 200, "poll runway/task_get task=UUID"),
        (
            "DELETE",
            "https://api.dev.runwayml.com/v1/tasks/UUID",
            204,
            "cancel runway/task_delete task=UUID state=Canceled",
        ),
        ("POST", "https://api.dev.runwayml.com/v1/uploads", 200, "nothing"),
        (
            "GET",
            "https://dnznrvs05pmza.cloudfront.net/a.mp4?_jwt=x",
            200,
            "download runway/download state=Succeeded",
        ),
        // Somebody else's files.
        ("GET", "https://d111111abcdef8.cloudfront.net/a.mp4", 200, "nothing"),
    ]);
}

#[test]
fn luma() {
    check(&[
        (
            "POST",
            "https://api.lumalabs.ai/dream-machine/v1/generations/video",
            201,
            "submit luma/video_create operation=video_generation accepted=yes",
        ),
        (
            "POST",
            "https://api.lumalabs.ai/dream-machine/v1/generations/image",
            400,
            "submit luma/image_create operation=image_generation accepted=no state=Failed \
             reason=invalid_input",
        ),
        // The id is the parent's: a new job.
        (
            "POST",
            "https://api.lumalabs.ai/dream-machine/v1/generations/UUID/upscale",
            201,
            "submit luma/upscale parent=UUID operation=upscale accepted=yes",
        ),
        (
            "POST",
            "https://api.lumalabs.ai/dream-machine/v1/generations/video/modify",
            201,
            "submit luma/video_modify operation=video_to_video accepted=yes",
        ),
        (
            "GET",
            "https://api.lumalabs.ai/dream-machine/v1/generations/UUID",
            200,
            "poll luma/generation_get task=UUID",
        ),
        ("GET", "https://api.lumalabs.ai/dream-machine/v1/credits", 200, "nothing"),
        (
            "GET",
            "https://storage.cdn-luma.com/dream_machine/x/result.mp4",
            200,
            "download luma/download state=Succeeded",
        ),
    ]);
}

#[test]
fn openai() {
    check(&[
        (
            "POST",
            "https://api.openai.com/v1/videos",
            200,
            "submit openai/video_create operation=video_generation accepted=yes",
        ),
        (
            "POST",
            "https://api.openai.com/v1/videos/video_0b18/remix",
            200,
            "submit openai/video_remix parent=video_0b18 operation=video_to_video accepted=yes",
        ),
        ("GET", "https://api.openai.com/v1/videos/video_0b18", 200, "poll openai/video_get task=video_0b18"),
        (
            "GET",
            "https://api.openai.com/v1/videos/video_0b18/content",
            200,
            "result openai/video_content task=video_0b18 state=Succeeded",
        ),
        (
            "DELETE",
            "https://api.openai.com/v1/videos/video_0b18",
            200,
            "cancel openai/video_delete task=video_0b18 state=Canceled",
        ),
        (
            "POST",
            "https://api.openai.com/v1/images/generations",
            200,
            "sync openai/image_create operation=text_to_image accepted=yes state=Succeeded",
        ),
        (
            "POST",
            "https://api.openai.com/v1/audio/transcriptions",
            200,
            "sync openai/transcription operation=speech_to_text leg=speech_to_text accepted=yes \
             state=Succeeded",
        ),
        (
            "POST",
            "https://api.openai.com/v1/chat/completions",
            200,
            "sync openai/chat operation=chat leg=language_model accepted=yes state=Succeeded",
        ),
        (
            "POST",
            "https://api.openai.com/v1/audio/speech",
            503,
            "sync openai/speech operation=text_to_speech leg=text_to_speech accepted=ambiguous",
        ),
        ("GET", "https://api.openai.com/v1/models", 200, "nothing"),
    ]);
}

#[test]
fn elevenlabs() {
    check(&[
        (
            "POST",
            "https://api.elevenlabs.io/v1/text-to-speech/JBFqnCBsd6RMkjVDRZzb/stream?output_format=mp3",
            200,
            "sync elevenlabs/text_to_speech operation=text_to_speech leg=text_to_speech accepted=yes \
             state=Succeeded",
        ),
        (
            "POST",
            "https://api.elevenlabs.io/v1/dubbing",
            200,
            "submit elevenlabs/dubbing_create operation=dubbing accepted=yes",
        ),
        ("GET", "https://api.elevenlabs.io/v1/dubbing/dub_1", 200, "poll elevenlabs/dubbing_get task=dub_1"),
        (
            "GET",
            "https://api.elevenlabs.io/v1/dubbing/dub_1/audio/de",
            200,
            "result elevenlabs/dubbing_audio task=dub_1 state=Succeeded",
        ),
        ("GET", "https://api.elevenlabs.io/v1/voices", 200, "nothing"),
    ]);
}

#[test]
fn other_traffic_is_nothing() {
    check(&[
        ("GET", "https://billing.acme-studio.test/v1/jobs/811150/status", 200, "nothing"),
        ("GET", "http://127.0.0.1:8000/v1/predictions/x", 200, "nothing"),
        ("GET", "https://notreplicate.delivery/x", 200, "nothing"),
        ("GET", "https://evil-api.openai.com.example/v1/videos/x", 200, "nothing"),
        ("OPTIONS", "https://api.openai.com/v1/videos", 200, "nothing"),
    ]);
}

/// The attributes of a submit to Runway, with others.
fn submit(recogniser: &Recogniser, extra: &[(&str, Value<'static>)]) -> Call {
    let mut attributes = vec![
        ("http.request.method", Value::Text("POST")),
        ("url.full", Value::Text("https://api.dev.runwayml.com/v1/image_to_video")),
    ];
    attributes.extend_from_slice(extra);
    call(recogniser, &span(recogniser, SpanKind::Client, "POST", &attributes))
}

#[test]
fn headers_and_marks_in_both_spellings() {
    let recogniser = builtin();
    for key in [
        "http.request.header.x_stainless_retry_count",
        "http.request.header.x-stainless-retry-count",
        "http.request.resend_count",
    ] {
        assert_eq!(submit(&recogniser, &[(key, Value::Text("2"))]).resend, Some(2), "{key}");
    }
    assert_eq!(submit(&recogniser, &[("http.request.resend_count", Value::Int(1))]).resend, Some(1));
    assert_eq!(submit(&recogniser, &[]).resend, None);
    for key in ["http.response.header.x_fal_request_id", "http.response.header.x-fal-request-id"] {
        let attributes = [
            ("http.request.method", Value::Text("POST")),
            ("url.full", Value::Text("https://queue.fal.run/fal-ai/flux/dev")),
            (key, Value::Text(UUID)),
            ("http.response.header.x-fal-billable-units", Value::Text("3.14159265")),
        ];
        let call = call(&recogniser, &span(&recogniser, SpanKind::Client, "POST", &attributes));
        assert_eq!(call.task, Some(TaskId::new(UUID)), "{key}");
        let units = FactValue::Number(Decimal::new(314_159_265, 8));
        assert_eq!((&*call.facts[0].name, &call.facts[0].value), ("billable_units", &units));
        assert_eq!(call.facts[0].source, FactSource::Reported);
    }
}

/// No built-in provider documents that it honours the key: equal keys are one wish, not one task.
#[test]
fn an_idempotency_key_that_is_not_honoured_ties_attempts_only() {
    let recogniser = builtin();
    let call = submit(&recogniser, &[("http.request.header.idempotency_key", Value::Text("k1"))]);
    assert_eq!(call.correlations, [Correlation { kind: CorrelationKind::Job, value: "k1".into() }]);
}

#[test]
fn our_own_attributes_on_a_call() {
    let recogniser = builtin();
    let call = submit(
        &recogniser,
        &[
            ("http.response.status_code", Value::Int(200)),
            ("spantally.task.id", Value::Text("t-1")),
            ("spantally.job.id", Value::Text("j-1")),
            ("spantally.task.error", Value::Text("SAFETY.INPUT.TEXT")),
            ("spantally.seconds", Value::Double(5.1)),
            ("not.named.by.any.rule", Value::Text("a prompt")),
        ],
    );
    assert_eq!(
        line(&call),
        "submit runway/image_to_video task=t-1 operation=image_to_video accepted=yes state=Rejected \
         reason=moderation_input"
    );
    assert_eq!(call.correlations[0].value, "j-1".into());
    assert_eq!(call.facts[0].value, FactValue::Number(Decimal::new(51, 1)));
}

#[test]
fn agents_tell_clients_apart_by_scope_user_agent_and_poll_query() {
    let recogniser = builtin();
    let agent = |scope: &'static str, url: &'static str, agent: &'static str| {
        let mut span = span(
            &recogniser,
            SpanKind::Client,
            "GET",
            &[
                ("http.request.method", Value::Text("GET")),
                ("url.full", Value::Text(url)),
                ("user_agent.original", Value::Text(agent)),
            ],
        );
        span.scope = scope;
        call(&recogniser, &span).agent
    };
    let python = "https://queue.fal.run/fal-ai/flux/requests/1/status?logs=false";
    let node = "https://queue.fal.run/fal-ai/flux/requests/2/status?logs=0";
    let other = "https://queue.fal.run/fal-ai/flux/requests/3/status?logs=false";
    assert_eq!(agent("httpx", python, ""), agent("httpx", other, ""));
    assert_ne!(agent("httpx", python, ""), agent("httpx", node, ""));
    assert_ne!(agent("httpx", python, ""), agent("requests", python, ""));
    assert_ne!(agent("httpx", python, ""), agent("httpx", python, "fal-client/1.0"));
}

#[test]
fn an_endpoint_is_shared() {
    let recogniser = builtin();
    let mut cache = EndpointCache::default();
    let client = Arc::new(Client::default());
    let mut endpoint = |url: &str| {
        let attributes = [("http.method", Value::Text("GET")), ("http.url", Value::Text(url))];
        let span = span(&recogniser, SpanKind::Client, "GET", &attributes);
        match recogniser.recognise(&span, &client, &mut cache).unwrap().what {
            What::Call(call) => call.endpoint,
            What::Frame(frame) => panic!("{frame:?}"),
        }
    };
    let one = endpoint("https://queue.fal.run/fal-ai/flux/requests/1/status");
    let two = endpoint("https://queue.fal.run/fal-ai/flux/requests/2/status");
    assert!(Arc::ptr_eq(&one, &two));
    assert!(one.needs_result);
    let three = endpoint("https://queue.fal.run/fal-ai/wan/requests/2/status");
    assert!(!Arc::ptr_eq(&one, &three));
}

#[test]
fn an_answer_without_a_status_says_whether_the_request_went_out() {
    let recogniser = builtin();
    let text = Value::Text;
    let table: [(&[(&str, Value<'static>)], &str, &str, Answer); 22] = [
        (&[], "", "", Answer::Missing),
        (
            &[("error.type", text("ReadTimeout"))],
            "ReadTimeout: The read operation timed out",
            "httpx.ReadTimeout",
            Answer::TimedOut,
        ),
        (&[], "ReadTimeout: ", "httpx2.ReadTimeout", Answer::TimedOut),
        (&[], "", "requests.exceptions.ReadTimeout", Answer::TimedOut),
        (&[], "", "TimeoutError", Answer::TimedOut),
        (
            &[("error.type", Value::Int(23))],
            "The operation was aborted due to timeout",
            "23",
            Answer::TimedOut,
        ),
        (&[("error.type", text("AbortError"))], "", "", Answer::TimedOut),
        (&[("error.type", text("timeout"))], "", "", Answer::TimedOut),
        (&[], "Post \"https://x\": context deadline exceeded", "", Answer::TimedOut),
        (&[], "", "java.net.SocketTimeoutException", Answer::TimedOut),
        (&[("error.type", text("Error"))], "socket hang up", "", Answer::Reset),
        (&[], "", "httpx.RemoteProtocolError", Answer::Reset),
        (&[("error.type", text("ECONNRESET"))], "", "", Answer::Reset),
        (
            &[],
            "('Connection aborted.', ConnectionResetError(104))",
            "requests.exceptions.ConnectionError",
            Answer::Reset,
        ),
        (&[], "[Errno 111] Connection refused", "requests.exceptions.ConnectionError", Answer::NotSent),
        (&[], "", "httpx.ConnectTimeout", Answer::NotSent),
        (&[], "", "httpx.ConnectError", Answer::NotSent),
        (&[("error.type", text("ECONNREFUSED"))], "", "", Answer::NotSent),
        (&[], "", "socket.gaierror", Answer::NotSent),
        (&[], "", "aiohttp.client_exceptions.ClientConnectorError", Answer::NotSent),
        (&[("error.type", text("429"))], "", "", Answer::Status(429)),
        (&[("http.response.status_code", text("503"))], "", "", Answer::Status(503)),
    ];
    for (extra, message, exception, expected) in table {
        let mut attributes = vec![
            ("http.request.method", text("POST")),
            ("url.full", text("https://api.dev.runwayml.com/v1/image_to_video")),
        ];
        attributes.extend_from_slice(extra);
        let mut span = span(&recogniser, SpanKind::Client, "POST", &attributes);
        (span.status_message, span.exception, span.status) = (message, exception, SpanStatus::Error);
        assert_eq!(call(&recogniser, &span).answer, expected, "{extra:?} {message} {exception}");
    }
}
