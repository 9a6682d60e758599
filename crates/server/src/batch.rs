//! What one export request became: the unit that is committed to the journal and then applied.
//!
//! A receiver makes it ([`crate::intake`]), the committer writes it to the journal and acknowledges it
//! ([`crate::commit`]), the core applies it ([`crate::core`]).

use std::sync::Arc;

use parking_lot::Mutex;
use spantally_stitch::Evidence;

/// What one export request became.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Spans worth keeping, in the order of the request.
    pub evidence: Vec<Evidence>,
    /// How many spans came, and what became of those that are not evidence.
    pub tally: Tally,
    /// How it came.
    pub transport: Transport,
}

/// Room for evidence, on its way back from the core to the receivers.
///
/// A batch holds some 64 KiB of evidence. Made anew for each request by one thread and given back by another,
/// it would be fresh memory each time, which the kernel has to clear first. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Spares(Arc<Mutex<Vec<Vec<Evidence>>>>);

/// Most vectors that wait to be used again.
pub(crate) const SPARES_MAX: usize = 64;
/// Evidence for which a vector that waits has room, at most.
pub(crate) const SPARE_EVIDENCE_MAX: usize = 4096;

impl Spares {
    /// An empty vector, with room if there is one.
    pub fn take(&self) -> Vec<Evidence> {
        self.0.lock().pop().unwrap_or_default()
    }

    /// Gives a vector back; what is in it goes.
    pub fn give(&self, mut evidence: Vec<Evidence>) {
        evidence.clear();
        let mut waiting = self.0.lock();
        if waiting.len() < SPARES_MAX && evidence.capacity() <= SPARE_EVIDENCE_MAX {
            waiting.push(evidence);
        }
    }
}

/// Counts of one batch. `received = evidence + ignored + sum(rejected)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Spans in the request.
    pub received: u64,
    /// Not a generation call, and no frame either.
    pub ignored: u64,
    /// Refused, by reason.
    pub rejected: [u64; RejectReason::ALL.len()],
}

impl Tally {
    /// Whether spans were refused for an id.
    pub(crate) fn has_invalid_ids(&self) -> bool {
        let of_ids = [RejectReason::TraceId, RejectReason::SpanId, RejectReason::ParentId];
        of_ids.into_iter().any(|reason| self.rejected[reason as usize] > 0)
    }
}

/// How a batch came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// OTLP/gRPC.
    #[default]
    Grpc,
    /// OTLP/HTTP, protobuf.
    HttpProtobuf,
    /// OTLP/HTTP, JSON.
    HttpJson,
    /// A recorded file.
    File,
}

impl Transport {
    /// Every value; the position is the code in the journal.
    pub const ALL: [Self; 4] = [Self::Grpc, Self::HttpProtobuf, Self::HttpJson, Self::File];

    /// The word used in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http_protobuf",
            Self::HttpJson => "http_json",
            Self::File => "file",
        }
    }
}

/// Why a span is refused although its request could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectReason {
    /// The trace id is not 16 bytes, or all zero.
    TraceId,
    /// The span id is not 8 bytes, or all zero.
    SpanId,
    /// Start or end is missing, or the end is before the start by more than any clock step explains.
    Time,
    /// The parent id is neither absent nor 8 bytes.
    ParentId,
    /// Text that a rule reads is not UTF-8.
    Encoding,
}

impl RejectReason {
    /// Every value; the position is the index in [`Tally::rejected`].
    pub const ALL: [Self; 5] = [Self::TraceId, Self::SpanId, Self::Time, Self::ParentId, Self::Encoding];

    /// The word used in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TraceId => "invalid_trace_id",
            Self::SpanId => "invalid_span_id",
            Self::Time => "invalid_time",
            Self::ParentId => "invalid_parent_id",
            Self::Encoding => "invalid_encoding",
        }
    }
}

/// Why a batch was not taken: each stands for an answer that makes OTLP clients send it again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Queues are full.
    #[error("the server is overloaded; send the batch again in {retry_after_ms} ms")]
    Overloaded {
        /// When to come back.
        retry_after_ms: u64,
    },
    /// The journal cannot be written.
    #[error("the journal cannot be written ({detail}); nothing was taken, send the batch again")]
    Storage {
        /// What the store said.
        detail: String,
    },
    /// The server is stopping.
    #[error("the server is stopping; send the batch again elsewhere or later")]
    Stopping,
}
