//! Status and error words in attributes: what they tell of a task.
//!
//! A provider's own words come first (fal's COMPLETED is an end, not a success), then the general ones.
//! An application's own status attribute knows only the general ones.

use spantally_stitch::{FailureReason, TaskState, Verdict};

use crate::format::WordRule;

/// Whose words an attribute holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vocabulary {
    /// The provider's.
    Provider,
    /// The provider's, for an error: one that nobody knows is an error all the same.
    Error,
    /// The application's.
    Application,
    /// `gen_ai.response.finish_reasons`.
    FinishReason,
}

type Row = (&'static [&'static str], TaskState, Option<FailureReason>);

const GENERAL: &[Row] = &[
    (
        &["succeeded", "success", "successful", "completed", "complete", "done", "ok", "ready", "finished"],
        TaskState::Succeeded,
        None,
    ),
    (&["partial", "partially_succeeded"], TaskState::Partial, None),
    (&["failed", "failure", "error", "errored"], TaskState::Failed, None),
    (&["canceled", "cancelled", "aborted"], TaskState::Canceled, None),
    (
        &[
            "moderated",
            "moderation",
            "content_moderated",
            "moderation_blocked",
            "content_policy_violation",
            "content_filter",
        ],
        TaskState::Rejected,
        Some(FailureReason::ModerationOutput),
    ),
    // Whether it was for its content, the word does not say.
    (&["rejected"], TaskState::Rejected, Some(FailureReason::Unknown)),
    // Whoever asked for it stopped asking: the task may go on.
    (&["abandoned"], TaskState::Running, None),
    (&["timed_out", "timeout", "expired"], TaskState::Failed, Some(FailureReason::ProviderTimeout)),
    (&["invalid_input", "invalid_request", "invalid"], TaskState::Failed, Some(FailureReason::InvalidInput)),
    (&["rate_limited", "rate_limit"], TaskState::Failed, Some(FailureReason::RateLimit)),
    (&["unavailable", "capacity"], TaskState::Failed, Some(FailureReason::Capacity)),
    (&["empty"], TaskState::Failed, Some(FailureReason::EmptyResponse)),
    (
        &[
            "queued",
            "pending",
            "starting",
            "running",
            "processing",
            "in_progress",
            "in_queue",
            "submitted",
            "throttled",
        ],
        TaskState::Running,
        None,
    ),
];

const FINISH: &[Row] = &[
    (
        &["stop", "length", "max_tokens", "tool_calls", "end_turn", "stop_sequence"],
        TaskState::Succeeded,
        None,
    ),
    (&["content_filter", "safety", "refusal"], TaskState::Rejected, Some(FailureReason::ModerationOutput)),
    (&["error"], TaskState::Failed, None),
];

/// What writers put where there was no error.
const NO_ERROR: &[&str] = &["", "none", "null", "nil", "undefined", "false", "0"];

/// What a word tells. `own` are the words of the span's provider, if it is known.
pub(crate) fn verdict(kind: Vocabulary, own: Option<&[WordRule]>, word: &str) -> Option<Verdict> {
    match kind {
        Vocabulary::FinishReason => general(FINISH, word),
        Vocabulary::Application => general(GENERAL, word),
        Vocabulary::Error => verdict(Vocabulary::Provider, own, word).or_else(|| error(word)),
        Vocabulary::Provider => {
            let rule = own.unwrap_or_default().iter().find(|rule| rule.is.iter().any(|is| is_word(is, word)));
            match rule {
                Some(rule) => {
                    Some(Verdict { state: rule.state.value.0, reason: rule.reason.map(|reason| reason.0) })
                }
                None => general(GENERAL, word),
            }
        }
    }
}

/// A failure reason of ours by its name; else an error of a kind that is not known.
fn error(word: &str) -> Option<Verdict> {
    if NO_ERROR.iter().any(|none| none.eq_ignore_ascii_case(word.trim())) {
        return None;
    }
    let reason = FailureReason::parse(&word.to_ascii_lowercase()).unwrap_or(FailureReason::Unknown);
    let state = match reason {
        FailureReason::ModerationInput | FailureReason::ModerationOutput => TaskState::Rejected,
        FailureReason::NotReady => TaskState::NotReady,
        _ => TaskState::Failed,
    };
    Some(Verdict { state, reason: Some(reason) })
}

fn general(rows: &[Row], word: &str) -> Option<Verdict> {
    let row = rows.iter().find(|(words, ..)| words.iter().any(|is| is.eq_ignore_ascii_case(word)))?;
    Some(Verdict { state: row.1, reason: row.2 })
}

/// Whether a word is meant by a pattern: any case, a trailing `*` matches any ending.
fn is_word(pattern: &str, word: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => word.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start)),
        None => pattern.eq_ignore_ascii_case(word),
    }
}

/// The better of two verdicts of one span: an end before a state under way, a reason before none.
pub(crate) fn better(first: Option<Verdict>, second: Option<Verdict>) -> Option<Verdict> {
    let rank = |verdict: &Verdict| {
        let open = matches!(verdict.state, TaskState::NotReady | TaskState::Running | TaskState::Ended);
        (!open, verdict.reason.is_some())
    };
    match (first, second) {
        (Some(a), Some(b)) => Some(if rank(&b) > rank(&a) { b } else { a }),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_nobody_knows_is_an_error() {
        let failed = |reason| Some(Verdict { state: TaskState::Failed, reason: Some(reason) });
        for (word, expected) in [
            ("SOMETHING.NEW", failed(FailureReason::Unknown)),
            ("Provider_Timeout", failed(FailureReason::ProviderTimeout)),
            ("empty_response", failed(FailureReason::EmptyResponse)),
            ("rate_limit", failed(FailureReason::RateLimit)),
            (
                "moderation_input",
                Some(Verdict { state: TaskState::Rejected, reason: Some(FailureReason::ModerationInput) }),
            ),
            ("", None),
            ("None", None),
            ("0", None),
        ] {
            assert_eq!(verdict(Vocabulary::Error, None, word), expected, "{word}");
        }
        assert_eq!(verdict(Vocabulary::Provider, None, "SOMETHING.NEW"), None, "a status may say more");
    }
}
