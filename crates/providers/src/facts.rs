//! Quantities and dimensions in span attributes, whatever the provider: which keys, under which name.
//!
//! Cost attributes that instrumentations compute themselves (`gen_ai.usage.cost`, `llm.cost.*`) are left out
//! on purpose: they are estimates from another price list, not what the provider says it bills.

use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_stitch::{Fact, FactSource, FactValue};

use crate::attributes::{AttributeKeys, Value};
use crate::endpoint::EndpointCache;
use crate::format::{FactOrigin, FactRule};
use crate::span::SpanView;
use crate::vocabulary::FACT_NAMES;

/// How many of [`FACT_NAMES`] each span that has a fact is asked for. The others stand behind one look for
/// all of them.
const GENERAL: usize = 30;

/// Facts that only the provider's own bill can tell.
const REPORTED: &[&str] = &["billable_units", "credits", "cost_usd", "cost_nano_usd", "cost_ticks"];

/// Keys of facts that few spans have.
const FURTHER: &[(&str, FactSource, &[&str])] = &[
    ("error_code", FactSource::Response, &["spantally.task.error"]),
    (
        "cache_write_tokens",
        FactSource::Response,
        &["gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens"],
    ),
    ("input_text_tokens", FactSource::Response, &["gen_ai.usage.text.input_tokens"]),
    ("input_image_tokens", FactSource::Response, &["gen_ai.usage.image.input_tokens"]),
    ("output_image_tokens", FactSource::Response, &["gen_ai.usage.image.output_tokens"]),
    ("output_text_tokens", FactSource::Response, &["gen_ai.usage.text.output_tokens"]),
];

/// Money that a span says the provider itself bills: a proposal of OpenTelemetry's GenAI conventions
/// (semantic-conventions-genai, pull request 443). The same keys may hold somebody's own estimate, so all
/// three must say so.
const STATED: [&str; 3] =
    ["gen_ai.usage.cost.amount", "gen_ai.usage.cost.source", "gen_ai.usage.cost.currency"];

/// Keys of one fact. `app.generation.*` is what the capture tool's application writes; the `gen_ai.*` keys
/// are those of three generations of the semantic conventions; `llm.usage.*` is OpenLLMetry's,
/// `llm.token_count.*` OpenInference's; `gen_ai.request.image_*` and `gen_ai.openai.video.*` OpenLIT's;
/// `turn.was_interrupted` stands on Pipecat's turns, `lk.interrupted` on those of LiveKit Agents.
const KEYS: &[(&str, FactSource, &[&str])] = &[
    ("seconds", FactSource::Request, &["app.generation.duration_seconds", "gen_ai.openai.video.seconds"]),
    ("resolution", FactSource::Request, &["app.generation.resolution"]),
    ("size", FactSource::Request, &["gen_ai.request.image_size", "gen_ai.openai.video.size"]),
    ("quality", FactSource::Request, &["gen_ai.request.image_quality"]),
    ("size", FactSource::Response, &["gen_ai.response.image_size"]),
    ("quality", FactSource::Response, &["gen_ai.response.image_quality"]),
    ("voice", FactSource::Request, &["gen_ai.request.audio_voice", "gen_ai.request.tts.voice"]),
    ("tier", FactSource::Request, &["openai.request.service_tier", "gen_ai.openai.request.service_tier"]),
    ("tier", FactSource::Response, &["openai.response.service_tier", "gen_ai.openai.response.service_tier"]),
    ("interrupted", FactSource::Response, &["turn.was_interrupted", "lk.interrupted"]),
    ("audio_seconds", FactSource::Request, &["gen_ai.request.audio_duration"]),
    ("audio_seconds", FactSource::Response, &["gen_ai.response.audio.duration"]),
    (
        "input_tokens",
        FactSource::Response,
        &[
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.prompt_tokens",
            "llm.usage.prompt_tokens",
            "llm.token_count.prompt",
        ],
    ),
    (
        "output_tokens",
        FactSource::Response,
        &[
            "gen_ai.usage.output_tokens",
            "gen_ai.usage.completion_tokens",
            "llm.usage.completion_tokens",
            "llm.token_count.completion",
        ],
    ),
    (
        "cached_tokens",
        FactSource::Response,
        &[
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_read_input_tokens",
            "llm.token_count.prompt_details.cache_read",
        ],
    ),
    (
        "input_audio_tokens",
        FactSource::Response,
        &["gen_ai.usage.audio.input_tokens", "llm.token_count.prompt_details.audio"],
    ),
    (
        "output_audio_tokens",
        FactSource::Response,
        &["gen_ai.usage.audio.output_tokens", "llm.token_count.completion_details.audio"],
    ),
];

