//! Calls into tasks, attempts and jobs.
//!
//! This crate is pure: it has no IO, no clock, no randomness, no logging and no iteration order that
//! depends on a hash seed. What was seen goes in as [`Evidence`]; time is an argument; what came of it
//! comes out as [`Job`] values.
//!
//! The words: an [`Evidence`] is one span worth keeping, either a [`Call`] (one API call to a provider)
//! or a [`Frame`] (an application or GenAI span that tells lineage). Calls with the provider's own id
//! form a task; a submit and the task that it made form an [`Attempt`]; attempts of one intent form a
//! [`Job`].

mod call;
mod evidence;
mod failure;
mod frame;
mod id;
mod job;
mod judge;
mod kept;
mod outage;
mod rare;
mod settings;
mod solve;
mod stitcher;
mod words;

pub use call::{
    Accepted, Answer, Call, CallRare, Correlation, CorrelationKind, Endpoint, Fact, FactSource, FactValue,
    Role, TaskState, Verdict,
};
pub use evidence::{Client, Evidence, What};
pub use failure::FailureReason;
pub use frame::{Frame, FrameKind, FrameRare};
pub use id::{JobId, SpanId, SpanKey, TaskId, TaskIdForm, TraceId, UnixNanos, hex_digits};
pub use job::{Attempt, CallRef, Cause, Confidence, Job, Join, JoinRule, Outcome, State};
pub use judge::fact::ASKED_FACTS;
pub use outage::Outages;
pub use rare::{Empty, Rare};
pub use settings::Settings;
pub use stitcher::{
    Came, Change, LimitHits, MostBytes, Observed, OpenCursor, Sought, Stitcher, TEXT_BYTES, Tie, TiePin,
    Trimmed,
};
