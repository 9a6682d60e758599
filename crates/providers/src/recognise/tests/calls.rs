//! One request a line, what it is taken for in the last column.

use rust_decimal::Decimal;
use spantally_stitch::{Answer, FactSource, FactValue};

use super::*;

const UUID: &str = "78321ff1-ddfa-4582-bc75-06854bbf40ad";

/// Checks a request with the attributes of the stable conventions, and that the older ones and those of
/// undici give the same.
fn check(method: &str, url: &str, status: i64, expected: &str) {
    let recogniser = builtin();
    let (url, expected) = (url.replace("UUID", UUID), expected.replace("UUID", UUID));
    let target = Target::parse(&url);
    let spellings: [&[(&str, Value<'_>)]; 3] = [
        &[
            ("http.request.method", Value::Text(method)),
            ("url.full", Value::Text(&url)),
            ("server.address", Value::Text(target.host)),
            ("http.response.status_code", Value::Int(status)),
        ],
        &[
            ("http.method", Value::Text(method)),
            ("http.url", Value::Text(&url)),
            ("http.status_code", Value::Int(status)),
        ],
        &[
            ("http.request.method", Value::Text(method)),
            ("server.address", Value::Text(target.host)),
            ("url.path", Value::Text(target.path)),
            ("url.query", Value::Text(target.query)),
            ("http.response.status_code", Value::Int(status)),
        ],
    ];
    let mut requests = Vec::new();
    for attributes in spellings {
        match what(&recogniser, &span(&recogniser, SpanKind::Client, method, attributes)) {
            Some(What::Call(call)) => {
                assert_eq!(line(&call), expected, "{method} {url}");
                requests.push(call.request);
            }
            None => assert_eq!(expected, "nothing", "{method} {url}"),
            Some(What::Frame(frame)) => panic!("{method} {url}: {frame:?}"),
        }
    }
    requests.dedup();
    assert!(requests.len() <= 1, "equal requests have equal fingerprints: {method} {url}");
}

#[test]
fn every_provider_s_requests() {
    let mut rows = 0;
    for line in include_str!("calls.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (request, expected) = line.split_once(" -> ").unwrap();
        let mut words = request.split(' ');
        let mut word = || words.next().unwrap();
        check(word(), word(), word().parse().unwrap(), expected);
        rows += 1;
    }
    assert!(rows > 50, "{rows}");
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
        assert_eq!(submit(&recogniser, &[(key, Value::Text("2"))]).rare.resend, Some(2), "{key}");
    }
    assert_eq!(submit(&recogniser, &[("http.request.resend_count", Value::Int(1))]).rare.resend, Some(1));
    assert_eq!(submit(&recogniser, &[]).rare.resend, None);
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
        assert_eq!((&*call.rare.facts[0].name, &call.rare.facts[0].value), ("billable_units", &units));
        assert_eq!(call.rare.facts[0].source, FactSource::Reported);
    }
}

/// A request that the SDK sends to another host once more is the same request.
#[test]
fn a_request_to_a_backup_host_is_that_to_the_host_it_stands_in_for() {
    let recogniser = builtin();
    let request = |host: &str| {
        let url = format!("https://{host}/fal-ai/flux/dev");
        let attributes = [("http.request.method", Value::Text("POST")), ("url.full", Value::Text(&url))];
        let call = call(&recogniser, &span(&recogniser, SpanKind::Client, "POST", &attributes));
        (call.request, call.rare.resend)
    };
    let again = |host: &str| (request(host).0, Some(1));
    assert_eq!(request("queue.falrun.com"), again("queue.fal.run"));
    assert_eq!(request("falrun.com"), again("fal.run"));
    assert_eq!(request("fal.run").1, None);
    assert_ne!(request("fal.run"), request("queue.fal.run"));
}

/// No built-in provider documents that it honours the key: equal keys are one wish, not one task.
#[test]
fn an_idempotency_key_that_is_not_honoured_ties_attempts_only() {
    let recogniser = builtin();
    let call = submit(&recogniser, &[("http.request.header.idempotency_key", Value::Text("k1"))]);
    assert_eq!(call.rare.correlations, [Correlation { kind: CorrelationKind::Job, value: "k1".into() }]);
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
    assert_eq!(call.rare.correlations[0].value, "j-1".into());
    assert_eq!(call.rare.facts[0].value, FactValue::Number(Decimal::new(51, 1)));
}