/// One key's slot and what is made of it.
#[derive(Clone, Debug)]
pub(crate) struct FactSlot {
    slot: u16,
    name: Arc<str>,
    source: FactSource,
    /// Further slots, and the words that must stand there.
    only_if: Option<Box<[(u16, &'static str); 2]>>,
}

/// The slots of every fact of the general table, and of `spantally.<name>`, our own keys.
pub(crate) fn slots(keys: &mut AttributeKeys) -> Vec<FactSlot> {
    let mut facts = Vec::new();
    for (name, source, spellings) in KEYS {
        let slot = keys.slot_of_any(spellings);
        facts.push(FactSlot::new(slot, name, *source));
    }
    facts.extend(FACT_NAMES[..GENERAL].iter().map(|name| own(name, keys)));
    facts
}

/// Our own key of a fact.
fn own(name: &str, keys: &mut AttributeKeys) -> FactSlot {
    let source = if REPORTED.contains(&name) { FactSource::Reported } else { FactSource::Response };
    FactSlot::new(keys.slot_of(&format!("spantally.{name}")), name, source)
}

/// The slots of the facts that a span is asked for only if it has one of them, whatever else it says: an
/// application's own span names no provider, and what a price depends on may stand there alone.
pub(crate) fn further(keys: &mut AttributeKeys) -> Vec<FactSlot> {
    let mut facts: Vec<FactSlot> = FACT_NAMES[GENERAL..].iter().map(|name| own(name, keys)).collect();
    for (name, source, spellings) in FURTHER {
        facts.push(FactSlot::new(keys.slot_of_any(spellings), name, *source));
    }
    let [amount, source, currency] = STATED.map(|key| keys.slot_of(key));
    facts.push(FactSlot {
        only_if: Some(Box::new([(source, "provider"), (currency, "USD")])),
        ..FactSlot::new(amount, "cost_usd", FactSource::Reported)
    });
    facts
}

/// The slot of a fact of a provider file. Facts in query parameters are none: they have no attribute.
pub(crate) fn slot(rule: &FactRule, keys: &mut AttributeKeys) -> Option<FactSlot> {
    let source = match rule.source {
        FactOrigin::Request => FactSource::Request,
        FactOrigin::Response => FactSource::Response,
        FactOrigin::Reported => FactSource::Reported,
    };
    let slot = crate::keys::place(&rule.from, keys)?;
    Some(FactSlot::new(slot, &rule.name.value, source))
}

impl FactSlot {
    fn new(slot: u16, name: &str, source: FactSource) -> Self {
        Self { slot, name: name.into(), source, only_if: None }
    }

    pub(crate) fn slot(&self) -> u16 {
        self.slot
    }

    /// Whether the span has it. Most spans have none of them: this is the part that must cost nothing.
    #[inline]
    pub(crate) fn is_in(&self, span: &SpanView<'_>) -> bool {
        span.get(self.slot).is_some()
    }

    /// The fact, if the span has it.
    pub(crate) fn read(&self, span: &SpanView<'_>, cache: &mut EndpointCache) -> Option<Fact> {
        if let Some(conditions) = &self.only_if
            && conditions.iter().any(|(slot, word)| span.text(*slot) != Some(*word))
        {
            return None;
        }
        let value = match span.get(self.slot)? {
            Value::Int(number) => FactValue::Number(Decimal::from(number)),
            Value::Double(number) => FactValue::Number(exact(number)?),
            Value::Bool(flag) => FactValue::Text(cache.text(if flag { "true" } else { "false" })),
            Value::Text(text) => match text.trim().parse::<Decimal>() {
                Ok(number) => FactValue::Number(number),
                Err(_) => FactValue::Text(cache.text(text)),
            },
        };
        Some(Fact { name: self.name.clone(), value, source: self.source })
    }
}

/// The shortest decimal that reads back as the same float: `5.1` and not `5.0999999999999996447`.
fn exact(number: f64) -> Option<Decimal> {
    let text = number.to_string();
    text.parse().ok()
}

/// A count of outputs: of images when the span says so.
pub(crate) fn outputs(value: Value<'_>, is_image: bool) -> Option<Fact> {
    let Value::Int(count) = value else { return None };
    let name = if is_image { "images" } else { "outputs" };
    Some(Fact { name: name.into(), value: FactValue::Number(count.into()), source: FactSource::Request })
}

#[cfg(test)]
mod tests {
    use spantally_stitch::ASKED_FACTS;

    use super::*;

    #[test]
    fn what_the_stitcher_knows_by_name_is_a_fact() {
        let unknown: Vec<_> = ASKED_FACTS.iter().filter(|name| !FACT_NAMES.contains(name)).collect();
        assert_eq!(unknown, [] as [&&str; 0]);
    }
}
