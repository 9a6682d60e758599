//! Matchers and colours of the words that many panels use, so that a cause looks alike everywhere.

/// Causes of spend: blue was worth it, warm colours were not.
pub const CAUSES: [(&str, &str); 12] = [
    ("delivered", "#5794F2"),
    ("unverified", "#8AB8FF"),
    ("retry", "#FF9830"),
    ("timeout_resubmit", "#FA6400"),
    ("duplicate", "#B877D9"),
    ("failed", "#F2495C"),
    ("moderated", "#C4162A"),
    ("canceled", "#FADE2A"),
    ("abandoned", "#8E8E8E"),
    ("poll", "#37872D"),
    ("webhook", "#96D98D"),
    ("interrupted", "#FF7383"),
];

/// How jobs end.
pub const OUTCOMES: [(&str, &str); 7] = [
    ("succeeded", "#5794F2"),
    ("partial", "#8AB8FF"),
    ("unknown", "#CCCCDC"),
    ("failed", "#F2495C"),
    ("rejected", "#C4162A"),
    ("canceled", "#FADE2A"),
    ("abandoned", "#8E8E8E"),
];

/// Why attempts and calls fail: the client's side warm, the provider's red, what is refused purple.
pub const REASONS: [(&str, &str); 15] = [
    ("client_timeout", "#FA6400"),
    ("provider_timeout", "#FF9830"),
    ("rate_limit", "#FADE2A"),
    ("capacity", "#E0B400"),
    ("invalid_input", "#8AB8FF"),
    ("invalid_media", "#5794F2"),
    ("moderation_input", "#B877D9"),
    ("moderation_output", "#8F3BB8"),
    ("quality", "#FFA6B0"),
    ("webhook_delivery", "#96D98D"),
    ("empty_response", "#73BF69"),
    ("not_ready", "#37872D"),
    ("canceled", "#8E8E8E"),
    ("provider_error", "#F2495C"),
    ("unknown", "#CCCCDC"),
];

/// Classes of HTTP status; `none` had no answer.
pub const STATUSES: [(&str, &str); 5] =
    [("2xx", "#5794F2"), ("3xx", "#8AB8FF"), ("4xx", "#FF9830"), ("5xx", "#F2495C"), ("none", "#8E8E8E")];

/// How sure an amount is.
pub const BASES: [(&str, &str); 3] =
    [("reported", "#5794F2"), ("documented", "#73BF69"), ("assumed", "#FF9830")];

/// What became of a span.
pub const FATES: [(&str, &str); 6] = [
    ("accepted", "#5794F2"),
    ("ignored", "#8E8E8E"),
    ("duplicate", "#FADE2A"),
    ("late", "#FF9830"),
    ("surplus", "#B877D9"),
    ("rejected", "#F2495C"),
];

/// What a label without a value is called.
pub const UNKNOWN: &str = "not in the spans";
/// What spend without a tenant is called.
pub const NO_TENANT: &str = "no tenant";

/// What takes the place of the common labels in series past the limit of label sets. The recording rules say
/// the same.
pub const PAST_LIMIT: &str = "others past the label limit";

/// The chosen currency.
pub const CURRENCY: &str = "currency=\"$currency\"";
/// Spend that is neither delivered nor unverified.
pub const WASTE: &str = "currency=\"$currency\",cause!~\"delivered|unverified\"";
/// Spend of which it is known what became of it.
pub const VERIFIED: &str = "currency=\"$currency\",cause!=\"unverified\"";
/// Spend on jobs whose outcome no span tells.
pub const UNVERIFIED: &str = "currency=\"$currency\",cause=\"unverified\"";
/// Spend on attempts that were made again.
pub const RETRY: &str = "currency=\"$currency\",cause=~\"retry|timeout_resubmit|duplicate\"";
/// Spend on what failed or was refused by moderation.
pub const FAILED: &str = "currency=\"$currency\",cause=~\"failed|moderated\"";
/// Jobs that delivered something.
pub const DELIVERED: &str = "outcome=~\"succeeded|partial\"";
/// Operations that are legs of a voice session.
pub const LEG: &str = "operation=~\"speech_to_text|chat|text_to_speech|speech_to_speech|realtime\"";