#[test]
fn a_call_s_own_span_names_the_model_where_path_and_query_do_not() {
    const ASKED: (&str, Value<'static>) = ("gen_ai.request.model", Value::Text("sora-2-pro"));
    const ANSWERED: (&str, Value<'static>) = ("gen_ai.response.model", Value::Text("gpt-image-1"));
    const NOTHING: (&str, Value<'static>) = ("gen_ai.request.model", Value::Text(""));
    let recogniser = builtin();
    let table: [(&str, Attributes, &str); 8] = [
        ("https://api.openai.com/v1/videos", &[ASKED], "sora-2-pro"),
        ("https://api.openai.com/v1/images/generations", &[ASKED, ANSWERED], "gpt-image-1"),
        ("https://api.openai.com/v1/videos", &[NOTHING], ""),
        ("https://api.openai.com/v1/videos", &[], ""),
        ("https://queue.fal.run/fal-ai/flux/dev", &[ASKED], "fal-ai/flux/dev"),
        ("https://api.deepgram.com/v1/listen?model=nova-3", &[ASKED], "nova-3"),
        ("https://api.deepgram.com/v1/listen", &[ASKED], "sora-2-pro"),
        ("https://api.dev.runwayml.com/v1/recipes/product_ad", &[ASKED], "recipes/product_ad"),
    ];
    let (mut cache, client) = (EndpointCache::default(), Arc::new(Client::default()));
    for round in 0..2 {
        for (url, extra, model) in table {
            let mut attributes =
                vec![("http.request.method", Value::Text("POST")), ("url.full", Value::Text(url))];
            attributes.extend_from_slice(extra);
            let span = span(&recogniser, SpanKind::Client, "POST", &attributes);
            match recogniser.recognise(&span, &client, &mut cache).map(|evidence| evidence.what) {
                Some(What::Call(call)) => assert_eq!(&*call.endpoint.model, model, "{round} {url} {extra:?}"),
                other => panic!("not a call: {other:?}"),
            }
        }
    }
}

/// An application may know a task by the end of the name that its provider has for it.
#[test]
fn the_end_of_a_task_id_is_a_second_id() {
    let recogniser = builtin();
    let arn = "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aasync-invoke%2F";
    for (id, task, alias) in [
        ("zzcdef123456", "arn:aws:bedrock:us-east-1:1:async-invoke/zzcdef123456", Some("zzcdef123456")),
        ("", "arn:aws:bedrock:us-east-1:1:async-invoke/", None),
    ] {
        let url = format!("https://bedrock-runtime.us-east-1.amazonaws.com/async-invoke/{arn}{id}");
        let attributes = [("http.request.method", Value::Text("GET")), ("url.full", Value::Text(&url))];
        let call = call(&recogniser, &span(&recogniser, SpanKind::Client, "GET", &attributes));
        assert_eq!((call.task, call.rare.alias.clone()), (Some(TaskId::new(task)), alias.map(TaskId::new)));
    }
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
    let table: [(Attributes, &str, &str, Answer); 23] = [
        (&[], "", "", Answer::Missing),
        (
            &[("error.type", Value::Text("ReadTimeout"))],
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
        (&[("error.type", Value::Text("AbortError"))], "", "", Answer::TimedOut),
        (&[("error.type", Value::Text("timeout"))], "", "", Answer::TimedOut),
        (&[], "Post \"https://x\": context deadline exceeded", "", Answer::TimedOut),
        (&[], "", "java.net.SocketTimeoutException", Answer::TimedOut),
        (&[("error.type", Value::Text("Error"))], "socket hang up", "", Answer::Reset),
        (&[], "", "httpx.RemoteProtocolError", Answer::Reset),
        (&[("error.type", Value::Text("ECONNRESET"))], "", "", Answer::Reset),
        (
            &[],
            "('Connection aborted.', ConnectionResetError(104))",
            "requests.exceptions.ConnectionError",
            Answer::Reset,
        ),
        (&[], "[Errno 111] Connection refused", "requests.exceptions.ConnectionError", Answer::NotSent),
        (&[], "", "httpx.ConnectTimeout", Answer::NotSent),
        (&[], "", "httpx.ConnectError", Answer::NotSent),
        (&[("error.type", Value::Text("ECONNREFUSED"))], "", "", Answer::NotSent),
        (&[], "", "socket.gaierror", Answer::NotSent),
        (&[], "", "aiohttp.client_exceptions.ClientConnectorError", Answer::NotSent),
        (&[("error.type", Value::Text("429"))], "", "", Answer::Status(429)),
        (&[("http.response.status_code", Value::Text("503"))], "", "", Answer::Status(503)),
        (&[("http.status_code", Value::Double(200.0))], "", "", Answer::Status(200)),
    ];
    for (extra, message, exception, expected) in table {
        let mut attributes = vec![
            ("http.request.method", Value::Text("POST")),
            ("url.full", Value::Text("https://api.dev.runwayml.com/v1/image_to_video")),
        ];
        attributes.extend_from_slice(extra);
        let mut span = span(&recogniser, SpanKind::Client, "POST", &attributes);
        (span.status_message, span.exception, span.status) = (message, exception, SpanStatus::Error);
        assert_eq!(call(&recogniser, &span).answer, expected, "{extra:?} {message} {exception}");
    }
}

/// Silence is a time-out of those instrumentations alone that say whatever else there is to say.
#[test]
fn silence_is_no_failure() {
    let recogniser = builtin();
    for (scope, status, expected) in [
        ("next.js", SpanStatus::Unset, Answer::Missing),
        ("next.js", SpanStatus::Error, Answer::Missing),
        ("@opentelemetry/instrumentation-undici", SpanStatus::Unset, Answer::TimedOut),
        ("@opentelemetry/instrumentation-undici", SpanStatus::Error, Answer::Missing),
    ] {
        let attributes = [
            ("http.method", Value::Text("POST")),
            ("http.url", Value::Text("https://api.lumalabs.ai/dream-machine/v1/generations")),
        ];
        let mut span = span(&recogniser, SpanKind::Client, "POST", &attributes);
        (span.scope, span.status) = (scope, status);
        let call = call(&recogniser, &span);
        let told = (status == SpanStatus::Error).then_some(spantally_stitch::TaskState::Failed);
        assert_eq!((call.answer, call.verdict.map(|verdict| verdict.state)), (expected, told), "{scope}");
        assert_eq!(call.accepted, spantally_stitch::Accepted::Ambiguous);
    }
}

/// Errors in the words of further clients: error type, status message, exception and its message.
#[test]
fn errors_of_many_clients_say_whether_the_request_went_out() {
    use Answer::{NotSent, Reset, TimedOut};
    let recogniser = builtin();
    for (error, message, exception, exception_message, expected) in [
        // .NET
        ("connection_error", "", "", "", NotSent),
        ("name_resolution_error", "", "", "", NotSent),
        ("secure_connection_error", "", "", "", NotSent),
        ("System.Threading.Tasks.TaskCanceledException", "", "", "", TimedOut),
        ("response_ended", "", "", "", Reset),
        // Java
        ("java.net.http.HttpConnectTimeoutException", "", "", "HTTP connect timed out", NotSent),
        ("org.apache.http.conn.HttpHostConnectException", "", "", "", NotSent),
        ("org.apache.http.conn.ConnectTimeoutException", "", "", "", NotSent),
        ("io.netty.channel.AbstractChannel$AnnotatedConnectException", "", "", "", NotSent),
        ("io.netty.channel.ConnectTimeoutException", "", "", "", NotSent),
        ("io.netty.handler.timeout.ReadTimeoutException", "", "", "", TimedOut),
        (
            "java.net.SocketTimeoutException",
            "",
            "java.net.SocketTimeoutException",
            "Connect timed out",
            NotSent,
        ),
        (
            "java.net.SocketTimeoutException",
            "",
            "java.net.SocketTimeoutException",
            "Read timed out",
            TimedOut,
        ),
        ("", "", "java.io.InterruptedIOException", "timeout", TimedOut),
        ("", "", "java.io.IOException", "Connection reset by peer", Reset),
        // Go
        ("*net.OpError", "dial tcp: lookup api.example on 10.0.0.2:53: no such host", "", "", NotSent),
        ("*net.OpError", "dial tcp 34.1.2.3:443: i/o timeout", "", "", NotSent),
        ("*net.OpError", "read tcp 10.0.0.9:1->34.1.2.3:443: i/o timeout", "", "", TimedOut),
        ("net/http.tlsHandshakeTimeoutError", "net/http: TLS handshake timeout", "", "", NotSent),
        ("context.deadlineExceededError", "", "", "", TimedOut),
        ("*errors.errorString", "context canceled", "", "", TimedOut),
        ("*errors.errorString", "unexpected EOF", "", "", Reset),
        // Ruby, PHP
        ("Net::OpenTimeout", "Unhandled exception of type: Net::OpenTimeout", "", "", NotSent),
        ("Net::ReadTimeout", "Unhandled exception of type: Net::ReadTimeout", "", "", TimedOut),
        ("GuzzleHttp\\Exception\\ConnectException", "", "", "", NotSent),
        // Node
        ("", "Connect Timeout Error", "", "", NotSent),
    ] {
        let attributes = [
            ("http.request.method", Value::Text("POST")),
            ("url.full", Value::Text("https://api.lumalabs.ai/dream-machine/v1/generations")),
            ("error.type", Value::Text(error)),
        ];
        let mut span = span(&recogniser, SpanKind::Client, "POST", &attributes);
        (span.status, span.status_message) = (SpanStatus::Error, message);
        (span.exception, span.exception_message) = (exception, exception_message);
        assert_eq!(call(&recogniser, &span).answer, expected, "{error} {message} {exception_message}");
    }
}

#[test]
fn a_host_in_capitals_and_a_base_url_with_a_slash_of_its_own() {
    let recogniser = builtin();
    for url in ["https://API.OpenAI.com/v1/videos", "https://api.openai.com//v1//videos"] {
        let attributes = [("http.request.method", Value::Text("POST")), ("url.full", Value::Text(url))];
        let call = call(&recogniser, &span(&recogniser, SpanKind::Client, "POST", &attributes));
        assert_eq!(&*call.endpoint.rule, "video_create", "{url}");
    }
}
