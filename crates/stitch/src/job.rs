//! What stitching finds: the output.

use std::sync::Arc;

use rust_decimal::Decimal;

use crate::call::{Accepted, Fact, Role};
use crate::failure::FailureReason;
use crate::id::{JobId, SpanKey, TaskId, UnixNanos};
use crate::words::words;

words! {
    /// How a job or an attempt ended.
    Outcome {
        /// Positive evidence of success.
        Succeeded = "succeeded",
        /// Some of the outputs were made.
        Partial = "partial",
        /// Positive evidence of failure.
        Failed = "failed",
        /// Refused: by moderation, or because the request was not valid.
        Rejected = "rejected",
        /// Stopped by the client.
        Canceled = "canceled",
        /// The provider needs a result fetch and none came.
        Abandoned = "abandoned",
        /// The spans do not tell.
        Unknown = "unknown",
    }
}

words! {
    /// Why money was spent. Causes partition the total.
    Cause {
        /// The attempt whose output was used.
        Delivered = "delivered",
        /// The outcome is not in the spans.
        Unverified = "unverified",
        /// The job failed.
        Failed = "failed",
        /// Moderation refused it.
        Moderated = "moderated",
        /// The client canceled it.
        Canceled = "canceled",
        /// Nobody fetched the result.
        Abandoned = "abandoned",
        /// Had visibly failed before the next submit.
        Retry = "retry",
        /// Was ambiguous when the next submit went out.
        TimeoutResubmit = "timeout_resubmit",
        /// Was accepted and not known to have failed when the next submit went out.
        Duplicate = "duplicate",
        /// A charge for a poll.
        Poll = "poll",
        /// A charge for a delivery.
        Webhook = "webhook",
        /// Audio that was made and never played.
        Interrupted = "interrupted",
    }
}

impl Cause {
    /// Retry-driven spend: retry, `timeout_resubmit` and duplicate.
    pub fn is_retry_driven(self) -> bool {
        matches!(self, Self::Retry | Self::TimeoutResubmit | Self::Duplicate)
    }

    /// Waste: everything but delivered and unverified.
    pub fn is_waste(self) -> bool {
        !matches!(self, Self::Delivered | Self::Unverified)
    }
}

words! {
    /// By which rule something was joined to a job, strongest first; the last joins nothing, and says of
    /// what a call is known.
    JoinRule {
        /// The task id in a URL path.
        TaskIdPath = "task_id_path",
        /// The task id in a header or an attribute.
        TaskIdAttribute = "task_id_attribute",
        /// The task id in an attribute of a span above.
        AncestorTaskId = "ancestor_task_id",
        /// A correlation id that the client chose.
        CorrelationId = "correlation_id",
        /// A span link.
        SpanLink = "span_link",
        /// One generation span above.
        OperationSpan = "operation_span",
        /// A voice session or conversation.
        Session = "session",
        /// A retry mark of the client.
        RetryMark = "retry_mark",
        /// A failed attempt followed by the same request.
        RetryOrder = "retry_order",
        /// Two equal submits at once.
        DoubleSubmit = "double_submit",
        /// Same parent or trace, and the gap in time.
        TraceOrder = "trace_order",
        /// The client's rhythm, across traces.
        ClientRhythm = "client_rhythm",
        /// A call of the webhook's handler names the task, or one right after the delivery in another trace.
        HandlerFetch = "handler_fetch",
        /// A webhook delivered again.
        Redelivery = "redelivery",
        /// A webhook matched by time.
        WebhookTime = "webhook_time",
        /// A poll instead of webhooks that were refused.
        FallbackPoll = "fallback_poll",
        /// A download right after a job's last call.
        DownloadTime = "download_time",
        /// A span around a call stands for it, since no request of it was seen.
        GenaiSpan = "genai_span",
    }
}

words! {
    /// How sure a join is.
    Confidence {
        /// By name: an id says so.
        Exact = "exact",
        /// The best assignment wins by a wide margin (about .995 right).
        Strong = "strong",
        /// It wins by some (about .95 right).
        Likely = "likely",
        /// Another assignment is nearly as good (about .6 to .75 right).
        Guess = "guess",
    }
}

words! {
    /// Where a job stands.
    State {
        /// More evidence is expected.
        Open = "open",
        /// Its charges are in the ledger.
        Settled = "settled",
        /// Its evidence was found to belong to another job; its charges were reversed.
        Superseded = "superseded",
    }
}

/// What the application wanted once.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// Where it stands.
    pub state: State,
    /// Tenant, empty when there is only one.
    pub tenant: Arc<str>,
    /// The service that submitted it.
    pub service: Arc<str>,
    /// Values of the extra labels that the configuration names, in its order.
    pub labels: Vec<Arc<str>>,
    /// Provider; of a voice session, the one of its first leg.
    pub provider: Arc<str>,
    /// Model; empty when no span names it.
    pub model: Arc<str>,
    /// Operation; empty when no span names it.
    pub operation: Arc<str>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, when it did not succeed.
    pub failure_reason: Option<FailureReason>,
    /// Application and GenAI spans of this job alone.
    pub spans: Vec<SpanKey>,
    /// Start of the earliest call.
    pub started_at: UnixNanos,
    /// End of the latest call.
    pub ended_at: UnixNanos,
    /// Sorted by start.
    pub attempts: Vec<Attempt>,
    /// The job that this one derives from (upscale, remix), by its task.
    pub parent_task: Option<TaskId>,
}

