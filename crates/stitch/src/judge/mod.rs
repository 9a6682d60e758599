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

impl TaskState {
    /// The task ended, and made nothing that was wanted.
    pub(crate) fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Rejected | Self::Canceled | Self::CanceledQueued)
    }
}

/// The status code of a call, if it got an answer.
pub(crate) fn status(call: &Call) -> Option<u16> {
    match call.answer {
        crate::Answer::Status(code) => Some(code),
        _ => None,
    }
}
