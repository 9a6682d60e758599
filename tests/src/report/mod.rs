//! What the found jobs of a capture tell of stitching itself: how right each kind of join is
//! ([`calibration`]), which jobs were missed and why ([`misses`]), and what each step of instrumentation is
//! worth ([`steps`]). [`measured`] makes a page of it.

pub mod calibration;
pub mod measured;
pub mod misses;
pub mod steps;

use std::collections::HashMap;

use spantally_stitch::{Attempt, Job, Join, JoinRule, Role, SpanKey};

use crate::truth::Truth;

/// The true job of each span, by span id.
#[derive(Debug)]
pub struct Owners<'t>(HashMap<&'t str, &'t str>);

impl<'t> Owners<'t> {
    /// Of a capture's truth.
    pub fn new(truth: &'t Truth) -> Self {
        let owner = |span: &'t crate::truth::Span| Some((&*span.span_id, span.intent.as_deref()?));
        Self(truth.spans.iter().filter_map(owner).collect())
    }

    /// The name of the true job that a span is of.
    pub fn of(&self, span: SpanKey) -> Option<&'t str> {
        self.0.get(&*span.span.to_string()).copied()
    }
}

/// A join, and whether what it joined belongs together.
#[derive(Clone, Debug)]
pub struct Judged<'j> {
    /// The join.
    pub join: &'j Join,
    /// Index of the attempt in its job.
    pub attempt: usize,
    /// Whether it is right.
    pub right: bool,
}

/// The joins of a job that the truth can judge: those that name a call.
pub fn judged<'j>(owners: &Owners<'_>, job: &'j Job) -> Vec<Judged<'j>> {
    let mut found = Vec::new();
    for (at, attempt) in job.attempts.iter().enumerate() {
        for join in &attempt.joins {
            let Some(span) = join.span else { continue };
            let Some(owner) = owners.of(span) else { continue };
            let others: Vec<SpanKey> = match join.rule {
                JoinRule::RetryOrder | JoinRule::RetryMark => submits(&job.attempts[..at]),
                JoinRule::DoubleSubmit => {
                    submits(&job.attempts).into_iter().filter(|other| *other != span).collect()
                }
                _ => counterpart(attempt, span, join.rule),
            };
            let mut known = others.iter().filter_map(|&other| owners.of(other)).peekable();
            if known.peek().is_some() {
                found.push(Judged { join, attempt: at, right: known.any(|other| other == owner) });
            }
        }
    }
    found
}

fn submits(attempts: &[Attempt]) -> Vec<SpanKey> {
    let calls = attempts.iter().flat_map(|attempt| &attempt.calls);
    calls.filter(|call| matches!(call.role, Role::Submit | Role::Sync)).map(|call| call.span).collect()
}

/// What a call was joined to: its submit, or for a submit what it made.
fn counterpart(attempt: &Attempt, span: SpanKey, rule: JoinRule) -> Vec<SpanKey> {
    let is_submit = |role| matches!(role, Role::Submit | Role::Sync | Role::Session);
    let own = attempt.calls.iter().find(|call| call.span == span).map(|call| call.role);
    let wanted = |role: Role| match (own, rule) {
        (Some(own), _) if is_submit(own) => !is_submit(role) && role != Role::Download,
        (_, JoinRule::Redelivery) => role == Role::Webhook,
        (_, JoinRule::HandlerFetch | JoinRule::FallbackPoll) => {
            matches!(role, Role::Poll | Role::Result | Role::Cancel)
        }
        (Some(Role::Download), _) => role != Role::Download,
        _ => is_submit(role),
    };
    let first = attempt.calls.iter().find(|call| call.span != span && wanted(call.role));
    first.map(|call| call.span).into_iter().collect()
}
