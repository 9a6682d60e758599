//! `spantally jobs`: a list of jobs.

use std::io::Write;

use jiff::{Span, SpanRelativeTo};
use spantally_stitch::{Cause, Outcome as JobOutcome, State};
use spantally_store::JobFilter;

use super::job_source::{ReadJob, SourceArgs};
use super::{Exit, Failure, Format, Outcome, job_table, stdout};
use crate::visible::{self, visible};

/// Digits of a job id that a list shows: enough for `explain`.
const ID_SHOWN: usize = 12;

/// List jobs of a server, a ledger or a recording: open ones, then those that settled last.
///
/// Open jobs, which a server alone has, come first, the latest start first; then settled ones, the latest
/// settlement first. What a recording leaves open settles at its end, all at once.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    source: SourceArgs,
    /// Only jobs in this state.
    #[arg(long, value_parser = words(State::ALL, State::as_str))]
    state: Option<String>,
    /// Only jobs that ended so; may be repeated.
    #[arg(long = "outcome", value_parser = words(JobOutcome::ALL, JobOutcome::as_str))]
    outcomes: Vec<String>,
    /// Only jobs of this provider.
    #[arg(long)]
    provider: Option<String>,
    /// Only jobs of this service.
    #[arg(long)]
    service: Option<String>,
    /// Only jobs of this model, or with an attempt of it.
    #[arg(long)]
    model: Option<String>,
    /// Only jobs of this tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Only jobs with an attempt or a charge of this cause.
    #[arg(long, value_parser = words(Cause::ALL, Cause::as_str))]
    cause: Option<String>,
    /// Only jobs that started within this time, for example 30m, 6h, 7d; of a recording, before its end.
    #[arg(long, value_name = "DURATION", value_parser = duration_ms)]
    since: Option<i64>,
    /// At most so many, the first ones in this order.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// How to write the list.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn words<T: Copy>(all: &'static [T], as_str: fn(T) -> &'static str) -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(all.iter().map(|&one| as_str(one)))
}

pub(super) fn duration_ms(text: &str) -> Result<i64, String> {
    let expected = || "expected a duration such as 30m, 6h or 7d".to_owned();
    let span: Span = text.parse().map_err(|_| expected())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| expected())?;
    i64::try_from(duration.as_millis()).ok().filter(|&ms| ms >= 0).ok_or_else(expected)
}

/// Reads the list and writes it.
pub(super) fn run(args: &Args) -> Outcome {
    let source = args.source.open()?;
    let since = args.since.map(|ms| source.now_ms().saturating_sub(ms));
    let filter = JobFilter {
        state: args.state.clone(),
        outcomes: args.outcomes.clone(),
        provider: args.provider.clone(),
        service: args.service.clone(),
        model: args.model.clone(),
        tenant: args.tenant.clone(),
        cause: args.cause.clone(),
        // Before 1970 nothing began.
        started_since: since.map(|ms| u64::try_from(ms).unwrap_or_default().saturating_mul(1_000_000)),
    };
    let jobs = source.list(&filter, args.limit as usize)?;
    let mut out = stdout();
    write(&mut out, args.format, &jobs)?;
    out.flush()?;
    Ok(Exit::Success)
}

fn write(out: &mut impl Write, format: Format, jobs: &[ReadJob]) -> Result<(), Failure> {
    match format {
        Format::Human => human(out, jobs)?,
        Format::Json => {
            let texts: Vec<_> = jobs.iter().map(|job| job.text.as_str()).collect();
            writeln!(out, "{{\"jobs\":[{}]}}", texts.join(","))?;
        }
        Format::Jsonl => jobs.iter().try_for_each(|job| writeln!(out, "{}", job.text))?,
        Format::Csv => {
            job_table::write_header(out)?;
            jobs.iter().try_for_each(|job| job_table::write_job(out, &job.doc))?;
        }
    }
    Ok(())
}

fn human(out: &mut impl Write, jobs: &[ReadJob]) -> std::io::Result<()> {
    if jobs.is_empty() {
        return writeln!(out, "no job passes");
    }
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header([
        "job", "started", "state", "service", "provider", "model", "outcome", "attempts", "polls", "cost",
    ]);
    for ReadJob { doc, .. } in jobs {
        table.add_row([
            doc.job_id.chars().take(ID_SHOWN).collect(),
            doc.started_at.clone(),
            doc.state.clone(),
            visible::name(&doc.service).into_owned(),
            visible::name(&doc.provider).into_owned(),
            visible::name(&doc.model).into_owned(),
            doc.outcome_text(),
            doc.attempts.len().to_string(),
            doc.polls().to_string(),
            visible(&doc.cost_text()).into_owned(),
        ]);
    }
    for column in [7, 8] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
    }
    writeln!(out, "{}", table.trim_fmt())
}

#[cfg(test)]
mod tests {
    use super::duration_ms;

    #[test]
    fn durations_count_days_as_24_hours() {
        for (text, expected) in [
            ("30m", Some(1_800_000)),
            ("1h30m", Some(5_400_000)),
            ("7d", Some(604_800_000)),
            ("90s", Some(90_000)),
            ("-1h", None),
            ("1 month", None),
            ("soon", None),
        ] {
            assert_eq!(duration_ms(text).ok(), expected, "{text}");
        }
    }
}