/// The leg that a chat is: alone, or with others of its kind, it is no talk.
const LANGUAGE_MODEL: &str = "language_model";

impl Job {
    /// Whether it is a voice session: legs of several kinds, or speech whose calls were put together by the
    /// id of their session, or a connection that stays open. A single call for speech, or a chat, is a job
    /// with one leg.
    pub fn is_voice_session(&self) -> bool {
        let legs = || self.attempts.iter().filter_map(|attempt| attempt.leg.as_deref());
        let first = legs().next();
        let by_session = |attempt: &Attempt| attempt.joins.iter().any(|join| join.rule == JoinRule::Session);
        legs().any(|leg| Some(leg) != first)
            || first.is_some_and(|leg| leg != LANGUAGE_MODEL) && self.attempts.iter().any(by_session)
            || self.attempts.iter().any(|attempt| attempt.count(Role::Session) > 0)
    }
}

impl Default for Job {
    /// A job of which nothing is known.
    fn default() -> Self {
        Self {
            id: JobId::default(),
            state: State::Open,
            tenant: Arc::default(),
            service: Arc::default(),
            labels: Vec::new(),
            provider: Arc::default(),
            model: Arc::default(),
            operation: Arc::default(),
            outcome: Outcome::Unknown,
            failure_reason: None,
            spans: Vec::new(),
            started_at: UnixNanos::default(),
            ended_at: UnixNanos::default(),
            attempts: Vec::new(),
            parent_task: None,
        }
    }
}

/// One submit and the task that it made, if any.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// The provider's own id; none when the spans never show it.
    pub task_id: Option<TaskId>,
    /// Provider of this attempt (a leg of a voice session may have its own).
    pub provider: Arc<str>,
    /// Model of this attempt.
    pub model: Arc<str>,
    /// Operation of this attempt.
    pub operation: Arc<str>,
    /// Name of the provider file's call that submitted it, or that first showed it.
    pub rule: Arc<str>,
    /// The leg of a voice session that it is.
    pub leg: Option<Arc<str>>,
    /// Whether the provider took it.
    pub accepted: Accepted,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, when it did not succeed.
    pub failure_reason: Option<FailureReason>,
    /// Whether the task was canceled before it started, when it was canceled.
    pub canceled_before_start: bool,
    /// Why its money was spent.
    pub cause: Cause,
    /// Start of the submit, or of the first call that shows the task.
    pub started_at: UnixNanos,
    /// End of the last call.
    pub ended_at: UnixNanos,
    /// Its calls, sorted by start, then span.
    pub calls: Vec<CallRef>,
    /// How its parts were joined.
    pub joins: Vec<Join>,
    /// Quantities and dimensions, one of a name: the best source, then the largest.
    pub facts: Vec<Fact>,
}

impl Attempt {
    /// How many calls of a role it has.
    pub fn count(&self, role: Role) -> usize {
        self.calls.iter().filter(|call| call.role == role).count()
    }

    /// HTTP status of the last submit, sync or result call: the answer that the outcome rests on.
    pub fn status(&self) -> Option<u16> {
        let decides = |call: &&CallRef| matches!(call.role, Role::Submit | Role::Sync | Role::Result);
        self.calls.iter().rev().find(decides).and_then(|call| call.status)
    }

    /// How long the calls of a role lasted together, in seconds with nine places; none without such a call.
    pub fn seconds(&self, role: Role) -> Option<Decimal> {
        let mut calls = self.calls.iter().filter(|call| call.role == role).peekable();
        calls.peek()?;
        let nanos = calls.map(|call| i128::from(call.end.0.saturating_sub(call.start.0))).sum();
        Decimal::try_from_i128_with_scale(nanos, 9).ok()
    }

    /// The fact of a name.
    pub fn fact(&self, name: &str) -> Option<&Fact> {
        self.facts.iter().find(|fact| &*fact.name == name)
    }
}

/// One call of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallRef {
    /// Its span.
    pub span: SpanKey,
    /// What it did.
    pub role: Role,
    /// When it started.
    pub start: UnixNanos,
    /// When it ended.
    pub end: UnixNanos,
    /// Its HTTP status; none when there was no answer.
    pub status: Option<u16>,
    /// Why this one call failed, when the provider file says so (polled too early, a delivery not taken).
    pub failure: Option<FailureReason>,
}

/// Why a part of a job is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// By which rule.
    pub rule: JoinRule,
    /// How sure.
    pub confidence: Confidence,
    /// How much better the best assignment is than the best one without this join, in nats; none when by
    /// name.
    pub margin: Option<f64>,
    /// The call that was joined; none when the join ties whole attempts.
    pub span: Option<SpanKey>,
    /// The call that comes nearest to the place of the one that was joined, when one comes near: the submit
    /// that may have made the task, the failed one that may have been tried again, the delivery that may have
    /// been made again. None when by name.
    pub instead: Option<SpanKey>,
}
