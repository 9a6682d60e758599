//! One call to a provider, as its span shows it.

use std::sync::Arc;

use rust_decimal::Decimal;

use crate::failure::FailureReason;
use crate::id::{SpanKey, TaskId};
use crate::rare::{Empty, Rare};

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Creates a task that runs on after the answer.
    Submit,
    /// Asks for a task's state.
    Poll,
    /// Fetches a task's result.
    Result,
    /// Asks the provider to stop a task.
    Cancel,
    /// A delivery from the provider to the application.
    Webhook,
    /// Fetches an output file.
    Download,
    /// Submits and returns the output in one answer.
    Sync,
    /// A long-lived realtime connection.
    Session,
}

impl Role {
    /// Every role, in the order of the job JSON.
    pub const ALL: [Self; 8] = [
        Self::Submit,
        Self::Poll,
        Self::Result,
        Self::Cancel,
        Self::Webhook,
        Self::Download,
        Self::Sync,
        Self::Session,
    ];

    /// The word used in metrics, JSON and provider files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Poll => "poll",
            Self::Result => "result",
            Self::Cancel => "cancel",
            Self::Webhook => "webhook",
            Self::Download => "download",
            Self::Sync => "sync",
            Self::Session => "session",
        }
    }

    /// Whether it starts an attempt.
    pub(crate) fn starts(self) -> bool {
        matches!(self, Self::Submit | Self::Sync | Self::Session)
    }
}

/// Where a call went: the part of the recognition that many calls share.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The provider file's name, for example `fal`.
    pub provider: Arc<str>,
    /// Name of the matched call in the provider file, for example `queue_submit`.
    pub rule: Arc<str>,
    /// Narrows which submit may belong to which poll (fal: `owner/alias`); empty when the provider has none.
    pub family: Arc<str>,
    /// Model as the URL or the attributes name it; empty when nothing does.
    pub model: Arc<str>,
    /// For example `text_to_video`; empty when the URL does not tell (most polls).
    pub operation: Arc<str>,
    /// The task's result must be fetched by a separate call, without which the job is *abandoned*.
    pub needs_result: bool,
    /// A leg of a voice session (speech-to-text, language model, text-to-speech), when it is one.
    pub leg: Option<Arc<str>>,
}

impl Endpoint {
    /// Whether a call here may ask for what a submit there made, as far as families tell.
    pub(crate) fn fits_family(&self, other: &Self) -> bool {
        self.family == other.family || self.family.is_empty() || other.family.is_empty()
    }

    /// The same, and as far as models tell.
    pub(crate) fn fits(&self, other: &Self) -> bool {
        let is_one_model = self.model == other.model || self.model.is_empty() || other.model.is_empty();
        is_one_model && self.fits_family(other)
    }
}

/// How a request ended on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// An HTTP status code (or the one that a gRPC status stands for, or the good end of a span around a
    /// call).
    Status(u16),
    /// Nothing was sent: refused, name not resolved, TLS failure.
    NotSent,
    /// The client stopped waiting.
    TimedOut,
    /// The connection broke after sending.
    Reset,
    /// The span shows no status code and no reason.
    Missing,
}

impl Answer {
    /// 2xx.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Status(200..=299))
    }
}

/// Whether the provider took a submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Accepted {
    /// It did: 2xx, or its task was seen later.
    Yes,
    /// It refused, or nothing was sent.
    No,
    /// It may have: the task may run and bill.
    Ambiguous,
}

impl Accepted {
    /// The word used in metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Ambiguous => "ambiguous",
        }
    }
}

/// One API call, as a provider file's rules read it.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// What the call does.
    pub role: Role,
    /// Where it went.
    pub endpoint: Arc<Endpoint>,
    /// The provider's id of the task that this call is about, or made.
    pub task: Option<TaskId>,
    /// How the request ended.
    pub answer: Answer,
    /// For submits and sync calls: what the provider file makes of the answer.
    pub accepted: Accepted,
    /// What this call tells of its task, if anything.
    pub verdict: Option<Verdict>,
    /// Fingerprint of method and full URL: equal requests have equal values.
    pub request: u64,
    /// Tells one client library from another: fingerprint of instrumentation scope and user agent in the
    /// upper 32 bits, of a poll's query shape in the lower.
    pub agent: u64,
    /// What few calls have.
    pub rare: Rare<CallRare>,
}

