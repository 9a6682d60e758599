//! How a client came to give up on an attempt whose submit had been taken.

use crate::call::{Answer, Call, Role, TaskState};
use crate::evidence::Evidence;
use crate::failure::FailureReason;
use crate::id::UnixNanos;
use crate::solve::attempts::AttemptDraft;
use crate::solve::pool::call_of;

/// The bad end of an attempt, as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// When it was shown, by time: a result that failed may be asked for again and again.
    pub(super) shown: Vec<UnixNanos>,
    pub(super) kind: EndKind,
}

/// What a client saw when it gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EndKind {
    /// The task had failed.
    Failed,
    /// The provider refused what was asked for, and would again.
    Refused,
    /// The last question had no answer: the task may run on, and bill.
    Unanswered,
}

impl End {
    /// The end of an attempt, if it is a bad one.
    pub(super) fn of(draft: &AttemptDraft<'_>) -> Option<Self> {
        if draft.failed_at().is_some() {
            let failed = draft.states().filter(|(_, state)| state.is_failure());
            let mut shown: Vec<UnixNanos> = failed.map(|(end, _)| end).collect();
            shown.sort_unstable();
            let refused = draft.parts.iter().any(|part| call_of(part).is_some_and(refuses));
            return Some(Self { shown, kind: if refused { EndKind::Refused } else { EndKind::Failed } });
        }
        let told =
            |(_, state)| !matches!(state, TaskState::Running | TaskState::NotReady | TaskState::Errored);
        let asks = |part: &&&Evidence| call_of(part).is_some_and(|call| call.role != Role::Webhook);
        let last = draft.parts.iter().filter(asks).max_by_key(|part| (part.end, part.span))?;
        let gave_up = call_of(last).is_some_and(is_unanswered) && !draft.states().any(told);
        gave_up.then(|| Self { shown: vec![last.end], kind: EndKind::Unanswered })
    }
}

/// Whether a question about a task had no answer that tells anything of the task.
fn is_unanswered(call: &Call) -> bool {
    call.role == Role::Poll
        && matches!(call.answer, Answer::Status(500..=599) | Answer::TimedOut | Answer::Reset)
}

/// Whether a call shows that its request will never be served as it is.
fn refuses(call: &Call) -> bool {
    use FailureReason::{InvalidInput, InvalidMedia, ModerationInput, ModerationOutput};
    let Some(verdict) = call.verdict.filter(|verdict| verdict.state.is_failure()) else { return false };
    verdict.state == TaskState::Rejected
        || matches!(verdict.reason, Some(InvalidInput | InvalidMedia | ModerationInput | ModerationOutput))
        || matches!(call.answer, Answer::Status(code @ 400..=499) if !matches!(code, 408 | 409 | 429))
}
