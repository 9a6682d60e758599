//! What tells whether a job that was told has changed.

use std::hash::{Hash, Hasher};

use crate::call::FactValue;
use crate::job::Job;
use crate::kept::KeptHasher;

/// Fingerprint of a job's content.
pub(super) fn digest(job: &Job) -> u64 {
    let mut hasher = KeptHasher::default();
    for attempt in &job.attempts {
        (attempt.accepted, attempt.outcome, attempt.failure_reason, attempt.cause).hash(&mut hasher);
        (&attempt.task_id, &attempt.model, &attempt.operation).hash(&mut hasher);
        for call in &attempt.calls {
            (call.span, call.role, call.end, call.status).hash(&mut hasher);
        }
        for fact in &attempt.facts {
            fact.name.hash(&mut hasher);
            match &fact.value {
                FactValue::Number(number) => number.hash(&mut hasher),
                FactValue::Text(text) => text.hash(&mut hasher),
            }
        }
    }
    (job.id, job.outcome, job.failure_reason, &job.spans, &job.provider, &job.model).hash(&mut hasher);
    hasher.finish()
}
