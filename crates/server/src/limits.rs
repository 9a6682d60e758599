//! What is bounded, by one name each: the label `limit` of `spantally_limit`, `spantally_limit_used` and
//! `spantally_limit_reached_total`. What happens at each bound: `docs/limits.md`.

/// Something of which there may be so much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Spans in memory.
    Spans,
    /// Jobs that have not settled.
    OpenJobs,
    /// Tasks and lone calls that a trace or a name ties.
    TraceTasks,
    /// Spans kept of one task.
    TaskSpans,
    /// Frames without a call.
    IdleFrames,
    /// Label sets.
    LabelSets,
    /// Bytes of requests under way.
    InflightBytes,
    /// Connections to a port.
    Connections,
    /// Tenants that a header names and no list does.
    Tenants,
    /// Bytes of a text that becomes a label.
    LabelBytes,
    /// Bytes of an id.
    IdBytes,
    /// Ids in a callback URL.
    CallbackIds,
    /// Links of a span.
    SpanLinks,
    /// Spans that wait to be made durable.
    CommitQueueSpans,
    /// Bytes of the journal.
    JournalBytes,
}

impl Limit {
    pub(crate) const ALL: [Self; 15] = [
        Self::Spans,
        Self::OpenJobs,
        Self::TraceTasks,
        Self::TaskSpans,
        Self::IdleFrames,
        Self::LabelSets,
        Self::InflightBytes,
        Self::Connections,
        Self::Tenants,
        Self::LabelBytes,
        Self::IdBytes,
        Self::CallbackIds,
        Self::SpanLinks,
        Self::CommitQueueSpans,
        Self::JournalBytes,
    ];

    /// The word used in metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::OpenJobs => "open_jobs",
            Self::TraceTasks => "trace_tasks",
            Self::TaskSpans => "task_spans",
            Self::IdleFrames => "idle_frames",
            Self::LabelSets => "label_sets",
            Self::InflightBytes => "inflight_bytes",
            Self::Connections => "connections",
            Self::Tenants => "tenants",
            Self::LabelBytes => "label_bytes",
            Self::IdBytes => "id_bytes",
            Self::CallbackIds => "callback_ids",
            Self::SpanLinks => "span_links",
            Self::CommitQueueSpans => "commit_queue_spans",
            Self::JournalBytes => "journal_bytes",
        }
    }
}