/// What few calls have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallRare {
    /// Spans that the call's span links to.
    pub links: Vec<SpanKey>,
    /// A second id of the same task (Kling's external id, a Bedrock client token).
    pub alias: Option<TaskId>,
    /// The task that this submit derives from (upscale, extend, remix): another job, linked.
    pub parent_task: Option<TaskId>,
    /// Ids that the client chose.
    pub correlations: Vec<Correlation>,
    /// Resend count that the client marked (`http.request.resend_count`, `x-stainless-retry-count`).
    pub resend: Option<u16>,
    /// The submit names a callback URL in a place that spans show, and this stands for its path; empty where
    /// they show only that there is one.
    pub callback: Option<Arc<str>>,
    /// Quantities and dimensions for pricing.
    pub facts: Vec<Fact>,
    /// No request was seen: the span is one that an instrumentation or an application put around it. It is a
    /// call as long as no request is seen beside it (`solve::stand_in`).
    pub stands_in: bool,
}

impl Empty for CallRare {
    fn empty() -> &'static Self {
        static EMPTY: CallRare = CallRare {
            links: Vec::new(),
            alias: None,
            parent_task: None,
            correlations: Vec::new(),
            resend: None,
            callback: None,
            facts: Vec::new(),
            stands_in: false,
        };
        &EMPTY
    }

    fn is_empty(&self) -> bool {
        self == Self::empty()
    }
}

impl Call {
    /// The part of [`Self::agent`] that submits and polls of one library share.
    pub fn library(&self) -> u32 {
        (self.agent >> 32) as u32
    }

    /// What stands for the path of the callback URL, where the span shows it.
    pub(crate) fn callback_place(&self) -> Option<&Arc<str>> {
        self.rare.callback.as_ref().filter(|place| !place.is_empty())
    }
}

/// An id that the client chose and that more than one span shows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Correlation {
    /// Where it comes from.
    pub kind: CorrelationKind,
    /// Its value.
    pub value: Arc<str>,
}

/// Where a correlation id comes from. The kind is part of the identity: equal text of two kinds is no join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CorrelationKind {
    /// An idempotency key that the provider honours: equal keys are one task.
    Idempotency,
    /// A parameter of the callback URL, seen in the submit or in the delivery.
    Callback,
    /// An application's own job id.
    Job,
    /// A conversation or session id.
    Session,
}

/// What a call tells of its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Verdict {
    /// The state.
    pub state: TaskState,
    /// Why, when it failed.
    pub reason: Option<FailureReason>,
}

/// A task's state, as one call shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskState {
    /// Polled too early.
    NotReady,
    /// Waiting or running.
    Running,
    /// Ended, and the call does not tell how.
    Ended,
    /// A span above the call failed, and says no more: the error may be the client's own.
    Errored,
    /// Canceled before it started.
    CanceledQueued,
    /// Canceled while it ran, or at a time that the span does not tell.
    Canceled,
    /// Failed.
    Failed,
    /// Refused by moderation.
    Rejected,
    /// Some of the outputs were made.
    Partial,
    /// Succeeded.
    Succeeded,
}

/// A quantity or a dimension that pricing may need.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// Name as the provider file uses it, for example `seconds`, `images`, `resolution`.
    pub name: Arc<str>,
    /// Its value.
    pub value: FactValue,
    /// How good it is.
    pub source: FactSource,
}

/// A number or a word.
#[derive(Clone, Debug, PartialEq)]
pub enum FactValue {
    /// An exact number.
    Number(Decimal),
    /// A word, for example `1080p`.
    Text(Arc<str>),
}

/// How good a fact is: a later one in this order replaces an earlier one of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactSource {
    /// What the request asked for.
    Request,
    /// What the answer says was made.
    Response,
    /// What the provider says it bills.
    Reported,
}

impl FactSource {
    /// Every value, the weakest first.
    pub const ALL: [Self; 3] = [Self::Request, Self::Response, Self::Reported];

    /// The word used in JSON and in provider files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
            Self::Reported => "reported",
        }
    }
}
