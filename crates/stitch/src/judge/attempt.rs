//! One attempt, from its spans.

use smallvec::SmallVec;

use crate::call::{Accepted, Answer, Call, Role, TaskState, Verdict};
use crate::evidence::{Evidence, What};
use crate::failure::FailureReason;
use crate::id::{SpanKey, TaskId};
use crate::job::{Attempt, CallRef, Cause, Confidence, Join, JoinRule, Outcome};
use crate::judge::{fact, status};
use crate::solve::attempts::AttemptDraft;
use crate::solve::group::above_text;
use crate::solve::pool::{Pool, Shot, call_of};

/// Makes an attempt; `frames` are spans above it and no other attempt, `shared` are above others too. The
/// cause is set later.
pub(super) fn attempt(
    pool: &Pool<'_>,
    draft: &AttemptDraft<'_>,
    frames: &[&Evidence],
    shared: &[&Evidence],
) -> Attempt {
    let parts = &draft.parts;
    let shot = draft.shot.map(|shot| pool.shots[shot]);
    let lead = shot.map(|shot| shot.evidence).or_else(|| parts.first().copied());
    let is_guess = |join: &&Join| join.rule == JoinRule::DownloadTime && join.confidence == Confidence::Guess;
    let guessed: Vec<SpanKey> = draft.joins.iter().filter(is_guess).filter_map(|join| join.span).collect();
    let (outcome, failure_reason, queued) = outcome(shot.as_ref(), parts, &guessed, frames);
    let endpoint = lead.and_then(call_of).map(|call| &*call.endpoint);
    let text = |pick: fn(&crate::Endpoint) -> &std::sync::Arc<str>| {
        let calls = parts.iter().filter_map(|part| call_of(part)).map(|call| pick(&call.endpoint));
        endpoint.map(pick).into_iter().chain(calls).find(|text| !text.is_empty()).cloned()
    };
    let above = |pick: fn(&crate::Frame) -> &std::sync::Arc<str>| {
        lead.and_then(|lead| above_text(pool, lead, pick)).cloned()
    };
    Attempt {
        task_id: task_id(pool, draft, frames),
        provider: text(|endpoint| &endpoint.provider).unwrap_or_default(),
        model: text(|endpoint| &endpoint.model)
            .or_else(|| above(|frame| &frame.rare.model))
            .unwrap_or_default(),
        operation: text(|endpoint| &endpoint.operation)
            .or_else(|| above(|frame| &frame.rare.operation))
            .unwrap_or_default(),
        rule: endpoint.map(|endpoint| endpoint.rule.clone()).unwrap_or_default(),
        leg: endpoint.and_then(|endpoint| endpoint.leg.clone()),
        accepted: accepted(shot.as_ref(), parts),
        outcome,
        failure_reason,
        canceled_before_start: queued,
        cause: Cause::Unverified,
        started_at: lead.map(|lead| lead.start).unwrap_or_default(),
        ended_at: parts.iter().map(|part| part.end).max().unwrap_or_default(),
        calls: parts.iter().filter_map(|part| call_ref(part)).collect(),
        joins: draft.joins.clone(),
        facts: fact::best(pool, shot.as_ref(), parts, frames, shared),
    }
}

fn call_ref(evidence: &Evidence) -> Option<CallRef> {
    let call = call_of(evidence)?;
    let failure = match (call.role, call.verdict) {
        (_, Some(Verdict { reason: Some(reason), .. })) => Some(reason),
        (Role::Webhook, _) if !call.answer.is_success() => Some(FailureReason::WebhookDelivery),
        (_, Some(Verdict { state: TaskState::NotReady, .. })) => Some(FailureReason::NotReady),
        _ => None,
    };
    Some(CallRef {
        span: evidence.span,
        role: call.role,
        start: evidence.start,
        end: evidence.end,
        status: status(call),
        failure,
    })
}

