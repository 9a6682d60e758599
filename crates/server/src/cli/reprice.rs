//! `spantally reprice`: a recording under other provider files. Which jobs would cost something else, and how
//! much?
//!
//! The jobs are those that the configured files find; only their money is computed again, by the rates of the
//! other directory. So a line is about one job, and a difference is about prices and policies alone.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use rust_decimal::Decimal;
use serde::Serialize;
use spantally_price::{Bill, Bound, Cards, bill};

use super::{ConfigArgs, Exit, Failure, Format, Outcome, csv_cell, replay, stdout};
use crate::core::Settled;
use crate::provider_files::ProviderFiles;
use crate::replay::report::{count, money};

/// Price recorded jobs by other provider files, and show which of them change and by how much.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Recordings, as `replay` reads them; `-` is standard input.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Directory of the other provider files; the built-in ones stand for the providers that it lacks.
    #[arg(long, value_name = "DIR")]
    with: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
    /// Jobs that are listed for people, those with the largest difference first.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// How to write it: a report, one document, or one job a line.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What recordings cost by the files in force and by the others.
#[derive(Debug, Serialize)]
struct Report {
    jobs: usize,
    changed: usize,
    /// Sums by currency over all jobs.
    totals: BTreeMap<Arc<str>, Repriced>,
    /// Sums by provider, model and currency over the jobs that change.
    models: Vec<ModelRow>,
    /// The jobs that change, the largest difference first.
    changes: Vec<Change>,
}

/// Money before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Repriced {
    before: Figures,
    after: Figures,
    /// After less before, of the expected figures.
    difference: Decimal,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Figures {
    min: Decimal,
    expected: Decimal,
    max: Decimal,
}

#[derive(Debug, Serialize)]
struct ModelRow {
    provider: String,
    model: String,
    currency: Arc<str>,
    jobs: usize,
    #[serde(flatten)]
    money: Repriced,
}

/// A job that costs something else, in one currency.
#[derive(Debug, Serialize)]
struct Change {
    job_id: String,
    provider: String,
    model: String,
    outcome: &'static str,
    currency: Arc<str>,
    #[serde(flatten)]
    money: Repriced,
    /// Meters with the policies that decided, before and after.
    rules_before: Vec<String>,
    rules_after: Vec<String>,
    /// Reasons for which attempts have no price, before and after.
    unpriced_before: Vec<&'static str>,
    unpriced_after: Vec<&'static str>,
}

pub(super) fn run(args: &Args) -> Outcome {
    let config = args.config.load()?;
    let other =
        ProviderFiles::load(Some(&args.with), &config.settings.correlation).map_err(Failure::usage)?;
    let found = replay::read(&args.files, &args.config)?;
    let report = Report::of(&found.jobs, &other.cards(&config.settings.pricing));
    let mut out = stdout();
    match args.format {
        Format::Human => report.human(&mut out, args.limit)?,
        Format::Json => line(&mut out, &report)?,
        Format::Jsonl => report.changes.iter().try_for_each(|change| line(&mut out, change))?,
        Format::Csv => report.csv(&mut out)?,
    }
    out.flush()?;
    Ok(Exit::Success)
}

fn line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}

impl From<Bound> for Figures {
    fn from(bound: Bound) -> Self {
        Self { min: bound.min, expected: bound.expected, max: bound.max }
    }
}

impl Repriced {
    fn add(&mut self, before: Bound, after: Bound) {
        let sum = |to: &mut Figures, bound: Bound| {
            to.min = to.min.saturating_add(bound.min);
            to.expected = to.expected.saturating_add(bound.expected);
            to.max = to.max.saturating_add(bound.max);
        };
        sum(&mut self.before, before);
        sum(&mut self.after, after);
        self.difference = self.after.expected.saturating_sub(self.before.expected);
    }
}

impl Report {
    fn of(jobs: &[Settled], cards: &Cards) -> Self {
        let mut report = Self {
            jobs: jobs.len(),
            changed: 0,
            totals: BTreeMap::new(),
            models: Vec::new(),
            changes: Vec::new(),
        };
        let mut models = BTreeMap::<(String, String, Arc<str>), (usize, Repriced)>::new();
        for settled in jobs {
            let after = bill(&settled.job, cards);
            let changes = changes(settled, &after);
            report.changed += usize::from(!changes.is_empty());
            for (currency, before, after) in by_currency(&settled.bill, &after) {
                report.totals.entry(currency).or_default().add(before, after);
            }
            for (change, before, after) in changes {
                let key = (change.provider.clone(), change.model.clone(), Arc::clone(&change.currency));
                let (count, sum) = models.entry(key).or_default();
                *count += 1;
                sum.add(before, after);
                report.changes.push(change);
            }
        }
        report.changes.sort_by_key(|change| std::cmp::Reverse(change.money.difference.abs()));
        let rows = models.into_iter().map(|((provider, model, currency), (jobs, money))| ModelRow {
            provider,
            model,
            currency,
            jobs,
            money,
        });
        report.models = rows.collect();
        report.models.sort_by_key(|row| std::cmp::Reverse(row.money.difference.abs()));
        report
    }

