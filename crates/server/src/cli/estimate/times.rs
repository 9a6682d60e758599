//! When the calls of an attempt were, where the source tells.
//!
//! A recording has the times of every call, a server those of jobs that can still be revised, a ledger none.

use spantally_stitch::Role;

use crate::cli::job_doc::unix_ms;
use crate::job_calls::{JobCalls, TimedCall};

/// The calls of one attempt. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    calls: Vec<Call>,
}

#[derive(Clone, Copy, Debug)]
struct Call {
    role: Role,
    start: i64,
    end: i64,
    /// Answered as it should be.
    is_good: bool,
}

impl Times {
    /// The times of each attempt of a job; none when one of them cannot be read.
    pub(super) fn of(calls: &JobCalls, attempts: usize) -> Option<Vec<Self>> {
        let mut all = vec![Self::default(); attempts];
        for timed in &calls.calls {
            all.get_mut(timed.attempt)?.calls.push(call(timed)?);
        }
        for times in &mut all {
            times.calls.sort_by_key(|call| (call.start, call.end));
        }
        Some(all)
    }

    fn of_role(&self, role: Role) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(move |call| call.role == role)
    }

    fn submit(&self) -> Option<&Call> {
        self.calls.iter().find(|call| matches!(call.role, Role::Submit | Role::Sync))
    }

    /// Start of its submit; none when no span shows it.
    pub(super) fn submitted(&self) -> Option<i64> {
        self.submit().map(|call| call.start)
    }

    /// End of its last call.
    pub(super) fn ended(&self) -> Option<i64> {
        self.calls.iter().map(|call| call.end).max()
    }

    /// When the client could know that it needs another attempt, whose submit began at `next`: the end of the
    /// last call that had ended by then, at least of the submit.
    pub(super) fn given_up(&self, next: i64) -> Option<i64> {
        let submit = self.submit()?;
        let before = self.calls.iter().map(|call| call.end).filter(|end| *end <= next);
        before.max().or(Some(submit.end))
    }

    /// Starts of its polls, in order.
    pub(super) fn polls(&self) -> Vec<i64> {
        self.of_role(Role::Poll).map(|call| call.start).collect()
    }

    /// Between which moments the output of an attempt that delivered was there, as the client saw it.
    ///
    /// A fetch of the result, or an answer to the request itself, is one moment. So is the last poll where
    /// nothing else is seen. A callback may tell of another state first, so of several it is known that the
    /// output came with one of them.
    pub(super) fn delivered(&self) -> Option<(i64, i64)> {
        let good = |role| self.of_role(role).find(|call| call.is_good).map(|call| call.end);
        if let Some(moment) = good(Role::Result).or_else(|| good(Role::Sync)) {
            return Some((moment, moment));
        }
        let mut hooks = self.of_role(Role::Webhook).map(|call| call.start);
        if let Some(first) = hooks.next() {
            return Some((first, hooks.last().unwrap_or(first)));
        }
        let poll = self.of_role(Role::Poll).map(|call| call.end).max();
        let moment = poll.or_else(|| self.of_role(Role::Download).map(|call| call.start).next())?;
        Some((moment, moment))
    }
}

fn call(timed: &TimedCall) -> Option<Call> {
    Some(Call {
        role: Role::ALL.into_iter().find(|role| role.as_str() == timed.call)?,
        start: unix_ms(&timed.started_at)?,
        end: unix_ms(&timed.ended_at)?,
        is_good: timed.failure_reason.is_none()
            && timed.status.is_some_and(|status| (200..300).contains(&status)),
    })
}
