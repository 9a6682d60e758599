//! Jobs as CSV: one line a job, for spreadsheets.
//!
//! A job with money in several currencies has its figures in each cell one after the other, with a space in
//! between, in the order of the `currency` cell; no job is on two lines, so that lines can be counted.

use std::io::{self, Write};
use std::sync::Arc;

use rust_decimal::Decimal;
use spantally_price::Bound;
use spantally_stitch::{Cause, FailureReason, Role};

use crate::cli::csv_cell;
use crate::core::Settled;
use crate::job_json::Rfc3339;

/// The header line.
const COLUMNS: [&str; 19] = [
    "job_id",
    "tenant",
    "service",
    "provider",
    "model",
    "operation",
    "outcome",
    "failure_reason",
    "started_at",
    "ended_at",
    "attempts",
    "polls",
    "task_ids",
    "currency",
    "cost_min",
    "cost_expected",
    "cost_max",
    "waste",
    "retry_driven",
];

/// Writes jobs as CSV with a header line.
///
/// # Errors
/// As writing does.
pub fn write_csv(out: &mut impl Write, jobs: &[Settled]) -> io::Result<()> {
    writeln!(out, "{}", COLUMNS.join(","))?;
    for settled in jobs {
        let cells = cells(settled);
        writeln!(out, "{}", cells.each_ref().map(|cell| csv_cell(cell).into_owned()).join(","))?;
    }
    Ok(())
}

fn cells(settled: &Settled) -> [String; COLUMNS.len()] {
    let Settled { job, bill, .. } = settled;
    let cost = bill.cost();
    let each = |figure: fn(&Bound) -> Decimal| {
        let figures: Vec<_> = cost.values().map(|bound| figure(bound).normalize().to_string()).collect();
        figures.join(" ")
    };
    let part = |is_in: fn(Cause) -> bool| {
        let of = |currency: &Arc<str>| -> Decimal {
            let charges = bill.charges.iter().filter(|charge| charge.unit_price.is_some());
            let charges = charges.filter(|charge| charge.currency == *currency && is_in(charge.cause));
            charges.map(|charge| charge.cost.expected).sum()
        };
        let parts: Vec<_> = cost.keys().map(|currency| of(currency).normalize().to_string()).collect();
        parts.join(" ")
    };
    let polls: usize = job.attempts.iter().map(|attempt| attempt.count(Role::Poll)).sum();
    let tasks = job.attempts.iter().filter_map(|attempt| attempt.task_id.as_ref());
    [
        job.id.to_string(),
        job.tenant.to_string(),
        job.service.to_string(),
        job.provider.to_string(),
        job.model.to_string(),
        job.operation.to_string(),
        job.outcome.to_string(),
        job.failure_reason.map_or_else(String::new, |reason: FailureReason| reason.to_string()),
        Rfc3339(job.started_at).to_string(),
        Rfc3339(job.ended_at).to_string(),
        job.attempts.len().to_string(),
        polls.to_string(),
        tasks.map(ToString::to_string).collect::<Vec<_>>().join(" "),
        cost.keys().map(|currency| &**currency).collect::<Vec<_>>().join(" "),
        each(|bound| bound.min),
        each(|bound| bound.expected),
        each(|bound| bound.max),
        part(Cause::is_waste),
        part(Cause::is_retry_driven),
    ]
}
