//! What was sent, in which parts, and when it was there.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use spantally_stitch::UnixNanos;

use crate::traffic::Kind;

/// What a span tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A submit that was taken; it names no task.
    Submit,
    /// A submit that was refused for load.
    Busy,
    /// A submit that was refused for its input: its job has ended.
    Invalid,
    /// A poll.
    Poll,
    /// A result that was fetched: its job has ended.
    Result,
    /// A result that was refused: so it has.
    Failure,
    /// The web request above all calls.
    Request,
}

impl Told {
    pub(crate) fn of(span: &Span) -> Self {
        if span.kind == i32::from(SpanKind::Server) {
            return Self::Request;
        }
        let value = |key: &str| {
            let found = span.attributes.iter().find(|attribute| attribute.key == key);
            found.and_then(|attribute| attribute.value.as_ref()?.value.clone())
        };
        let is_status =
            matches!(value("url.full"), Some(Value::StringValue(url)) if url.ends_with("/status"));
        let Some(Value::IntValue(code)) = value("http.response.status_code") else { panic!("{span:?}") };
        match (&*span.name, code) {
            ("POST", 200) => Self::Submit,
            ("POST", 429) => Self::Busy,
            ("POST", _) => Self::Invalid,
            _ if is_status => Self::Poll,
            (_, 200) => Self::Result,
            _ => Self::Failure,
        }
    }

    /// Whether its URL has the id of the task.
    pub(crate) fn names_task(self) -> bool {
        matches!(self, Self::Poll | Self::Result | Self::Failure)
    }

    /// Whether its job is over with it.
    pub(crate) fn ends(self) -> bool {
        matches!(self, Self::Invalid | Self::Result | Self::Failure)
    }

    /// Whether it is a submit, a poll, a result.
    pub(crate) fn counts(self) -> [u64; 3] {
        match self {
            Self::Submit | Self::Busy | Self::Invalid => [1, 0, 0],
            Self::Poll => [0, 1, 0],
            Self::Result | Self::Failure => [0, 0, 1],
            Self::Request => [0, 0, 0],
        }
    }
}

/// Submits, polls, results of some spans.
pub(crate) fn counts<'t>(told: impl IntoIterator<Item = &'t Told>) -> [u64; 3] {
    told.into_iter().map(|told| told.counts()).fold([0; 3], |sum, one| [0, 1, 2].map(|at| sum[at] + one[at]))
}

/// How a request got there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    /// Before this moment nobody had it.
    pub(crate) from: UnixNanos,
    /// It was acknowledged at this moment.
    pub(crate) until: UnixNanos,
    /// It may have come once more until this moment.
    pub(crate) last: UnixNanos,
    /// Sent so often, and how many starts of the server there had been at first and in the end.
    pub(crate) tries: u32,
    pub(crate) lives: [u64; 2],
}

/// Spans of a job that were sent together.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) told: Vec<Told>,
    pub(crate) delivery: Delivery,
}

/// A job, its parts in the order in which they came.
#[derive(Clone, Debug)]
pub(crate) struct SentJob {
    pub(crate) kind: Kind,
    /// Hexadecimal, as in the ledger.
    pub(crate) trace: String,
    pub(crate) parts: Vec<Part>,
}

/// Everything that was sent and acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Every job by its task.
    pub(crate) jobs: BTreeMap<String, SentJob>,
    /// Requests that were acknowledged, the spans in them, and how many were sent more than once.
    pub(crate) requests: u64,
    pub(crate) acknowledged_spans: u64,
    pub(crate) resent: u64,
}

impl Sent {
    /// Takes what another client sent.
    pub(crate) fn add(&mut self, mut other: Self) {
        self.jobs.append(&mut other.jobs);
        self.requests += other.requests;
        self.acknowledged_spans += other.acknowledged_spans;
        self.resent += other.resent;
    }

    /// Distinct spans.
    pub(crate) fn spans(&self) -> u64 {
        let parts = self.jobs.values().flat_map(|job| &job.parts);
        parts.map(|part| part.told.len() as u64).sum()
    }
}