    fn human(&self, out: &mut impl Write, limit: usize) -> io::Result<()> {
        let all = count(self.jobs as u64, "job", "jobs");
        writeln!(out, "{} of {all} would cost something else.", self.changed)?;
        let mut table = table(&["", "before", "after", "difference"]);
        for (currency, sum) in &self.totals {
            table.add_row(cells(&[currency], sum));
        }
        writeln!(out, "\n{}", table.trim_fmt())?;
        if self.changes.is_empty() {
            return Ok(());
        }
        let mut table = self::table(&["provider", "model", "jobs", "", "before", "after", "difference"]);
        for row in &self.models {
            table.add_row(cells(
                &[&row.provider, &row.model, &row.jobs.to_string(), &row.currency],
                &row.money,
            ));
        }
        writeln!(out, "\n{}\n", table.trim_fmt())?;
        for change in self.changes.iter().take(limit) {
            let id: String = change.job_id.chars().take(12).collect();
            let Repriced { before, after, difference } = change.money;
            writeln!(
                out,
                "{id} {} {} {}: {} -> {} {} ({:+})",
                change.provider,
                change.model,
                change.outcome,
                shown(before),
                shown(after),
                change.currency,
                difference.normalize(),
            )?;
            if change.rules_before != change.rules_after {
                writeln!(out, "    before: {}", change.rules_before.join(", "))?;
                writeln!(out, "    after:  {}", change.rules_after.join(", "))?;
            }
        }
        let more = self.changes.len().saturating_sub(limit);
        if more > 0 {
            writeln!(out, "and {more} more: --limit, or --format jsonl")?;
        }
        Ok(())
    }

    fn csv(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "job_id,provider,model,outcome,currency,before,after,difference")?;
        for change in &self.changes {
            writeln!(
                out,
                "{},{},{},{},{},{},{},{}",
                change.job_id,
                change.provider,
                csv_cell(&change.model),
                change.outcome,
                change.currency,
                change.money.before.expected,
                change.money.after.expected,
                change.money.difference,
            )?;
        }
        Ok(())
    }
}

/// What a job costs in each currency of either bill.
fn by_currency(before: &Bill, after: &Bill) -> Vec<(Arc<str>, Bound, Bound)> {
    let mut sums = BTreeMap::<Arc<str>, (Bound, Bound)>::new();
    for (currency, bound) in before.cost() {
        sums.entry(currency).or_default().0 = bound;
    }
    for (currency, bound) in after.cost() {
        sums.entry(currency).or_default().1 = bound;
    }
    sums.into_iter().map(|(currency, (before, after))| (currency, before, after)).collect()
}

/// The currencies in which a job changes. One that had no price or has none any more changes even where no
/// figure does.
fn changes(settled: &Settled, after: &Bill) -> Vec<(Change, Bound, Bound)> {
    let Settled { job, bill: before, .. } = settled;
    let (unpriced_before, unpriced_after) = (unpriced(before), unpriced(after));
    let lost_or_found = unpriced_before != unpriced_after;
    let sums = by_currency(before, after);
    let changed = sums.into_iter().filter(|(_, before, after)| before != after || lost_or_found);
    let change = |(currency, was, is): (Arc<str>, Bound, Bound)| {
        let mut money = Repriced::default();
        money.add(was, is);
        let change = Change {
            job_id: job.id.to_string(),
            provider: job.provider.to_string(),
            model: job.model.to_string(),
            outcome: job.outcome.as_str(),
            currency,
            money,
            rules_before: rules(before),
            rules_after: rules(after),
            unpriced_before: unpriced_before.clone(),
            unpriced_after: unpriced_after.clone(),
        };
        (change, was, is)
    };
    changed.map(change).collect()
}

fn rules(bill: &Bill) -> Vec<String> {
    bill.charges.iter().map(|charge| format!("{} by {}", charge.rule, charge.policy)).collect()
}

fn unpriced(bill: &Bill) -> Vec<&'static str> {
    bill.unpriced.iter().map(|unpriced| unpriced.reason.as_str()).collect()
}

fn shown(figures: Figures) -> String {
    let Figures { min, expected, max } = figures;
    if min == max {
        money(expected)
    } else {
        format!("{} ({} to {})", money(expected), money(min), money(max))
    }
}

fn table(header: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(header.to_vec());
    table
}

fn cells(first: &[&str], sum: &Repriced) -> Vec<String> {
    let figures = [shown(sum.before), shown(sum.after), format!("{:+}", sum.difference.normalize())];
    first.iter().map(|&cell| cell.to_owned()).chain(figures).collect()
}