fn task_id(pool: &Pool<'_>, draft: &AttemptDraft<'_>, frames: &[&Evidence]) -> Option<TaskId> {
    let seen = draft.tasks.iter().find_map(|&task| pool.tasks[task].id);
    let named = || {
        frames.iter().find_map(|frame| match &frame.what {
            What::Frame(frame) => frame.rare.task.as_ref(),
            What::Call(_) => None,
        })
    };
    seen.or_else(named).cloned()
}

/// Whatever the submit showed, a task that is seen later was accepted.
fn accepted(shot: Option<&Shot<'_>>, parts: &[&Evidence]) -> Accepted {
    let seen = parts.iter().filter_map(|part| call_of(part)).any(|call| {
        matches!(call.role, Role::Poll | Role::Result | Role::Webhook | Role::Download | Role::Cancel)
    });
    match shot {
        Some(shot) if !seen => shot.call.accepted,
        _ => Accepted::Yes,
    }
}

type Ended = (Outcome, Option<FailureReason>, bool);

/// `guessed` are the downloads that are no more than near in time: nobody knows whether they are the output.
fn outcome(shot: Option<&Shot<'_>>, parts: &[&Evidence], guessed: &[SpanKey], frames: &[&Evidence]) -> Ended {
    let calls: Vec<&Call> = parts.iter().filter_map(|part| call_of(part)).collect();
    let above = frames.iter().filter_map(|frame| match &frame.what {
        What::Frame(frame) => frame.verdict,
        What::Call(_) => None,
    });
    if let Some(shot) = shot.filter(|shot| shot.call.accepted == Accepted::No && calls.len() == 1) {
        return refused(shot, above);
    }
    let known = parts.iter().filter(|part| !guessed.contains(&part.span));
    let told = known.filter_map(|part| Told::by_call(call_of(part)?));
    if let Some(ended) = ended(told.chain(above.map(Told::by_frame))) {
        return ended;
    }
    let followed = calls.iter().any(|call| !call.role.starts());
    if let Some(shot) = shot.filter(|_| !followed) {
        return alone(shot);
    }
    let taken =
        |call: &Call| call.role == Role::Webhook && call.answer.is_success() && call.verdict.is_none();
    let taken = calls.iter().any(|call| taken(call));
    let is_ready = |call: &Call| call.verdict.is_none_or(|verdict| verdict.state != TaskState::NotReady);
    let brings = |call: &Call| call.role == Role::Result && call.answer.is_success() && is_ready(call);
    let fetched = calls.iter().any(|call| brings(call));
    let needs_result = calls.iter().any(|call| call.endpoint.needs_result);
    match (needs_result && !fetched, taken) {
        (false, true) => (Outcome::Succeeded, None, false),
        (true, false) => (Outcome::Abandoned, None, false),
        _ => (Outcome::Unknown, None, false),
    }
}

fn is_refused_submit(call: &Call) -> bool {
    matches!(call.role, Role::Submit | Role::Sync) && call.accepted != Accepted::Yes
}

/// What speaks for a verdict, the weakest first.
#[derive(Clone, Copy)]
enum Voice {
    /// An HTTP status, or an error without a word.
    Status,
    /// A word.
    Word,
}

/// A verdict, and what speaks for it.
#[derive(Clone, Copy)]
struct Told {
    verdict: Verdict,
    voice: Voice,
}

impl Told {
    fn by_call(call: &Call) -> Option<Self> {
        let verdict = call.verdict.filter(|_| !is_refused_submit(call))?;
        let fetches = matches!(call.role, Role::Sync | Role::Result | Role::Download);
        let wordless = match verdict.state {
            TaskState::Succeeded => fetches && call.answer.is_success(),
            _ => call.role == Role::Cancel || !call.answer.is_success(),
        };
        Some(Self { verdict, voice: if wordless { Voice::Status } else { Voice::Word } })
    }

    fn by_frame(verdict: Verdict) -> Self {
        let wordless = verdict.state == TaskState::Errored;
        Self { verdict, voice: if wordless { Voice::Status } else { Voice::Word } }
    }
}

