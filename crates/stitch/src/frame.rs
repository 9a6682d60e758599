//! Spans above calls: what an application or a GenAI instrumentation says of the work around them.

use std::sync::{Arc, LazyLock};

use crate::call::{Call, Correlation, Fact, Verdict};
use crate::id::{SpanKey, TaskId};
use crate::rare::{Empty, Rare};

/// An application or GenAI span above calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// Its kind.
    pub kind: FrameKind,
    /// What the span tells of the job's end.
    pub verdict: Option<Verdict>,
    /// What few frames have: most are requests served and other work of an application.
    pub rare: Rare<FrameRare>,
}

/// What few frames have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FrameRare {
    /// Spans that the frame's span links to.
    pub links: Vec<SpanKey>,
    /// The span's name, kept only for the wrapper and GenAI kinds (low cardinality by convention), else
    /// empty.
    pub name: Arc<str>,
    /// The provider's id of a task, when an attribute of the span says so (`gen_ai.response.id`).
    pub task: Option<TaskId>,
    /// Ids that the client chose.
    pub correlations: Vec<Correlation>,
    /// Provider, when the span names one.
    pub provider: Arc<str>,
    /// Model, when the span names one.
    pub model: Arc<str>,
    /// Operation, when the span names one.
    pub operation: Arc<str>,
    /// Quantities and dimensions for pricing.
    pub facts: Vec<Fact>,
    /// The call that the span stands for where its requests are not seen; marked so.
    pub call: Option<Box<Call>>,
}

impl Empty for FrameRare {
    fn empty() -> &'static Self {
        static EMPTY: LazyLock<FrameRare> = LazyLock::new(FrameRare::default);
        &EMPTY
    }

    fn is_empty(&self) -> bool {
        self == Self::empty()
    }
}

/// What a span above calls is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrameKind {
    /// A request served: may hold several jobs.
    Server,
    /// A message consumed.
    Consumer,
    /// Any other span of the application.
    Internal,
    /// One generation as a whole: everything below is one job (`generate_content` and the like).
    Operation,
    /// Wraps one call of an SDK: ties its children, is not the border of a job (`replicate.run`).
    Wrapper,
    /// A GenAI chat or a leg of a conversation.
    Chat,
    /// A voice session: everything below is one job with a leg a call.
    Session,
}
