//! What became of attempts and jobs: outcome, failure reason, cause.
//!
//! Success and failure need positive evidence. Where the spans cannot tell them apart the outcome is
//! *unknown* and the money *unverified*: never a guess.

mod attempt;
mod cause;
pub(crate) mod fact;
mod job;
mod session;

pub(crate) use job::{id_of_span, id_of_task, is_decided, job, job_id};

use crate::call::{Call, TaskState};
use crate::id::UnixNanos;
use crate::solve::group::AttemptDraft;
use crate::solve::pool::call_of;

/// When an attempt had visibly ended without success, if it had.
pub(crate) fn failed_at(draft: &AttemptDraft<'_>) -> Option<UnixNanos> {
    let mut failed: Option<UnixNanos> = None;
    for evidence in &draft.parts {
        let state = call_of(evidence).and_then(|call| call.verdict).map(|verdict| verdict.state);
        match state {
            Some(TaskState::Succeeded | TaskState::Partial) => return None,
            Some(state) if is_failure(state) => failed = failed.or(Some(evidence.end)),
            _ => {}
        }
    }
    // A refused submit has no task to end: its retry is found by the retry chains.
    failed.filter(|_| !draft.tasks.is_empty())
}

/// Whether the client canceled an attempt.
pub(crate) fn was_canceled(draft: &AttemptDraft<'_>) -> bool {
    let states = draft.parts.iter().filter_map(|evidence| Some(call_of(evidence)?.verdict?.state));
    states.into_iter().any(|state| matches!(state, TaskState::Canceled | TaskState::CanceledQueued))
}

pub(crate) fn is_failure(state: TaskState) -> bool {
    matches!(state, TaskState::Failed | TaskState::Rejected | TaskState::Canceled | TaskState::CanceledQueued)
}

/// The status code of a call, if it got an answer.
pub(crate) fn status(call: &Call) -> Option<u16> {
    match call.answer {
        crate::Answer::Status(code) => Some(code),
        _ => None,
    }
}