/// The end that verdicts tell: a partial success before a success, for that is what a request that succeeded
/// looks like until somebody counts the outputs; a success before a failure, but that a word of failure comes
/// before a mere 200, which is also how an empty or moderated output is answered; else the last failure, one
/// that says why before one that does not. An application's `failed` says no more than that: then the reason
/// is what another verdict of the same end gives.
fn ended(told: impl Iterator<Item = Told>) -> Option<Ended> {
    let says_why = |(_, why, _): &Ended| *why != Some(FailureReason::Unknown);
    let ends: SmallVec<[(u8, Ended); 8]> = told.filter_map(end).collect();
    let &(_, ended) = ends.iter().max_by_key(|(rank, ended)| (*rank, says_why(ended)))?;
    if says_why(&ended) {
        return Some(ended);
    }
    // Where a later request was answered well, what went wrong with an earlier one is not why.
    let is_passing = ends.iter().any(|(_, (outcome, ..))| *outcome == Outcome::Succeeded);
    let lowest = if is_passing { RANK_OF_WORD } else { 0 };
    let fits = |(rank, other): &&(u8, Ended)| other.0 == ended.0 && *rank >= lowest && says_why(other);
    let reason = ends.iter().filter(fits).max_by_key(|(rank, _)| *rank).and_then(|(_, (_, why, _))| *why);
    Some((ended.0, reason.or(ended.1), ended.2))
}

/// The rank of a failure that a word tells.
const RANK_OF_WORD: u8 = 3;

/// The end that one verdict tells, if it tells one, and its rank among others.
fn end(Told { verdict, voice }: Told) -> Option<(u8, Ended)> {
    let reason = |silent| verdict.reason.or(Some(silent));
    let ended = match verdict.state {
        TaskState::Succeeded => (Outcome::Succeeded, None, false),
        TaskState::Partial => (Outcome::Partial, verdict.reason, false),
        TaskState::Failed | TaskState::Errored => (Outcome::Failed, reason(FailureReason::Unknown), false),
        TaskState::Rejected => (Outcome::Rejected, reason(FailureReason::ModerationOutput), false),
        TaskState::Canceled => (Outcome::Canceled, Some(FailureReason::Canceled), false),
        TaskState::CanceledQueued => (Outcome::Canceled, Some(FailureReason::Canceled), true),
        TaskState::NotReady | TaskState::Running | TaskState::Ended => return None,
    };
    let rank = match (ended.0, voice) {
        (Outcome::Partial, _) => 5,
        (Outcome::Succeeded, Voice::Word) => 4,
        (_, Voice::Word) => RANK_OF_WORD,
        (Outcome::Succeeded, Voice::Status) => 2,
        _ => 1,
    };
    Some((rank, ended))
}

/// A submit that was not taken, and nothing else. Why is in its status, unless a span above has a word.
fn refused(shot: &Shot<'_>, above: impl Iterator<Item = Verdict>) -> Ended {
    let worded = |verdict: &Verdict| {
        let known = verdict.reason.is_some_and(|reason| reason != FailureReason::Unknown);
        matches!(verdict.state, TaskState::Failed | TaskState::Rejected) && known
    };
    let own = shot.call.verdict.filter(|verdict| verdict.state == TaskState::Rejected);
    let told = own.or(above.filter(worded).last()).or(shot.call.verdict);
    let reason = told.and_then(|verdict| verdict.reason).unwrap_or(FailureReason::Unknown);
    let moderated = told.is_some_and(|verdict| verdict.state == TaskState::Rejected);
    let invalid = matches!(reason, FailureReason::InvalidInput | FailureReason::InvalidMedia);
    let outcome = if moderated || invalid { Outcome::Rejected } else { Outcome::Failed };
    (outcome, Some(reason), false)
}

