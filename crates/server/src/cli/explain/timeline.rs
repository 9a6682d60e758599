//! The calls of a job, one line each, in the order of time; runs of like polls are folded.

use std::borrow::Cow;

use spantally_stitch::Role;

use crate::cli::job_doc::{JobDoc, unix_ms};
use crate::job_calls::{JobCalls, TimedCall};

/// Polls in a row that become one line.
const FOLD_MIN: usize = 3;

/// Lines with times, counted from the start of the job.
pub(super) fn timed(job: &JobDoc, calls: &JobCalls) -> Vec<String> {
    let origin = job.started_ms();
    let offset = |moment: &str| (unix_ms(moment).unwrap_or(origin) - origin) as f64 / 1000.0;
    let mut calls: Vec<_> = calls.calls.iter().collect();
    calls.sort_by_key(|call| (unix_ms(&call.started_at), call.attempt));
    let mut lines = Vec::new();
    for run in calls.chunk_by(|one, next| folds(one) && folds(next) && alike(one, next)) {
        match run {
            [first, .., last] if run.len() >= FOLD_MIN => {
                let between = offset(&last.started_at) - offset(&first.started_at);
                let every = between / (run.len() - 1) as f64;
                let words = format!("{} polls every {every:.2} s", run.len());
                lines.push(line(first, offset(&first.started_at), &words, last));
            }
            _ => lines.extend(run.iter().map(|call| {
                let took = offset(&call.ended_at) - offset(&call.started_at);
                line(call, offset(&call.started_at), &format!("took {took:.2} s"), call)
            })),
        }
    }
    lines
}

fn line(call: &TimedCall, offset: f64, words: &str, last: &TimedCall) -> String {
    let status = call.status.map_or(Cow::Borrowed("-"), |status| status.to_string().into());
    let failure = call.failure_reason.as_ref().map(|reason| format!("  tells {reason}")).unwrap_or_default();
    let until = if last.span == call.span { String::new() } else { format!(" .. {}", last.span) };
    let offset = format!("+{offset:.2} s");
    format!(
        "{offset:>11}  attempt {}  {:<8}  {status:>3}  {words:<26}  {}{until}{failure}",
        call.attempt + 1,
        call.call,
        call.span
    )
}

fn folds(call: &TimedCall) -> bool {
    call.call == Role::Poll.as_str() && call.failure_reason.is_none()
}

fn alike(one: &TimedCall, next: &TimedCall) -> bool {
    (one.attempt, one.status) == (next.attempt, next.status)
}

/// Lines without times, by attempt and role, for jobs of which only the JSON is left.
pub(super) fn untimed(job: &JobDoc) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, attempt) in job.attempts.iter().enumerate() {
        for role in Role::ALL {
            let word = role.as_str();
            match attempt.spans.of(role) {
                [] => {}
                [first, .., last] if role == Role::Poll => {
                    let polls = attempt.polls;
                    lines.push(format!("attempt {}  {word:<8}  {polls} polls, {first} .. {last}", index + 1));
                }
                spans => {
                    let line = |span| format!("attempt {}  {word:<8}  {span}", index + 1);
                    lines.extend(spans.iter().map(line));
                }
            }
        }
    }
    lines
}
