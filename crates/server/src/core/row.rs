//! The row of a revision in the ledger.

use spantally_price::Bill;
use spantally_stitch::{FailureReason, Job, UnixNanos};
use spantally_store::{Detail, JobRow};

use crate::job_json::JobDocument;

/// The document as it is, of a job that is alike to no other.
pub(super) fn whole(job: &Job, bill: &Bill, revision: u32) -> Detail {
    // Serialising to memory what has only text keys cannot fail.
    Detail::Whole(JobDocument { job, bill, revision }.to_json().unwrap_or_default().into())
}

/// The row of a revision, still without its document and its charges.
pub(super) fn job_row(job: &Job, revision: u32, digest: u64, now: UnixNanos) -> JobRow {
    JobRow {
        job_id: job.id.0,
        revision,
        state: job.state.as_str().into(),
        tenant: job.tenant.clone(),
        service: job.service.clone(),
        provider: job.provider.clone(),
        model: job.model.clone(),
        operation: job.operation.clone(),
        outcome: job.outcome.as_str().into(),
        failure_reason: job.failure_reason.map(|reason: FailureReason| reason.as_str().into()),
        attempts: job.attempts.len() as u32,
        started_at: job.started_at.0,
        ended_at: job.ended_at.0,
        settled_at: now.0,
        digest,
        ..JobRow::default()
    }
}
