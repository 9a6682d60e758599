//! `spantally reconcile`: a provider's own usage or billing export beside the jobs, one by one.
//!
//! Which column of an export is what stands in the provider file (`exports:`), or is told by `--columns`.
//! Where its rows name tasks, each task is laid beside its row; else sums by day and model are. In the order
//! of the flow: [`file`] and [`json`] read rows, [`when`] their times, [`billed`] adds them up; [`booked`] is
//! our side, [`compare`] lays one beside the other by [`verdict`], [`policy`] hears each task as a witness of
//! the policy that decided its price, [`shown`] writes it all down.

mod billed;
mod booked;
mod compare;
mod file;
#[cfg(test)]
mod fixture;
mod json;
mod policy;
mod shown;
mod verdict;
mod when;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use serde::Serialize;
use spantally_price::Cards;
use spantally_providers::{Column, Export};

use self::billed::{By, Reading, Theirs};
use self::compare::{Apart, Comparison, Finding, Sides, Tally};
use self::file::{Candidates, Rows, Skipped};
use self::policy::PolicyRow;
use self::verdict::Verdict;
use self::when::Period;
use super::job_source::SourceArgs;
use super::{Exit, Failure, Format, Outcome, stdout};
use crate::config::{Days, nearest};
use crate::provider_files::{ProviderFiles, ProviderSource};

/// Lay a provider's own usage or billing export beside the jobs: what agrees, what they billed that we did
/// not see, what we booked that they did not bill, and which policies their bill refutes.
///
/// Exits with 2 when something does not agree. Jobs are those that have settled.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 all agrees, 1 failed, 2 something does not agree, 64 bad usage.\n\
    Per provider, how to get its export: docs/reconcile.md.")]
pub(super) struct Args {
    /// Exports of one account: CSV or JSON, plain, gzip or Zstandard; `-` is standard input.
    #[arg(value_name = "EXPORT", required = true)]
    exports: Vec<PathBuf>,
    /// The provider, as in jobs.
    #[arg(long, value_name = "NAME")]
    provider: String,
    #[command(flatten)]
    source: SourceArgs,
    /// Only jobs of this tenant, where the account of the export is one of several.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// What the export covers, a month or days such as 2026-10-01/2026-10-31 [default: from its first row to
    /// its last].
    #[arg(long, value_name = "PERIOD", value_parser = Days::parse)]
    period: Option<Days>,
    /// The zone of days, and of times without one.
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = zone)]
    time_zone: TimeZone,
    /// Columns of an export that is not known, as in task_id=request_id,cost=amount; the words are task_id,
    /// model, time, quantity, unit, unit_price, discount_percent, cost, currency.
    #[arg(long, value_name = "WORD=NAME", value_delimiter = ',', value_parser = column)]
    columns: Vec<(Column, String)>,
    /// In JSON: keys with dots between them that lead to the rows.
    #[arg(long, value_name = "KEYS", requires = "columns")]
    rows: Option<String>,
    /// Currency or credit of the cost, where no column tells it.
    #[arg(long, value_name = "CODE", requires = "columns")]
    currency: Option<String>,
    /// One of the cost column is so much of the currency, as 0.01 for cents.
    #[arg(long, value_name = "NUMBER", requires = "columns")]
    scale: Option<Decimal>,
    /// Differences that are rounding [default: 0.0001 for a task, 0.01 for a day].
    #[arg(long, value_name = "AMOUNT")]
    tolerance: Option<Decimal>,
    /// Findings that are listed for people, the largest difference first.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// How to write it: a report, one document, or one finding a line.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| "not a time zone of this system, such as Europe/Berlin".to_owned())
}

fn column(text: &str) -> Result<(Column, String), String> {
    let (word, name) = text.split_once('=').ok_or("expected WORD=NAME, as in cost=amount")?;
    let words = || Column::ALL.into_iter().map(Column::as_str);
    let column = Column::parse(word.trim()).ok_or_else(|| {
        let near = nearest(word, words()).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        format!("`{word}` is no column: {near}{}", words().collect::<Vec<_>>().join(", "))
    })?;
    Ok((column, name.trim().to_owned()))
}

