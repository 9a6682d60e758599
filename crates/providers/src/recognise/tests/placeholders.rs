//! Values that an instrumentation or a Collector took out.

use super::*;

fn request(method: &'static str, url: &'static str, extra: &[(&str, Value<'static>)]) -> Call {
    let recogniser = builtin();
    let mut attributes = vec![("http.request.method", Value::Text(method)), ("url.full", Value::Text(url))];
    attributes.extend_from_slice(extra);
    call(&recogniser, &span(&recogniser, SpanKind::Client, method, &attributes))
}

/// What is the same for every task is the id of none: else all of them would be one.
#[test]
fn a_hidden_id_is_none() {
    for (url, expected) in [
        ("https://api.minimax.io/v1/query/video_generation?task_id=Redacted", "poll minimax/video_get_v1"),
        ("https://api.bfl.ai/v1/get_result?id=REDACTED", "poll bfl/result_get"),
        ("https://api.heygen.com/v1/video_status.get?video_id=***", "poll heygen/video_status"),
        ("https://api.dev.runwayml.com/v1/tasks/*", "poll runway/task_get"),
        ("https://api.dev.runwayml.com/v1/tasks/%7Bid%7D", "poll runway/task_get"),
    ] {
        let found = line(&request("GET", url, &[]));
        assert_eq!(found, expected, "{url}");
    }
    let hidden =
        [("gen_ai.response.id", Value::Text("[REDACTED]")), ("spantally.job.id", Value::Text("None"))];
    let call = request("GET", "https://api.bfl.ai/v1/get_result?id=Redacted", &hidden);
    assert_eq!((call.task, &*call.rare.correlations), (None, &[] as &[Correlation]));
}

#[test]
fn a_hidden_model_is_none() {
    for (url, model, expected) in [
        ("https://api.stability.ai/v2beta/stable-image/generate/*", "REDACTED", ""),
        ("https://api.openai.com/v1/videos", "*", ""),
        ("https://api.openai.com/v1/videos", "sora-2", "sora-2"),
    ] {
        let call = request("POST", url, &[("gen_ai.request.model", Value::Text(model))]);
        assert_eq!(&*call.endpoint.model, expected, "{url} {model}");
    }
}

/// That there is a callback is known all the same; which, and for which order, is not.
#[test]
fn a_hidden_callback_is_one_of_which_nothing_is_known() {
    let call = request("POST", "https://queue.fal.run/fal-ai/flux/dev?fal_webhook=Redacted", &[]);
    assert_eq!(call.rare.callback.as_deref(), Some(""));
    assert_eq!(call.rare.correlations, []);
    let shown =
        "https://queue.fal.run/fal-ai/flux/dev?fal_webhook=https%3A%2F%2Fme%2Fhooks%2Ffal%3Forder%3DREDACTED";
    let call = request("POST", shown, &[]);
    assert_eq!(call.rare.correlations, []);
    assert!(call.rare.callback.as_deref().is_some_and(|place| place.len() == 16));
}
