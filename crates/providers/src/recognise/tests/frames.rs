//! Spans above calls, in the dialects of the field.

use rust_decimal::Decimal;
use spantally_stitch::{FactValue, FailureReason, TaskState};

use super::*;

const TEXT: fn(&'static str) -> Value<'static> = Value::Text;

#[test]
fn kinds() {
    let recogniser = builtin();
    let table: [(SpanKind, &str, &[(&str, Value<'static>)], Option<FrameKind>); 14] = [
        (SpanKind::Server, "POST /api/generations", &[], Some(FrameKind::Server)),
        (SpanKind::Consumer, "worker.check", &[], Some(FrameKind::Consumer)),
        (SpanKind::Internal, "generation.attempt", &[], Some(FrameKind::Internal)),
        (SpanKind::Producer, "enqueue", &[], Some(FrameKind::Internal)),
        (SpanKind::Client, "SELECT", &[], None),
        (
            SpanKind::Internal,
            "generate_content ray-2",
            &[("gen_ai.operation.name", TEXT("generate_content"))],
            Some(FrameKind::Operation),
        ),
        (SpanKind::Client, "chat gpt", &[("gen_ai.operation.name", TEXT("chat"))], Some(FrameKind::Chat)),
        (SpanKind::Client, "openai.chat", &[("llm.request.type", TEXT("chat"))], Some(FrameKind::Chat)),
        (SpanKind::Internal, "LLM", &[("openinference.span.kind", TEXT("LLM"))], Some(FrameKind::Chat)),
        (
            SpanKind::Client,
            "replicate.run",
            &[("gen_ai.system", TEXT("Replicate"))],
            Some(FrameKind::Wrapper),
        ),
        (
            SpanKind::Client,
            "video.retrieve sora-2",
            &[("gen_ai.operation.name", TEXT("video"))],
            Some(FrameKind::Wrapper),
        ),
        (
            SpanKind::Internal,
            "voice.session",
            &[("gen_ai.conversation.id", TEXT("conv_1"))],
            Some(FrameKind::Session),
        ),
        (
            SpanKind::Internal,
            "invoke_agent",
            &[("gen_ai.operation.name", TEXT("invoke_agent"))],
            Some(FrameKind::Internal),
        ),
        (
            SpanKind::Client,
            "dialect of tomorrow",
            &[("gen_ai.provider.name", TEXT("fal")), ("gen_ai.request.model", TEXT("m"))],
            Some(FrameKind::Chat),
        ),
    ];
    for (kind, name, attributes, expected) in table {
        let found = match what(&recogniser, &span(&recogniser, kind, name, attributes)) {
            Some(What::Frame(frame)) => {
                let kept =
                    !matches!(frame.kind, FrameKind::Server | FrameKind::Consumer | FrameKind::Internal);
                assert_eq!(&*frame.name, if kept { name } else { "" });
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
                ("gen_ai.operation.name", TEXT("generate_content")),
                ("gen_ai.provider.name", TEXT("fal_ai")),
                ("gen_ai.request.model", TEXT("fal-ai/recraft-v3")),
                ("gen_ai.output.type", TEXT("image")),
                ("gen_ai.request.choice.count", Value::Int(2)),
                ("app.generation.resolution", TEXT("landscape_16_9")),
                ("gen_ai.response.id", TEXT("r-1")),
                ("app.generation.job_id", TEXT("j-1")),
                ("app.generation.status", TEXT("succeeded")),
            ],
        ),
    );
    assert_eq!((&*frame.provider, &*frame.model), ("fal", "fal-ai/recraft-v3"));
    assert_eq!(&*frame.operation, "image_generation");
    assert_eq!(frame.task, Some(TaskId::new("r-1")));
    assert_eq!(frame.correlations, [Correlation { kind: CorrelationKind::Job, value: "j-1".into() }]);
    assert_eq!(frame.verdict, Some(Verdict { state: TaskState::Succeeded, reason: None }));
    let facts: Vec<_> = frame.facts.iter().map(|fact| (&*fact.name, &fact.value)).collect();
    let two = FactValue::Number(Decimal::TWO);
    assert_eq!(facts, [("resolution", &FactValue::Text("landscape_16_9".into())), ("images", &two)]);
}

#[test]
fn how_a_generation_ended() {
    let recogniser = builtin();
    let status = "app.generation.status";
    let (failed, rejected) = (TaskState::Failed, TaskState::Rejected);
    let table: [(&[(&str, Value<'static>)], Option<(TaskState, Option<FailureReason>)>); 9] = [
        (&[], None),
        (&[(status, TEXT("succeeded"))], Some((TaskState::Succeeded, None))),
        (&[(status, TEXT("abandoned"))], None),
        (&[(status, TEXT("failed"))], Some((failed, Some(FailureReason::Unknown)))),
        (
            &[(status, TEXT("failed")), ("error.type", TEXT("moderated"))],
            Some((rejected, Some(FailureReason::ModerationOutput))),
        ),
        (
            &[(status, TEXT("failed")), ("error.type", TEXT("422"))],
            Some((failed, Some(FailureReason::InvalidInput))),
        ),
        (&[("error.type", TEXT("httpx.ReadTimeout"))], Some((failed, Some(FailureReason::ClientTimeout)))),
        (&[("gen_ai.usage.output_tokens", Value::Int(9))], Some((TaskState::Succeeded, None))),
        (
            &[("gen_ai.response.finish_reasons", TEXT("content_filter"))],
            Some((rejected, Some(FailureReason::ModerationOutput))),
        ),
    ];
    for (extra, expected) in table {
        let mut attributes = vec![("gen_ai.operation.name", TEXT("generate_content"))];
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
            ("gen_ai.operation.name", TEXT("text_to_video")),
            ("gen_ai.provider.name", TEXT(provider)),
            ("gen_ai.response.status", TEXT(word)),
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

/// OpenLIT writes the clock of an image answer where the id belongs.
#[test]
fn a_clock_is_no_id() {
    let recogniser = builtin();
    for (operation, id, kept) in
        [("image", "1763676000", false), ("chat", "1763676000", true), ("image", "r-1", true)]
    {
        let attributes = [("gen_ai.operation.name", TEXT(operation)), ("gen_ai.response.id", TEXT(id))];
        let frame = frame(&recogniser, &span(&recogniser, SpanKind::Client, "x", &attributes));
        assert_eq!(frame.task.is_some(), kept, "{operation} {id}");
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
        ("studio.provider_id", TEXT("t-1")),
        ("studio.state", TEXT("failed")),
    ];
    let frame = frame(&recogniser, &span(&recogniser, SpanKind::Internal, "render", &attributes));
    assert_eq!(frame.correlations, [Correlation { kind: CorrelationKind::Job, value: "77".into() }]);
    assert_eq!(frame.task, Some(TaskId::new("t-1")));
    assert_eq!(frame.verdict.map(|verdict| verdict.state), Some(TaskState::Failed));
}
