//! `spantally reprice`: a recording or a ledger under other provider files. Which jobs would cost
//! something else, and how much?
//!
//! The jobs are those that the configured files find, or found when they were booked; only their money is
//! computed again, by the rates of the other directory. So a line is about one job, and a difference is about
//! prices and policies alone. What a ledger keeps of a job is enough for nearly every price ([`ledger`]).

mod ledger;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use rust_decimal::Decimal;
use serde::Serialize;
use spantally_price::{Bill, Bound, Cards, bill};

use super::job_doc::JobDoc;
use super::{ConfigArgs, Exit, Failure, Format, Outcome, csv_cell, replay, stdout};
use crate::core::Settled;
use crate::provider_files::ProviderFiles;
use crate::replay::report::{count, money};

/// Price recorded or booked jobs by other provider files, and show which of them change and by how much.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Recordings, as `replay` reads them; `-` is standard input.
    #[arg(value_name = "FILE", required_unless_present = "ledger", conflicts_with = "ledger")]
    files: Vec<PathBuf>,
    /// Data directory whose settled jobs are priced again, beside a server or without one; nothing is
    /// changed.
    #[arg(long, value_name = "DIR")]
    ledger: Option<PathBuf>,
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

/// What jobs cost before, and by the other files.
#[derive(Debug, Default, Serialize)]
struct Report {
    jobs: usize,
    changed: usize,
    /// Jobs that cannot be priced again, which are in no sum.
    skipped: Vec<Skipped>,
    /// Sums by currency over all jobs.
    totals: BTreeMap<Arc<str>, Repriced>,
    /// Sums by provider, model and currency over the jobs that change.
    models: Vec<ModelRow>,
    /// The jobs that change, the largest difference first.
    changes: Vec<Change>,
}

/// A job that cannot be priced again, and why.
#[derive(Debug, Serialize)]
struct Skipped {
    job_id: String,
    reason: String,
}

/// What a job cost before: by the files in force, or as it was booked.
struct Before {
    job_id: String,
    provider: String,
    model: String,
    outcome: String,
    cost: BTreeMap<Arc<str>, Bound>,
    rules: Vec<String>,
    unpriced: Vec<String>,
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
    outcome: String,
    currency: Arc<str>,
    #[serde(flatten)]
    money: Repriced,
    /// Meters with the policies that decided, before and after.
    rules_before: Vec<String>,
    rules_after: Vec<String>,
    /// Reasons for which attempts have no price, before and after.
    unpriced_before: Vec<String>,
    unpriced_after: Vec<String>,
}

pub(super) fn run(args: &Args) -> Outcome {
    let config = args.config.load()?;
    let other =
        ProviderFiles::load(Some(&args.with), &config.settings.correlation).map_err(Failure::usage)?;
    let cards = other.cards(&config.settings.pricing);
    let mut report = Report::default();
    if let Some(directory) = &args.ledger {
        ledger::visit(directory, |job| report.booked(job, &cards))?;
    } else {
        for settled in &replay::read(&args.files, &args.config)?.jobs {
            report.add(&Before::recorded(settled), &bill(&settled.job, &cards));
        }
    }
    report.finish();
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

impl From<Figures> for Bound {
    fn from(figures: Figures) -> Self {
        Self { min: figures.min, expected: figures.expected, max: figures.max }
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

impl Before {
    fn recorded(settled: &Settled) -> Self {
        let Settled { job, bill, .. } = settled;
        Self {
            job_id: job.id.to_string(),
            provider: job.provider.to_string(),
            model: job.model.to_string(),
            outcome: job.outcome.to_string(),
            cost: bill.cost(),
            rules: rules(bill),
            unpriced: unpriced(bill),
        }
    }
}

impl Report {
    /// Prices a job of a ledger again.
    fn booked(&mut self, doc: &JobDoc, cards: &Cards) {
        match ledger::job(doc, cards) {
            Ok(job) => self.add(&ledger::before(doc), &bill(&job, cards)),
            Err(reason) => {
                self.jobs += 1;
                self.skipped.push(Skipped { job_id: doc.job_id.clone(), reason });
            }
        }
    }

    fn add(&mut self, before: &Before, after: &Bill) {
        self.jobs += 1;
        let sums = by_currency(&before.cost, after);
        for (currency, was, is) in &sums {
            self.totals.entry(Arc::clone(currency)).or_default().add(*was, *is);
        }
        let unpriced_after = unpriced(after);
        // One that had no price or has none any more changes even where no figure does.
        let lost_or_found = before.unpriced != unpriced_after;
        let changed = sums.into_iter().filter(|(_, was, is)| was != is || lost_or_found);
        let changes = changed.map(|(currency, was, is)| {
            let mut money = Repriced::default();
            money.add(was, is);
            Change {
                job_id: before.job_id.clone(),
                provider: before.provider.clone(),
                model: before.model.clone(),
                outcome: before.outcome.clone(),
                currency,
                money,
                rules_before: before.rules.clone(),
                rules_after: rules(after),
                unpriced_before: before.unpriced.clone(),
                unpriced_after: unpriced_after.clone(),
            }
        });
        let known = self.changes.len();
        self.changes.extend(changes);
        self.changed += usize::from(self.changes.len() > known);
    }

    /// Sums up by model and puts what changes most first.
    fn finish(&mut self) {
        let mut models = BTreeMap::<(String, String, Arc<str>), (usize, Repriced)>::new();
        for change in &self.changes {
            let key = (change.provider.clone(), change.model.clone(), Arc::clone(&change.currency));
            let (count, sum) = models.entry(key).or_default();
            *count += 1;
            sum.add(change.money.before.into(), change.money.after.into());
        }
        let rows = models.into_iter().map(|((provider, model, currency), (jobs, money))| ModelRow {
            provider,
            model,
            currency,
            jobs,
            money,
        });
        self.models = rows.collect();
        self.models.sort_by_key(|row| std::cmp::Reverse(row.money.difference.abs()));
        self.changes.sort_by_key(|change| std::cmp::Reverse(change.money.difference.abs()));
    }

    fn human(&self, out: &mut impl Write, limit: usize) -> io::Result<()> {
        let all = count(self.jobs as u64, "job", "jobs");
        writeln!(out, "{} of {all} would cost something else.", self.changed)?;
        if let Some(first) = self.skipped.first() {
            let Skipped { job_id, reason } = first;
            let skipped = count(self.skipped.len() as u64, "job", "jobs");
            writeln!(out, "{skipped} cannot be priced again, the first is {job_id}: {reason}")?;
        }
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

/// What a job costs in each currency, before and after.
fn by_currency(before: &BTreeMap<Arc<str>, Bound>, after: &Bill) -> Vec<(Arc<str>, Bound, Bound)> {
    let mut sums: BTreeMap<Arc<str>, (Bound, Bound)> =
        before.iter().map(|(currency, bound)| (Arc::clone(currency), (*bound, Bound::ZERO))).collect();
    for (currency, bound) in after.cost() {
        sums.entry(currency).or_default().1 = bound;
    }
    sums.into_iter().map(|(currency, (before, after))| (currency, before, after)).collect()
}

fn rules(bill: &Bill) -> Vec<String> {
    bill.charges.iter().map(|charge| format!("{} by {}", charge.rule, charge.policy)).collect()
}

fn unpriced(bill: &Bill) -> Vec<String> {
    bill.unpriced.iter().map(|unpriced| unpriced.reason.as_str().to_owned()).collect()
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
