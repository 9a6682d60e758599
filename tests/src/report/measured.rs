//! Everything that is measured of stitching, as the page `docs/stitching-measured.md`.

use std::fmt::Write as _;

use spantally_stitch::Job;

use super::calibration::Calibration;
use super::{misses, steps};
use crate::fixtures::CAPTURES;
use crate::score::{Score, score};
use crate::stream::stream;
use crate::traffic::Traffic;
use crate::traffic::variant::{VARIANTS, table};

/// What was measured.
#[derive(Debug)]
pub struct Measured {
    /// The page.
    pub page: String,
    /// The table of the steps, which is on it.
    pub steps: String,
    /// Of the captures as they were recorded.
    pub recorded: Calibration,
    /// Of the changed ones.
    pub changed: Calibration,
}

const HEAD: &str = "# Stitching, measured

Made by `cargo run -p spantally-tests --bin stitching -- report`; the test `measured` holds it. What the words mean, and how
stitching works: [stitching.md](stitching.md).
";

const CALIBRATION: &str = "
## How sure, and how right

Joins that name a call, in the jobs of the six captures as they settled, and what the truth says of them. *Said* is the word in
the job document. A margin is how much worse the best assignment without the join is, in nats; joins by name have none.

";

const CHANGED_CALIBRATION: &str = "
The same over all changed captures below. The waits that retries and redeliveries may have were widened after looking at them:

";

const CHANGED: &str = "
## Captures with one thing changed

The captures are the set on which the weights were chosen. Here one thing is changed at a time, and the truth stays: nothing may
depend on names, hosts, status codes, density, lineage or the length of jobs. Times that are stretched stretch the noise of
timers as well, which no real client does: those lines are a bound, not an expectation.

";

const STEPS: &str = "
## What each step of instrumentation is worth

As [instrumentation.md](instrumentation.md) has it. *Derived* traffic is made by program from the named capture and its truth
(`tests/src/traffic/steps.rs`); a hook's attributes are what the answer to that call said at that time. *Outcome right*: the share of
jobs whose outcome is the one that the client saw.

";

const MISSES: &str = "
## What is missed, and why

Every job of the captures that is not found exactly. A swapped pair of equal jobs changes no total.
";

/// Measures everything: all captures and all changed ones.
///
/// # Errors
/// A capture cannot be read, or not be taken in.
pub fn measured() -> Result<Measured, Box<dyn std::error::Error>> {
    let (mut recorded, mut changed) = (Calibration::default(), Calibration::default());
    let mut missed = String::new();
    for capture in CAPTURES {
        let traffic = Traffic::read(capture)?;
        let (found, _) = stream(&traffic.encode())?;
        let jobs: Vec<&Job> = found.settled().map(|settled| &*settled.job).collect();
        recorded.add(&traffic.truth, jobs.iter().copied());
        let misses = misses::misses(&traffic.truth, &jobs);
        // Writing to memory cannot fail.
        let _ = match misses.len() {
            0 => writeln!(missed, "\n### {capture}\n\nNone."),
            _ => writeln!(missed, "\n### {capture}\n\n{}", misses::table(&misses).trim_end()),
        };
    }
    let mut rows: Vec<(_, Score)> = Vec::new();
    for variant in &VARIANTS {
        let traffic = variant.traffic()?;
        let (found, _) = stream(&traffic.encode())?;
        changed.add(&traffic.truth, found.settled().map(|settled| &*settled.job));
        rows.push((variant, score(&traffic.truth, &found.jobs()?, None)));
    }
    let steps = steps::table()?;
    let page = [
        HEAD,
        CALIBRATION,
        &recorded.tables(),
        CHANGED_CALIBRATION,
        &changed.by_words(),
        CHANGED,
        &table(rows),
        STEPS,
        &steps,
        MISSES,
        &missed,
    ];
    Ok(Measured { page: page.concat(), steps, recorded, changed })
}
