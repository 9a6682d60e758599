//! The captures with one thing changed at a time.

use std::fmt::Write as _;

use super::Traffic;
use super::change::{old_names, other_codes, other_network, some_jobs, without_ids};
use super::lineage::{bare, under_requests, under_sdk_spans};
use super::time::{late_polls, long_jobs, stretch};
use crate::score::Score;

/// A changed capture.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// The capture that is changed.
    pub capture: &'static str,
    /// What is changed.
    pub change: &'static str,
    /// Does it.
    make: fn(Traffic) -> Traffic,
}

const fn variant(capture: &'static str, change: &'static str, make: fn(Traffic) -> Traffic) -> Variant {
    Variant { capture, change, make }
}

/// Every variant, in the order of reports.
pub const VARIANTS: [Variant; 38] = [
    variant("bare-new", "old attribute names", old_names),
    variant("rich-new", "old attribute names", old_names),
    variant("cross-trace-new", "old attribute names", old_names),
    variant("node-bare", "old attribute names", old_names),
    variant("bare-new", "other network", other_network),
    variant("node-bare", "other network", other_network),
    variant("bare-new", "other status codes", other_codes),
    variant("node-bare", "other status codes", other_codes),
    variant("parented-dup", "other status codes", other_codes),
    variant("bare-new", "30 % of the jobs, a", |it| some_jobs(it, 11, 0.3)),
    variant("bare-new", "30 % of the jobs, b", |it| some_jobs(it, 12, 0.3)),
    variant("bare-headers", "30 % of the jobs", |it| some_jobs(it, 13, 0.3)),
    variant("node-bare", "30 % of the jobs", |it| some_jobs(it, 14, 0.3)),
    variant("cross-trace-new", "30 % of the jobs", |it| some_jobs(it, 15, 0.3)),
    variant("bare-new", "half of the jobs", |it| some_jobs(it, 16, 0.5)),
    variant("node-bare", "half of the jobs", |it| some_jobs(it, 17, 0.5)),
    variant("rich-new", "no ids in attributes", without_ids),
    variant("bare-headers", "no ids in attributes", without_ids),
    variant("rich-new", "no lineage, no ids", |it| bare(without_ids(it))),
    variant("parented-dup", "no lineage", bare),
    variant("cross-trace-new", "no lineage", bare),
    variant("node-bare", "under requests", under_requests),
    variant("bare-new", "under requests", under_requests),
    variant("bare-new", "spans of two SDKs", under_sdk_spans),
    variant("node-bare", "spans of two SDKs", under_sdk_spans),
    variant("bare-headers", "spans of two SDKs", under_sdk_spans),
    variant("bare-new", "5 times slower", |it| stretch(it, 5)),
    variant("bare-new", "20 times slower", |it| stretch(it, 20)),
    variant("node-bare", "20 times slower", |it| stretch(it, 20)),
    variant("parented-dup", "20 times slower", |it| stretch(it, 20)),
    variant("rich-new", "20 times slower", |it| stretch(it, 20)),
    variant("cross-trace-new", "20 times slower", |it| stretch(it, 20)),
    variant("bare-new", "jobs 20 times longer", |it| long_jobs(it, 20)),
    variant("node-bare", "jobs 20 times longer", |it| long_jobs(it, 20)),
    variant("parented-dup", "jobs 20 times longer", |it| long_jobs(it, 20)),
    variant("bare-new", "polls 20 ms late", |it| late_polls(it, 20.0)),
    variant("node-bare", "polls 20 ms late", |it| late_polls(it, 20.0)),
    variant("cross-trace-new", "polls 100 ms late", |it| late_polls(it, 100.0)),
];

impl Variant {
    /// The changed capture.
    ///
    /// # Errors
    /// The capture cannot be read.
    pub fn traffic(&self) -> Result<Traffic, Box<dyn std::error::Error>> {
        Ok((self.make)(Traffic::read(self.capture)?))
    }
}

/// Scores as a table, a line each.
pub fn table<'a>(rows: impl IntoIterator<Item = (&'a Variant, Score)>) -> String {
    let mut text = String::from(
        "| capture | changed | jobs | found | exact | polls with their submit | retries together |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for (variant, score) in rows {
        let (jobs, stitch) = (&score.jobs, &score.stitch);
        // Writing to memory cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {:.3} | {:.3} | {:.3} |",
            variant.capture,
            variant.change,
            jobs.truth,
            jobs.predicted,
            stitch.exact_jobs,
            stitch.polls_with_their_submit,
            stitch.retries_together
        );
    }
    text
}
