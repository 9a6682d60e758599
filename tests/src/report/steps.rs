//! What each step of instrumentation is worth, as a table.

use std::fmt::Write as _;

use crate::score::score;
use crate::stream::stream;
use crate::traffic::steps::STEPS;

/// The table, which stands on the page of what is measured and in `docs/instrumentation.md`.
///
/// # Errors
/// A capture cannot be read, or not be taken in.
pub fn table() -> Result<String, Box<dyn std::error::Error>> {
    let mut text = String::from(
        "| what the spans have | traffic | jobs | exact | polls with their submit | retries together | outcome right |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for step in &STEPS {
        let traffic = step.traffic()?;
        let (found, _) = stream(&traffic.encode())?;
        let score = score(&traffic.truth, &found.jobs()?, None);
        let made = if step.recorded { "" } else { ", derived" };
        let outcome = score.outcome_accuracy.map_or_else(String::new, |share| format!("{share:.3}"));
        // Writing to memory cannot fail.
        let _ = writeln!(
            text,
            "| {} | {}{made} | {} | {:.3} | {:.3} | {:.3} | {outcome} |",
            step.what,
            step.capture,
            score.jobs.truth,
            score.stitch.exact_jobs,
            score.stitch.polls_with_their_submit,
            score.stitch.retries_together,
        );
    }
    Ok(text)
}
