//! Spans above calls: what an application or a GenAI instrumentation says of the work around them.
//!
//! No convention has an operation for image, video or speech jobs yet, and instrumentations invent their own
//! words; the tables below are what OpenTelemetry, OpenLLMetry, OpenLIT, OpenInference and xAI's SDK write.

use spantally_stitch::{FailureReason, Frame, FrameKind, FrameRare, Rare, TaskState, Verdict};

use crate::answer;
use crate::endpoint::EndpointCache;
use crate::facts;
use crate::keys;
use crate::recogniser::Recogniser;
use crate::span::{SpanKind, SpanView};
use crate::words::{self, Vocabulary};

/// Operation words of GenAI spans, and what kind of frame they make. Words that are not here (agents, tools,
/// workflows) hold other work, and are frames like any other.
const OPERATIONS: &[(&[&str], FrameKind)] = &[
    (
        &[
            "generate_content",
            "image_generation",
            "image_gen",
            "image",
            "video_generation",
            "audio_generation",
            "audio",
            "speech_generation",
            "speech",
            "text_to_speech",
            "speech_to_text",
            "transcription",
            "text_to_image",
            "image_to_image",
            "image_edit",
            "text_to_video",
            "image_to_video",
            "video_to_video",
            "generate_image",
            "generate_video",
            "extend_video",
            "text_to_audio",
            "text_to_music",
            "upscale",
        ],
        FrameKind::Operation,
    ),
    (
        &[
            "chat",
            "text_completion",
            "completion",
            "responses",
            "embeddings",
            "embedding",
            "rerank",
            "LLM",
            "EMBEDDING",
        ],
        FrameKind::Chat,
    ),
    // OpenLIT's `video` covers create, retrieve, list and delete alike: each wraps one request.
    (&["video", "fetch_response"], FrameKind::Wrapper),
];

/// Beginnings of the names of spans that wrap one SDK call.
const WRAPPERS: &[&str] = &["replicate."];

/// Names of spans that hold a whole voice session.
const SESSIONS: &[&str] = &["voice.session", "voice_session", "realtime.session"];

/// What `gen_ai.output.type` makes of `generate_content`.
const OUTPUTS: &[(&str, &str)] = &[
    ("image", "image_generation"),
    ("video", "video_generation"),
    ("speech", "speech_generation"),
    ("audio", "audio_generation"),
];

/// The name of a span where it is one of those that mean something here. Instrumentations put what they like
/// into a name, a prompt too; others are not kept.
fn known_name(name: &str) -> &str {
    let is_known = SESSIONS.contains(&name) || WRAPPERS.iter().any(|start| name.starts_with(start));
    if is_known { name } else { "" }
}

/// An operation word without the `a` that LiteLLM puts before those of its asynchronous calls,
/// `aimage_generation`.
fn plain(word: &str) -> &str {
    let is_known = |word: &str| OPERATIONS.iter().any(|(words, _)| words.contains(&word));
    word.strip_prefix('a').filter(|plain| !is_known(word) && is_known(plain)).unwrap_or(word)
}

impl Recogniser {
    /// The frame that a client span is when it is a GenAI span, else none.
    pub(crate) fn generation_frame(&self, span: &SpanView<'_>, cache: &mut EndpointCache) -> Option<Frame> {
        let kind = self.generation_kind(span)?;
        Some(self.make(span, kind, cache))
    }

    /// The frame that any other span is.
    pub(crate) fn frame(&self, span: &SpanView<'_>, cache: &mut EndpointCache) -> Frame {
        let kind = match span.kind {
            SpanKind::Server => FrameKind::Server,
            SpanKind::Consumer => FrameKind::Consumer,
            _ => self.generation_kind(span).unwrap_or(FrameKind::Internal),
        };
        self.make(span, kind, cache)
    }

    fn generation_kind(&self, span: &SpanView<'_>) -> Option<FrameKind> {
        let slots = &self.slots;
        if WRAPPERS.iter().any(|start| span.name.starts_with(start)) {
            return Some(FrameKind::Wrapper);
        }
        if !span.attributes.has_any(&self.masks.generation) {
            return SESSIONS.contains(&span.name).then_some(FrameKind::Session);
        }
        let operation = span.text(slots.operation).or_else(|| span.text(slots.span_kind));
        if let Some(operation) = operation {
            let row = OPERATIONS.iter().find(|(words, _)| words.contains(&plain(operation)));
            return Some(row.map_or(FrameKind::Internal, |(_, kind)| *kind));
        }
        if SESSIONS.contains(&span.name) || self.is_conversation(span) {
            return Some(FrameKind::Session);
        }
        // A GenAI span of an older or unknown dialect names a provider and a model, and no operation.
        let named = span.get(slots.provider).is_some() && span.get(slots.request_model).is_some();
        named.then_some(FrameKind::Chat)
    }

    /// A conversation id, and no call to a model.
    fn is_conversation(&self, span: &SpanView<'_>) -> bool {
        let slots = &self.slots;
        span.kind == SpanKind::Internal
            && span.get(slots.conversation).is_some()
            && span.get(slots.request_model).is_none()
            && span.get(slots.provider).is_none()
    }

