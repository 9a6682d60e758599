//! `spantally estimate`: what a workload will cost, as it is and with other limits.
//!
//! Jobs of a recording, a ledger or a server are counted as they were ([`base`], over the time of
//! [`period`]), taken times the volume that is to come ([`forecast`]; what makes its range wide is
//! [`unknowns`]), and judged again under other limits of the client ([`what_if`], by the [`times`] of calls).
//! How clients wait before they try again is [`backoff`]. Nothing is random, so the same jobs and arguments
//! give the same [`report`]; [`shown`] and [`sheet`] write it.

mod backoff;
mod base;
mod forecast;
mod money;
mod period;
mod report;
mod sheet;
mod shown;
#[cfg(test)]
mod tests;
mod times;
mod unknowns;
mod what_if;

use std::io::Write;

use rust_decimal::Decimal;

use self::base::By;
use self::period::{Moment, Volume};
use self::report::{Asked, Report};
use self::what_if::Limits;
use super::job_doc::JobDoc;
use super::job_source::{Source, SourceArgs};
use super::jobs::duration_ms;
use super::{Exit, Failure, Format, Outcome, stdout};
use crate::replay::report::count;

/// Estimate what a workload will cost at another volume, what of it is retries and failures, and what other
/// limits would save or lose.
///
/// The settled jobs of a recording, a ledger or a server are taken as they were, with their failures and
/// retries. The range has what is not known of their cost and what chance may do.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    source: SourceArgs,
    /// Only jobs that started since a day (2026-11-20), a time (2026-11-20T10:00:00Z), or for so long (7d).
    #[arg(long, value_name = "WHEN", value_parser = Moment::parse)]
    since: Option<Moment>,
    /// Only jobs that started before that.
    #[arg(long, value_name = "WHEN", value_parser = Moment::parse)]
    until: Option<Moment>,
    /// Only jobs of this provider.
    #[arg(long)]
    provider: Option<String>,
    /// Only jobs of this model.
    #[arg(long)]
    model: Option<String>,
    /// Only jobs of this service.
    #[arg(long)]
    service: Option<String>,
    /// Only jobs of this tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Tell groups apart by this too, beside provider, model and operation; may be repeated.
    #[arg(long, value_enum)]
    by: Vec<By>,
    /// How many times as many jobs a day as there were.
    #[arg(long, value_name = "TIMES", default_value = "1", value_parser = positive, group = "load")]
    volume: Decimal,
    /// So many jobs a day in place of that, mixed as they were.
    #[arg(long, value_name = "JOBS", value_parser = positive, group = "load")]
    jobs_per_day: Option<Decimal>,
    /// Days of the forecast.
    #[arg(long, default_value = "30", value_parser = positive)]
    days: Decimal,
    /// What if no job had more attempts than this?
    #[arg(long, value_name = "ATTEMPTS", value_parser = clap::value_parser!(u32).range(1..))]
    max_attempts: Option<u32>,
    /// What if a task were given up this long after its submit, for example 600s or 10m?
    #[arg(long, value_name = "DURATION", value_parser = some_ms)]
    timeout: Option<i64>,
    /// What if polls were this far apart, for example 10s?
    #[arg(long, value_name = "DURATION", value_parser = some_ms)]
    poll_every: Option<i64>,
    /// Groups that are listed for people, the dearest first.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// How to write it: a report, one document, or one group a line.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The largest volume, number of jobs or days: past it nothing is an estimate.
const MOST: i64 = 1_000_000_000;

fn positive(text: &str) -> Result<Decimal, String> {
    let number = text.parse::<Decimal>().ok();
    let number = number.filter(|number| *number > Decimal::ZERO && *number <= Decimal::from(MOST));
    number.ok_or_else(|| format!("expected a number above 0, at most {MOST}"))
}

fn some_ms(text: &str) -> Result<i64, String> {
    let expected = || "expected a duration above 0 such as 10s or 5m".to_owned();
    duration_ms(text).ok().filter(|ms| *ms > 0).ok_or_else(expected)
}

impl Args {
    fn takes(&self, job: &JobDoc) -> bool {
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        is(&self.provider, &job.provider)
            && is(&self.model, &job.model)
            && is(&self.service, &job.service)
            && is(&self.tenant, &job.tenant)
    }

    fn asked(&self) -> Asked {
        Asked {
            volume: self.jobs_per_day.map_or(Volume::Times(self.volume), Volume::JobsPerDay),
            days: self.days,
            by: self.by.clone(),
            limits: Limits {
                max_attempts: self.max_attempts.map(|attempts| attempts as usize),
                timeout_ms: self.timeout,
                poll_every_ms: self.poll_every,
            },
        }
    }
}

/// Reads every settled job, then writes.
pub(super) fn run(args: &Args) -> Outcome {
    if let (Some(Moment::At(since)), Some(Moment::At(until))) = (args.since, args.until)
        && since >= until
    {
        return Err(Failure::usage(miette::miette!("--since is not before --until")));
    }
    let report = read(args, &args.source.open()?)?;
    let mut out = stdout();
    match args.format {
        Format::Human => report.human(&mut out, args.limit)?,
        Format::Json => line(&mut out, &report)?,
        Format::Jsonl => report.groups.iter().try_for_each(|group| line(&mut out, group))?,
        Format::Csv => report.csv(&mut out)?,
    }
    out.flush()?;
    Ok(Exit::Success)
}

fn read(args: &Args, source: &Source) -> Result<Report, Failure> {
    let asked = args.asked();
    let mut counting = report::Counting::new(&asked, args.since, args.until, source.now_ms());
    let limits = asked.limits;
    let needs_times = |job: &JobDoc| job.attempts.len() > 1 || limits.need_times(job);
    source.each_settled_timed(
        |job| args.takes(job) && needs_times(job),
        |job, calls| counting.add(job, args.takes(job), calls),
    )?;
    let (all, report) = counting.finish(&asked);
    report.ok_or_else(|| {
        let (what, help) = if all == 0 {
            let help = "take a longer recording (--from FILE), or wait until the server has settled some; \
                        `spantally jobs` lists what there is";
            ("no job has settled here".to_owned(), help)
        } else {
            let help = "ask for another time (--since, --until) or for other jobs (--provider, --model, \
                        --service, --tenant); `spantally jobs` lists what there is";
            (format!("{}, none of which counts", count(all, "settled job", "settled jobs")), help)
        };
        Failure::failed(miette::miette!(help = help, "nothing to estimate from: {what}"))
    })
}

fn line(out: &mut impl Write, value: &impl serde::Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}