/// What is written.
#[derive(Debug, Serialize)]
struct Report {
    provider: String,
    /// The export as the provider file names it; empty with `--columns`.
    export: String,
    /// `task` or `day`: what is laid beside each other.
    by: &'static str,
    period: Option<Period>,
    rows: u64,
    /// Rows that could not be read; the first of them follow.
    skipped_rows: u64,
    skipped: Vec<Skipped>,
    /// Settled jobs of the provider that were looked at.
    jobs: u64,
    /// Tasks of times that the export does not cover.
    outside: Apart,
    /// Attempts without a task id, that no row can be matched with.
    without_task_id: Apart,
    verdicts: BTreeMap<Verdict, Tally>,
    /// Sums of all verdicts by currency.
    totals: BTreeMap<Arc<str>, Total>,
    policies: Vec<PolicyRow>,
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct Total {
    #[serde(flatten)]
    sides: Sides,
    /// Theirs less what we expected.
    difference: Option<Decimal>,
}

pub(super) fn run(args: &Args) -> Outcome {
    let settings = args.source.config().load()?.settings;
    let providers = ProviderFiles::load(settings.providers.directory.as_deref(), &settings.correlation)
        .map_err(Failure::usage)?;
    let file = provider(&providers, &args.provider)?;
    let cards: Cards = providers.cards(&settings.pricing);
    let card = cards.get(&args.provider);
    let mut rows = Rows::default();
    let export = read(args, file, &mut rows)?;
    let period = args.period.as_ref().map(|days| period(days, &args.time_zone)).transpose()?;
    let read = rows.read.len() as u64;
    let theirs = Theirs::of(&export, &mut rows, &Reading { card, zone: &args.time_zone, period });
    let by_default = if theirs.by == By::Task { Decimal::new(1, 4) } else { Decimal::new(1, 2) };
    let tolerance = args.tolerance.unwrap_or(by_default);
    let mut comparison = Comparison::new(&args.provider, theirs, args.time_zone.clone(), tolerance, card);
    comparison.tenant = args.tenant.as_deref();
    args.source.open()?.each_settled(|job| comparison.add(job))?;
    comparison.finish();
    let report = Report::of(comparison, export, read, rows);
    let mut out = stdout();
    match args.format {
        Format::Human => report.human(&mut out, args.limit)?,
        Format::Json => line(&mut out, &report)?,
        Format::Jsonl => report.findings.iter().try_for_each(|found| line(&mut out, found))?,
        Format::Csv => report.csv(&mut out)?,
    }
    out.flush()?;
    Ok(if report.agrees() { Exit::Success } else { Exit::Finding })
}

/// The file of a provider.
fn provider<'p>(providers: &'p ProviderFiles, name: &str) -> Result<&'p ProviderSource, Failure> {
    let names = || providers.files.iter().map(ProviderSource::name);
    providers.files.iter().find(|file| file.name() == name).ok_or_else(|| {
        let near = nearest(name, names()).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        let help = format!("{near}Known are {}", names().collect::<Vec<_>>().join(", "));
        Failure::usage(miette::miette!(help = help, "--provider: there is no provider `{name}`"))
    })
}

/// Reads every export; all must be of one kind.
fn read(args: &Args, file: &ProviderSource, rows: &mut Rows) -> Result<Export, Failure> {
    let exports = if args.columns.is_empty() {
        let mut exports = file.loaded.exports();
        exports.push(Export::focus());
        exports
    } else {
        vec![named(args)?]
    };
    let candidates = Candidates { provider: args.provider.clone(), exports };
    let mut found: Option<Export> = None;
    for path in &args.exports {
        let export = file::read(path, &candidates, rows)?;
        if let Some(other) = found.as_ref().filter(|other| **other != export) {
            return Err(Failure::usage(miette::miette!(
                "{}: an export of another kind ({}) than the files before it ({})",
                path.display(),
                export.name,
                other.name
            )));
        }
        found = Some(export);
    }
    found.ok_or_else(|| Failure::usage(miette::miette!("no export is named")))
}

/// The export that `--columns` tells of.
fn named(args: &Args) -> Result<Export, Failure> {
    let columns: BTreeMap<Column, String> = args.columns.iter().cloned().collect();
    let has = |column: Column| columns.contains_key(&column);
    let lacks = if !has(Column::TaskId) && !has(Column::Time) {
        Some("neither task_id nor time: no row can be matched")
    } else if !has(Column::Cost) && !has(Column::Quantity) {
        Some("neither cost nor quantity: nothing to compare")
    } else if has(Column::Cost) && !has(Column::Currency) && args.currency.is_none() {
        Some("a cost without its currency: name the column, or give --currency")
    } else {
        None
    };
    if let Some(lacks) = lacks {
        return Err(Failure::usage(miette::miette!("--columns: {lacks}")));
    }
    let rows = args.rows.as_ref().map(|keys| keys.split('.').map(str::to_owned).collect());
    Ok(Export {
        rows: rows.unwrap_or_default(),
        columns,
        currency: args.currency.clone(),
        scale: args.scale,
        ..Export::default()
    })
}

fn period(days: &Days, zone: &TimeZone) -> Result<Period, Failure> {
    let moment = |nanos: u64| Timestamp::from_nanosecond(i128::from(nanos)).ok();
    let moments = days.moments(zone).and_then(|[from, until]| Some((moment(from.0)?, moment(until.0)?)));
    let (from, until) =
        moments.ok_or_else(|| Failure::usage(miette::miette!("--period: not within the calendar")))?;
    Ok(Period { from, until })
}

fn line(out: &mut impl io::Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}

impl Report {
    fn of(comparison: Comparison<'_>, export: Export, read: u64, rows: Rows) -> Self {
        let mut totals = BTreeMap::<Arc<str>, Sides>::new();
        for (currency, sides) in comparison.tallies.values().flat_map(|tally| &tally.cost) {
            totals.entry(Arc::clone(currency)).or_default().and(sides);
        }
        let total = |sides: Sides| {
            let both = sides.theirs.zip(sides.ours);
            Total { sides, difference: both.map(|(theirs, ours)| theirs.saturating_sub(ours.expected)) }
        };
        Self {
            provider: comparison.provider.to_owned(),
            export: export.name,
            by: if comparison.theirs.by == By::Task { "task" } else { "day" },
            period: comparison.theirs.period,
            rows: read,
            skipped_rows: rows.skipped,
            skipped: rows.told,
            jobs: comparison.jobs,
            outside: comparison.outside,
            without_task_id: comparison.nameless,
            verdicts: comparison.tallies,
            totals: totals.into_iter().map(|(currency, sides)| (currency, total(sides))).collect(),
            policies: comparison.policies.into_rows(),
            findings: comparison.findings,
        }
    }

    /// Whether nothing is left to look at. What has no price with us and was not billed is not told apart
    /// from what agrees; a row that could not be read may have been anything.
    fn agrees(&self) -> bool {
        let is_open = |found: &Finding| {
            found.verdict != Verdict::Unpriced || found.theirs.is_none_or(|theirs| !theirs.is_zero())
        };
        self.skipped_rows == 0 && !self.findings.iter().any(is_open)
    }
}

#[cfg(test)]
mod tests;