    fn make(&self, span: &SpanView<'_>, kind: FrameKind, cache: &mut EndpointCache) -> Frame {
        let slots = &self.slots;
        let is_generation = !matches!(kind, FrameKind::Server | FrameKind::Consumer | FrameKind::Internal);
        if !is_generation && !span.attributes.has_any(&self.masks.frame) {
            let linked = || Rare::new(FrameRare { links: span.links.clone(), ..FrameRare::default() });
            let rare = if span.links.is_empty() { Rare::default() } else { linked() };
            return Frame { kind, verdict: None, rare };
        }
        let written = span.text(slots.provider).unwrap_or_default();
        let provider = if written.is_empty() { None } else { self.provider_named(written, cache) };
        let operation = self.operation(span);
        let shown = |slot| keys::model(span, slot);
        let model = shown(slots.response_model).or_else(|| shown(slots.request_model));
        let mut rare = FrameRare {
            links: span.links.clone(),
            name: cache.text(known_name(span.name)),
            task: self.task_attribute(span, cache).filter(|_| !self.is_clock(span, operation)),
            correlations: self.correlations(span, cache),
            provider: provider.map_or_else(|| cache.text(written), |index| self.provider(index).name.clone()),
            model: cache.text(model.unwrap_or_default()),
            operation: cache.text(operation),
            facts: self.facts(span, provider, cache),
            call: None,
        };
        if let Some(count) = span.get(slots.choices) {
            let is_image = matches!(operation, "image_generation" | "image" | "text_to_image");
            rare.facts.extend(facts::outputs(count, is_image));
        }
        let verdict = self.frame_verdict(span, kind, &rare, provider);
        rare.call = provider
            .filter(|_| is_generation && kind != FrameKind::Session && !self.requests_only)
            .and_then(|provider| {
                let operation = self.operation_of_call(span, kind, operation);
                self.stand_in(span, provider, operation, (verdict, &rare), cache)
            })
            .map(Box::new);
        Frame { kind, verdict, rare: Rare::new(rare) }
    }

    /// The operation, in our words where a dialect's word says less than the output type.
    fn operation<'a>(&self, span: &SpanView<'a>) -> &'a str {
        let operation = span.text(self.slots.operation).map(plain).unwrap_or_default();
        let output = span.text(self.slots.output_type).unwrap_or_default();
        match OUTPUTS.iter().find(|(word, _)| *word == output) {
            Some((_, better)) if matches!(operation, "generate_content" | "") => better,
            _ => operation,
        }
    }

    /// The word by which a span may stand for a call: of a dialect without operations its kind
    /// (OpenInference), and of one that has neither (Vercel's AI SDK) that it is one to a language model.
    fn operation_of_call<'a>(&self, span: &SpanView<'a>, kind: FrameKind, operation: &'a str) -> &'a str {
        if !operation.is_empty() {
            return operation;
        }
        let by_kind = if kind == FrameKind::Chat { "chat" } else { "" };
        span.text(self.slots.span_kind).unwrap_or(by_kind)
    }

    /// OpenLIT writes the `created` clock of an image answer as its response id: no id of anything.
    fn is_clock(&self, span: &SpanView<'_>, operation: &str) -> bool {
        let digits = |id: &str| id.len() == 10 && id.bytes().all(|b| b.is_ascii_digit());
        operation.starts_with("image")
            && self.slots.tasks.iter().any(|slot| span.text(*slot).is_some_and(digits))
    }

    /// A status word; else, of a span that stands for a whole generation, its error or its usage.
    fn frame_verdict(
        &self,
        span: &SpanView<'_>,
        kind: FrameKind,
        rare: &FrameRare,
        provider: Option<u16>,
    ) -> Option<Verdict> {
        let worded = self.worded(span, provider);
        let whole = matches!(kind, FrameKind::Operation | FrameKind::Chat);
        let unreasoned = worded.filter(|verdict| match verdict.state {
            TaskState::Failed => verdict.reason.is_none(),
            TaskState::Rejected => verdict.reason == Some(FailureReason::Unknown),
            _ => false,
        });
        if unreasoned.is_some() || (worded.is_none() && whole && answer::is_error(span, &self.slots)) {
            return Some(self.failure(span, provider, unreasoned.map(|verdict| verdict.state)));
        }
        let used = rare.facts.iter().any(|fact| matches!(&*fact.name, "input_tokens" | "output_tokens"));
        let by_usage = (whole && used).then_some(Verdict { state: TaskState::Succeeded, reason: None });
        worded.or(by_usage)
    }

    /// Why a failed generation failed, from `error.type` and the exception. Without a word, `worded` or in
    /// these, the span failed, and perhaps not the generation.
    fn failure(&self, span: &SpanView<'_>, provider: Option<u16>, worded: Option<TaskState>) -> Verdict {
        let own = provider.map(|index| &*self.provider(index).words);
        let word = span.text(self.slots.error).unwrap_or_default();
        let told = words::verdict(Vocabulary::Provider, own, word)
            .filter(|verdict| matches!(verdict.state, TaskState::Failed | TaskState::Rejected));
        let by_answer = || match answer::answer(span, &self.slots) {
            spantally_stitch::Answer::Missing => FailureReason::Unknown,
            answer => answer::refusal(answer),
        };
        let reason = told.and_then(|verdict| verdict.reason).unwrap_or_else(by_answer);
        let state = match worded {
            Some(TaskState::Rejected) => TaskState::Rejected,
            _ => told.map_or(worded.unwrap_or(TaskState::Errored), |verdict| verdict.state),
        };
        Verdict { state, reason: Some(reason) }
    }
}
