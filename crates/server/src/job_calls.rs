//! The calls of a job with their times: what a job's JSON leaves out to stay small.
//!
//! They are in memory as long as a job can be revised. The API gives them out beside the job, and `explain`
//! makes its timeline of them.

use serde::{Deserialize, Serialize};
use spantally_stitch::{CallRef, FailureReason, Job};

use crate::job_json::Rfc3339;

/// Every call of a job, by attempt, then start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobCalls {
    /// The calls.
    pub calls: Vec<TimedCall>,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedCall {
    /// Index of its attempt.
    pub attempt: usize,
    /// What it did, for example `submit`.
    pub call: String,
    /// Its span, as `trace:span`.
    pub span: String,
    /// When it started, RFC 3339.
    pub started_at: String,
    /// When it ended, RFC 3339.
    pub ended_at: String,
    /// Its HTTP status; none when there was no answer.
    pub status: Option<u16>,
    /// Why this one call failed, when the provider file says so.
    pub failure_reason: Option<String>,
}

impl JobCalls {
    /// The calls of a job.
    pub fn of(job: &Job) -> Self {
        let attempts = job.attempts.iter().enumerate();
        let calls = attempts.flat_map(|(attempt, of)| of.calls.iter().map(move |call| timed(attempt, call)));
        Self { calls: calls.collect() }
    }
}

fn timed(attempt: usize, call: &CallRef) -> TimedCall {
    TimedCall {
        attempt,
        call: call.role.as_str().to_owned(),
        span: call.span.to_string(),
        started_at: Rfc3339(call.start).to_string(),
        ended_at: Rfc3339(call.end).to_string(),
        status: call.status,
        failure_reason: call.failure.map(|reason: FailureReason| reason.as_str().to_owned()),
    }
}
