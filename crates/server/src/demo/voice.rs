//! One voice conversation: turns of speech-to-text, language model and text-to-speech at two vendors.
//!
//! The session is the job and each call a leg of it. Where the user talks over the agent, a part of that
//! turn's audio was made for nothing: its cause is *interrupted*. The turn's span says so as Pipecat does,
//! and how many characters were not heard, which the application knows from the alignment of its speech.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use spantally_stitch::{Accepted, Cause, Outcome, UnixNanos};

use super::play::key_of;
use super::recorder::{
    APPLICATION, Answer, Closing, Exchange, Open, Place, Recorder, flag, header, number, text,
};
use super::truth::{AttemptTruth, Billed, Ending, JobTruth};

const TRANSCRIBE: &str = "https://api.openai.com/v1/audio/transcriptions";
const CHAT: &str = "https://api.openai.com/v1/chat/completions";
const SPEAK: &str = "https://api.elevenlabs.io/v1/text-to-speech/JBFqnCBsd6RMkjVDRZzb/stream";
/// The scope of the automatic instrumentation of GenAI calls.
const GENAI: &str = "opentelemetry.util.genai.handler";

/// whisper-1: 0.006 US dollars a minute.
const WHISPER_NANO_USD_PER_SECOND: u64 = 100_000;
/// gpt-4o-mini: 0.60 US dollars a million output tokens; input at a quarter of it.
const CHAT_NANO_USD_PER_OUTPUT_TOKEN: u64 = 600;
/// eleven_flash_v2_5: 0.04 US dollars a thousand characters.
const FLASH_NANO_USD_PER_CHARACTER: u64 = 40_000;

/// Plays a conversation; its spans are added to the recorder.
pub fn talk(recorder: &mut Recorder<'_>, start: UnixNanos) -> JobTruth {
    let first_span = recorder.spans.len();
    let session = recorder.open(None, start);
    let conversation = format!("conv_{}", recorder.rng.text(b"0123456789abcdef", 12));
    let mut talk = Talk { recorder, now: start, legs: Vec::new() };
    let turns = talk.recorder.rng.between((2, 6));
    for turn in 0..turns {
        // Nobody interrupts the first words.
        let interrupted = turn > 0 && talk.recorder.rng.chance(0.2);
        let unheard_quarters = if interrupted { 1 + turn % 3 } else { 0 };
        talk.turn(session.inside(), &conversation, unheard_quarters);
    }
    let Talk { now, legs, .. } = talk;
    let attributes = vec![
        text("gen_ai.conversation.id", &conversation),
        text("app.session.kind", "voice"),
        text("app.generation.status", "succeeded"),
    ];
    recorder.close(session, now, internal("voice.session", attributes));
    JobTruth {
        scenario: "voice",
        service: recorder.process.service.name,
        attempts: legs,
        webhooks: 0,
        outcome: Outcome::Succeeded,
        spans: recorder.spans[first_span..].iter().map(|recorded| key_of(&recorded.span)).collect(),
        started_at: start,
        ended_at: now,
    }
}

struct Talk<'t, 'r> {
    recorder: &'t mut Recorder<'r>,
    now: UnixNanos,
    legs: Vec<AttemptTruth>,
}

impl Talk<'_, '_> {
    fn turn(&mut self, session: Place, conversation: &str, unheard_quarters: u64) {
        let heard_seconds = self.recorder.rng.between((2, 9));
        let tokens = self.recorder.rng.between((20, 90));
        let characters = tokens * 4;
        let turn = self.recorder.open(Some(session), self.now);
        self.post(turn.inside(), TRANSCRIBE, (250, 600), Vec::new());
        let price_nano_usd = WHISPER_NANO_USD_PER_SECOND;
        let billed = Billed { unit: "audio_second", quantity: heard_seconds, price_nano_usd };
        self.leg("openai", "whisper-1", billed, 0);
        self.chat(turn, conversation, tokens);
        // The fast model takes half a credit a character, and the header counts credits.
        let cost = header("http.response.header.character_cost", (characters / 2).to_string());
        self.post(turn.inside(), SPEAK, (150, 500), vec![cost]);
        let price_nano_usd = FLASH_NANO_USD_PER_CHARACTER;
        let billed = Billed { unit: "character", quantity: characters, price_nano_usd };
        // Tokens have four characters here, so that a quarter is a whole number.
        let unheard = tokens * unheard_quarters;
        self.leg("elevenlabs", "eleven_flash_v2_5", billed, unheard);
        let mut attributes = vec![
            number("app.turn.audio_seconds", heard_seconds),
            flag("turn.was_interrupted", unheard > 0),
            number("spantally.characters", characters),
        ];
        attributes.extend((unheard > 0).then(|| number("spantally.interrupted_characters", unheard)));
        self.recorder.close(turn, self.now, internal("voice.turn", attributes));
        self.now = self.now.plus_ms(self.recorder.rng.between((200, 900)));
    }

    /// The language model: a GenAI span with its usage above the HTTP span.
    fn chat(&mut self, turn: Open, conversation: &str, tokens: u64) {
        let open = self.recorder.open(Some(turn.inside()), self.now);
        self.post(open.inside(), CHAT, (300, 900), Vec::new());
        let attributes = vec![
            text("gen_ai.operation.name", "chat"),
            text("gen_ai.provider.name", "openai"),
            text("gen_ai.request.model", "gpt-4o-mini"),
            text("gen_ai.response.model", "gpt-4o-mini-2024-07-18"),
            text("gen_ai.conversation.id", conversation),
            number("gen_ai.usage.input_tokens", tokens * 4),
            number("gen_ai.usage.output_tokens", tokens),
        ];
        let name = "chat gpt-4o-mini".into();
        let closing =
            Closing { kind: SpanKind::Client, scope: GENAI, name, attributes, error: None, link: None };
        self.recorder.close(open, self.now, closing);
        // Four input tokens a quarter each: the price of one output token again.
        let price_nano_usd = 2 * CHAT_NANO_USD_PER_OUTPUT_TOKEN;
        self.leg(
            "openai",
            "gpt-4o-mini",
            Billed { unit: "output_token", quantity: tokens, price_nano_usd },
            0,
        );
    }

    fn post(&mut self, place: Place, url: &str, took_ms: (u64, u64), headers: Vec<KeyValue>) {
        let start = self.now;
        let end = start.plus_ms(self.recorder.rng.between(took_ms));
        self.now = end.plus_ms(self.recorder.rng.between((1, 4)));
        let exchange = Exchange { method: "POST", url, start, end, answer: Answer::Status(200), headers };
        self.recorder.request(Some(place), exchange);
    }

    fn leg(&mut self, provider: &'static str, model: &'static str, billed: Billed, unheard: u64) {
        self.legs.push(AttemptTruth {
            provider,
            model,
            task: None,
            created: true,
            accepted: Accepted::Yes,
            ending: Ending::Succeeded,
            is_twin: false,
            cause: Cause::Delivered,
            unheard,
            billed: Some(billed),
            polls: 0,
        });
    }
}

fn internal(name: &str, attributes: Vec<KeyValue>) -> Closing {
    Closing {
        kind: SpanKind::Internal,
        scope: APPLICATION,
        name: name.into(),
        attributes,
        error: None,
        link: None,
    }
}
