//! The memory that the limits come to: the most that every part of the server may hold, added up.
//!
//! Told at start and by `spantally check`, so that nobody finds out from the kernel. It is the sum of worst
//! cases that ordinary traffic does not meet: with the default limits a server that is full of spans
//! takes about a fifth of it. Tests hold it against what is in use (`crates/stitch/tests/memory.rs`,
//! `crates/server/tests/limits/memory.rs`).
//!
//! Not in it: what the kernel holds (sockets, page cache), the texts of ids and facts where they are
//! longer than [`spantally_stitch::TEXT_BYTES`] in a span, and the copies of a page while it is pushed by
//! OTLP, which no setting asks for but the environment.

use spantally_stitch::Evidence;

use crate::admin;
use crate::batch::{SPARE_EVIDENCE_MAX, SPARES_MAX};
use crate::config::{Destination, Settings};
use crate::core::TurnOptions;
use crate::core::forgotten::{REMEMBERED, REMEMBERED_BYTES};
use crate::core::forms::FORMS_MAX;
use crate::core::open::MAX_SHOWN;
use crate::forward::held::{LET_GO_BYTES, MISSED_MAX};
use crate::forward::lanes::{ITEM_BYTES, LOOK_AHEAD_ITEMS};
use crate::forward::queue::ROW_BYTES_MAX;
use crate::intake::CACHES_MAX;
use crate::pipeline::CLOCK;
use crate::pipeline::CORE_QUEUE;

/// The program, its rules, its threads.
const BASE_BYTES: u64 = 48 << 20;
/// Clients, endpoints and texts of one cache.
const CACHE_BYTES: u64 = 6 << 20;
/// Buffers of one connection, its task and what HTTP/2 remembers of its headers.
const CONNECTION_BYTES: u64 = 160 << 10;
/// Series of one label set, with all causes, units and outcomes, and their text on two pages.
const LABEL_SET_BYTES: u64 = 96 << 10;
/// Page caches of journal and ledger, and of two readers.
const SQLITE_BYTES: u64 = (4 << 20) + (16 << 20) + 2 * (8 << 20);
/// What one label set costs by time: a provider and a model with a day of buckets.
const WINDOW_BYTES: u64 = 10 << 10;
/// A form of jobs with its account.
const FORM_BYTES: u64 = 3 << 10;
/// A job that is shown as open, or a row on its way to the ledger, with its document.
const JOB_BYTES: u64 = 8 << 10;
/// A span as it is written when it is carried over into the ledger.
const ENCODED_SPAN_BYTES: u64 = 160;
/// Of one open job while it is matched with others.
const MATCHING_BYTES: u64 = 512;
/// Groups that the commit and the core have in hand, beside those that wait between them.
const GROUPS_IN_HAND: usize = 2;
/// The client of a destination, its connection and its threads.
const DESTINATION_BYTES: u64 = 1 << 20;
/// A span that was told of and is not held, with what it is to have.
const MISSED_BYTES: u64 = 1 << 10;

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
        let commit = settings.storage.commit();
        let evidence = size_of::<Evidence>() as u64;
        let groups = ((CORE_QUEUE + GROUPS_IN_HAND) * commit.group_spans) as u64;
        let on_the_way = commit.queue_spans + groups + (SPARES_MAX * SPARE_EVIDENCE_MAX) as u64;
        let connections = (2 * settings.receivers.max_connections() + admin::MAX_CONNECTIONS) as u64;
        let jobs_on_the_way = (MAX_SHOWN + TurnOptions::new(CLOCK).jobs_per_part) as u64;
        let label_sets = settings.prometheus.max_label_sets as u64;
        let (max_spans, max_open) =
            (settings.stitching.max_spans as u64, settings.stitching.max_open_jobs as u64);
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
                label_sets * LABEL_SET_BYTES,
            ),
            part("cost by time", Some("exporters.prometheus.max_label_sets"), label_sets * WINDOW_BYTES),
            part("forms of jobs", None, FORMS_MAX as u64 * FORM_BYTES),
            part("caches of SQLite", None, SQLITE_BYTES),
            part("jobs shown as open, rows on their way to the ledger", None, jobs_on_the_way * JOB_BYTES),
            part("caches of decoding", None, CACHES_MAX as u64 * CACHE_BYTES),
            part("the program and its rules", None, BASE_BYTES),
        ];
        parts.extend(of_destinations(settings));
        parts.retain(|part| part.bytes > 0);
        parts.sort_by_key(|part| std::cmp::Reverse(part.bytes));
        Self { parts }
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}

fn part(what: &'static str, setting: Option<&'static str>, bytes: u64) -> Part {
    Part { what, setting, bytes }
}

/// What forwarding holds.
fn of_destinations(settings: &Settings) -> [Part; 3] {
    let sum = |of: fn(&Destination) -> u64| settings.forward.iter().map(of).sum();
    // On their way to queues requests are copied once, for all destinations.
    let copied = if settings.forward.is_empty() { 0 } else { settings.receivers.max_inflight_bytes };
    [
        part("forwarding", Some("exporters.otlp.sending_queue.batch.max_size"), sum(sent_bytes)),
        part(
            "spans that wait for their job",
            Some("exporters.otlp.job_attributes.max_size"),
            sum(held_bytes),
        ),
        part(
            "requests on their way to destinations",
            Some("receivers.otlp.limits.max_inflight_bytes"),
            copied,
        ),
    ]
}

/// What is read from the queue of a destination, ahead and again, put together and compressed; what is
/// written to it; and what is known of what waits.
fn sent_bytes(to: &Destination) -> u64 {
    let known = LOOK_AHEAD_ITEMS as u64 * ITEM_BYTES;
    4 * to.queue.batch_max_bytes as u64 + 2 * ROW_BYTES_MAX as u64 + known + DESTINATION_BYTES
}

/// What a destination holds back, what is written of it, what is let go at once (as spans, requests and
/// rows), and what is known of spans that are not held.
fn held_bytes(to: &Destination) -> u64 {
    let written = ROW_BYTES_MAX as u64 + 3 * LET_GO_BYTES as u64;
    let most = to.hold.max_bytes + written + 2 * MISSED_MAX as u64 * MISSED_BYTES;
    if to.hold.enabled { most } else { 0 }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn what_destinations_hold_counts() {
        let directory = tempfile::tempdir().unwrap();
        let total = |max_size: &str| {
            let text = format!(
                "exporters: {{otlp/a: {{endpoint: 'tempo:4317', \
                 job_attributes: {{enabled: true, max_size: {max_size}}}}}}}"
            );
            let file = directory.path().join("spantally.yaml");
            std::fs::write(&file, text).unwrap();
            WorstCase::of(&Config::load(Some(&file), &[]).unwrap().settings).total()
        };
        let (mebibytes, gibibytes) = (64 << 20, 8 << 30);
        assert_eq!(total(&gibibytes.to_string()) - total(&mebibytes.to_string()), gibibytes - mebibytes);
        assert!(total("1048576") > WorstCase::of(&Settings::default()).total() + (1 << 20));
    }
}
