//! The words that a provider file has for what the house knows: facts, answers, roles, states, reasons.

use std::borrow::Cow;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use spantally_stitch::{Accepted, Answer, FailureReason, Role, TaskState};

/// The names of facts: what meters may ask for.
pub const FACT_NAMES: &[&str] = &[
    "seconds",
    "images",
    "outputs",
    "width",
    "height",
    "resolution",
    "quality",
    "size",
    "audio",
    "characters",
    "audio_seconds",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
    "megapixels",
    "billable_units",
    "credits",
    "cost_usd",
    "predict_time_seconds",
    "voice",
    "tier",
    "reference_images",
    "input_seconds",
    "interrupted",
    "interrupted_characters",
    "interrupted_seconds",
    "interrupted_tokens",
    "usage",
    // From here on few spans have them, see [`crate::facts::further`].
    "billed_model",
    "cache_write_tokens",
    "cached_audio_tokens",
    "cached_image_tokens",
    "cached_text_tokens",
    "channels",
    "cost_nano_usd",
    "cost_ticks",
    "dynamic_range",
    "error_code",
    "fps",
    "hardware",
    "input_image_tokens",
    "input_images",
    "input_megapixels",
    "input_text_tokens",
    "mode",
    "output_image_tokens",
    "output_text_tokens",
    "pixels",
    "steps",
];

/// Which answers a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusPattern {
    /// One HTTP status code.
    Code(u16),
    /// A class of codes: 4 for `4xx`.
    Class(u16),
    /// No status code, for a reason.
    Wire(Answer),
}

impl StatusPattern {
    /// Whether every answer that `other` matches is matched too.
    pub(crate) fn covers(self, other: Self) -> bool {
        match (self, other) {
            (Self::Class(class), Self::Code(code)) => code / 100 == class,
            (this, other) => this == other,
        }
    }

    /// Whether an answer is meant.
    pub fn matches(self, answer: Answer) -> bool {
        match (self, answer) {
            (Self::Code(code), Answer::Status(status)) => code == status,
            (Self::Class(class), Answer::Status(status)) => status / 100 == class,
            (Self::Wire(wire), answer) => wire == answer,
            _ => false,
        }
    }
}

const WIRE: [(&str, Answer); 4] = [
    ("not_sent", Answer::NotSent),
    ("timed_out", Answer::TimedOut),
    ("reset", Answer::Reset),
    ("missing", Answer::Missing),
];

impl<'de> Deserialize<'de> for StatusPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let wire = WIRE.iter().find(|(word, _)| *word == text).map(|(_, answer)| Self::Wire(*answer));
        let class = || text.strip_suffix("xx").and_then(|c| c.parse().ok()).filter(|c| (1..=5).contains(c));
        let code = || text.parse().ok().filter(|code| (100..=599).contains(code));
        wire.or_else(|| class().map(Self::Class)).or_else(|| code().map(Self::Code)).ok_or_else(|| {
            D::Error::unknown_variant(
                &text,
                &["100..599", "4xx", "not_sent", "timed_out", "reset", "missing"],
            )
        })
    }
}

/// A word of the house's vocabulary, as a provider file writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<T>(pub T);

/// Which word stands for which value of a type, as [`Word`] reads it.
macro_rules! words {
    ($type:ty { $($word:literal => $value:expr),+ $(,)? }) => {
        impl<'de> serde::Deserialize<'de> for $crate::vocabulary::Word<$type> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match &*std::borrow::Cow::<str>::deserialize(deserializer)? {
                    $($word => Ok(Self($value)),)+
                    other => Err(serde::de::Error::unknown_variant(other, &[$($word),+])),
                }
            }
        }
    };
}
pub(crate) use words;

words! { Role {
    "submit" => Role::Submit,
    "poll" => Role::Poll,
    "result" => Role::Result,
    "cancel" => Role::Cancel,
    "webhook" => Role::Webhook,
    "download" => Role::Download,
    "sync" => Role::Sync,
    "session" => Role::Session,
} }

words! { Accepted {
    "yes" => Accepted::Yes,
    "no" => Accepted::No,
    "ambiguous" => Accepted::Ambiguous,
} }

words! { TaskState {
    "not_ready" => TaskState::NotReady,
    "running" => TaskState::Running,
    "ended" => TaskState::Ended,
    "canceled_queued" => TaskState::CanceledQueued,
    "canceled" => TaskState::Canceled,
    "failed" => TaskState::Failed,
    "rejected" => TaskState::Rejected,
    "partial" => TaskState::Partial,
    "succeeded" => TaskState::Succeeded,
} }

words! { FailureReason {
    "client_timeout" => FailureReason::ClientTimeout,
    "provider_timeout" => FailureReason::ProviderTimeout,
    "rate_limit" => FailureReason::RateLimit,
    "invalid_input" => FailureReason::InvalidInput,
    "invalid_media" => FailureReason::InvalidMedia,
    "moderation_input" => FailureReason::ModerationInput,
    "moderation_output" => FailureReason::ModerationOutput,
    "quality" => FailureReason::Quality,
    "capacity" => FailureReason::Capacity,
    "webhook_delivery" => FailureReason::WebhookDelivery,
    "empty_response" => FailureReason::EmptyResponse,
    "not_ready" => FailureReason::NotReady,
    "canceled" => FailureReason::Canceled,
    "provider_error" => FailureReason::ProviderError,
    "unknown" => FailureReason::Unknown,
} }