/// A submit that was or may have been taken, and that nothing follows.
fn alone(shot: &Shot<'_>) -> Ended {
    let reason = shot.call.verdict.and_then(|verdict| verdict.reason);
    if shot.call.accepted != Accepted::Yes {
        // Some instrumentations never say how a request ended: nothing speaks of a failure.
        if shot.call.answer == Answer::Missing && reason.is_none() {
            return (Outcome::Unknown, None, false);
        }
        let guessed = match shot.call.answer {
            Answer::TimedOut => FailureReason::ClientTimeout,
            _ => FailureReason::ProviderError,
        };
        return (Outcome::Failed, reason.or(Some(guessed)), false);
    }
    // The answer may have held the result, or a delivery may be on its way.
    let may_be_told = shot.is_blocking() || shot.call.rare.callback.is_some();
    let outcome = match shot.is_async() {
        false => Outcome::Succeeded,
        true if may_be_told => Outcome::Unknown,
        true => Outcome::Abandoned,
    };
    (outcome, None, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_the_best_that_any_span_tells() {
        use TaskState::{Canceled, CanceledQueued, Errored, Failed, NotReady, Partial, Succeeded};
        // A star marks what no word tells.
        for (states, expected) in [
            (&[(NotReady, "")][..], None),
            (&[(NotReady, ""), (Failed, ""), (Succeeded, "")], Some((Outcome::Succeeded, false))),
            (&[(Succeeded, ""), (Failed, "")], Some((Outcome::Succeeded, false))),
            (&[(Succeeded, "*"), (Failed, "*")], Some((Outcome::Succeeded, false))),
            (&[(Failed, ""), (Succeeded, "*")], Some((Outcome::Failed, false))),
            (&[(Succeeded, "*"), (Errored, "*")], Some((Outcome::Succeeded, false))),
            (&[(Errored, "*")], Some((Outcome::Failed, false))),
            (&[(Succeeded, ""), (Partial, "")], Some((Outcome::Partial, false))),
            (&[(Partial, ""), (Succeeded, ""), (Failed, "")], Some((Outcome::Partial, false))),
            (&[(Canceled, "*"), (CanceledQueued, "*")], Some((Outcome::Canceled, true))),
        ] {
            let told = states.iter().map(|&(state, star)| Told {
                verdict: Verdict { state, reason: None },
                voice: match star {
                    "*" => Voice::Status,
                    _ => Voice::Word,
                },
            });
            let found = ended(told);
            assert_eq!(found.map(|(outcome, _, queued)| (outcome, queued)), expected, "{states:?}");
        }
    }
    #[test]
    fn a_failure_that_says_no_more_has_the_reason_that_another_span_gives() {
        use FailureReason::{Capacity, InvalidInput, ModerationInput, ModerationOutput, Unknown};
        use TaskState::{Errored, Failed, NotReady, Rejected, Succeeded};
        let (word, status) = (Voice::Word, Voice::Status);
        let told = |state, reason, voice| Told { verdict: Verdict { state, reason }, voice };
        let mere = told(Failed, None, word);
        let shed = told(Failed, Some(Capacity), status);
        let invalid = told(Failed, Some(InvalidInput), status);
        let moderated = told(Rejected, Some(ModerationInput), word);
        let unnamed = told(Errored, Some(Unknown), status);
        for (verdicts, outcome, reason) in [
            (&[mere][..], Outcome::Failed, Unknown),
            (&[shed, mere], Outcome::Failed, Capacity),
            (&[mere, shed], Outcome::Failed, Capacity),
            (&[shed, invalid, mere], Outcome::Failed, InvalidInput),
            (&[shed, unnamed], Outcome::Failed, Capacity),
            (&[moderated, mere], Outcome::Rejected, ModerationInput),
            (&[told(Rejected, None, word), mere], Outcome::Rejected, ModerationOutput),
            (&[moderated, told(Failed, Some(Capacity), word)], Outcome::Failed, Capacity),
            // A fetch that was refused for a moment and then went well is not why.
            (&[shed, told(Succeeded, None, status), mere], Outcome::Failed, Unknown),
            (&[told(NotReady, Some(Capacity), status), mere], Outcome::Failed, Unknown),
            (&[told(Rejected, Some(ModerationInput), status), mere], Outcome::Failed, Unknown),
        ] {
            let found = ended(verdicts.iter().copied()).map(|(outcome, reason, _)| (outcome, reason));
            assert_eq!(found, Some((outcome, Some(reason))), "{outcome:?} {reason:?}");
        }
    }
}
