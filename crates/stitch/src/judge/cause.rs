//! Why each attempt's money was spent.
//!
//! Attempts are sorted by start. One of them delivered: the one with success evidence (of several, the one
//! whose output was fetched, then the one whose submit was plainly accepted, then the earliest). Without any,
//! the last unverified one stands for the job, and without that the last attempt carries its own end. Every
//! other attempt was a retry, a resubmission after a time-out, a duplicate, or was canceled and replaced, by
//! what was known of it when the next submit went out. Steps of different kinds (an image and then a video of
//! it, the legs of a voice session)
//! are judged apart.

use crate::call::{Accepted, Role};
use crate::failure::FailureReason;
use crate::id::UnixNanos;
use crate::job::{Attempt, CallRef, Cause, Outcome};

/// Sets the causes; `failed_at[i]` is when attempt `i` had visibly ended without success. Returns the index
/// of the attempt that stands for the job.
pub(super) fn assign(attempts: &mut [Attempt], failed_at: &[Option<UnixNanos>]) -> usize {
    let mut lead = 0;
    let mut steps: Vec<Vec<usize>> = Vec::new();
    for (at, attempt) in attempts.iter().enumerate() {
        let same = |step: &&mut Vec<usize>| is_same_step(&attempts[step[0]], attempt);
        let voice = attempt.leg.is_some();
        match steps.iter_mut().rev().find(same) {
            Some(step) if !voice || continues(attempts, step) => step.push(at),
            _ => steps.push(vec![at]),
        }
    }
    for step in &steps {
        lead = judge_step(attempts, failed_at, step);
    }
    // A step that failed and was replaced by another kind of step was a retry after all. No leg of a voice
    // session replaces another.
    let delivered = attempts.iter().rposition(|attempt| attempt.cause == Cause::Delivered);
    if let Some(delivered) = delivered {
        lead = delivered;
        for attempt in &mut attempts[..delivered] {
            if attempt.leg.is_none() && matches!(attempt.cause, Cause::Failed | Cause::Moderated) {
                attempt.cause = Cause::Retry;
            }
        }
    }
    lead
}

fn is_same_step(a: &Attempt, b: &Attempt) -> bool {
    let same_text = |a: &str, b: &str| a == b || a.is_empty() || b.is_empty();
    a.provider == b.provider && a.leg == b.leg && same_text(&a.operation, &b.operation)
}

/// In a voice session only what failed is continued by the next call of its leg: turns follow one another.
fn continues(attempts: &[Attempt], step: &[usize]) -> bool {
    step.last().is_some_and(|&last| attempts[last].accepted != Accepted::Yes)
}

fn judge_step(attempts: &mut [Attempt], failed_at: &[Option<UnixNanos>], step: &[usize]) -> usize {
    let lead = lead_of(attempts, step);
    let own = own_end(&attempts[lead]);
    attempts[lead].cause = own;
    for (place, &at) in step.iter().enumerate() {
        if at == lead {
            continue;
        }
        let next = step.get(place + 1).map(|&next| attempts[next].started_at);
        attempts[at].cause = replaced(&attempts[at], failed_at[at], next);
    }
    lead
}

fn lead_of(attempts: &[Attempt], step: &[usize]) -> usize {
    let delivered = |at: &&usize| matches!(attempts[**at].outcome, Outcome::Succeeded | Outcome::Partial);
    let fetched = |at: &&usize| attempts[**at].count(Role::Download) + attempts[**at].count(Role::Result) > 0;
    let unverified = |at: &&usize| attempts[**at].outcome == Outcome::Unknown;
    let best = step.iter().filter(delivered).min_by_key(|at| (!fetched(at), was_ambiguous(&attempts[**at])));
    let best = best.or_else(|| step.iter().rfind(unverified)).or(step.last());
    best.copied().unwrap_or_default()
}

fn own_end(attempt: &Attempt) -> Cause {
    match attempt.outcome {
        Outcome::Succeeded | Outcome::Partial => Cause::Delivered,
        Outcome::Unknown => Cause::Unverified,
        // A request that was not valid is refused too, but no moderation did it.
        Outcome::Rejected if !is_moderation(attempt) => Cause::Failed,
        Outcome::Failed => Cause::Failed,
        Outcome::Rejected => Cause::Moderated,
        Outcome::Canceled => Cause::Canceled,
        Outcome::Abandoned => Cause::Abandoned,
    }
}

fn is_moderation(attempt: &Attempt) -> bool {
    !matches!(attempt.failure_reason, Some(FailureReason::InvalidInput | FailureReason::InvalidMedia))
}

fn replaced(attempt: &Attempt, failed_at: Option<UnixNanos>, next: Option<UnixNanos>) -> Cause {
    let known_failed = failed_at.is_some_and(|at| next.is_none_or(|next| at <= next));
    match () {
        () if attempt.accepted == Accepted::No => Cause::Retry,
        () if attempt.outcome == Outcome::Canceled && known_failed => Cause::Canceled,
        () if known_failed => Cause::Retry,
        () if was_ambiguous(attempt) => Cause::TimeoutResubmit,
        () => Cause::Duplicate,
    }
}

/// Whether the submit itself was ambiguous, even if its task was seen later.
fn was_ambiguous(attempt: &Attempt) -> bool {
    let is_unsure = |call: &CallRef| call.role == Role::Submit && !is_2xx(call.status);
    attempt.accepted == Accepted::Ambiguous || attempt.calls.iter().any(is_unsure)
}

fn is_2xx(status: Option<u16>) -> bool {
    status.is_some_and(|code| (200..300).contains(&code))
}
