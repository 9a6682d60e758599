//! What the words of the job JSON mean, for people.

use spantally_price::decided_by;
use spantally_stitch::{Confidence, JoinRule};

/// By what something was joined.
pub(super) fn rule_words(rule: &str) -> &'static str {
    let Some(rule) = JoinRule::ALL.iter().find(|one| one.as_str() == rule) else { return "a newer rule" };
    match rule {
        JoinRule::TaskIdPath => "the URL names the task",
        JoinRule::TaskIdAttribute => "a header or an attribute names the task",
        JoinRule::AncestorTaskId => "a span above names the task",
        JoinRule::CorrelationId => "both show an id that the client chose",
        JoinRule::SpanLink => "a span links to the other",
        JoinRule::OperationSpan => "one generation span is above both",
        JoinRule::Session => "they are of one session or conversation",
        JoinRule::RetryMark => "the client marked it as a retry",
        JoinRule::RetryOrder => "the same request again, after an attempt that failed",
        JoinRule::DoubleSubmit => "two equal submits at once",
        JoinRule::TraceOrder => "the trace, the order and the gap in time fit",
        JoinRule::ClientRhythm => "the gap in time is this client's own",
        JoinRule::HandlerFetch => "the webhook's handler, or a worker right after it, asked for the task",
        JoinRule::Redelivery => "the same delivery again",
        JoinRule::WebhookTime => "the delivery came when the task was due",
        JoinRule::FallbackPoll => "a poll in place of deliveries that were refused",
        JoinRule::DownloadTime => "an output was fetched right after the last call",
        JoinRule::GenaiSpan => "a span around the call stands for it, since no request was seen",
    }
}

/// How sure a join is.
pub(super) fn confidence_words(confidence: &str) -> &'static str {
    let Some(confidence) = Confidence::ALL.iter().find(|one| one.as_str() == confidence) else {
        return "by a newer measure";
    };
    match confidence {
        Confidence::Exact => "by name",
        Confidence::Strong => "no other match comes near",
        Confidence::Likely => "another match is less likely",
        Confidence::Guess => "another match is nearly as likely",
    }
}

/// How sure a charge is.
pub(super) fn basis_words(basis: &str) -> &'static str {
    match basis {
        "reported" => "the provider says so in a span",
        "documented" => "from a cited source",
        "assumed" => "not all of it is known",
        _ => "units only",
    }
}

/// What decided how much is charged.
pub(super) fn policy_words(policy: &str) -> String {
    let words = match policy {
        decided_by::NOT_SENT => "nothing was sent",
        decided_by::AMBIGUOUS => "nobody knows whether the provider took the submit",
        decided_by::UNVERIFIED => {
            "between what a failure and what a success costs, since the spans do not tell which"
        }
        decided_by::REPORTED => "as the provider reports it",
        decided_by::PER_CALL => "for every call, whatever came of it",
        decided_by::NO_POLICY => "whether such an end is billed is not documented",
        decided_by::NO_TARIFF => "no tariff for the model",
        "" => "no policy is named",
        row => return format!("policy {row}"),
    };
    words.to_owned()
}

/// Why something has no price.
pub(super) fn unpriced_words(reason: &str) -> &'static str {
    match reason {
        "unknown_model" => "no span names the model, on which the price depends",
        "no_price" => "the provider file has none for the model",
        "no_price_at_time" => "none was in force at the time",
        "no_quantity" => "the quantity is not in the spans, and no default is documented",
        "no_provider" => "there is no provider file of that name",
        "out_of_range" => "a span states a quantity that no invoice could hold",
        _ => "for a reason that is newer than this program",
    }
}
