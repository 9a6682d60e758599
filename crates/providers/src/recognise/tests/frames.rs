//! Spans above calls, in the dialects of the field.

use rust_decimal::Decimal;
use spantally_stitch::{Accepted, Answer, FactValue, FailureReason, Role, TaskState};

use super::*;
use Value::Text;

const STATUS: &str = "app.generation.status";

#[test]
fn kinds() {
    let recogniser = builtin();
    let table: [(SpanKind, &str, Attributes, Option<FrameKind>); 14] = [
        (SpanKind::Server, "POST /api/generations", &[], Some(FrameKind::Server)),
        (SpanKind::Consumer, "worker.check", &[], Some(FrameKind::Consumer)),
        (SpanKind::Internal, "generation.attempt", &[], Some(FrameKind::Internal)),
        (SpanKind::Producer, "enqueue", &[], Some(FrameKind::Internal)),
        (SpanKind::Client, "SELECT", &[], None),
        (
            SpanKind::Internal,
            "generate_content ray-2",
            &[("gen_ai.operation.name", Text("generate_content"))],
            Some(FrameKind::Operation),
        ),
        (SpanKind::Client, "chat gpt", &[("gen_ai.operation.name", Text("chat"))], Some(FrameKind::Chat)),
        (SpanKind::Client, "openai.chat", &[("llm.request.type", Text("chat"))], Some(FrameKind::Chat)),
        (SpanKind::Internal, "LLM", &[("openinference.span.kind", Text("LLM"))], Some(FrameKind::Chat)),
        (
            SpanKind::Client,
            "replicate.run",
            &[("gen_ai.system", Text("Replicate"))],
            Some(FrameKind::Wrapper),
        ),
        (
            SpanKind::Client,
            "video.retrieve sora-2",
            &[("gen_ai.operation.name", Text("video"))],
            Some(FrameKind::Wrapper),
        ),
        (
            SpanKind::Internal,
            "voice.session",
            &[("gen_ai.conversation.id", Text("conv_1"))],
            Some(FrameKind::Session),
        ),
        (
            SpanKind::Internal,
            "invoke_agent",
            &[("gen_ai.operation.name", Text("invoke_agent"))],
            Some(FrameKind::Internal),
        ),
        (
            SpanKind::Client,
            "dialect of tomorrow",
            &[("gen_ai.provider.name", Text("fal")), ("gen_ai.request.model", Text("m"))],
            Some(FrameKind::Chat),
        ),
    ];
    for (kind, name, attributes, expected) in table {
        let found = match what(&recogniser, &span(&recogniser, kind, name, attributes)) {
            Some(What::Frame(frame)) => {
                // Other names are what an application likes: a prompt, for example.
                let kept = ["replicate.run", "voice.session"].contains(&name);
                assert_eq!(&*frame.rare.name, if kept { name } else { "" });
                Some(frame.kind)
            }
            Some(What::Call(call)) => panic!("{name}: {call:?}"),
            None => None,
        };
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_generation_with_everything_an_application_may_say() {
    let recogniser = builtin();
    let frame = frame(
        &recogniser,
        &span(
            &recogniser,
            SpanKind::Internal,
            "generate_content fal-ai/recraft-v3",
            &[
                ("gen_ai.operation.name", Text("generate_content")),
                ("gen_ai.provider.name", Text("fal_ai")),
                ("gen_ai.request.model", Text("fal-ai/recraft-v3")),
                ("gen_ai.output.type", Text("image")),
                ("gen_ai.request.choice.count", Value::Int(2)),
                ("app.generation.resolution", Text("landscape_16_9")),
                ("gen_ai.response.id", Text("r-1")),
                ("app.generation.job_id", Text("j-1")),
                ("app.generation.status", Text("succeeded")),
            ],
        ),
    );
    assert_eq!((&*frame.rare.provider, &*frame.rare.model), ("fal", "fal-ai/recraft-v3"));
    assert_eq!(&*frame.rare.operation, "image_generation");
    assert_eq!(frame.rare.task, Some(TaskId::new("r-1")));
    assert_eq!(frame.rare.correlations, [Correlation { kind: CorrelationKind::Job, value: "j-1".into() }]);
    assert_eq!(frame.verdict, Some(Verdict { state: TaskState::Succeeded, reason: None }));
    let facts: Vec<_> = frame.rare.facts.iter().map(|fact| (&*fact.name, &fact.value)).collect();
    let two = FactValue::Number(Decimal::TWO);
    assert_eq!(facts, [("resolution", &FactValue::Text("landscape_16_9".into())), ("images", &two)]);
}

#[test]
fn how_a_generation_ended() {
    let recogniser = builtin();
    let (failed, rejected, errored) = (TaskState::Failed, TaskState::Rejected, TaskState::Errored);
    let table: [(Attributes, End); 11] = [
        (&[], None),
        (&[(STATUS, Text("succeeded"))], Some((TaskState::Succeeded, None))),
        (&[(STATUS, Text("abandoned"))], Some((TaskState::Running, None))),
        (&[(STATUS, Text("rejected"))], Some((rejected, Some(FailureReason::Unknown)))),
        (
            &[(STATUS, Text("rejected")), ("error.type", Text("422"))],
            Some((rejected, Some(FailureReason::InvalidInput))),
        ),
        (&[(STATUS, Text("failed"))], Some((failed, Some(FailureReason::Unknown)))),
        (
            &[(STATUS, Text("failed")), ("error.type", Text("moderated"))],
            Some((rejected, Some(FailureReason::ModerationOutput))),
        ),
        (
            &[(STATUS, Text("failed")), ("error.type", Text("422"))],
            Some((failed, Some(FailureReason::InvalidInput))),
        ),
        (&[("error.type", Text("httpx.ReadTimeout"))], Some((errored, Some(FailureReason::ClientTimeout)))),
        (&[("gen_ai.usage.output_tokens", Value::Int(9))], Some((TaskState::Succeeded, None))),
        (
            &[("gen_ai.response.finish_reasons", Text("content_filter"))],
            Some((rejected, Some(FailureReason::ModerationOutput))),
        ),
    ];
    for (extra, expected) in table {
        let mut attributes = vec![("gen_ai.operation.name", Text("generate_content"))];
        attributes.extend_from_slice(extra);
        let frame =
            frame(&recogniser, &span(&recogniser, SpanKind::Internal, "generate_content", &attributes));
        assert_eq!(frame.verdict.map(|verdict| (verdict.state, verdict.reason)), expected, "{extra:?}");
    }
}

/// fal's COMPLETED is an end, not a success; another provider's is a success.
#[test]
fn a_provider_s_own_words_come_first() {
    let recogniser = builtin();
    for (provider, word, state) in [
        ("fal", "COMPLETED", TaskState::Ended),
        ("luma", "completed", TaskState::Succeeded),
        ("replicate", "aborted", TaskState::CanceledQueued),
        ("runway", "THROTTLED", TaskState::Running),
    ] {
        let attributes = [
            ("gen_ai.operation.name", Text("text_to_video")),
            ("gen_ai.provider.name", Text(provider)),
            ("gen_ai.response.status", Text(word)),
        ];
        let frame = frame(&recogniser, &span(&recogniser, SpanKind::Internal, "x", &attributes));
        assert_eq!(frame.verdict.map(|verdict| verdict.state), Some(state), "{provider} {word}");
    }
}

#[test]
fn token_counts_in_three_dialects_are_one_fact() {
    let recogniser = builtin();
    for keys in [
        ["gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"],
        ["gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens"],
        ["llm.token_count.prompt", "llm.token_count.completion"],
    ] {
        let attributes = [(keys[0], Value::Int(7)), (keys[1], Value::Int(11))];
        let span = span(&recogniser, SpanKind::Client, "chat", &attributes);
        let facts = recogniser.facts(&span, None, &mut EndpointCache::default());
        let read: Vec<_> = facts.iter().map(|fact| (&*fact.name, &fact.value)).collect();
        let number = |n: i64| FactValue::Number(n.into());
        assert_eq!(read, [("input_tokens", &number(7)), ("output_tokens", &number(11))], "{keys:?}");
    }
}

/// What a price depends on may be told on a span of the application's own, which names no provider.
#[test]
fn every_fact_of_ours_is_read_on_any_span() {
    let recogniser = builtin();
    let names = crate::FACT_NAMES.iter().filter(|name| !matches!(**name, "cost_usd" | "error_code"));
    for name in names {
        let key = format!("spantally.{name}");
        let frame =
            frame(&recogniser, &span(&recogniser, SpanKind::Internal, "make", &[(&key, Value::Int(7))]));
        let read: Vec<_> = frame.rare.facts.iter().map(|fact| (&*fact.name, &fact.value)).collect();
        assert_eq!(read, [(*name, &FactValue::Number(7.into()))]);
    }
    let keys = [
        ("gen_ai.usage.cost.amount", Value::Double(0.25)),
        ("gen_ai.usage.cost.source", Text("provider")),
        ("gen_ai.usage.cost.currency", Text("USD")),
        ("spantally.task.error", Text("SAFETY.INPUT.TEXT")),
    ];
    let frame = frame(&recogniser, &span(&recogniser, SpanKind::Internal, "make", &keys));
    let read: Vec<_> = frame.rare.facts.iter().map(|fact| &*fact.name).collect();
    assert_eq!(read, ["error_code", "cost_usd"]);
}

/// OpenLIT writes the clock of an image answer where the id belongs.
#[test]
fn a_clock_is_no_id() {
    let recogniser = builtin();
    for (operation, id, kept) in
        [("image", "1763676000", false), ("chat", "1763676000", true), ("image", "r-1", true)]
    {
        let attributes = [("gen_ai.operation.name", Text(operation)), ("gen_ai.response.id", Text(id))];
        let frame = frame(&recogniser, &span(&recogniser, SpanKind::Client, "x", &attributes));
        assert_eq!(frame.rare.task.is_some(), kept, "{operation} {id}");
    }
}

#[test]
fn configured_attributes() {
    let extra = CorrelationConfig {
        job_attributes: vec!["studio.render_id".into()],
        task_attributes: vec!["studio.provider_id".into()],
        status_attributes: vec!["studio.state".into()],
        ..CorrelationConfig::default()
    };
    let recogniser = recogniser(&extra);
    let attributes = [
        ("studio.render_id", Value::Int(77)),
        ("studio.provider_id", Text("t-1")),
        ("studio.state", Text("failed")),
    ];
    let frame = frame(&recogniser, &span(&recogniser, SpanKind::Internal, "render", &attributes));
    assert_eq!(frame.rare.correlations, [Correlation { kind: CorrelationKind::Job, value: "77".into() }]);
    assert_eq!(frame.rare.task, Some(TaskId::new("t-1")));
    assert_eq!(frame.verdict.map(|verdict| verdict.state), Some(TaskState::Failed));
}

/// The call for which a span stands: its name, its role, how it ended, whether it was taken.
type StandIn = Option<(&'static str, Role, Answer, Accepted)>;

/// What GenAI spans are where no request is seen: the call of the provider's file, its role, how it ended.
#[test]
fn stand_ins() {
    const ERROR: (&str, Value<'_>) = ("error.type", Text("openai.RateLimitError"));
    const OPENAI: (&str, Value<'_>) = ("gen_ai.provider.name", Text("openai"));
    const VIDEO: (&str, Value<'_>) = ("gen_ai.operation.name", Text("video"));
    const QUEUED: (&str, Value<'_>) = ("gen_ai.response.status", Text("queued"));
    const CLIP: (&str, Value<'_>) = ("gen_ai.operation.name", Text("text_to_video"));
    const REJECTED: (&str, Value<'_>) = (STATUS, Text("rejected"));
    const ABANDONED: (&str, Value<'_>) = (STATUS, Text("abandoned"));
    const SHELVED: (&str, Value<'_>) = (STATUS, Text("shelved"));
    let (recogniser, fine) = (builtin(), Answer::Status(200));
    let table: [(&str, Attributes, StandIn); 12] = [
        (
            "video.create sora-2",
            &[OPENAI, VIDEO, QUEUED],
            Some(("video_create", Role::Submit, fine, Accepted::Yes)),
        ),
        (
            "video.retrieve sora-2",
            &[OPENAI, VIDEO, QUEUED],
            Some(("video_get", Role::Poll, fine, Accepted::Yes)),
        ),
        // Which of OpenAI's video requests it was, nothing says.
        ("video sora-2", &[OPENAI, VIDEO], None),
        ("clip", &[OPENAI, CLIP], Some(("video_create", Role::Sync, fine, Accepted::Yes))),
        // The work goes on when the span has ended.
        ("clip", &[OPENAI, CLIP, QUEUED], Some(("video_create", Role::Submit, fine, Accepted::Yes))),
        (
            "clip",
            &[OPENAI, CLIP, ERROR],
            Some(("video_create", Role::Sync, Answer::Status(429), Accepted::No)),
        ),
        // What an application says in its own words is no silent success.
        ("clip", &[OPENAI, CLIP, REJECTED], Some(("video_create", Role::Sync, fine, Accepted::Yes))),
        ("clip", &[OPENAI, CLIP, ABANDONED], Some(("video_create", Role::Submit, fine, Accepted::Yes))),
        (
            "clip",
            &[OPENAI, CLIP, SHELVED],
            Some(("video_create", Role::Sync, Answer::Missing, Accepted::Ambiguous)),
        ),
        ("clip", &[("gen_ai.provider.name", Text("nobody")), CLIP], None),
        ("clip", &[CLIP], None),
        (
            "replicate.run",
            &[("gen_ai.system", Text("Replicate"))],
            Some(("prediction_create", Role::Sync, fine, Accepted::Yes)),
        ),
    ];
    for (name, attributes, expected) in table {
        let frame = frame(&recogniser, &span(&recogniser, SpanKind::Client, name, attributes));
        let call = frame.rare.call.as_deref();
        assert!(call.is_none_or(|call| call.rare.stands_in), "{name} {attributes:?}");
        let found = call.map(|call| (&*call.endpoint.rule, call.role, call.answer, call.accepted));
        assert_eq!(found, expected, "{name} {attributes:?}");
    }
}

/// What a span of some dialect says, and the provider and call that it stands for.
type Dialect = (Vec<(&'static str, Value<'static>)>, Option<&'static str>);

/// Dialects that name no operation, or in words of their own: what instrumentations of a model's caller write
/// where no request is seen.
#[test]
fn stand_ins_of_further_dialects() {
    let (recogniser, model) = (builtin(), ("gen_ai.request.model", Text("m-1")));
    let litellm = |word| ("llm.request.type", Text(word));
    let system = |name| ("gen_ai.system", Text(name));
    let openinference =
        |name| vec![("openinference.span.kind", Text("LLM")), ("llm.provider", Text(name)), model];
    let table: Vec<Dialect> = vec![
        // LiteLLM
        (vec![litellm("aimage_generation"), system("openai"), model], Some("openai/image_create")),
        (vec![litellm("aimage_edit"), system("openai"), model], Some("openai/image_edit")),
        (vec![litellm("aspeech"), system("openai"), model], Some("openai/speech")),
        (vec![litellm("atranscription"), system("openai"), model], Some("openai/transcription")),
        (vec![litellm("avideo_generation"), system("openai"), model], Some("openai/video_create")),
        (vec![litellm("acompletion"), system("openai"), model], Some("openai/chat")),
        (vec![litellm("aimage_generation"), system("vertex_ai"), model], Some("google/image_create")),
        // A model that stands in several segments of a path where there is one.
        (vec![litellm("aimage_generation"), system("fal_ai"), model], Some("fal/queue_submit")),
        // OpenInference
        (openinference("openai"), Some("openai/chat")),
        (openinference("azure"), Some("azure_openai/chat")),
        (openinference("google"), Some("google/generate_content")),
        (vec![("openinference.span.kind", Text("EMBEDDING")), ("llm.provider", Text("openai")), model], None),
        // Vercel's AI SDK
        (vec![system("openai.chat"), model], Some("openai/chat")),
        (vec![system("azure-openai.chat"), model], Some("azure_openai/chat")),
        (vec![system("google.generative-ai"), model], Some("google/generate_content")),
        (vec![system("google.vertex.chat"), model], Some("google/generate_content")),
        (vec![system("nobody.chat"), model], None),
    ];
    for (attributes, expected) in table {
        let frame = frame(&recogniser, &span(&recogniser, SpanKind::Internal, "x", &attributes));
        let call = frame.rare.call.as_deref();
        let found = call.map(|call| format!("{}/{}", call.endpoint.provider, call.endpoint.rule));
        assert_eq!(found.as_deref(), expected, "{attributes:?}");
        assert!(call.is_none_or(|call| &*call.endpoint.model == "m-1"), "{attributes:?}");
    }
}
