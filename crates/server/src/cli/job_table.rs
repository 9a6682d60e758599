//! Jobs as CSV: one line a job, for spreadsheets.
//!
//! A job with money in several currencies has its figures in each cell one after the other, with a space in
//! between, in the order of the `currency` cell; one that cost nothing has zeros and no currency, one without
//! a price has empty cells. No job is on two lines, so that lines can be counted.

use std::io::{self, Write};

use rust_decimal::Decimal;
use spantally_stitch::Cause;

use super::job_doc::{CostDoc, JobDoc};
use super::sheet_cell;

const COLUMNS: [&str; 20] = [
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
    "labels",
];

/// Writes the header line.
pub(super) fn write_header(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", COLUMNS.join(","))
}

/// Writes the line of a job.
pub(super) fn write_job(out: &mut impl Write, job: &JobDoc) -> io::Result<()> {
    let cells = cells(job);
    writeln!(out, "{}", cells.each_ref().map(|cell| sheet_cell(cell)).join(","))
}

fn cells(job: &JobDoc) -> [String; COLUMNS.len()] {
    let free = || "0".to_owned();
    let each = |figure: fn(&CostDoc) -> Decimal| {
        if job.is_free() {
            return free();
        }
        let figures: Vec<_> = job.cost.values().map(|cost| figure(cost).to_string()).collect();
        figures.join(" ")
    };
    let part = |is_in: fn(Cause) -> bool| {
        if job.is_free() {
            return free();
        }
        let parts = job.cost.keys().map(|currency| job.part(currency, is_in).normalize().to_string());
        parts.collect::<Vec<_>>().join(" ")
    };
    let tasks = job.attempts.iter().filter_map(|attempt| attempt.task_id.as_deref());
    [
        job.job_id.clone(),
        job.tenant.clone(),
        job.service.clone(),
        job.provider.clone(),
        job.model.clone(),
        job.operation.clone(),
        job.outcome.clone(),
        job.failure_reason.clone().unwrap_or_default(),
        job.started_at.clone(),
        job.ended_at.clone(),
        job.attempts.len().to_string(),
        job.polls().to_string(),
        tasks.collect::<Vec<_>>().join(" "),
        job.cost.keys().map(String::as_str).collect::<Vec<_>>().join(" "),
        each(|cost| cost.min),
        each(|cost| cost.expected),
        each(|cost| cost.max),
        part(Cause::is_waste),
        part(Cause::is_retry_driven),
        job.labels.text(),
    ]
}
