//! The memory that the limits come to: the most that every part of the server may hold, added up.
//!
//! Told at start and by `spantally check`, so that nobody finds out from the kernel. It is the sum of worst
//! cases that ordinary traffic does not meet: with the default limits a server that is full of spans
//! takes about a fifth of it. Tests hold it against what is in use (`crates/stitch/tests/memory.rs`,
//! `crates/server/tests/limits/memory.rs`).
//!
//! Not in it: what the kernel holds (sockets, page cache), and the texts of ids and facts where they are
//! longer than [`spantally_stitch::TEXT_BYTES`] in a span.

use spantally_stitch::Evidence;

use crate::commit::CommitOptions;
use crate::config::Settings;
use crate::core::forgotten::{REMEMBERED, REMEMBERED_BYTES};
use crate::intake::CACHES_MAX;

/// The program, its rules, its threads.
const BASE_BYTES: u64 = 48 << 20;
/// Clients, endpoints and texts of one cache.
const CACHE_BYTES: u64 = 6 << 20;
/// Buffers of one connection, its task and what HTTP/2 remembers of its headers.
const CONNECTION_BYTES: u64 = 160 << 10;
/// Connections of the metrics port.
const ADMIN_CONNECTIONS: u64 = 256;
/// Series of one label set, with all causes, units and outcomes, and their text on two pages.
const LABEL_SET_BYTES: u64 = 96 << 10;
/// Page caches of journal and ledger, and of two readers.
const SQLITE_BYTES: u64 = 2 * (64 << 20) + 2 * (8 << 20);
/// Jobs that are shown as open, and rows of a checkpoint on their way to the ledger.
const JOBS_ON_THE_WAY: u64 = 10_000 + 4000;
/// One of them, with its document.
const JOB_BYTES: u64 = 8 << 10;
/// A span as it is written when it is carried over into the ledger.
const ENCODED_SPAN_BYTES: u64 = 160;
/// Of one open job while it is matched with others.
const MATCHING_BYTES: u64 = 512;
/// Groups on their way from the journal to the core, in spans of a full group.
const GROUPS_ON_THE_WAY: u64 = 64 + 2;
/// Vectors that wait to be used again, in spans.
const SPARE_SPANS: u64 = 64 * 4096;

/// A part of the server and the most that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// In words.
    pub what: &'static str,
    /// The setting that bounds it, if there is one.
    pub setting: Option<&'static str>,
    /// The most bytes.
    pub bytes: u64,
}

/// The most memory that settings allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorstCase {
    /// The largest first.
    pub parts: Vec<Part>,
}

impl WorstCase {
    /// Of a server with these settings.
    pub fn of(settings: &Settings) -> Self {
        let stitching = settings.stitching.most_bytes();
        let commit = CommitOptions::of(&settings.storage);
        let evidence = size_of::<Evidence>() as u64;
        let on_the_way = commit.queue_spans + GROUPS_ON_THE_WAY * commit.group_spans as u64 + SPARE_SPANS;
        let connections = 2 * settings.receivers.max_connections() as u64 + ADMIN_CONNECTIONS;
        let forwarding: u64 =
            settings.forward.iter().map(|to| 3 * to.queue.batch_max_bytes as u64 + (1 << 20)).sum();
        let (max_spans, max_open) =
            (settings.stitching.max_spans as u64, settings.stitching.max_open_jobs as u64);
        let part = |what, setting, bytes| Part { what, setting, bytes };
        let mut parts = vec![
            part(
                "spans, each the only one of its job and trace",
                Some("processors.spantally.limits.max_spans"),
                stitching.spans,
            ),
            part(
                "matching of open jobs",
                Some("processors.spantally.limits.max_open_jobs"),
                max_open * MATCHING_BYTES,
            ),
            part(
                "spans carried over into the ledger at once",
                Some("processors.spantally.limits.max_spans"),
                max_spans * ENCODED_SPAN_BYTES,
            ),
            part("forgotten tasks", None, stitching.tombstones),
            part("forgotten jobs", None, (REMEMBERED * REMEMBERED_BYTES) as u64),
            part(
                "requests under way",
                Some("receivers.otlp.limits.max_inflight_bytes"),
                settings.receivers.max_inflight_bytes,
            ),
            part("spans on their way to the core", None, on_the_way * evidence),
            part(
                "connections",
                Some("receivers.otlp.limits.max_connections"),
                connections * CONNECTION_BYTES,
            ),
            part(
                "series and pages of metrics",
                Some("exporters.prometheus.max_label_sets"),
                settings.prometheus.max_label_sets as u64 * LABEL_SET_BYTES,
            ),
            part("caches of SQLite", None, SQLITE_BYTES),
            part("jobs shown as open, rows on their way to the ledger", None, JOBS_ON_THE_WAY * JOB_BYTES),
            part("forwarding", Some("exporters.otlp.sending_queue.batch.max_size"), forwarding),
            part("caches of decoding", None, CACHES_MAX as u64 * CACHE_BYTES),
            part("the program and its rules", None, BASE_BYTES),
        ];
        parts.retain(|part| part.bytes > 0);
        parts.sort_by_key(|part| std::cmp::Reverse(part.bytes));
        Self { parts }
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}

/// Bytes in words.
pub fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// Says in the log what the limits come to.
pub(crate) fn tell(settings: &Settings) {
    let worst = WorstCase::of(settings);
    let parts: Vec<String> =
        worst.parts.iter().map(|part| format!("{} {}", mib(part.bytes), part.what)).collect();
    tracing::info!(
        at_most = mib(worst.total()),
        parts = parts.join(", "),
        "memory if every limit is used up at once; `spantally check` names the settings"
    );
}
